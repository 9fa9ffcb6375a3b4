"""Api: from a request's head to its reply, for every route alike."""

import asyncio
import contextlib
import logging
import os
from collections.abc import Awaitable, Callable

from aiohttp import web

from tool_agent import wire
from tool_agentd.api.accounts import Accounts
from tool_agentd.api.actions import ActionRoutes
from tool_agentd.api.agent import AgentRoutes
from tool_agentd.api.answers import Answer, render, render_error
from tool_agentd.api.api_keys import ApiKeyRoutes
from tool_agentd.api.approvals import ApprovalRoutes
from tool_agentd.api.audit import AuditRoutes
from tool_agentd.api.call import UNLOCKED, Call, Right, Route, Routes, reads_of
from tool_agentd.api.connection import Company, Connection
from tool_agentd.api.credentials import Credentials
from tool_agentd.api.deliveries import DeliveryRoutes
from tool_agentd.api.description import describe
from tool_agentd.api.face import AsRoutes
from tool_agentd.api.logins import LoginRoutes
from tool_agentd.api.sockets import SocketRoutes
from tool_agentd.api.why import WhyRoutes
from tool_agentd.broker import Broker
from tool_agentd.broker.deliveries import Deliveries
from tool_agentd.broker.importing import Importing
from tool_agentd.broker.scoped import ScopedSockets
from tool_agentd.broker.why import Why
from tool_agentd.definition import credentials
from tool_agentd.errors import AgentError, CheckEnvError, DeniedError, StoreUnavailableError
from tool_agentd.model import Peer
from tool_agentd.ports import Clock, Trail

log = logging.getLogger(__name__)

_ACCEPTED = (wire.REPLY, wire.TEXT, wire.JSON)


