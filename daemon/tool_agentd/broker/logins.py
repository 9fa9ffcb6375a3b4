"""Logins: those that run now, who may join them, and how what they bring is taken in."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any

from tool_agentd.broker.cause import ITSELF, Cause
from tool_agentd.broker.login import Login, LoginState, LoginView
from tool_agentd.broker.login_browser import BrowserLogin
from tool_agentd.broker.login_device import DeviceLogin
from tool_agentd.broker.login_flows import SECRET_PROMPT, Parts, paste
from tool_agentd.broker.login_loopback import loopback_secret
from tool_agentd.broker.login_steps import by_steps
from tool_agentd.broker.procedure import patience_of
from tool_agentd.broker.sessions import Sessions
from tool_agentd.broker.taking import Taking
from tool_agentd.definition import duration
from tool_agentd.definition.catalogue import Catalogue
from tool_agentd.definition.flows import (
    Device,
    Exchange,
    LoopbackSecret,
    OAuthCode,
    Password,
    Paste,
    Poll,
)
from tool_agentd.definition.flows import Login as LoginMethod
from tool_agentd.definition.vocabulary import ToolDefinition
from tool_agentd.errors import (
    AgentError,
    CancelledError,
    InvalidRequestError,
    ProviderError,
    UnknownLoginError,
)
from tool_agentd.model import AccountKey
from tool_agentd.secret import Secret
from tool_agentd.session import (
    Active,
    Authorizing,
    LateError,
    LoginBegan,
    LoginEnded,
)

REMEMBERED = 64
"""Logins that are over and can still be asked about."""
LOGIN_ID_BYTES = 16
"""128 bits: a login's id cannot be guessed."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LoginOrder:
    """What the person asked for."""

    tool: ToolDefinition
    key: AccountKey
    method: str | None = None
    lifetime: float | None = None
    """Seconds after which the session ends whatever happens (ssh-add's -t)."""
    inputs: Mapping[str, Secret] | None = None
    ephemeral: bool = False
    """Keep nothing of it in the store."""
    confirm: bool = False
    """Whether the person is asked each time before a credential of it is handed out."""
    text: str | None = None
    """What is said when it is done, instead of our own words; `{name}` and `{account}`."""
    by: Cause = ITSELF
    """Who asked."""


