"""Starts the mock and the gateway once, on ports that the system picks, and stops both at the end."""

import json
import os
import re
import signal
import socket
import subprocess
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import openai
import pytest

import wire as relay

HERE = Path(__file__).parent
CLIENT_KEY = "client-key-0f7c2d9a"
NARROW_KEY = "narrow-key-5b1e8a44"
MOCK_KEY = "mock-key-93d1c6e0"
PATIENCE = 30  # seconds; only bounds a hang

# No proxy between us, whatever the surroundings say.
for name in [n for n in os.environ if n.lower().endswith("_proxy")]:
    del os.environ[name]


def pytest_configure():
    # A termination unwinds like an interrupt, so that nothing is left running.
    signal.signal(signal.SIGTERM, signal.default_int_handler)


class Process:
    """A child that writes to a log, and that is ready once the log says where it listens."""

    def __init__(self, name, command, env, log, ready):
        self.name, self.log = name, log
        with open(log, "wb") as out:
            self.child = subprocess.Popen(command, env=env, cwd=log.parent, stdout=out, stderr=out)
        try:
            self.url = self._wait_for(re.compile(ready))
        except BaseException:
            self.child.kill()
            raise

    def _wait_for(self, pattern):
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            text = self.log.read_text(errors="replace")
            if found := pattern.search(text):
                return found.group(1)
            if self.child.poll() is not None:
                break
            time.sleep(0.01)
        raise RuntimeError(f"{self.name} did not start:\n{self.log.read_text(errors='replace')}")

    def stop(self):
        """Asks it to end, and returns its exit code."""
        self.child.terminate()
        try:
            return self.child.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()
            raise


class Journal:
    """The mock's record of what reached it."""

    def __init__(self, url):
        self.url = url

    def _call(self, path, method, body=None):
        data = json.dumps(body).encode() if body else None
        request = urllib.request.Request(f"{self.url}{path}", data, method=method)
        request.add_header("x-api-key", MOCK_KEY)
        with urllib.request.urlopen(request, timeout=PATIENCE) as reply:
            return reply.read()

    def clear(self):
        self._call("/__aimock/reset/journal", "POST")

    def fail_next(self, status):
        """The next request gets this status."""
        body = {"message": "The mock was told to fail", "type": "server_error"}
        self._call("/__aimock/error", "POST", {"status": status, "body": body})

    def all(self):
        return json.loads(self._call("/__aimock/journal?path=/chat/completions", "GET"))

    def one(self):
        """The body of the only request; without what the mock itself adds."""
        entries = self.all()
        assert len(entries) == 1, entries
        return {k: v for k, v in entries[0]["body"].items() if not k.startswith("_")}


@pytest.fixture(scope="session")
def mock(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mock")
    cli = HERE / "node_modules/@copilotkit/aimock/dist/cli.js"
    command = ["node", cli, "--port", "0", "--fixtures", HERE / "fixtures.json", "--validate-on-load"]
    env = os.environ | {"AIMOCK_API_KEYS": MOCK_KEY}
    process = Process("the mock", command, env, folder / "mock.log", r"listening on (http://\S+)")
    yield process
    # It waits for its clients; ours may still be kept alive by the gateway's pool.
    process.child.kill()
    process.child.wait()


@pytest.fixture(scope="session")
def session_wire(mock):
    wire = relay.Wire(mock.url, MOCK_KEY)
    yield wire
    wire.stop()


@pytest.fixture
def wire(session_wire):
    session_wire.clear()
    return session_wire


class Talker:
    """A process that answers each line of JSON with another."""

    def __init__(self, command):
        self.child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def say(self, value):
        self.child.stdin.write(json.dumps(value) + "\n")
        self.child.stdin.flush()
        line = self.child.stdout.readline()
        assert line, f"{self.child.args} ended"
        return json.loads(line)


@pytest.fixture(scope="session")
def node():
    talker = Talker(["node", HERE / "node/clients.mjs"])
    yield talker
    talker.child.stdin.close()
    talker.child.wait(PATIENCE)


@pytest.fixture(scope="session")
def start_gateway(mock, session_wire, tmp_path_factory):
    """Starts a gateway for the time of a `with`; how it ended and what it logged is checked at its end."""

    @contextmanager
    def start():
        log = tmp_path_factory.mktemp("gateway") / "gateway.log"
        google = log.with_name("google.json")
        google.write_text(json.dumps(session_wire.google_credentials()))
        with socket.socket() as closed:
            # Bound and never listening: every connection is refused, and nobody else gets the port.
            closed.bind(("127.0.0.1", 0))
            down = f"http://127.0.0.1:{closed.getsockname()[1]}"
            settings = {"MOCK_URL": mock.url, "DOWN_URL": down, "MOCK_KEY": MOCK_KEY}
            settings |= {"WIRE_URL": session_wire.url, "GOOGLE_FILE": str(google), "AWS_ID": relay.AWS_ID}
            settings |= {"AWS_SECRET": relay.AWS_SECRET, "AWS_SESSION": relay.AWS_SESSION, "REGION": relay.AWS_REGION}
            keys = {"CLIENT_KEY": CLIENT_KEY, "NARROW_KEY": NARROW_KEY}
            command = [os.environ["WAYPOST_BINARY"], "serve", "--config", HERE / "waypost.yaml"]
            process = Process("the gateway", command, os.environ | settings | keys, log, r"listening on (http://\S+)")
            try:
                yield process
            finally:
                code = process.stop()
        text = log.read_text(errors="replace")
        assert code == 0, f"the gateway ended with {code}:\n{text}"
        keys = [CLIENT_KEY, NARROW_KEY, MOCK_KEY, relay.AWS_SECRET, relay.AWS_SESSION]
        for secret in [*keys, "Grüße", "greet", "weather in Oslo"]:
            assert secret not in text, f"`{secret}`, a key or a text, is in the gateway's log"
        assert "panicked" not in text, text

    return start


@pytest.fixture(scope="session")
def gateway(start_gateway):
    with start_gateway() as process:
        yield process


@pytest.fixture(autouse=True)
def still_there(mock, gateway):
    yield
    for process in (mock, gateway):
        if process.child.poll() is not None:
            log = process.log.read_text(errors="replace")
            pytest.exit(f"{process.name} ended in the middle of the run ({process.child.returncode}):\n{log}", 1)


@pytest.fixture
def journal(mock):
    journal = Journal(mock.url)
    journal.clear()
    return journal


@pytest.fixture(scope="session")
def base_url(gateway):
    return f"{gateway.url}/v1"


@pytest.fixture(scope="session")
def client(base_url):
    with openai.OpenAI(base_url=base_url, api_key=CLIENT_KEY, max_retries=0, timeout=PATIENCE) as client:
        yield client


@pytest.fixture
def make_async(base_url):
    """Makes an async client, inside of the loop that will use it."""
    return lambda: openai.AsyncOpenAI(base_url=base_url, api_key=CLIENT_KEY, max_retries=0, timeout=PATIENCE)


def said(text):
    return [{"role": "user", "content": text}]


def eventually(condition):
    """Polls until the condition holds."""
    until = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < until, "it never came"
        time.sleep(0.01)
