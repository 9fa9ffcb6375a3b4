"""The description of the API (OpenAPI 3.1), made from the route table and the routes' own words.

What a route reads stands there as it declares it, and as it is checked.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from tool_agent import wire
from tool_agent._version import __version__
from tool_agentd.api.answers import Answer
from tool_agentd.api.call import Call, Json, Routes, reads_of
from tool_agentd.api.connection import REQUEST_TIMEOUT
from tool_agentd.secret import Secret

_NAMES = {
    "accounts": "account",
    "actions": "action",
    "api-keys": "id",
    "approvals": "id",
    "commands": "command",
    "logins": "id",
    "sockets": "id",
    "tools": "tool",
    "why": "tool",
}
"""What an open part is called, by the part before it."""


def describe(routes: Routes) -> Callable[[Call], Awaitable[Answer]]:
    """Return the route that describes every route of the table."""

    async def description(call: Call) -> Answer:
        """GET /v1/openapi.json."""
        call.query()
        return Answer(document(routes))

    return description


def document(routes: Routes) -> Json:
    """Return the OpenAPI document."""
    table = routes.paths()
    read = {
        reads_of(routes.find(method, path)[0].handler).body
        for path, methods in table.items()
        for method in methods
    }
    bodies = sorted(
        (body for body in read if body is not None), key=lambda body: str(body.__name__)
    )
    references, schemas = msgspec.json.schema_components(
        bodies, schema_hook=_secret, ref_template="#/components/schemas/{name}"
    )
    shown = dict(zip(bodies, references, strict=True))
    return {
        "openapi": "3.1.0",
        "info": {"title": "tool-agent", "version": __version__},
        "servers": [{"url": "http://tool-agent", "description": "over the agent's Unix socket"}],
        "paths": {
            _named(path): {
                method.lower(): _operation(routes, path, method, shown) for method in methods
            }
            for path, methods in sorted(table.items())
        },
        "components": {
            "schemas": schemas | {"Problem": PROBLEM},
            "responses": {str(status): _refusal(status) for status in sorted(STATUSES)},
        },
    }


def _secret(type_: type) -> Json:
    """Describe what a body has as text and the agent as a Secret (msgspec's schema_hook)."""
    if type_ is not Secret:
        raise NotImplementedError(type_)
    return {"type": "string"}


STATUSES = {status for status, _ in wire.ERRORS.values()} | {REQUEST_TIMEOUT}

PROBLEM: Json = {
    "type": "object",
    "description": "RFC 9457.",
    "properties": {
        "type": {"const": "about:blank"},
        "status": {"enum": sorted(STATUSES)},
        "code": {"enum": list(wire.ERRORS)},
        "detail": {"type": "string", "description": "What happened, and why."},
        "hint": {"type": ["string", "null"], "description": "The next command."},
        "exit": {"type": "integer", "description": "The exit status of a client."},
        "retry_after": {"type": "number", "description": "Seconds."},
    },
    "required": ["type", "status", "code", "detail", "hint", "exit"],
    "additionalProperties": False,
}


def _refusal(status: int) -> Json:
    codes = [code for code, (usual, _) in wire.ERRORS.items() if usual == status]
    return {
        "description": ", ".join(codes) or "the head did not come to its end in time",
        "content": {wire.PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }


def _named(path: str) -> str:
    parts = path.split("/")
    return "/".join(
        f"{{{_NAMES[parts[i - 1]]}}}" if part == "*" else part for i, part in enumerate(parts)
    )


def _operation(routes: Routes, path: str, method: str, shown: Mapping[Any, Json]) -> Json:
    handler = routes.find(method, path)[0].handler
    read = reads_of(handler)
    parameters: list[Json] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in (part[1:-1] for part in _named(path).split("/") if part.startswith("{"))
    ]
    for name, choices in read.query.items():
        schema = {"type": "string"} | ({"enum": list(choices)} if choices else {})
        parameters.append({"name": name, "in": "query", "schema": schema})
    if read.many:
        some = {"type": "array", "items": {"type": "string"}}
        parameters.append({"name": read.many, "in": "query", "schema": some})
    found: Json = {
        "summary": (handler.__doc__ or "").strip().partition("\n")[0],
        "responses": {
            "2XX": {
                "description": "the answer, as `Accept` asks for it",
                "content": {wire.JSON: {"schema": {}}, wire.TEXT: {}, wire.REPLY: {}},
            },
            **{str(one): {"$ref": f"#/components/responses/{one}"} for one in sorted(STATUSES)},
        },
    }
    if parameters:
        found["parameters"] = parameters
    # A body of GET has no meaning of its own (RFC 9110 section 9.3.1); the summary tells of one.
    if read.body is not None and method != "GET":
        found["requestBody"] = {"content": {wire.JSON: {"schema": shown[read.body]}}}
    return found
