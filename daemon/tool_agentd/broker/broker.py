"""Broker: what the agent does for a request, once the API has understood it."""

import logging
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from msgspec import structs

from tool_agentd.broker import selection
from tool_agentd.broker.accounts import AccountView, views
from tool_agentd.broker.actions import Actions
from tool_agentd.broker.api_keys import ApiKeyDesk
from tool_agentd.broker.approvals import Approvals
from tool_agentd.broker.attendant import Attendant, NoAttendant
from tool_agentd.broker.background import Background
from tool_agentd.broker.backoff import FIRST
from tool_agentd.broker.breakers import Breakers
from tool_agentd.broker.caches import Caches
from tool_agentd.broker.cause import ITSELF, Cause
from tool_agentd.broker.desk import Desk
from tool_agentd.broker.endings import Endings
from tool_agentd.broker.ephemerals import Ephemerals
from tool_agentd.broker.far_clocks import FarClocks
from tool_agentd.broker.flights import Flights
from tool_agentd.broker.gate import Gate
from tool_agentd.broker.identities import CredentialRefusedError, Identities, Who
from tool_agentd.broker.journal import Journal
from tool_agentd.broker.limits import Limits
from tool_agentd.broker.locking import Locking
from tool_agentd.broker.login import Login, LoginView
from tool_agentd.broker.login_flows import Parts
from tool_agentd.broker.logins import LoginOrder, Logins
from tool_agentd.broker.logouts import LogoutReport, Logouts
from tool_agentd.broker.providers import Providers
from tool_agentd.broker.renewal import Renewal
from tool_agentd.broker.revocations import Revocations
from tool_agentd.broker.sessions import Sessions
from tool_agentd.broker.signing import Signing
from tool_agentd.broker.successors import Successors
from tool_agentd.broker.taking import Taking
from tool_agentd.broker.token_ask import TokenAsk
from tool_agentd.broker.tokens import Tokens, check_env, sign_in
from tool_agentd.broker.unsaved import Unsaved
from tool_agentd.definition.catalogue import Catalogue
from tool_agentd.definition.vocabulary import ToolDefinition
from tool_agentd.errors import (
    AgentError,
    InvalidRequestError,
    StoreUnavailableError,
    UnknownAccountError,
)
from tool_agentd.model import (
    NOBODY,
    AccountKey,
    Credential,
    Grant,
    Peer,
)
from tool_agentd.ports import Clock, Http, Loopback, Store, StoreStatus, Witness
from tool_agentd.secret import Secret
from tool_agentd.session import (
    Found,
    grant_of,
)

