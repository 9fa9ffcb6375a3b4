"""What a story reads of `tool-agent status --json`."""

import json
from typing import Any

from tests.real.agent import Agent


def status_of(agent: Agent) -> dict[str, Any]:
    """Return the whole status."""
    found: dict[str, Any] = json.loads(agent.run("status", "--json").stdout)
    return found


def state_of(agent: Agent, tool: str) -> str:
    """Return the state of a tool's account; `none` where it has none."""
    accounts = status_of(agent)["accounts"]
    found = [account["state"] for account in accounts if account["tool"] == tool]
    return str(found[0]) if found else "none"
