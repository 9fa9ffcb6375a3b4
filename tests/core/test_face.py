"""What a tool's own words mean, and how the agent words things in a tool's way."""

import json
from dataclasses import dataclass, field
from importlib.resources import files

import msgspec
import pytest

from tool_agentd.api import wording
from tool_agentd.broker.login import LoginState, LoginView
from tool_agentd.definition import face as own_words
from tool_agentd.definition.decode import decode
from tool_agentd.definition.face import Form, Meaning
from tool_agentd.definition.faces import Face, Output
from tool_agentd.definition.vocabulary import ToolDefinition
from tool_agentd.errors import (
    AgentError,
    InvalidRequestError,
    LoginRequiredError,
    ProviderError,
    TemporarilyUnavailableError,
)
from tool_agentd.model import AccountKey, Identity

FACE = msgspec.convert(
    {
        "command": "acme",
        "word": [
            {"words": "login", "do": "login", "method": "browser", "flags": {"--key": "api-key"}},
            {
                "words": "auth login",
                "do": "login",
                "flags": {"--auth-key": "auth-key", "-k": "auth-key", "--device": "device"},
                "options": {"--auth-key": "auth_key", "-k": "auth_key", "--method": "method"},
            },
            {"words": "key", "do": "list-keys"},
            {"words": "key create", "do": "issue-key", "arguments": ["label"]},
            {"words": "key issue", "do": "issue-key", "options": {"--label": "label"}},
            {"words": "key revoke", "do": "revoke-key", "arguments": ["id"]},
            {
                "words": "invite",
                "do": "action",
                "action": "invite",
                "arguments": ["email"],
                "options": {"--role": "role"},
                "hint": "Sign in before you invite.",
            },
            {"words": "whoami", "do": "whoami", "hint": "nobody"},
        ],
    },
    Face,
)


@dataclass(frozen=True)
class Case:
    """A command line and what it means."""

    line: str
    words: str
    method: str | None = None
    values: dict[str, str] = field(default_factory=dict)
    form: Form | None = None


CASES = [
    Case("login", "login"),
    Case("login --key", "login", "api-key"),
    Case("login --json --key", "login", "api-key", form="json"),
    Case("--json login", "login", form="json"),
    Case("auth --human login", "auth login", form="human"),
    Case("auth login --json --human", "auth login", form="human"),
    Case("auth login --auth-key=ena_x", "auth login", "auth-key", {"auth_key": "ena_x"}),
    Case("auth login --auth-key ena_x", "auth login", "auth-key", {"auth_key": "ena_x"}),
    Case("auth login -k ena_x", "auth login", "auth-key", {"auth_key": "ena_x"}),
    Case("auth login --auth-key -", "auth login", "auth-key", {"auth_key": "-"}),
    Case("auth login --auth-key=--x=y", "auth login", "auth-key", {"auth_key": "--x=y"}),
    Case("auth login --device", "auth login", "device"),
    Case("auth login --method password", "auth login", "password"),
    Case("key", "key"),
    Case("key create ci", "key create", values={"label": "ci"}),
    Case("key --json create ci", "key create", values={"label": "ci"}, form="json"),
    Case("key create -- --odd", "key create", values={"label": "--odd"}),
    Case("key issue --label laptop-dev", "key issue", values={"label": "laptop-dev"}),
    Case("key issue --label=laptop-dev", "key issue", values={"label": "laptop-dev"}),
    Case("invite a@b --role member", "invite", values={"email": "a@b", "role": "member"}),
    Case("invite --role=member a@b", "invite", values={"email": "a@b", "role": "member"}),
    Case("invite", "invite"),
    Case("whoami --human", "whoami", form="human"),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.line)
def test_words_have_a_meaning(case: Case) -> None:
    """The longest match counts; options in both spellings; the form anywhere."""
    found = own_words.meaning(FACE, case.line.split())
    assert found is not None
    told = (found.word.words, found.method, found.values, found.form, found.help)
    assert told == (case.words, case.method, case.values, case.form, False)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "push idea --json",
        "auth",
        "auth status",
        "--verbose login",
        "--json",
        "logi",
        "-k",
        "--",
    ],
)
def test_other_words_are_for_the_real_tool(line: str) -> None:
    """What is none of the auth words means nothing here."""
    assert own_words.meaning(FACE, line.split()) is None


