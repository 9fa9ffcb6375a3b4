"""The tools' documentation pages as transcripts: every command of a page, typed in three ways."""

import json

import pytest

from tests.canary import Canary
from tests.platforms.far import running
from tests.real.home import Home
from tests.real.platforms import Platforms
from tests.stories.page import Block, Typed, blocks
from tests.stories.transcript import FOLDER, KNOWN, PAGES, replay, seated

OF_THE_PAGES = {
    "cre-authentication.md": (
        "cre login",
        "cre logout",
        "cre whoami",
        'export CRE_API_KEY="',
    ),
    "cre-managing-authentication.md": (
        "cre login",
        "cre whoami",
        "cre logout",
        'export CRE_API_KEY="',
    ),
    "libretto-authentication.md": (
        "npx libretto cloud auth signup",
        "npx libretto cloud auth login",
        "npx libretto cloud auth forgot-password",
        "npx libretto cloud auth logout",
        "npx libretto cloud auth whoami",
        "npx libretto cloud auth invite teammate@example.com --role member",
        "npx libretto cloud auth accept-invite ",
        "npx libretto cloud auth api-key issue --label laptop-dev",
        "npx libretto cloud auth api-key list",
        "npx libretto cloud auth api-key revoke ",
    ),
    "neuralrepo-authentication.md": (
        "nrepo login",
        "nrepo login --api-key",
        'echo "$NEURALREPO_API_KEY" | nrepo login --api-key',
        'nrepo login --api-key <<< "$NEURALREPO_API_KEY"',
        'nrepo push "Automated idea" --body "From CI pipeline"',
        "nrepo key create ",
        "nrepo logout",
    ),
    "encore-auth-keys.md": ("encore auth login --auth-key=",),
}
"""What stands in the code blocks of each page. Where it has a value of the reader's own (a key, an
invitation), it ends before the value. `nrepo key create` is in a sentence."""

PORT = {page: [pytest.mark.fixed_port] for page in PAGES if page.startswith("cre-")}


@pytest.mark.parametrize("page", [pytest.param(page, marks=PORT.get(page, [])) for page in PAGES])
def test_the_transcript(home: Home, page: str, canary: Canary) -> None:
    """What comes back is what the transcript shows; no secret is anywhere that it does not show."""
    canary.home(home.path)
    # Platforms of its own: keys that work once are used up, others deleted, the clock is moved.
    with running() as far:
        platforms = Platforms(far)
        home.environ.update({**platforms.env, "BROWSER": platforms.browser()})
        platforms.watch(canary)
        with seated(home, platforms, PAGES[page]) as desk:
            replay(page, desk, canary)
            platforms.watch(canary)
            for file in (home.path / "home" / "project").glob("*env"):
                file.unlink()  # where the person has put a key, as the page says
        seen = platforms.counters()
        assert (seen["replays"], seen["origin_refusals"], seen["forged_forms"]) == (0, 0, 0)
        canary.assert_all_clean()


@pytest.mark.parametrize("page", PAGES)
def test_every_command_of_the_page_is_typed(page: str) -> None:
    """As it stands there: by the tool's own name."""
    typed = commands(page)
    assert set(OF_THE_PAGES) == set(PAGES)
    for command in OF_THE_PAGES[page]:
        assert any(command in one.command for one in typed), command


@pytest.mark.parametrize("page", PAGES)
def test_every_command_is_typed_in_three_ways(page: str) -> None:
    """Through a shim, word for word behind `as`, and as a command of the agent's own."""
    typed = "\n".join(one.command for one in commands(page))
    tool = PAGES[page]
    name = {"libretto": "libretto cloud auth", "encore": "encore auth"}.get(tool, tool)
    for word in ("login", "logout", "whoami"):
        for way in (f"{name} {word}", f"tool-agent as {name} {word}", f"tool-agent {word} {tool}"):
            assert way in typed, way


def test_the_placeholders_are_explained() -> None:
    """What a transcript abbreviates is what is known to differ from run to run."""
    shown = "".join(one.shown for page in PAGES for one in commands(page))
    assert {name for name in KNOWN if name in shown} == set(KNOWN)
    assert {path.name for path in FOLDER.iterdir()} == set(PAGES)


def test_a_placeholder_stands_for_its_own_kind_of_text() -> None:
    """Another text in its place is another text."""
    line = Typed("", json.dumps({"id": "<id>"}))
    assert line.matches('{"id": "key_0123456789abcdef"}', KNOWN)
    assert not line.matches('{"id": "0123456789abcdef"}', KNOWN)
    assert not line.matches('{"id": ""}', KNOWN)


def commands(page: str) -> list[Typed]:
    """Return what is typed in a transcript."""
    found: list[Block] = blocks(FOLDER / page)
    assert {block.language for block in found} == {"console"}
    return [one for block in found for one in block.typed()]
