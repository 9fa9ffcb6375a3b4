"""A person at a provider: visits an address, fills in the pages, and comes back with an answer.

As a program it is a browser for scripts: `BROWSER="python tests/real/person.py --login alice"`.
It imports nothing of ours, so that any interpreter can run it.
"""

import argparse
import shlex
import sys
import urllib.error
import urllib.request
from html.parser import HTMLParser
from http.client import HTTPMessage, HTTPResponse
from http.cookiejar import CookieJar
from typing import IO
from urllib.parse import urlencode, urljoin, urlsplit

TIMEOUT = 30.0
"""Seconds for one page: long for a machine under load."""

PAGES = 12
"""More pages than any login has; beyond it the provider sends the person in a circle."""


class PersonError(Exception):
    """The provider showed a page that a person cannot get past."""


class _Page(HTMLParser):
    """The first form of a page, and its links."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.action: str | None = None
        self.fields: dict[str, str] = {}
        self.links: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if tag == "form" and self.action is None:
            self.action = values.get("action", "")
        elif tag == "input" and "name" in values:
            self.fields.setdefault(values["name"], values.get("value", ""))
        elif tag == "a" and "href" in values:
            self.links.append(values["href"])


class _AtHome(urllib.request.HTTPRedirectHandler):
    """Follows a redirect only where it stays at the provider."""

    def __init__(self, origin: str) -> None:
        self._origin = origin

    def redirect_request(  # noqa: PLR0913 - urllib's signature
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        if _origin(newurl) != self._origin:
            return None
        return super().redirect_request(req, fp, code, msg, headers, newurl)


class Person:
    """Somebody with a browser, hence with cookies: a second login goes on where the first ended."""

    def __init__(self, issuer: str, login: str = "alice", *, consents: bool = True) -> None:
        """Give the provider's address, who signs in, and whether they agree at the end."""
        self.login = login
        self._origin = _origin(issuer)
        self._consents = consents
        self._opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}),
            urllib.request.HTTPCookieProcessor(CookieJar()),
            _AtHome(self._origin),
        )

    def authorize(self, address: str) -> str:
        """Go through the pages from `address` on; return where the provider sends the browser.

        The address that comes back (a callback with `code` or `error`) is not visited.

        Raises:
            PersonError: the pages end without a redirect away from the provider.
        """
        callback, page = self._walk(address)
        if callback is None:
            raise PersonError(f"the provider's last page: {page[:500]}")
        return callback

    def visit(self, address: str) -> int:
        """Go through the pages and on to the callback; return the status of the callback's page."""
        request = urllib.request.Request(self.authorize(address))  # noqa: S310 - http to loopback
        try:
            with self._opener.open(request, timeout=TIMEOUT) as reply:
                status: int = reply.status
                return status
        except urllib.error.HTTPError as refusal:
            with refusal:
                return refusal.code

    def approve_device(self, verification_uri_complete: str) -> str:
        """Sign in and confirm a device's code (RFC 8628); return the text of the last page."""
        callback, page = self._walk(verification_uri_complete)
        if callback is not None:
            raise PersonError("the provider redirected away during a device login")
        return page

    def browser(self) -> str:
        """Return a value for the BROWSER variable: this person as a command."""
        words = [sys.executable, __file__, "--login", self.login]
        if not self._consents:
            words.append("--deny")
        return shlex.join(words)

    def _walk(self, address: str) -> tuple[str | None, str]:
        form: bytes | None = None
        for _ in range(PAGES):
            here, text, away = self._fetch(address, form)
            if away is not None:
                return away, text
            page = _Page(text)
            if page.action is None:
                return None, text
            if page.fields.get("prompt") == "consent" and not self._consents:
                address, form = next(link for link in page.links if link.endswith("/abort")), None
                address = urljoin(here, address)
                continue
            fields = dict(page.fields)
            if "login" in fields:
                fields |= {"login": self.login, "password": "any"}
            address, form = urljoin(here, page.action), urlencode(fields).encode()
        raise PersonError(f"no end after {PAGES} pages, the last at {address}")

    def _fetch(self, address: str, form: bytes | None) -> tuple[str, str, str | None]:
        """Return the address arrived at, the page there, and where it sends the browser away to."""
        request = urllib.request.Request(  # noqa: S310 - http to loopback
            address, data=form, headers={"Accept": "text/html"}
        )
        try:
            with self._opener.open(request, timeout=TIMEOUT) as reply:
                assert isinstance(reply, HTTPResponse)
                return reply.geturl(), reply.read().decode(), None
        except urllib.error.HTTPError as answer:
            with answer:
                text = answer.read().decode(errors="replace")
                away = answer.headers.get("Location")
                if answer.code in {302, 303, 307} and away:
                    return address, text, urljoin(address, away)
                raise PersonError(f"status {answer.code} at {address}: {text[:500]}") from None


def _origin(address: str) -> str:
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc}"


def main(arguments: list[str] | None = None) -> int:
    """Visit the address of the command line; exit 0 if the callback's page was a success."""
    parser = argparse.ArgumentParser(description="A person who signs in, for BROWSER.")
    parser.add_argument("--login", default="alice", help="who signs in")
    parser.add_argument("--deny", action="store_true", help="sign in, then do not consent")
    parser.add_argument("address")
    given = parser.parse_args(arguments)
    person = Person(given.address, given.login, consents=not given.deny)
    return 0 if person.visit(given.address) < 400 else 1


if __name__ == "__main__":
    sys.exit(main())
