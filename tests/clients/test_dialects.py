"""Every client, through the gateway, to a provider of every dialect: the meaning of a conversation comes through."""

import json

import pytest

import shapes
from cases import CASES, FAILURES, PIXEL, SIGNATURE
from clients import NODE, PYTHON
from conftest import CLIENT_KEY
from reading import said

UPSTREAMS = ["openai", "responses", "anthropic", "gemini", "bedrock"]
CLIENTS = {kind.name: kind for kind in PYTHON + NODE}
BARE = ["openai-chat", "openai-responses", "anthropic"]
WHOLE_OR_STREAM = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])

# What of the mock's answers its own dialect would not say, so that a client that gets them as they are misreads them.
MISSPOKEN = {
    ("langchain-anthropic", "anthropic", "conversation"): "a stream whose last usage leaves out the input",
    ("ai-sdk-responses", "responses", "cap"): "an incomplete answer without `incomplete_details`",
}
# The beginning of what the mock encrypts.
BLOB = "YWltb2NrLWVuY3J5cHRlZC1yZWFzb25pbmc6"


@pytest.fixture(scope="session")
def make(gateway, node):
    """Makes a client by its name."""

    def make(name, **more):
        process = {"process": node} if CLIENTS[name] in NODE else {}
        return CLIENTS[name](gateway.url, **process, **more)

    return make


@pytest.fixture(scope="session")
def clients(make):
    return {name: make(name) for name in CLIENTS}


def matrix():
    for client in CLIENTS:
        for upstream in UPSTREAMS:
            for case in CASES:
                if (client, upstream, case) not in MISSPOKEN:
                    yield client, upstream, case
    for upstream in ["azure", "azure-v1", "vertex", "bedrock-key"]:
        for client in BARE:
            # Azure's `v1` API has Responses too, and the client's dialect goes first.
            if (client, upstream) != ("openai-responses", "azure-v1"):
                for case in ["conversation", "parallel results", "image"]:
                    yield client, upstream, case


@WHOLE_OR_STREAM
@pytest.mark.parametrize(("client", "upstream", "name"), list(matrix()))
def test_meaning(clients, wire, client, upstream, name, stream):
    client, case = clients[client], CASES[name]
    answers = client.ask(f"via-{upstream}", case, stream)
    assert isinstance(answers, list), answers
    place = {"bedrock-key": "bedrock", "azure-v1": "azure"}.get(upstream, upstream)
    requests = wire.all(*[place] * len(case["want"]))
    for got, want in zip(answers, case["want"], strict=True):
        same_answer(got, want, client, place, stream)
    dialect = {"azure": "openai", "vertex": "gemini"}.get(place, place)
    for number, seen in enumerate(requests):
        if dialect != client.dialect:
            shapes.check(seen)
        same_request(said(seen), case, number)
    if case.get("think") and client.dialect != "openai":
        assert said(requests[0]).shows, "clients of these APIs see thoughts"
    if case.get("think") and len(requests) == 2:
        same_thoughts(said(requests[1]), client, place)


def same_answer(got, want, client, place, stream):
    assert (got["text"], got["calls"], got["finish"]) == (want["text"], want["calls"], want["finish"])
    if "usage" in want:
        assert got["usage"] == want["usage"]
    if client.shows_reasoning:
        assert got["reasoning"] == want.get("reasoning", "")
    # LangChain parses JSON when it has all of it; Gemini's calls come whole.
    if stream and got["pieces"] is not None:
        whole = place in ("gemini", "vertex") and want["calls"]
        assert got["pieces"] >= (1 if whole else want.get("pieces", 1)), "it came in pieces"


def same_request(sent, case, number):
    assert sent.system == case.get("system", "")
    assert sent.turns == case["turns"]
    assert sent.images == ([["image/png", PIXEL]] if "image" in case else [])
    if "cap" in case:
        assert sent.cap == case["cap"]
    if "tools" in case:
        assert list(sent.tools) == [tool["name"] for tool in case["tools"]]
        for tool in case["tools"]:
            same_schema(sent.tools[tool["name"]], tool["parameters"])
        assert (sent.choice or "auto") == case.get("choice", "auto")
    if "schema" in case:
        # Where the API has no schema for answers, a tool is forced; the AI SDK itself does so with Anthropic's.
        assert sent.schema or (len(sent.tools) == 1 and sent.choice in ("required", *sent.tools))
        same_schema(sent.schema or next(iter(sent.tools.values())), case["schema"])
    if number == 0:
        assert sent.thinks == case.get("think", False)
        assert sent.calls == [] and sent.results == []
    else:
        calls = [[i, name, json.loads(arguments)] for i, name, arguments in case["want"][0]["calls"]]
        assert [with_id(c, i) for c, i in zip(sent.calls, calls, strict=True)] == calls
        results = [[i, parsed(text)] for i, text in case["results"].items()]
        given = [[i, parsed(text)] for i, text in sent.results]
        assert [with_id(r, i) for r, i in zip(given, results, strict=True)] == results


