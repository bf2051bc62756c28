"""What one client or one provider alone has: embeddings, token counts, and what cannot be said in another dialect."""

import base64
import struct

import anthropic
import langchain_openai
import openai
import pytest

from cases import CASES
from clients import Anthropic, OpenAiChat, OpenAiResponses
from conftest import CLIENT_KEY, said
from wire import TOKENS

VECTOR = [0.5, -0.25, 0.0078125, 1.0]  # as 32-bit floats without loss
EMBEDDERS = pytest.mark.parametrize("upstream", ["openai", "gemini"])
UPSTREAMS = ["openai", "responses", "anthropic", "gemini", "bedrock"]
SIMPLE = [OpenAiChat, OpenAiResponses, Anthropic]
URL = "https://example.com/cat.png"


def inputs(seen):
    """The texts and the dimensions that a provider was given."""
    if seen.place == "openai":
        given = seen.body["input"]
        return ([given] if isinstance(given, str) else given), seen.body.get("dimensions")
    parts = [part["text"] for one in seen.body["requests"] for part in one["content"]["parts"]]
    [dimensions] = {one.get("outputDimensionality") for one in seen.body["requests"]}
    return parts, dimensions


@EMBEDDERS
@pytest.mark.parametrize("more", [{}, {"encoding_format": "float"}, {"encoding_format": "base64"}], ids=str)
@pytest.mark.parametrize("given", ["embed", ["embed this", "embed that: äöü"]], ids=["one", "two"])
def test_embeddings(client, wire, upstream, more, given):
    answer = client.embeddings.create(model=f"embed-{upstream}", input=given, dimensions=256, **more)
    texts = [given] if isinstance(given, str) else given
    floats = [unpacked(e.embedding) if isinstance(e.embedding, str) else e.embedding for e in answer.data]
    assert floats == [VECTOR] * len(texts) and [e.index for e in answer.data] == list(range(len(texts)))
    [seen] = wire.all(upstream)
    assert inputs(seen) == (texts, 256)


def unpacked(text):
    data = base64.b64decode(text)
    return list(struct.unpack(f"<{len(data) // 4}f", data))


def test_embeddings_in_base64(client):
    """As the wire has them: the provider gave numbers."""
    more = {"input": "embed", "encoding_format": "base64"}
    raw = client.embeddings.with_raw_response.create(model="embed-gemini", **more)
    [row] = raw.http_response.json()["data"]
    assert unpacked(row["embedding"]) == VECTOR


@EMBEDDERS
def test_embeddings_of_langchain(base_url, wire, upstream):
    common = {"base_url": base_url, "api_key": CLIENT_KEY, "max_retries": 0}
    embed = langchain_openai.OpenAIEmbeddings(model=f"embed-{upstream}", check_embedding_ctx_length=False, **common)
    assert embed.embed_documents(["embed a", "embed b"]) == [VECTOR, VECTOR]
    [seen] = wire.all(upstream)
    assert inputs(seen) == (["embed a", "embed b"], None)


@pytest.mark.parametrize("upstream", UPSTREAMS)
def test_a_count_of_tokens(gateway, wire, upstream):
    """Anthropic's own where it is the provider; the gateway's elsewhere."""
    client, case = Anthropic(gateway.url), CASES["image" if upstream == "anthropic" else "conversation"]
    tools = [{"name": "clock", "input_schema": {"type": "object"}}]
    request = {"messages": client.history(case), "system": "Be brief.", "tools": tools}
    counted = client.api.messages.count_tokens(model=f"via-{upstream}", **request).input_tokens
    if upstream == "anthropic":
        [seen] = wire.all("anthropic")
        assert counted == TOKENS and seen.path.startswith("/v1/messages/count_tokens")
        assert seen.body == {"model": "claude-sonnet-4-5", **request}
    else:
        assert 10 < counted < 200
        assert wire.all() == []


