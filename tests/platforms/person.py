"""A person for scripts: visits an address, fills in the pages' forms, and reads the last page.

`BROWSER="python -m tests.platforms.person"` or `python -m tests.platforms.person URL`. The last
page's text goes to stdout; the exit status is 0 if that page is a 200, else 1. She reads labels and
types, not this server's source: node oidc-provider's pages serve her as well.

What she types comes from PERSON_EMAIL, PERSON_PASSWORD and PERSON_OTP, else from `/_/person` at the
address's origin, else she makes something up. PERSON_OTP=wrong types a wrong code.
PERSON_ANSWER=deny refuses consent. PERSON_STOP=before-callback prints the address that the browser
would have come back to, and does not visit it.
"""

import json
import os
import re
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import Message
from http.client import HTTPException, HTTPMessage
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import IO
from urllib.error import HTTPError, URLError
from urllib.parse import parse_qs, urlencode, urljoin, urlsplit
from urllib.request import (
    HTTPCookieProcessor,
    HTTPRedirectHandler,
    OpenerDirector,
    ProxyHandler,
    Request,
    build_opener,
)

from .document import Document, Form, Input, read

PATIENCE_S = 30.0
"""For the whole visit: a BROWSER command must come back."""
STEPS = 40
"""Pages and redirects; more than that is a loop."""
WAIT_S = 5.0
"""The longest meta refresh that is waited for."""
REFUSALS = re.compile(r"deny|cancel|refuse|abort|decline|reject", re.IGNORECASE)
ANSWERS = frozenset({"code", "error", "api_key", "token"})
"""What a callback's query holds: with one of these, another origin is the way back to the agent."""
DONE, FAILED = 0, 1


class VisitError(Exception):
    """The visit cannot go on."""


@dataclass(frozen=True)
class Answer:
    """One HTTP answer."""

    url: str
    status: int
    location: str
    text: str


