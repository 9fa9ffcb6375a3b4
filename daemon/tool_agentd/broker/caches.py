"""Caches: what a tool wants to know of its platform, fetched at login and kept beside it."""

import logging
from collections.abc import Collection
from typing import Any

import msgspec

from tool_agentd.broker.replies import read_reply, refusal
from tool_agentd.definition import cache_shape, credentials, files, select
from tool_agentd.definition.delivery import CacheSpec
from tool_agentd.definition.template import fill_request
from tool_agentd.definition.vocabulary import ToolDefinition
from tool_agentd.errors import (
    AgentError,
    ConfigurationError,
    ProviderError,
)
from tool_agentd.model import Credential, Grant, GrantKind, HttpReply
from tool_agentd.ports import Http, Store
from tool_agentd.secret import Secret

SIZE_MAX = 256 * 1024
"""Bytes of one of them: a manifest, not a download, in a database of logins."""

log = logging.getLogger(__name__)


class Caches:
    """The caches of every account's login."""

    def __init__(self, store: Store, http: Http) -> None:
        """Take the parts."""
        self._store = store
        self._http = http

    @staticmethod
    def names(tool: ToolDefinition, credential: str) -> list[str]:
        """Return the caches of a tool that a credential of this id can fetch."""
        return [name for name, spec in tool.cache.items() if credential in spec.credential]

    async def after_login(self, tool: ToolDefinition, grant: Grant, secret: Secret) -> None:
        """Fetch what belongs beside a login that has just come about; `secret` is what it serves.

        It never fails: what cannot be had now is fetched when it is asked for.
        """
        if grant.kind is GrantKind.API_KEY:
            return
        for name in self.names(tool, grant.credential):
            try:
                spec = credentials.spec_of(tool, grant.credential)
                credential = credentials.credential(spec, tool, secret, grant.key.label)
                await self._fetched(tool, name, credential, grant, grant.origins)
            except AgentError as error:
                log.warning("%s: cache %s was not fetched: %s", grant.key, name, error.detail)

    async def text_for(
        self,
        tool: ToolDefinition,
        name: str,
        credential: Credential,
        grant: Grant | None,
        allowed: Collection[str],
    ) -> str:
        """Return the text of the cache's file. A session has it kept; a key fetches it each time.

        Args:
            tool: whose cache it is.
            name: its name, one of `names`.
            credential: with which it is fetched.
            grant: the login behind the credential; None for the person's own variable.
            allowed: the origins that may receive the credential.

        Raises:
            AgentError: it is not kept, and cannot be fetched now.
        """
        spec = _spec(tool, name)
        found = None
        if grant is not None and grant.kind is not GrantKind.API_KEY:
            found = await self._kept(tool, name, grant)
        if found is None:
            found = await self._fetched(tool, name, credential, grant, allowed)
        return files.encode(cache_shape.shaped(spec, msgspec.json.decode(found)), spec.format)

    async def _kept(self, tool: ToolDefinition, name: str, grant: Grant) -> str | None:
        """Return what is kept; nothing where the store does not answer, which is no reason to fail.

        What is kept is the platform's answer: its file has the shape that the definition has now.
        """
        try:
            text = (await self._store.caches(grant.key)).get(_label(tool, name))
            if text is not None:
                msgspec.json.decode(text)
        except AgentError as error:
            log.info("%s: %s", grant.key, error.detail)
            return None
        except msgspec.DecodeError:
            return None
        return text

    async def _fetched(
        self,
        tool: ToolDefinition,
        name: str,
        credential: Credential,
        grant: Grant | None,
        allowed: Collection[str],
    ) -> str:
        text = await self._fetch(tool, name, credential, allowed)
        if grant is not None and grant.kind is not GrantKind.API_KEY:
            try:
                await self._store.keep_cache(grant, _label(tool, name), text)
            except AgentError as error:  # it is good for this once all the same
                log.warning("%s: cache %s was not kept: %s", grant.key, name, error.detail)
        return text

    async def _fetch(
        self, tool: ToolDefinition, name: str, credential: Credential, allowed: Collection[str]
    ) -> str:
        """Ask the platform; return the object as JSON."""
        spec = _spec(tool, name)
        secret = credential.value
        request = fill_request(spec.request, {"secret": secret, "access_token": secret})
        signed = request.with_headers(credential.headers)
        found = _object(tool, name, spec, await self._http.send(signed, allowed=allowed))
        text = msgspec.json.encode(found)
        if len(text) > SIZE_MAX:
            message = f"{tool.title} answered with more than {SIZE_MAX} bytes for {name}"
            raise ProviderError(message)
        return text.decode()


def _object(tool: ToolDefinition, name: str, spec: CacheSpec, reply: HttpReply) -> Any:  # noqa: ANN401 - a JSON value
    """Return what the answer holds at the cache's place."""
    read = read_reply(reply, tool.errors)
    if not read.ok:
        refused = refusal(tool, read, None, carried=True)
        if not isinstance(refused, ProviderError):
            raise refused
    found = select.path(read.body, spec.take) if read.ok else None
    if found is None:
        said = read.text or f"HTTP {reply.status}, and no {spec.take}"
        message = f"{tool.title} has no {name} for this account: {said}"
        raise ProviderError(message, status=reply.status)
    return found


def _spec(tool: ToolDefinition, name: str) -> CacheSpec:
    spec = tool.cache.get(name)
    if spec is None:
        message = f"the definition of {tool.name} no longer has a cache '{name}'"
        raise ConfigurationError(message)
    return spec


def _label(tool: ToolDefinition, name: str) -> str:
    """Return the name under which it is kept: tools that share a login have theirs apart."""
    return f"{tool.name}/{name}"
