"""The keys that CRE signs its JWTs with, and their public half."""

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet, RSAKey

ALGORITHM = "RS256"
"""Auth0's default, and the algorithm every OpenID client must know (OIDC Core 15.1)."""


def _new_key() -> RSAKey:
    return RSAKey.generate_key(2048, {"use": "sig", "alg": ALGORITHM}, auto_kid=True)


class Signer:
    """Signs with the newest key; verifies with all of them."""

    def __init__(self) -> None:
        self._keys = [_new_key()]

    def rotate(self) -> None:
        """Sign with a new key from now on; the old ones stay in the key set."""
        self._keys.append(_new_key())

    def jwks(self) -> dict[str, object]:
        """The public keys (RFC 7517)."""
        return dict(KeySet(list(self._keys)).as_dict(private=False))

    def sign(self, claims: dict[str, object], *, kind: str) -> str:
        """A JWT. `kind` is its `typ`: `at+jwt` (RFC 9068) or `JWT`."""
        key = self._keys[-1]
        return jwt.encode({"alg": ALGORITHM, "kid": key.kid, "typ": kind}, claims, key)

    def verify(self, token: str) -> tuple[dict[str, object], dict[str, object]] | None:
        """Header and claims if the signature is ours; nothing is said about time here."""
        try:
            decoded = jwt.decode(token, KeySet(list(self._keys)), algorithms=[ALGORITHM])
        except (JoseError, ValueError):
            return None
        return dict(decoded.header), dict(decoded.claims)