@pytest.mark.parametrize("kind", SIMPLE, ids=lambda kind: kind.name)
@pytest.mark.parametrize("upstream", UPSTREAMS)
def test_a_result_without_its_call(gateway, wire, kind, upstream):
    """No provider takes it; where bytes pass, the provider says so itself."""
    client, case = kind(gateway.url), CASES["one call"]
    if client.dialect == upstream:
        return
    messages = [*client.history(case), *client.results({"call_nobody": "4 °C"})]
    with pytest.raises((openai.BadRequestError, anthropic.BadRequestError), match="call_nobody"):
        client.send(f"via-{upstream}", case, messages, False)
    assert wire.all() == []


@pytest.mark.parametrize("upstream", UPSTREAMS)
def test_an_image_by_its_address(client, wire, upstream):
    parts = [{"type": "text", "text": "what is in the picture"}, {"type": "image_url", "image_url": {"url": URL}}]
    request = {"model": f"via-{upstream}", "messages": [{"role": "user", "content": parts}]}
    if upstream == "bedrock":
        # It fetches nothing.
        with pytest.raises(openai.BadRequestError, match="inline"):
            client.chat.completions.create(**request)
        assert wire.all() == []
    else:
        client.chat.completions.create(**request)
        [seen] = wire.all(upstream)
        assert URL in str(seen.body)


def test_what_is_dropped_is_named(client, wire):
    more = {"logit_bias": {"50256": -100}, "seed": 7, "messages": said("greet")}
    raw = client.chat.completions.with_raw_response.create(model="via-anthropic", **more)
    assert set(raw.headers["x-waypost-dropped"].replace(" ", "").split(",")) == {"logit_bias", "seed"}
    [seen] = wire.all("anthropic")
    assert not {"logit_bias", "seed"} & set(seen.body)


def test_a_strict_route_drops_nothing(client, wire):
    more = {"logit_bias": {"50256": -100}, "messages": said("greet")}
    with pytest.raises(openai.BadRequestError, match="logit_bias"):
        client.chat.completions.create(model="route/strict", **more)
    assert wire.all() == []
    assert client.chat.completions.create(model="route/strict", messages=said("greet")).choices


def test_a_response_that_nobody_keeps(client, wire):
    with pytest.raises(openai.BadRequestError, match="previous_response_id"):
        client.responses.create(model="via-anthropic", input="greet", previous_response_id="resp_1")
    assert wire.all() == []


@pytest.mark.parametrize(
    ("version", "credential"),
    [("2023-06-01", {"x-api-key": CLIENT_KEY}), ("2026-10-21", {"authorization": f"Bearer {CLIENT_KEY}"})],
)
@pytest.mark.parametrize("upstream", ["anthropic", "openai"])
def test_versions_of_anthropics_api(gateway, wire, upstream, version, credential):
    """Each with the credential where its clients put it; the provider gets the operator's."""
    kept = {"x-api-key", "authorization"} - credential.keys()
    headers = {"anthropic-version": version, **credential, **{name: anthropic.Omit() for name in kept}}
    client = Anthropic(gateway.url).api
    request = {"model": f"via-{upstream}", "max_tokens": 64, "messages": said("greet")}
    assert client.messages.create(**request, extra_headers=headers).content[0].text.startswith("Grüße")
    [seen] = wire.all(upstream)
    assert CLIENT_KEY not in str(seen.headers)
    if upstream == "anthropic":
        assert seen.headers["anthropic-version"] == version


@pytest.mark.parametrize("upstream", UPSTREAMS)
def test_nothing_of_the_client_crosses(client, wire, upstream):
    """Its credentials, and what is meant for the gateway, stay here whatever the provider."""
    secrets = {"x-api-key": "other-key-31", "cookie": "session-32", "openai-organization": "org-33", "x-custom": "c-34"}
    more = {"extra_headers": secrets, "extra_body": {"waypost": {"tags": {"a": "tag-35"}}}}
    client.with_options(api_key=CLIENT_KEY).chat.completions.create(
        model=f"via-{upstream}", messages=said("greet"), **more
    )
    [seen] = wire.all(upstream)
    for secret in [CLIENT_KEY, *secrets.values(), "tag-35"]:
        assert secret not in f"{seen.path} {seen.headers} {seen.body}"
    assert "waypost" not in str(seen.body)
