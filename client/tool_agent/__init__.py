"""The public Python API of tool-agent.

    import tool_agent

    requests.get(url, headers=tool_agent.headers("cre"))

    with tool_agent.Agent() as agent:  # one connection for many questions
        token = agent.token("cre", min_ttl=300)

A variable that the person has set (CRE_API_KEY) wins over the agent's session wherever the tool has
it so: then its value is what comes back, it is sent nowhere, and the agent is asked for nothing
but the variable's name. Where no agent runs, one is started.

Importing this package costs next to nothing: what it exports is imported when it is first used.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:  # type checkers know the name; importing `typing` for it would cost more than us
    from tool_agent._api import Agent, Token, headers, token
    from tool_agent.errors import (
        AgentReplyError,
        BadReplyError,
        DeniedError,
        ForeignSocketError,
        LockedError,
        LoginRequiredError,
        NoAgentError,
        TimedOutError,
        ToolAgentError,
        UnavailableError,
        UnknownAccountError,
        UnknownToolError,
        UsageError,
    )

__all__ = [
    "Agent",
    "AgentReplyError",
    "BadReplyError",
    "DeniedError",
    "ForeignSocketError",
    "LockedError",
    "LoginRequiredError",
    "NoAgentError",
    "TimedOutError",
    "Token",
    "ToolAgentError",
    "UnavailableError",
    "UnknownAccountError",
    "UnknownToolError",
    "UsageError",
    "headers",
    "token",
]


def __getattr__(name: str) -> object:
    """Import what is asked for (PEP 562)."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name.endswith("Error"):
        from tool_agent import errors as module  # noqa: PLC0415 - lazy on purpose
    else:
        from tool_agent import _api as module  # type: ignore[no-redef]  # noqa: PLC0415 - as above
    value: object = getattr(module, name)
    globals()[name] = value
    return value
