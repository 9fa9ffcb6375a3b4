"""What needs JSON for the person's own value: requests that carry it, and its rendering."""

import json
from typing import Any

from tool_agent import wire
from tool_agent.variables import Own

SOURCE = "environment"
"""Says in the output that the value is the person's own and no session of the agent's."""


def credential_body(own: Own) -> dict[str, Any]:
    """Return the field that carries the value, for this one request."""
    return {"credential": {"variable": own.variable, "value": own.value}}


def as_json(own: Own, headers: dict[str, str]) -> str:
    """Return the value as `token --format json` prints a credential of the agent's."""
    return json.dumps(
        {
            "schema": wire.SCHEMA,
            "access_token": own.value,
            "token_type": own.token_type,
            "expires_at": None,
            "account": None,
            "headers": headers,
            "env": {own.variable: own.value},
            "files": {},
            "source": SOURCE,
        }
    )
