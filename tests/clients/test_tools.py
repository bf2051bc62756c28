"""Tools: single, parallel, forced, streamed, and the turn that brings a result."""

import json

import pytest

from conftest import said

WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather of a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "unit": {"enum": ["celsius", "kelvin"]}},
            "required": ["city"],
        },
    },
}
CLOCK = {"type": "function", "function": {"name": "clock", "parameters": {"type": "object", "properties": {}}}}
TOOLS = [WEATHER, CLOCK]
PROMPT = said("weather in Oslo")
BOTH = [("call_a", "weather", {"city": "Oslo"}), ("call_b", "weather", {"city": "Tromsø"})]


def calls_of(message):
    return [(c.id, c.function.name, json.loads(c.function.arguments)) for c in message.tool_calls]


def test_a_single_call(client, journal):
    answer = client.chat.completions.create(model="chat", messages=PROMPT, tools=TOOLS)
    [choice] = answer.choices
    assert choice.finish_reason == "tool_calls" and choice.message.content is None
    assert calls_of(choice.message) == [("call_oslo", "weather", {"city": "Oslo", "unit": "celsius"})]
    # In order, member by member: the provider's prompt cache depends on it.
    assert json.dumps(journal.one()["tools"]) == json.dumps(TOOLS)


def test_parallel_calls(client):
    answer = client.chat.completions.create(model="chat", messages=said("weather in both"), tools=TOOLS)
    assert calls_of(answer.choices[0].message) == BOTH


@pytest.mark.parametrize(
    "choice", ["required", "none", "auto", {"type": "function", "function": {"name": "weather"}}], ids=str
)
def test_the_choice_reaches_the_provider(client, journal, choice):
    client.chat.completions.create(
        model="chat", messages=PROMPT, tools=TOOLS, tool_choice=choice, parallel_tool_calls=False
    )
    sent = journal.one()
    assert (sent["tool_choice"], sent["parallel_tool_calls"]) == (choice, False)


def test_a_forced_call(client):
    forced = {"type": "function", "function": {"name": "clock"}}
    answer = client.chat.completions.create(model="sim", messages=said("hello"), tools=TOOLS, tool_choice=forced)
    assert [c.function.name for c in answer.choices[0].message.tool_calls] == ["clock"]


def test_the_turn_with_the_result(client, journal):
    first = client.chat.completions.create(model="chat", messages=PROMPT, tools=TOOLS)
    # As applications do it: the answer goes back as it came.
    reply = first.choices[0].message.model_dump(exclude_none=True)
    messages = [*PROMPT, reply, {"role": "tool", "tool_call_id": "call_oslo", "content": '{"celsius": 4}'}]
    journal.clear()
    answer = client.chat.completions.create(model="chat", messages=messages, tools=TOOLS)
    assert answer.choices[0].message.content == "It is 4 °C in Oslo." and answer.choices[0].finish_reason == "stop"
    assert journal.one()["messages"] == messages


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [("weather in Oslo", [("call_oslo", "weather", {"city": "Oslo", "unit": "celsius"})]), ("weather in both", BOTH)],
)
def test_streamed_arguments(client, prompt, expected):
    pieces, calls, ends = 0, {}, []
    stream = client.chat.completions.create(model="chat", messages=said(prompt), tools=TOOLS, stream=True)
    for chunk in stream:
        [choice] = chunk.choices
        ends += [choice.finish_reason] if choice.finish_reason else []
        for delta in choice.delta.tool_calls or []:
            call = calls.setdefault(delta.index, {"id": None, "name": None, "arguments": ""})
            call["id"] = call["id"] or delta.id
            call["name"] = call["name"] or delta.function.name
            call["arguments"] += delta.function.arguments or ""
            pieces += 1
    found = [(c["id"], c["name"], json.loads(c["arguments"])) for _, c in sorted(calls.items())]
    assert (found, ends) == (expected, ["tool_calls"])
    assert pieces > 2 * len(expected), "the arguments came in pieces"


def test_streamed_calls_through_the_helper(client):
    with client.chat.completions.stream(model="chat", messages=said("weather in both"), tools=TOOLS) as stream:
        message = stream.get_final_completion().choices[0].message
    assert calls_of(message) == BOTH
