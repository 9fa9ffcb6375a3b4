"""What a person does in the browser: e-mail, password, one-time password, consent.

An **interaction** is one such visit. It belongs to the browser that began it (a cookie), every
form carries a field that only that browser can have been given, and each step opens only when the
one before it is done.
"""

import hashlib
import hmac
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from aiohttp import web

from .accounts import People, Person
from .pages import Button, Field, bullets, form, page, paragraph, refusal
from .world import Desk

ATTEMPTS = 5
"""Wrong answers per interaction; after that it ends, as any login page would have it."""
LIFETIME_S = 600
"""An abandoned page is dead after ten minutes."""
FORGOTTEN = "Start the login again from the command line."

Conclude = Callable[["Interaction", bool], Awaitable[web.Response]]


@dataclass(frozen=True)
class Question:
    """What the consent page asks, and what is listed below it."""

    title: str
    details: tuple[str, ...] = ()


@dataclass
class Interaction:
    """One visit. `conclude` is called once, with what the person answered."""

    id: str
    browser: str
    expires_at: float
    question: Question
    conclude: Conclude
    email: str = ""
    person: Person | None = None
    authenticated_at: float = 0.0
    attempts: int = 0
    steps: list[str] = field(default_factory=list)
    """The steps still to be taken, the next one first."""


@dataclass(frozen=True)
class SignedIn:
    """What a browser's session remembers, so that a second login needs only consent."""

    email: str
    at: float


