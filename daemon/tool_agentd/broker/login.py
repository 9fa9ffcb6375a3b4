"""A login while it runs: a resource that is watched, joined, answered and cancelled."""

import asyncio
import contextlib
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from tool_agentd.errors import AgentError, InvalidRequestError
from tool_agentd.model import AccountKey, Identity
from tool_agentd.secret import Secret


class LoginState(StrEnum):
    """Where a login stands."""

    STARTING = "starting"
    AWAITING_BROWSER = "awaiting_browser"
    AWAITING_INPUT = "awaiting_input"
    WORKING = "working"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def over(self) -> bool:
        """Whether nothing more will happen."""
        return self in {LoginState.DONE, LoginState.FAILED, LoginState.CANCELLED}


@dataclass(frozen=True, slots=True)
class Prompt:
    """Something that the person may be asked for."""

    name: str
    label: str
    secret: bool = False


@dataclass(frozen=True, slots=True)
class LoginView:
    """What a client sees of a login."""

    id: str
    tool: str
    key: AccountKey
    method: str
    title: str
    expires_at: float
    """Wall time at which the login gives up."""
    state: LoginState = LoginState.STARTING
    url: str | None = None
    prompts: tuple[Prompt, ...] = ()
    identity: Identity | None = None
    text: str = ""
    """What to tell the person when it is done."""
    error: AgentError | None = None
    notice: AgentError | None = None
    """What was wrong with the last answer, which may be given again."""
    notices: int = 0
    """How often an answer was wrong."""


class Login:
    """A running login: its view, who waits for it, and what its person typed."""

    def __init__(self, view: LoginView) -> None:
        """Begin with `view`."""
        self.view = view
        self.broken_off = False
        """Whether somebody has asked for its end; what it still brings is not taken."""
        self.saving = False
        """Whether its grant is being stored: from here on the outcome is what comes of that."""
        self._task: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        self._inputs: asyncio.Queue[dict[str, Secret]] = asyncio.Queue(maxsize=8)

    def begin(self, work: Coroutine[Any, Any, None]) -> None:
        """Run the login's work."""
        self._task = asyncio.ensure_future(work)

    async def finished(self) -> None:
        """Return when the work has ended."""
        if self._task is not None:
            await asyncio.wait({self._task})

    async def break_off(self) -> None:
        """End the work; what is being stored already is stored first."""
        if self._task is not None and not self._task.done() and not self.saving:
            self.broken_off = True
            self._task.cancel()
        await self.finished()

    def update(self, **changes: Any) -> None:  # noqa: ANN401 - the fields of LoginView
        """Change the view and wake everyone who watches."""
        self.view = replace(self.view, **changes)
        self._changed.set()
        self._changed = asyncio.Event()

    async def watch(self, since: str | None, patience: float) -> LoginView:
        """Return the view: at once where its state is not `since`, else with its next change.

        After `patience` seconds it is returned as it is.
        """
        if self.view.state.value == since and not self.view.state.over:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(patience):
                    await self._changed.wait()
        return self.view

    def offer(self, inputs: Mapping[str, str]) -> None:
        """Take what the person typed. Raises InvalidRequestError for what nobody asked."""
        asked = {prompt.name for prompt in self.view.prompts}
        unknown = sorted(set(inputs) - asked)
        if unknown or not inputs:
            message = f"this login does not ask for {', '.join(unknown) or 'nothing'}"
            hint = f"it asks for: {', '.join(sorted(asked)) or 'nothing now'}"
            raise InvalidRequestError(message, hint=hint)
        try:
            self._inputs.put_nowait({name: Secret(text) for name, text in inputs.items()})
        except asyncio.QueueFull:
            message = "this login has more answers than it can read"
            raise InvalidRequestError(message) from None
        if self.view.state is LoginState.AWAITING_INPUT:
            # Here and not where it is read: the answer to this must not ask the same again.
            self.update(state=LoginState.WORKING, prompts=())

    async def answers(self) -> dict[str, Secret]:
        """Wait for what the person types next."""
        return await self._inputs.get()
