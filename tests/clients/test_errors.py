"""Errors: the exception class that each becomes, its code and its headers."""

import openai
import pytest

from conftest import CLIENT_KEY, NARROW_KEY, eventually, said

TALL = [{"role": "user", "content": "word " * 3000}]
PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}


def failing(client, expected, **request):
    with pytest.raises(openai.APIStatusError) as raised:
        client.chat.completions.create(**({"model": "chat", "messages": said("hello")} | request))
    assert type(raised.value) is expected, raised.value
    assert len(raised.value.response.headers["x-waypost-request-id"]) == 32
    return raised.value


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("key", ["wrong", CLIENT_KEY + "x", CLIENT_KEY[:-1], CLIENT_KEY.upper()])
def test_a_wrong_key(client, journal, key, stream):
    error = failing(client.with_options(api_key=key), openai.AuthenticationError, stream=stream)
    assert (error.status_code, error.code) == (401, "invalid_api_key")
    assert key not in error.message
    assert journal.all() == [], "nothing reached the provider"


def test_a_wrong_key_lists_no_models(client):
    with pytest.raises(openai.AuthenticationError):
        client.with_options(api_key="wrong").models.list()


def test_a_model_that_the_key_may_not_use(client, journal):
    narrow = client.with_options(api_key=NARROW_KEY)
    error = failing(narrow, openai.PermissionDeniedError, model="acme/large-1")
    assert (error.status_code, error.code) == (403, "not_allowed")
    assert journal.all() == []
    assert narrow.chat.completions.create(model="chat", messages=said("hello")).choices


@pytest.mark.parametrize("model", ["chatt", "route/none", "stage/none", "mock/unlisted", "acme/large-2", ""])
def test_an_unknown_model(client, journal, model):
    error = failing(client, openai.NotFoundError, model=model)
    assert (error.status_code, error.code, error.param) == (404, "model_not_found", "model")
    assert journal.all() == []


def test_an_unknown_model_gets_a_suggestion(client):
    assert "chat" in failing(client, openai.NotFoundError, model="chatt").message.replace("chatt", "")


@pytest.mark.parametrize("name", ["absent", "acme/large", "acme"])
def test_a_model_that_cannot_be_retrieved(client, name):
    with pytest.raises(openai.NotFoundError) as raised:
        client.models.retrieve(name)
    assert raised.value.code == "model_not_found"


@pytest.mark.parametrize(
    "request_",
    [
        {"messages": []},
        {"messages": "hello"},
        {"messages": said("x"), "extra_body": {"stream": "yes"}},
        {"messages": said("x"), "extra_body": {"waypost": "fast"}},
        {"messages": said("x"), "extra_body": {"waypost": {"hints": {"min_quality": 7}}}},
        {"messages": said("x"), "extra_headers": {"x-waypost-max-cost-usd": "cheap"}},
    ],
    ids=["no messages", "text for messages", "stream", "waypost", "a hint", "a header"],
)
def test_a_malformed_request(client, journal, request_):
    error = failing(client, openai.BadRequestError, **request_)
    assert error.code == "invalid_request" and error.type == "invalid_request_error"
    assert journal.all() == []


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        ({"messages": TALL}, "context_length_exceeded"),
        ({"messages": [{"role": "user", "content": [PICTURE]}]}, "constraint_violated"),
        ({"messages": said("x"), "extra_body": {"waypost": {"hints": {"min_quality": 0.99}}}, "model": "chat"},
         "constraint_violated"),
    ],
    ids=["too long", "no eyes", "too low"],
)
def test_a_pin_that_breaks_a_constraint(client, journal, request_, code):
    assert failing(client, openai.BadRequestError, **({"model": "blind"} | request_)).code == code
    assert journal.all() == []


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_a_mistake_that_the_provider_finds(client, stream):
    error = failing(client, openai.BadRequestError, model="picky", stream=stream)
    assert "temperature must be at most 2" in error.message
    assert (error.param, error.code) == ("temperature", "invalid_value"), "the provider's own words"


