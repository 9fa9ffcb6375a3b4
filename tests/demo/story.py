"""The steps of the demo, in order. Each one checks what it shows."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from tests.canary_forms import needles
from tests.demo import keychain, others
from tests.demo.stage import Stage

LIFE = 3
"""Seconds that a token lives where one is to run out: long enough to be used, short enough to
watch. The agent renews it ahead of its end."""

IN_THE_CLEAR = r"(e?rt|ena)_[A-Za-z0-9_-]{36,}|nrp_[0-9a-f]{64}|eyJ[A-Za-z0-9_-]{40,}"
"""What the practice platforms' refresh tokens, API keys, auth keys and access tokens look like."""

TOOLS = ("cre", "nrepo", "libretto")
"""Whose logins rest in the store. Encore's is for an hour and for the agent's memory only."""

LISTING = f"secret-tool search --all service {keychain.SERVICE} 2>&1"
"""The person's own look into the keychain (libsecret-tools)."""

LISTING_WITHOUT = "python -m tests.demo.keychain"
"""The same, where secret-tool is not installed."""


@dataclass(frozen=True, slots=True)
class Step:
    """A heading, a line that explains, and what happens."""

    title: str
    explanation: str
    play: Callable[[Stage], None]


def _start(stage: Stage) -> None:
    stage.types("tool-agent start", r"the agent answers at ")
    rests = "keychain" if stage.place.store == "keychain" else "a vault in grants.db"
    stage.types("tool-agent status", f"secrets rest in .*{rests}", "nobody is logged in")


def _login(stage: Stage) -> None:
    email = stage.place.platform["accounts"]["cre"]["email"]
    stage.types("tool-agent login cre", f"Logged in to Chainlink CRE as {re.escape(email)}")
    seen = stage.place.asked("/_/counters")["platforms"]["cre"]
    stage.check(seen["sign_ins"] == 1, "nobody went through the platform's pages")
    stage.check(seen["logins"] == 1, "the platform counts no login")


def _whoami(stage: Stage) -> None:
    email = stage.place.platform["accounts"]["cre"]["email"]
    stage.types("tool-agent whoami cre", re.escape(email), "org_")


def _token(stage: Stage) -> None:
    token = stage.asks("tool-agent token cre")
    stage.secrets.add(token)
    shown = stage.types("tool-agent token cre | cut -c1-20")
    stage.check(token.startswith(shown.strip()) and len(shown) > 1, "another token was shown")


def _env(stage: Stage) -> None:
    stage.types('eval "$(tool-agent env reports)"')
    token = stage.asks('echo "$REPORTS_TOKEN"')
    stage.check(len(token) > 100, "env did not set REPORTS_TOKEN")
    stage.secrets.add(token)
    stage.types('echo "$REPORTS_TOKEN" | cut -c1-20', re.escape(token[:20]))
    stage.types("reports", r"reports\.example")


def _exec(stage: Stage) -> None:
    stage.types("unset REPORTS_TOKEN")
    stage.types("tool-agent exec reports -- reports", r"reports\.example")
    stage.types('echo "here: ${REPORTS_TOKEN:-not set}"', "here: not set")


def _share(stage: Stage) -> None:
    own = stage.types("workflows", r"api\.cre\.chain\.link", "offline_access")
    other = stage.types(
        "tool-agent exec reports -- reports", r"reports\.example", "with reports:read$"
    )
    stage.check(own.split(":", 1)[1] != other.split(":", 1)[1], "both had the same token")
    stage.types("platform count logins replays", r"^logins 1, replays 0$")


def _runs_out(stage: Stage) -> None:
    before = stage.place.asked("/_/counters")["refreshes"]
    stage.place.status()  # whose pid to wait for
    stage.types(f"platform token-life {LIFE}", f"live {LIFE} s")
    stage.types("tool-agent stop", r"pid \d+\) stops")
    stage.place.await_agents_end()
    stage.types('first=$(tool-agent token cre); echo "$first" | tail -c 13')
    first = stage.asks('echo "$first"')
    stage.types('until [ "$(tool-agent token cre)" != "$first" ]; do sleep 0.1; done')
    stage.types("tool-agent token cre | tail -c 13")
    second = stage.asks("tool-agent token cre")
    stage.secrets |= {first, second}
    stage.check(first != second, "the token is still the same")
    stage.types("workflows", r"api\.cre\.chain\.link")
    stage.types("platform count logins refreshes replays", r"^logins 1, refreshes \d+, replays 0$")
    after = stage.place.asked("/_/counters")["refreshes"]
    stage.check(after >= before + 2, "the platform did not see two refreshes")
    stage.place.asked("/_/reset", {})


