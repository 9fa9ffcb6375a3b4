"""The second line: what the agent writes to stderr or to its log shows no secret.

The first is that no secret gets into a message. Here every text is searched on its way out for the
secrets that live, by their exact values, and for the shapes of those that are no `Secret` yet. The
values come from the living objects themselves: a list of values or digests beside them would be a
second place to keep, to forget or to steal them from.

The search is in the stream and not in a filter: there a record is complete, with its traceback, and
what Python itself writes to stderr takes the same way. faulthandler, which writes past every
stream, prints names and lines and no value.
"""

import io
import logging
import re
import sys
import threading
from collections.abc import Callable, Iterable
from functools import lru_cache
from types import TracebackType
from typing import TextIO

from tool_agentd.adapters.log import FORMAT, Sparing, Unhurried
from tool_agentd.secret import STARS, starred

JWT = re.compile(r"\beyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*)*")
"""RFC 7519: the header is JSON in base64url, so it begins like this."""
HEADER = re.compile(r"\b(Bearer|Basic|DPoP)(\s+)[\w.~+/=-]{8,}")
"""RFC 6750, 7617, 9449. A shorter word is prose."""
FIELD = re.compile(
    r"\b((?:access|refresh|id|session|subject)_token|client_secret|device_code|code_verifier"
    r"|api_?key|password|passphrase|assertion)"
    r"""(\\*["']?\s*[:=]\s*b?\\*["']?)"""
    r"""(?:(?<=["'])[^"'\\\n]{4,}|[^\s"'&,;\\}]{4,})"""  # between quotes a blank does not end it
)
"""Fields of requests and answers (RFC 6749, 7636, 8628), as forms, JSON and reprs write them."""
QUERY = re.compile(r"([?&](?:code|state)=)[^&\s\"'#]+")
"""What a callback's address brings (RFC 6749 section 4.1.2)."""
PREFIX = re.compile(r"[A-Za-z][A-Za-z0-9]+[_-]")
"""A definition's pattern that begins with letters of its own: `nrp_[0-9a-f]{64}`."""

log = logging.getLogger(__name__)


@lru_cache(maxsize=4)
def _of_prefixes(patterns: frozenset[str]) -> re.Pattern[str] | None:
    """Return what finds keys that begin as the definitions say; their patterns may be slow."""
    begins = {found[0] for pattern in patterns if (found := PREFIX.match(pattern))}
    if not begins:
        return None
    words = "|".join(map(re.escape, sorted(begins)))
    return re.compile(rf"(?<![A-Za-z0-9])(?:{words})[\w.~+/=-]{{8,}}")


class Redaction:
    """What is looked for: the living secrets, the known shapes, the definitions' own."""

    def __init__(self) -> None:
        """Know the shapes that everybody uses; `patterns` is set once definitions are read."""
        self.patterns: Callable[[], Iterable[str]] = tuple

    def __call__(self, text: str) -> str:
        """Return a text with stars where a secret was."""
        text = starred(text)
        keys = _of_prefixes(frozenset(self.patterns()))
        if keys is not None:
            text = keys.sub(STARS, text)
        text = JWT.sub(STARS, text)
        text = HEADER.sub(rf"\1\2{STARS}", text)
        text = FIELD.sub(rf"\1\2{STARS}", text)
        return QUERY.sub(rf"\1{STARS}", text)


class RedactedStream(io.TextIOBase):
    """A text stream in front of another one; what goes through is redacted."""

    def __init__(self, stream: TextIO, redaction: Redaction) -> None:
        """Write to `stream`, which is flushed and closed by its owner."""
        super().__init__()
        self._stream = stream
        self._redaction = redaction

    @property
    def encoding(self) -> str:  # type: ignore[override]  # a property there too
        """Return the encoding of what is behind."""
        return self._stream.encoding

    @property
    def errors(self) -> str | None:  # type: ignore[override]  # a property there too
        """Return how what is behind treats what it cannot encode."""
        return self._stream.errors

    def writable(self) -> bool:
        """Tell that it can be written to."""
        return True

    def isatty(self) -> bool:
        """Tell whether a person reads it."""
        return self._stream.isatty()

    def fileno(self) -> int:
        """Return the descriptor behind it."""
        return self._stream.fileno()

    def write(self, text: str) -> int:
        """Write a text without its secrets; return its length, as if all had been written."""
        self._stream.write(self._redaction(text))
        return len(text)

    def flush(self) -> None:
        """Write what is still buffered."""
        self._stream.flush()


def log_to(out: TextIO | RedactedStream | int, redaction: Redaction, level: str) -> None:
    """Log to `out`, and to nothing else; to a descriptor without ever waiting for its reader."""
    handler: logging.Handler
    if isinstance(out, int):
        handler = Unhurried(out, redaction)
    else:
        stream = out if isinstance(out, RedactedStream) else RedactedStream(out, redaction)
        handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter(FORMAT))
    logging.basicConfig(level=level.upper(), handlers=[Sparing(handler)], force=True)


def install() -> Redaction:
    """Send everything that this process may say about itself through one redaction; return it.

    stderr, the log, warnings, and errors that nobody caught, in any thread. asyncio's exception
    handler logs by itself.
    """
    redaction = Redaction()
    if sys.stderr is None:  # closed by whoever started us: there is nothing to write to
        sys.stderr = io.StringIO()
    stderr = RedactedStream(sys.stderr, redaction)
    sys.stderr = stderr
    log_to(stderr, redaction, "warning")
    logging.captureWarnings(capture=True)
    sys.excepthook = _uncaught
    threading.excepthook = _uncaught_in_thread
    sys.unraisablehook = _unraisable
    return redaction


def _uncaught(
    kind: type[BaseException], error: BaseException, traceback: TracebackType | None
) -> None:
    if not issubclass(kind, KeyboardInterrupt):
        log.critical("nobody foresaw this", exc_info=(kind, error, traceback))


def _uncaught_in_thread(args: threading.ExceptHookArgs) -> None:
    if args.exc_value is not None and not issubclass(args.exc_type, SystemExit):
        name = args.thread.name if args.thread else "a thread"
        info = (args.exc_type, args.exc_value, args.exc_traceback)
        log.critical("nobody foresaw this in %s", name, exc_info=info)


def _unraisable(args: "sys.UnraisableHookArgs") -> None:
    said = args.err_msg or "an error that cannot be raised"
    if args.exc_value is None:
        log.error("%s: %r", said, args.object)
        return
    info = (args.exc_type, args.exc_value, args.exc_traceback)
    log.error("%s: %r", said, args.object, exc_info=info)
