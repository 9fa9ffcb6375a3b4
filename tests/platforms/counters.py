"""What happened, counted for each platform: a test need not trust the near end."""

NAMES = (
    # Grants and tokens
    "token_requests",  # requests at a token endpoint, on arrival
    "code_exchanges",  # authorization codes exchanged
    "refreshes",  # refreshes that succeeded
    "replays",  # presentations of a refresh token that was already rotated
    "code_replays",  # presentations of an authorization code that was already used
    "revoke_requests",  # requests at a revocation or sign-out route, on arrival
    "revocations",  # of those, the ones that ended something living
    "logins",  # grants, sessions or keys that a login obtained
    "dropped",  # requests whose client had gone when their turn came
    "device_polls",  # polls of a device or browser login that is not decided yet
    # People at the pages
    "authorize_requests",  # visits to an authorization page
    "sign_ins",  # people who got through e-mail, password and OTP
    "wrong_passwords",
    "wrong_otps",
    "forged_forms",  # forms without a valid anti-forgery field and cookie
    "denials",  # consents refused by the person
    # APIs
    "discovery_requests",
    "jwks_requests",
    "identity_requests",  # whoami routes, on arrival
    "api_requests",  # every other authenticated route, on arrival
    "refusals",  # API or identity requests answered 401 or 403 for their credential
    "origin_refusals",  # Libretto: requests without the right Origin
    "keys_created",
    "keys_revoked",
    "mails",
)


class Counters:
    """Every name of NAMES for each platform, from zero."""

    def __init__(self, platforms: tuple[str, ...]) -> None:
        self._counts = {platform: dict.fromkeys(NAMES, 0) for platform in platforms}

    def add(self, platform: str, name: str) -> None:
        """Count one. An unknown name is a mistake in this server: KeyError."""
        self._counts[platform][name] += 1

    def clear(self) -> None:
        """Set everything to zero."""
        for counts in self._counts.values():
            counts.update(dict.fromkeys(NAMES, 0))

    def report(self) -> dict[str, object]:
        """The sums over all platforms, and under `platforms` each one's own."""
        sums: dict[str, object] = {
            name: sum(counts[name] for counts in self._counts.values()) for name in NAMES
        }
        return {**sums, "platforms": {name: dict(counts) for name, counts in self._counts.items()}}