TICK = 30.0
"""Seconds between looks at what waits: unsaved logins and queued revocations. asyncio's timers
stop in suspend, so nothing relies on a longer one."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Unlocked:
    """What a passphrase has opened, and whether the vault waits for another one."""

    agent: bool
    vault: bool
    sealed: bool = False


class Broker:
    """Sessions, and everything that a peer may have done with them."""

    def __init__(  # noqa: PLR0913 - the composition root names each part
        self,
        store: Store,
        http: Http,
        clock: Clock,
        loopback: Loopback,
        entropy: Callable[[int], bytes],
        catalogue: Catalogue,
        witness: Witness | None = None,
    ) -> None:
        """Take the adapters and the definitions in force."""
        jitter = random.Random(entropy(16))  # noqa: S311 - spreads renewals, guards nothing
        chance = jitter.random
        store = self._store = Ephemerals(store, jitter.randbytes(16))
        self.clocks = http = FarClocks(http)
        self._clock = clock
        self.catalogue = catalogue
        self.gate = Gate(clock, witness)
        self.desk = Desk(clock, entropy)
        self.approvals = Approvals(clock, self.desk, self._title)
        self.gate.approve = self.approvals.approve
        self.sessions = Sessions(store)
        self.attendant: Attendant = NoAttendant()
        self.complaints: list[Callable[[], Sequence[str]]] = [lambda: self.desk.reasons]
        """Who else has reasons to call the agent degraded."""
        self._background = Background()
        self.journal = Journal(store, clock, self._background, chance, self.gate.witness)
        self._unsaved = Unsaved(store, clock, self.journal, chance)
        self._flights = Flights(clock, chance)
        self.caches = Caches(store, http)
        providers = Providers(http, clock)
        self._identities = Identities(http, providers)
        self._revocations = Revocations(store, http, clock, providers, self.journal, chance)
        successors = Successors(store, self.sessions, self._unsaved, self.journal)
        renewal = Renewal(
            store,
            http,
            clock,
            self.sessions,
            providers,
            Breakers(clock, chance),
            self._unsaved,
            self.journal,
            successors,
            self._revoke_late,
        )
        limits = Limits(store, clock)
        self._endings = Endings(
            store,
            self.sessions,
            renewal,
            self._revocations,
            limits,
            self._background,
            self.journal,
        )
        self._tokens = Tokens(
            clock,
            self.sessions,
            self._flights,
            renewal,
            self._endings,
            limits,
            self.gate,
            jitter,
            lambda: self.catalogue,
        )
        self.token, self.check_env = self._tokens.token, check_env  # no layer between: it is hot
        self._logouts = Logouts(
            store, clock, self.sessions, self._unsaved, self._revocations, self.journal, successors
        )
        parts = Parts(http, clock, loopback, providers, self._identities, entropy)

        def taking(login: Login, provider: ToolDefinition, lifetime: float | None) -> Taking:
            return Taking(
                login,
                provider,
                lifetime,
                store=store,
                clock=clock,
                sessions=self.sessions,
                unsaved=self._unsaved,
                revocations=self._revocations,
                background=self._background,
                caches=self.caches,
                journal=self.journal,
            )

        self.logins = Logins(parts, self.sessions, lambda: self.catalogue, taking)
        self.locking = Locking(
            store,
            self.gate,
            self.sessions,
            self.logins,
            self._flights,
            self._unsaved,
            self._background,
            clock,
            entropy,
        )
        self.locking.on_forget = self.approvals.forget
        signing = Signing(http, self.sessions, self._tokens, self._endings, self.gate)
        self.start_action = Actions(
            parts, self.sessions, signing, self.logins, store, lambda: self.catalogue, taking
        ).start
        keys = ApiKeyDesk(self.sessions, signing, lambda: self.catalogue)
        self.list_keys, self.issue_key, self.revoke_key = keys.list, keys.issue, keys.revoke

    # -- the person who is asked -----------------------------------------------------------------

    def _title(self, tool: str) -> str:
        return self.catalogue.get(tool).title

    def left(self, peer: Peer) -> None:
        """A peer's connection is closed: nobody is asked for it, and it answers nothing."""
        self.approvals.left(peer)
        self.desk.left(peer)

    # -- identity --------------------------------------------------------------------------------

    async def identity(
        self, request: TokenAsk, peer: Peer, own: selection.Own | None = None
    ) -> tuple[Who, Credential]:
        """Return whom the tool's credential belongs to; `own` is the person's variable.

        Raises what `token` raises; a credential that the platform refuses is LoginRequiredError.
        """
        tool = self.catalogue.get(request.tool)
        if own is not None:
            mine = selection.own_credential(tool, own)
            spec = selection.own_spec(tool, own[0])
            self.gate.used_own(peer, tool.name, own[0])
            return await self._identities.ask(tool, spec, mine, tool.origins), mine
        request = structs.replace(request, handed=False)
        credential = await self.token(request, peer)
        key = self.sessions.key_for(tool.name, tool.provider_name, request.account)
        grant = grant_of(self.sessions.get(key))
        if grant is None:
            raise sign_in(tool, key, "logged out meanwhile")
        asked = tool
        if selection.spec_for(tool, grant).id not in tool.identity:
            # The provider answers; the tool's own token may be too narrow for its question.
            asked = self.catalogue.provider(tool)
            again = TokenAsk(asked.name, key.label, handed=False, lines=[])
            credential = await self.token(again, peer)
        spec = selection.spec_for(asked, grant)
        try:
            try:
                who = await self._identities.ask(
                    asked, spec, credential, grant.origins, grant.method, grant.kept
                )
            except CredentialRefusedError:
                if not grant.renewable:
                    raise
                # A token may die before its time; the login behind it may be as good as ever.
                credential = await self._tokens.renewed(asked, key, grant, peer)
                who = await self._identities.ask(
                    asked, spec, credential, grant.origins, grant.method, grant.kept
                )
        except CredentialRefusedError as error:
            await self._endings.end_refused(grant, error.detail)
            raise sign_in(tool, key, error.detail) from error
        return who, credential

    @property
    def store(self) -> Store:
        """Where grants rest, for a login that was found elsewhere."""
        return self._store

    @property
    def identities(self) -> Identities:
        """The platforms' identity routes, for a login that was found elsewhere."""
        return self._identities

    # -- accounts --------------------------------------------------------------------------------

    def accounts(self, tool: str | None = None) -> list[AccountView]:
        """Return every account of every tool, or of one. Raises UnknownToolError."""
        return views(self.catalogue, self.sessions, self._clock.now(), tool)

    async def switch(self, tool: str, label: str) -> None:
        """Make `label` the tool's account. Raises UnknownAccountError."""
        await self.load()
        definition = self.catalogue.get(tool)
        key = self.sessions.key_for(tool, definition.provider_name, label)
        there = self.sessions.of_provider(definition.provider_name)
        if key not in there:
            names = ", ".join(k.label for k in there) or "none"
            message = f"{tool} has no account {label!r}; it has: {names}"
            raise UnknownAccountError(
                message, hint=f"run 'tool-agent login {tool} --account {label}'"
            )
        await self.sessions.choose(tool, label)

    # -- login and logout ------------------------------------------------------------------------

    async def start_login(self, order: LoginOrder) -> tuple[LoginView, bool]:
        """Start or join a login. Raises StoreUnavailableError before anybody is sent anywhere.

        LockedError where the agent is locked, also by now.
        """
        await self.load()
        if not self.logins.joins(order):
            await self.logins.cancel_for(order.key)  # the person has chosen another way
            if not order.ephemeral:
                await self._store.prepare()
        self.gate.leave(
            order.by.peer, (order.tool.name,)
        )  # a lock that came meanwhile has ended those it found
        return self.logins.start(order)

    def login(self, identifier: str) -> Login:
        """Return a running login, or one that is just over. Raises UnknownLoginError."""
        return self.logins.get(identifier)

    async def logout(
        self, tool: str, account: str | None, *, forget: bool = False, peer: Peer = NOBODY
    ) -> LogoutReport:
        """End a session: gone here at once, then told to the provider, now or later.

        Raises UnknownAccountError, or StoreUnavailableError with the session as it was.
        """
        await self.load()
        definition = self.catalogue.get(tool)
        key = self.sessions.key_for(tool, definition.provider_name, account)
        return await self.logout_key(key, forget=forget, by=Cause(peer, tool))

    async def logout_key(
        self, key: AccountKey, *, forget: bool = False, by: Cause = ITSELF
    ) -> LogoutReport:
        """End the session of an account; see `logout`."""
        await self.logins.cancel_all_for(key)
        report = await self._logouts.end(
            key, self.catalogue, forget=forget, over=self.attendant.logged_out, by=by
        )
        tools = [tool.name for tool in self.catalogue.sharing(key.provider)]
        await self.sessions.forget_choice(tools, key.label)
        return report

    def _revoke_late(
        self,
        provider: ToolDefinition,
        grant: Grant,
        secret: Secret | None,
        access_tokens: tuple[Secret, ...],
    ) -> None:
        there = grant_of(self.sessions.get(grant.key))
        if there is not None and there.generation != grant.generation:
            # Replaced by a new login, which a revocation might end as well (see taking.py).
            log.warning("%s: a renewal came after a new login and is dropped", grant.key)
            return
        log.warning("%s: a renewal came after its session's end and is revoked", grant.key)
        self._background.later(self._revocations.end(provider, grant, secret, access_tokens))

    # -- the agent's own life --------------------------------------------------------------------

    async def load(self) -> None:
        """Take over what the store has; raises StoreUnavailableError until it answers."""
        await self.sessions.load()

    async def unlock(self, passphrase: Secret, peer: Peer) -> Unlocked:
        """Unlock the agent, and open a vault that the same passphrase seals.

        Raises what `Locking.unlock` raises; of an agent that is not locked, StoreUnavailableError
        for a passphrase that is not the vault's, and InvalidRequestError without such a vault.
        """
        await self.locking.known()
        if not self.locking.locked:
            try:
                await self._store.unlock(passphrase)
            except InvalidRequestError as error:
                message = f"the agent is not locked, and {error.detail}"
                raise InvalidRequestError(message, hint=error.hint) from None
            await self.load()
            return Unlocked(agent=False, vault=True)
        await self.locking.unlock(passphrase, peer)
        sealed = opened = False
        try:
            sealed = await self._store.sealed()
            if sealed:
                await self._store.unlock(passphrase)
                opened = True
        except StoreUnavailableError as error:
            log.info("the passphrase of the lock does not open the vault: %s", error.detail)
        return Unlocked(agent=True, vault=opened, sealed=sealed and not opened)

    async def tick(self) -> None:
        """Look after what waits: every 30 s, and after every wake."""
        try:
            await self.load()
            for held in await self._unsaved.save():
                self.sessions.apply(held.grant.key, Found(held.grant))
            await self._endings.end_lapsed(self.catalogue)
            await self._revocations.drain(self.catalogue)
            await self.journal.flush()
        except StoreUnavailableError as error:
            log.info("the store does not answer: %s", error.detail)
        try:
            await self.attendant.tick()
        finally:
            await self.locking.tick()  # at last: it drops what the others had to open

    @property
    def next_tick(self) -> float:
        """Seconds until the next tick is due: sooner where something waits to be tried again."""
        waits = (self._unsaved.due_in, self._revocations.due_in)
        return max(FIRST, min(TICK, *(wait for wait in waits if wait is not None), TICK))

    def unsaved_reasons(self, key: AccountKey) -> list[str]:
        """Return why the account's newest login is only in memory, if it is."""
        return self._unsaved.reasons_of(key)

    async def status(self) -> tuple[StoreStatus, list[str]]:
        """Return the store's status and every reason to call the agent degraded."""
        store = await self._store.status()
        if self.locking.locked:
            self.locking.drop()  # looking has opened the vault
        reasons = [*self.locking.reasons, *store.problems]
        reasons += [*self._unsaved.reasons, *self._revocations.reasons]
        reasons += self.journal.reasons
        reasons += [*self.gate.witness.reasons, *self.attendant.reasons]
        reasons += [reason for complain in self.complaints for reason in complain()]
        reasons += [problem.detail for problem in self.catalogue.problems if not problem.note]
        return store, reasons

    @property
    def notes(self) -> list[str]:
        """One sentence for everything about the agent itself that is no trouble, for `status`."""
        return [one.detail for one in self.catalogue.problems if one.note and not one.tool]

    @property
    def renewing(self) -> list[AccountKey]:
        """The accounts whose renewal is under way, which an end in order waits for."""
        return self._flights.accounts

    async def close(self) -> None:
        """End in order: logins are broken off, flights land, what waits is saved if it can be."""
        await self.logins.close()
        await self.attendant.close()
        await self._flights.land()
        try:
            await self._unsaved.save(at_once=True)
        except AgentError as error:
            log.error("not saved at the end: %s", error.detail)  # noqa: TRY400 - its words say all
        await self._endings.note_uses(self.catalogue)
        await self._endings.end_ephemerals(self.catalogue)
        await self._background.settle()
        await self.journal.flush(at_once=True)
        await self._store.close()