def _rests(stage: Stage) -> None:
    if stage.place.store == "keychain":
        _rests_in_keychain(stage)
    else:
        sealed = (rf"{tool}/default#\d+ +vault +sealed: \w{{24}}" for tool in TOOLS)
        stage.types("rows", *sealed)
    # The pattern has to find what it looks for, or finding nothing says nothing.
    begins = ("rt_", "ert_", "nrp_", "ena_", "eyJ")
    known = [secret for secret in stage.secrets if secret.startswith(begins)]
    stage.check(len(known) > 2, "there is nothing to look for")
    for secret in known:
        stage.check(re.match(IN_THE_CLEAR, secret) is not None, "a secret of another shape")
    stage.types(
        f"grep -raoE '{IN_THE_CLEAR}' \"$DEMO\" || echo 'no secret in the clear'",
        "^no secret in the clear$",
    )
    leaks = _leaks(stage)
    stage.check(not leaks, f"a secret is in the clear in {', '.join(leaks)}")


def _leaks(stage: Stage) -> list[str]:
    """Return the files below the home with a secret in any form: reversed, base64 and so on."""
    forms = [needle.data for one in stage.secrets for needle in needles("", one.encode())]
    files = [path for path in stage.place.home.rglob("*") if path.is_file()]
    return [
        str(path)
        for path, data in ((path, path.read_bytes()) for path in files)
        if any(form in data for form in forms)
    ]


def _rests_in_keychain(stage: Stage) -> None:
    held = keychain.secrets_held()
    stage.check(bool(held), "the keychain holds nothing of the demo's")
    stage.secrets |= set(held)
    if stage.asks("command -v secret-tool || true"):
        command = f"{LISTING} | grep -E '^(label|attribute)'"
    else:
        command = LISTING_WITHOUT
    stage.types(command, *(rf"{tool}/default#\d+" for tool in TOOLS), keychain.SERVICE)


def _logout(stage: Stage) -> None:
    stage.types("tool-agent logout --all", "erased here; revoked at the provider: .*refresh token")
    stage.types(
        'tool-agent token reports; echo "exit status $?"', "tool-agent login", "exit status 4$"
    )
    stage.types("platform living cre", r"refresh tokens 0, sessions 0")
    stage.types("platform living libretto", r"\bsessions 0")


def _nothing_left(stage: Stage) -> None:
    stage.types("tool-agent status", "nobody is logged in")
    if stage.place.store == "keychain":
        secret_tool = stage.asks("command -v secret-tool || true")
        command = LISTING if secret_tool else LISTING_WITHOUT
        shown = stage.types(f"{command} | wc -l", r"^\s*0$")
        stage.check(not keychain.items() and bool(shown), "the keychain still has an item")
    else:
        shown = stage.types("rows")
        stage.check(not shown, "the vault still has a row")
    stage.place.status()  # whose pid to wait for
    stage.types("tool-agent stop", r"pid \d+\) stops")
    stage.place.await_agents_end()


STEPS = (
    Step("The agent", "one background process; every command starts it where none runs", _start),
    Step("Sign in, once", "BROWSER is a script here, a person with e-mail, password, OTP", _login),
    Step("Who am I?", "the platform is asked, with the login's own token", _whoami),
    Step("A token for a script", "stdout is the token, shown in part here", _token),
    Step("A variable for a shell", "`reports` is a CLI that only reads REPORTS_TOKEN", _env),
    Step("A variable for one command", "and for nothing else", _exec),
    Step(
        "Two CLIs, one login",
        "each with a scope and an audience of its own; the platform has counted one login",
        _share,
    ),
    Step(
        "A token runs out",
        "the agent is started anew, the login outlives it; then it refreshes in time",
        _runs_out,
    ),
    Step(
        "NeuralRepo",
        "its own words, by a shim: `login` is the agent's, `push` the tool's, which reads a file",
        others.nrepo,
    ),
    Step("Libretto Cloud", "the agent asks the site until the person says yes", others.libretto),
    Step("Encore", "with an auth key that signs a machine in for one hour", others.encore),
    Step("Four tools, one agent", "who is signed in, by what, and until when", others.all_of_them),
    Step("Where the secrets rest", "and where they do not: anywhere below $DEMO", _rests),
    Step("Sign out", "revoked at the platform, erased here", _logout),
    Step("Nothing is left", "no account, no secret", _nothing_left),
)


def play(stage: Stage) -> None:
    """Play every step.

    Raises:
        DemoError: a step did not show what it says.
    """
    for account in stage.place.platform["accounts"].values():
        stage.secrets |= {
            value
            for name, value in account.items()
            if "key" in name or name in ("password", "otp_secret")
        }
    for number, step in enumerate(STEPS, 1):
        stage.screen.heading(f"{number}. {step.title}", step.explanation)
        step.play(stage)
