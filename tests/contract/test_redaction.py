"""The second line: a secret that slips into what the agent says about itself comes out as stars."""

import subprocess
import sys
import timeit
from pathlib import Path

import pytest

from tool_agentd.adapters.redaction import Redaction
from tool_agentd.secret import Secret

ROOT = Path(__file__).parents[2]
JWT = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhZGEifQ.c2lnbmF0dXJlLXNpZ25hdHVyZQ"
SLIPS = (
    *("log", "traceback", "debug", "aiohttp", "asyncio", "a broken record"),
    *("uncaught", "thread", "unraisable", "warning", "print"),
)


def said(way: str) -> str:
    """Return what a program says on stderr that lets a secret slip in one way."""
    return subprocess.run(
        [sys.executable, "-m", "tests.contract.redaction_child", way],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    ).stderr


@pytest.mark.parametrize("way", SLIPS)
def test_a_living_secret_comes_out_as_stars(way: str) -> None:
    """Whoever writes it, by whichever way: a logger, Python itself, asyncio, a library."""
    text = said(way)
    assert "****" in text
    assert "hunter2" not in text


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("got JWT from it", "got **** from it"),
        ("Authorization: Bearer abcdefghij", "Authorization: Bearer ****"),
        ("{'Authorization': 'Basic YWRhOmh1bnRlcg=='}", "{'Authorization': 'Basic ****'}"),
        ("grant_type=x&refresh_token=abcd1234&client_id=y", "&refresh_token=****&client_id=y"),
        ('{"access_token": "abcd.1234", "expires_in": 60}', '"access_token": "****", "exp'),
        ('b\'{\\\\"id_token\\\\": \\\\"abcd1234\\\\"}\'', "****"),
        ("{'password': 'correct horse'}", "{'password': '****'}"),
        ("GET /callback?code=abc123&state=xyz HTTP/1.1", "?code=****&state=**** HTTP"),
        ("the key ena_Abc-123456789 is", "the key **** is"),
        ("the key nrp_0011223344556677 is", "the key **** is"),
    ],
)
def test_a_known_shape_comes_out_as_stars(line: str, shown: str) -> None:
    """What is no Secret yet: tokens, headers, fields, callbacks, keys of the definitions."""
    redaction = Redaction()
    redaction.patterns = lambda: ["ena_[A-Za-z0-9_-]+", "[!-~]+", "nrp_[0-9a-f]{64}"]
    assert shown in redaction(line.replace("JWT", JWT))


@pytest.mark.parametrize(
    "line",
    [
        "serving /run/user/1000/tool-agent/agent.sock",
        "the token endpoint answered 503; Retry-After is 30 s",
        "Bearer of news: the state is active, the code is 3",
        "cre/default is renewed, generation 4",
    ],
)
def test_prose_is_left_alone(line: str) -> None:
    """A log that is nothing but stars helps nobody."""
    assert Redaction()(line) == line


def test_it_is_cheap_enough_for_a_debug_log() -> None:
    """With the secrets of a hundred sessions alive, a line takes less than 5 ms on any machine."""
    kept = [Secret(f"{number:04}-" + "x" * 80) for number in range(500)]
    redaction = Redaction()
    redaction.patterns = lambda: ["ena_[A-Za-z0-9_-]+"]
    line = "2026-01-01 DEBUG tool_agentd.broker: " + "a word and another " * 10
    seconds = min(timeit.repeat(lambda: redaction(line), number=20, repeat=5)) / 20
    assert seconds < 0.005, f"{seconds * 1e6:.0f} µs"
    assert kept
