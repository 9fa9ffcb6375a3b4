"""Values: what the steps of a login or an action know by name, secrets told apart from texts."""

from collections.abc import Iterator, Mapping
from typing import Any

from tool_agentd.definition import placeholder, select
from tool_agentd.definition.table import Request
from tool_agentd.definition.template import fill, fill_request
from tool_agentd.model import HttpRequest
from tool_agentd.secret import Secret

PLAIN_MAX = 8 * 1024
"""Characters of a plain value: a long address fits, a page that came by mistake does not."""


class Values(Mapping[str, str | Secret]):
    """Named values. A name that was taken and not found in the answer is there, and empty.

    The mapping serves templates. Beside it each value that came as JSON keeps its type, so that a
    body can hand it on as it came.
    """

    def __init__(self, given: Mapping[str, str | Secret] | None = None) -> None:
        """Begin with what is known beforehand."""
        self._values: dict[str, str | Secret] = dict(given or {})
        self._typed: dict[str, Any] = {}

    def __getitem__(self, name: str) -> str | Secret:
        """Return a value. Raises KeyError."""
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        """Yield the names."""
        return iter(self._values)

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._values)

    def put(self, name: str, value: str | Secret) -> None:
        """Set a value."""
        self._values[name] = value
        self._typed.pop(name, None)

    def put_json(self, name: str, value: Any) -> None:  # noqa: ANN401 - a JSON value
        """Set a plain value from an answer; null is empty, and what is no text has no text."""
        self.put(name, plain(value))
        if value is not None and not isinstance(value, str):
            self._typed[name] = value

    def put_secret(self, name: str, value: Any) -> None:  # noqa: ANN401 - a JSON value
        """Set a secret from an answer; what is no text is an empty secret."""
        self.put(name, Secret(value if isinstance(value, str) else ""))

    def text(self, name: str) -> str:
        """Return a plain value; empty where there is none, and for a secret."""
        value = self._values.get(name, "")
        return value if isinstance(value, str) else ""

    def typed(self, name: str) -> Any:  # noqa: ANN401 - a JSON value
        """Return a plain value as it came: a number as a number."""
        return self._typed.get(name, self.text(name))

    def secret(self, name: str | None) -> Secret | None:
        """Return a value as a secret, however it came; None where it is empty or not there."""
        value = self._values.get(name, "") if name else ""
        found = value if isinstance(value, Secret) else Secret(value)
        return found or None

    def empty(self, name: str) -> bool:
        """Tell whether a value is empty or not there at all."""
        return not self._values.get(name) and name not in self._typed

    @property
    def plain(self) -> dict[str, str]:
        """The values that may be printed."""
        return {name: value for name, value in self._values.items() if isinstance(value, str)}

    def shown(self, text: str) -> str:
        """Fill a text for the person: plain values only, and nothing for those not there."""
        return placeholder.PLACEHOLDER.sub(lambda found: self.text(found[1]), text)

    def fill(self, text: str) -> str | Secret:
        """Fill a template; see `template.fill`."""
        return fill(text, self)

    def request(self, request: Request) -> HttpRequest:
        """Return the request, filled; a text of its JSON that is one placeholder keeps its type.

        Raises InvalidRequestError; see `template.fill_request`.
        """
        bare = Request(
            get=request.get,
            post=request.post,
            put=request.put,
            delete=request.delete,
            headers=request.headers,
            form=request.form,
        )
        filled = fill_request(bare, self)
        body = self._tree(request.json)
        return HttpRequest(filled.method, filled.url, filled.headers, filled.form, body)

    def _tree(self, tree: Any) -> Any:  # noqa: ANN401 - a JSON value
        match tree:
            case str():
                whole = placeholder.PLACEHOLDER.fullmatch(tree)
                if whole is not None and whole[1] in self._typed:
                    return self._typed[whole[1]]
                return fill(tree, self)
            case dict():
                return {key: self._tree(value) for key, value in tree.items()}
            case list() | tuple():
                return [self._tree(value) for value in tree]
            case _:
                return tree


def plain(value: Any) -> str:  # noqa: ANN401 - a JSON value
    """Return a JSON value as text that a terminal may show; empty for null, objects and lists."""
    if not isinstance(value, str):
        return select.text_of(value)
    parts = (
        select.text_of(value[begin : begin + select.TEXT_MAX])
        for begin in range(0, min(len(value), PLAIN_MAX), select.TEXT_MAX)
    )
    return "".join(parts)
