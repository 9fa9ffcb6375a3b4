"""The bottom of the vocabulary: what every table of a definition is, variables, and requests.

The loader substitutes `{variable}` placeholders of `[vars]` once, so everyone else reads finished
addresses. Placeholders for secrets (`{secret}`, `{access_token}`, `{refresh_token}`) and for values
that steps ask for or take stay, and are filled at the moment of use.
"""

from typing import Any

import msgspec

METHODS = ("get", "post", "put", "delete")
"""The keys of a request that hold its address, one of which is there."""


class Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The base of every table: an unknown key is an error.

    Each subclass says `frozen=True` again, because type checkers do not inherit it.
    """


class Var(Table, frozen=True, kw_only=True):
    """A named text of the definition, overridable from the agent's start environment."""

    default: str
    env: str | None = None


class Request(Table, frozen=True, kw_only=True):
    """An HTTP request; exactly one of `get`, `post`, `put`, `delete` holds its address."""

    get: str | None = None
    post: str | None = None
    put: str | None = None
    delete: str | None = None
    headers: dict[str, str] = {}
    form: dict[str, str] | None = None
    json: Any = None

    @property
    def method(self) -> str:
        """The HTTP method, in capitals."""
        return next((m for m in METHODS if getattr(self, m) is not None), "get").upper()

    @property
    def url(self) -> str:
        """The address, possibly with placeholders."""
        return self.get or self.post or self.put or self.delete or ""


class Errors(Table, frozen=True, kw_only=True):
    """Where the platform's JSON errors say what is wrong: dotted paths, the first that is there."""

    code: tuple[str, ...] = ("error", "code")
    text: tuple[str, ...] = ("error_description", "message")
    reason: tuple[str, ...] = ("data.reason",)
    """A finer code beside the code."""
