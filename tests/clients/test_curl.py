"""The wire as `curl` sees it."""

import json
import subprocess

import pytest

from conftest import CLIENT_KEY, PATIENCE, said

BEARER = f"authorization: Bearer {CLIENT_KEY}"
JSON = "content-type: application/json"


def curl(url, *arguments, body=None):
    """Status, headers (lower case) and body."""
    command = ["curl", "--silent", "--show-error", "--include", "--noproxy", "*", "--max-time", str(PATIENCE)]
    data = ["--data-binary", "@-"] if body is not None else []
    done = subprocess.run([*command, *data, *arguments, url], input=body, capture_output=True, timeout=2 * PATIENCE)
    assert done.returncode == 0, done.stderr.decode()
    rest = done.stdout.replace(b"HTTP/1.1 100 Continue\r\n\r\n", b"", 1)
    head, _, body = rest.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines)
    return int(first.split()[1]), headers, body


def ask(base_url, request, *arguments, headers=(BEARER, JSON)):
    body = request if isinstance(request, bytes) else json.dumps(request).encode()
    flags = [part for header in headers for part in ("-H", header)]
    return curl(f"{base_url}/chat/completions", *flags, *arguments, body=body)


def events(body):
    """The data of each event of a stream that holds nothing else."""
    *blocks, tail = body.decode().split("\n\n")
    assert tail == "" and all(block.startswith("data: ") and "\n" not in block for block in blocks)
    return [block.removeprefix("data: ") for block in blocks]


@pytest.mark.parametrize("http", ["--http1.1", "--http1.0"])
def test_plain(base_url, http):
    status, headers, body = ask(base_url, {"model": "chat", "messages": said("hello")}, http)
    assert status == 200 and headers["content-type"] == "application/json"
    assert headers["x-waypost-model"] == "chat" and headers["content-length"] == str(len(body))
    assert json.loads(body)["choices"][0]["message"]["content"] == "Understood."


@pytest.mark.parametrize("http", ["--http1.1", "--http1.0"])
def test_streamed(base_url, http):
    request = {"model": "chat", "messages": said("greet"), "stream": True}
    status, headers, body = ask(base_url, request, "-N", http)
    assert status == 200 and headers["content-type"].startswith("text/event-stream")
    assert headers["cache-control"] == "no-cache" and "content-length" not in headers
    *chunks, done = events(body)
    assert done == "[DONE]"
    text = "".join(json.loads(c)["choices"][0]["delta"].get("content") or "" for c in chunks)
    assert text.startswith("Grüße, Welt! 👋") and "usage" not in body.decode()


@pytest.mark.parametrize(
    ("model", "prompt"), [("sim", "simulate[fault=cut,at=3,per_token_ms=1]"), ("truncating", "go on")]
)
def test_a_cut_stream_never_ends_cleanly(base_url, model, prompt):
    status, _, body = ask(base_url, {"model": model, "messages": said(prompt), "stream": True}, "-N")
    *chunks, last = events(body)
    assert status == 200 and len(chunks) > 1
    error = json.loads(last)["error"]
    assert error["code"] == "upstream_error" and set(error) == {"message", "type", "code", "param"}
    assert b"[DONE]" not in body


def test_a_body_of_unknown_length(base_url, journal):
    request = {"model": "chat", "messages": said("hello " * 8000)}
    status, _, _ = ask(base_url, request, "-H", "transfer-encoding: chunked")
    assert status == 200 and journal.one()["messages"] == request["messages"]


def test_a_body_that_waits_to_be_asked_for(base_url):
    status, _, _ = ask(base_url, {"model": "chat", "messages": said("hello")}, "-H", "expect: 100-continue")
    assert status == 200


def test_spacing_escapes_and_order_do_not_matter(base_url, journal):
    body = (
        b'\n{ "waypost" : {"stage":"review"} , "messages":[{"content":"a \\u00e9 \\ud83d\\ude00 \\/","role":"user"}],'
        b'"x":1e2,\t"model" : "\\u0061uto" ,"stream":false,"waypost_2":{"kept":true}}\r\n'
    )
    status, headers, _ = ask(base_url, body)
    assert (status, headers["x-waypost-level"]) == (200, "stage")
    sent = journal.one()
    expected = {"messages": [{"content": "a é 😀 /", "role": "user"}], "x": 100, "stream": False}
    assert sent == expected | {"model": "acme/large-1", "waypost_2": {"kept": True}}


@pytest.mark.parametrize(
    ("body", "headers", "status", "code"),
    [
        (b"{}", (JSON,), 401, "invalid_api_key"),
        (b"{}", ("authorization: Bearer nobody", JSON), 401, "invalid_api_key"),
        (b"{}", (f"authorization: Basic {CLIENT_KEY}", JSON), 401, "invalid_api_key"),
        (b"{}", (BEARER, JSON), 400, "invalid_request"),
        (b"", (BEARER, JSON), 400, "invalid_request"),
        (b'{"model":"chat","messages":[', (BEARER, JSON), 400, "invalid_request"),
        (b'{"messages":[{"role":"user","content":"x"}]}', (BEARER, JSON), 400, "invalid_request"),
        (b'{"model":"chat","messages":[{"role":"user","content":"\xff"}]}', (BEARER, JSON), 400, "invalid_request"),
        (b"{}", (BEARER, "content-type: text/plain"), 415, "invalid_request"),
        (b"{}", (BEARER, JSON, "origin: https://evil.example"), 403, "not_allowed"),
    ],
)
def test_refusals(base_url, journal, body, headers, status, code):
    found, reply, text = ask(base_url, body, headers=headers)
    error = json.loads(text)["error"]
    assert (found, error["code"]) == (status, code), error
    assert set(error) == {"message", "type", "code", "param"} and reply["content-type"] == "application/json"
    assert len(reply["x-waypost-request-id"]) == 32
    assert ("www-authenticate" in reply) == (status == 401)
    assert journal.all() == []


def test_an_api_key_header_serves_too(base_url):
    request = {"model": "chat", "messages": said("hello")}
    assert ask(base_url, request, headers=(f"x-api-key: {CLIENT_KEY}", JSON))[0] == 200


@pytest.mark.parametrize("name", ["acme/large-1", "acme%2Flarge-1", "acme%2flarge-1"])
def test_a_model_with_a_slash(base_url, name):
    status, _, body = curl(f"{base_url}/models/{name}", "-H", BEARER)
    assert (status, json.loads(body)["id"]) == (200, "acme/large-1")


def test_other_methods_and_paths(base_url):
    assert curl(f"{base_url}/chat/completions", "-H", BEARER)[0] == 405
    assert curl(f"{base_url}/nothing", "-H", BEARER)[0] == 404
    assert curl(f"{base_url}/nothing")[0] == 401
    assert curl(base_url.replace("/v1", "/healthz"))[0] == 200
