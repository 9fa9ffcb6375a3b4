"""Prompter: what puts a question to the person; adapters provide it, as they do the other ports."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from tool_agentd.model import Consent, Question


@dataclass(frozen=True, slots=True)
class Reply:
    """What the person says, and by what they said it."""

    consent: Consent
    by: str
    """In words, for the audit trail: a process and its terminal, a program, a dialog."""


class Prompter(Protocol):
    """Who puts a question to the person."""

    @property
    def way(self) -> str:
        """How the person would be asked now, in words; empty where nobody can be."""
        ...

    @property
    def reasons(self) -> Sequence[str]:
        """One sentence where a way that the person has chosen is of no use, for `status`."""
        ...

    async def ask(self, question: Question) -> Reply:
        """Return what the person says, and how; cancelling takes the question away.

        Raises DeniedError where nobody can be asked, or whoever asks fails.
        """
        ...
