"""What needs JSON for the person's own value: requests that carry it, and its rendering."""

import json
from typing import Any

from tool_agent import output, wire
from tool_agent.agent import Connection, Reply
from tool_agent.variables import Own, ask

SOURCE = "environment"
"""Says in the output that the value is the person's own and no session of the agent's."""

SOURCE_DOTENV = "dotenv"
"""Says the same of a value in the project's `.env`."""


def credential_body(own: Own) -> dict[str, Any]:
    """Return the field that carries the value, or values, for this one request."""
    fields: dict[str, Any] = {"variable": own.variable, "value": own.value}
    if len(own.values) > 1:
        fields["values"] = own.values
    return {"credential": fields}


def request_of_person(
    connection: Connection, method: str, path: str, fields: dict[str, Any], *, accept: str
) -> Reply:
    """Send a JSON request about one account; the person's own variable goes with it if it wins."""
    headers = (("Content-Type", wire.JSON),)
    body = document(fields)
    account = fields.get("account")
    reply = ask(
        connection, method, path, accept=accept, headers=headers, body=body, account=account
    )
    if not isinstance(reply, Own):
        return reply
    output.note(said_of(reply))
    body = document(fields | credential_body(reply))
    return connection.request(method, path, accept=accept, headers=headers, body=body)


def document(fields: dict[str, Any]) -> bytes:
    """Return a JSON body of the fields that say something."""
    return json.dumps({k: v for k, v in fields.items() if v not in (None, False)}).encode()


def said_of(own: Own) -> str:
    """Return the line that tells where a value was found; empty for the environment."""
    return f"tool-agent: {own.variable} is the one in {own.place}\n" if own.place else ""


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
            "env": own.values,
            "files": [],
            "source": SOURCE_DOTENV if own.place else SOURCE,
        }
    )
