"""Encore's sessions: what a device, a loopback login or an auth key obtained, and how it ends."""

import base64
import hashlib
import secrets
from dataclasses import dataclass, field

from .world import Desk

CLIENT_ID = "encore_cli"
EPHEMERAL_S = 3600
"""Machines on an ephemeral key are logged out after one hour."""
CODE_S = 60
POLL_TOLERANCE = 0.8
"""A poll may come this much of an interval after the last: networks jitter."""
USER_CODE_LETTERS = "BCDFGHJKLMNPQRSTVWXZ"
"""RFC 8628 section 6.1: no vowels, so that no words arise."""


class EncoreError(Exception):
    """A refusal in the envelope: status, code, detail."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail


@dataclass
class AuthKey:
    """A pre-authentication key of an app."""

    reusable: bool
    ephemeral: bool
    used: bool = False
    deleted: bool = False


@dataclass
class Session:
    """One machine's session: a person's (email) or an app's (app_slug)."""

    id: str
    actor: str
    email: str = ""
    app_slug: str = ""
    key: AuthKey | None = None
    ends_at: float | None = None
    ended: str = ""
    """The code of the reason, or empty while it lives."""

    def shown(self) -> dict[str, object]:
        """Beside the token, whose it is."""
        return {"actor": self.actor, "email": self.email, "app_slug": self.app_slug}


@dataclass
class DeviceLogin:
    """A device that waits for its person."""

    challenge: str
    user_code: str
    expires_at: float
    last_poll: float = 0.0
    refused: bool = False
    used: bool = False
    session: Session | None = None


@dataclass(frozen=True)
class Loopback:
    """What the CLI asked for in a loopback login."""

    challenge: str
    state: str
    redirect_url: str


@dataclass
class _Refresh:
    session: Session
    rotated: bool = False