class Logins:
    """The logins of this agent, running and just over."""

    def __init__(
        self,
        parts: Parts,
        sessions: Sessions,
        catalogue: Callable[[], Catalogue],
        taking: Callable[[Login, ToolDefinition, float | None], Taking],
    ) -> None:
        """Take the parts; `taking` makes who takes what one login brings."""
        self._parts = parts
        self._sessions = sessions
        self._catalogue = catalogue
        self._taking = taking
        self._logins: dict[str, Login] = {}

    def start(self, order: LoginOrder) -> tuple[LoginView, bool]:
        """Start a login, or join the one that runs for the account; tell whether it was joined.

        Raises InvalidRequestError for a method that the tool does not have.
        """
        catalogue = self._catalogue()
        provider = catalogue.provider(order.tool)
        name, method = _choose(provider, order.method)
        running = self._running(order.key)
        if running is not None:
            if order.inputs:
                running.offer(order.inputs)
            return running.view, True
        self._forget_old()
        identifier = self.new_id()
        timeout = duration.seconds(method.timeout)
        if isinstance(method, Exchange | Password | Poll):
            timeout += patience_of(method.step)
        view = LoginView(
            id=identifier,
            tool=order.tool.name,
            key=order.key,
            method=name,
            title=provider.title,
            expires_at=self._parts.clock.now().wall + timeout,
        )
        login = Login(view, _preset(name, method, order.inputs or {}))
        login.wording = order.text
        login.ephemeral = order.ephemeral
        login.confirm = order.confirm
        login.by = order.by
        taking = self._taking(login, provider, order.lifetime)
        flow = self._flow(login, provider, method, taking)
        self._logins[identifier] = login
        self._sessions.apply(order.key, LoginBegan(identifier))
        login.begin(self._run(login, taking, flow, timeout))
        return login.view, False

    def new_id(self) -> str:
        """Return an id that cannot be guessed."""
        return self._parts.entropy(LOGIN_ID_BYTES).hex()

    def launch(
        self, login: Login, taking: Taking, flow: Coroutine[Any, Any, None], patience: float
    ) -> LoginView:
        """Run an action, which is watched, answered and broken off like a login."""
        self._forget_old()
        self._logins[login.view.id] = login
        login.begin(self._run(login, taking, flow, patience))
        return login.view

    def joins(self, order: LoginOrder) -> bool:
        """Tell whether `start` would join a login that runs: any, or the one by this method."""
        running = self._running(order.key)
        if running is None or running.ephemeral is not order.ephemeral:
            return False
        if order.confirm and not running.confirm:
            return False  # what is to be asked about is not joined to what is not
        return order.method in {None, running.view.method}

    def disturbs(self, order: LoginOrder) -> bool:
        """Tell whether `start` would break another login off, by another way of signing in."""
        return self._running(order.key) is not None and not self.joins(order)

    def _running(self, key: AccountKey) -> Login | None:
        state = self._sessions.get(key)
        return self._logins[state.login] if isinstance(state, Authorizing) else None

    def _flow(
        self, login: Login, provider: ToolDefinition, method: LoginMethod, taking: Taking
    ) -> Coroutine[Any, Any, None]:
        match method:
            case OAuthCode():
                sharing = self._catalogue().sharing(provider.name)
                return BrowserLogin(self._parts, login, provider, method, taking, sharing).run()
            case Device():
                sharing = self._catalogue().sharing(provider.name)
                return DeviceLogin(self._parts, login, provider, method, taking, sharing).run()
            case LoopbackSecret():
                return loopback_secret(self._parts, login, provider, method, taking)
            case Paste():
                return paste(self._parts, login, provider, method, taking)
            case Exchange() | Password() | Poll():
                signed_in = isinstance(self._sessions.get(login.view.key), Active)
                return by_steps(self._parts, login, provider, method, taking, signed_in=signed_in)

    async def _run(
        self, login: Login, taking: Taking, flow: Coroutine[Any, Any, None], patience: float
    ) -> None:
        error = await self._attempt(login, flow, patience)
        if login.saving:  # too late for a change of mind: what comes of the saving counts
            error = await taking.outcome()
        login.forget()
        if error is None:
            return
        # The frames behind it hold what was typed.
        error.__traceback__ = error.__context__ = error.__cause__ = None
        with contextlib.suppress(LateError):  # a logout came first
            self._sessions.apply(login.view.key, LoginEnded(login.view.id))
        over = LoginState.CANCELLED if isinstance(error, CancelledError) else LoginState.FAILED
        if login.view.purpose == "login":
            taking.came_to_nothing(over.value, error)
        login.update(state=over, error=error, prompts=(), url=None, user_code=None, awaits="")

    async def _attempt(
        self, login: Login, flow: Coroutine[Any, Any, None], patience: float
    ) -> AgentError | None:
        """Run the flow; return what ended it before its success."""
        action = login.view.purpose == "action"
        what = f"action {login.view.method}" if action else "login"
        try:
            async with asyncio.timeout(patience):
                await flow
        except TimeoutError:
            whose = f"{'of' if action else 'to'} {login.view.title}"
            message = f"nobody finished the {what} {whose} within {patience:.0f} s"
            return CancelledError(message, hint="start it again")
        except asyncio.CancelledError:
            return CancelledError(f"the {what} was cancelled")
        except AgentError as error:
            return error
        except Exception:
            log.exception("login %s of %s", login.view.id, login.view.key)
            return ProviderError(f"the {what} met an error of the agent's own; its log has more")
        return None

    def get(self, identifier: str) -> Login:
        """Return a login. Raises UnknownLoginError."""
        login = self._logins.get(identifier)
        if login is None:
            message = "there is no such login, or it has been over for a while"
            raise UnknownLoginError(message, hint="start one with 'tool-agent login TOOL'")
        return login

    async def cancel(self, identifier: str) -> LoginView:
        """Break a login off. One that is over, or is being stored already, comes to its end."""
        login = self.get(identifier)
        await login.break_off()
        return login.view

    async def cancel_for(self, key: AccountKey) -> None:
        """Break off the login of an account, if one runs."""
        state = self._sessions.get(key)
        if isinstance(state, Authorizing):
            await self.cancel(state.login)

    async def cancel_all_for(self, key: AccountKey) -> None:
        """Break off all that runs for an account, its actions too: it is being signed out."""
        ours = [login for login in self._logins.values() if login.view.key == key]
        await asyncio.gather(*(login.break_off() for login in ours if not login.view.state.over))

    @property
    def accounts(self) -> set[AccountKey]:
        """The accounts for which a login or an action runs."""
        return {one.view.key for one in self._logins.values() if not one.view.state.over}

    async def close(self) -> None:
        """Break off every login."""
        for identifier in list(self._logins):
            await self.cancel(identifier)

    def _forget_old(self) -> None:
        over = [identifier for identifier, login in self._logins.items() if login.view.state.over]
        for identifier in over[: max(0, len(over) - REMEMBERED + 1)]:
            del self._logins[identifier]


def _choose(provider: ToolDefinition, name: str | None) -> tuple[str, LoginMethod]:
    if not provider.login:
        message = f"{provider.title} has no login: its credential comes from a variable"
        raise InvalidRequestError(message, hint=f"run 'tool-agent tool show {provider.name}'")
    if name is None:
        return next(iter(provider.login.items()))
    if name in provider.login:
        return name, provider.login[name]
    message = f"{provider.name} has no login by {name!r}"
    raise InvalidRequestError(message, hint=f"it has: {', '.join(provider.login)}")


def _preset(name: str, method: LoginMethod, inputs: Mapping[str, Secret]) -> Mapping[str, Secret]:
    """Return answers given in advance. Raises InvalidRequestError for what nobody asks."""
    asked: set[str] = set()
    if isinstance(method, Paste):
        asked = {SECRET_PROMPT}
    elif isinstance(method, Exchange | Password | Poll):
        asked = {ask.name for step in method.step for ask in step.ask}
    unknown = sorted(set(inputs) - asked)
    if unknown:
        message = f"the login by {name} does not ask for {', '.join(unknown)}"
        hint = f"it asks for: {', '.join(sorted(asked)) or 'nothing'}"
        raise InvalidRequestError(message, hint=hint)
    return inputs
