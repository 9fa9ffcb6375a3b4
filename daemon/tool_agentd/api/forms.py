"""Forms: whether text or JSON is printed, where the person has said neither."""

from tool_agentd.broker import Broker
from tool_agentd.broker.selection import own_spec
from tool_agentd.definition.face import Form, output_form
from tool_agentd.definition.vocabulary import ToolDefinition
from tool_agentd.session import grant_of


def form_for(
    broker: Broker,
    tool: ToolDefinition,
    account: str | None,
    own: str | None,
    asked: Form | None = None,
) -> Form:
    """Return the form for an account of a tool; `own` is the person's variable, where one counts.

    It goes by the way in which the credential came: a key in a variable is as one that was pasted.
    """
    if asked is not None:
        return asked
    if own is not None:
        credential = own_spec(tool, own).id
        login = broker.catalogue.provider(tool).login
        method = next((name for name, way in login.items() if way.credential == credential), None)
        return output_form(tool.output, method)
    key = broker.sessions.key_for(tool.name, tool.provider_name, account)
    grant = grant_of(broker.sessions.get(key))
    return output_form(tool.output, grant.method if grant is not None else None)
