"""What a command has left: parsed without keeping anybody waiting, and told to the person."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from tests.core.acme_files import ACME_FILES
from tests.core.delivering import Delivering
from tool_agentd.broker import absorbing, importing
from tool_agentd.definition.files import read_login
from tool_agentd.errors import ConfigurationError, InvalidRequestError
from tool_agentd.ports import KeptFile, Lease

Story = Callable[[Delivering], Coroutine[Any, Any, None]]


@pytest.fixture
def told(tmp_path: Path) -> Callable[..., None]:
    """Tell a story in a world of its own."""

    def tell(story: Story, text: str = ACME_FILES) -> None:
        async def telling() -> None:
            await asyncio.wait_for(story(Delivering(tmp_path, text)), 20)

        asyncio.run(telling())

    return tell


def test_files_are_parsed_in_another_thread(
    told: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """For an import and for a login that a command has left: other clients are served meanwhile."""
    threads: list[threading.Thread] = []

    def watched(*args: Any, **named: Any) -> Any:  # noqa: ANN401 - as read_login
        threads.append(threading.current_thread())
        return read_login(*args, **named)

    monkeypatch.setattr(importing, "read_login", watched)
    monkeypatch.setattr(absorbing, "read_login", watched)

    async def story(world: Delivering) -> None:
        world.stand({"refresh": world.provider.issue().reveal(), "access": "own"})
        await world.take_over()
        imported = len(threads)
        await world.deliver(7)
        world.stand({"refresh": world.provider.issue().reveal(), "access": "new"})
        await world.over(7)
        assert 0 < imported < len(threads)
        assert threading.main_thread() not in threads

    told(story)


def test_a_file_of_aliases_is_refused(told: Callable[..., None]) -> None:
    """A few hundred bytes that stand for gigabytes are neither imported nor erased."""
    lines = [
        f"{name}: &{name}\n  <<: [{', '.join([f'*{before}'] * 10)}]"
        for before, name in zip("abcdefgh", "bcdefghi", strict=True)
    ]
    text = "a: &a {refresh: x}\n" + "\n".join(lines)

    async def story(world: Delivering) -> None:
        world.stand({})
        world.file.write_text(text)
        with pytest.raises(InvalidRequestError, match="aliases") as caught:
            await world.take_over()
        assert str(world.file) in caught.value.detail
        assert world.file.read_text() == text

    told(
        story,
        ACME_FILES.replace('session.json"\n', 'session.json"\nformat = "yaml"\n', 1),
    )


def test_two_versions_and_what_to_type(told: Callable[..., None]) -> None:
    """Both are named; once the person has done as told, nothing is degraded any more."""

    async def story(world: Delivering) -> None:
        await world.signed_in()
        world.stand({"refresh": "theirs"})
        await world.deliver(7)
        world.file.write_text('{"how": "changed"}')
        await world.over(7)
        (sentence,) = world.deliveries.reasons
        (aside,) = (path for path in world.file.parent.iterdir() if path != world.file)
        assert f"one version of it is {world.file}" in sentence
        assert f"the other version of it is {aside}" in sentence
        assert f"run 'rm {aside}'" in sentence
        assert f"or 'mv {aside} {world.file}'" in sentence
        world.remove(aside)
        await world.deliveries.tick()
        assert world.deliveries.reasons == []

    told(story)


def test_a_long_error_is_cut(told: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    """`status` shows the beginning of it, and what could not be moved with its reason."""

    async def story(world: Delivering) -> None:
        await world.signed_in()
        await world.deliver(7)
        end = world.files.end

        async def broken(*_: object) -> Lease | None:
            raise ConfigurationError("x" * 5000, hint="make room")

        monkeypatch.setattr(world.files, "end", broken)
        await world.over(7)
        (sentence,) = world.deliveries.reasons
        assert len(sentence) < 300
        assert sentence.endswith("; make room")

        async def unmoved(lease: Lease, *_: object) -> Lease | None:
            await end(lease)
            kept = KeptFile("/home/a/x", aside, "y" * 5000)
            return Lease(lease.id, "acme", "", "acme", "default", 0.0, kept=(kept,))

        aside = str(world.home / "x y")
        world.stand({}, world.home / "x y")
        monkeypatch.setattr(world.files, "end", unmoved)
        await world.deliveries.tick()
        (sentence,) = world.deliveries.reasons
        assert sentence.startswith(f"what a command of acme left in {aside} is not moved")
        assert f"rm -r '{aside}'" in sentence
        assert len(sentence) < 800

    told(story)
