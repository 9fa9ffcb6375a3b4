"""The platforms from the outside, for tests: started as a process, called over HTTP.

`running()` starts one, `Far` speaks to it, `listening()` is a loopback listener such as an agent's.
"""

import base64
import hashlib
import http.client
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

ROOT = Path(__file__).resolve().parents[2]
VERIFIER = "a-verifier-of-more-than-forty-three-characters-0123456789"
CHALLENGE = (
    base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
)
FORM = "application/x-www-form-urlencoded"
PATIENCE_S = 40
"""For what should take a second: a busy machine must not fail a test."""


@dataclass(frozen=True)
class Reply:
    """One HTTP answer."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:  # noqa: ANN401 - JSON has every type
        """The body as JSON."""
        return json.loads(self.body)

    @property
    def query(self) -> dict[str, str]:
        """The query of the address that this answer redirects to."""
        found = parse_qs(urlsplit(self.headers.get("Location", "")).query)
        return {name: values[0] for name, values in found.items()}


def call(
    method: str,
    url: str,
    *,
    form: dict[str, str] | None = None,
    json_body: object = None,
    headers: dict[str, str] | None = None,
) -> Reply:
    """One request on a connection of its own; redirects are not followed."""
    parts = urlsplit(url)
    sent = dict(headers or {})
    body = None
    if form is not None:
        body, sent["Content-Type"] = urlencode(form), FORM
    elif json_body is not None:
        body, sent["Content-Type"] = json.dumps(json_body), "application/json"
    connection = http.client.HTTPConnection(
        str(parts.hostname), parts.port or 80, timeout=PATIENCE_S
    )
    try:
        connection.request(method, f"{parts.path}?{parts.query}", body, sent)
        reply = connection.getresponse()
        return Reply(reply.status, reply.headers, reply.read())
    finally:
        connection.close()


@dataclass
class Far:
    """The running platforms, as their JSON line describes them."""

    process: subprocess.Popen[str]
    line: dict[str, Any]

    @property
    def url(self) -> str:
        """CRE's origin."""
        return str(self.line["url"])

    def counters(self) -> dict[str, Any]:
        """What has happened so far."""
        found: dict[str, Any] = call("GET", f"{self.url}/_/counters").json
        return found

    def advance(self, seconds: float) -> None:
        """Move the platforms' clock."""
        call("POST", f"{self.url}/_/clock", json_body={"advance": seconds})

    def revoke_key(self, key: str) -> None:
        """Delete a key, as its owner would."""
        reply = call("POST", f"{self.url}/_/keys/revoke", json_body={"key": key})
        assert reply.status == 200, reply.body

    def faults(self, **changes: object) -> None:
        """Set some switches."""
        assert call("POST", f"{self.url}/_/faults", json_body=changes).status == 200

    def person(self, url: str, **environ: str) -> subprocess.CompletedProcess[str]:
        """Let the person visit an address."""
        return subprocess.run(
            [sys.executable, "-m", "tests.platforms.person", url],
            cwd=ROOT,
            env={**os.environ, **environ},
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )

    def authorize_url(self, **changes: str | None) -> str:
        """A good authorization request, with changes; None leaves a parameter out."""
        asked: dict[str, str | None] = {
            "response_type": "code",
            "client_id": "workflow-tools",
            "redirect_uri": "http://127.0.0.1:50999/callback",
            "state": "a-state-of-the-client",
            "code_challenge": CHALLENGE,
            "code_challenge_method": "S256",
            "scope": "openid email offline_access workflows:read reports:read",
            "nonce": "a-nonce",
            **changes,
        }
        return f"{self.url}/authorize?{urlencode({k: v for k, v in asked.items() if v})}"

    def code(self, **changes: str | None) -> str:
        """A code that the person fetched through the pages."""
        done = self.person(self.authorize_url(**changes), PERSON_STOP="before-callback")
        assert done.returncode == 0, done.stderr + done.stdout
        return parse_qs(urlsplit(done.stdout.strip()).query)["code"][0]

    def token(self, **form: str) -> Reply:
        """A request at the token endpoint."""
        return call("POST", f"{self.url}/oauth/token", form={"client_id": "workflow-tools", **form})

    def exchange(self, code: str, **changes: str) -> Reply:
        """Exchange a code."""
        asked = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": "http://127.0.0.1:50999/callback",
            "code_verifier": VERIFIER,
        }
        return self.token(**{**asked, **changes})

    def refresh(self, refresh_token: str, **changes: str) -> Reply:
        """Present a refresh token."""
        return self.token(
            **{"grant_type": "refresh_token", "refresh_token": refresh_token, **changes}
        )

    def login(self, **changes: str | None) -> dict[str, Any]:
        """The tokens of a whole login."""
        reply = self.exchange(self.code(**changes))
        assert reply.status == 200, reply.body
        answer: dict[str, Any] = reply.json
        return answer

    def whoami_token(self, access_token: str) -> Reply:
        """Try an access token on the practice resource."""
        headers = {"Authorization": f"Bearer {access_token}"}
        return call("GET", f"{self.url}/whoami-token", headers=headers)

    def graphql(self, query: str, authorization: str) -> Reply:
        """Ask CRE's API."""
        return call(
            "POST",
            f"{self.url}/graphql",
            json_body={"query": query},
            headers={"Authorization": authorization},
        )


@contextmanager
def running() -> Iterator[Far]:
    """A server of its own; it must end by itself on SIGTERM, without a word."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.platforms", "--json"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as started:
        assert started.stdout
        assert started.stderr
        line = started.stdout.readline()
        assert line, started.stderr.read()
        try:
            yield Far(started, json.loads(line))
        finally:
            started.send_signal(signal.SIGTERM)
            rest, errors = started.communicate(timeout=PATIENCE_S)
    assert (started.returncode, rest, errors) == (0, "", "")


@dataclass
class Listener:
    """A loopback listener that answers as an agent would: 303 to a page without the query."""

    server: HTTPServer
    seen: list[str]

    @property
    def url(self) -> str:
        """Where the callback goes."""
        return f"http://127.0.0.1:{self.server.server_port}/callback"


@contextmanager
def listening() -> Iterator[Listener]:
    """A listener on a free port."""
    seen: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(self.path)
            body = b"<!doctype html><title>x</title><p>You are signed in.</p>"
            if self.path.startswith("/callback"):
                self.send_response(303)
                self.send_header("Location", "/done")
                body = b""
            else:
                self.send_response(200)
                self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the signature of http.server
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield Listener(server, seen)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
