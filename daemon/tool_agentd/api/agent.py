"""The routes about the agent itself and its tools: status, stop, reload, definitions."""

import contextlib
import os
from collections.abc import Awaitable, Callable

from tool_agent import wire
from tool_agent._version import __version__
from tool_agentd.api import words
from tool_agentd.api.accounts import account_json
from tool_agentd.api.answers import Answer
from tool_agentd.api.call import Body, Call, Json, reads
from tool_agentd.broker import Broker
from tool_agentd.definition import credentials
from tool_agentd.definition.decode import decode
from tool_agentd.definition.errors import DefinitionError
from tool_agentd.definition.explain import explain
from tool_agentd.definition.vocabulary import ToolDefinition
from tool_agentd.errors import InvalidRequestError, StoreUnavailableError
from tool_agentd.model import Instant
from tool_agentd.ports import Clock
from tool_agentd.secret import Secret
from tool_agentd.session import Expired

UNLOCK_VAULT = "hint: run 'tool-agent unlock' again, with the passphrase of the vault\n"


class UnlockBody(Body, frozen=True):
    """The body of POST /v1/agent/unlock."""

    passphrase: Secret


class LockBody(Body, frozen=True):
    """The body of POST /v1/agent/lock."""

    passphrase: Secret | None = None
    """None or empty: the one that is kept."""
    remember: bool = False
    """Whether to keep it beyond the unlock, for locks that nobody types."""


