"""The canary scan finds what was planted, wherever and in whatever form, and nothing else."""

import base64
import json
import logging
import re
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest

from tests.canary import Canary, LeakError
from tests.canary_forms import needles
from tests.house.tree import ROOT

AWKWARD = "p w/ö+r%d&\"q'u\\o\tte=~?????"
"""A secret that every escape there is changes, too short to be searched by halves; the question
marks are characters 63 of base64, wherever they start."""

FORMS: dict[str, Callable[[str], bytes]] = {
    "raw": str.encode,
    "reversed": lambda s: s.encode()[::-1],
    "base64": lambda s: base64.b64encode(s.encode()),
    "base64 after one byte": lambda s: base64.b64encode(b"u" + s.encode() + b"tail"),
    "base64 after two bytes": lambda s: base64.b64encode(b"u:" + s.encode() + b"t"),
    "base64 after four bytes": lambda s: base64.b64encode(b"user" + s.encode() + b"ta"),
    "base64 url-safe": lambda s: base64.urlsafe_b64encode(b"\xff\xfe\xfd" + s.encode()),
    "base64 over lines": lambda s: base64.encodebytes(b"x" * 40 + s.encode()),
    "url-encoded": lambda s: quote(s, safe="").encode(),
    "url-encoded as a path": lambda s: quote(s).encode(),
    "url-encoded in lower case": lambda s: re.sub(
        "%..", lambda found: found[0].lower(), quote(s, safe="")
    ).encode(),
    "url-encoded as a form": lambda s: quote_plus(s).encode(),
    "url-encoded throughout": lambda s: "".join(f"%{b:02X}" for b in s.encode()).encode(),
    "hexadecimal": lambda s: s.encode().hex().encode(),
    "JSON": lambda s: json.dumps({"token": s}).encode(),
    "JSON in UTF-8": lambda s: json.dumps({"token": s}, ensure_ascii=False).encode(),
    "repr": lambda s: repr({"token": s}).encode(),
    "repr of bytes": lambda s: repr(s.encode()).encode(),
    "wrapped by a terminal": lambda s: (s[:9] + "\n" + s[9:]).encode(),
}


def secret_of(canary: Canary, kind: str) -> str:
    """Return a watched secret: one that looks like a key, or one full of odd characters."""
    if kind == "key":
        return canary.make("the secret", prefix="nrp_", hex=64)
    canary.watch(AWKWARD, "the secret")
    return AWKWARD


@contextmanager
def process(*argv: str, environ: dict[str, str] | None = None) -> Iterator[int]:
    """Run a process that waits for the end of its stdin; it has started when this yields."""
    code = "import sys; print(flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code, *argv],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environ,
    ) as running:
        assert running.stdout is not None
        running.stdout.readline()
        yield running.pid
        running.communicate()


@pytest.mark.parametrize("kind", ["key", "awkward"])
@pytest.mark.parametrize("form", FORMS)
def test_a_leak_in_any_form_is_found_in_a_file(tmp_path: Path, kind: str, form: str) -> None:
    """Whatever an encoder did to a secret, the file that it was written to is named."""
    bird = Canary()
    planted = FORMS[form](secret_of(bird, kind))
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "agent.log").write_bytes(b"\x00\xff before " + planted + b" after")
    (tmp_path / "other").write_text("nothing to see")
    leaks = bird.scan(home=tmp_path, processes=())
    assert {(leak.secret, leak.place) for leak in leaks} == {("the secret", "~/deep/agent.log")}


@pytest.mark.parametrize("kind", ["key", "awkward"])
@pytest.mark.parametrize("form", FORMS)
def test_a_leak_in_any_form_is_found_in_a_text(kind: str, form: str) -> None:
    """A secret in stderr or a traceback is found as it is in a file."""
    bird = Canary()
    planted = FORMS[form](secret_of(bird, kind))
    leaks = bird.scan(texts={"stderr": b"Traceback: " + planted}, processes=())
    assert {leak.place for leak in leaks} == {"stderr"}


