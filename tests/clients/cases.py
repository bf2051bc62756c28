"""What every client asks of every provider, in no API's words; `clients.py` and `node/clients.mjs` have each one's.

A case is a conversation: `turns` of (role, text), a `system` prompt, `tools`, `choice` (`required` or a tool's name),
`schema` for the answer, `image` (base64 of a PNG, beside the last text), `cap` on the answer's tokens, `think`, and
`results`: what the tools answer to the calls of the first answer, in a second request. `want` holds each answer.
"""

import base64
import json

GREETING = 'Grüße, Welt! 👋 «"quoted"»\n\tline two'
PIXEL = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 40).decode()

WEATHER = {
    "name": "weather",
    "description": "The weather of a city",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}, "unit": {"type": "string", "enum": ["celsius", "kelvin"]}},
        "required": ["city"],
    },
}
CLOCK = {
    "name": "clock",
    "description": "The time",
    "parameters": {"type": "object", "properties": {"zone": {"type": "string"}}},
}
TOOLS = [WEATHER, CLOCK]
EVENT = {
    "title": "event",
    "description": "An event of a calendar",
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "day": {"type": "integer"},
        "people": {"type": "array", "items": {"type": "string"}},
    },
    "required": ["name", "day", "people"],
    "additionalProperties": False,
}
FAIR = {"name": "Science fair", "day": 12, "people": ["Ada", "Bo"]}

OSLO = ["call_oslo", "weather", '{"city":"Oslo","unit":"celsius"}']
BOTH = [["call_a", "weather", '{"city":"Oslo"}'], ["call_b", "weather", '{"city":"Tromsø"}']]
SIGNATURE = "c2lnbmVkIGJ5IHRoZSBtb2Nr"


def case(*turns, want, **more):
    return {"turns": [["user" if i % 2 == 0 else "assistant", t] for i, t in enumerate(turns)], "want": want} | more


def said(text, finish="stop", **more):
    return {"text": text, "calls": [], "finish": finish} | more


def called(*calls, **more):
    return {"text": "", "calls": list(calls), "finish": "tools"} | more


CASES = {
    "conversation": case(
        "hello", "Hi.", "greet", system="Be brief.", want=[said(GREETING, usage=[11, 7], pieces=6)]
    ),
    "one call": case("weather in Oslo", tools=TOOLS, want=[called(OSLO, pieces=3)]),
    "parallel calls": case("weather in both", tools=TOOLS, want=[called(*BOTH, pieces=4)]),
    "some tool": case("weather in Oslo", tools=TOOLS, choice="required", want=[called(OSLO)]),
    "this tool": case("weather in Oslo", tools=TOOLS, choice="weather", want=[called(OSLO)]),
    "result": case(
        "weather in Oslo",
        tools=TOOLS,
        results={"call_oslo": '{"celsius": 4}'},
        want=[called(OSLO), said("It is 4 °C in Oslo.")],
    ),
    "parallel results": case(
        "weather in both",
        system="Use the tools.",
        tools=TOOLS,
        results={"call_a": "4 °C", "call_b": "−2 °C"},
        want=[called(*BOTH), said("4 °C in Oslo, −2 °C in Tromsø.")],
    ),
    "schema": case("An event", schema=EVENT, want=[said(json.dumps(FAIR, separators=(",", ":")))]),
    "image": case("what is in the picture", image=PIXEL, want=[said("A single pixel.")]),
    "cap": case("cut me at the cap", cap=16, want=[said("As far as it", finish="length")]),
    "reasoning": case("think first", think=True, want=[said("Forty-two.", reasoning="Let me see.")]),
    "reasoning and result": case(
        "think about the weather",
        tools=TOOLS,
        think=True,
        results={"call_oslo": "4 °C"},
        want=[called(OSLO, reasoning="Which city?"), said("Wear a coat.")],
    ),
}

# Status of the provider, and what the client gets: status, and words of the provider's message.
FAILURES = {
    400: (400, "temperature must be at most 2"),
    401: (502, "refuses this gateway"),
    429: (429, "Slow down, please"),
    500: (502, "The mock fell over"),
}
