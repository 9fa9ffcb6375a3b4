"""The people who have accounts at the platforms, and their one-time passwords."""

import base64
import hashlib
import hmac
import secrets
import struct
from dataclasses import dataclass, field

STEP_S = 30
"""RFC 6238 section 5.2: the recommended time step, which every authenticator app uses."""
DIGITS = 6
WINDOW = 1
"""Steps of clock difference that are forgiven either way (RFC 6238 section 6)."""


def one_time_password(secret: str, now: float) -> str:
    """The code that an authenticator app shows: TOTP with HMAC-SHA-1 (RFC 6238, RFC 4226).

    Args:
        secret: base32, as in the app's QR code.
        now: seconds since the epoch.
    """
    counter = struct.pack(">Q", int(now) // STEP_S)
    digest = hmac.new(base64.b32decode(secret), counter, hashlib.sha1).digest()
    offset = digest[-1] & 0x0F
    number = int.from_bytes(digest[offset : offset + 4], "big") & 0x7FFF_FFFF
    return str(number % 10**DIGITS).zfill(DIGITS)


@dataclass
class Person:
    """Someone with an account. Without `otp_secret` there is no second factor."""

    id: str
    email: str
    password: str
    name: str
    otp_secret: str = ""
    email_verified: bool = True

    def accepts_password(self, password: str) -> bool:
        """Compared in constant time."""
        return hmac.compare_digest(self.password.encode(), password.encode())

    def accepts_otp(self, code: str, now: float) -> bool:
        """The code of now, or of one step either side. Codes may be used twice: tests hurry."""
        steps = range(-WINDOW, WINDOW + 1)
        codes = [one_time_password(self.otp_secret, now + step * STEP_S) for step in steps]
        given = "".join(code.split()).encode()
        return any(hmac.compare_digest(expected.encode(), given) for expected in codes)


@dataclass
class People:
    """The accounts of one platform. E-mail addresses are compared without case."""

    _by_email: dict[str, Person] = field(default_factory=dict)

    def add(self, person: Person) -> Person:
        """Add an account; the address must be free."""
        if self.find(person.email):
            raise ValueError(f"{person.email} has an account already")
        self._by_email[person.email.lower()] = person
        return person

    def find(self, email: str) -> Person | None:
        """The account of an address."""
        return self._by_email.get(email.strip().lower())

    def get(self, person_id: str) -> Person | None:
        """The account of an identifier."""
        return next((p for p in self._by_email.values() if p.id == person_id), None)

    def first(self) -> Person:
        """The account that the platform started with."""
        return next(iter(self._by_email.values()))


def new_person(*, id_prefix: str, email: str, name: str, second_factor: bool = False) -> Person:
    """An account with a fresh password, and a fresh OTP secret if there is a second factor."""
    return Person(
        id=f"{id_prefix}{secrets.token_hex(12)}",
        email=email,
        password=secrets.token_urlsafe(18),
        name=name,
        otp_secret=base64.b32encode(secrets.token_bytes(20)).decode() if second_factor else "",
    )
