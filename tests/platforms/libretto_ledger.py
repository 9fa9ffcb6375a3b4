"""What Libretto Cloud knows: organizations, invitations, sessions, keys, pending logins."""

import hmac
import re
import secrets
from dataclasses import dataclass, field

from aiohttp import web

from .accounts import People, Person
from .world import Desk

SESSION_COOKIE = "better-auth.session_token"
CACHE_COOKIE = "better-auth.session_data"
"""A second cookie, as Better Auth sets one: a client that keeps only one of them works too."""
INVITATION_TTL_S = 172_800
"""Better Auth's default: two days."""
VERIFICATION_TTL_S = 3_600
"""Better Auth's default: one hour."""
MANAGERS = ("owner", "admin")
SLUG = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,58}[a-z0-9])?")


class CallError(Exception):
    """A refusal: an HTTP status, a code, a message, and data for the program."""

    def __init__(self, status: int, code: str, message: str, data: object = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.data = data


@dataclass
class Organization:
    """One organization; `members` maps a person's id to a role."""

    id: str
    name: str
    slug: str
    alert_email: str
    created_at: str
    members: dict[str, str] = field(default_factory=dict)

    def shown(self) -> dict[str, str]:
        """As Better Auth lists it."""
        return {
            "id": self.id,
            "name": self.name,
            "slug": self.slug,
            "createdAt": self.created_at,
        }


@dataclass
class Invitation:
    """An invitation to an organization, for one e-mail address."""

    id: str
    email: str
    role: str
    organization: Organization
    inviter: Person
    expires_at: float
    status: str = "pending"


@dataclass
class Session:
    """A browser-like session: the cookie is its secret."""

    id: str
    token: str
    person: Person
    expires_at: float


@dataclass(frozen=True)
class Verification:
    """A link that verifies a person's address."""

    person: Person
    expires_at: float


@dataclass
class ApiKey:
    """A key for one organization, in the name of one person."""

    id: str
    name: str
    secret: str
    person: Person
    created_at: str
    last_request: str | None = None


@dataclass
class CliLogin:
    """A login that waits for its person in the browser."""

    id: str
    secret: str
    expires_at: float
    refused: bool = False
    session: Session | None = None


@dataclass
class Ledger:
    """All of it, with the rules that hold across the records."""

    desk: Desk
    people: People = field(default_factory=People)
    organizations: dict[str, Organization] = field(default_factory=dict)
    invitations: dict[str, Invitation] = field(default_factory=dict)
    sessions: dict[str, Session] = field(default_factory=dict)
    keys: dict[str, ApiKey] = field(default_factory=dict)
    cli_logins: dict[str, CliLogin] = field(default_factory=dict)
    verifications: dict[str, Verification] = field(default_factory=dict)
    resets: dict[str, Person] = field(default_factory=dict)

    # --- who asks ---------------------------------------------------------------------------

    def session_of(self, request: web.Request) -> Session | None:
        """The living session of the request's cookie."""
        found = self.sessions.get(request.cookies.get(SESSION_COOKIE, ""))
        return found if found and found.expires_at > self.desk.now() else None

    def key_of(self, request: web.Request) -> ApiKey | None:
        """The key of the request's `x-api-key`."""
        found = self.keys.get(request.headers.get("x-api-key", ""))
        if found:
            found.last_request = self.desk.iso()
        return found

    def person_of(self, request: web.Request) -> Person:
        """Whoever asks, by key or by session; a key that is sent decides alone.

        Raises:
            CallError: UNAUTHORIZED.
        """
        if "x-api-key" in request.headers:
            key = self.key_of(request)
            if key is None:
                self.desk.count("refusals")
                raise CallError(401, "INVALID_API_KEY", "Invalid API key.")
            return key.person
        session = self.session_of(request)
        if session is None:
            self.desk.count("refusals")
            raise CallError(401, "UNAUTHORIZED", "Unauthorized")
        return session.person

    # --- sessions ---------------------------------------------------------------------------

    def new_session(self, person: Person) -> Session:
        """Sign someone in."""
        expires_at = self.desk.now() + self.desk.faults.number("cookie_ttl")
        token = f"{secrets.token_urlsafe(24)}.{secrets.token_hex(16)}"
        session = Session(f"ses_{secrets.token_hex(8)}", token, person, expires_at)
        self.sessions[token] = session
        self.desk.count("logins")
        return session

    def cookies(self, session: Session) -> list[str]:
        """The Set-Cookie headers of a session."""
        age = int(session.expires_at - self.desk.now())
        tail = f"Max-Age={age}; Path=/; HttpOnly; SameSite=Lax"
        return [
            f"{SESSION_COOKIE}={session.token}; {tail}",
            f"{CACHE_COOKIE}={session.id}; {tail}",
        ]

    # --- people and organizations -----------------------------------------------------------

    def new_person(self, *, email: str, password: str, name: str) -> Person:
        """An account whose address is not verified yet; its mail is sent.

        Raises:
            CallError: the address is taken, or something is missing.
        """
        if "@" not in email or not name.strip():
            raise CallError(400, "BAD_REQUEST", "A name and an e-mail address are required.")
        if len(password) < 8:
            raise CallError(400, "PASSWORD_TOO_SHORT", "Password too short")
        if self.people.find(email):
            raise CallError(
                409,
                "CONFLICT",
                "An account with this email already exists.",
                {"reason": "email_taken"},
            )
        person = Person(
            id=f"user_{secrets.token_hex(10)}",
            email=email.strip(),
            password=password,
            name=name.strip(),
            email_verified=False,
        )
        self.people.add(person)
        self.send_verification(person)
        return person

    def check_slug(self, slug: str) -> None:
        """Whether an organization may be called so.

        Raises:
            CallError: malformed, or CONFLICT with `data.reason = slug_taken`.
        """
        if not SLUG.fullmatch(slug):
            raise CallError(400, "BAD_REQUEST", "The slug may hold a-z, 0-9 and hyphens.")
        if any(one.slug == slug for one in self.organizations.values()):
            message = f'The organization slug "{slug}" is already taken.'
            raise CallError(409, "CONFLICT", message, {"reason": "slug_taken"})

    def new_organization(self, *, name: str, slug: str, alert: str, owner: Person) -> Organization:
        """An organization with its first owner."""
        made = Organization(
            id=f"org_{secrets.token_hex(10)}",
            name=name,
            slug=slug,
            alert_email=alert,
            created_at=self.desk.iso(),
            members={owner.id: "owner"},
        )
        self.organizations[made.id] = made
        return made

    def organization_of(self, person: Person) -> Organization | None:
        """The one that a person belongs to: never more than one."""
        return next((o for o in self.organizations.values() if person.id in o.members), None)

    def pending(self, invitation_id: str) -> Invitation:
        """An invitation that can still be accepted.

        Raises:
            CallError: unknown, used or too old.
        """
        found = self.invitations.get(invitation_id)
        if not found or found.status != "pending" or found.expires_at < self.desk.now():
            raise CallError(400, "INVITATION_NOT_FOUND", "Invitation not found")
        return found

    # --- mail -------------------------------------------------------------------------------

    def send_verification(self, person: Person) -> None:
        """The message with the link that verifies an address."""
        token = secrets.token_urlsafe(24)
        expires_at = self.desk.now() + VERIFICATION_TTL_S
        self.verifications[token] = Verification(person, expires_at)
        link = f"{self.desk.url}/api/auth/verify-email?token={token}"
        self.desk.send_mail(person.email, "Verify your email", f"Visit {link} within an hour", link)

    def send_reset(self, person: Person) -> None:
        """The message with the link that opens the new-password page."""
        token = secrets.token_urlsafe(24)
        self.resets[token] = person
        link = f"{self.desk.url}/reset-password?token={token}"
        self.desk.send_mail(person.email, "Reset your password", f"Visit {link}", link)

    # --- keys and pending logins ------------------------------------------------------------

    def new_key(self, person: Person, name: str) -> ApiKey:
        """A key; its secret is shown once."""
        secret = f"libretto_{secrets.token_urlsafe(32)}"
        key = ApiKey(f"key_{secrets.token_hex(8)}", name, secret, person, self.desk.iso())
        self.keys[secret] = key
        self.desk.count("keys_created")
        return key

    def cli_login(self, login_id: str, secret: str) -> CliLogin | None:
        """A pending login, for whoever knows its secret."""
        found = self.cli_logins.get(login_id)
        if found and hmac.compare_digest(found.secret.encode(), secret.encode()):
            return found
        return None
