"""The mail box: every message that a platform sends, to read at `/_/mail`."""

from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Message:
    """One message. `link` is what it asks its reader to visit, or empty."""

    platform: str
    to: str
    subject: str
    text: str
    link: str
    sent_at: str


class MailBox:
    """All messages of all platforms, oldest first."""

    def __init__(self) -> None:
        self._messages: list[Message] = []

    def send(self, message: Message) -> None:
        """Deliver at once."""
        self._messages.append(message)

    def report(self, to: str | None = None) -> list[dict[str, str]]:
        """The messages to one address, or all."""
        return [asdict(message) for message in self._messages if to in (None, message.to)]