@pytest.mark.parametrize(
    ("line", "detail"),
    [
        ("login --what", "'acme login' has no option --what"),
        ("login --key=1", "--key takes no value"),
        ("login --json=1", "--json takes no value"),
        ("login nrp_secret", "'acme login' takes no argument, and more are given"),
        ("key create a nrp_secret", "'acme key create' takes one argument, and more are given"),
        ("key create", "'acme key create' needs a label"),
        ("key issue", "'acme key issue' needs a label"),
        ("key revoke", "'acme key revoke' needs an id"),
        ("key issue --label", "--label needs a value: --label=VALUE"),
        ("key issue --label --json", "--label needs a value: --label=VALUE"),
        ("key issue --label=", "the value of --label is empty"),
        ("key issue --label a --label b", "--label is given twice, with different values"),
        ("auth login --device --auth-key=x", "ask for different ways to sign in"),
        ("whoami --help=x", "--help takes no value"),
    ],
)
def test_a_slip_is_said_in_clear_words(line: str, detail: str) -> None:
    """It is the command's own usage that is shown, and never a value, which may be a secret."""
    with pytest.raises(InvalidRequestError) as caught:
        own_words.meaning(FACE, line.split())
    assert detail in caught.value.detail
    assert "nrp_secret" not in caught.value.detail
    assert (caught.value.hint or "").startswith("usage: acme ")


@pytest.mark.parametrize("line", ["login --help", "login -h", "key create --help a b", "key -h"])
def test_help_is_only_help(line: str) -> None:
    """With --help nothing is done, and nothing else is minded."""
    found = own_words.meaning(FACE, line.split())
    assert found is not None
    assert found.help


def test_a_meaning_does_not_show_its_values() -> None:
    """One of the values may be a key."""
    found = own_words.meaning(FACE, ["auth", "login", "--auth-key=ena_secret"])
    assert "ena_secret" not in repr(found)


def test_usage_names_everything_that_a_command_takes() -> None:
    """Options with and without values, and what must be there."""
    usages = {word.words: own_words.usage(FACE, word) for word in FACE.word}
    assert usages["key create"] == "acme key create LABEL [--json | --human]"
    assert usages["invite"] == "acme invite [--role=ROLE] [EMAIL] [--json | --human]"
    assert "[--device]" in usages["auth login"]
    assert "[--auth-key=AUTH_KEY]" in usages["auth login"]


@pytest.mark.parametrize(
    ("method", "asked", "form"),
    [
        (None, None, "human"),
        ("browser", None, "human"),
        ("api-key", None, "json"),
        ("api-key", "human", "human"),
        ("browser", "json", "json"),
    ],
)
def test_the_form_goes_by_the_login_method(method: str, asked: Form, form: Form) -> None:
    """Either flag overrides the default."""
    output = Output(default="human", by_method={"api-key": "json"})
    assert own_words.output_form(output, method, asked) == form


# -- the pages ------------------------------------------------------------------------------------

PAGES: dict[str, list[tuple[str, str, str | None, dict[str, str]]]] = {
    "cre": [
        ("login", "login", "browser", {}),
        ("logout", "logout", None, {}),
        ("whoami", "whoami", None, {}),
    ],
    "libretto": [
        ("cloud auth signup", "action", None, {}),
        ("cloud auth login", "login", "browser", {}),
        ("cloud auth forgot-password", "action", None, {}),
        ("cloud auth logout", "logout", None, {}),
        ("cloud auth whoami", "whoami", None, {}),
        (
            "cloud auth invite teammate@example.com --role member",
            "action",
            None,
            {"email": "teammate@example.com", "role": "member"},
        ),
        (
            "cloud auth accept-invite acme inv_1",
            "action",
            None,
            {"tenant_slug": "acme", "invitation_id": "inv_1"},
        ),
        ("cloud auth api-key issue --label laptop-dev", "issue-key", None, {"label": "laptop-dev"}),
        ("cloud auth api-key list", "list-keys", None, {}),
        ("cloud auth api-key revoke key_1", "revoke-key", None, {"id": "key_1"}),
    ],
    "nrepo": [
        ("login", "login", "browser", {}),
        ("login --api-key", "login", "api-key", {}),
        ("logout", "logout", None, {}),
        ("whoami", "whoami", None, {}),
        ("key list", "list-keys", None, {}),
        ("key create ci", "issue-key", None, {"label": "ci"}),
        ("key revoke 7", "revoke-key", None, {"id": "7"}),
    ],
    "encore": [
        ("auth login", "login", "device", {}),
        ("auth login --auth-key=ena_n", "login", "auth-key", {"auth_key": "ena_n"}),
        ("auth logout", "logout", None, {}),
        ("auth whoami", "whoami", None, {}),
    ],
}
"""Each auth command of each page: what it does, by which login method, with which values."""

