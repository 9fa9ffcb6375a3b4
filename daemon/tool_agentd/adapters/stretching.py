"""Stretching: the passphrase of the agent's lock, in a thread of its own."""

from tool_agentd.adapters.store import sealing
from tool_agentd.adapters.store.vault import SCRYPT_DEADLINE
from tool_agentd.adapters.worker import Workers
from tool_agentd.errors import TemporarilyUnavailableError
from tool_agentd.secret import Secret


class Scrypt:
    """Implements ports.Stretcher as the vault does it: one at a time, 128 MiB each."""

    cost = sealing.SCRYPT_N

    def __init__(self) -> None:
        """Start no thread yet."""
        self._workers = Workers(
            "the passphrase",
            room="lock",
            error=TemporarilyUnavailableError,
            limit=1,
            deadline=SCRYPT_DEADLINE,
        )

    async def stretch(self, passphrase: Secret, salt: bytes, cost: int) -> bytes:
        """Return the key."""
        return await self._workers.run(
            lambda: sealing.from_passphrase(passphrase.reveal(), salt, cost)
        )