@dataclass
class EncoreSessions:
    """All of it."""

    desk: Desk
    app_slug: str = field(default_factory=lambda: f"example-{secrets.token_hex(2)}")
    _keys: dict[str, AuthKey] = field(default_factory=dict)
    _sessions: list[Session] = field(default_factory=list)
    _access: dict[str, tuple[Session, float]] = field(default_factory=dict)
    _refresh: dict[str, _Refresh] = field(default_factory=dict)
    _devices: dict[str, DeviceLogin] = field(default_factory=dict)
    _loopbacks: dict[str, Loopback] = field(default_factory=dict)
    _codes: dict[str, tuple[Loopback, str, float]] = field(default_factory=dict)

    # --- sessions and tokens ----------------------------------------------------------------

    def new_session(self, email: str) -> Session:
        """A person's session."""
        return self._add(Session(secrets.token_hex(8), f"user:{email}", email=email))

    def _add(self, session: Session) -> Session:
        self._sessions.append(session)
        self.desk.count("logins")
        return session

    def new_token(self, session: Session) -> dict[str, object]:
        """An access token with its `expiry`; a refresh token too, unless it is ephemeral."""
        now = self.desk.now()
        expires_at = now + self.desk.faults.number("access_token_ttl")
        if session.ends_at is not None:
            expires_at = session.ends_at
        access = f"eat_{secrets.token_urlsafe(32)}"
        self._access[access] = (session, expires_at)
        token: dict[str, object] = {
            "access_token": access,
            "token_type": "Bearer",
            "expiry": self.desk.iso(expires_at),
        }
        if session.ends_at is None:
            token["refresh_token"] = self._new_refresh(session)
        return token

    def _new_refresh(self, session: Session) -> str:
        value = f"ert_{secrets.token_urlsafe(36)}"
        self._refresh[value] = _Refresh(session)
        return value

    def refresh(self, value: str) -> dict[str, object]:
        """Rotate without grace; a dead token is a 422.

        Raises:
            EncoreError: 422 with the reason.
        """
        found = self._refresh.get(value)
        if found is None:
            raise EncoreError(422, "invalid_refresh_token", "unknown refresh token")
        if found.rotated:
            self.desk.count("replays")
            found.session.ended = found.session.ended or "refresh_token_reused"
        self._check(found.session, 422)
        found.rotated = True
        self.desk.count("refreshes")
        token = self.new_token(found.session)
        del token["expiry"]  # this route speaks RFC 6749
        return {**token, "expires_in": int(self.desk.faults.number("access_token_ttl"))}

    def bearer(self, value: str) -> Session:
        """The session of an access token that is good now.

        Raises:
            EncoreError: 401 with the reason.
        """
        session, expires_at = self._access.get(value, (None, 0.0))
        if session is None:
            raise EncoreError(401, "unauthenticated", "invalid access token")
        self._check(session, 401)
        if expires_at <= self.desk.now():
            raise EncoreError(401, "unauthenticated", "the access token has expired")
        return session

    def _check(self, session: Session, status: int) -> None:
        if session.key and session.key.deleted:
            raise EncoreError(status, "auth_key_deleted", "the auth key was deleted")
        if session.ended:
            raise EncoreError(status, session.ended, "this session has ended")
        if session.ends_at is not None and session.ends_at <= self.desk.now():
            raise EncoreError(status, "session_expired", "an ephemeral session lasts one hour")

    def end_all(self, reason: str) -> int:
        """End every session; how many lived."""
        living = [session for session in self._sessions if self._lives(session)]
        for session in living:
            session.ended = reason
        return len(living)

    def _lives(self, session: Session) -> bool:
        try:
            self._check(session, 401)
        except EncoreError:
            return False
        return True

    def living(self) -> dict[str, int]:
        """Sessions, refresh tokens and keys that could still be used."""
        return {
            "sessions": sum(self._lives(session) for session in self._sessions),
            "refresh_tokens": sum(
                not one.rotated and self._lives(one.session) for one in self._refresh.values()
            ),
            "auth_keys": sum(
                not key.deleted and (key.reusable or not key.used) for key in self._keys.values()
            ),
        }

    # --- auth keys --------------------------------------------------------------------------

    def add_key(self, key: AuthKey) -> str:
        """Give a key its secret."""
        secret = f"ena_{secrets.token_urlsafe(27)}"
        self._keys[secret] = key
        return secret

    def delete_key(self, secret: str) -> bool:
        """Delete a key; whether there was one."""
        key = self._keys.get(secret)
        if key is None or key.deleted:
            return False
        key.deleted = True
        return True

    def use_key(self, secret: str) -> Session:
        """Authenticate a machine as the key's app.

        Raises:
            EncoreError: unknown, deleted, or a one-time key's second use.
        """
        key = self._keys.get(secret)
        if key is None or key.deleted:
            raise EncoreError(401, "invalid_auth_key", "unknown or deleted auth key")
        if key.used and not key.reusable:
            raise EncoreError(401, "auth_key_already_used", "this auth key works once")
        key.used = True
        return self._add(
            Session(
                id=secrets.token_hex(8),
                actor=f"app:{self.app_slug}",
                app_slug=self.app_slug,
                key=key,
                ends_at=self.desk.now() + EPHEMERAL_S if key.ephemeral else None,
            )
        )

    # --- device flow ------------------------------------------------------------------------

    def new_device_login(self, challenge: str) -> tuple[str, DeviceLogin]:
        """A device code and what it stands for."""
        letters = [secrets.choice(USER_CODE_LETTERS) for _ in range(8)]
        user_code = f"{''.join(letters[:4])}-{''.join(letters[4:])}"
        expires_at = self.desk.now() + self.desk.faults.number("device_ttl")
        login = DeviceLogin(challenge, user_code, expires_at)
        code = secrets.token_urlsafe(32)
        self._devices[code] = login
        return code, login

    def by_user_code(self, user_code: str) -> DeviceLogin | None:
        """The login that waits under a pairing code."""
        now = self.desk.now()
        return next(
            (
                one
                for one in self._devices.values()
                if one.user_code == user_code
                and one.expires_at > now
                and not (one.session or one.refused)
            ),
            None,
        )

    def poll(self, device_code: str, verifier: str) -> Session:
        """The session, once the person has allowed it.

        Raises:
            EncoreError: `auth_pending` and `rate_limited` mean: go on; all others end it.
        """
        login = self._devices.get(device_code)
        if login is None or login.used:
            raise EncoreError(400, "invalid_grant", "unknown or used device_code")
        if not secrets.compare_digest(challenge_of(verifier), login.challenge):
            raise EncoreError(400, "invalid_grant", "the code_verifier does not match")
        now = self.desk.now()
        if login.refused:
            raise EncoreError(403, "access_denied", "the person refused")
        if login.expires_at <= now:
            raise EncoreError(400, "expired_token", "the device_code has expired")
        too_soon = login.last_poll + POLL_TOLERANCE * self.desk.faults.number("device_interval")
        if now < too_soon:
            raise EncoreError(429, "rate_limited", "slow down")
        login.last_poll = now
        if login.session is None:
            self.desk.count("device_polls")
            raise EncoreError(400, "auth_pending", "the person has not answered yet")
        login.used = True
        return login.session

    # --- loopback login ---------------------------------------------------------------------

    def add_loopback(self, asked: Loopback) -> str:
        """Remember a loopback login until its person comes."""
        session_id = secrets.token_urlsafe(24)
        self._loopbacks[session_id] = asked
        return session_id

    def loopback(self, session_id: str) -> Loopback | None:
        """What was asked under this id."""
        return self._loopbacks.get(session_id)

    def new_code(self, asked: Loopback, email: str) -> str:
        """A code for a consent that was just given."""
        code = secrets.token_urlsafe(24)
        self._codes[code] = (asked, email, self.desk.now() + CODE_S)
        return code

    def redeem(self, code: str, verifier: str) -> Session:
        """Exchange a code, once.

        Raises:
            EncoreError: unknown, used, expired, or another verifier.
        """
        asked, email, expires_at = self._codes.pop(code, (None, "", 0.0))
        if asked is None or expires_at < self.desk.now():
            raise EncoreError(400, "invalid_code", "unknown, used or expired code")
        if not secrets.compare_digest(challenge_of(verifier), asked.challenge):
            raise EncoreError(400, "invalid_challenge", "the challenge does not match")
        self.desk.count("code_exchanges")
        return self.new_session(email)


def challenge_of(verifier: str) -> str:
    """RFC 7636 section 4.2, S256."""
    digest = hashlib.sha256(verifier.encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
