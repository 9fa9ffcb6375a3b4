"""The peers: Debian's oidc-agent and OpenSSH's ssh-agent, each in a folder of its own.

oidc-agent is given a real account: it fetches a token from a small issuer on the loopback device,
caches it, and serves it from then on. The issuer is there for that one moment.
"""

import json
import os
import shutil
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from socketserver import BaseServer

from bench import exchange
from bench.exchange import ServerError, Target
from bench.processes import Server

ACCOUNT = "bench"
SETUP_LIMIT = 20.0
"""Seconds for each command that sets a peer up; they take a few hundredths."""
TOKEN_LIFE = 86400
"""Seconds: no benchmark lasts that long, so the peer never refreshes while it is measured."""


class Peer:
    """A running peer: its exchange, and the command that a person would type."""

    def __init__(  # noqa: PLR0913 - the facts of a row
        self,
        name: str,
        server: Server,
        target: Target,
        command: list[str],
        *,
        keeps: bool,
        environ: dict[str, str],
        what: str,
    ) -> None:
        """`keeps`: whether it answers a second request on one connection; `what` it answers."""
        self.name = name
        self.target = target
        self.command = command
        self.keeps = keeps
        self.environ = environ
        self.what = what
        self.version = ""
        self._server = server

    def stop(self) -> None:
        """End it."""
        self._server.stop()


def ssh_agent(folder: Path) -> Peer | None:
    """Start ssh-agent with one Ed25519 key; None where it is not installed."""
    program, add, keygen = (shutil.which(n) for n in ("ssh-agent", "ssh-add", "ssh-keygen"))
    if not (program and add and keygen):
        return None
    folder.mkdir(mode=0o700)
    sock, key = folder / "agent.sock", folder / "key"
    environ = {"PATH": os.defpath, "HOME": str(folder), "SSH_AUTH_SOCK": str(sock)}
    target = exchange.ssh(str(sock))
    server = Server([program, "-D", "-a", str(sock)], environ, target, folder / "log")
    server.start()
    try:
        _run([keygen, "-q", "-t", "ed25519", "-N", "", "-f", str(key)], environ)
        _run([add, "-q", str(key)], environ)
    except BaseException:
        server.stop()
        raise
    return Peer(
        "ssh-agent",
        server,
        target,
        [add, "-l"],
        keeps=True,
        environ={"SSH_AUTH_SOCK": str(sock)},
        what="lists its one key (SSH_AGENTC_REQUEST_IDENTITIES); it signs nothing",
    )


def oidc_agent(folder: Path, token_size: int) -> Peer | None:
    """Start oidc-agent with a cached token of that many bytes; None where it is not installed."""
    program, token, generate = (shutil.which(n) for n in ("oidc-agent", "oidc-token", "oidc-gen"))
    if not (program and token and generate):
        return None
    folder.mkdir(mode=0o700)
    (folder / "config").mkdir(mode=0o700)
    sock = folder / "agent.sock"
    environ = {
        "PATH": os.defpath,
        "HOME": str(folder),
        "OIDC_SOCK": str(sock),
        "OIDC_CONFIG_DIR": str(folder / "config"),
    }
    target = exchange.oidc(str(sock), ACCOUNT)
    # Until it has the account it answers with an error, which is an answer: it has started.
    started = Target(target.path, target.request, lambda answer: answer.endswith(b"}"))
    argv = [program, "--console", "--no-autoload", "-a", str(sock)]
    server = Server(argv, environ, started, folder / "log")
    server.start()
    try:
        with _Issuer(token_size) as issuer:
            words = f"--iss={issuer} --client-id=bench --client-secret= --redirect-uri="
            words += "http://localhost:4242 --manual --flow=refresh --rt-env --pw-env --no-save"
            words += " --prompt=none --confirm-default"
            _run(
                [generate, ACCOUNT, *words.split(), "--scope=openid offline_access"],
                {**environ, "OIDC_ENCRYPTION_PW": "bench", "OIDC_REFRESH_TOKEN": "bench"},
            )
            exchange.once(target)
    except BaseException:
        server.stop()
        raise
    return Peer(
        "oidc-agent",
        server,
        target,
        [token, ACCOUNT],
        keeps=False,
        environ={key: value for key, value in environ.items() if key.startswith("OIDC_")},
        what="serves a cached token of the same size, as plain JSON; oidc-token encrypts besides",
    )


def _run(argv: list[str], environ: dict[str, str]) -> None:
    done = subprocess.run(
        argv,
        env=environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SETUP_LIMIT,
        check=False,
    )
    if done.returncode:
        said = (done.stderr or done.stdout).strip()[-300:]
        raise ServerError(f"{Path(argv[0]).name} ended with {done.returncode}: {said}")


def _address(server: BaseServer) -> str:
    assert isinstance(server, HTTPServer)
    return f"http://127.0.0.1:{server.server_port}/"


class _Issuer:
    """An issuer that renews whatever it is asked to: discovery and a token endpoint."""

    def __init__(self, token_size: int) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                base = _address(self.server)
                self._reply(
                    {
                        "issuer": base,
                        "authorization_endpoint": base + "authorize",
                        "token_endpoint": base + "token",
                        "scopes_supported": ["openid", "offline_access"],
                        "grant_types_supported": ["refresh_token", "authorization_code"],
                        "response_types_supported": ["code"],
                    }
                )

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                self._reply(
                    {
                        "access_token": "x" * token_size,
                        "token_type": "Bearer",
                        "expires_in": TOKEN_LIFE,
                        "refresh_token": "bench",
                    }
                )

            def _reply(self, found: dict[str, object]) -> None:
                body = json.dumps(found).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Say nothing: stderr is the person's."""

        self._server = HTTPServer(("127.0.0.1", 0), Handler)

    def __enter__(self) -> str:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return _address(self._server)

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
