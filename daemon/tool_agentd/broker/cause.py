"""Cause: for whom something is done to an account, as the journal and the audit trail tell it."""

from dataclasses import dataclass

from tool_agentd.model import NOBODY, Peer


@dataclass(frozen=True, slots=True)
class Cause:
    """Who asked, and for what."""

    peer: Peer = NOBODY
    tool: str = ""
    """The tool that was named; empty where none was."""
    scope: str = ""
    audience: str = ""


ITSELF = Cause()
"""The agent, by itself."""