OTHERS = {
    "cre": ["account access", "workflow deploy x", "--help", "version"],
    "libretto": ["open https://x.example", "cloud deploy", "cloud auth"],
    "nrepo": ['push "Automated idea" --body "From CI pipeline"', "key", "push --json"],
    "encore": ["run", "app create", "auth"],
}


def definition(tool: str) -> ToolDefinition:
    """Return a definition as it ships."""
    text = (files("tool_agentd") / "tools" / f"{tool}.toml").read_text()
    return decode(text, f"{tool}.toml")


@pytest.mark.parametrize("tool", PAGES)
def test_every_command_of_a_page_is_known(tool: str) -> None:
    """Word for word as the page has it, and done as the page says."""
    found = definition(tool)
    assert found.face is not None
    told = []
    for line, *_ in PAGES[tool]:
        meaning = own_words.meaning(found.face, line.split())
        assert meaning is not None, line
        chosen = meaning.method or own_words.method_for(found.login, meaning.values)
        told.append((line, meaning.word.do, chosen or meaning.word.method, meaning.values))
        if meaning.word.do == "login":
            assert told[-1][2] in found.login
        if meaning.word.do == "action":
            action = found.action[meaning.word.action or ""]
            asked = {ask.name for step in action.step for ask in step.ask}
            assert asked.issuperset(meaning.values)
    assert told == PAGES[tool]


@pytest.mark.parametrize("tool", OTHERS)
def test_every_other_command_is_the_real_tools(tool: str) -> None:
    """Only auth words go to the agent."""
    face = definition(tool).face
    assert face is not None
    for line in OTHERS[tool]:
        assert own_words.meaning(face, line.split()) is None, line


def test_a_value_chooses_the_login_that_asks_for_it() -> None:
    """The secrets among the values are known too: they are warned of on a command line."""
    logins = definition("encore").login
    assert own_words.method_for(logins, {"auth_key": "ena_x"}) == "auth-key"
    assert own_words.method_for(logins, {"other": "x"}) is None
    assert own_words.method_for(logins, {}) is None
    assert own_words.secrets_of(logins, "auth-key") == {"auth_key"}
    assert own_words.method_for(definition("nrepo").login, {"secret": "nrp_x"}) == "api-key"
    assert own_words.secrets_of(definition("nrepo").login, "api-key") == {"secret"}
    assert own_words.secrets_of(logins, "device") == frozenset()
    assert own_words.secrets_of(logins, None) == frozenset()


# -- the tool's own words for what goes wrong ------------------------------------------------------

NOBODY = LoginRequiredError("acme is not signed in", hint="run 'tool-agent login acme'")
REFUSED = ProviderError("too many keys", status=422)
DOWN = TemporarilyUnavailableError("cannot reach acme.example")

WORDED = msgspec.structs.replace(
    FACE,
    messages={"login_required": "Error: run acme login", "other": "Error: {detail} {hint}"},
    exit={"login_required": 7},
)
JSON = msgspec.structs.replace(
    FACE,
    json_errors=True,
    codes={
        "login_required": "auth_required",
        "http": "http_{status}",
        "temporarily_unavailable": "network_error",
    },
)


