"""What may go wrong on the client's side, with the exit status of the command that meets it.

It imports only the contract, because the hot commands load it.
"""

from tool_agent import wire


class ToolAgentError(Exception):
    """The root: what happened and why (`detail`), and the next command to type (`hint`)."""

    def __init__(
        self, detail: str, *, code: str = "internal", hint: str = "", status: int | None = None
    ) -> None:
        """Describe the error; `status` is the exit status where the code does not decide it."""
        super().__init__(detail)
        self.detail = detail
        self.code = code
        self.hint = hint
        self.exit = wire.ERRORS.get(code, wire.ERRORS["internal"])[1] if status is None else status


class UsageError(ToolAgentError):
    """The command line, or the call, makes no sense as it stands."""

    def __init__(self, detail: str, *, hint: str = "") -> None:
        """Describe what was asked wrongly."""
        super().__init__(detail, code="invalid_request", hint=hint)


class NoAgentError(ToolAgentError):
    """No agent answers at the socket.

    `startable` says that nothing is there, so that an agent may be started.
    """

    def __init__(self, detail: str, *, startable: bool, hint: str = "") -> None:
        """Describe what was met instead of an agent."""
        super().__init__(detail, code="no_agent", hint=hint, status=wire.EXIT_NO_AGENT)
        self.startable = startable


class ForeignSocketError(ToolAgentError):
    """The socket is served by another user, who is not to get our requests."""


class TimedOutError(ToolAgentError):
    """The agent is there and did not answer in time, or broke off."""


class BadReplyError(ToolAgentError):
    """What answers at the socket does not speak the agent's contract."""


class AgentReplyError(ToolAgentError):
    """The agent answered with an error (RFC 9457): code, detail, hint and exit are its own."""


class LoginRequiredError(AgentReplyError):
    """No session can answer; only the person's login helps."""


class DeniedError(AgentReplyError):
    """Policy says no to this process."""


class LockedError(AgentReplyError):
    """The agent is locked by its person."""


class UnknownToolError(AgentReplyError):
    """No definition has this name."""


class UnknownAccountError(AgentReplyError):
    """The provider has no account of this label here."""


class UnavailableError(AgentReplyError):
    """Network, provider or store cannot answer now; trying again later helps."""


_CLASSES: dict[str, type[AgentReplyError]] = {
    "login_required": LoginRequiredError,
    "denied": DeniedError,
    "locked": LockedError,
    "unknown_tool": UnknownToolError,
    "unknown_account": UnknownAccountError,
    "store_unavailable": UnavailableError,
    "temporarily_unavailable": UnavailableError,
}


def reply_error(
    code: str, detail: str, hint: str = "", status: int | None = None
) -> AgentReplyError:
    """Return the error of the class for `code`."""
    return _CLASSES.get(code, AgentReplyError)(detail, code=code, hint=hint, status=status)
