"""Logins: those that run now, who may join them, and how what they bring is taken in."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any

from tool_agentd.broker.login import Login, LoginState, LoginView
from tool_agentd.broker.login_browser import BrowserLogin
from tool_agentd.broker.login_flows import Parts, paste
from tool_agentd.broker.sessions import Sessions
from tool_agentd.broker.taking import Taking
from tool_agentd.definition import duration
from tool_agentd.definition.catalogue import Catalogue
from tool_agentd.definition.vocabulary import Login as LoginMethod
from tool_agentd.definition.vocabulary import OAuthCode, Paste, ToolDefinition
from tool_agentd.errors import (
    AgentError,
    CancelledError,
    InvalidRequestError,
    ProviderError,
    UnknownLoginError,
)
from tool_agentd.model import AccountKey
from tool_agentd.session import (
    Authorizing,
    LateError,
    LoginBegan,
    LoginEnded,
)

PASTE_TIMEOUT = 600.0
"""Seconds that a login waits for a key: as long as a browser login by default."""
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
    inputs: Mapping[str, str] | None = None


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
        identifier = self._parts.entropy(LOGIN_ID_BYTES).hex()
        timeout = (
            duration.seconds(method.timeout) if isinstance(method, OAuthCode) else PASTE_TIMEOUT
        )
        view = LoginView(
            id=identifier,
            tool=order.tool.name,
            key=order.key,
            method=name,
            title=provider.title,
            expires_at=self._parts.clock.now().wall + timeout,
        )
        login = self._logins[identifier] = Login(view)
        self._sessions.apply(order.key, LoginBegan(identifier))
        taking = self._taking(login, provider, order.lifetime)
        login.begin(self._run(login, taking, self._flow(login, provider, method, taking), timeout))
        return login.view, False

    def joins(self, order: LoginOrder) -> bool:
        """Tell whether `start` would join a login that runs: any, or the one by this method."""
        running = self._running(order.key)
        return running is not None and order.method in {None, running.view.method}

    def _running(self, key: AccountKey) -> Login | None:
        state = self._sessions.get(key)
        return self._logins[state.login] if isinstance(state, Authorizing) else None

    def _flow(
        self, login: Login, provider: ToolDefinition, method: LoginMethod, taking: Taking
    ) -> Coroutine[Any, Any, None]:
        match method:
            case OAuthCode():
                sharing = self._catalogue().sharing(provider.name)
                return BrowserLogin(self._parts, login, provider, sharing, method, taking).run()
            case Paste():
                return paste(self._parts, login, provider, method, taking)

    async def _run(
        self, login: Login, taking: Taking, flow: Coroutine[Any, Any, None], patience: float
    ) -> None:
        error = await self._attempt(login, flow, patience)
        if login.saving:  # too late for a change of mind: what comes of the saving counts
            error = await taking.outcome()
        if error is None:
            return
        with contextlib.suppress(LateError):  # a logout came first
            self._sessions.apply(login.view.key, LoginEnded(login.view.id))
        over = LoginState.CANCELLED if isinstance(error, CancelledError) else LoginState.FAILED
        login.update(state=over, error=error, prompts=(), url=None)

    async def _attempt(
        self, login: Login, flow: Coroutine[Any, Any, None], patience: float
    ) -> AgentError | None:
        """Run the flow; return what ended it before its success."""
        title = login.view.title
        try:
            async with asyncio.timeout(patience):
                await flow
        except TimeoutError:
            message = f"nobody finished the login to {title} within {patience:.0f} s"
            return CancelledError(message, hint="start it again")
        except asyncio.CancelledError:
            return CancelledError("the login was cancelled")
        except AgentError as error:
            return error
        except Exception:
            log.exception("login %s of %s", login.view.id, login.view.key)
            return ProviderError("the login met an error of the agent's own; its log has more")
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
