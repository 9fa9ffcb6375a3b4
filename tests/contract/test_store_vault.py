"""The vault: its key sources, wrong and lost keys, and which store is chosen."""

import json
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from tests.contract.store_places import (
    KEY,
    OTHER,
    SERVICE,
    Place,
    credential_place,
    grant,
    passphrase_place,
    secret,
    vault_in_keychain_place,
)
from tests.real.keychain import Keychain
from tool_agentd.adapters.store import DiskStore, Means, open_store
from tool_agentd.adapters.store.key_files import CREDENTIAL
from tool_agentd.adapters.store.kinds import Choice, choose
from tool_agentd.errors import ConfigurationError, StoreUnavailableError
from tool_agentd.model import HeldGrant
from tool_agentd.ports import Store
from tool_agentd.secret import Secret

LOST = (
    "put the right key back, or drop what it sealed with 'tool-agent logout --all' and log in again"
)


def vault_header(place: Place) -> dict[str, object]:
    """Return the vault's header as stored."""
    connection = sqlite3.connect(place.database)
    (stored,) = connection.execute("SELECT value FROM meta WHERE name = 'vault'").fetchone()
    connection.close()
    header: dict[str, object] = json.loads(stored)
    return header


def fill(place: Place) -> HeldGrant:
    """Store one grant."""
    value = secret()
    return HeldGrant(place.run(lambda store: store.write(grant(), value, expected=0)), value)


def refused(place: Place, detail: str, hint: str = LOST) -> None:
    """See that no row is read or written, none is lost, and status says why."""
    before = place.database.read_bytes()

    async def use(store: Store) -> None:
        for call in (
            lambda: store.read(KEY),
            lambda: store.write(grant(), secret(), expected=1),
            lambda: store.write(grant(OTHER), secret(), expected=0),
        ):
            with pytest.raises(StoreUnavailableError) as error:
                await call()
            assert (error.value.detail, error.value.hint) == (detail, hint)
        assert detail in (await store.status()).problems
        assert len(await store.list()) == 1

    place.run(use)
    assert place.database.read_bytes() == before


def test_another_passphrase_is_recognised_as_such(tmp_path: Path) -> None:
    """The wrong passphrase is told as a whole, and the right one opens all again."""
    place = passphrase_place(tmp_path)
    held = fill(place)
    passphrase_place(tmp_path, "battery staple")
    refused(
        place,
        "the vault is sealed with another key: this passphrase does not open it",
        hint="type it again: 'tool-agent unlock'",
    )
    passphrase_place(tmp_path)
    assert place.run(lambda store: store.read(KEY)) == held


def test_another_credential_is_recognised_as_such(tmp_path: Path) -> None:
    """The wrong credential is told as a whole."""
    place = credential_place(tmp_path)
    fill(place)
    (tmp_path / "credentials" / CREDENTIAL).unlink()
    credential_place(tmp_path)
    refused(
        place,
        "the vault is sealed with another key: the systemd credential tool-agent-vault-key does"
        " not open it",
    )


def test_a_key_item_that_was_deleted_is_not_made_anew(
    keychain_here: Keychain, tmp_path: Path
) -> None:
    """While anything is sealed, a lost key is an error; once all is dropped, a new one is made."""
    place = vault_in_keychain_place(tmp_path)
    held = fill(place)
    (item,) = keychain_here.search(SERVICE)
    name = item.attributes["username"]
    assert name.startswith("vault-key#")
    keychain_here.delete(item)
    refused(place, f"the vault's key, the keychain item {name}, is no longer there")
    assert keychain_here.search(SERVICE) == []
    place.run(lambda store: store.delete(held.grant))
    again = fill(place)
    assert place.run(lambda store: store.read(KEY)) == again
    assert len(keychain_here.search(SERVICE)) == 1


def test_a_key_item_that_was_altered_is_recognised(keychain_here: Keychain, tmp_path: Path) -> None:
    """Another text in the key's item is another key."""
    place = vault_in_keychain_place(tmp_path)
    fill(place)
    (item,) = keychain_here.search(SERVICE)
    keychain_here.tamper(item, b"0" * 64)
    refused(
        place,
        "the vault is sealed with another key: the key in the keychain item"
        f" {item.attributes['username']} does not open it",
    )


def test_many_accounts_need_one_key_item(keychain_here: Keychain, tmp_path: Path) -> None:
    """The vault's key is the only item, whatever is sealed by it, rotated and erased."""
    place = vault_in_keychain_place(tmp_path)
    fill(place)
    place.run(lambda store: store.write(grant(OTHER), secret(), expected=0))
    place.run(lambda store: store.write(grant(), secret(), expected=1))
    assert len(keychain_here.search(SERVICE)) == 1


