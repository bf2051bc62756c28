"""What the gateway adds: hints in, headers out, another provider where the first fails."""

import openai
import pytest

from conftest import CLIENT_KEY, NARROW_KEY, said


def headers(client, model, **request):
    request = {"messages": said("hello")} | request
    raw = client.chat.completions.with_raw_response.create(model=model, **request)
    assert raw.parse() is not None
    return raw.headers


def test_headers_of_a_whole_answer(client):
    found = headers(client, "chat")
    assert found["x-waypost-model"] == "chat" and found["x-waypost-provider"] == "mock"
    assert found["x-waypost-level"] == "pin" and found["x-waypost-attempts"] == "1"
    assert found["x-waypost-reason"] and found["x-waypost-strategy"]
    assert len(found["x-waypost-request-id"]) == 32
    # 20 tokens at 1 and 5 at 2 dollars a million.
    assert float(found["x-waypost-cost-usd"]) == pytest.approx(30e-6, abs=1e-12)
    assert "x-waypost-degraded" not in found and "x-waypost-simulated" not in found


def test_headers_of_a_stream(client):
    with client.chat.completions.with_streaming_response.create(
        model="chat", messages=said("greet"), stream=True
    ) as raw:
        assert raw.headers["content-type"].startswith("text/event-stream")
        assert raw.headers["x-waypost-model"] == "chat" and raw.headers["x-waypost-attempts"] == "1"
        lines = [line for line in raw.iter_lines() if line]
    assert lines[-1] == "data: [DONE]" and all(line.startswith("data: ") for line in lines)


def test_requests_have_ids_of_their_own(client):
    assert len({headers(client, "chat")["x-waypost-request-id"] for _ in range(5)}) == 5


def test_a_simulated_answer_says_so(client):
    found = headers(client, "sim")
    assert found["x-waypost-simulated"] == "true" and found["x-waypost-provider"] == "simulation"


REVIEW = {"extra_body": {"waypost": {"stage": "review"}}}


@pytest.mark.parametrize(
    ("model", "request_", "answered_by", "level"),
    [
        ("acme/large-1", {}, "acme/large-1", "pin"),
        ("mock/chat", {}, "chat", "pin"),
        ("route/thrifty", {}, "chat", "route"),
        ("thrifty", {}, "chat", "route"),
        ("stage/review", {}, "acme/large-1", "stage"),
        ("review", {}, "acme/large-1", "stage"),
        ("auto", REVIEW, "acme/large-1", "stage"),
        ("auto", {"extra_headers": {"x-waypost-stage": "review"}}, "acme/large-1", "stage"),
        ("auto", {"extra_headers": {"x-waypost-stage": "draft"}} | REVIEW, "acme/large-1", "stage"),
        ("auto", {"extra_body": {"waypost": {"tags": {"colour": "green"}}}}, "acme/large-1", "route"),
        ("auto", {"extra_headers": {"x-waypost-tags": "colour=green"}}, "acme/large-1", "route"),
        ("auto", {"extra_body": {"waypost": {"hints": {"min_quality": 0.9}}}}, "acme/large-1", "auto"),
        ("auto", {"extra_headers": {"x-waypost-min-quality": "0.9"}}, "acme/large-1", "auto"),
    ],
    ids=str,
)
def test_who_answers(client, journal, model, request_, answered_by, level):
    found = headers(client, model, **request_)
    assert (found["x-waypost-model"], found["x-waypost-level"]) == (answered_by, level)
    sent = journal.one()
    assert sent == {"model": {"chat": "upstream-chat"}.get(answered_by, answered_by), "messages": said("hello")}


def test_a_tag_of_the_key_cannot_be_overridden(client):
    """The key says `team: green`; what the request says of `team` is not heard."""
    tags = {"extra_body": {"waypost": {"tags": {"team": "red"}, "hints": {"min_quality": 0.9}}}}
    assert headers(client, "auto", **tags)["x-waypost-level"] == "auto"


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("first", ["dead", "broken", "garbling", "hanging-up", "late"])
def test_another_provider_answers(client, journal, first, stream):
    """The first is a closed port, answers 500, no JSON, nothing at all, or too late."""
    raw = client.chat.completions.with_raw_response.create(
        model=f"route/after-{first}", messages=said("hello"), stream=stream
    )
    answer = raw.parse()
    if stream:
        text = "".join(c.choices[0].delta.content or "" for c in answer)
    else:
        text = answer.choices[0].message.content
    assert text == "Understood."
    assert (raw.headers["x-waypost-model"], raw.headers["x-waypost-attempts"]) == ("chat", "2")
    assert raw.headers["x-waypost-level"] == "route", "a fallback attempt does not change who proposed"
    assert "x-waypost-degraded" not in raw.headers
    # What never reached the mock, and what it dropped after the gateway had hung up, it does not list.
    tried = [] if first in ("dead", "late") else [first]
    assert [entry["body"]["model"] for entry in journal.all()] == [*tried, "upstream-chat"]