class Interactions:
    """The login pages of one platform, below `/u/`."""

    def __init__(self, desk: Desk, product: str, people: People) -> None:
        self._desk = desk
        self._product = product
        self._people = people
        self._cookie = f"{desk.platform}_browser"
        self._key = secrets.token_bytes(32)
        self._open: dict[str, Interaction] = {}
        self._sessions: dict[str, SignedIn] = {}

    def routes(self) -> list[web.RouteDef]:
        """One page, shown and answered."""
        return [
            web.get("/u/{step}", self._show),
            web.post("/u/{step}", self._answer),
            web.get("/u/logout/browser", self._forget),
        ]

    def session(self, request: web.Request) -> SignedIn | None:
        """Who is signed in with this browser."""
        return self._sessions.get(request.cookies.get(self._cookie, ""))

    def begin(
        self,
        request: web.Request,
        question: Question,
        conclude: Conclude,
        *,
        hint: str = "",
        again: bool = False,
    ) -> web.Response:
        """Start an interaction: a redirect to its first page.

        Args:
            request: what the browser asked; its cookie is kept or set.
            question: the consent page.
            conclude: makes the last answer.
            hint: an e-mail address to fill in.
            again: ask for the password even where the browser is signed in.
        """
        browser = request.cookies.get(self._cookie, "") or secrets.token_urlsafe(24)
        visit = Interaction(
            id=secrets.token_urlsafe(16),
            browser=browser,
            expires_at=self._desk.now() + LIFETIME_S,
            question=question,
            conclude=conclude,
            email=hint,
            steps=["identifier", "password", "consent"],
        )
        known = self._sessions.get(browser)
        if known and not again and (person := self._people.find(known.email)):
            visit.person, visit.email, visit.authenticated_at = person, person.email, known.at
            visit.steps = ["consent"]
        self._open[visit.id] = visit
        response = self._next(visit)
        response.set_cookie(self._cookie, browser, httponly=True, samesite="Lax", path="/")
        return response

    # --- steps ------------------------------------------------------------------------------

    def _next(self, visit: Interaction) -> web.Response:
        location = f"/u/{visit.steps[0]}?interaction={visit.id}"
        return web.Response(status=303, headers={"Location": location, "Cache-Control": "no-store"})

    def _proof(self, visit: Interaction) -> str:
        said = f"{visit.browser}\n{visit.id}\n{visit.steps[0]}".encode()
        return hmac.new(self._key, said, hashlib.sha256).hexdigest()

    def _find(self, request: web.Request, interaction: str) -> Interaction | None:
        visit = self._open.get(interaction)
        if visit is None or visit.expires_at < self._desk.now():
            return None
        mine = hmac.compare_digest(
            visit.browser.encode(), request.cookies.get(self._cookie, "").encode()
        )
        return visit if mine else None

    async def _show(self, request: web.Request) -> web.Response:
        visit = self._find(request, request.query.get("interaction", ""))
        if visit is None:
            return refusal(self._product, "This page has expired", FORGOTTEN, status=400)
        if request.match_info["step"] != visit.steps[0]:
            return self._next(visit)
        return self._page(visit)

    async def _answer(self, request: web.Request) -> web.Response:
        sent = await request.post()
        given = {name: value for name, value in sent.items() if isinstance(value, str)}
        visit = self._find(request, given.get("interaction", ""))
        if visit is None or not hmac.compare_digest(
            self._proof(visit).encode(), given.get("csrf", "").encode()
        ):
            self._desk.count("forged_forms")
            return refusal(self._product, "This form has expired", FORGOTTEN, status=403)
        if request.match_info["step"] != visit.steps[0]:
            return self._next(visit)
        return await self._step(visit, given)

    async def _step(self, visit: Interaction, given: dict[str, str]) -> web.Response:
        match visit.steps[0]:
            case "identifier":
                visit.email = given.get("email", "").strip()
                if "@" not in visit.email:
                    return self._page(visit, error="Enter an e-mail address.", status=422)
            case "password":
                person = self._people.find(visit.email)
                if person is None or not person.accepts_password(given.get("password", "")):
                    self._desk.count("wrong_passwords")
                    return self._wrong(visit, "Wrong e-mail address or password.", status=401)
                visit.person = person
                if person.otp_secret:
                    visit.steps.insert(1, "otp")
            case "otp":
                if not visit.person or not visit.person.accepts_otp(
                    given.get("otp", ""), self._desk.now()
                ):
                    self._desk.count("wrong_otps")
                    return self._wrong(
                        visit, "That code is not right. Codes change every 30 seconds.", status=422
                    )
            case _:
                del self._open[visit.id]
                allowed = given.get("decision") == "allow"
                if not allowed:
                    self._desk.count("denials")
                return await visit.conclude(visit, allowed)
        visit.steps.pop(0)
        if len(visit.steps) == 1:  # only consent is left
            visit.authenticated_at = self._desk.now()
            self._sessions[visit.browser] = SignedIn(visit.email, visit.authenticated_at)
            self._desk.count("sign_ins")
        return self._next(visit)

    def _wrong(self, visit: Interaction, error: str, *, status: int) -> web.Response:
        visit.attempts += 1
        if visit.attempts < ATTEMPTS:
            return self._page(visit, error=error, status=status)
        del self._open[visit.id]
        return refusal(
            self._product, "Too many attempts", f"This login was stopped. {FORGOTTEN}", status=429
        )

    def _page(self, visit: Interaction, *, error: str = "", status: int = 200) -> web.Response:
        step = visit.steps[0]
        hidden = {"interaction": visit.id, "csrf": self._proof(visit)}
        forward: tuple[Button, ...] = (Button("Continue"),)
        if step == "identifier":
            title, lead = f"Sign in to {self._product}", ""
            fields: tuple[Field, ...] = (
                Field("email", "E-mail address", "email", "username", visit.email),
            )
        elif step == "password":
            title, lead = "Enter your password", paragraph(visit.email)
            fields = (Field("password", "Password", "password", "current-password"),)
        elif step == "otp":
            title, lead = "Verify your identity", ""
            fields = (
                Field(
                    "otp",
                    "One-time password",
                    fill="one-time-code",
                    hint="The 6-digit code in your authenticator app.",
                ),
            )
        else:
            title = visit.question.title
            lead = paragraph(f"Signed in as {visit.email}.") + bullets(visit.question.details)
            fields = ()
            forward = (Button("Allow", "decision", "allow"), Button("Deny", "decision", "deny"))
        body = lead + form(f"/u/{step}", hidden=hidden, fields=fields, buttons=forward, error=error)
        return page(self._product, title, body, status=status)

    async def _forget(self, request: web.Request) -> web.Response:
        self._sessions.pop(request.cookies.get(self._cookie, ""), None)
        return page(self._product, "Signed out", paragraph("This browser is signed out."))