def test_an_error_without_a_wording_is_in_ours() -> None:
    """It says who speaks, and what to do next; the exit status is 1."""
    told = wording.failure(FACE, NOBODY, "human")
    assert told.err == "tool-agent: acme is not signed in\nhint: run 'tool-agent login acme'\n"
    assert (told.out, told.exit) == ("", 1)
    assert wording.failure(FACE, DOWN, "json").err == "tool-agent: cannot reach acme.example\n"


def test_an_error_is_in_the_tools_words() -> None:
    """By its code, else by the text for all others; the exit status by its code, else 1."""
    assert wording.failure(WORDED, NOBODY, "human").err == "Error: run acme login\n"
    assert wording.failure(WORDED, NOBODY, "human").exit == 7
    assert wording.failure(WORDED, REFUSED, "human").err == "Error: too many keys\n"
    assert wording.failure(WORDED, REFUSED, "human").exit == 1


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (NOBODY, "auth_required"),
        (REFUSED, "http_422"),
        (DOWN, "network_error"),
        (TemporarilyUnavailableError("busy", status=503), "http_503"),
        (InvalidRequestError("no"), "unknown"),
    ],
)
def test_json_errors_have_the_tools_codes(error: AgentError, code: str) -> None:
    """In JSON mode stderr is `{error, code}`, and stdout is empty."""
    told = wording.failure(JSON, error, "json")
    assert json.loads(told.err) == {"error": error.detail, "code": code}
    assert (told.out, told.exit) == ("", 1)
    assert not wording.failure(JSON, error, "human").err.startswith("{")


def test_a_commands_own_hint_comes_first() -> None:
    """To `whoami` "nobody" is an answer; to any other command it is an error."""
    by_name: dict[str, Meaning | None] = {
        line: own_words.meaning(WORDED, line.split()) for line in ("whoami", "invite", "key")
    }
    told = {
        line: wording.failure(WORDED, NOBODY, "human", meaning.word)
        for line, meaning in by_name.items()
        if meaning is not None
    }
    assert (told["whoami"].out, told["whoami"].exit) == ("nobody\n", 0)
    assert (told["invite"].err, told["invite"].exit) == ("Sign in before you invite.\n", 7)
    assert told["key"].err == "Error: run acme login\n"


def view(**changes: object) -> LoginView:
    """Return a login that is over."""
    fields: dict[str, object] = {
        "id": "l1",
        "tool": "acme",
        "key": AccountKey("acme", "default"),
        "method": "browser",
        "title": "Acme",
        "expires_at": 0.0,
        "state": LoginState.DONE,
        "identity": Identity("alice@example.com"),
        "text": "Logged in as alice@example.com",
    }
    return LoginView(**(fields | changes))  # type: ignore[arg-type]  # the fields vary


def test_a_login_that_is_over_is_printed_in_each_form() -> None:
    """The client prints what the agent says, in the form that its command has."""
    told = wording.outcome(JSON, view())
    assert told is not None
    human = {"stdout": "Logged in as alice@example.com\n", "stderr": "", "exit": 0}
    assert told["human"] == human
    assert json.loads(told["json"]["stdout"])["name"] == "alice@example.com"


def test_a_login_that_fails_is_printed_in_each_form() -> None:
    """As an error at once would have been."""
    told = wording.outcome(JSON, view(state=LoginState.FAILED, error=DOWN))
    assert told is not None
    assert json.loads(told["json"]["stderr"])["code"] == "network_error"
    assert told["human"]["stderr"] == "tool-agent: cannot reach acme.example\n"
    assert told["human"]["exit"] == 1


def test_an_action_that_fails_has_its_commands_hint() -> None:
    """An action that nobody is signed in for says what its command says."""
    failed = view(state=LoginState.FAILED, error=NOBODY, purpose="action", method="invite")
    told = wording.outcome(WORDED, failed)
    assert told is not None
    assert told["human"]["stderr"] == "Sign in before you invite.\n"


def test_a_login_under_way_prints_nothing_yet() -> None:
    """And one of a tool without words of its own never does."""
    assert wording.outcome(FACE, view(state=LoginState.WORKING)) is None
    assert wording.outcome(None, view()) is None
