"""Tokens: how an account's grant serves a tool, from the last access token or a renewed one."""

import math
import random
from collections.abc import Callable

from tool_agentd.broker import selection
from tool_agentd.broker.cause import Cause
from tool_agentd.broker.endings import Endings
from tool_agentd.broker.flights import Flight, Flights
from tool_agentd.broker.gate import Gate, Wanted
from tool_agentd.broker.limits import Limits, Rules
from tool_agentd.broker.renewal import Renewal
from tool_agentd.broker.serving import Serving
from tool_agentd.broker.sessions import Sessions
from tool_agentd.broker.token_ask import TokenAsk
from tool_agentd.definition import credentials
from tool_agentd.definition.catalogue import Catalogue
from tool_agentd.definition.vocabulary import ToolDefinition
from tool_agentd.errors import (
    CheckEnvError,
    ConflictError,
    InvalidRequestError,
    LoginRequiredError,
    StoreUnavailableError,
    TemporarilyUnavailableError,
)
from tool_agentd.model import NOBODY, AccessToken, AccountKey, Credential, Grant, GrantKind, Peer
from tool_agentd.oauth.token import NotGrantedError
from tool_agentd.ports import Clock
from tool_agentd.session import (
    Active,
    Expired,
    Refresh,
    Serve,
    ServeAndRefresh,
    SignIn,
    ask,
    grant_of,
    settled,
)