def same_schema(sent, schema):
    """Gemini has a dialect of its own for schemas; names and their order hold in it too."""
    assert list(sent["properties"]) == list(schema["properties"])
    assert sent.get("required", []) == schema.get("required", [])


def with_id(given, expected):
    """Gemini goes by the order where there are no ids."""
    return [given[0] or expected[0], *given[1:]]


def parsed(text):
    try:
        return json.loads(text)
    except ValueError:
        return text


def same_thoughts(sent, client, place):
    """A signature finds the way back to who signed, through a client that knows nothing of it."""
    if place == "anthropic" and client.keeps_signatures:
        assert sent.thoughts == [["Which city?", SIGNATURE]]
    elif place == "responses" and client.keeps_signatures:
        [[text, blob]] = sent.thoughts
        # OpenAI's package cannot join what it does not know; all is in the blob.
        assert text == "Which city?" or (client.dialect == "openai" and text == "")
        assert blob.startswith(BLOB)
    if place in ("anthropic", "responses", "bedrock"):
        assert all(signature for _, signature in sent.thoughts), "unsigned thoughts are refused"
    assert "Which city?" not in str(sent.turns), "thoughts are no text"


CLASSES = {
    400: "BadRequestError",
    401: "AuthenticationError",
    404: "NotFoundError",
    429: "RateLimitError",
    502: "InternalServerError",
}
ANTHROPIC_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    404: "not_found_error",
    429: "rate_limit_error",
    502: "api_error",
}


def failed(got, client, status):
    """The failure, as the client's own class of exception."""
    assert isinstance(got, dict), got
    assert got["status"] == status, got
    assert ("AI_APICallError" if client.name.startswith("ai-sdk") else CLASSES[status]) in got["classes"]
    if client.dialect == "anthropic":
        assert got["type"] == ANTHROPIC_TYPES[status]
    return got


def failures():
    for client in CLIENTS:
        for upstream in UPSTREAMS:
            # A 500 is repeated, which takes a while.
            for status in FAILURES if client in BARE else [400, 401, 429]:
                yield client, upstream, status


@WHOLE_OR_STREAM
@pytest.mark.parametrize(("client", "upstream", "status"), list(failures()))
def test_a_failure_of_the_provider(clients, wire, client, upstream, status, stream):
    client, (expected, words) = clients[client], FAILURES[status]
    got = failed(client.ask(f"up-{upstream}/status-{status}", CASES["conversation"], stream), client, expected)
    assert words in got["message"]
    if status == 429:
        assert 1 <= int(got["retry_after"]) <= 31
    if status != 500:
        wire.all(upstream)


@pytest.mark.parametrize("client", CLIENTS)
def test_a_failure_of_the_client(clients, make, wire, client):
    wrong = make(client, key="wrong")
    failed(wrong.ask("via-openai", CASES["conversation"], False), wrong, 401)
    got = failed(clients[client].ask("absent", CASES["conversation"], True), clients[client], 404)
    assert "absent" in got["message"]
    wire.all()
    assert wire.requests == []


@pytest.mark.parametrize("upstream", UPSTREAMS)
@pytest.mark.parametrize("client", CLIENTS)
def test_a_stream_that_breaks_off(clients, client, upstream):
    got = clients[client].ask(f"up-{upstream}/cut-late", CASES["conversation"], True)
    assert isinstance(got, dict), got
    assert "broke off" in got["message"]


DOWN = ["openai anthropic", "anthropic gemini", "gemini bedrock", "bedrock responses", "responses openai"]
CUT = ["openai responses", "responses bedrock", "bedrock gemini", "gemini anthropic", "anthropic openai"]


FALLBACKS = [("down", p, s) for p in DOWN for s in (False, True)] + [("cut", p, True) for p in CUT]


@pytest.mark.parametrize(("how", "pair", "stream"), FALLBACKS)
@pytest.mark.parametrize("client", CLIENTS)
def test_another_dialect_answers(clients, wire, client, how, pair, stream):
    """The first answers 500, or its stream breaks off in the preamble; the client sees the second's answer only."""
    client, (first, second), case = clients[client], pair.split(), CASES["parallel calls"]
    answers = client.ask(f"route/{how}-{first}-then-{second}", case, stream)
    assert isinstance(answers, list), answers
    same_answer(answers[0], case["want"][0], client, second, stream)
    for seen in wire.all(first, second):
        if seen.place != client.dialect:
            shapes.check(seen)
        same_request(said(seen), case, 0)