def test_a_vault_without_its_passphrase_waits_for_it(tmp_path: Path) -> None:
    """Nothing opens until the passphrase is given; a wrong one changes nothing."""
    held = fill(passphrase_place(tmp_path))
    sealed = replace(passphrase_place(tmp_path), environ={})

    async def use(store: DiskStore) -> None:
        with pytest.raises(StoreUnavailableError) as error:
            await store.read(KEY)
        assert error.value.detail == "the vault is sealed: it needs its passphrase"
        assert error.value.hint == (
            "run 'tool-agent unlock', or name a file that holds it in TOOL_AGENT_PASSPHRASE_FILE"
        )
        with pytest.raises(StoreUnavailableError, match="this passphrase does not open it"):
            await store.unlock(Secret("wrong"))
        with pytest.raises(StoreUnavailableError, match="needs its passphrase"):
            await store.read(KEY)
        await store.unlock(Secret("correct horse"))
        assert await store.read(KEY) == held
        with pytest.raises(StoreUnavailableError, match="this passphrase does not open it"):
            await store.unlock(Secret("wrong again"))
        assert await store.read(KEY) == held
        status = await store.status()
        assert (status.rests, status.problems) == (
            "a vault in grants.db, sealed by a passphrase",
            (),
        )

    sealed.run(use)


def test_a_passphrase_given_first_seals_the_vault_that_is_made(tmp_path: Path) -> None:
    """Before the first grant there is no vault: it is made with the passphrase given."""
    place = Place("vault:passphrase", tmp_path / "state")
    value = secret()

    async def use(store: DiskStore) -> None:
        await store.unlock(Secret("correct horse"))
        await store.write(grant(), value, expected=0)

    place.run(use)
    held = passphrase_place(tmp_path).run(lambda store: store.read(KEY))
    assert held is not None
    assert held.secret == value


def test_the_passphrase_is_stretched_as_promised(tmp_path: Path) -> None:
    """By default scrypt runs with N=2^17, r=8, p=1, and what it opened stays open."""
    place = replace(passphrase_place(tmp_path), means=Means())
    held = fill(place)
    assert vault_header(place)["n"] == 2**17
    assert place.run(lambda store: store.read(KEY)) == held


@pytest.mark.parametrize(
    ("spoil", "detail"),
    [
        (
            lambda file: file.chmod(0o644),
            "the passphrase file {} can be used by others (mode 0644)",
        ),
        (lambda file: file.write_text("\nx"), "the passphrase file {} begins with an empty line"),
        (lambda file: file.unlink(), "the passphrase file {}: No such file or directory"),
        (
            lambda file: (file.unlink(), file.mkdir(mode=0o700)),
            "the passphrase file {} is not a regular file",
        ),
    ],
)
def test_a_bad_passphrase_file_is_named(tmp_path: Path, spoil: object, detail: str) -> None:
    """Too open, empty, absent, no file: each is said of the file by name."""
    place = passphrase_place(tmp_path)
    file = tmp_path / "passphrase"
    assert callable(spoil)
    spoil(file)

    async def use(store: Store) -> None:
        with pytest.raises(StoreUnavailableError) as error:
            await store.write(grant(), secret(), expected=0)
        assert error.value.detail == detail.format(file)

    place.run(use)


def test_a_short_credential_is_refused(tmp_path: Path) -> None:
    """The credential is used as it is, so it must be random and long enough."""
    place = credential_place(tmp_path)
    file = tmp_path / "credentials" / CREDENTIAL
    file.unlink()
    file.write_bytes(b"hunter2")
    file.chmod(0o400)

    async def use(store: Store) -> None:
        with pytest.raises(StoreUnavailableError, match="has 7 bytes; at least 32 random bytes"):
            await store.write(grant(), secret(), expected=0)
        assert await store.list() == ()

    place.run(use)


def test_another_key_source_than_the_vaults_is_told(tmp_path: Path) -> None:
    """Reads go on with the vault's own key; a write says how the two disagree."""
    place = passphrase_place(tmp_path)
    held = fill(place)
    credential = credential_place(tmp_path)
    other = replace(credential, environ=credential.environ | place.environ)

    async def use(store: Store) -> None:
        assert await store.read(KEY) == held
        with pytest.raises(StoreUnavailableError) as error:
            await store.write(grant(), secret(), expected=1)
        assert error.value.detail == (
            "the vault's key comes from 'passphrase', and [store] key or TOOL_AGENT_STORE asks for"
            " 'credential'"
        )
        await store.delete(held.grant)
        await store.write(grant(), secret(), expected=0)

    other.run(use)
    assert vault_header(place)["source"] == "credential"


