"""The person's variables, where a client sends all that it has of them: which one counts.

They are used for the one request, and neither stored nor logged.
"""

from collections.abc import Mapping

from tool_agent import paths
from tool_agentd.api.credentials import fingerprint
from tool_agentd.broker.selection import Own
from tool_agentd.definition.credentials import person_variables
from tool_agentd.definition.flows import Login, Procedure
from tool_agentd.definition.vocabulary import ToolDefinition
from tool_agentd.secret import Secret


def own_of(tool: ToolDefinition, env: Mapping[str, Secret], *, before_session: bool) -> Own | None:
    """Return the first variable that counts, of those that win over a session or of the others.

    Variables that only count together count if all of them are set. One that a login takes is no
    credential; see `taken_of`. What `env` holds besides is not looked at.
    """
    sides = {one.credential: one.before_session for one in person_variables(tool)}
    for spec in tool.credential:
        if spec.taken_by is not None or sides.get(spec.id) is not before_session:
            continue
        for choice in [spec.pair] if spec.pair else [(name,) for name in spec.variables]:
            values = {name: env[name] for name in choice if _set(env, name)}
            if len(values) == len(choice):
                return choice[-1], values[choice[-1]], values
    return None


def taken_of(
    tool: ToolDefinition, env: Mapping[str, Secret], logins: Mapping[str, Login]
) -> tuple[str, dict[str, Secret]] | None:
    """Return the login method that takes a variable which is set, and the answer that it is."""
    for one in person_variables(tool):
        login = logins.get(one.login or "")
        if isinstance(login, Procedure) and one.login is not None and _set(env, one.name):
            secrets = (ask.name for step in login.step for ask in step.ask if ask.secret)
            return one.login, dict.fromkeys([*secrets][:1], env[one.name])
    return None


def _set(env: Mapping[str, Secret], name: str) -> bool:
    """Tell whether the person has set it; what the agent has exported there does not count."""
    value = env.get(name)
    exported = env.get(paths.EXPORTED_PREFIX + name)
    return bool(value) and (
        exported is None or exported.reveal() != fingerprint(value.reveal() if value else "")
    )
