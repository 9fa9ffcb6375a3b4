"""The routes of API keys: list, issue (the raw key once), revoke."""

from tool_agent import wire
from tool_agentd.api import words
from tool_agentd.api.accounts import OwnCredential
from tool_agentd.api.answers import Answer
from tool_agentd.api.call import Body, Call, Json, reads
from tool_agentd.api.credentials import token_ask
from tool_agentd.api.logins import CREATED
from tool_agentd.broker import Broker, TokenAsk
from tool_agentd.broker.api_keys import IssuedKey
from tool_agentd.broker.selection import Own


class KeysBody(Body, frozen=True):
    """The body, where there is one."""

    account: str | None = None
    label: str | None = None
    """What the person calls a key that is issued."""
    credential: OwnCredential | None = None
    """The person's own variable, used for this one request."""


class ApiKeyRoutes:
    """API keys over HTTP."""

    def __init__(self, broker: Broker) -> None:
        """Serve from `broker`."""
        self._broker = broker

    @reads("account", body=KeysBody)
    async def list(self, call: Call) -> Answer:
        """GET /v1/tools/{tool}/api-keys; a body may carry the person's own variable."""
        body, query = await self._read(call)
        ask = token_ask(call, query, call.params[0])
        own = self._own(body, ask)
        keys = await self._broker.list_keys(ask, call.peer, own)
        data = {
            "schema": wire.SCHEMA,
            "tool": ask.tool,
            "api_keys": [key_json(key) for key in keys],
        }
        return Answer(data, words.issued_keys(keys))

    @reads("account", body=KeysBody)
    async def issue(self, call: Call) -> Answer:
        """POST /v1/tools/{tool}/api-keys: the raw key is in this answer and kept nowhere."""
        body, query = await self._read(call)
        ask = token_ask(call, query, call.params[0])
        tool = self._broker.catalogue.get(ask.tool)
        own = self._own(body, ask)
        issued = await self._broker.issue_key(ask, call.peer, body.label, own)
        variable = tool.api_keys.variable
        data = {
            "schema": wire.SCHEMA,
            "tool": ask.tool,
            **key_json(issued),
            "variable": variable,
            "text": words.issued(issued),
        }
        key = issued.key.reveal() if issued.key is not None else ""
        err = words.issued(issued)
        if variable:
            err += f"It belongs in {variable}.\n"
        return Answer(data, key, key + "\n", err, secret=True, status=CREATED)

    @reads("account", body=KeysBody)
    async def revoke(self, call: Call) -> Answer:
        """DELETE /v1/tools/{tool}/api-keys/{id}; a body may carry the person's own variable."""
        body, query = await self._read(call)
        ask = token_ask(call, query, call.params[0])
        own = self._own(body, ask)
        await self._broker.revoke_key(ask, call.peer, call.params[1], own)
        data = {"schema": wire.SCHEMA, "tool": ask.tool, "id": call.params[1], "revoked": True}
        text = f"Revoked the API key {call.params[1]}.\n"
        return Answer(data, text)

    def _own(self, body: KeysBody, ask: TokenAsk) -> Own | None:
        """Return the person's own variable; without one, the client has to look first.

        A client that finds it in our answer asks again with it, and two keys would be issued.
        """
        if body.credential is not None:
            return body.credential.own()
        self._broker.check_env(self._broker.catalogue.get(ask.tool), ask)
        return None

    @staticmethod
    async def _read(call: Call) -> tuple[KeysBody, dict[str, str]]:
        query = call.query()
        body = await call.json(KeysBody)
        if body.account is not None:
            query["account"] = body.account
        return body, query


def key_json(key: IssuedKey) -> Json:
    """Return a key as the JSON reply has it; the raw key only where it was just issued."""
    found: Json = {"id": key.id, "label": key.label, "created": key.created or None}
    if key.key is not None:
        found["key"] = key.key.reveal()
    return found
