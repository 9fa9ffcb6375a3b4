"""docs/many-tools.md, followed to the letter; and the same two tools under fifty clients."""

import re
import shlex

from tests.canary import Canary
from tests.platforms.far import call, running
from tests.real.agent import Agent
from tests.real.home import Home
from tests.real.platforms import Platforms
from tests.stories.page import (
    MANY_TOOLS,
    PLACEHOLDERS,
    SHOWN_ADDRESS,
    abbreviated,
    blocks,
    sat_down,
)

BLOCKS = blocks(MANY_TOOLS)

CLIENTS = 50
ASKED = (
    ("flows",),
    ("flows", "--scope", "openid"),
    ("flows", "--scope", "email"),
    ("flows", "--scope", "openid profile"),
    ("reports",),
)
"""Five different tokens of one login."""


def test_the_page(home: Home, canary: Canary) -> None:
    """Every definition and every command, in order; what comes back is what the page shows."""
    canary.home(home.path)
    with running() as far, sat_down(home, far.url, {}) as desk:
        for block in BLOCKS:
            if block.language == "toml":
                desk.write(block.text)
            for one in block.typed():
                said = desk.run(one.command)
                assert one.matches(said), (one, abbreviated(said))
                canary.text(one.command, said)
        Platforms(far).watch(canary)
        counters, living = far.counters()["platforms"]["cre"], Platforms(far).living()["cre"]
    assert (counters["sign_ins"], counters["logins"], counters["replays"]) == (1, 1, 0)
    assert (living["refresh_tokens"], living["sessions"]) == (0, 0)
    canary.assert_all_clean()


def test_the_page_starts_the_platform_that_the_test_has() -> None:
    """The command for the other terminal is the one behind the test, on the address shown."""
    (line,) = [block.text for block in BLOCKS if block.language == "sh"]
    port = re.sub(r".*:", "", SHOWN_ADDRESS)
    assert shlex.split(line) == ["python", "-m", "tests.platforms", "--port", port]
    text = MANY_TOOLS.read_text(encoding="utf-8")
    assert text.count("```") == 2 * len(BLOCKS)
    shown = "".join(one.shown for block in BLOCKS for one in block.typed())
    assert set(re.findall(r"<[a-z]+>", shown)) <= set(PLACEHOLDERS)


def test_fifty_clients_ask_for_five_tokens(home: Home, agent: Agent, platforms: Platforms) -> None:
    """No grace at the platform: exactly five refreshes, no replay, one refresh token that lives."""
    for block in BLOCKS:
        if block.language == "toml":
            text = block.text.replace("https://id.acme.example", platforms.urls["cre"])
            home.define(re.findall(r'^name = "(\w+)"', text, re.MULTILINE)[0], text)
    agent.good("reload")
    lived = platforms.living()["cre"]["refresh_tokens"]
    agent.good("login", "reports")
    agent.restart()  # no token is in memory, and the crowd finds the agent just started
    platforms.reset()
    platforms.faults(token_delay=0.2)  # long enough for all of them to arrive meanwhile
    crowd = [agent.begin("token", *ASKED[number % len(ASKED)]) for number in range(CLIENTS)]
    told = [process.communicate() for process in crowd]
    assert {process.returncode for process in crowd} == {0}, [err for _, err in told]
    tokens = {out for out, _ in told}
    assert len(tokens) == len(ASKED)
    counters = platforms.counters()["platforms"]["cre"]
    assert (counters["token_requests"], counters["refreshes"], counters["replays"]) == (5, 5, 0)
    assert platforms.living()["cre"]["refresh_tokens"] == lived + 1
    for token in tokens:
        headers = {"Authorization": f"Bearer {token.strip()}"}
        assert call("GET", f"{platforms.urls['cre']}/whoami-token", headers=headers).status == 200
    agent.good("logout", "flows")
    assert platforms.living()["cre"]["refresh_tokens"] == lived
