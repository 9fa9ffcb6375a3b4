"""The vault's key: fetched from its source, checked against the header, kept while we run."""

import secrets
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field

from tool_agent import paths
from tool_agentd.adapters.store import key_files, kinds, rows, sealing
from tool_agentd.adapters.store.keychain import Keychain
from tool_agentd.adapters.store.tables import Leftover
from tool_agentd.adapters.store.trouble import DamagedError, UnansweredError
from tool_agentd.adapters.worker import Workers
from tool_agentd.model import AccountKey
from tool_agentd.secret import Secret

ITEM = "vault-key"
"""The name of the key's keychain item begins with this and `#`."""
KEY = AccountKey("", ITEM)
"""Stands for the vault's key among the leftovers; no provider has an empty name."""

SCRYPT_DEADLINE = 20.0
"""Seconds for one scrypt: half a second on a desktop, several on a small board under load."""

LOST = (
    "put the right key back, or drop what it sealed with 'tool-agent logout --all' and log in again"
)
UNLOCK = f"run 'tool-agent unlock', or name a file that holds it in {paths.PASSPHRASE_FILE}"


@dataclass(frozen=True, slots=True)
class OpenVault:
    """The data key together with the header that it came from."""

    stored: bytes
    """The header as grants.db has it: with another one there, this key is out of date."""
    database: bytes
    data_key: bytes = field(repr=False)


