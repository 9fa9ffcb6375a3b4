"""What `status` says about the store: in bounded time, without a dialog, and not too often."""

from collections import Counter
from collections.abc import Callable
from sqlite3 import Connection

from tool_agentd.adapters.store import kinds, rows, sealing, tables
from tool_agentd.adapters.store.database import Database
from tool_agentd.adapters.store.keychain import Keychain
from tool_agentd.adapters.store.keychain_trouble import locked
from tool_agentd.adapters.store.schema import Header
from tool_agentd.adapters.store.vault import Vault
from tool_agentd.errors import AgentError
from tool_agentd.ports import StoreStatus

LOOK_DEADLINE = 2.0
"""Seconds for the keychain's answer: `status` is run by people, and by scripts in a loop."""
CACHED_SECONDS = 2.0
"""How long an answer stands, so that `status --watch` does not load the keychain."""

OS_KEYCHAIN = "the OS keychain"


class Reporter:
    """Describes the configured box, and what else grants.db holds."""

    def __init__(  # noqa: PLR0913 - the composition root's only call
        self,
        choice: kinds.Choice,
        *,
        database: Database,
        keychain: Keychain,
        vault: Vault,
        monotonic: Callable[[], float],
        passphrase_in_file: bool,
    ) -> None:
        """`passphrase_in_file` says that the passphrase lies on this machine."""
        self._choice = choice
        self._database = database
        self._keychain = keychain
        self._vault = vault
        self._monotonic = monotonic
        self._passphrase_in_file = passphrase_in_file
        self._last: tuple[float, StoreStatus] | None = None

    def forget(self) -> None:
        """Look again at the next call."""
        self._last = None

    async def status(self) -> StoreStatus:
        """Return the status, at most CACHED_SECONDS old."""
        now = self._monotonic()
        if self._last is not None and 0 <= now - self._last[0] < CACHED_SECONDS:
            return self._last[1]
        status = await self._look()
        self._last = now, status
        return status

    async def _look(self) -> StoreStatus:
        problems: list[str] = []
        stored, header, boxes = None, None, Counter[str]()
        try:
            header, stored, boxes, damaged = await self._database.run(_census)
            problems += [f"the row of {name} in grants.db is damaged" for name in damaged]
        except AgentError as error:
            problems.append(error.detail)
        if self._choice.kind == rows.KEYCHAIN:
            rests = await self._keychain_in_words(problems)
        else:
            rests = await self._vault_in_words(header, stored, problems)
        other = boxes.total() - boxes[self._choice.kind]
        if other:
            elsewhere = "a vault" if self._choice.kind == rows.KEYCHAIN else OS_KEYCHAIN
            rests += f"; {other} of {boxes.total()} still in {elsewhere}"
        return StoreStatus(self._choice.kind, rests, tuple(problems))

    async def _keychain_in_words(self, problems: list[str]) -> str:
        try:
            title, is_locked = await self._keychain.look(deadline=LOOK_DEADLINE)
        except AgentError as error:
            problems.append(error.detail)
            return OS_KEYCHAIN
        if is_locked:
            problems.append(locked(title).detail)
        return f"{OS_KEYCHAIN} ({title})"

    async def _vault_in_words(
        self, header: Header | None, stored: bytes | None, problems: list[str]
    ) -> str:
        source = self._choice.source
        try:
            if header is not None and stored is not None:
                source = sealing.decoded(stored).source
                await self._vault.open(stored, header.id)
        except AgentError as error:
            problems.append(error.detail)
        if source == rows.KEYCHAIN:
            return f"a vault in grants.db, its key in {await self._keychain_in_words(problems)}"
        if source == kinds.CREDENTIAL:
            return "a vault in grants.db, sealed by a systemd credential"
        if self._passphrase_in_file:
            return "a vault in grants.db, sealed by a file on the same disk"
        return "a vault in grants.db, sealed by a passphrase"


def _census(
    connection: Connection, header: Header
) -> tuple[Header, bytes | None, Counter[str], list[str]]:
    found = tables.every(connection)
    damaged = [row.name for row in found if rows.grant_of(row, header.salt) is None]
    boxes = Counter(row.box for row in found if row.box)
    return header, tables.vault_header(connection), boxes, damaged