def test_an_overflow_that_the_provider_finds(client):
    error = failing(client, openai.BadRequestError, model="overflowing")
    assert error.code == "context_length_exceeded" and "8192" in error.message


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_a_rate_limit_of_the_provider(client, journal, stream):
    error = failing(client, openai.RateLimitError, model="limited", stream=stream)
    assert error.code == "rate_limit_exceeded" and "Slow down, please" in error.message
    assert 1 <= int(error.response.headers["retry-after"]) <= 31
    assert len(journal.all()) == 1, "31 s are too long to wait for"


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_every_candidate_fails(client, stream):
    error = failing(client, openai.InternalServerError, model="route/hopeless", stream=stream)
    assert (error.status_code, error.code) == (502, "upstream_error")
    assert "The mock fell over" in error.message and "dead" in error.message, "each attempt with its reason"
    assert int(error.response.headers["x-waypost-attempts"]) >= 2


def test_a_provider_that_refuses_the_gateway(client):
    """The operator's key is wrong: that is no failure of the client's key."""
    error = failing(client, openai.InternalServerError, model="refused")
    assert (error.status_code, error.code) == (502, "upstream_error")
    assert "not-the-mocks-key" not in str(error.body)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_a_deadline_of_the_caller(client, stream):
    request = {"model": "sim", "messages": said("simulate[fault=stall]"), "stream": stream}
    error = failing(client, openai.InternalServerError, extra_headers={"x-waypost-deadline-ms": "200"}, **request)
    assert (error.status_code, error.code) == (504, "deadline_exceeded")


def test_a_deadline_in_the_middle_of_a_stream(client):
    prompt = said("simulate[fault=stall,at=4]")
    hints = {"waypost": {"deadline_ms": 1500}}
    stream = client.chat.completions.create(model="sim", messages=prompt, stream=True, extra_body=hints)
    with pytest.raises(openai.APIError) as raised:
        for chunk in stream:
            assert not chunk.choices[0].finish_reason
    assert raised.value.code == "deadline_exceeded"


def test_silence_in_the_middle_of_a_stream(client):
    """The gateway's own limit between two chunks."""
    prompt = said("simulate[fault=stall,at=4]")
    stream = client.chat.completions.create(model="pausing", messages=prompt, stream=True)
    with pytest.raises(openai.APIError, match="nothing came from the provider") as raised:
        for chunk in stream:
            assert not chunk.choices[0].finish_reason
    assert raised.value.code == "upstream_error"


# The mock delays streams only.
PATIENCE_CASES = [("sim", "simulate[fault=stall,at=0]", stream) for stream in (False, True)] + [("stalling", "x", True)]


@pytest.mark.parametrize(("model", "prompt", "stream"), PATIENCE_CASES)
def test_a_client_that_loses_patience(client, model, prompt, stream):
    with pytest.raises(openai.APITimeoutError):
        client.chat.completions.create(model=model, messages=said(prompt), stream=stream, timeout=0.3)
    # Its place is free again: the gateway noticed.
    eventually(lambda: client.get("/../readyz", cast_to=object)["requests"]["running"] == 0)


@pytest.mark.parametrize(
    ("model", "expected", "requests"), [("picky", openai.BadRequestError, 1), ("dead", openai.InternalServerError, 2)]
)
def test_the_clients_own_retries(base_url, model, expected, requests):
    """What the package repeats by itself: a 502, not what was the client's mistake."""
    ids = set()
    hooks = {"response": [lambda reply: ids.add(reply.headers["x-waypost-request-id"])]}
    http = openai.DefaultHttpxClient(event_hooks=hooks)
    with openai.OpenAI(base_url=base_url, api_key=CLIENT_KEY, max_retries=1, http_client=http) as client:
        failing(client, expected, model=model)
    assert len(ids) == requests


@pytest.mark.parametrize(
    ("key", "status", "code"), [(CLIENT_KEY, 413, "request_too_large"), ("wrong", 401, "invalid_api_key")]
)
def test_a_huge_body_sees_its_refusal(client, journal, key, status, code):
    """Refused before all of it was sent, or read at all: the client, still sending, must not see a broken pipe."""
    huge = said("x" * (33 << 20))
    with pytest.raises(openai.APIStatusError) as raised:
        client.with_options(api_key=key).chat.completions.create(model="chat", messages=huge)
    assert (raised.value.status_code, raised.value.code) == (status, code)
    assert journal.all() == []


def test_a_path_that_does_not_exist(client):
    with pytest.raises(openai.NotFoundError):
        client.moderations.create(input="hello")