def test_half_a_secret_is_a_leak() -> None:
    """A log line that was cut short still tells enough."""
    bird = Canary()
    key = bird.make("key", prefix="nrp_", hex=64)
    for part in (key[:40], key[-40:]):
        assert bird.scan(texts={"log": f"... {part} ..."}, processes=())


def test_a_leak_in_a_command_line_and_in_an_environment_is_found() -> None:
    """Both are readable by others while a process lives, and the report names the process."""
    bird = Canary()
    key = bird.make("key")
    with process(f"--token={key}") as pid:
        assert {leak.place.split()[0] for leak in bird.scan()} == {f"/proc/{pid}/cmdline"}
        assert bird.scan(processes=[pid])
    with process(environ={"SOME_TOKEN": key}) as pid:
        assert {leak.place.split()[0] for leak in bird.scan()} == {f"/proc/{pid}/environ"}
    assert bird.scan() == []


def test_a_process_that_was_handed_a_secret_may_have_it() -> None:
    """An allowance is for one secret in one process, and nothing around it."""
    bird = Canary()
    handed, other = bird.make("handed"), bird.make("other")
    with process(environ={"A": handed, "B": other}) as pid:
        bird.allow("handed", pid=pid, reason="exec hands the token to its child")
        assert {leak.secret for leak in bird.scan()} == {"other"}
    with process("--", handed) as pid:
        assert {leak.secret for leak in bird.scan()} == {"handed"}


def test_a_command_that_was_handed_a_secret_may_have_it() -> None:
    """Where the pid is not known beforehand the command's name says who was handed it."""
    bird = Canary()
    key = bird.make("key")
    with process(environ={"A": key}):
        bird.allow("key", command="somebody-else", reason="it is not this one")
        assert bird.scan()
        name = Path(sys.executable).name
        bird.allow("key", command=name, reason="exec hands the token to its child")
        assert bird.scan() == []


def test_a_file_that_was_handed_a_secret_may_have_it(tmp_path: Path) -> None:
    """The file that the person keeps a passphrase in is no leak; its copy is one."""
    bird = Canary()
    passphrase = bird.make("passphrase")
    for name in ("passphrase", "copy"):
        (tmp_path / name).write_text(passphrase)
    bird.allow("passphrase", path=tmp_path / "passphrase", reason="the person put it there")
    assert {leak.place for leak in bird.scan(home=tmp_path, processes=())} == {"~/copy"}


def test_a_leak_in_sqlite_is_found_even_where_it_was_deleted(tmp_path: Path) -> None:
    """A row that was deleted stays in the file or its write-ahead log until it is overwritten."""
    bird = Canary()
    token = bird.make("token", hex=6000)
    with closing(sqlite3.connect(tmp_path / "grants.db")) as database:
        database.execute("PRAGMA journal_mode = wal")
        database.execute("PRAGMA secure_delete = off")
        database.execute("CREATE TABLE grants (secret BLOB)")
        database.execute("INSERT INTO grants VALUES (?)", (token.encode(),))
        database.commit()
        leaks = bird.scan(home=tmp_path, processes=())
        assert {leak.place for leak in leaks} == {"~/grants.db-wal"}
        database.execute("DELETE FROM grants")
        database.commit()
    assert {leak.place for leak in bird.scan(home=tmp_path, processes=())} == {"~/grants.db"}


def test_a_leak_in_a_name_and_in_a_link_is_found(tmp_path: Path) -> None:
    """A file's name and a link's target can tell as well; the report does not repeat them."""
    bird = Canary()
    key = bird.make("key")
    (tmp_path / key).mkdir()
    (tmp_path / "link").symlink_to(f"/nowhere/{key[::-1]}")
    leaks = bird.scan(home=tmp_path, processes=())
    assert {leak.form for leak in leaks} == {"raw", "reversed"}
    assert not any(key in str(leak) for leak in leaks)


def test_a_file_whose_path_is_a_secret_is_reported_without_it(tmp_path: Path) -> None:
    """A leak in a file does not become a leak in the report through the file's path."""
    bird = Canary()
    key = bird.make("key")
    (tmp_path / key).write_text(key)
    leaks = bird.scan(home=tmp_path, processes=())
    assert len({leak.place for leak in leaks}) == 2
    assert not any(key in str(leak) for leak in leaks)


