"""The interpreter of steps: asks, sends, takes, waits, one step after another.

Everything that a step may do is in `definition.steps`; nothing here knows a tool.
"""

import re
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from urllib.parse import quote

from tool_agentd.broker.asking import Asking
from tool_agentd.broker.login import Login, LoginState
from tool_agentd.broker.replies import BUSY_PAUSE, Reply, matching, read_reply, refusal
from tool_agentd.broker.values import Values
from tool_agentd.definition import duration, select
from tool_agentd.definition.address import AddressError, origin_of
from tool_agentd.definition.steps import Expect, OnError, Step, Until
from tool_agentd.definition.vocabulary import ToolDefinition
from tool_agentd.errors import (
    AgentError,
    ConfigurationError,
    InvalidRequestError,
    ProviderError,
    TemporarilyUnavailableError,
)
from tool_agentd.model import HttpReply, HttpRequest, Instant
from tool_agentd.ports import Clock, Http
from tool_agentd.secret import Secret

USER_CODE = "user_code"
"""The name of a plain value that is shown beside the address of `open`, for the person to
compare or to enter."""


Sign = Callable[[Collection[str], HttpRequest, Collection[str]], Awaitable[HttpReply]]
"""Sends a request with the account's credential of one of these ids, the first that is there, to
one of these origins; raises LoginRequiredError where there is none."""


class Walk:
    """One way through steps: a login's, an action's, or a part of another flow.

    `allowed` are the origins that may receive what the person typed. `preset` are answers that
    were given in advance, each good for one question. `sent` is when the request was sent whose
    answer came last. `sign` sends those that carry the account's credential; no login has it.
    """

    def __init__(  # noqa: PLR0913 - what a step may touch
        self,
        http: Http,
        clock: Clock,
        tool: ToolDefinition,
        login: Login,
        *,
        allowed: Collection[str],
        preset: Mapping[str, str | Secret] | None = None,
        sign: Sign | None = None,
    ) -> None:
        """Take the parts."""
        self._http = http
        self._clock = clock
        self._tool = tool
        self._login = login
        self._allowed = frozenset(allowed)
        self._asking = Asking(login, preset or {})
        self._sign = sign
        self.sent: Instant = clock.now()

    async def run(self, step: Step, values: Values) -> None:
        """Do one step; `values` has afterwards what the person gave and the platform answered.

        Raises InvalidRequestError or ProviderError for what cannot be, LoginRequiredError where a
        request carries a credential that the account does not have, CancelledError where the wait
        is over, TemporarilyUnavailableError for a network that fails.
        """
        if not holds(step, values):
            return
        for ask in step.ask:
            await self._asking.ask(ask, values)
        if step.request is not None:
            if step.until is None:
                await self._exchange(step, values)
            else:
                await self._wait(step, step.until, values)
        for expect in step.expect:
            self._expect(expect, values)
        if step.open is not None:
            self._open(step.open, values)
        if step.say is not None:
            self._say(values.shown(step.say))

    # -- requests --------------------------------------------------------------------------------

    async def _exchange(self, step: Step, values: Values) -> None:
        """Send the request until its answer is none that the person can put right."""
        while True:
            reply = await self._send(step, values)
            if reply.ok:
                break
            found = matching(step.on_error, reply)
            if found is None or not found.ask:
                if found is not None and found.ignore:
                    break
                raise self._refusal(step, found, reply, values)
            error = self._refusal(step, found, reply, values)
            for ask in step.ask:
                if ask.name in found.ask:
                    await self._asking.again(ask, values, error)
        self._take(step, reply, values)

    async def _send(self, step: Step, values: Values) -> Reply:
        assert step.request is not None  # noqa: S101 - looked at by both callers
        request = values.request(step.request)
        if step.carries is None:
            reply = await self._http.send(request, allowed=self._allowed)
        elif self._sign is None:
            message = "a request that carries a credential does not belong in a login"
            raise ConfigurationError(message)
        else:
            wanted = (step.carries,) if isinstance(step.carries, str) else step.carries
            reply = await self._sign(wanted, request, self._allowed)
        self.sent = reply.sent
        return read_reply(reply, self._tool.errors)

    def _take(self, step: Step, reply: Reply, values: Values) -> None:
        for name, path in step.take.items():
            values.put_json(name, select.path(reply.body, path))
        for name, path in step.take_secret.items():
            values.put_secret(name, select.path(reply.body, path))
        if step.take_cookie is not None:
            pairs = (f"{name}={one.reveal()}" for name, one in reply.cookies.items() if one)
            values.put(step.take_cookie, Secret("; ".join(pairs)))

    def _refusal(
        self, step: Step, found: OnError | None, reply: Reply, values: Values
    ) -> AgentError:
        say = values.shown(found.say) if found is not None and found.say else ""
        hint = values.shown(found.hint) if found is not None and found.hint else None
        if found is not None and found.ask:
            text = say or reply.text or f"{self._tool.title} answered HTTP {reply.status}"
            return InvalidRequestError(text, hint=hint, status=reply.status)
        if say:
            return ProviderError(say, hint=hint, status=reply.status)
        return refusal(self._tool, reply, hint, carried=step.carries is not None)

    # -- waiting ---------------------------------------------------------------------------------

    async def _wait(self, step: Step, until: Until, values: Values) -> None:
        """Repeat the request until a value is what is awaited, or the time is over."""
        begun = self._clock.now()
        patience = duration.seconds(until.timeout)
        pause = duration.seconds(until.every)
        before = self._login.view.expires_at
        self._login.update(
            state=LoginState.AWAITING_BROWSER if self._login.view.url else LoginState.WORKING,
            awaits=values.shown(until.awaits or ""),
            expires_at=min(before, begun.wall + patience),
        )
        trouble: TemporarilyUnavailableError | None = None
        polls = 0
        while True:
            slower = 0.0
            try:
                await self._exchange(step, values)
                trouble = None
            except TemporarilyUnavailableError as error:
                if not polls:  # it has never worked: nothing says that it ever will
                    raise
                trouble, slower = error, BUSY_PAUSE
            polls += 1
            value = values.text(until.value)
            if trouble is None and value in until.equals:
                break
            if trouble is None and value in until.stop:
                raise ProviderError(values.shown(until.stop[value]))
            if begun.until(self._clock.now()) + pause + slower > patience:
                self._give_up(until, values, trouble)
                break
            await self._clock.pause(pause + slower)
        self._login.update(
            state=LoginState.WORKING, url=None, user_code=None, awaits="", expires_at=before
        )

    def _give_up(
        self, until: Until, values: Values, trouble: TemporarilyUnavailableError | None
    ) -> None:
        if until.patient is not None:
            self._say(values.shown(until.patient))
            return
        if trouble is not None:
            raise trouble
        what = values.shown(until.awaits or "") or "the answer"
        message = f"{what} did not come within {duration.seconds(until.timeout):.0f} s"
        raise ProviderError(message, hint="start it again")

    # -- the rest --------------------------------------------------------------------------------

    def _expect(self, expect: Expect, values: Values) -> None:
        good = True
        if expect.empty is not None:
            good = values.empty(expect.value) is expect.empty
        if good and expect.equals is not None:
            good = values.text(expect.value) == values.shown(expect.equals)
        if not good:
            hint = values.shown(expect.hint) if expect.hint else None
            raise ProviderError(values.shown(expect.say), hint=hint)

    def _open(self, template: str, values: Values) -> None:
        address = address_of(template, values, self._allowed)
        self._login.update(
            state=LoginState.AWAITING_BROWSER,
            url=address,
            user_code=values.text(USER_CODE) or None,
        )

    def _say(self, line: str) -> None:
        if line:
            self._login.update(said=(*self._login.view.said, line))