class AgentRoutes:
    """The agent and its definitions."""

    def __init__(
        self,
        broker: Broker,
        clock: Clock,
        socket: str,
        stop: Callable[[], None],
        reload: Callable[[], Awaitable[None]],
    ) -> None:
        """Serve from `broker`; `stop` and `reload` are the service's."""
        self._broker = broker
        self._clock = clock
        self._socket = socket
        self._stop = stop
        self._reload = reload
        self._started: Instant = clock.now()

    async def status(self, call: Call) -> Answer:
        """GET /v1/agent."""
        call.query()
        with contextlib.suppress(StoreUnavailableError):  # the store's own status says so below
            await self._broker.load()
        store, reasons = await self._broker.status()
        now = self._clock.now()
        uptime = self._started.until(now)
        views = self._broker.accounts()
        notes = [*self._broker.notes, *words.clocks(self._broker.clocks.skews)]
        locking = self._broker.locking
        state = "locked" if locking.locked else "degraded" if reasons else "ready"
        needs_person = not locking.locked and any(isinstance(view.state, Expired) for view in views)
        data: Json = {
            "schema": wire.SCHEMA,
            "version": __version__,
            "protocol": wire.PROTOCOL,
            "pid": os.getpid(),
            "uptime": round(uptime, 3),
            "socket": self._socket,
            "state": state,
            "reasons": reasons,
            "notes": notes,
            "lock": {"locked": locking.locked, "passphrase_kept": locking.kept},
            "store": {"kind": store.kind, "rests": store.rests, "problems": list(store.problems)},
            "accounts": [account_json(view, now.wall) for view in views],
        }
        text = words.status(
            state,
            __version__,
            os.getpid(),
            uptime,
            self._socket,
            store,
            reasons,
            notes,
            views,
            now.wall,
        )
        leave = wire.EXIT_LOGIN_NEEDED if needs_person else wire.EXIT_OK
        return Answer(data, text, exit=leave)

    async def stop(self, call: Call) -> Answer:
        """POST /v1/agent/stop: the answer goes out, then the agent ends in order."""
        call.query()
        self._stop()
        data = {"schema": wire.SCHEMA, "pid": os.getpid(), "state": "stopping"}
        err = f"tool-agent (pid {os.getpid()}) stops"
        if self._broker.renewing:
            names = ", ".join(str(key) for key in self._broker.renewing)
            err += f" once {names} is renewed, so that no login is lost"
        return Answer(data, err=err + "\n")

    @reads(body=LockBody)
    async def lock(self, call: Call) -> Answer:
        """POST /v1/agent/lock: serve nothing until the passphrase comes again (ssh-add's -x)."""
        call.query()
        body = await call.json(LockBody)
        passphrase = body.passphrase or None
        trouble = await self._broker.locking.lock(passphrase, keep=body.remember, peer=call.peer)
        err = "the agent is locked\n"
        if trouble is not None:
            err += f"  ! in memory only, a restart would end the lock: {trouble}\n"
        data = {"schema": wire.SCHEMA, "state": "locked", "durable": trouble is None}
        return Answer(data, err=err)

    @reads(body=UnlockBody)
    async def unlock(self, call: Call) -> Answer:
        """POST /v1/agent/unlock: the passphrase of the lock, or of the vault."""
        call.query()
        body = await call.json(UnlockBody)
        opened = await self._broker.unlock(body.passphrase, call.peer)
        err = "the agent is unlocked\n" if opened.agent else ""
        if opened.vault:
            err += "the vault is open\n"
        if opened.sealed:
            err += "the vault is still sealed, by another passphrase\n" + UNLOCK_VAULT
        state = "degraded" if opened.sealed else "ready"
        return Answer({"schema": wire.SCHEMA, "state": state}, err=err)

    async def reload(self, call: Call) -> Answer:
        """POST /v1/agent/reload: read the definitions again."""
        call.query()
        await self._reload()
        problems = [problem.detail for problem in self._broker.catalogue.problems]
        err = "".join(f"  ! {problem}\n" for problem in problems)
        count = len(self._broker.catalogue.tools)
        data = {"schema": wire.SCHEMA, "tools": count, "problems": problems}
        return Answer(data, err=f"{count} tool definitions are in force\n{err}")

    async def tools(self, call: Call) -> Answer:
        """GET /v1/tools."""
        call.query()
        catalogue = self._broker.catalogue
        data = {
            "schema": wire.SCHEMA,
            "tools": [self._tool_json(tool) for tool in catalogue.tools.values()],
            "problems": [problem.detail for problem in catalogue.problems],
        }
        err = "".join(f"  ! {problem.detail}\n" for problem in catalogue.problems)
        return Answer(data, words.tools(catalogue), err=err)

    async def tool(self, call: Call) -> Answer:
        """GET /v1/tools/{tool}."""
        call.query()
        tool = self._broker.catalogue.get(call.params[0])
        data = {"schema": wire.SCHEMA, **self._tool_json(tool)}
        sharing = [other.name for other in self._broker.catalogue.sharing(tool.provider_name)]
        text = explain(tool, sharing)
        return Answer(data, text, text + "\n")

    @reads("file")
    async def check(self, call: Call) -> Answer:
        """POST /v1/tools/check: say what is wrong with a definition, or what it would do."""
        name = call.query().get("file") or "definition.toml"
        try:
            text = (await call.body()).decode()
        except UnicodeDecodeError:
            message = f"{name} is not UTF-8"
            raise InvalidRequestError(message) from None
        try:
            tool = decode(text, name)
        except DefinitionError as error:
            raise error.whole() from None
        return Answer(
            {"schema": wire.SCHEMA, "file": name, "tool": tool.name, "problems": []},
            f"{name} is a good definition of {tool.name}.\n{explain(tool)}\n",
        )

    def _tool_json(self, tool: ToolDefinition) -> Json:
        provider = self._broker.catalogue.provider(tool)
        return {
            "name": tool.name,
            "title": tool.title,
            "provider": provider.name,
            "methods": list(provider.login),
            "variables": words.variables(tool),
            "origins": list(tool.origins),
            "facts": tool.facts,
            "env": credentials.tool_agent_env_header(tool) or None,
            "command": tool.face.command if tool.face is not None else None,
            "words": [word.words for word in tool.face.word] if tool.face is not None else [],
        }
