"""The demo's steps with the other three tools: NeuralRepo, Libretto Cloud, Encore."""

import re

from tests.demo.stage import Stage

FILE = "~/.config/neuralrepo/config.json"
"""All that NeuralRepo's own CLI reads."""


def nrepo(stage: Stage) -> None:
    """A key from a pipe, in the tool's own words; then the tool itself, which reads only a file."""
    account = stage.place.platform["accounts"]["nrepo"]
    stage.shell.assign("KEY", account["api_key"])
    # On macOS it is the person's own until here, because the keychain is found through it.
    stage.asks('export HOME="$DEMO"')
    stage.types('eval "$(tool-agent env --shims)"')
    stage.types("tool-agent shim install nrepo", "/shims/nrepo$")
    stage.types(
        'echo "$KEY" | nrepo login --api-key', f"Logged in as {re.escape(account['email'])}"
    )
    stage.types("nrepo push 'Automated idea'", "Alice Example pushed 'Automated idea'")
    # The agent sees the tool's end, and not in the same instant as the shell does.
    stage.asks(f"while test -e {FILE}; do sleep 0.1; done")
    stage.types(f"test -e {FILE} || echo 'the file is gone'", "^the file is gone$")


def libretto(stage: Stage) -> None:
    """A login that waits for the person's yes on the site; whoami in the tool's own words."""
    email = re.escape(stage.place.platform["accounts"]["libretto"]["email"])
    stage.types("tool-agent login libretto", f"Libretto Cloud as {email}")
    stage.types("tool-agent as libretto cloud auth whoami", email)


def encore(stage: Stage) -> None:
    """An ephemeral auth key, which the platform takes for one hour."""
    account = stage.place.platform["accounts"]["encore"]
    stage.shell.assign("AUTH_KEY", account["ephemeral_auth_key"])
    stage.types(
        'echo "$AUTH_KEY" | tool-agent login encore --auth-key -', re.escape(account["app_slug"])
    )
    stage.types("tool-agent as encore auth whoami", f"logged in as app {account['app_slug']}")


def all_of_them(stage: Stage) -> None:
    """One look at every login."""
    for tool in ("cre", "reports"):  # their tokens of 3 s have run out in the step before
        stage.secrets.add(stage.asks(f"tool-agent token {tool}"))
    stage.types(
        "tool-agent status | tail -n 6",
        r"cre +\*default +ada@example\.com +browser +signed in, token for \d+ min",
        r"encore +\*default +example-\w+ +auth-key +signed in, for \d+ min more",
        r"libretto +\*default +\S+@example\.com +browser +signed in, for \d+ days more",
        r"nrepo +\*default +alice@example\.com +api-key +signed in",
        r"reports +\*default +ada@example\.com",
    )
