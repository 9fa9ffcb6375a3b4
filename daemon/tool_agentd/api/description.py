"""The description of the API (OpenAPI 3.1), made from the route table and the routes' words."""

from collections.abc import Awaitable, Callable

from tool_agent import wire
from tool_agent._version import __version__
from tool_agentd.api.answers import Answer
from tool_agentd.api.call import Call, Json, Routes

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
    return {
        "openapi": "3.1.0",
        "info": {"title": "tool-agent", "version": __version__},
        "servers": [{"url": "http://tool-agent", "description": "over the agent's Unix socket"}],
        "paths": {
            _named(path): {method.lower(): _operation(routes, path, method) for method in methods}
            for path, methods in sorted(routes.paths().items())
        },
        "components": {
            "responses": {
                "problem": {
                    "description": "RFC 9457; `code` is one of: " + ", ".join(wire.ERRORS),
                    "content": {wire.PROBLEM: {"schema": {"type": "object"}}},
                }
            }
        },
    }


def _named(path: str) -> str:
    parts = path.split("/")
    return "/".join(
        f"{{{_NAMES[parts[i - 1]]}}}" if part == "*" else part for i, part in enumerate(parts)
    )


def _operation(routes: Routes, path: str, method: str) -> Json:
    handler = routes.find(method, path)[0].handler
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in (part[1:-1] for part in _named(path).split("/") if part.startswith("{"))
    ]
    found: Json = {
        "summary": (handler.__doc__ or "").strip().partition("\n")[0],
        "responses": {
            "2XX": {"description": "the answer"},
            "default": {"$ref": "#/components/responses/problem"},
        },
    }
    if parameters:
        found["parameters"] = parameters
    return found
