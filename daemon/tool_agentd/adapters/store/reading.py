"""From a row to its secret, through the box that the row was written to."""

from tool_agentd.adapters.store import rows, sealing
from tool_agentd.adapters.store.database import Database
from tool_agentd.adapters.store.keychain import Keychain
from tool_agentd.adapters.store.rows import Row
from tool_agentd.adapters.store.schema import Header
from tool_agentd.adapters.store.trouble import LOGOUT_HINT, DamagedError
from tool_agentd.adapters.store.vault import Vault
from tool_agentd.errors import LoginRequiredError
from tool_agentd.model import Grant, HeldGrant
from tool_agentd.secret import Secret


class Reader:
    """Opens rows. It changes nothing, whatever it finds."""

    def __init__(self, database: Database, keychain: Keychain, vault: Vault) -> None:
        """Read rows' secrets from these boxes."""
        self._database = database
        self._keychain = keychain
        self._vault = vault

    async def open(self, row: Row, header: Header, vault_header: bytes | None) -> HeldGrant:
        """Return the grant with its secret.

        Raises LoginRequiredError where the person has deleted the item, DamagedError where row,
        item or seal is not as it was written, UnansweredError where the box does not answer.
        """
        grant = sound(row, header)
        if row.box == rows.KEYCHAIN:
            text = await self._keychain.get(row.place, row.name)
            if text is None:
                raise LoginRequiredError(
                    f"{row.key} is signed out: its item {row.name} is no longer in the keychain",
                    hint="run 'tool-agent login TOOL'",
                )
            if rows.fingerprint(text, header.salt) != row.fingerprint:
                raise DamagedError(
                    f"the keychain item {row.name} was altered: it is not what was stored there",
                    hint=LOGOUT_HINT,
                )
            return HeldGrant(grant, Secret(text))
        if vault_header is None:
            raise DamagedError("the vault's header is missing from grants.db", hint=LOGOUT_HINT)
        vault = await self._vault.open(vault_header, header.id)
        text = await self._database.run(
            lambda _connection, _header: sealing.unseal(row, header.id, vault.data_key)
        )
        return HeldGrant(grant, Secret(text))


def sound(row: Row, header: Header) -> Grant:
    """Return the row's grant; DamagedError where the row is not as we wrote it."""
    grant = rows.grant_of(row, header.salt)
    if grant is None:
        raise DamagedError(
            f"the row of {row.name} in grants.db is damaged; other accounts are not affected",
            hint=LOGOUT_HINT,
        )
    return grant
