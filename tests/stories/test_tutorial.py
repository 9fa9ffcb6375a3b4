"""docs/tutorial.md, followed to the letter: a tool of one's own, and nothing but a definition."""

import json
import re
import shlex

import pytest

from tests.canary import Canary
from tests.real.home import Home
from tests.real.idp import Idp
from tests.stories.page import (
    PLACEHOLDERS,
    SHOWN_ADDRESS,
    TUTORIAL,
    Typed,
    abbreviated,
    at_tutorial,
    blocks,
)

BLOCKS = blocks(TUTORIAL)


def test_the_page(home: Home, idp: Idp, canary: Canary) -> None:
    """Every block of TOML and every command, in order; what comes back is what the page shows."""
    canary.home(home.path)
    for name in ("api_token", "global_key"):
        canary.watch(idp.known[name], f"the person's {name}")
    with at_tutorial(home, idp) as desk:
        for block in BLOCKS:
            if block.language == "toml":
                desk.write(block.text)
            for one in block.typed():
                said = desk.run(one.command)
                assert one.matches(said), (one, abbreviated(said))
                if re.fullmatch(f"{PLACEHOLDERS['<random>']}\n", said):
                    canary.watch(said.strip(), "an access token")
                else:
                    canary.text(one.command, said)
    seen = idp.counters()
    assert (seen.logins, seen.code_exchanges, seen.replays) == (2, 2, 0)
    assert (seen.revocations, seen.accepted_refresh_tokens) == (2, 0)
    canary.assert_all_clean()


def test_the_page_starts_the_provider_that_the_test_has() -> None:
    """The command for the other terminal is the one behind `idp`, on the address that is shown."""
    (line,) = [block.text for block in BLOCKS if block.language == "sh"]
    words = shlex.split(line)
    assert words[:2] == ["node", "tests/idp/server.mjs"]
    options = json.loads(words[2])
    assert set(options) == {"port"}
    assert SHOWN_ADDRESS.endswith(f":{options['port']}")


def test_nothing_of_the_page_is_left_out() -> None:
    """Every fenced block is of a kind that is played, and every placeholder is explained."""
    text = TUTORIAL.read_text(encoding="utf-8")
    assert text.count("```") == 2 * len(BLOCKS)
    assert {block.language for block in BLOCKS} == {"toml", "console", "sh"}
    shown = "".join(one.shown for block in BLOCKS for one in block.typed())
    assert set(re.findall(r"<[a-z]+>", shown)) <= set(PLACEHOLDERS)
    assert all(f"| `{name}` |" in text for name in PLACEHOLDERS)


@pytest.mark.parametrize(
    ("shown", "said", "same"),
    [
        ("one\n", "one\n", True),
        ("one\n", "one\ntwo\n", False),
        ("one.\n", "one!\n", False),
        ("<random>\n", "a" * 43 + "\n", True),
        ("<random>\n", "a" * 42 + "\n", False),
        ("until <time>.\n", "until 2026-01-01 12:00:00.\n", True),
        ("until <time>.\n", "until tomorrow.\n", False),
    ],
)
def test_what_is_compared(shown: str, said: str, same: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """A placeholder stands for its own kind of text, and everything else for itself."""
    assert Typed("", shown).matches(said) is same
