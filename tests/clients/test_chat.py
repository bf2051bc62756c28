"""Whole answers: what the client gets, and what reached the provider."""

import asyncio
import base64
import json

import pytest
from pydantic import BaseModel

from conftest import NARROW_KEY, said

GREETING = 'Grüße, Welt! 👋 «"quoted"»\n\tline two'
PIXEL = "data:image/png;base64," + base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 40).decode()


class Event(BaseModel):
    name: str
    day: int
    people: list[str]


def test_plain(client, journal):
    answer = client.chat.completions.create(model="chat", messages=said("greet"))
    assert answer.id == "chatcmpl-fixed" and answer.object == "chat.completion"
    assert answer.model == "upstream-chat" and answer.system_fingerprint == "fp_mock"
    [choice] = answer.choices
    assert (choice.message.role, choice.message.content, choice.finish_reason) == ("assistant", GREETING, "stop")
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (11, 7, 18)
    assert journal.one() == {"model": "upstream-chat", "messages": said("greet")}


def test_finish_reason_and_reasoning_pass_through(client):
    answer = client.chat.completions.create(model="chat", messages=said("cut me at the cap"))
    assert (answer.choices[0].finish_reason, answer.choices[0].message.content) == ("length", "As far as it")


def test_everything_else_reaches_the_provider_untouched(client, journal):
    fields = {
        "n": 3,
        "logprobs": True,
        "top_logprobs": 5,
        "temperature": 0.30000000000000004,
        "top_p": 1e-7,
        "seed": -9007199254740991,
        "stop": ["\n\n", "</end>"],
        "max_completion_tokens": 77,
        "logit_bias": {"50256": -100},
        "presence_penalty": -2.0,
        "metadata": {"é": "ü", "quote": '"'},
        "user": "someone",
        "service_tier": "flex",
    }
    unknown = {"vendor_option": {"nested": [1, None, {"waypost": "is not ours here"}], "model": "kept"}, "empty": {}}
    messages = [{"role": "developer", "content": "Be brief."}, *said("hello\u2028there \\u0041 \U0001f600")]
    client.chat.completions.create(model="chat", messages=messages, extra_body=unknown, **fields)
    assert journal.one() == {"model": "upstream-chat", "messages": messages, **fields, **unknown}


def test_choices_and_their_order_come_back(client):
    answer = client.chat.completions.create(model="sim", messages=said("three, please"), n=3)
    assert [c.index for c in answer.choices] == [0, 1, 2]
    assert all(c.message.content.startswith("[simulated]") for c in answer.choices)


def test_an_image_reaches_the_provider_byte_for_byte(client, journal):
    parts = [
        {"type": "text", "text": "what is in the picture?"},
        {"type": "image_url", "image_url": {"url": PIXEL, "detail": "low"}},
    ]
    messages = [{"role": "user", "content": parts}]
    answer = client.chat.completions.create(model="chat", messages=messages)
    assert answer.choices[0].message.content == "A single pixel."
    assert journal.one()["messages"] == messages


def test_structured_output(client, journal):
    answer = client.chat.completions.parse(model="chat", messages=said("An event"), response_format=Event)
    assert answer.choices[0].message.parsed == Event(name="Science fair", day=12, people=["Ada", "Bo"])
    sent = journal.one()["response_format"]
    assert sent["type"] == "json_schema" and sent["json_schema"]["strict"] is True
    assert list(sent["json_schema"]["schema"]["properties"]) == ["name", "day", "people"]


def test_structured_output_streamed(client):
    with client.chat.completions.stream(model="chat", messages=said("An event"), response_format=Event) as stream:
        kinds = {event.type for event in stream}
        answer = stream.get_final_completion()
    assert "content.delta" in kinds and "content.done" in kinds
    assert answer.choices[0].message.parsed == Event(name="Science fair", day=12, people=["Ada", "Bo"])


def test_async(make_async):
    async def ask(number):
        answer = await client.chat.completions.create(model="chat", messages=said(f"greet {number}"))
        return answer.choices[0].message.content

    async def main():
        async with client:
            return await asyncio.gather(*(ask(n) for n in range(20)))

    client = make_async()
    assert asyncio.run(main()) == [GREETING] * 20


@pytest.mark.parametrize("model", ["keyless", "no-usage", "open/anything-at-all"])
def test_other_ways_to_a_provider(client, journal, model):
    answer = client.chat.completions.create(model=model, messages=said("hello"))
    assert answer.choices[0].message.content == "Understood."
    assert journal.one()["model"] == model.removeprefix("open/")


def conversation(words):
    return [{"role": "user" if i % 2 == 0 else "assistant", "content": f"{i} " + "päck " * words} for i in range(201)]


def test_a_long_conversation(client, journal):
    messages = conversation(30)
    client.chat.completions.create(model="acme/large-1", messages=messages)
    assert journal.one() == {"model": "acme/large-1", "messages": messages}


def test_a_large_conversation(client, journal):
    """The mock keeps no body of more than 64 KiB, only its size, which includes a few bytes of its own."""
    request = {"model": "acme/large-1", "messages": conversation(4000)}
    client.chat.completions.create(**request)
    size = len(json.dumps(request, ensure_ascii=False, separators=(",", ":")).encode())
    assert 0 <= journal.one()["originalByteSize"] - size < 100


def test_models(client):
    listed = {m.id: m for m in client.models.list()}
    assert {"chat", "acme/large-1", "sim", "route/thrifty", "stage/draft", "auto"} <= set(listed)
    assert listed["chat"].owned_by == "mock" and listed["chat"].object == "model"
    for name in ["acme/large-1", "chat", "route/thrifty", "auto"]:
        assert client.models.retrieve(name) == listed[name]


def test_models_of_a_narrow_key(client):
    narrow = client.with_options(api_key=NARROW_KEY)
    listed = {m.id for m in narrow.models.list()}
    assert "chat" in listed and not listed & {"acme/large-1", "sim"}


def test_json_of_the_wire_is_kept(client):
    """What the client's package does not model is there too."""
    raw = client.chat.completions.with_raw_response.create(model="chat", messages=said("greet"))
    assert json.loads(raw.text)["choices"][0]["message"]["refusal"] is None
    assert raw.headers["content-type"] == "application/json"