class Tokens:
    """The credentials of every account. A cached one costs no lock, no disk and no keychain."""

    def __init__(  # noqa: PLR0913 - what a renewal takes
        self,
        clock: Clock,
        sessions: Sessions,
        flights: Flights,
        renewal: Renewal,
        endings: Endings,
        limits: Limits,
        gate: Gate,
        jitter: random.Random,
        catalogue: Callable[[], Catalogue],
    ) -> None:
        """Take the parts; `jitter` spreads the renewals that are ahead of their time."""
        self._clock = clock
        self._sessions = sessions
        self._flights = flights
        self._renewal = renewal
        self._endings = endings
        self._limits = limits
        self._gate = gate
        self._jitter = jitter
        self._catalogue = catalogue

    async def token(self, request: TokenAsk, peer: Peer) -> Credential:
        """Return a credential of the tool.

        Raises UnknownToolError, LoginRequiredError, CheckEnvError, TemporarilyUnavailableError,
        ProviderError, StoreUnavailableError, ConfigurationError, InvalidRequestError, DeniedError
        or LockedError.
        """
        tool = self._catalogue().get(request.tool)
        guarded = not self._gate.open_to(request.tool, peer)
        if guarded:
            request = self._gate.narrowed(request, peer)
        if not self._sessions.loaded:
            check_env(tool, request)
            await self._sessions.load()
        key = self._sessions.key_for(tool.name, tool.provider_name, request.account)
        grant = grant_of(self._sessions.get(key))
        if guarded or (grant is not None and grant.confirm and peer is not NOBODY):
            request = await self._let_through(tool, key, request, peer)
        serving = self._serving(tool, key, request)
        if serving.rules is not None:
            await self._within(serving.rules, tool, key)
        match ask(
            self._sessions.get(key),
            serving.want,
            self._clock.now(),
            min_ttl=request.min_ttl,
            jitter=serving.jitter,
        ):
            case Serve(token):
                pass
            case ServeAndRefresh(token):
                self._flights.behind((key, serving.want), self._flight(serving, math.inf, peer))
            case Refresh():
                check_env(tool, request)
                token = await self._renewed(serving, request, peer)
            case SignIn(reason):
                check_env(tool, request)
                if await self._sessions.adopt(key):
                    return await self.token(request, peer)
                raise self._signed_out(tool, key, reason)
        self._gate.granted(peer, request, key, serving.want)
        return serving.credential(token)

    async def _let_through(
        self, tool: ToolDefinition, key: AccountKey, request: TokenAsk, peer: Peer
    ) -> TokenAsk:
        """Return the request as it passes the gate. Raises DeniedError or LockedError."""
        there = settled(self._sessions.get(key), self._clock.now())
        # Nobody is asked to confirm what an ended session cannot give.
        grant = there.grant if isinstance(there, Active) else None
        if grant is not None and grant.kind is GrantKind.REFRESH_TOKEN:
            request = self._gate.within(request, peer, self._usual(tool, grant, request))
        wanted = Wanted(peer, tool.name, key, request.scope or "", request.audience or "")
        await self._gate.admit(wanted, grant)
        now = grant_of(self._sessions.get(key))
        if grant is not None and (now is None or now.obtained_at != grant.obtained_at):
            # The person may have taken half a minute, and has said yes to another login.
            raise ConflictError(
                f"{key} was logged out or signed in anew meanwhile", hint="ask again"
            )
        return request

    def _usual(self, tool: ToolDefinition, grant: Grant, request: TokenAsk) -> tuple[str, ...]:
        """Return the scopes that a request gets which names none."""
        _, want = selection.wanted(self._catalogue(), tool, grant, None, request.audience)
        return want.scopes or grant.scopes

    async def _within(self, rules: Rules, tool: ToolDefinition, key: AccountKey) -> None:
        """Check the session's limits. Raises LoginRequiredError where one is reached."""
        over = await self._endings.reached(self._catalogue(), key, rules)
        if over is not None:
            raise self._signed_out(tool, key, over)

    async def renewed(
        self, tool: ToolDefinition, key: AccountKey, grant: Grant, peer: Peer
    ) -> Credential:
        """Return a fresh credential, whatever life the last one has: its platform refuses that.

        Raises what `token` raises.
        """
        spec, want = selection.wanted(self._catalogue(), tool, grant, None, None)
        serving = Serving(tool, key, spec, want)
        return serving.credential(
            await self._landed(serving, TokenAsk(tool.name), math.inf, peer, dead=True)
        )

    def _serving(self, tool: ToolDefinition, key: AccountKey, request: TokenAsk) -> Serving:
        """Return how the account serves the tool; worked out once for each of its states."""
        derived = self._sessions.derived(key)
        asked = (tool.name, request.scope, request.audience)
        known: Serving | None = derived.get(asked)
        if known is not None and known.tool is tool:
            return known
        grant = grant_of(self._sessions.get(key))
        scope, audience = request.scope, request.audience
        spec, want = selection.wanted(self._catalogue(), tool, grant, scope, audience)
        fresh = derived[asked] = Serving(tool, key, spec, want, self._jitter.uniform(-1, 1))
        fresh.rules = self._limits.rules(self._catalogue().provider(tool), grant)
        fresh.used = self._limits.used
        return fresh

    def _flight(
        self, serving: Serving, needed: float | None, peer: Peer, *, dead: bool = False
    ) -> Flight:
        provider = self._catalogue().provider(serving.tool)
        spec, key, want = serving.spec, serving.key, serving.want
        by = Cause(peer, serving.tool.name, " ".join(want.scopes), want.audience)
        return lambda: self._renewal.renew(provider, spec, key, want, needed, by, dead=dead)

    async def _landed(
        self,
        serving: Serving,
        request: TokenAsk,
        needed: float | None,
        peer: Peer,
        *,
        dead: bool = False,
    ) -> AccessToken:
        """Renew, and wait for it. What nobody has named and the login lacks, a login brings."""
        self._gate.leave(
            peer, (serving.tool.name,)
        )  # a lock may have come since the request was let in
        flight = self._flight(serving, needed, peer, dead=dead)
        try:
            return await self._flights.join((serving.key, serving.want), flight)
        except NotGrantedError as error:
            spec = serving.spec
            asked = [f"scope {spec.scope}"] if spec.scope else []
            asked += [f"audience {spec.audience}"] if spec.audience else []
            if request.scope or request.audience or not asked:
                raise
            what = ", ".join(asked)
            detail = f"the login does not include what {serving.tool.name} asks for ({what})"
            raise LoginRequiredError(
                f"{detail}: {error.detail}", hint=login_hint(serving.tool, serving.key)
            ) from error

    async def _renewed(self, serving: Serving, request: TokenAsk, peer: Peer) -> AccessToken:
        tool, key, needed = serving.tool, serving.key, request.min_ttl
        try:
            token = await self._landed(serving, request, needed, peer)
        except (TemporarilyUnavailableError, StoreUnavailableError):
            valid = ask(self._sessions.get(key), serving.want, self._clock.now(), min_ttl=0)
            if needed is None and isinstance(valid, Serve | ServeAndRefresh):
                return valid.token  # short of its margin, but true: better than nothing
            raise
        except LoginRequiredError as error:
            if isinstance(error.__cause__, NotGrantedError):
                raise  # signed in, but not for this
            raise self._signed_out(tool, key, error.detail) from error
        left = self._clock.now().until(token.expires)
        if needed is not None and left < needed:
            message = (
                f"a fresh token of {tool.name} lives {token.lifetime:.0f} s, "
                f"less than the {needed:.0f} s asked for"
            )
            raise InvalidRequestError(message, hint="ask for a smaller --min-ttl")
        return token

    def _signed_out(self, tool: ToolDefinition, key: AccountKey, reason: str) -> LoginRequiredError:
        """Return the error; where the session ended by itself, it says where to read more."""
        error = sign_in(tool, key, reason)
        if isinstance(settled(self._sessions.get(key), self._clock.now()), Expired):
            error.hint = f"{error.hint}; 'tool-agent why {tool.name}' tells what happened"
        return error


def check_env(tool: ToolDefinition, request: TokenAsk, *, choosing: bool = False) -> None:
    """Ask the client to look for the person's own variables first, if it has not yet.

    `choosing`: a login is to begin whose method nobody has named; a variable that a login
    takes would. Raises CheckEnvError. A caller that does not look at variables is not asked.
    """
    if request.unset is None:
        return
    looked = {name.strip() for name in request.unset.split(",")}
    first = [
        variable.name
        for variable in credentials.person_variables(tool)
        if variable.before_session or (choosing and variable.login is not None)
    ]
    if not looked.issuperset(first):
        message = f"look for {', '.join(first)} first"
        raise CheckEnvError(message)


def sign_in(tool: ToolDefinition, key: AccountKey, reason: str) -> LoginRequiredError:
    """Return the error of an account that only its person can help."""
    detail = f"{tool.name} is not signed in"
    if reason:
        detail = f"{tool.name} is signed out: {reason}"
    return LoginRequiredError(detail, hint=login_hint(tool, key))


def login_hint(tool: ToolDefinition, key: AccountKey) -> str:
    """Return the command that signs the account in."""
    command = f"tool-agent login {tool.name}"
    if key.label != "default":
        command += f" --account {key.label}"
    return f"run '{command}'"
