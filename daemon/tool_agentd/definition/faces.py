"""The face of a tool: its own words and messages, for `tool-agent as` and the shims."""

from typing import Literal

from tool_agentd.definition.steps import Step
from tool_agentd.definition.table import Request, Table


class Action(Table, frozen=True, kw_only=True):
    """Something that the tool offers besides: signing up, inviting somebody."""

    title: str
    step: list[Step]
    text: str | None = None
    """What is printed when it is done; `{name}` uses plain values."""
    login: str | None = None
    """The login method whose session it brings, with `login.<method>.obtain` naming the values.
    Only where the values are there: an action that is done while signed in brings none."""


class KeyList(Table, frozen=True, kw_only=True):
    """How issued keys are listed; the texts are dotted paths."""

    request: Request
    items: str = ""
    """Path to the array; empty: the answer is the array."""
    id: str = "id"
    label: str = "name"
    created: str = "created_at"


class KeyIssue(Table, frozen=True, kw_only=True):
    """How a key is issued; `{label}` is what the person calls it."""

    request: Request
    key: str = "key"
    id: str = "id"
    label: str = "name"
    created: str = "created_at"


class KeyRevoke(Table, frozen=True, kw_only=True):
    """How a key is revoked; `{id}` is its id."""

    request: Request


class ApiKeys(Table, frozen=True, kw_only=True):
    """API keys that the platform issues: printed once and never stored."""

    accepts: list[str] = []
    """Ids of the credentials that may manage keys."""
    listing: KeyList | None = None
    issue: KeyIssue | None = None
    revoke: KeyRevoke | None = None
    variable: str | None = None
    """The variable that an issued key belongs in, for `--write-env`."""
    create_url: str | None = None
    """Where keys are made by hand."""
    steps: list[str] = []
    """What the person does there, in the platform's words."""


class Output(Table, frozen=True, kw_only=True):
    """The form of what is printed, where neither --json nor --human is given."""

    default: Literal["human", "json"] = "human"
    by_method: dict[str, Literal["human", "json"]] = {}
    """Login method -> form."""


class Word(Table, frozen=True, kw_only=True):
    """One of the tool's own commands, and what it means here."""

    words: str
    """`cloud auth api-key issue`; the longest match counts."""
    do: Literal["login", "logout", "whoami", "issue-key", "list-keys", "revoke-key", "action"]
    action: str | None = None
    method: str | None = None
    """The login method."""
    flags: dict[str, str] = {}
    """Option without a value -> the login method that it chooses: `--api-key`."""
    options: dict[str, str] = {}
    """Option with a value -> the name of the value: `--label` gives `label`. A value that a login
    method asks for chooses that method, as does an option that stands in `flags` too; a value
    named `method` names it."""
    arguments: list[str] = []
    """Names of the values that are given as arguments, in order."""
    text: str | None = None
    """What the command prints when it is done, instead of ours; `{name}` uses values of the
    outcome: `{name}` `{account}`, `{key}`, `{id}`, `{label}`."""
    hint: str | None = None
    """What the tool says to a person who is not signed in, for this command alone. To a `whoami`
    this is an answer like any other: on stdout, with exit status 0."""


class Face(Table, frozen=True, kw_only=True):
    """The tool's commands, and how it words what goes wrong."""

    command: str
    """The program's name on PATH; the shim is called so."""
    word: list[Word] = []
    messages: dict[str, str] = {}
    """Error code (`login_required`, ...) -> the whole text on stderr; `{detail}` and `{hint}`.
    `other` stands for every code that is not there."""
    codes: dict[str, str] = {}
    """Error code -> what JSON errors call it. `http` stands for an answer of the platform's, with
    its `{status}`; `other` for every code that is not there."""
    json_errors: bool = False
    """Whether errors are `{error, code}` in JSON mode."""
    exit: dict[str, int] = {}
    """Error code, or `other` -> exit status; 1 otherwise."""
