"""What `tool_agent` exports: token(), headers(), Agent and Token."""

import json
import warnings
from collections.abc import Callable
from threading import Lock
from typing import Any, Self, TypeVar

from tool_agent import wire
from tool_agent.agent import Connection, connected, target
from tool_agent.credential import chosen_account, tool_path
from tool_agent.errors import BadReplyError, NoAgentError, ToolAgentError
from tool_agent.variables import Own, ask

Answer = TypeVar("Answer")


class Token:
    """A credential. Its `repr` hides every secret."""

    __slots__ = ("access_token", "account", "env", "expires_at", "headers", "token_type")

    access_token: str
    """The secret itself: an access token, an API key or a cookie."""
    token_type: str
    """`Bearer` and the like; for a variable of the person's, the header's scheme or name."""
    expires_at: float | None
    """Unix time in seconds; None for what does not expire by itself."""
    account: str | None
    """The account's label; None for the person's own value."""
    headers: dict[str, str]
    """The headers that the secret belongs in."""
    env: dict[str, str]
    """The variable that the secret belongs in, where the tool has one; for a pair, both."""

    def __init__(  # noqa: PLR0913 - the fields of a credential
        self,
        *,
        access_token: str,
        token_type: str,
        expires_at: float | None,
        account: str | None,
        headers: dict[str, str],
        env: dict[str, str],
    ) -> None:
        """Hold the fields."""
        self.access_token = access_token
        self.token_type = token_type
        self.expires_at = expires_at
        self.account = account
        self.headers = headers
        self.env = env

    def __repr__(self) -> str:
        return (
            f"Token(access_token='****', token_type={self.token_type!r},"
            f" expires_at={self.expires_at!r}, account={self.account!r},"
            f" headers={sorted(self.headers)!r}, env={sorted(self.env)!r})"
        )


class Agent:
    """The agent behind one kept connection; a context manager, usable from several threads.

    `path` is the socket (`$TOOL_AGENT_SOCK` or the default place by default); `start=False` fails
    with NoAgentError where no agent runs, instead of starting one.
    """

    def __init__(self, path: str | None = None, *, start: bool = True) -> None:
        """Prepare; the connection is made by the first question."""
        self._path = path
        self._start = start
        self._connection: Connection | None = None
        self._lock = Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; the next question opens a new one."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def token(
        self,
        tool: str,
        *,
        account: str | None = None,
        scope: str | None = None,
        audience: str | None = None,
        min_ttl: float | str | None = None,
    ) -> Token:
        """Return a credential of `tool`, fresh for `min_ttl` (seconds, or text like "4h").

        Never asks the person anything: without a session it raises LoginRequiredError. The
        person's own variable wins (see the package). Other errors: ToolAgentError's subclasses.
        """
        route = target(
            tool_path(tool, "token"),
            ("account", chosen_account(tool, account)),
            ("scope", scope),
            ("audience", audience),
            ("min_ttl", min_ttl if isinstance(min_ttl, str) else _seconds(min_ttl)),
        )
        reply = self._put(
            lambda connection: ask(connection, "GET", route, accept=wire.JSON, tell=_warn)
        )
        if isinstance(reply, Own):
            return Token(
                access_token=reply.value,
                token_type=reply.token_type,
                expires_at=None,
                account=None,
                headers=reply.headers(),
                env=dict(reply.values),
            )
        reply.raise_for_error()
        fields = _document(reply.body)
        try:
            return Token(
                access_token=fields["access_token"],
                token_type=fields["token_type"],
                expires_at=fields.get("expires_at"),
                account=fields.get("account"),
                headers=dict(fields.get("headers") or {}),
                env=dict(fields.get("env") or {}),
            )
        except (KeyError, TypeError, ValueError):
            raise BadReplyError("the agent's answer is no credential") from None

    def accounts(self, tool: str | None = None) -> list[dict[str, Any]]:
        """Return the accounts (interface.md, `GET /v1/accounts`), of one tool or of all."""
        found = self._get(target(wire.ACCOUNTS, ("tool", tool))).get("accounts")
        if not isinstance(found, list):
            raise BadReplyError("the agent's answer is no list of accounts")
        return found

    def status(self) -> dict[str, Any]:
        """Return what the agent says of itself: version, pid, state, store (`GET /v1/agent`)."""
        return self._get(wire.AGENT)

    def _get(self, route: str) -> dict[str, Any]:
        reply = self._put(lambda connection: connection.request("GET", route, accept=wire.JSON))
        reply.raise_for_error()
        return _document(reply.body)

    def _put(self, question: Callable[[Connection], Answer]) -> Answer:
        """Put a question; an agent that has ended since the last one is started again."""
        with self._lock:
            try:
                return question(self._connected())
            except NoAgentError as error:
                if not (self._start and error.startable) or self._connection is None:
                    raise
                self._connection.close()
                self._connection = None
                return question(self._connected())

    def _connected(self) -> Connection:
        if self._connection is None:
            self._connection = connected(self._path, start=self._start)
        return self._connection


def token(
    tool: str,
    *,
    account: str | None = None,
    scope: str | None = None,
    audience: str | None = None,
    min_ttl: float | str | None = None,
) -> str:
    """Return the secret of `tool` alone; arguments and errors as Agent.token."""
    with Agent() as agent:
        return agent.token(
            tool, account=account, scope=scope, audience=audience, min_ttl=min_ttl
        ).access_token


def headers(
    tool: str,
    *,
    account: str | None = None,
    scope: str | None = None,
    audience: str | None = None,
    min_ttl: float | str | None = None,
) -> dict[str, str]:
    """Return the headers for a request to `tool`'s API; arguments and errors as Agent.token."""
    with Agent() as agent:
        found = agent.token(
            tool, account=account, scope=scope, audience=audience, min_ttl=min_ttl
        ).headers
    if not found:
        raise ToolAgentError(
            f"the agent does not say in which header a credential of {tool} belongs",
            code="configuration",
        )
    return found


def _warn(remarks: str) -> None:
    """Tell a program what a command tells on stderr."""
    for line in remarks.splitlines():
        warnings.warn(line.removeprefix("tool-agent: "), stacklevel=2)


def _seconds(value: float | None) -> str | None:
    return None if value is None else f"{value:g}s"


def _document(body: bytes) -> dict[str, Any]:
    try:
        fields = json.loads(body)
    except ValueError:
        fields = None
    if not isinstance(fields, dict):
        raise BadReplyError("the agent's answer is no JSON object")
    return fields
