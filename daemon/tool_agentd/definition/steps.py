"""Steps: what a login or an action does, one after another: ask, send, take, wait.

A step is a table and no program. Its parts happen in the order in which they stand here: `when`
decides whether it happens at all, `ask` asks the person, `request` is sent and its answer read,
`until` repeats it, `expect` checks, `open` sends the person to a page, `say` tells them something.

Values have names. The person gives some (`ask`), the platform others (`take`, `take_secret`,
`take_cookie`), and `{name}` uses them in every later text. A value that is a secret can stand in
headers, bodies and `open`, and nowhere that is printed. `{signed_in}` is `true` or `false`.
"""

from typing import Literal

from tool_agentd.definition.table import Request, Table


class Ask(Table, frozen=True, kw_only=True):
    """A value that the person gives: as an argument, by an option, or at a prompt."""

    name: str
    label: str
    """The prompt, as the tool words it."""
    secret: bool = False
    default: str | None = None
    """Taken for an empty answer; may use values asked before: `{email}`."""
    form: Literal["slug"] | None = None
    """What becomes of the answer, and of the default: `slug` makes `Acme Inc.` `acme-inc`."""
    option: str | None = None
    """How it is given on a command line: `--role`. With a default it is not asked for."""
    argument: bool = False
    """Whether it is given as an argument; several stand in the order of the asks."""
    choices: list[str] = []
    """The only answers, where there are only some."""
    pattern: str | None = None
    """A regular expression that the whole answer must match before it leaves the machine."""
    shape: str | None = None
    """The pattern in a person's words."""


class OnError(Table, frozen=True, kw_only=True):
    """What an answer that is an error means. Every condition that is given must hold."""

    status: int | None = None
    code: str | None = None
    reason: str | None = None
    contains: str | None = None
    """A part of the error's text."""
    ask: list[str] = []
    """Names of asks of this step: they alone are asked again, and the request is sent again."""
    ignore: bool = False
    """Go on as if it had gone well."""
    say: str | None = None
    """The error in the tool's words; the platform's own text otherwise."""
    hint: str | None = None


class Until(Table, frozen=True, kw_only=True):
    """The request is repeated until a value that it takes is one of these."""

    value: str
    equals: list[str]
    stop: dict[str, str] = {}
    """Value -> the error that it means."""
    every: str = "2s"
    timeout: str = "10m"
    patient: str | None = None
    """After the timeout this is said, and the next step follows. Without it the login fails."""
    awaits: str | None = None
    """What is waited for, in the person's words: `the confirmation of your email`."""


class Expect(Table, frozen=True, kw_only=True):
    """A value must be so, or nothing further is done."""

    value: str
    equals: str | None = None
    """May use other values: `{slug}`."""
    empty: bool | None = None
    say: str
    hint: str | None = None


class Step(Table, frozen=True, kw_only=True):
    """One step; see the module."""

    when: dict[str, str] = {}
    """Value -> what it must be for this step to happen: `{ signed_in = "true" }`."""
    ask: list[Ask] = []
    request: Request | None = None
    carries: str | list[str] | None = None
    """The id of the credential that signs the request, or the ids of several, the first one that
    is there counting; its headers are added."""
    take: dict[str, str] = {}
    """Name -> dotted path into the JSON answer; absent and null are empty."""
    take_secret: dict[str, str] = {}
    take_cookie: str | None = None
    """The name under which the answer's Set-Cookie headers are kept, as one Cookie header."""
    on_error: list[OnError] = []
    until: Until | None = None
    expect: list[Expect] = []
    open: str | None = None
    """An address that the person is sent to, with their browser."""
    say: str | None = None
    """A line for the person, on the way."""
    saves: bool = False
    """Once this step is done the session is stored already; later steps may take more of it."""


class Obtain(Table, frozen=True, kw_only=True):
    """Which values make the session that a login brings; each text is a value's name."""

    secret: str | None = None
    """A platform session (a cookie), or a key: it rests in the store as it is."""
    access_token: str | None = None
    refresh_token: str | None = None
    expires_at: str | None = None
    """ISO 8601 or Unix seconds: the end of the access token, or of the session itself."""
    expires_in: str | None = None
    """Seconds."""
    name: str | None = None
    """Whom the person recognises: an email address."""
    subject: str | None = None
    keep: list[str] = []
    """Plain values that stay with the grant, for whoami and for files."""
