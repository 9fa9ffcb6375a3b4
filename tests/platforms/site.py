"""What the server and the control routes need of a platform."""

from typing import Protocol

from aiohttp import web


class Site(Protocol):
    """One platform at one origin."""

    routes: list[web.RouteDef]

    @property
    def account(self) -> dict[str, str]:
        """What the person who has an account there knows: email, password, keys."""

    def living(self) -> dict[str, int]:
        """How many things of each kind could still be used."""

    def revoke_key(self, key: str) -> bool:
        """Delete an API or auth key; whether there was one."""

    def end_sessions(self, reason: str) -> int:
        """End every session; how many lived."""
