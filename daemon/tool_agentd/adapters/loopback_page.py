"""The page that ends a browser login: what happened, and that the window may be closed.

It loads nothing and runs nothing; its headers let it do no more than that. It links nowhere, but
where the login starts anew it sends the browser there.
"""

import base64
import hashlib
import html
from collections.abc import Mapping

from tool_agentd.model import Page

_STYLE = """
:root{color-scheme:light dark;--ink:#1c2024;--soft:#5b636e;--paper:#f5f6f7;--card:#fff;
--edge:#dfe2e6;--good:#18794e;--bad:#c62a2f}
@media(prefers-color-scheme:dark){:root{--ink:#edeef0;--soft:#a5adb8;--paper:#111315;
--card:#1a1d20;--edge:#31363c;--good:#4cc38a;--bad:#ff8589}}
*{box-sizing:border-box}
body{margin:0;min-height:100vh;display:grid;place-items:center;padding:1.5rem;
background:var(--paper);color:var(--ink);font:1rem/1.55 system-ui,sans-serif}
main{width:100%;max-width:30rem;padding:2rem;background:var(--card);
border:1px solid var(--edge);border-radius:.75rem}
h1{display:flex;gap:.75rem;align-items:flex-start;margin:0 0 .75rem;font-size:1.35rem;
line-height:1.3;overflow-wrap:anywhere}
svg{flex:none;width:1.75rem;height:1.75rem;fill:none;stroke:currentColor;stroke-width:2;
stroke-linecap:round;stroke-linejoin:round}
.good svg{color:var(--good)}.bad svg{color:var(--bad)}
p{margin:0;overflow-wrap:anywhere;white-space:pre-line}
footer{margin-top:1.5rem;padding-top:1rem;border-top:1px solid var(--edge);color:var(--soft);
font-size:.875rem}
""".replace("\n", "")

_GOES_ON_AFTER = 4
"""Seconds before the browser goes on by itself: enough to read why."""

_GOOD = '<circle cx="12" cy="12" r="10"/><path d="m8 12.5 2.7 2.7L16 9.5"/>'
_BAD = '<circle cx="12" cy="12" r="10"/><path d="M12 7v6M12 16.5v.1"/>'

_DIGEST = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode("ascii")

HEADERS: Mapping[str, str] = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{_DIGEST}'; img-src data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
"""On every answer of the listener, the redirect too: its request held a code."""


def render(page: Page) -> str:
    """Return the page as HTML."""
    title, text = html.escape(page.title), html.escape(page.text)
    kind, mark, word = ("good", _GOOD, "Done") if page.ok else ("bad", _BAD, "Problem")
    going = ""
    closing = (
        "You can close this window."
        if page.ok
        else "You can close this window. Nothing new was stored."
    )
    if page.goes_on:
        address = html.escape(page.goes_on)
        going = f'<meta http-equiv="refresh" content="{_GOES_ON_AFTER};url={address}">'
        closing = f'The login goes on by itself. <a href="{address}">Go on now</a>'
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f'{going}<title>{title}</title><link rel="icon" href="data:,">'
        f"<style>{_STYLE}</style></head>"
        f'<body><main class="{kind}"><h1><svg viewBox="0 0 24 24" role="img" aria-label="{word}">'
        f"{mark}</svg><span>{title}</span></h1><p>{text}</p>"
        f"<footer>{closing}</footer></main></body></html>\n"
    )
