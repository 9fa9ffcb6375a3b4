"""The folders of definitions, with real files and the system's own reports of changes."""

import asyncio
import os
import shutil
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from pathlib import Path

import pytest

from tool_agentd.adapters import watch
from tool_agentd.adapters.watch import DefinitionFolders
from tool_agentd.definition.catalogue import Catalogue, SourceText, load
from tool_agentd.definition.decode import FILE_MAX

WHOLE = """
schema = 1
name = "acme"
title = "Acme"
credential = [{ id = "key", source = { env = ["ACME_KEY"] } }]
"""
LIMIT_S = 30.0
"""A test fails after this; it never waits for it to pass."""

Changes = AsyncGenerator[None, None]


@pytest.fixture(autouse=True)
def step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look twenty times a second instead of once, so that the tests need not be patient."""
    monkeypatch.setattr(watch, "STEP_MS", 50)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder that only we can write."""
    made = tmp_path / "config" / "tools.d"
    made.mkdir(parents=True, mode=0o755)
    return made


def put(path: Path, text: str, mode: int = 0o600) -> Path:
    """Write a file with a mode that does not depend on the umask."""
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)
    return path


def person(folders: DefinitionFolders) -> dict[str, SourceText]:
    """Return the person's files by name."""
    found = folders.read().values()
    return {Path(source.file).name: source for source in found if not source.builtin}


def new(folder: Path) -> Path:
    """Make a folder that only we can write, and those above it."""
    folder.mkdir(parents=True)
    folder.chmod(0o700)
    return folder


def exchange(folder: Path, other: Path) -> None:
    """Move the folder away and another into its place."""
    folder.rename(folder.with_name("last"))
    other.rename(folder)


class View:
    """What a reader knows who reads the folder after each change and at no other time."""

    def __init__(self, folders: DefinitionFolders, changes: Changes) -> None:
        """Read nothing yet."""
        self._folders = folders
        self._changes = changes
        self.sources: dict[str, SourceText] = {}
        self.files: dict[str, str] = {}

    async def step(self) -> None:
        """Wait for the next change and read."""
        await anext(self._changes)
        self.sources = self._folders.read()
        self.files = {name: source.text for name, source in person(self._folders).items()}

    async def until(self, done: Callable[[dict[str, str]], bool]) -> None:
        """Wait for changes until `done` holds of the texts read after one."""
        while not done(self.files):
            await self.step()


def story(folder: Path, tell: Callable[[View], Awaitable[None]], *, tick: float = LIMIT_S) -> None:
    """Run `tell` with a watch of the folder that stands already."""

    async def run() -> None:
        folders = DefinitionFolders(str(folder))
        async with asyncio.timeout(LIMIT_S), aclosing(folders.watch(tick=tick)) as changes:
            view = View(folders, changes)
            await view.step()
            await tell(view)

    asyncio.run(run())


def test_built_in_definitions_are_read_from_the_package() -> None:
    """The definitions that ship are there without any folder of the person's."""
    sources = DefinitionFolders(None).read().values()
    assert {"cre.toml", "nrepo.toml"} <= {Path(source.file).name for source in sources}
    assert all(source.builtin and source.text and not source.refused for source in sources)


def test_only_visible_toml_files_are_definitions(folder: Path) -> None:
    """An editor's swap file, a backup and a folder of another kind are passed over."""
    for name in ("acme.toml", ".acme.toml.swp", ".hidden.toml", "acme.toml~", "notes.txt"):
        put(folder / name, WHOLE)
    assert set(person(DefinitionFolders(str(folder)))) == {"acme.toml"}


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_that_others_can_write_is_refused(folder: Path, mode: int) -> None:
    """Whoever writes a definition decides where secrets go; the reason names the mode."""
    put(folder / "acme.toml", WHOLE, mode)
    source = person(DefinitionFolders(str(folder)))["acme.toml"]
    assert source.text == ""
    assert source.refused == f"a file writable by others (mode {mode:04o})"
    assert source.fix == f"chmod go-w {folder}/acme.toml"