def test_the_report_names_the_secret_and_the_place_and_never_the_secret(tmp_path: Path) -> None:
    """A report ends up in a log of CI: it must not be a leak of its own."""
    bird = Canary()
    key = bird.make("api_key", prefix="nrp_")
    (tmp_path / "agent.log").write_text(key)
    with pytest.raises(LeakError, match=r"api_key \(raw\) in ~/agent\.log") as caught:
        bird.assert_clean(home=tmp_path, logs=[tmp_path / "agent.log"], processes=())
    told = str(caught.value) + repr(caught.value) + repr(needles("api_key", key.encode()))
    assert key[4:20] not in told
    assert key[-16:] not in told


def test_a_clean_tree_passes(tmp_path: Path) -> None:
    """Files, links, sockets' places and processes without the secret are no leak."""
    bird = Canary()
    key = bird.make("key", prefix="nrp_")
    bird.watch(AWKWARD, "password")
    with closing(sqlite3.connect(tmp_path / "grants.db")) as database:
        database.execute("CREATE TABLE grants (secret BLOB)")
        database.execute("INSERT INTO grants VALUES (?)", (key[:12],))
        database.commit()
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "gone").symlink_to("/nowhere")
    bird.home(tmp_path)
    bird.log(tmp_path / "no such log")
    bird.text("stderr", "Traceback: nrp_")
    bird.assert_all_clean()
    bird.assert_clean(home=tmp_path)


def test_what_was_remembered_is_searched(tmp_path: Path) -> None:
    """Home, log, text and process, each registered as a story does, are searched at the end."""
    for leak in ("home", "log", "text", "process"):
        bird = Canary()
        key = bird.make("key")
        home = bird.home(tmp_path / f"{leak} home")
        home.mkdir()
        (home / "file").write_text(key if leak == "home" else "")
        (tmp_path / f"{leak}.log").write_text(key if leak == "log" else "")
        bird.log(tmp_path / f"{leak}.log")
        bird.text("stderr", key if leak == "text" else "")
        with process(environ={"A": key if leak == "process" else ""}) as pid:
            bird.processes([pid])
            with pytest.raises(LeakError):
                bird.assert_all_clean()


def test_the_fixture_searches_when_a_test_ends(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fixture fails a test that leaks into a file, a debug log or a logged traceback."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    pytester.makeconftest('pytest_plugins = ["tests.canary"]')
    pytester.makepyfile("""
        import logging
        import pytest

        def test_debug(canary):
            logging.getLogger("agent").debug("token %s", canary.make("token"))

        def test_traceback(canary):
            try:
                raise ValueError(canary.make("token"))
            except ValueError:
                logging.getLogger("agent").exception("failed")

        def test_file(canary, tmp_path):
            canary.home(tmp_path).joinpath("f").write_text(canary.make("token"))

        def test_clean(canary, tmp_path):
            canary.make("token")
            canary.home(tmp_path)
            logging.getLogger("agent").debug("nothing")
    """)
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    result.assert_outcomes(passed=4, errors=3)
    result.stdout.fnmatch_lines(["*token (raw) in the log of agent*", "*token (raw) in ~/f*"])


@pytest.mark.parametrize("value", ["", "short", "x" * 11])
def test_a_value_too_short_to_search_for_is_refused(value: str) -> None:
    """What would turn up everywhere by accident is refused, not silently passed over."""
    with pytest.raises(ValueError, match="characters"):
        Canary().watch(value, "pin")


def test_an_allowance_without_a_reason_or_a_place_is_refused() -> None:
    """Every exception to the rule says why, and is for one place."""
    bird = Canary()
    with pytest.raises(ValueError, match="reason"):
        bird.allow("key", pid=1, reason="")
    with pytest.raises(ValueError, match="one of"):
        bird.allow("key", reason="anywhere")


def test_logging_is_at_debug_level(canary: Canary) -> None:
    """With the fixture, loggers say all that they ever would."""
    assert canary.scan() == []
    assert logging.getLogger("tool_agentd").isEnabledFor(logging.DEBUG)