class Api:
    """The agent over HTTP. An instance is the handler of `connection.Server`."""

    def __init__(  # noqa: PLR0913 - the composition root names each part
        self,
        broker: Broker,
        clock: Clock,
        deliveries: Deliveries,
        importing: Importing,
        scoped: ScopedSockets,
        trail: Trail,
        *,
        socket: str,
        stop: Callable[[], None],
        reload: Callable[[], Awaitable[None]],
    ) -> None:
        """Build the route table."""
        self._broker = broker
        self.company = _company(broker)
        self._headers: dict[str, dict[str, str]] = {}
        self._headers_of: object = None
        routes = self._routes = Routes()
        agent = AgentRoutes(broker, clock, socket, stop, reload)
        tokens = Credentials(broker, socket, os.getpid())
        accounts = Accounts(broker, clock)
        logins = LoginRoutes(broker)
        own_files = DeliveryRoutes(broker, deliveries, importing)
        actions = ActionRoutes(broker, logins)
        keys = ApiKeyRoutes(broker)
        routes.add("GET", "/v1/tools/*/token", tokens.token, Right.TOKEN)
        routes.add("GET", wire.ENV, tokens.env, Right.TOKEN)
        routes.add("POST", "/v1/tools/*/deliveries", own_files.deliver, Right.USE)
        routes.add("POST", "/v1/tools/*/import", own_files.take_over, Right.MANAGE)
        routes.add("GET", wire.AGENT, agent.status, Right.OWN)
        routes.add("POST", "/v1/agent/stop", agent.stop, Right.OWN)
        routes.add("POST", "/v1/agent/reload", agent.reload, Right.OWN)
        routes.add("POST", "/v1/agent/lock", agent.lock, Right.MANAGE)
        routes.add("POST", "/v1/agent/unlock", agent.unlock, Right.OWN)
        routes.add("GET", wire.TOOLS, agent.tools, Right.READ)
        routes.add("POST", "/v1/tools/check", agent.check, Right.READ)
        routes.add("GET", "/v1/tools/*", agent.tool, Right.READ)
        routes.add("GET", wire.ACCOUNTS, accounts.list, Right.READ)
        routes.add("DELETE", wire.ACCOUNTS, accounts.logout_all, Right.MANAGE)
        routes.add("GET", "/v1/tools/*/identity", accounts.identity, Right.USE)
        routes.add("POST", "/v1/tools/*/identity", accounts.identity, Right.USE)
        routes.add("DELETE", "/v1/tools/*/accounts/*", accounts.logout, Right.MANAGE)
        routes.add("POST", "/v1/tools/*/accounts/*/choose", accounts.choose, Right.MANAGE)
        routes.add("POST", "/v1/tools/*/logins", logins.start, Right.MANAGE)
        own_words = AsRoutes(broker, logins, clock)
        routes.add("POST", "/v1/tools/*/as", own_words.run, Right.USE)
        routes.add("GET", "/v1/commands/*", own_words.command, Right.READ)
        routes.add("GET", "/v1/logins/*", logins.watch, Right.READ)
        routes.add("DELETE", "/v1/logins/*", logins.cancel, Right.MANAGE)
        routes.add("POST", "/v1/logins/*/input", logins.input, Right.MANAGE)
        routes.add("GET", f"{wire.WHY}/*", WhyRoutes(Why(broker, clock)).explain, Right.READ)
        ApprovalRoutes(broker).add_to(routes)
        routes.add("GET", "/v1/tools/*/actions", actions.list, Right.READ)
        routes.add("POST", "/v1/tools/*/actions/*", actions.start, Right.USE)
        routes.add("GET", "/v1/tools/*/api-keys", keys.list, Right.USE)
        routes.add("POST", "/v1/tools/*/api-keys", keys.issue, Right.USE)
        routes.add("DELETE", "/v1/tools/*/api-keys/*", keys.revoke, Right.USE)
        SocketRoutes(scoped, clock).add_to(routes)
        routes.add("GET", wire.AUDIT, AuditRoutes(trail, clock).lines, Right.READ)
        routes.add("GET", wire.OPENAPI, describe(routes), Right.READ)

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        connection = request.protocol
        if not isinstance(connection, Connection) or connection.peer is None:
            raise TypeError(connection)
        connection.begin(request.content)
        gate = self._broker.gate
        accept = request.headers.get("Accept", "")
        if accept not in _ACCEPTED:
            accept = _negotiate(accept)
        extra: dict[str, str] = {}
        try:
            answer = await self._answer(request, connection.peer, accept, extra)
            return render(answer, accept, extra)
        except AgentError as error:
            if gate.witness.urgent and not isinstance(error, CheckEnvError):
                await gate.witness.settled()
            return render_error(error, accept, extra)
        except (asyncio.CancelledError, ConnectionError):
            raise
        except Exception:
            log.exception("%s %s", request.method, request.rel_url.raw_path)
            message = "the agent met an error of its own; its log has more"
            return render_error(AgentError(message), accept, extra)
        finally:
            connection.end()

    async def _answer(
        self, request: web.BaseRequest, peer: Peer, accept: str, extra: dict[str, str]
    ) -> Answer:
        """Return the answer, and put into `extra` what an error would carry too."""
        gate = self._broker.gate
        refused = _refusal(request)
        if refused is not None:
            raise gate.refused(peer, refused)
        # As the table has it: a slash more is the same route, and about the same tool.
        path = "/" + request.raw_path.partition("?")[0].strip("/")
        route, params = self._routes.find(request.method, path)
        if params and path.startswith("/v1/tools/"):
            extra |= self._tool_headers(params[0])
        elif path == wire.ENV:
            extra |= self._env_headers(request.query.getall("tool", []))
        if gate.unknown is not None:
            with contextlib.suppress(StoreUnavailableError):  # the gate says so, where it matters
                await self._broker.locking.known()
        if gate.locked or peer.foreign or peer.rights is not None:
            self._enter(peer, route, _tools_of(request, path, params))
        answer = await route.handler(Call(request, peer, params, accept, reads_of(route.handler)))
        if answer.secret and gate.locked:  # meanwhile
            gate.leave(peer, _tools_of(request, path, params))
        if gate.witness.urgent and route.right is not Right.TOKEN:
            # A token waits for no disk but in the cases in which its own lines must be written:
            # its denial above, an approval in the gate, a refresh in its flight.
            await gate.witness.settled()
        return answer

    def _enter(self, peer: Peer, route: Route, tools: tuple[str, ...]) -> None:
        """Let a request in. Raises DeniedError or LockedError."""
        serves = route.right is Right.TOKEN
        self._broker.gate.enter(
            peer,
            tools,
            serves_tokens=serves,
            answers=route.right is Right.ANSWER,
            # `env` without tools tells where the socket is, and nothing else.
            while_locked=route.right in UNLOCKED or (serves and not tools),
        )

    def _tool_headers(self, name: str) -> dict[str, str]:
        """Return what every reply about a tool carries, made once for each definition."""
        catalogue = self._broker.catalogue
        if self._headers_of is not catalogue:
            self._headers_of = catalogue
            self._headers = {}
        found = self._headers.get(name)
        if found is None:
            tool = catalogue.tools.get(name)
            if tool is None:
                return {}
            value = credentials.tool_agent_env_header(tool)
            found = self._headers[name] = {wire.ENV_HEADER: value} if value else {}
        return found

    def _env_headers(self, names: list[str]) -> dict[str, str]:
        entries = []
        for name in dict.fromkeys(names):
            value = self._tool_headers(name).get(wire.ENV_HEADER)
            if value:
                entries += [f"{entry.strip()}; tool={name}" for entry in value.split(",")]
        return {wire.ENV_HEADER: ", ".join(entries)} if entries else {}


def _company(broker: Broker) -> Company:
    """Return who is connected, whom the broker hears of and may tell to wait."""
    company = Company(broker.left)
    broker.approvals.present = company.present
    broker.approvals.announce = company.announce
    return company


def _negotiate(accept: str) -> str:
    """Return the kind of reply for an Accept header; absent or `*/*` means JSON."""
    for part in accept.split(","):
        kind = part.partition(";")[0].strip()
        if kind in _ACCEPTED:
            return kind
    return wire.JSON


def _tools_of(request: web.BaseRequest, path: str, params: tuple[str, ...]) -> tuple[str, ...]:
    """Return the tools that a request is about."""
    if path == wire.ENV:
        return tuple(dict.fromkeys(request.query.getall("tool", [])))
    return params[:1] if path.startswith((wire.TOOLS + "/", wire.WHY + "/")) else ()


def _refusal(request: web.BaseRequest) -> DeniedError | None:
    """Refuse what a browser sends: a page that was rebound to the socket, or reaches for it."""
    headers = request.headers
    host = headers.get("Host", "")
    if host.partition(":")[0] not in wire.HOSTS:
        message = f"Host must be {' or '.join(wire.HOSTS)}"
        hint = "curl: use http://tool-agent/v1/... with --unix-socket"
        return DeniedError(message, hint=hint)
    if not request.raw_path.startswith("/"):  # its host would go before Host (RFC 9112, 3.2.2)
        return DeniedError("the target must be a path")
    if "Origin" in headers or "Referer" in headers:
        return DeniedError(
            "a request with Origin or Referer comes from a web page, and none may ask"
        )
    return None