def test_a_file_of_another_user_is_refused(folder: Path) -> None:
    """A definition belongs to the person whose agent it is, or to root."""
    put(folder / "acme.toml", WHOLE)
    other = os.geteuid() + 1
    if os.geteuid() == 0:
        os.chown(folder, other, -1)
        os.chown(folder / "acme.toml", 12345, -1)
        source = person(DefinitionFolders(str(folder), uid=other))["acme.toml"]
    else:
        source = person(DefinitionFolders(str(folder), uid=other))["acme.toml"]
    assert "owned by user" in source.refused


def test_a_folder_that_others_can_write_is_refused(folder: Path) -> None:
    """Where others can put files, none is read."""
    put(folder / "acme.toml", WHOLE)
    folder.chmod(0o777)
    source = person(DefinitionFolders(str(folder)))["acme.toml"]
    assert source.refused == "in a folder that is writable by others (mode 0777)"
    assert source.fix == f"chmod go-w {folder}"


def test_a_pipe_does_not_hang_the_agent(folder: Path) -> None:
    """A named pipe called like a definition is refused at once."""
    os.mkfifo(folder / "acme.toml", 0o600)
    source = person(DefinitionFolders(str(folder)))["acme.toml"]
    assert source.refused == "something that is no regular file"


def test_bytes_that_are_no_text_are_refused(folder: Path) -> None:
    """A file that is not UTF-8 is a problem and not a traceback."""
    (folder / "acme.toml").write_bytes(b"name = '\xff'")
    (folder / "acme.toml").chmod(0o600)
    source = person(DefinitionFolders(str(folder)))["acme.toml"]
    assert source.refused == "bytes that are not UTF-8, at 8"


def test_a_dangling_link_is_refused(folder: Path) -> None:
    """A link to nothing is a problem of that file alone."""
    (folder / "acme.toml").symlink_to("nowhere")
    put(folder / "other.toml", WHOLE)
    found = person(DefinitionFolders(str(folder)))
    assert "No such file" in found["acme.toml"].refused
    assert found["other.toml"].text == WHOLE


def test_no_more_than_a_definition_is_read(folder: Path) -> None:
    """Of a huge file just enough is read to say that it is too large."""
    put(folder / "acme.toml", "#" * (10 * FILE_MAX))
    assert len(person(DefinitionFolders(str(folder)))["acme.toml"].text) == FILE_MAX + 1


def test_a_refused_file_keeps_the_last_good_definition(folder: Path) -> None:
    """When a file becomes unsafe, what it said before stays in force and the problem is listed."""
    folders = DefinitionFolders(str(folder))
    put(folder / "acme.toml", WHOLE)
    good = load(folders.read(), None, {}, {})
    put(folder / "acme.toml", WHOLE.replace("Acme", "Evil"), 0o666)
    after = load(folders.read(), good, {}, {})
    assert after.get("acme").title == "Acme"
    assert [(problem.tool, problem.in_force) for problem in after.problems] == [("acme", True)]


def test_a_new_file_is_reported(folder: Path) -> None:
    """Creating a definition is a change."""

    async def tell(view: View) -> None:
        assert view.files == {}
        put(folder / "acme.toml", WHOLE)
        await view.until(lambda files: "acme.toml" in files)

    story(folder, tell)


def test_changed_replaced_and_removed_files_are_reported(folder: Path) -> None:
    """Writing in place, an atomic rename, a change of mode and a removal are each a change."""
    path = put(folder / "acme.toml", WHOLE)

    async def tell(view: View) -> None:
        put(path, WHOLE.replace("Acme", "Changed"))
        await view.until(lambda files: "Changed" in files["acme.toml"])
        put(folder / ".new", WHOLE.replace("Acme", "Renamed")).replace(path)
        await view.until(lambda files: "Renamed" in files["acme.toml"])
        path.chmod(0o666)
        await view.until(lambda files: not files["acme.toml"])
        path.unlink()
        await view.until(lambda files: files == {})

    story(folder, tell)


