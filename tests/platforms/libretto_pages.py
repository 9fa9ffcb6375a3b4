"""Libretto Cloud's pages: browser sign-in for the CLI, e-mail verification, a new password."""

from aiohttp import web

from .interaction import Interaction, Interactions, Question
from .libretto_ledger import CliLogin, Ledger
from .pages import Button, Field, form, page, paragraph, refusal
from .world import Desk

PRODUCT = "Libretto Cloud"
PASSWORD_LENGTH = 8


class LibrettoPages:
    """What a person sees."""

    def __init__(self, desk: Desk, ledger: Ledger) -> None:
        self._desk = desk
        self._ledger = ledger
        self._pages = Interactions(desk, PRODUCT, ledger.people)

    def routes(self) -> list[web.RouteDef]:
        """The pages and the links of the mails."""
        return [
            web.get("/signin", lambda r: self._desk.around("authorize", r, self._signin)),
            web.get("/api/auth/verify-email", self._verify),
            web.get("/reset-password", self._show_reset),
            web.post("/reset-password", self._reset),
            *self._pages.routes(),
        ]

    async def _signin(self, request: web.Request) -> web.Response:
        self._desk.count("authorize_requests")
        login = self._ledger.cli_login(
            request.query.get("cliLoginId", ""), request.query.get("cliLoginSecret", "")
        )
        if login is None or login.refused or login.expires_at < self._desk.now():
            return refusal(
                PRODUCT,
                "This login has expired",
                "Start it again from the command line.",
                status=400,
            )
        waiting: CliLogin = login

        async def conclude(visit: Interaction, allowed: bool) -> web.Response:  # noqa: FBT001 - the consent that the page sent
            if not allowed or visit.person is None:
                waiting.refused = True
                return page(PRODUCT, "Sign-in refused", paragraph("Nothing was shared."))
            waiting.session = self._ledger.new_session(visit.person)
            return page(PRODUCT, "You are signed in", paragraph("Go back to the command line."))

        question = Question("Allow the Libretto CLI to use your account?", ("act in your name",))
        return self._pages.begin(request, question, conclude)

    async def _verify(self, request: web.Request) -> web.Response:
        found = self._ledger.verifications.pop(request.query.get("token", ""), None)
        if found is None:
            return refusal(
                PRODUCT, "This link is not valid", "It was used already, or is wrong.", status=400
            )
        if found.expires_at < self._desk.now():
            return refusal(
                PRODUCT,
                "This link has expired",
                "It was good for an hour. Sign in from the command line, and a new one is sent.",
                status=400,
            )
        found.person.email_verified = True
        return page(PRODUCT, "E-mail address verified", paragraph(found.person.email))

    async def _show_reset(self, request: web.Request) -> web.Response:
        return self._reset_page(request.query.get("token", ""))

    def _reset_page(self, token: str, *, error: str = "", status: int = 200) -> web.Response:
        if token not in self._ledger.resets:
            return refusal(
                PRODUCT, "This link is not valid", "Ask for a new password again.", status=400
            )
        body = form(
            "/reset-password",
            hidden={"token": token},
            fields=(Field("new_password", "New password", "password", "new-password"),),
            buttons=(Button("Save"),),
            error=error,
        )
        return page(PRODUCT, "Choose a new password", body, status=status)

    async def _reset(self, request: web.Request) -> web.Response:
        sent = await request.post()
        token, password = str(sent.get("token", "")), str(sent.get("new_password", ""))
        person = self._ledger.resets.get(token)
        if person is None:
            return self._reset_page(token)
        if len(password) < PASSWORD_LENGTH:
            return self._reset_page(token, error="Use at least 8 characters.", status=422)
        del self._ledger.resets[token]
        person.password = password
        for session in [s for s in self._ledger.sessions.values() if s.person is person]:
            del self._ledger.sessions[session.token]
        return page(PRODUCT, "Password saved", paragraph("Sign in again from the command line."))
