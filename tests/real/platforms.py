"""The practice platforms as a process: one for the whole run, as good as new for each test."""

import shlex
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.canary import SHORTEST, Canary
from tests.platforms.far import ROOT, Far, call, running
from tests.real.waiting import until


class Platforms:
    """The far end of every story: four platforms, their person, and the switches."""

    def __init__(self, far: Far) -> None:
        self._far = far

    @property
    def env(self) -> dict[str, str]:
        """What an agent has in its environment to talk to these instead of the world."""
        return dict(self._far.line["env"])

    @property
    def accounts(self) -> dict[str, dict[str, str]]:
        """What the person knows, by platform: email, password, api_key."""
        found: dict[str, dict[str, str]] = self._far.line["accounts"]
        return found

    @property
    def urls(self) -> dict[str, str]:
        """The platforms' origins."""
        found: dict[str, str] = self._far.line["urls"]
        return found

    def counters(self) -> dict[str, Any]:
        """What has happened since the test began."""
        return self._far.counters()

    def living(self) -> dict[str, Any]:
        """What could still be used, by platform."""
        found: dict[str, Any] = call("GET", f"{self._far.url}/_/grants").json
        return found

    def faults(self, **changes: object) -> None:
        """Set some switches (tests/platforms/faults.py)."""
        self._far.faults(**changes)

    def waiting_at(self, platform: str, point: str) -> None:
        """Return once a request waits in `<point>_delay`, which was set with `<point>_times=1`."""
        switches = {f"{point}_delay", f"{point}_delay_after"}
        until(lambda: not switches & self._switches(platform).keys(), f"a request to {point}")

    def _switches(self, platform: str) -> dict[str, Any]:
        found: dict[str, Any] = call("GET", f"{self._far.url}/_/faults").json[platform]
        return found

    def end_sessions(self) -> None:
        """End every session at CRE, as an administrator would."""
        self.end_sessions_of("cre")

    def end_sessions_of(self, platform: str) -> None:
        """End every session at a platform."""
        call("POST", f"{self._far.url}/_/sessions/end", json_body={"platform": platform})

    def reset(self) -> None:
        """Clear the switches and the counters."""
        call("POST", f"{self._far.url}/_/reset", json_body={"counters": True})

    def browser(self, **environ: str) -> str:
        """Return a value for BROWSER: the person, with `environ` (PERSON_ANSWER=deny)."""
        words = [f"{name}={value}" for name, value in environ.items()]
        command = ["env", f"PYTHONPATH={ROOT}", *words, sys.executable]
        return shlex.join([*command, "-m", "tests.platforms.person"])

    def person(self, url: str, **environ: str) -> subprocess.CompletedProcess[str]:
        """Let the person visit an address; she prints the text of the last page."""
        return self._far.person(url, **environ)

    def userinfo(self, access_token: str) -> int:
        """Return the status with which CRE answers an access token."""
        headers = {"Authorization": f"Bearer {access_token}"}
        return call("GET", f"{self._far.url}/userinfo", headers=headers).status

    def watch(self, canary: Canary) -> None:
        """Have the canary search for everything secret that the platforms know."""
        for platform, account in self.accounts.items():
            for name in ("password", "otp_secret", "api_key", "auth_key", "ephemeral_auth_key"):
                if len(account.get(name, "")) >= SHORTEST:
                    canary.watch(account[name], f"{platform}'s {name}")
        for value in self._secrets():
            canary.watch(value, "a code or refresh token of CRE")

    def refresh_tokens(self) -> list[str]:
        """Return every refresh token that CRE ever gave."""
        return [value for value in self._secrets() if value.startswith("rt_")]

    def _secrets(self) -> list[str]:
        found: list[str] = call("GET", f"{self._far.url}/_/secrets").json
        return found


@pytest.fixture(scope="session")
def running_platforms() -> Iterator[Far]:
    """The process, which starts once."""
    with running() as far:
        yield far


@pytest.fixture
def platforms(running_platforms: Far) -> Iterator[Platforms]:
    """The platforms, with nothing switched and nothing counted; grants of other tests live on."""
    found = Platforms(running_platforms)
    found.reset()
    yield found
    found.reset()
