"""What passes between the gateway and the mock: a relay that remembers requests, and checks what the mock does not.

The mock reads all dialects into one, keeps only that, and knows no signature of AWS; so the relay keeps the bodies as
they came, checks signatures with AWS's own code, and signs on with the mock's key. Three answers are its own, since the
mock has none: Anthropic's token count, Gemini's batch of embeddings (each one the mock's), and Google's access tokens.
"""

import http.client
import json
import re
import threading
import time
import urllib.parse
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import botocore.auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google.auth import crypt, jwt

TOKENS = 42  # what Anthropic counts
AWS_ID, AWS_SECRET, AWS_SESSION, AWS_REGION = "AKIDMOCK", "aws-secret-2f81d0", "aws-session-77", "eu-north-1"

GENERATE = r"/models/[^/:]+:(generateContent|streamGenerateContent\?alt=sse)"
PATHS = [
    ("azure", r"/openai/deployments/[^/]+/chat/completions\?api-version=2024-10-21"),
    ("azure", r"/openai/v1/chat/completions"),
    ("openai", r"/v1/chat/completions"),
    ("openai", r"/v1/embeddings"),
    ("responses", r"/v1/responses"),
    ("anthropic", r"/v1/messages(/count_tokens)?(\?beta=true)?"),
    ("gemini", rf"/v1beta{GENERATE}"),
    ("gemini", r"/v1beta/models/[^/:]+:(embedContent|batchEmbedContents)"),
    ("vertex", rf"/v1/projects/acme/locations/global/publishers/google{GENERATE}"),
    ("bedrock", r"/model/[^/]+/converse(-stream)?"),
]
KEY_HEADER = {"anthropic": "x-api-key", "gemini": "x-goog-api-key", "azure": "api-key"}


@dataclass
class Seen:
    """A request that a provider got."""

    place: str
    path: str
    headers: dict
    body: dict
    faults: list = field(default_factory=list)
    """What a provider would not have accepted outside of the body."""


class Wire:
    def __init__(self, mock_url, mock_key):
        self.mock, self.key, self.requests = urllib.parse.urlsplit(mock_url).netloc, mock_key, []
        self.google = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        wire = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self):
                wire.relay(self)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()

    def clear(self):
        self.requests.clear()

    def all(self, *places):
        """The requests so far; they went to these places, in the way that these want."""
        for seen in self.requests:
            assert not seen.faults, (seen.path, seen.faults)
        assert not places or [seen.place for seen in self.requests] == list(places)
        return self.requests

    def google_credentials(self):
        """A service account's file."""
        pem = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        return {
            "type": "service_account",
            "project_id": "acme",
            "private_key_id": "key-1",
            "private_key": self.google.private_bytes(*pem).decode(),
            "client_email": "robot@acme.iam.gserviceaccount.com",
            "token_uri": f"{self.url}/token",
        }

    def relay(self, client):
        raw = read_body(client)
        headers = {name.lower(): value for name, value in client.headers.items()}
        if client.path == "/token":
            return self.token(client, urllib.parse.parse_qs(raw.decode()))
        place = next((place for place, path in PATHS if re.fullmatch(path, client.path)), "nowhere")
        seen = Seen(place, client.path, headers, json.loads(raw))
        sent = self.headers(seen, raw)
        self.requests.append(seen)
        if "/count_tokens" in client.path:
            return answer(client, 200, {"input_tokens": TOKENS})
        if client.path.endswith(":batchEmbedContents"):
            path = client.path.replace("batchEmbedContents", "embedContent")
            bodies = [json.dumps(one).encode() for one in seen.body["requests"]]
            found = [json.loads(self.ask(path, body, sent)[1].read()) for body in bodies]
            return answer(client, 200, {"embeddings": [one["embedding"] for one in found]})
        connection, reply = self.ask(client.path, raw, sent)
        try:
            forward(client, reply)
        finally:
            connection.close()

    def ask(self, path, body, headers):
        connection = http.client.HTTPConnection(self.mock)
        connection.request("POST", path, body, headers)
        return connection, connection.getresponse()

    def headers(self, seen, raw):
        """Those for the mock. What is wrong with those that came is noted."""
        sent = {n: v for n, v in seen.headers.items() if n not in ("host", "content-length", "transfer-encoding")}
        if seen.place == "nowhere":
            seen.faults.append(f"no provider has the path {seen.path}")
        if seen.place == "anthropic" and "anthropic-version" not in seen.headers:
            seen.faults.append("no anthropic-version")
        scheme = seen.headers.get("authorization", "").partition(" ")[0]
        if scheme == "AWS4-HMAC-SHA256":
            seen.faults += aws_faults(seen, raw, f"{self.server.server_address[1]}")
            sent["authorization"] = f"Bearer {self.key}"
        elif KEY_HEADER.get(seen.place, "authorization") not in seen.headers:
            seen.faults.append(f"the credential is not where {seen.place} looks for it")
        return sent

    def token(self, client, form):
        """Google's token endpoint: an access token for a JWT of the account's."""
        public = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        pem = self.google.public_key().public_bytes(*public)
        [assertion] = form["assertion"]
        assert form["grant_type"] == ["urn:ietf:params:oauth:grant-type:jwt-bearer"]
        _, payload, signed, signature = jwt._unverified_decode(assertion)
        assert crypt.verify_signature(signed, signature, pem), "the account's key did not sign this"
        assert payload["iss"] == "robot@acme.iam.gserviceaccount.com" and payload["aud"] == f"{self.url}/token"
        assert "https://www.googleapis.com/auth/cloud-platform" in payload["scope"]
        assert payload["iat"] - 60 <= time.time() < payload["exp"] <= payload["iat"] + 3600
        answer(client, 200, {"access_token": self.key, "expires_in": 3600, "token_type": "Bearer"})


