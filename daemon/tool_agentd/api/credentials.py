"""The routes that hand out credentials: a tool's token, and the text of `env`."""

import re
from collections.abc import Mapping
from hashlib import blake2s
from urllib.parse import urlsplit

import msgspec
from msgspec import structs

from tool_agent import paths, shell, wire
from tool_agentd.api.answers import Answer
from tool_agentd.api.call import Call, Json, reads
from tool_agentd.broker import Broker, TokenAsk
from tool_agentd.definition import duration
from tool_agentd.definition.vocabulary import ToolDefinition
from tool_agentd.errors import ConfigurationError, InvalidRequestError
from tool_agentd.model import AuditLine, Credential

SCOPE = re.compile(r"[ !#-\[\]-~]*")
"""RFC 6749 section 3.3: visible ASCII and blanks; anything else goes to no provider and no log."""
FORMATS = ("raw", "header", "json", "curl", "netrc")


class Credentials:
    """Token and env."""

    def __init__(self, broker: Broker, socket: str, pid: int) -> None:
        """Serve from `broker`; `socket` and `pid` are what `env` exports."""
        self._broker = broker
        self._socket = socket
        self._pid = pid

    @reads("account", "min_ttl", "scope", "audience", format=FORMATS)
    async def token(self, call: Call) -> Answer:
        """GET /v1/tools/{tool}/token."""
        query = call.query()
        wanted = query.get("format", "raw")
        if wanted not in FORMATS:
            message = f"there is no format {wanted[:16]!r}"
            raise InvalidRequestError(message, hint=f"choose one of: {', '.join(FORMATS)}")
        credential = await self._broker.token(token_ask(call, query, call.params[0]), call.peer)
        value = credential.value.reveal()
        match wanted:
            case "header":
                text = "\n".join(f"{n}: {v.reveal()}" for n, v in credential.headers.items())
            case "curl":
                text = "\n".join(
                    f"header = {_curl(f'{n}: {v.reveal()}')}" for n, v in credential.headers.items()
                )
            case "netrc":
                text = self._netrc(call.params[0], value)
            case _:
                text = value
        out = text + "\n"
        data = None
        if wanted == "json" or call.accept == wire.JSON:
            data = credential_json(credential)
        if wanted == "json":
            out = msgspec.json.encode(data).decode() + "\n"
        return Answer(data, text, out, secret=True)

    def _netrc(self, name: str, value: str) -> str:
        tool = self._broker.catalogue.get(name)
        origins = (*tool.origins, *self._broker.catalogue.provider(tool).origins)
        hosts = dict.fromkeys(urlsplit(origin).hostname or "" for origin in origins)
        return "\n".join(f"machine {host} login tool-agent password {value}" for host in hosts)

    @reads("account", "min_ttl", "json", many="tool", shell=shell.SHELLS)
    async def env(self, call: Call) -> Answer:
        """GET /v1/env: text that a shell evaluates. All of it, or an error and nothing."""
        tools = call.request.query.getall("tool", [])
        query = call.query()
        syntax = query.get("shell", shell.SH)
        if syntax not in shell.SHELLS:
            message = f"there is no shell {syntax[:16]!r}"
            raise InvalidRequestError(message, hint=f"choose one of: {', '.join(shell.SHELLS)}")
        variables = {paths.SOCK: self._socket, paths.PID: str(self._pid)}
        if call.peer.rights is not None:  # it may be elsewhere where the peer is; the peer knows
            variables = {}
        own: set[str] = set()
        lines: list[AuditLine] = []  # for the witness, once all of it is there
        for name in dict.fromkeys(tools):
            ask = structs.replace(token_ask(call, query, name), lines=lines)
            credential = await self._broker.token(ask, call.peer)
            if not credential.env:
                raise no_variable(self._broker.catalogue.get(name), credential)
            for variable, secret in credential.env.items():
                variables[variable] = secret.reveal()
                own.add(variable)
        marks = {paths.EXPORTED_PREFIX + v: fingerprint(variables[v]) for v in sorted(own)}
        try:
            text = "".join(
                shell.export(name, value, syntax) for name, value in {**variables, **marks}.items()
            )
        except ValueError as error:
            message = f"a value {error}"
            raise InvalidRequestError(message, hint="use 'tool-agent exec' instead") from None
        if syntax == shell.GITHUB:
            text = "".join(shell.mask(variables[v]) for v in sorted(own)) + text
        data: Json = {"schema": wire.SCHEMA, "env": {**variables, **marks}}
        self._broker.gate.tell(lines)
        return Answer(data, text, secret=bool(own))


def token_ask(call: Call, query: Mapping[str, str], tool: str) -> TokenAsk:
    """Read a request for a credential. Raises InvalidRequestError."""
    min_ttl = None
    if "min_ttl" in query:
        text = query["min_ttl"]
        try:
            min_ttl = float(text) if text.isdecimal() else duration.seconds(text)
        except ValueError as error:
            message = f"min_ttl is {error}"
            raise InvalidRequestError(message) from None
    if not SCOPE.fullmatch(query.get("scope", "")):
        message = "the scope has a character that no scope has"
        raise InvalidRequestError(message, hint="write scopes with blanks between them")
    if not query.get("audience", "").isprintable():
        message = "the audience has a character that does not print"
        raise InvalidRequestError(message)
    return TokenAsk(
        tool,
        query.get("account") or None,
        min_ttl,
        query.get("scope") or None,
        query.get("audience") or None,
        call.request.headers.get(wire.UNSET_HEADER),
    )


def no_variable(tool: ToolDefinition, credential: Credential) -> ConfigurationError:
    """Return the error for a tool that reads no variable for this kind of credential."""
    message = f"{tool.name} reads no variable for a {credential.id}"
    hint = f"use 'tool-agent token {tool.name}' or the socket"
    if any(file.credential == credential.id and file.content for file in tool.file.values()):
        hint = f"use 'tool-agent exec {tool.name} -- COMMAND', which gets the tool's own file"
    if tool.env:
        hint += f"; {', '.join(sorted(tool.env))} holds its {' or '.join(set(tool.env.values()))}"
    return ConfigurationError(message, hint=hint)


def credential_json(credential: Credential) -> Json:
    """Return the credential as the JSON reply has it.

    `files` is a list of paths here as in a delivery, and empty: only `exec` has files written.
    """
    return {
        "schema": wire.SCHEMA,
        "access_token": credential.value.reveal(),
        "token_type": credential.token_type,
        "expires_at": credential.expires_at,
        "account": credential.account,
        "credential": credential.id,
        "headers": {name: value.reveal() for name, value in credential.headers.items()},
        "env": {name: value.reveal() for name, value in credential.env.items()},
        "files": [],
    }


def fingerprint(value: str) -> str:
    """Return the mark of a value that the agent exports (`tool_agent.paths.EXPORTED_PREFIX`).

    It stands beside the value in the same environment, so it has nothing to hide: it only tells
    whether the person has put another value in its place.
    """
    return blake2s(value.encode(), digest_size=8, person=b"toolagnt").hexdigest()


def _curl(text: str) -> str:
    """Quote for a curl configuration file (curl(1), --config)."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
