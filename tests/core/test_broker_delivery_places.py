"""An override leads a tool elsewhere: what it is given was obtained where it would send it."""

import asyncio
import json
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.core.acme_files import ACME_FILES
from tests.core.delivering import Delivering
from tests.core.fakes import KEY, ORIGIN
from tool_agentd.definition.catalogue import SourceText, load
from tool_agentd.errors import ConfigurationError
from tool_agentd.model import Grant, GrantKind
from tool_agentd.secret import Secret

Story = Callable[[Delivering], Coroutine[Any, Any, None]]

ELSEWHERE = "https://staging.example"

SILENT = ACME_FILES.replace(
    "[[credential]]",
    f'[vars]\nid = {{ default = "{ORIGIN}", env = "ACME_URL" }}\n\n[[credential]]',
    1,
).replace(f'authorize = "{ORIGIN}/authorize"', 'authorize = "{id}/authorize"')
"""Its file says no address: the tool has it from the variable."""

STATED = SILENT.replace('how = "{method}"', 'how = "{method}"\nserver = { url = "{id}/v1" }')
"""Its file says where the tool sends the token."""

CACHED = (
    SILENT.replace("[env]\n", '[env]\nACME_TOKEN = "session"\n', 1)
    + """
[cache.profile]
credential = ["session"]
request = { get = "{id}/profile" }
take = "profile"
path = "~/.acme/profile.yaml"
in_place = true
shape = { plan = "plan" }
"""
)
"""The token goes by variable, and beside it stands what the platform has said."""


@pytest.fixture
def told(tmp_path: Path) -> Callable[[Story, str], None]:
    """Tell a story in a world of its own."""

    def tell(story: Story, text: str) -> None:
        async def telling() -> None:
            await asyncio.wait_for(story(Delivering(tmp_path, text)), 20)

        asyncio.run(telling())

    return tell


def redirect(world: Delivering, text: str) -> None:
    """Start the agent with an override of the tool's address."""
    source = SourceText("tools.d/acme.toml", text)
    world.broker.catalogue = load({source.file: source}, None, {"ACME_URL": ELSEWHERE}, {})
    assert world.broker.catalogue.problems == ()


@pytest.mark.parametrize("text", [SILENT, STATED], ids=["silent", "stated"])
def test_a_login_is_not_written_beside_another_place(
    told: Callable[[Story, str], None], text: str
) -> None:
    """Nothing is written, and the person is told what to type."""

    async def story(world: Delivering) -> None:
        await world.signed_in()
        redirect(world, text)
        with pytest.raises(ConfigurationError, match=ELSEWHERE) as caught:
            await world.deliver(7)
        assert "tool-agent login acme" in (caught.value.hint or "")
        assert list(world.home.iterdir()) == []
        assert await world.files.leases() == ()

    told(story, text)


@pytest.mark.parametrize("text", [SILENT, STATED], ids=["silent", "stated"])
def test_a_login_that_was_obtained_there_is(told: Callable[[Story, str], None], text: str) -> None:
    """It goes where it came from; so does one without any override."""

    async def story(world: Delivering) -> None:
        await world.signed_in()
        held = await world.store.read(KEY)
        assert held is not None
        there = replace(held.grant, origins=(ORIGIN, ELSEWHERE))
        await world.store.write(there, held.secret, expected=held.grant.generation)
        redirect(world, text)
        await world.deliver(7)
        found = json.loads(world.file.read_text())
        assert found["access"]
        assert found.get("server") in (None, {"url": f"{ELSEWHERE}/v1"})

    told(story, text)


@pytest.mark.parametrize(
    "address",
    ["http://127.0.0.1:45999", "https://acme.example.evil.example", "ftp://acme.example", "x://"],
)
def test_any_address_in_the_file_counts(told: Callable[[Story, str], None], address: str) -> None:
    """Also one that the definition states nowhere else, whatever stands around it."""
    text = STATED.replace("{id}/v1", f"url={address} and more")

    async def story(world: Delivering) -> None:
        await world.signed_in()
        with pytest.raises(ConfigurationError, match="not among the origins of this login"):
            await world.deliver(7)
        assert list(world.home.iterdir()) == []

    told(story, text)


def test_what_is_kept_of_another_place_is_not_delivered(
    told: Callable[[Story, str], None],
) -> None:
    """The command runs without it and is told so, though the store has it."""

    async def story(world: Delivering) -> None:
        grant = await world.signed_in()
        await world.store.keep_cache(grant, "acme/profile", '{"plan": "theirs"}')
        redirect(world, CACHED)
        given = await world.deliver(7)
        assert given.files == ()
        (note,) = given.notes
        assert ELSEWHERE in note
        assert list(world.home.iterdir()) == []

    told(story, CACHED)


def test_a_key_too(told: Callable[[Story, str], None]) -> None:
    """A stored API key is delivered to the place it was typed for."""

    async def story(world: Delivering) -> None:
        grant = Grant(KEY, GrantKind.API_KEY, "api-key", "key", (ORIGIN,), 0.0)
        await world.store.write(grant, Secret("ak_1"), expected=0)
        redirect(world, text)
        with pytest.raises(ConfigurationError, match=ELSEWHERE):
            await world.deliver(7)
        assert list(world.home.iterdir()) == []

    text = STATED.replace('{ key = "{secret}" }', '{ key = "{secret}", url = "{id}" }').replace(
        'key.json"\n', 'key.json"\nbeside_env = true\n'
    )
    told(story, text)
