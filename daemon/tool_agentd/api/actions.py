"""The routes of actions: what a tool offers besides logging in, listed and started."""

from tool_agent import wire
from tool_agentd.api import words
from tool_agentd.api.accounts import OwnCredential
from tool_agentd.api.answers import Answer
from tool_agentd.api.call import Body, Call, Json, reads
from tool_agentd.api.credentials import token_ask
from tool_agentd.api.logins import CREATED, LoginRoutes
from tool_agentd.broker import Broker
from tool_agentd.broker.actions import ActionOrder, action_of
from tool_agentd.definition.faces import Action
from tool_agentd.definition.steps import Ask
from tool_agentd.secret import Secret


class ActionBody(Body, frozen=True):
    """The body of POST .../actions/{action}."""

    account: str | None = None
    inputs: dict[str, Secret] = {}
    """Answers given in advance, by name."""
    credential: OwnCredential | None = None
    """The person's own variable, for the requests that take it."""


class ActionRoutes:
    """Actions over HTTP. What is started is watched below `/v1/logins`."""

    def __init__(self, broker: Broker, logins: LoginRoutes) -> None:
        """Serve from `broker`; `logins` shows what is to follow."""
        self._broker = broker
        self._logins = logins

    async def list(self, call: Call) -> Answer:
        """GET /v1/tools/{tool}/actions."""
        call.query()
        tool = self._broker.catalogue.get(call.params[0])
        data = {
            "schema": wire.SCHEMA,
            "tool": tool.name,
            "actions": [_action_json(name, action) for name, action in tool.action.items()],
        }
        rows = [(name, _usage(action), action.title) for name, action in tool.action.items()]
        none = f"{tool.title} offers nothing besides logging in.\n"
        return Answer(data, words.table([("ACTION", "TAKES", "DOES"), *rows]) if rows else none)

    @reads(body=ActionBody)
    async def start(self, call: Call) -> Answer:
        """POST /v1/tools/{tool}/actions/{action}: what follows is watched like a login."""
        name, action = call.params
        call.query()
        body = await call.json(ActionBody)
        tool = self._broker.catalogue.get(name)
        found = action_of(tool, action)
        own = body.credential.own() if body.credential is not None else None
        if own is None and any(step.carries for step in found.step):
            self._broker.check_env(tool, token_ask(call, {}, tool.name))
        await self._broker.load()
        key = self._broker.sessions.key_for(tool.name, tool.provider_name, body.account)
        order = ActionOrder(tool, key, action, body.inputs, own=own, peer=call.peer)
        view = await self._broker.start_action(order)
        return Answer(self._logins.shown(view), status=CREATED)


def asks_of(action: Action) -> list[Ask]:
    """Return what an action may ask, each name once, in order."""
    found: dict[str, Ask] = {}
    for step in action.step:
        for ask in step.ask:
            found.setdefault(ask.name, ask)
    return list(found.values())


def _action_json(name: str, action: Action) -> Json:
    return {
        "name": name,
        "title": action.title,
        "asks": [
            {
                "name": ask.name,
                "label": ask.label,
                "secret": ask.secret,
                "default": ask.default,
                "option": ask.option,
                "argument": ask.argument,
                "choices": list(ask.choices),
            }
            for ask in asks_of(action)
        ],
    }


def _usage(action: Action) -> str:
    """Return what may stand on the command line."""
    asks = asks_of(action)
    arguments = [ask.name.upper().replace("_", "-") for ask in asks if ask.argument]
    options = [f"[{ask.option} ...]" for ask in asks if ask.option]
    return " ".join([*arguments, *options]) or "-"