@pytest.mark.parametrize(("first", "stream"), [("exhausted-1", False), ("exhausted-2", True)])
def test_a_rate_limit_is_remembered(client, journal, first, stream):
    """A 429 moves on at once; the next requests do not even ask there until its time has come."""
    for attempts in ["2", "1", "1"]:
        raw = client.chat.completions.with_raw_response.create(
            model=f"route/after-{first}", messages=said("hello"), stream=stream
        )
        raw.parse()
        assert (raw.headers["x-waypost-model"], raw.headers["x-waypost-attempts"]) == ("chat", attempts)
    assert [entry["body"]["model"] for entry in journal.all()] == [first, *["upstream-chat"] * 3]


@pytest.mark.parametrize("model", ["dead", "garbling", "hanging-up"])
def test_a_pin_never_falls_back(client, journal, model):
    with pytest.raises(openai.APIStatusError):
        client.chat.completions.create(model=model, messages=said("hello"))
    assert {entry["body"]["model"] for entry in journal.all()} <= {model}


def test_the_last_resort_is_marked(client):
    found = headers(client, "route/last-resort")
    assert (found["x-waypost-model"], found["x-waypost-degraded"]) == ("chat", "true")


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504, 529])
def test_a_passing_failure_is_repeated(client, journal, status, stream):
    """One failure, one endpoint: the client, who never retries here, gets its answer."""
    journal.fail_next(status)
    raw = client.chat.completions.with_raw_response.create(model="chat", messages=said("hello"), stream=stream)
    assert raw.headers["x-waypost-attempts"] == "2" and raw.headers["x-waypost-model"] == "chat"
    assert [entry["response"]["status"] for entry in journal.all()] == [status, 200]


@pytest.mark.parametrize("status", [400, 413, 422])
def test_the_clients_mistake_is_not_repeated(client, journal, status):
    journal.fail_next(status)
    with pytest.raises(openai.APIStatusError) as raised:
        client.chat.completions.create(model="route/thrifty", messages=said("hello"))
    assert raised.value.status_code == status and "The mock was told to fail" in raised.value.message
    assert len(journal.all()) == 1


@pytest.mark.parametrize("status", [401, 403, 404])
def test_the_operators_mistake_moves_on(client, journal, status):
    journal.fail_next(status)
    raw = client.chat.completions.with_raw_response.create(model="route/thrifty", messages=said("hello"))
    assert (raw.headers["x-waypost-model"], raw.headers["x-waypost-attempts"]) == ("acme/large-1", "2")
    assert len(journal.all()) == 2


def test_a_stream_that_failed_before_its_first_word_is_no_stream(client):
    """An in-band error in the preamble: the client gets a status, not a stream."""
    prompt = said("simulate[fault=in_band_error,model=sim]")
    with pytest.raises(openai.APIStatusError) as raised:
        list(client.chat.completions.create(model="sim", messages=prompt, stream=True))
    assert raised.value.status_code == 502


SECRETS = {"x-api-key": NARROW_KEY, "cookie": f"session={CLIENT_KEY}", "openai-organization": "org-secret-77"}


def test_nothing_of_the_client_reaches_the_provider(client, journal):
    extra = SECRETS | {"x-waypost-tags": "colour=blue", "x-custom": "private-99"}
    body = {"waypost": {"session": "session-secret-13", "tags": {"a": "tag-secret-14"}}}
    client.chat.completions.create(model="chat", messages=said("hello"), extra_headers=extra, extra_body=body)
    [entry] = journal.all()
    sent, seen = entry["headers"], str(entry)
    for secret in [CLIENT_KEY, NARROW_KEY, "org-secret-77", "private-99", "session-secret-13", "tag-secret-14"]:
        assert secret not in seen
    assert "waypost" not in entry["body"] and not any(name.startswith("x-waypost") for name in sent)
    assert sent["user-agent"].startswith("waypost/") and not any(name.startswith("x-stainless") for name in sent)
    assert sent["x-cost-centre"] == "42" and sent["content-type"] == "application/json"
    # The mock shows that a credential came, not which; it let the request pass, so that it was the operator's.
    assert sent["authorization"] == "[REDACTED]" and "x-api-key" not in sent


def test_no_credential_of_the_client_stands_in_for_a_missing_one(client, journal):
    """The provider without `api_key`: the mock would answer 401 to any credential beside the operator's header."""
    client.chat.completions.create(model="keyless", messages=said("hello"))
    [entry] = journal.all()
    assert "authorization" not in entry["headers"] and entry["headers"]["x-api-key"] == "[REDACTED]"


def test_explain_says_what_the_call_does(client, journal):
    request = {"model": "route/thrifty", "messages": said("hello")}
    explained = client.post("/route", body=request, cast_to=object)
    assert explained["level"] == "route" and explained["route"] == "thrifty"
    assert [c["model"] for c in explained["candidates"]] == ["chat", "acme/large-1"]
    assert journal.all() == [], "no model was called"
    assert headers(client, "route/thrifty")["x-waypost-model"] == explained["candidates"][0]["model"]
