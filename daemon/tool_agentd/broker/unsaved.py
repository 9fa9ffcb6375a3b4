"""Unsaved: rotated tokens that the store did not take yet, kept in memory and tried again."""

import logging

from tool_agentd.errors import AgentError, ConflictError
from tool_agentd.model import AccountKey, HeldGrant
from tool_agentd.ports import Store

log = logging.getLogger(__name__)


class Unsaved:
    """What would be lost if the agent ended now; `status` says so."""

    def __init__(self, store: Store) -> None:
        """Start with everything saved."""
        self._store = store
        self._held: dict[AccountKey, tuple[HeldGrant, str]] = {}

    def get(self, key: AccountKey) -> HeldGrant | None:
        """Return the account's unsaved grant: newer than what the store has."""
        entry = self._held.get(key)
        return entry[0] if entry else None

    def keep(self, held: HeldGrant, why: str) -> None:
        """Hold on to a grant that could not be saved. `held.grant` is the stored generation."""
        self._held[held.grant.key] = (held, why)
        log.error("%s: the renewed login could not be saved: %s", held.grant.key, why)

    def forget(self, key: AccountKey) -> None:
        """Drop it: saved, ended or logged out."""
        self._held.pop(key, None)

    @property
    def reasons(self) -> list[str]:
        """One sentence for each, for `status`."""
        return [
            f"the renewed login of {key} is only in memory: {why}"
            for key, (_, why) in self._held.items()
        ]

    async def save(self) -> list[HeldGrant]:
        """Try to save each once more; return those that are stored now, as stored."""
        saved = []
        for key, (held, _) in list(self._held.items()):
            try:
                async with self._store.lease(key):
                    if self.get(key) is not held:
                        continue  # a renewal came between
                    grant = await self._store.write(
                        held.grant, held.secret, expected=held.grant.generation
                    )
            except ConflictError:
                self.forget(key)  # logged out, or replaced by another login
            except AgentError as error:
                if self.get(key) is held:
                    self._held[key] = (held, error.detail)
            else:
                self.forget(key)
                saved.append(HeldGrant(grant, held.secret))
        return saved
