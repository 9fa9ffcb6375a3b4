"""The HTML of every page a person sees: plain forms, one small style sheet, no script."""

import base64
import hashlib
from dataclasses import dataclass
from html import escape

from aiohttp import web

STYLE = """
:root { color-scheme: light dark; --accent: #1d4ed8; --line: #8b93a1;
  --muted: #57606a; --bad: #b42318; }
body { font: 16px/1.5 system-ui, sans-serif; margin: 0; background: Canvas; color: CanvasText; }
main { max-width: 24rem; margin: 10vh auto 2rem; padding: 2rem; border: 1px solid var(--line);
  border-radius: 12px; }
h1 { font-size: 1.35rem; line-height: 1.25; margin: 0 0 .75rem; }
.product { font-weight: 600; letter-spacing: .02em; margin: 0 0 1.5rem; color: var(--accent); }
label { display: block; font-weight: 600; margin: 1rem 0 .25rem; }
input { box-sizing: border-box; width: 100%; font: inherit; padding: .55rem .7rem;
  border: 1px solid var(--line); border-radius: 8px; background: Field; color: FieldText; }
input[aria-invalid=true] { border-color: var(--bad); }
.hint { color: var(--muted); font-size: .9rem; margin: .25rem 0 0; }
.error { border-left: 4px solid var(--bad); padding: .4rem .8rem; margin: 0 0 1rem; }
ul { padding-left: 1.2rem; }
.buttons { display: flex; gap: .75rem; margin-top: 1.5rem; }
button { flex: 1; font: inherit; font-weight: 600; padding: .6rem 1rem; border-radius: 8px;
  border: 1px solid var(--accent); background: var(--accent); color: #fff; cursor: pointer; }
button.second { background: transparent; color: inherit; border-color: var(--line); }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
footer { max-width: 24rem; margin: 0 auto; padding: 0 2rem;
  color: var(--muted); font-size: .85rem; }
@media (prefers-color-scheme: dark) {
  :root { --accent: #8fb4ff; --muted: #a9b1bc; --bad: #ff8a7a; }
  button { color: #10131a; } }
"""

_STYLE_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()

HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # form-action: browsers apply it to the redirects after a form too, and ours end at the
    # loopback listener of whoever asked for the login.
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; "
        "frame-ancestors 'none'; form-action 'self' http://localhost:* http://127.0.0.1:*"
    ),
}


@dataclass(frozen=True)
class Field:
    """One labelled input. `kind` is the input's type, `fill` its autocomplete token."""

    name: str
    label: str
    kind: str = "text"
    fill: str = "off"
    value: str = ""
    hint: str = ""


@dataclass(frozen=True)
class Button:
    """One submit button. The second in a row is the quieter one."""

    label: str
    name: str = ""
    value: str = ""


def page(product: str, title: str, body: str, *, status: int = 200) -> web.Response:
    """A whole page. `body` is HTML; everything else is escaped here."""
    text = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)} · {escape(product)}</title><style>{STYLE}</style></head>"
        f'<body><main><p class="product">{escape(product)}</p><h1>{escape(title)}</h1>{body}</main>'
        "<footer>A practice platform on this machine. Not the real service, and not connected "
        "to it.</footer></body></html>"
    )
    return web.Response(status=status, text=text, content_type="text/html", headers=HEADERS)


def paragraph(text: str) -> str:
    """Escaped text as a paragraph."""
    return f"<p>{escape(text)}</p>"


def bullets(items: tuple[str, ...]) -> str:
    """Escaped texts as a list; nothing for none."""
    rows = "".join(f"<li>{escape(item)}</li>" for item in items)
    return f"<ul>{rows}</ul>" if rows else ""


def _input(field: Field, *, focus: bool, invalid: bool) -> str:
    described = [f"{field.name}-hint"] if field.hint else []
    described += ["error"] if invalid else []
    attributes = {
        "id": field.name,
        "name": field.name,
        "type": field.kind,
        "autocomplete": field.fill,
        "value": field.value,
        "aria-describedby": " ".join(described),
        "aria-invalid": "true" if invalid else "",
        "inputmode": "numeric" if field.fill == "one-time-code" else "",
    }
    written = "".join(f' {name}="{escape(value)}"' for name, value in attributes.items() if value)
    hint = (
        f'<p class="hint" id="{escape(field.name)}-hint">{escape(field.hint)}</p>'
        if field.hint
        else ""
    )
    return (
        f'<label for="{escape(field.name)}">{escape(field.label)}</label>'
        f"<input{written} required{' autofocus' if focus else ''}>{hint}"
    )


def form(  # noqa: PLR0913 - one form, said in full where it is used
    action: str,
    *,
    method: str = "post",
    hidden: dict[str, str],
    fields: tuple[Field, ...] = (),
    buttons: tuple[Button, ...],
    error: str = "",
) -> str:
    """A form for `action`, with the error above it where there is one."""
    rows = [f'<p class="error" id="error" role="alert">{escape(error)}</p>'] if error else []
    rows.append(f'<form method="{method}" action="{escape(action)}">')
    rows += [
        f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">'
        for name, value in hidden.items()
    ]
    rows += [
        _input(field, focus=place == 0, invalid=bool(error)) for place, field in enumerate(fields)
    ]
    rows.append('<div class="buttons">')
    for place, button in enumerate(buttons):
        named = (
            f' name="{escape(button.name)}" value="{escape(button.value)}"' if button.name else ""
        )
        second = ' class="second"' if place else ""
        rows.append(f'<button type="submit"{named}{second}>{escape(button.label)}</button>')
    rows.append("</div></form>")
    return "".join(rows)


def refusal(product: str, title: str, text: str, *, status: int) -> web.Response:
    """A page that says what went wrong and ends there."""
    return page(product, title, f'<p role="alert">{escape(text)}</p>', status=status)