def test_a_missing_or_damaged_header_is_no_reason_for_a_new_vault(tmp_path: Path) -> None:
    """While rows are sealed, the header is neither replaced nor guessed."""
    place = credential_place(tmp_path)
    fill(place)
    connection = sqlite3.connect(place.database)
    with connection:
        connection.execute("UPDATE meta SET value = x'7b7d' WHERE name = 'vault'")

    async def damaged(store: Store) -> None:
        for call in (
            lambda: store.read(KEY),
            lambda: store.write(grant(OTHER), secret(), expected=0),
        ):
            with pytest.raises(
                StoreUnavailableError, match=r"vault's header in grants\.db is damaged"
            ):
                await call()

    place.run(damaged)
    with connection:
        connection.execute("DELETE FROM meta WHERE name = 'vault'")
    connection.close()

    async def missing(store: Store) -> None:
        for call in (
            lambda: store.read(KEY),
            lambda: store.write(grant(OTHER), secret(), expected=0),
        ):
            with pytest.raises(StoreUnavailableError, match="vault's header is missing"):
                await call()

    place.run(missing)


def test_a_header_that_asks_for_too_much_is_damaged(tmp_path: Path) -> None:
    """Scrypt's cost in the header is bounded before any memory is taken."""
    place = passphrase_place(tmp_path)
    fill(place)
    header = vault_header(place) | {"n": 2**40}
    connection = sqlite3.connect(place.database)
    with connection:
        connection.execute(
            "UPDATE meta SET value = ? WHERE name = 'vault'", (json.dumps(header).encode(),)
        )
    connection.close()

    async def use(store: Store) -> None:
        with pytest.raises(StoreUnavailableError, match=r"vault's header in grants\.db is damaged"):
            await store.read(KEY)

    place.run(use)


CREDENTIALS = {"CREDENTIALS_DIRECTORY": "{}"}
FILE = {"TOOL_AGENT_PASSPHRASE_FILE": "/x"}


@pytest.mark.parametrize(
    ("kind", "key", "environ", "choice"),
    [
        (None, None, {}, Choice("keychain")),
        ("keychain", None, {}, Choice("keychain")),
        ("memory", None, {}, Choice("memory")),
        ("vault", None, {}, Choice("vault", "keychain")),
        ("vault", None, FILE, Choice("vault", "passphrase")),
        ("vault", None, CREDENTIALS | FILE, Choice("vault", "credential")),
        ("vault", "keychain", CREDENTIALS | FILE, Choice("vault", "keychain")),
        ("vault", "passphrase", {}, Choice("vault", "passphrase")),
        ("vault", "credential", {}, Choice("vault", "credential")),
        ("vault", "passphrase", {"TOOL_AGENT_STORE": "memory"}, Choice("memory")),
        ("memory", None, {"TOOL_AGENT_STORE": "vault:keychain"}, Choice("vault", "keychain")),
        (None, None, {"TOOL_AGENT_STORE": ""}, Choice("keychain")),
    ],
)
def test_the_kind_is_chosen(
    tmp_path: Path, kind: str | None, key: str | None, environ: dict[str, str], choice: Choice
) -> None:
    """The environment goes before the configuration; a bare vault takes the key at hand."""
    (tmp_path / CREDENTIAL).touch()
    here = {name: value.format(tmp_path) for name, value in environ.items()}
    assert choose(kind, key, here) == choice


@pytest.mark.parametrize(
    ("kind", "key", "variable", "detail", "hint"),
    [
        ("vualt", None, "", "[store] kind: 'vualt' is none of keychain, vault, memory", "'vault'"),
        (None, None, "plaintext", "TOOL_AGENT_STORE: 'plaintext' is none of", None),
        ("vault", "pasphrase", "", "[store] key: 'pasphrase' is none of", "'passphrase'"),
        (None, None, "vault:", "TOOL_AGENT_STORE: '' is none of", None),
        (None, None, "memory:keychain", "TOOL_AGENT_STORE: only a vault has a key", None),
        ("keychain", "passphrase", "", "[store] key: only a vault has a key", None),
    ],
)
def test_an_unknown_kind_is_refused_at_once(
    kind: str | None, key: str | None, variable: str, detail: str, hint: str | None
) -> None:
    """A mistake is named with what is allowed and the nearest, before anything is opened."""
    with pytest.raises(ConfigurationError) as error:
        open_store(kind, key=key, state_dir="/nonexistent", environ={"TOOL_AGENT_STORE": variable})
    assert error.value.detail.startswith(detail)
    assert (error.value.hint is None) == (hint is None)
    assert hint is None or hint in (error.value.hint or "")
