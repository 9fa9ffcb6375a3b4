"""Actions: what a tool's definition offers besides logging in, run and watched like a login."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field

from tool_agentd.broker.cause import Cause
from tool_agentd.broker.login import Login, LoginState, LoginView
from tool_agentd.broker.login_flows import Obtained, Parts, origins_of
from tool_agentd.broker.login_steps import SIGNED_IN, brings, identified, obtained
from tool_agentd.broker.logins import Logins
from tool_agentd.broker.procedure import Walk, patience_of
from tool_agentd.broker.selection import Own
from tool_agentd.broker.sessions import Sessions
from tool_agentd.broker.signing import Asker, Signing
from tool_agentd.broker.taking import Taking
from tool_agentd.broker.token_ask import TokenAsk
from tool_agentd.broker.values import Values
from tool_agentd.definition.catalogue import Catalogue
from tool_agentd.definition.faces import Action
from tool_agentd.definition.flows import Exchange, Password, Poll
from tool_agentd.definition.steps import Obtain
from tool_agentd.definition.vocabulary import ToolDefinition
from tool_agentd.errors import AgentError, CancelledError, InvalidRequestError
from tool_agentd.model import NOBODY, AccountKey, HttpReply, HttpRequest, Peer
from tool_agentd.ports import Store
from tool_agentd.secret import Secret
from tool_agentd.session import Active, LoginBegan, settled

TIMEOUT = 600.0
"""Seconds for an action's questions, as for a login's; its waits have times of their own."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ActionOrder:
    """What the person asked for."""

    tool: ToolDefinition
    key: AccountKey
    name: str
    inputs: Mapping[str, Secret]
    """Answers given in advance, by the name of the ask."""
    text: str | None = None
    """What is said when it is done, instead of the definition's text; `{name}` of its values."""
    own: Own | None = None
    """The person's own variable, where it is set."""
    peer: Peer = NOBODY


@dataclass(frozen=True, slots=True)
class Performance:
    """One action while it runs, with all that its steps need."""

    parts: Parts
    sessions: Sessions
    signing: Signing
    order: ActionOrder
    action: Action
    provider: ToolDefinition
    login: Login
    taking: Taking
    cancel_login: Callable[[AccountKey], Awaitable[None]]
    """Breaks off the login of an account, if one runs."""
    heard: set[str] = field(default_factory=set)
    """See signing.Asker."""

    async def run(self) -> None:
        """Go through the steps, and keep a session that they bring.

        It is kept after the step that says `saves`, so that what follows may be broken off and
        nothing is lost; else after the last step.
        """
        there = settled(self.sessions.get(self.order.key), self.parts.clock.now())
        signed_in = isinstance(there, Active)
        values = Values({SIGNED_IN: "true" if signed_in else "false"})
        walk = Walk(
            self.parts.http,
            self.parts.clock,
            self.order.tool,
            self.login,
            allowed={*origins_of(self.order.tool), *origins_of(self.provider)},
            preset=self.login.preset,
            sign=self._sign,
        )
        obtain = self._obtain()
        waits = obtain is not None
        try:
            for step in self.action.step:
                await walk.run(step, values)
                if obtain is not None and waits and step.saves and brings(obtain, values):
                    waits = False
                    await self.taking.see_through(self._keep(obtain, values, walk))
        except (AgentError, asyncio.CancelledError):
            if obtain is not None and waits and brings(obtain, values):
                await self.taking.see_through(self._abandon(obtain, values, walk))
            raise
        if obtain is not None and waits and brings(obtain, values):
            await self.taking.see_through(self._keep(obtain, values, walk))
        self._done(values)

    def _done(self, values: Values) -> None:
        text = self.action.text if self.order.text is None else self.order.text
        self.login.update(
            state=LoginState.DONE,
            text=values.shown(text or ""),
            values={name: text for name, text in values.plain.items() if name != SIGNED_IN},
            prompts=(),
            url=None,
            user_code=None,
            awaits="",
        )

    async def _sign(
        self, wanted: Collection[str], request: HttpRequest, allowed: Collection[str]
    ) -> HttpReply:
        order = self.order
        ask = TokenAsk(order.tool.name, order.key.label)
        asker = Asker(order.tool, order.key, ask, order.peer, order.own, self.heard)
        return await self.signing.send(asker, wanted, request, allowed)

    def _obtain(self) -> Obtain | None:
        method = self.provider.login.get(self.action.login or "")
        return method.obtain if isinstance(method, Exchange | Password | Poll) else None

    def _brought(self, obtain: Obtain, values: Values, walk: Walk) -> Obtained:
        method = self.action.login or ""
        return obtained(self.parts, self.login, self.provider, method, obtain, values, walk.sent)

    async def _keep(self, obtain: Obtain, values: Values, walk: Walk) -> str:
        login, key = self.login, self.order.key
        brought = self._brought(obtain, values, walk)
        try:
            brought = await identified(self.parts, self.provider, brought)
        except AgentError as error:  # an account that is not confirmed yet may be refused
            log.info("%s: the platform did not say who this is: %s", key, error.detail)
        if not login.broken_off:
            await self.cancel_login(key)  # the person has chosen another way
        if login.broken_off:  # by a logout, perhaps: nothing more is begun for the account
            await self.taking.abandon(brought)
            message = "cancelled; what it brought was revoked"
            raise CancelledError(message)
        self.sessions.apply(key, LoginBegan(login.view.id))
        return await self.taking.keep(brought)

    async def _abandon(self, obtain: Obtain, values: Values, walk: Walk) -> str:
        await self.taking.abandon(self._brought(obtain, values, walk))
        return ""


