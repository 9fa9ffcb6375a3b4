"""Sessions: the state of every account, and the one place where a state changes."""

import asyncio
from collections.abc import Hashable, Iterator
from typing import Any

from tool_agentd.errors import AgentError, InvalidRequestError, StoreUnavailableError
from tool_agentd.model import DEFAULT_ACCOUNT, AccountKey, Standing
from tool_agentd.ports import Store
from tool_agentd.session import (
    Active,
    Authorizing,
    Event,
    Found,
    Session,
    SignedOut,
    grant_of,
    step,
)

DERIVED = 64
"""Things kept of one account's state: one for each tool, scope and audience that is asked for."""


class Sessions:
    """The states in memory, filled from the store once it answers."""

    def __init__(self, store: Store) -> None:
        """Start empty; `load` fills."""
        self._store = store
        self._states: dict[AccountKey, Session] = {}
        self._there: dict[str, tuple[AccountKey, ...]] = {}
        """What `of_provider` has answered, until an account comes or goes."""
        self._derived: dict[AccountKey, dict[Hashable, Any]] = {}
        self._choices: dict[str, str] = {}
        self._loaded = False
        self._loading = asyncio.Lock()

    @property
    def loaded(self) -> bool:
        """Whether the store has answered since the start."""
        return self._loaded

    async def load(self) -> None:
        """Take over what the store has, once.

        Raises StoreUnavailableError; the next call tries again.
        """
        if self._loaded:
            return
        async with self._loading:
            await self._fill()

    async def _fill(self) -> None:
        if self._loaded:  # by whoever held the lock
            return
        grants = await self._store.list()
        self._choices = dict(await self._store.choices())
        for grant in grants:
            if grant.standing is not Standing.REVOKE_ONLY:
                self.apply(grant.key, Found(grant))
        self._loaded = True

    def get(self, key: AccountKey) -> Session:
        """Return the account's state; SignedOut for one that never was."""
        return self._states.get(key, SignedOut())

    def apply(self, key: AccountKey, event: Event) -> Session:
        """Change the account's state. Raises LateError, and then nothing has changed."""
        before = self.get(key)
        state = step(before, event)
        self._derived.pop(key, None)
        if (grant_of(before) is None) is not (grant_of(state) is None):
            self._there.pop(key.provider, None)
        if state == SignedOut():
            self._states.pop(key, None)
        else:
            self._states[key] = state
        return state

    def derived(self, key: AccountKey) -> dict[Hashable, Any]:
        """Return what others have made of the account's state; the next change empties it."""
        found = self._derived.get(key)
        if found is None or len(found) > DERIVED:
            found = self._derived[key] = {}
        return found

    def __iter__(self) -> Iterator[tuple[AccountKey, Session]]:
        """Yield every known account with its state, in order of name."""
        return iter(sorted(self._states.items(), key=lambda one: (one[0].provider, one[0].label)))

    def of_provider(self, provider: str) -> tuple[AccountKey, ...]:
        """Return the accounts that have a grant at the provider, in order of name."""
        there = self._there.get(provider)
        if there is None:
            found = (
                key
                for key, state in self._states.items()
                if key.provider == provider and grant_of(state) is not None
            )
            there = self._there[provider] = tuple(sorted(found, key=lambda key: key.label))
        return there

    async def adopt(self, key: AccountKey) -> bool:
        """Look whether another process has written a grant for the account; tell whether so.

        A store that does not answer changes nothing: what is known already stands.
        """
        try:
            grant = await self._store.current(key)
        except StoreUnavailableError:
            return False
        if grant is None:
            return False
        before = self.get(key)
        after = self.apply(key, Found(grant))
        settled = after.before if isinstance(after, Authorizing) else after
        return isinstance(settled, Active) and after != before

    def key_for(self, tool: str, provider: str, label: str | None) -> AccountKey:
        """Return the account that a request for `tool` means.

        The order: named in the request, chosen by `account switch`, the only one, the default.
        """
        label = label or self._choices.get(tool)
        if label:
            return AccountKey(provider, check_label(label))
        default = AccountKey(provider, DEFAULT_ACCOUNT)
        there = self.of_provider(provider)
        if len(there) == 1:
            return there[0]
        if there and grant_of(self.get(default)) is None:
            names = ", ".join(key.label for key in there)
            message = f"{tool} has several accounts and none is the default: {names}"
            raise InvalidRequestError(
                message, hint=f"run 'tool-agent account switch {tool} {there[0].label}'"
            )
        return default

    def chosen(self, tool: str) -> str | None:
        """Return the label that the person chose for the tool."""
        return self._choices.get(tool)

    async def choose(self, tool: str, label: str) -> None:
        """Make `label` the tool's account until further notice."""
        await self._store.choose(tool, label)
        self._choices[tool] = label

    async def forget_choice(self, provider_tools: list[str], label: str) -> None:
        """Drop choices of an account that is gone."""
        for tool in provider_tools:
            if self._choices.get(tool) == label:
                del self._choices[tool]
                try:
                    await self._store.choose(tool, None)
                except AgentError:
                    continue  # a stale choice only names an account that needs a login


LABEL_LIMIT = 64
"""Characters of an account's label: a keychain item's name has to hold it."""


def check_label(label: str) -> str:
    """Return the label if it may name an account. Raises InvalidRequestError."""
    plain = all(c.isalnum() or c in "._@+-" for c in label)
    if not plain or not label or len(label) > LABEL_LIMIT or label.startswith("-"):
        message = f"{label[:LABEL_LIMIT]!r} cannot name an account"
        raise InvalidRequestError(
            message, hint=f"use up to {LABEL_LIMIT} letters, digits and any of . _ @ + -"
        )
    return label
