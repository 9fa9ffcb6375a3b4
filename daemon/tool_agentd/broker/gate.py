"""Gate: every request for a credential passes it. The lock, the policy, the person, the witness.

`policy` decides, the person confirms what it leaves to them, and the witness hears of each outcome.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass

from msgspec import structs

from tool_agentd import policy
from tool_agentd.broker.lock import Unknown
from tool_agentd.broker.token_ask import TokenAsk
from tool_agentd.errors import AgentError, DeniedError, LockedError, StoreUnavailableError
from tool_agentd.model import (
    NOBODY,
    AccountKey,
    AuditEvent,
    AuditLine,
    Grant,
    GrantKind,
    Peer,
    TokenKey,
)
from tool_agentd.policy import EVERY, OPEN, Confirm, Deny, Table, Verdict
from tool_agentd.ports import Clock, Witness


@dataclass(frozen=True, slots=True)
class Wanted:
    """Who asks for which credential."""

    peer: Peer
    tool: str
    key: AccountKey
    scope: str = ""
    """Separated by blanks; empty: what the login has."""
    audience: str = ""


Approve = Callable[[Wanted, Confirm], Awaitable[str]]
"""Asks the person whether a peer may have a credential. Returns for how long they say so, and by
what, in words; empty where they have said so before. Raises DeniedError, also where nobody can be
asked."""

LOCKED = "the agent is locked"
UNLOCK = "run 'tool-agent unlock'"
STRANGERS_APART = 10.0
"""Seconds between two lines about processes of other users: those who loop fill 50 MiB in a month,
and not within the minute."""
ASK_AGAIN = 5.0
"""Seconds until a store that did not answer may usefully be asked again."""


class NoWitness:
    """Nobody records."""

    urgent = False
    reasons: Sequence[str] = ()

    def record(self, line: AuditLine) -> None:
        """Forget it."""

    async def settled(self) -> None:
        """Return at once."""


async def nobody_to_ask(wanted: Wanted, verdict: Confirm) -> str:
    """Fail closed: without anybody to ask, the answer is no."""
    what = f"{wanted.tool} ({wanted.key.label})"
    message = f"{what} is handed out after a confirmation, and nobody can be asked"
    raise DeniedError(message, hint=f"the rule is: {verdict.rule}")


class Gate:
    """Admits, or raises. What is open to everyone of the same uid costs it a comparison."""

    def __init__(self, clock: Clock, witness: Witness | None = None) -> None:
        """Begin unlocked, with no rules and nobody to ask."""
        self._clock = clock
        self.witness: Witness = witness or NoWitness()
        self.table = Table()
        self.locked = False
        """Whether nothing passes: set by `locking` alone."""
        self.unknown: Unknown | None = None
        """Why nothing passes though nobody has locked: the store has not told yet."""
        self.approve: Approve = nobody_to_ask
        self._strangers = 0
        """Those who have knocked since the last line about one."""
        self._strangers_due = float("-inf")

    # -- the door --------------------------------------------------------------------------------

    def enter(
        self,
        peer: Peer,
        tools: tuple[str, ...],
        *,
        serves_tokens: bool,
        while_locked: bool,
        answers: bool = False,
    ) -> None:
        """Let a request in, on a route that is about `tools`. Raises DeniedError or LockedError.

        `answers`: one that answers for the person. StoreUnavailableError, here and below, where it
        is not known whether it is locked.
        """
        if peer.foreign or peer.rights is not None:
            rules = self.table.of(tools[0] if len(tools) == 1 else EVERY)
            now = self._clock.now()
            verdict = policy.entry(peer, tools, rules, now, serves_tokens=serves_tokens)
            if answers:
                verdict = policy.answering(verdict, peer)
            if isinstance(verdict, Deny):
                raise self._denied(peer, " ".join(tools), "", "", verdict)
        if self.locked and not while_locked:
            raise self._locked(peer, " ".join(tools))

    # -- one credential --------------------------------------------------------------------------

    def narrowed(self, request: TokenAsk, peer: Peer) -> TokenAsk:
        """Return the request as the peer may make it. Raises DeniedError where it may not.

        One that names no scope is not narrowed yet: see `within`.
        """
        rules = self.table.of(request.tool)
        rights = peer.rights
        if rights is not None and request.account is None:
            request = structs.replace(request, account=rights.account)
        if rights is not None and request.audience:
            # It may be another tool's: tools that share a provider share its logins.
            said = f"the socket {rights.socket}"
            detail = f"{said} serves {request.tool} for its own audience alone"
            verdict = Deny(said, detail, "leave the audience out")
            raise self._denied(peer, request.tool, request.account or "", "", verdict)
        limit = policy.most(peer, rules)
        if limit is None:
            return request
        widest, said = limit
        # Blanks name no scope, and without a name the provider gives all that the login has.
        scope = " ".join((request.scope or "").split())
        wanted = frozenset(scope.split())
        if not wanted <= widest:
            over = " ".join(sorted(wanted - widest))
            verdict = Deny(
                said,
                f"{over} goes beyond what may be asked of {request.tool}",
                f"{said} lets through: {' '.join(sorted(widest)) or 'nothing'}",
            )
            raise self._denied(peer, request.tool, request.account or "", over, verdict)
        return structs.replace(request, scope=scope or None)

    def within(self, request: TokenAsk, peer: Peer, usual: Iterable[str]) -> TokenAsk:
        """Return a request that names no scope with as much of `usual` as the peer may ask for.

        `usual` is what would come without a limit; nothing: it is not known. Raises DeniedError
        where the limit leaves nothing of it.
        """
        limit = policy.most(peer, self.table.of(request.tool))
        if limit is None or request.scope:
            return request
        widest, said = limit
        has = frozenset(usual)
        found = widest & has if has else widest
        if not found:
            verdict = Deny(
                said,
                f"nothing of what {request.tool} has may be asked for:"
                f" {' '.join(sorted(has)) or 'its scopes are not known'}",
                f"{said} lets through: {' '.join(sorted(widest)) or 'nothing'}",
            )
            raise self._denied(peer, request.tool, request.account or "", "", verdict)
        return structs.replace(request, scope=" ".join(sorted(found)))

    async def admit(self, wanted: Wanted, grant: Grant | None) -> None:
        """Let a peer have a credential of the account. Raises DeniedError or LockedError.

        `grant` is what the account has; without one nobody is asked, as there is nothing to have.
        """
        if self.locked:
            raise self._locked(wanted.peer, wanted.tool)
        verdict = self.verdict(wanted.tool, wanted.key, grant, wanted.peer)
        if isinstance(verdict, Deny):
            raise self._denied(wanted.peer, wanted.tool, wanted.key.label, wanted.scope, verdict)
        if isinstance(verdict, Confirm) and grant is not None:
            await self._confirmed(wanted, verdict)
            if self.witness.urgent:  # the person's answer is a line
                await self.witness.settled()

    def verdict(self, tool: str, key: AccountKey, grant: Grant | None, peer: Peer) -> Verdict:
        """Return what the policy says of a peer and an account, the stricter of rule and grant.

        Nobody is asked.
        """
        rules = self.table.of(tool)
        limit = policy.most(peer, rules)
        if limit is not None and grant is not None and grant.kind is not GrantKind.REFRESH_TOKEN:
            what = grant.kind.value.replace("_", " ")
            return Deny(
                limit[1],
                f"{tool} ({key.label}) has a {what}, which cannot be narrowed to a scope",
                f"{limit[1]} limits it; sign in by a method that gives access tokens",
            )
        verdict = policy.decide(peer, tool, key.label, rules, self._clock.now())
        return policy.stricter(verdict, asks=grant is not None and grant.confirm)

    async def _confirmed(self, wanted: Wanted, verdict: Confirm) -> None:
        peer, tool, label, scope = wanted.peer, wanted.tool, wanted.key.label, wanted.scope
        try:
            said = await self.approve(wanted, verdict)
        except DeniedError as error:
            if self.locked:  # which ends every question
                raise self._locked(peer, tool) from error
            denied = Deny(verdict.rule, error.detail, error.hint or "")
            raise self._denied(peer, tool, label, scope, denied) from error
        if self.locked:  # meanwhile
            raise self._locked(peer, tool)
        if said:
            self._record(AuditEvent.APPROVAL, "ok", peer, tool, label, scope, said)

    def open_to(self, tool: str, peer: Peer) -> bool:
        """Tell whether there is nothing to decide: the usual case, and the hot one."""
        if peer is NOBODY:
            return not self.locked
        return (
            not self.locked
            and peer.rights is None
            and not peer.foreign
            and self.table.of(tool) is OPEN
        )

    def granted(self, peer: Peer, request: TokenAsk, key: AccountKey, want: TokenKey) -> None:
        """Tell the witness that a credential leaves the agent, or is used for the peer."""
        if peer is NOBODY:
            return
        line = AuditLine(
            self._clock.now().wall,
            AuditEvent.GRANT if request.handed else AuditEvent.USE,
            "ok",
            peer,
            request.tool,
            key.label,
            " ".join(want.scopes),
            want.audience,
            provider=key.provider,
        )
        if request.lines is None:
            self.witness.record(line)
        else:
            request.lines.append(line)

    def tell(self, lines: Iterable[AuditLine]) -> None:
        """Tell the witness of what was held back until it was sure to leave."""
        for line in lines:
            self.witness.record(line)

    def told(
        self, event: AuditEvent, peer: Peer, tool: str, key: AccountKey | None, detail: str
    ) -> None:
        """Tell the witness of what was done with a credential; `key`: the account's, if one's."""
        label = key.label if key is not None else ""
        self._record(event, "ok", peer, tool, label, "", detail)

    def used_own(self, peer: Peer, tool: str, variable: str) -> None:
        """Tell the witness that a variable of the person's was used for them, without its value."""
        if peer is not NOBODY:
            self.told(AuditEvent.USE, peer, tool, None, f"the person's own {variable}")

    # -- at the end ------------------------------------------------------------------------------

    def leave(self, peer: Peer, tools: tuple[str, ...]) -> None:
        """Let a secret out that was ready. Raises LockedError where it is locked meanwhile."""
        if self.locked:
            raise self._locked(peer, " ".join(tools))

    def refused(self, peer: Peer, error: DeniedError) -> DeniedError:
        """Tell the witness of a denial that was decided elsewhere, and return it."""
        self._record(AuditEvent.DENIAL, "denied", peer, "", "", "", error.detail)
        return error

    def stranger(self, peer: Peer) -> None:
        """Tell the witness of a process of another user's, which got zero bytes.

        Of many, one now and then, with the number of those between: nobody of another user may
        turn the audit trail over.
        """
        now = self._clock.now().boot
        if now < self._strangers_due:
            self._strangers += 1
            return
        more = f"; {self._strangers} more before it" if self._strangers else ""
        self._strangers, self._strangers_due = 0, now + STRANGERS_APART
        self._record(AuditEvent.DENIAL, "denied", peer, "", "", "", f"another user's process{more}")

    def gone(self, peer: Peer, why: str) -> None:
        """Tell the witness that whoever asked is not there any more, and got nothing."""
        self._record(AuditEvent.GONE, "unanswered", peer, "", "", "", why)

    def _denied(
        self, peer: Peer, tool: str, account: str, scope: str, verdict: Deny
    ) -> DeniedError:
        detail = f"{verdict.rule}: {verdict.detail}"
        self._record(AuditEvent.DENIAL, "denied", peer, tool, account, scope, detail)
        return DeniedError(verdict.detail, hint=verdict.hint)

    def _locked(self, peer: Peer, tool: str) -> AgentError:
        if self.unknown is not None:
            why = f": {self.unknown.why}" if self.unknown.why else ""
            message = f"it is not known yet whether the agent is locked{why}"
            return StoreUnavailableError(message, hint=self.unknown.hint, retry_after=ASK_AGAIN)
        self._record(AuditEvent.DENIAL, "locked", peer, tool, "", "", LOCKED)
        return LockedError(LOCKED, hint=UNLOCK)

    def _record(  # noqa: PLR0913 - the columns of a line
        self,
        event: AuditEvent,
        outcome: str,
        peer: Peer,
        tool: str,
        account: str,
        scope: str,
        detail: str,
    ) -> None:
        now = self._clock.now().wall
        self.witness.record(
            AuditLine(now, event, outcome, peer, tool, account, scope, detail=detail)
        )
