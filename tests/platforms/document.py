"""What a person sees of an HTML page: its text, forms, links and meta refresh."""

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser


@dataclass
class Input:
    """One input of a form. `label` is the text of its label, `fill` its autocomplete."""

    name: str
    kind: str
    value: str
    fill: str
    id: str
    label: str = ""


@dataclass
class Button:
    """A submit button."""

    name: str
    value: str
    label: str = ""


@dataclass
class Link:
    """An anchor with an address."""

    href: str
    label: str = ""


@dataclass
class Form:
    """One form."""

    action: str
    method: str
    inputs: list[Input] = field(default_factory=list)
    buttons: list[Button] = field(default_factory=list)


@dataclass
class Document:
    """One page. `refresh` is where a meta refresh leads, or empty."""

    text: str = ""
    forms: list[Form] = field(default_factory=list)
    links: list[Link] = field(default_factory=list)
    refresh: str = ""
    refresh_after: float = 0.0


_UNSEEN = frozenset({"style", "script", "title"})
_BLOCKS = frozenset(
    {"p", "h1", "h2", "h3", "div", "li", "form", "label", "button", "main", "footer"}
)


_REFRESH = re.compile(r"\s*([\d.]+)\s*[;,]\s*url\s*=\s*['\"]?([^'\"]+)", re.IGNORECASE)


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.document = Document()
        self._words: list[str] = []
        self._form: Form | None = None
        self._hears: list[Button | Link] = []
        self._label_for: str | None = None
        self._labels: dict[str, str] = {}
        self._unseen = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Forms, what is in them, links and refreshes."""
        has = {name: value or "" for name, value in attrs}
        if tag in _UNSEEN:
            self._unseen = tag
        if tag in _BLOCKS or tag == "br":
            self._words.append("\n")
        match tag:
            case "form":
                self._form = Form(has.get("action", ""), has.get("method", "get").lower())
                self.document.forms.append(self._form)
            case "input":
                self._input(has)
            case "button" if self._form is not None and has.get("type", "submit") == "submit":
                button = Button(has.get("name", ""), has.get("value", ""))
                self._form.buttons.append(button)
                self._hears.append(button)
            case "a" if has.get("href"):
                link = Link(has["href"])
                self.document.links.append(link)
                self._hears.append(link)
            case "label":
                self._label_for = has.get("for", "")
            case "meta" if has.get("http-equiv", "").lower() == "refresh":
                found = _REFRESH.match(has.get("content", ""))
                if found:
                    self.document.refresh_after = float(found[1])
                    self.document.refresh = found[2].strip()
            case _:
                pass

    def _input(self, has: dict[str, str]) -> None:
        if self._form is None:
            return
        kind = has.get("type", "text").lower()
        name, value = has.get("name", ""), has.get("value", "")
        if kind == "submit":
            self._form.buttons.append(Button(name, value, value))
        elif kind not in ("button", "reset", "image"):
            self._form.inputs.append(
                Input(name, kind, value, has.get("autocomplete", ""), has.get("id", ""))
            )

    def handle_endtag(self, tag: str) -> None:
        """Leave what was entered."""
        if tag == self._unseen:
            self._unseen = ""
        if tag in _BLOCKS:
            self._words.append("\n")
        if tag == "form":
            self._form = None
        elif tag in ("a", "button") and self._hears:
            self._hears.pop()
        elif tag == "label":
            self._label_for = None

    def handle_data(self, data: str) -> None:
        """Text, and whose label it is."""
        if self._unseen:
            return
        self._words.append(data)
        for hearing in self._hears:
            hearing.label += data
        if self._label_for is not None:
            self._labels[self._label_for] = self._labels.get(self._label_for, "") + data

    def finish(self) -> Document:
        """The document, labels joined to their inputs."""
        for form in self.document.forms:
            for one in form.inputs:
                one.label = self._labels.get(one.id, "").strip() if one.id else ""
        lines = "".join(self._words).splitlines()
        self.document.text = "\n".join(" ".join(line.split()) for line in lines if line.strip())
        return self.document


def read(text: str) -> Document:
    """Read a page; text that is not HTML is a page without forms."""
    reader = _Reader()
    reader.feed(text)
    reader.close()
    return reader.finish()
