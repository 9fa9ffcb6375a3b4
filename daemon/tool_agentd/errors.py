"""One root for every error that reaches a person or a program: code, what happened, and the hint.

The codes are the wire's (`tool_agent.wire.ERRORS`); only `api` turns one into an HTTP status.
"""

from typing import ClassVar

from tool_agent import wire


class AgentError(Exception):
    """What happened and why (`detail`), and the next command to type (`hint`).

    Neither text may contain a secret: both are shown, logged and audited.
    """

    code: ClassVar[str] = "internal"

    def __init__(
        self,
        detail: str,
        *,
        hint: str | None = None,
        retry_after: float | None = None,
        status: int | None = None,
    ) -> None:
        """Describe the error; `retry_after` is in seconds.

        `status` is that of the platform's answer, where there was one.
        """
        super().__init__(detail)
        self.detail = detail
        self.hint = hint
        self.retry_after = retry_after
        self.status = status

    @property
    def exit(self) -> int:
        """The exit status of a client that meets this error."""
        return wire.ERRORS[self.code][1]


class LoginRequiredError(AgentError):
    """No session can answer; only the person's login helps."""

    code = "login_required"


class DeniedError(AgentError):
    """Policy says no to this peer."""

    code = "denied"


class UnknownToolError(AgentError):
    """No definition has this name."""

    code = "unknown_tool"


class UnknownAccountError(AgentError):
    """The provider has no account of this label here."""

    code = "unknown_account"


class UnknownLoginError(AgentError):
    """The login is over and forgotten, or never was."""

    code = "unknown_login"


class NotFoundError(AgentError):
    """No such route."""

    code = "not_found"


class ConflictError(AgentError):
    """Somebody else changed the same thing first."""

    code = "conflict"


class CancelledError(AgentError):
    """The person said no, or broke off."""

    code = "cancelled"


class LockedError(AgentError):
    """The agent is locked by its person."""

    code = "locked"


class CheckEnvError(AgentError):
    """The client is to look for the person's own variable before anything is touched."""

    code = "check_env"


class InvalidRequestError(AgentError):
    """The request makes no sense as it stands."""

    code = "invalid_request"


class TooLargeError(AgentError):
    """The request is larger than any honest one."""

    code = "too_large"


class ConfigurationError(AgentError):
    """A file of the person's, or the way the agent was started, is wrong."""

    code = "configuration"


class ProviderError(AgentError):
    """The provider answered, and its answer is a refusal or makes no sense."""

    code = "provider_error"


class StoreUnavailableError(AgentError):
    """The place where grants rest does not answer, or what rests there cannot be opened."""

    code = "store_unavailable"


class DamagedError(StoreUnavailableError):
    """What rests in the store is not what was written there; it is left as it is."""


class TemporarilyUnavailableError(AgentError):
    """Network, provider or agent cannot answer now; nothing is lost."""

    code = "temporarily_unavailable"


class UnreachableError(TemporarilyUnavailableError):
    """No connection came about: whatever was to be sent has surely not arrived."""