class Actions:
    """Starts actions; they are watched, answered and cancelled like logins."""

    def __init__(  # noqa: PLR0913 - what an action touches
        self,
        parts: Parts,
        sessions: Sessions,
        signing: Signing,
        logins: Logins,
        store: Store,
        catalogue: Callable[[], Catalogue],
        taking: Callable[[Login, ToolDefinition, float | None], Taking],
    ) -> None:
        """Take the parts; `taking` makes who takes a session that an action brings."""
        self._parts = parts
        self._sessions = sessions
        self._signing = signing
        self._logins = logins
        self._store = store
        self._catalogue = catalogue
        self._taking = taking

    async def start(self, order: ActionOrder) -> LoginView:
        """Start an action.

        Raises InvalidRequestError for one that there is not, or an answer that nobody asks, and
        StoreUnavailableError before anybody is asked for anything.
        """
        action = action_of(order.tool, order.name)
        _check_inputs(action, order)
        await self._sessions.load()
        if action.login is not None:
            await self._store.prepare()
        provider = self._catalogue().provider(order.tool)
        patience = TIMEOUT + patience_of(action.step)
        view = LoginView(
            id=self._logins.new_id(),
            tool=order.tool.name,
            key=order.key,
            method=order.name,
            title=order.tool.title,
            expires_at=self._parts.clock.now().wall + patience,
            purpose="action",
        )
        login = Login(view, order.inputs)
        login.by = Cause(order.peer, order.tool.name)
        taking = self._taking(login, provider, None)
        performance = Performance(
            self._parts,
            self._sessions,
            self._signing,
            order,
            action,
            provider,
            login,
            taking,
            self._logins.cancel_for,
        )
        return self._logins.launch(login, taking, performance.run(), patience)


def action_of(tool: ToolDefinition, name: str) -> Action:
    """Return an action. Raises InvalidRequestError naming those that there are."""
    found = tool.action.get(name)
    if found is None:
        message = f"{tool.name} has no action {name[:64]!r}"
        raise InvalidRequestError(message, hint=f"it has: {', '.join(tool.action) or 'none'}")
    return found


def _check_inputs(action: Action, order: ActionOrder) -> None:
    """Refuse answers that no step asks for."""
    asked = {ask.name for step in action.step for ask in step.ask}
    unknown = sorted(set(order.inputs) - asked)
    if unknown:
        message = f"{order.name} does not ask for {', '.join(unknown)}"
        hint = f"it asks for: {', '.join(sorted(asked)) or 'nothing'}"
        raise InvalidRequestError(message, hint=hint)