class _Stay(HTTPRedirectHandler):
    """Redirects are followed by hand: the last one is of interest."""

    def redirect_request(  # noqa: PLR0913 - urllib's signature
        self,
        req: Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> None:
        """Do not."""


class Browser:
    """One cookie jar, one deadline. Proxies from the environment are not used."""

    def __init__(self, patience: float = PATIENCE_S) -> None:
        policy = DefaultCookiePolicy(strict_ns_domain=DefaultCookiePolicy.DomainLiberal)
        self._opener: OpenerDirector = build_opener(
            HTTPCookieProcessor(CookieJar(policy)), ProxyHandler({}), _Stay()
        )
        self._deadline = time.monotonic() + patience

    def left(self) -> float:
        """Seconds of patience.

        Raises:
            VisitError: none left.
        """
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise VisitError("it takes too long")
        return left

    def fetch(self, url: str, form: list[tuple[str, str]] | None = None) -> Answer:
        """GET, or POST a form.

        Raises:
            VisitError: no answer.
        """
        if urlsplit(url).scheme not in ("http", "https"):
            raise VisitError(f"not a web address: {url}")
        data = None if form is None else urlencode(form).encode()
        request = Request(url, data, {"Accept": "text/html", "User-Agent": "person"})  # noqa: S310 - the person visits what it is given
        try:
            with self._opener.open(request, timeout=self.left()) as reply:
                return _answer(url, reply.status, reply.headers, reply.read())
        except HTTPError as reply:
            with reply:
                return _answer(url, reply.code, reply.headers, reply.read())
        except (URLError, OSError, HTTPException) as error:
            raise VisitError(f"no answer from {_origin(url)}: {error}") from None


def _answer(url: str, status: int, headers: Message, body: bytes) -> Answer:
    return Answer(url, status, headers.get("Location", ""), body.decode("utf-8", "replace"))


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def memory(browser: Browser, url: str, environ: Mapping[str, str]) -> dict[str, str]:
    """What she knows: email, password, otp."""
    known = {"email": "person@example.com", "password": "correct horse battery", "otp": "000000"}
    try:
        told = browser.fetch(f"{_origin(url)}/_/person")
        if told.status == 200:
            known |= {k: v for k, v in json.loads(told.text).items() if isinstance(v, str)}
    except (VisitError, ValueError, AttributeError):
        pass  # another provider's page: she makes something up
    for name in ("email", "password", "otp"):
        known[name] = environ.get(f"PERSON_{name.upper()}", known[name])
    if known["otp"] == "wrong":
        known["otp"] = "not-it"
    return known


def fill(one: Input, known: Mapping[str, str]) -> str:
    """What she types into an input, by its type, name and autocomplete."""
    if one.kind in ("hidden", "submit", "checkbox", "radio") or one.value:
        return one.value
    said = f"{one.name} {one.label} {one.fill}".lower()
    if re.search(r"one-time|otp|passcode|verification code", said):
        return known["otp"]
    if one.kind == "password" or "password" in said:
        return known["password"]
    if one.kind == "email" or re.search(r"e-?mail|login|user", said):
        return known["email"]
    return known.get(one.name, "")


def press(form: Form, known: Mapping[str, str], *, deny: bool) -> list[tuple[str, str]]:
    """The filled-in form, with the button that she presses."""
    sent = [(one.name, fill(one, known)) for one in form.inputs if one.name]
    refusing = [b for b in form.buttons if REFUSALS.search(f"{b.label} {b.value}")]
    agreeing = [b for b in form.buttons if b not in refusing]
    pressed = (refusing if deny else agreeing) or form.buttons
    return sent + [(b.name, b.value) for b in pressed[:1] if b.name]


def _asks(form: Form) -> bool:
    return any(one.kind not in ("hidden", "submit", "checkbox") for one in form.inputs)


class Visit:
    """One visit, from the first address to the last page."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._browser = Browser()
        self._deny = environ.get("PERSON_ANSWER") == "deny"
        self._stop = environ.get("PERSON_STOP") == "before-callback"
        self._environ = environ

    def run(self, url: str) -> tuple[int, str]:
        """The exit status and the text to print.

        Raises:
            VisitError: no answer, or a loop.
        """
        known = memory(self._browser, url, self._environ)
        answer = self._browser.fetch(url)
        for _ in range(STEPS):
            if answer.location and 300 <= answer.status < 400:
                target = urljoin(answer.url, answer.location)
                if self._stop and _is_callback(answer.url, target):
                    return DONE, target
                answer = self._browser.fetch(target)
                continue
            document = read(answer.text)
            step = self._step(answer, document, known)
            if step is None:
                status = DONE if answer.status == 200 else FAILED
                return status, document.text
            answer = step
        raise VisitError(f"more than {STEPS} pages")

    def _step(self, answer: Answer, document: Document, known: Mapping[str, str]) -> Answer | None:
        """Do what the page asks; None if it asks for nothing, or refused what was sent."""
        if answer.status >= 400:
            return None
        if document.refresh:
            time.sleep(min(document.refresh_after, WAIT_S, self._browser.left()))
            return self._browser.fetch(urljoin(answer.url, document.refresh))
        if not document.forms:
            return None
        form = document.forms[0]
        if self._deny and not _asks(form):
            refusals = [link for link in document.links if REFUSALS.search(link.label)]
            if refusals and not any(REFUSALS.search(b.label) for b in form.buttons):
                return self._browser.fetch(urljoin(answer.url, refusals[0].href))
        sent = press(form, known, deny=self._deny and not _asks(form))
        target = urljoin(answer.url, form.action or answer.url)
        if form.method == "get":
            return self._browser.fetch(f"{target.partition('?')[0]}?{urlencode(sent)}")
        return self._browser.fetch(target, sent)


def _is_callback(here: str, target: str) -> bool:
    return _origin(here) != _origin(target) and bool(
        ANSWERS & parse_qs(urlsplit(target).query).keys()
    )


def main() -> int:
    """Visit the address in the arguments."""
    if len(sys.argv) != 2:
        sys.stderr.write("usage: python -m tests.platforms.person URL\n")
        return 2
    try:
        status, text = Visit(os.environ).run(sys.argv[1])
    except VisitError as error:
        sys.stderr.write(f"person: {error}\n")
        return FAILED
    sys.stdout.write(text + "\n")
    return status


if __name__ == "__main__":
    sys.exit(main())