class Vault:
    """Opens the vault that a database has, or makes a new one."""

    def __init__(
        self,
        source: str,
        *,
        environ: Mapping[str, str],
        keychain: Keychain,
        scrypt_n: int = sealing.SCRYPT_N,
    ) -> None:
        """`source` is where a new vault's key comes from; an existing one's header decides."""
        self.source = source
        self._environ = environ
        self._keychain = keychain
        self._scrypt_n = scrypt_n
        self._workers = Workers(
            "the vault's key",
            room="store",
            error=UnansweredError,
            limit=1,
            deadline=SCRYPT_DEADLINE,
        )
        self._passphrase: Secret | None = None
        self._opened: OpenVault | None = None
        self._refused: tuple[bytes, Secret] | None = None
        """The last wrong passphrase and its header: scrypt does not run again for it."""

    async def give(self, passphrase: Secret, stored: bytes | None, database: bytes) -> None:
        """Use this passphrase from now on, unless the vault that is there says it is wrong."""
        before, self._passphrase = self._passphrase, passphrase
        if stored is None or sealing.decoded(stored).source != kinds.PASSPHRASE:
            return
        self._opened = None
        try:
            await self.open(stored, database)
        except DamagedError:
            self._passphrase = before
            raise

    def drop(self) -> None:
        """Forget the key, and the passphrase that was typed; the next use fetches it again."""
        self._opened = self._passphrase = self._refused = None

    def close(self) -> None:
        """Forget the key, and let the thread end."""
        self.drop()
        self._workers.close()

    async def sealed(self, stored: bytes) -> bool:
        """Tell whether the vault of this header waits for somebody to type its passphrase."""
        if sealing.decoded(stored).source != kinds.PASSPHRASE or self.ready(stored) is not None:
            return False
        try:
            await self._the_passphrase()
        except UnansweredError:
            return True
        return False

    def ready(self, stored: bytes) -> OpenVault | None:
        """Return the open vault if it is the one with this header."""
        opened = self._opened
        return opened if opened is not None and opened.stored == stored else None

    async def open(self, stored: bytes, database: bytes) -> OpenVault:
        """Open the vault of this header; nothing is written, whatever happens."""
        opened = self.ready(stored)
        if opened is not None:
            return opened
        header = sealing.decoded(stored)
        key = await self._existing_key(header, stored)
        data_key = sealing.unwrap(header, database, key)
        if data_key is None:
            if header.source == kinds.PASSPHRASE:
                self._refused = stored, await self._the_passphrase()
            raise _wrong_key(header)
        self._opened = OpenVault(stored, database, data_key)
        return self._opened

    async def make(
        self,
        database: bytes,
        *,
        note: Callable[[Leftover], Awaitable[None]],
        started: Callable[[Future[None]], None],
    ) -> OpenVault:
        """Return a new vault; its header is in no database yet.

        A key that goes into the keychain is noted as a leftover before it is written there, so
        that a crash leaves no orphan: whoever stores the header forgets the leftover with it.
        """
        salt, data_key = secrets.token_bytes(32), secrets.token_bytes(sealing.KEY_BYTES)
        header = sealing.VaultHeader(self.source, salt, b"", b"")
        if self.source == rows.KEYCHAIN:
            place = await self._keychain.place()
            header = sealing.VaultHeader(
                self.source, salt, b"", b"", place=place, item=f"{ITEM}#{secrets.token_hex(4)}"
            )
            text = Secret(secrets.token_hex(sealing.KEY_BYTES))
            await note(Leftover(place, header.item, KEY, 0))
            await self._keychain.put(
                place, header.item, text, started=started, between=lambda: None
            )
            key = sealing.from_random(text.reveal().encode(), salt)
        elif self.source == kinds.PASSPHRASE:
            header = sealing.VaultHeader(self.source, salt, b"", b"", n=self._scrypt_n)
            key = await self._stretched(await self._the_passphrase(), header)
        else:
            material = await self._workers.run(lambda: key_files.credential(self._environ))
            key = sealing.from_random(material, salt)
        header = sealing.wrap(header, database, key, data_key)
        return OpenVault(sealing.encoded(header), database, data_key)

    def adopt(self, opened: OpenVault) -> None:
        """Keep a vault whose header has been stored."""
        self._opened = opened

    async def _existing_key(self, header: sealing.VaultHeader, stored: bytes) -> bytes:
        if header.source == rows.KEYCHAIN:
            text = await self._keychain.get(header.place, header.item)
            if text is None:
                raise DamagedError(
                    f"the vault's key, the keychain item {header.item}, is no longer there",
                    hint=LOST,
                )
            return sealing.from_random(text.encode(errors="surrogatepass"), header.salt)
        if header.source == kinds.CREDENTIAL:
            material = await self._workers.run(lambda: key_files.credential(self._environ))
            return sealing.from_random(material, header.salt)
        passphrase = await self._the_passphrase()
        if self._refused == (stored, passphrase):
            raise _wrong_key(header)
        return await self._stretched(passphrase, header)

    async def _the_passphrase(self) -> Secret:
        if self._passphrase is not None:
            return self._passphrase
        found = await self._workers.run(lambda: key_files.passphrase(self._environ))
        if found is None:
            raise UnansweredError("the vault is sealed: it needs its passphrase", hint=UNLOCK)
        return found

    async def _stretched(self, passphrase: Secret, header: sealing.VaultHeader) -> bytes:
        return await self._workers.run(
            lambda: sealing.from_passphrase(passphrase.reveal(), header.salt, header.n)
        )


def leftover(stored: bytes) -> Leftover | None:
    """Return the keychain item of a header that is no longer needed, if it has one."""
    try:
        header = sealing.decoded(stored)
    except DamagedError:
        return None
    return Leftover(header.place, header.item, KEY, 0) if header.item else None


def _wrong_key(header: sealing.VaultHeader) -> DamagedError:
    what = {
        rows.KEYCHAIN: f"the key in the keychain item {header.item}",
        kinds.PASSPHRASE: "this passphrase",
        kinds.CREDENTIAL: f"the systemd credential {key_files.CREDENTIAL}",
    }.get(header.source, "this key")
    hint = LOST if header.source != kinds.PASSPHRASE else "type it again: 'tool-agent unlock'"
    return DamagedError(f"the vault is sealed with another key: {what} does not open it", hint=hint)
