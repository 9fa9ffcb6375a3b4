"""Logins: those that run now, who may join them, and how what they bring is taken in."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from tool_agentd.broker import login_flows
from tool_agentd.broker.login import Login, LoginState, LoginView
from tool_agentd.broker.login_flows import Obtained, Parts
from tool_agentd.broker.revocations import Revocations
from tool_agentd.broker.sessions import Sessions
from tool_agentd.definition import duration
from tool_agentd.definition.catalogue import Catalogue
from tool_agentd.definition.vocabulary import Login as LoginMethod
from tool_agentd.definition.vocabulary import OAuthCode, Paste, ToolDefinition
from tool_agentd.errors import (
    AgentError,
    CancelledError,
    ConflictError,
    InvalidRequestError,
    ProviderError,
    UnknownLoginError,
)
from tool_agentd.model import AccountKey, Grant, Standing
from tool_agentd.ports import Store
from tool_agentd.session import (
    Authorizing,
    LateError,
    LoginBegan,
    LoginEnded,
    LoginSucceeded,
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
        store: Store,
        sessions: Sessions,
        revocations: Revocations,
        catalogue: Callable[[], Catalogue],
    ) -> None:
        """Take the parts."""
        self._parts = parts
        self._store = store
        self._sessions = sessions
        self._revocations = revocations
        self._catalogue = catalogue
        self._logins: dict[str, Login] = {}

    def start(self, order: LoginOrder) -> tuple[LoginView, bool]:
        """Start a login, or join the one that runs for the account; tell whether it was joined.

        Raises InvalidRequestError for a method that the tool does not have.
        """
        catalogue = self._catalogue()
        provider = catalogue.provider(order.tool)
        name, method = _choose(provider, order.method)
        running = self._sessions.get(order.key)
        if isinstance(running, Authorizing):
            login = self._logins[running.login]
            if login.view.method == name:
                if order.inputs:
                    login.offer(order.inputs)
                return login.view, True
            message = f"another login of {order.key} is under way, by {login.view.method}"
            raise ConflictError(message, hint="finish it or cancel it first (Ctrl-C where it runs)")
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
        sharing = catalogue.sharing(provider.name)
        login.task = asyncio.ensure_future(
            self._run(login, order, provider, sharing, method, timeout)
        )
        return login.view, False

    async def _run(  # noqa: PLR0913 - one login, with all that it needs
        self,
        login: Login,
        order: LoginOrder,
        provider: ToolDefinition,
        sharing: tuple[ToolDefinition, ...],
        method: LoginMethod,
        patience: float,
    ) -> None:
        async def conclude(obtained: Obtained) -> str:
            return await self._conclude(login, order, provider, obtained)

        try:
            async with asyncio.timeout(patience):
                match method:
                    case OAuthCode():
                        await login_flows.oauth_code(
                            self._parts, login, provider, sharing, method, conclude
                        )
                    case Paste():
                        await login_flows.paste(self._parts, login, provider, method, conclude)
        except TimeoutError:
            message = f"nobody finished the login to {provider.title} within {patience:.0f} s"
            self._end(login, LoginState.FAILED, CancelledError(message, hint="start it again"))
        except asyncio.CancelledError:
            self._end(login, LoginState.CANCELLED, CancelledError("the login was cancelled"))
        except CancelledError as error:
            self._end(login, LoginState.CANCELLED, error)
        except AgentError as error:
            self._end(login, LoginState.FAILED, error)
        except Exception:
            log.exception("login %s of %s", login.view.id, login.view.key)
            broken = ProviderError("the login met an error of the agent's own; its log has more")
            self._end(login, LoginState.FAILED, broken)

    def _end(self, login: Login, state: LoginState, error: AgentError) -> None:
        with contextlib.suppress(LateError):  # a logout, or this login's success, came first
            self._sessions.apply(login.view.key, LoginEnded(login.view.id))
        if login.view.state is not LoginState.DONE:
            login.update(state=state, error=error, prompts=(), url=None)

    async def _conclude(
        self, login: Login, order: LoginOrder, provider: ToolDefinition, obtained: Obtained
    ) -> str:
        """Store what the login brought, then let everyone see it. Returns the words for both."""
        now = self._parts.clock.now()
        grant = obtained.grant
        if order.lifetime is not None:
            grant = replace(grant, ends_at=now.wall + order.lifetime)
        async with self._store.lease(grant.key):
            if not self._awaited(login):
                await self._revoke(provider, obtained)
                raise CancelledError("the login was cancelled; what it brought was revoked")
            if obtained.secret is not None:
                try:
                    grant = await self._save(grant, obtained)
                except AgentError:
                    await self._revoke(provider, obtained)  # nobody could use it, or end it
                    raise
            try:
                self._sessions.apply(
                    grant.key, LoginSucceeded(login.view.id, grant, obtained.token)
                )
            except LateError:
                await self._store.delete(grant)
                await self._revoke(provider, obtained)
                raise CancelledError(
                    "the login was cancelled; what it brought was revoked"
                ) from None
        text = f"Logged in to {provider.title}"
        text += f" as {grant.identity.name}." if grant.identity.name else "."
        if not obtained.verified:
            text += " The key was not tried: the definition does not say how."
        if obtained.secret is None:
            text += " The provider gave nothing that lasts: this login ends with its token."
        login.update(
            state=LoginState.DONE, identity=grant.identity, text=text, prompts=(), url=None
        )
        return text

    async def _save(self, grant: Grant, obtained: Obtained) -> Grant:
        if obtained.secret is None:
            raise AssertionError
        for kept in await self._store.list():
            if kept.key == grant.key and kept.standing is not Standing.REVOKE_ONLY:
                return await self._store.write(grant, obtained.secret, expected=kept.generation)
        return await self._store.write(grant, obtained.secret, expected=0)

    def _awaited(self, login: Login) -> bool:
        state = self._sessions.get(login.view.key)
        return isinstance(state, Authorizing) and state.login == login.view.id

    async def _revoke(self, provider: ToolDefinition, obtained: Obtained) -> None:
        if obtained.token is not None:
            await self._revocations.tell(
                provider, obtained.grant, obtained.secret, [obtained.token.value]
            )

    def get(self, identifier: str) -> Login:
        """Return a login. Raises UnknownLoginError."""
        login = self._logins.get(identifier)
        if login is None:
            message = "there is no such login, or it has been over for a while"
            raise UnknownLoginError(message, hint="start one with 'tool-agent login TOOL'")
        return login

    async def cancel(self, identifier: str) -> LoginView:
        """Break a login off; one that is over stays as it is."""
        login = self.get(identifier)
        if login.task is not None and not login.task.done():
            login.task.cancel()
            await asyncio.wait({login.task})
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
