"""A second agent over one state directory, as far as its audit trail goes."""

import asyncio
import sys

from tool_agentd.adapters.audit import AuditTrail
from tool_agentd.adapters.audit.file import AuditFile
from tool_agentd.model import AuditEvent, AuditLine, Peer


async def main(directory: str, uid: int, count: int, size: int) -> None:
    """Write so many lines, some of them urgent, and turn files over on the way."""
    trail = AuditTrail(AuditFile(directory, size=size, kept=50))
    for number in range(count):
        event = AuditEvent.DENIAL if number % 10 == 0 else AuditEvent.GRANT
        trail.record(AuditLine(1.0, event, "ok", Peer(uid, uid, number), "cre"))
        if event is AuditEvent.DENIAL:
            await trail.settled()
    await trail.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], *map(int, sys.argv[2:])))
