"""API keys that a platform issues: listed, issued once into the person's hands, revoked.

A raw key passes through and is kept nowhere.
"""

from collections.abc import Callable
from dataclasses import dataclass

from tool_agentd.broker.replies import Reply, read_reply, refusal
from tool_agentd.broker.selection import Own
from tool_agentd.broker.sessions import Sessions
from tool_agentd.broker.signing import Asker, Signing
from tool_agentd.broker.token_ask import TokenAsk
from tool_agentd.broker.values import Values, plain
from tool_agentd.definition import select
from tool_agentd.definition.catalogue import Catalogue
from tool_agentd.definition.table import Request
from tool_agentd.definition.vocabulary import ToolDefinition
from tool_agentd.errors import InvalidRequestError, NotFoundError, ProviderError
from tool_agentd.model import AuditEvent, Peer
from tool_agentd.secret import Secret

LABEL_MAX = 200
"""Characters of a label or an id: twice what the strictest platform takes."""


@dataclass(frozen=True, slots=True)
class IssuedKey:
    """A key of the platform's; its secret only in the answer to its issue."""

    id: str
    label: str
    created: str = ""
    """When, as the platform writes it."""
    key: Secret | None = None


class ApiKeyDesk:
    """Managing keys at the platforms."""

    def __init__(
        self, sessions: Sessions, signing: Signing, catalogue: Callable[[], Catalogue]
    ) -> None:
        """Take the parts."""
        self._sessions = sessions
        self._signing = signing
        self._catalogue = catalogue

    async def list(
        self, ask: TokenAsk, peer: Peer, own: Own | None = None
    ) -> tuple[IssuedKey, ...]:
        """Return the keys that there are, without their secrets. `own` is the person's variable.

        Raises NotFoundError where the platform lists them on its site only, and what
        `Broker.token` raises.
        """
        tool = self._catalogue().get(ask.tool)
        spec = tool.api_keys.listing
        if spec is None:
            raise by_hand(tool, "lists")
        reply = await self._send(tool, spec.request, Values(), ask, peer, own)
        items = select.path(reply.body, spec.items) if spec.items else reply.body
        if not isinstance(items, list):
            message = f"{tool.title} answered with no list of keys"
            raise ProviderError(message)
        return tuple(
            IssuedKey(
                plain(select.path(item, spec.id)),
                plain(select.path(item, spec.label)),
                plain(select.path(item, spec.created)),
            )
            for item in items
        )

    async def issue(
        self, ask: TokenAsk, peer: Peer, label: str | None, own: Own | None = None
    ) -> IssuedKey:
        """Have a key made; it is in the answer and kept nowhere.

        Raises as `list`, and InvalidRequestError where a label is missing.
        """
        tool = self._catalogue().get(ask.tool)
        spec = tool.api_keys.issue
        if spec is None:
            raise by_hand(tool, "issues")
        if label is None:
            message = "an API key is issued under a label"
            raise InvalidRequestError(message, hint="say what you call it: --label laptop")
        values = Values({"label": _named(label, "label")})
        reply = await self._send(tool, spec.request, values, ask, peer, own)
        key = select.path(reply.body, spec.key)
        if not isinstance(key, str) or not key.isprintable() or not key:
            message = f"{tool.title} has made a key and did not say it; revoke it there"
            raise ProviderError(message)
        issued = IssuedKey(
            plain(select.path(reply.body, spec.id)),
            plain(select.path(reply.body, spec.label)) or values.text("label"),
            plain(select.path(reply.body, spec.created)),
            key=Secret(key),
        )
        self._tell(AuditEvent.GRANT, ask, peer, own, f"a new API key, {issued.label!r}")
        return issued

    async def revoke(self, ask: TokenAsk, peer: Peer, key_id: str, own: Own | None = None) -> None:
        """Have a key revoked. Raises as `list`."""
        tool = self._catalogue().get(ask.tool)
        spec = tool.api_keys.revoke
        if spec is None:
            raise by_hand(tool, "revokes")
        values = Values({"id": _named(key_id, "id")})
        await self._send(tool, spec.request, values, ask, peer, own)
        self._tell(AuditEvent.REVOCATION, ask, peer, own, f"the API key {values.text('id')!r}")

    def _tell(
        self, event: AuditEvent, ask: TokenAsk, peer: Peer, own: Own | None, detail: str
    ) -> None:
        """Tell the witness of a key that was made or revoked, besides the use that did it."""
        tool = self._catalogue().get(ask.tool)
        key = self._sessions.key_for(tool.name, tool.provider_name, ask.account)
        self._signing.gate.told(event, peer, tool.name, key if own is None else None, detail)

    async def _send(  # noqa: PLR0913 - what is asked, and for whom
        self,
        tool: ToolDefinition,
        request: Request,
        values: Values,
        ask: TokenAsk,
        peer: Peer,
        own: Own | None,
    ) -> Reply:
        filled = values.request(request)
        await self._sessions.load()
        key = self._sessions.key_for(tool.name, tool.provider_name, ask.account)
        asker = Asker(tool, key, ask, peer, own)
        answer = await self._signing.send(asker, tool.api_keys.accepts, filled)
        reply = read_reply(answer, tool.errors)
        if not reply.ok:
            raise refusal(tool, reply, None, carried=True)
        return reply


def _named(text: str, what: str) -> str:
    text = text.strip()
    if not text or len(text) > LABEL_MAX or not text.isprintable():
        message = f"the {what} of a key is 1 to {LABEL_MAX} characters that print"
        raise InvalidRequestError(message)
    return text


def by_hand(tool: ToolDefinition, does: str) -> NotFoundError:
    """Return the error of a platform that manages keys on its site only: where, and how."""
    keys = tool.api_keys
    if keys.create_url is None:
        message = f"the definition of {tool.name} does not say how {tool.title} {does} API keys"
        return NotFoundError(message, hint=f"run 'tool-agent tool show {tool.name}'")
    steps = [f"{number}. {step}" for number, step in enumerate(keys.steps, 1)]
    message = "\n".join([f"{tool.title} {does} API keys on its own site only:", *steps])
    return NotFoundError(message, hint=f"open {keys.create_url}")