def holds(step: Step, values: Values) -> bool:
    """Tell whether every condition of a step is met; a value that is not there is empty."""
    return all(values.text(name) == wanted for name, wanted in step.when.items())


def patience_of(steps: Iterable[Step]) -> float:
    """Return how many seconds the waits of some steps may take together."""
    return sum(duration.seconds(step.until.timeout) for step in steps if step.until is not None)


def address_of(template: str, values: Values, allowed: Collection[str]) -> str:
    """Return an address for the person's browser; values in it are percent-encoded.

    One that holds a secret is of an origin that may have it. A template that is one placeholder
    is an address that the platform has made itself.

    Raises ConfigurationError or ProviderError.
    """
    whole = re.fullmatch(r"\{([a-z][a-z0-9_]*)\}", template)
    secret = False
    if whole is not None:
        address = values.text(whole[1])
    else:
        quoted = Values()
        for name, value in values.items():
            quoted.put(name, quote(value.reveal() if isinstance(value, Secret) else value, safe=""))
            secret = secret or (isinstance(value, Secret) and f"{{{name}}}" in template)
        filled = quoted.fill(template)
        address = filled if isinstance(filled, str) else filled.reveal()
    try:
        origin = origin_of(address)
    except AddressError as error:
        message = f"the page to open is {error}"
        raise ProviderError(message) from None
    if secret and origin not in allowed:
        message = f"the page to open at {origin} would get a secret, and is not among the origins"
        raise ConfigurationError(message, hint="add it to `origins` in the tool definition")
    return address