def test_a_half_written_file_never_replaces_a_whole_one(folder: Path) -> None:
    """While a file is being written the old definition serves; once it is whole, the new one."""
    path = put(folder / "acme.toml", WHOLE)

    async def tell(view: View) -> None:
        before = load(view.sources, None, {}, {})
        put(path, WHOLE[:40])
        await view.until(lambda files: files["acme.toml"] == WHOLE[:40])
        during = load(view.sources, before, {}, {})
        assert during.get("acme").title == "Acme"
        assert during.problems[0].in_force
        put(path, WHOLE.replace("Acme", "Whole again"))
        await view.until(lambda files: files["acme.toml"].endswith(WHOLE[-10:]))
        after: Catalogue = load(view.sources, during, {}, {})
        assert (after.get("acme").title, after.problems) == ("Whole again", ())

    story(folder, tell)


def test_a_folder_that_comes_later_is_watched(tmp_path: Path) -> None:
    """Neither `tools.d` nor the folder above it need be there when the agent starts."""
    folder = tmp_path / "config" / "tool-agent" / "tools.d"

    async def tell(view: View) -> None:
        new(folder)
        put(folder / "acme.toml", WHOLE)
        await view.until(lambda files: "acme.toml" in files)
        put(folder / "other.toml", WHOLE)
        await view.until(lambda files: "other.toml" in files)

    story(folder, tell)


def test_a_folder_that_goes_and_comes_back_is_watched_again(folder: Path) -> None:
    """Removing the folder removes its tools; a new one of that name is watched like the first."""
    put(folder / "acme.toml", WHOLE)

    async def tell(view: View) -> None:
        shutil.rmtree(folder)
        await view.until(lambda files: files == {})
        new(folder)
        put(folder / "again.toml", WHOLE)
        await view.until(lambda files: "again.toml" in files)
        put(folder / "more.toml", WHOLE)
        await view.until(lambda files: "more.toml" in files)

    story(folder, tell)


def test_a_folder_that_is_put_in_the_others_place_is_read(folder: Path) -> None:
    """Where the folder is exchanged as a whole, the tick finds it at the latest."""
    put(new(folder.parent / "next") / "next.toml", WHOLE)

    async def tell(view: View) -> None:
        exchange(folder, folder.parent / "next")
        await view.until(lambda files: "next.toml" in files)
        put(folder / "more.toml", WHOLE)
        await view.until(lambda files: "more.toml" in files)

    story(folder, tell, tick=0.05)


def test_a_change_behind_a_link_is_found_on_the_tick(folder: Path, tmp_path: Path) -> None:
    """The system reports nothing about a link's far end, so the tick compares."""
    far = put(tmp_path / "far.toml", WHOLE)
    (folder / "acme.toml").symlink_to(far)

    async def tell(view: View) -> None:
        put(far, WHOLE.replace("Acme", "Far"))
        await view.until(lambda files: "Far" in files["acme.toml"])

    story(folder, tell, tick=0.05)


def test_without_a_folder_to_watch_the_first_reading_still_happens() -> None:
    """An agent without a folder of the person's reads the built-in definitions once."""

    async def run() -> list[None]:
        return [change async for change in DefinitionFolders(None).watch()]

    assert len(asyncio.run(run())) == 1


def test_where_no_watch_can_be_had_the_tick_serves(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the system's limit of watches met, changes are still found, on the tick."""
    import watchfiles  # noqa: PLC0415 - patched here, and imported late by the adapter too

    def refuse(*_paths: str, **_options: object) -> Changes:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(watchfiles, "awatch", refuse)

    async def tell(view: View) -> None:
        put(folder / "acme.toml", WHOLE)
        await view.until(lambda files: "acme.toml" in files)

    story(folder, tell, tick=0.01)


def test_the_signature_of_a_missing_folder_is_empty(tmp_path: Path) -> None:
    """A folder that is not there has nothing to compare."""
    assert watch.signature(str(tmp_path / "none")) == ()
