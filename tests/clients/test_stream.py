"""Streams: content, usage, ends and breaks."""

import asyncio

import openai
import pytest

from conftest import eventually, said
from test_chat import GREETING

CUT = "simulate[fault=cut,at=3,per_token_ms=1]"


def text_of(chunks):
    return "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)


def test_content_concatenates(client, journal):
    chunks = list(client.chat.completions.create(model="chat", messages=said("greet"), stream=True))
    assert text_of(chunks) == GREETING
    assert len(chunks) > 5, "it came in pieces"
    assert {c.id for c in chunks} == {"chatcmpl-fixed"} and {c.object for c in chunks} == {"chat.completion.chunk"}
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"
    # The gateway asks for the usage; the client, who did not, never sees it.
    assert journal.one()["stream_options"] == {"include_usage": True}
    assert all(c.choices for c in chunks) and all(c.usage is None for c in chunks)


def test_usage_when_asked(client, journal):
    options = {"include_usage": True}
    stream = client.chat.completions.create(model="chat", messages=said("greet"), stream=True, stream_options=options)
    chunks = list(stream)
    assert text_of(chunks) == GREETING
    assert chunks[-1].choices == [] and all(c.usage is None for c in chunks[:-1])
    assert (chunks[-1].usage.prompt_tokens, chunks[-1].usage.completion_tokens) == (11, 7)
    assert journal.one()["stream_options"] == options


@pytest.mark.parametrize("options", [{"include_usage": False}, {"include_obfuscation": False}])
def test_other_stream_options(client, journal, options):
    chunks = list(
        client.chat.completions.create(model="chat", messages=said("greet"), stream=True, stream_options=options)
    )
    assert text_of(chunks) == GREETING and all(c.choices for c in chunks)
    assert journal.one()["stream_options"] == options | {"include_usage": True}


def test_a_provider_that_knows_no_stream_options_gets_none(client, journal):
    chunks = list(client.chat.completions.create(model="no-usage", messages=said("greet"), stream=True))
    assert text_of(chunks) == GREETING
    assert journal.one() == {"model": "no-usage", "messages": said("greet"), "stream": True}


def test_choices_of_a_stream(client):
    stream = client.chat.completions.create(model="sim", messages=said("simulate[tokens=8]"), n=2, stream=True)
    texts = {}
    for chunk in stream:
        for choice in chunk.choices:
            texts[choice.index] = texts.get(choice.index, "") + (choice.delta.content or "")
    assert sorted(texts) == [0, 1] and all(t.startswith("[simulated]") for t in texts.values())


def test_the_streaming_helper(client):
    with client.chat.completions.stream(model="chat", messages=said("greet")) as stream:
        kinds = [event.type for event in stream]
        answer = stream.get_final_completion()
    assert kinds[-1] == "content.done"
    assert answer.choices[0].message.content == GREETING


def test_async_streams_side_by_side(make_async):
    async def read(client, number):
        stream = await client.chat.completions.create(model="chat", messages=said(f"greet {number}"), stream=True)
        return text_of([chunk async for chunk in stream])

    async def main():
        async with make_async() as client:
            return await asyncio.gather(*(read(client, n) for n in range(10)))

    assert asyncio.run(main()) == [GREETING] * 10


def test_a_crowd_of_which_some_leave(client, make_async):
    """Nobody gets another's words, and every place is free in the end."""

    async def one(client, number):
        model = "chat" if number % 2 else "sim"
        prompt = said(f"greet simulate[per_token_ms=1,tokens={20 + number % 20}]")
        stream = await client.chat.completions.create(model=model, messages=prompt, stream=True)
        if number % 3 == 0:
            await anext(stream)
            await stream.close()
            return None
        return text_of([chunk async for chunk in stream])

    async def main():
        async with make_async() as client:
            return await asyncio.gather(*(one(client, n) for n in range(200)))

    for number, text in enumerate(asyncio.run(main())):
        if number % 3:
            assert text == GREETING if number % 2 else text.startswith("[simulated]")
    eventually(lambda: client.get("/../readyz", cast_to=object)["requests"]["running"] == 0)


@pytest.mark.parametrize(
    ("model", "prompt", "begins"),
    [("sim", CUT, "[simulated]"), ("truncating", "go on", "A long")],
    ids=["simulated", "by the mock"],
)
def test_a_cut_stream_is_an_error(client, model, prompt, begins):
    stream = client.chat.completions.create(model=model, messages=said(prompt), stream=True)
    chunks = []
    with pytest.raises(openai.APIError) as raised:
        for chunk in stream:
            chunks.append(chunk)
    assert text_of(chunks).startswith(begins), "what came before the cut is there"
    assert not any(c.choices[0].finish_reason for c in chunks)
    assert raised.value.code == "upstream_error" and "broke off" in raised.value.message


def test_a_cut_async_stream_is_an_error(make_async):
    async def main():
        async with make_async() as client:
            stream = await client.chat.completions.create(model="sim", messages=said(CUT), stream=True)
            return [chunk async for chunk in stream]

    with pytest.raises(openai.APIError, match="broke off"):
        asyncio.run(main())


def test_a_stream_that_is_left_frees_its_place(client):
    def running():
        return client.get("/../readyz", cast_to=object)["requests"]["running"]
    prompt = "simulate[per_token_ms=50,tokens=100000]"
    stream = client.chat.completions.create(model="sim", messages=said(prompt), stream=True)
    next(stream)
    eventually(lambda: running() == 1)
    stream.close()
    eventually(lambda: running() == 0)