def read_body(client):
    if "chunked" not in client.headers.get("transfer-encoding", ""):
        return client.rfile.read(int(client.headers.get("content-length", 0)))
    body = b""
    while size := int(client.rfile.readline().split(b";")[0], 16):
        body += client.rfile.read(size)
        client.rfile.readline()
    client.rfile.readline()
    return body


def answer(client, status, body):
    data = json.dumps(body).encode()
    client.send_response(status)
    client.send_header("content-type", "application/json")
    client.send_header("content-length", str(len(data)))
    client.end_headers()
    client.wfile.write(data)


def forward(client, reply):
    """The mock's answer as it comes; where it breaks off, this breaks off too."""
    client.send_response(reply.status)
    for name, value in reply.getheaders():
        if name.lower() not in ("connection", "keep-alive", "transfer-encoding", "date"):
            client.send_header(name, value)
    whole = reply.getheader("content-length") is not None
    if not whole:
        client.send_header("transfer-encoding", "chunked")
    client.end_headers()
    try:
        while data := reply.read1(65536):
            client.wfile.write(data if whole else b"%x\r\n%s\r\n" % (len(data), data))
        if not whole:
            client.wfile.write(b"0\r\n\r\n")
    except (http.client.HTTPException, OSError):
        client.close_connection = True


def aws_faults(seen, raw, port):
    """Signs the request again, with AWS's own code, and compares."""
    stated = dict(re.findall(r"(\w+)=([^,\s]+)", seen.headers["authorization"]))
    names = stated["SignedHeaders"].split(";")
    signed = {name: seen.headers[name] for name in names if name in seen.headers}
    request = AWSRequest("POST", f"http://127.0.0.1:{port}{seen.path}", headers=signed, data=raw)
    request.context["timestamp"] = seen.headers["x-amz-date"]
    signer = botocore.auth.SigV4Auth(Credentials(AWS_ID, AWS_SECRET, AWS_SESSION), "bedrock", AWS_REGION)
    signature = signer.signature(signer.string_to_sign(request, signer.canonical_request(request)), request)
    scope = f"{AWS_ID}/{seen.headers['x-amz-date'][:8]}/{AWS_REGION}/bedrock/aws4_request"
    checks = [
        (stated["Credential"] == scope, f"the scope is {stated['Credential']}, not {scope}"),
        (stated["Signature"] == signature, "the signature is wrong"),
        ({"host", "x-amz-date"} <= set(names) <= set(seen.headers), f"the signed headers are {names}"),
        (seen.headers.get("x-amz-security-token") == AWS_SESSION, "the session token is missing"),
    ]
    return [fault for holds, fault in checks if not holds]
