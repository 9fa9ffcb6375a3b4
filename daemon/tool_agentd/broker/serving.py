"""Serving: how an account in one of its states serves one tool, worked out once and kept."""

import math
from collections.abc import Callable

from tool_agentd.broker.limits import Rules
from tool_agentd.definition import credentials
from tool_agentd.definition.vocabulary import CredentialSpec, ToolDefinition
from tool_agentd.model import AccessToken, AccountKey, Credential, TokenKey


def _nobody(_key: AccountKey) -> None:
    """Hear of a use that nobody counts."""


class Serving:
    """Which credential of the tool, which token of the grant, and the last one as it was served."""

    __slots__ = ("_made", "jitter", "key", "rules", "spec", "tool", "used", "want")

    def __init__(
        self,
        tool: ToolDefinition,
        key: AccountKey,
        spec: CredentialSpec,
        want: TokenKey,
        jitter: float = 0.0,
    ) -> None:
        """Keep what does not change while the account's state does not.

        `jitter` in -1..1 moves the moment from which the token is renewed ahead of its end.
        """
        self.jitter = jitter
        self.rules: Rules | None = None
        """What limits the session, where anything does; `used` then hears of each use."""
        self.used: Callable[[AccountKey], None] = _nobody
        self.tool = tool
        self.key = key
        self.spec = spec
        self.want = want
        self._made: tuple[AccessToken, Credential] | None = None

    def credential(self, token: AccessToken) -> Credential:
        """Return the credential that a client gets for `token`."""
        if self.rules is not None:
            self.used(self.key)
        if self._made is not None and self._made[0] is token:
            return self._made[1]
        lasting = math.isinf(token.expires.wall)
        made = credentials.credential(
            self.spec,
            self.tool,
            token.value,
            account=self.key.label,
            expires_at=None if lasting else token.expires.wall,
            token_type="" if lasting else token.token_type,
        )
        self._made = token, made
        return made
