"""A login while it runs: a resource that is watched, joined, answered and cancelled."""

import asyncio
import contextlib
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Literal

from tool_agentd.broker.cause import ITSELF
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
    default: str = ""
    """What an empty answer means; empty where there is none."""
    choices: tuple[str, ...] = ()
    option: str = ""
    """The command-line option that would have answered: `--role`."""


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
    purpose: Literal["login", "action"] = "login"
    url: str | None = field(default=None, repr=False)
    """Where the person signs in. It carries the state that the callback has to bring."""
    user_code: str | None = None
    """What the person enters at `url`, or compares with what it shows (RFC 8628)."""
    awaits: str = ""
    """What is waited for, in the person's words; empty: what the state says."""
    said: tuple[str, ...] = ()
    """Lines for the person on the way, in order; a client prints each once, to stderr."""
    prompts: tuple[Prompt, ...] = ()
    identity: Identity | None = None
    text: str = ""
    """What to tell the person when it is done."""
    values: Mapping[str, str] = field(default_factory=dict)
    """Plain values of a finished action, for its JSON reply."""
    error: AgentError | None = None
    notice: AgentError | None = None
    """What was wrong with the last answer, which may be given again."""
    notices: int = 0
    """How often an answer was wrong."""
    revision: int = 0
    """Counts the changes, so that a watcher misses none."""


class Login:
    """A running login: its view, who waits for it, and what its person typed."""

    def __init__(self, view: LoginView, preset: Mapping[str, Secret] | None = None) -> None:
        """Begin with `view`; `preset` are answers that were given in advance, by name."""
        self.view = view
        self.preset = dict(preset or {})
        self.broken_off = False
        """Whether somebody has asked for its end; what it still brings is not taken."""
        self.leaving = False
        """Whether somebody has asked for its end, even if that came too late."""
        self.saving = False
        """Whether its grant is being stored: from here on the outcome is what comes of that."""
        self.ephemeral = False
        """Whether nothing of it is to be stored."""
        self.confirm = False
        """Whether the person is asked each time before a credential of it is handed out."""
        self.by = ITSELF
        """Who asked for it."""
        self.wording: str | None = None
        """What is said when it is done, instead of our own words; `{name}` and `{account}`."""
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
        self.leaving = True
        await asyncio.sleep(0)  # work that was cancelled before it began would tell nobody
        if self._task is not None and not self._task.done() and not self.saving:
            self.broken_off = True
            self._task.cancel()
        await self.finished()

    def update(self, **changes: Any) -> None:  # noqa: ANN401 - the fields of LoginView
        """Change the view and wake everyone who watches."""
        self.view = replace(self.view, **changes, revision=self.view.revision + 1)
        self._changed.set()
        self._changed = asyncio.Event()

    async def watch(self, since: str | None, patience: float) -> LoginView:
        """Return the view: at once where it is past `since`, else with its next change.

        `since` is a state's name or a revision's number. After `patience` seconds the view is
        returned as it is.
        """
        known = {self.view.state.value, str(self.view.revision)}
        if since in known and not self.view.state.over:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(patience):
                    await self._changed.wait()
        return self.view

    def offer(self, inputs: Mapping[str, Secret]) -> None:
        """Take what the person typed. Raises InvalidRequestError for what nobody asked."""
        asked = {prompt.name for prompt in self.view.prompts}
        unknown = sorted(set(inputs) - asked)
        if unknown or not inputs:
            message = f"this {self.view.purpose} does not ask for {', '.join(unknown) or 'nothing'}"
            hint = f"it asks for: {', '.join(sorted(asked)) or 'nothing now'}"
            raise InvalidRequestError(message, hint=hint)
        try:
            self._inputs.put_nowait(dict(inputs))
        except asyncio.QueueFull:
            message = f"this {self.view.purpose} has more answers than it can read"
            raise InvalidRequestError(message) from None
        if self.view.state is LoginState.AWAITING_INPUT:
            # Here and not where it is read: the answer to this must not ask the same again.
            self.update(state=LoginState.WORKING, prompts=())

    def forget(self) -> None:
        """Let go of what the person typed: the work is over, and the view stays for a while."""
        self.preset.clear()
        while not self._inputs.empty():
            self._inputs.get_nowait()
        if self.view.notice is not None:
            self.view.notice.__traceback__ = self.view.notice.__context__ = None

    async def answers(self) -> dict[str, Secret]:
        """Wait for what the person types next."""
        return await self._inputs.get()
