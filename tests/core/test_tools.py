"""The definitions that ship: each is whole, goes where it may, and says what its page says."""

from importlib import resources

import pytest

from tool_agentd.definition import face as own_words
from tool_agentd.definition.address import origin_of
from tool_agentd.definition.credentials import person_variables
from tool_agentd.definition.decode import FILE_MAX, decode
from tool_agentd.definition.explain import explain
from tool_agentd.definition.faces import Face
from tool_agentd.definition.flows import Device, LoopbackSecret, OAuthCode, Paste, Procedure
from tool_agentd.definition.resolve import resolve
from tool_agentd.definition.steps import Step
from tool_agentd.definition.vocabulary import ToolDefinition
from tool_agentd.errors import InvalidRequestError

TOOLS = ("cre", "encore", "libretto", "nrepo")
FAR = "http://127.0.0.1:8700"
ELSEWHERE = {
    "CRE_CLI_AUTH_BASE": FAR,
    "CRE_CLI_GRAPHQL_URL": f"{FAR}/graphql",
    "LIBRETTO_API_URL": FAR,
    "LIBRETTO_SITE_URL": FAR,
    "NREPO_API_URL": f"{FAR}/api/v1",
    "NREPO_SITE_URL": FAR,
    "ENCORE_PLATFORM_API_URL": FAR,
}


def text_of(name: str) -> str:
    """Return the file as it ships."""
    return (resources.files("tool_agentd") / "tools" / f"{name}.toml").read_text("utf-8")


def tool(name: str, environ: dict[str, str] | None = None) -> ToolDefinition:
    """Return the definition in force under an environment."""
    return resolve(decode(text_of(name), f"{name}.toml"), environ or {})


def face(name: str) -> Face:
    """Return the tool's own words."""
    found = tool(name).face
    assert found is not None
    return found


def test_these_and_no_others_ship() -> None:
    """A file that is added is tested here as well."""
    folder = resources.files("tool_agentd") / "tools"
    assert sorted(one.name for one in folder.iterdir() if one.name.endswith(".toml")) == [
        f"{name}.toml" for name in TOOLS
    ]


@pytest.mark.parametrize("name", TOOLS)
def test_each_says_where_its_facts_come_from(name: str) -> None:
    """`tool show` says that it is unofficial, read at a commit, and never run for real."""
    definition = tool(name)
    shown = " ".join(explain(definition, []).split())
    for words_ in ("unofficial; read from", "not run against the live service"):
        assert words_ in " ".join(definition.facts.split())
        assert words_ in shown
    assert "commit" in definition.facts
    assert len(text_of(name).encode()) < FILE_MAX / 2


ORIGINS = {
    "cre": ["https://login.chain.link", "https://api.cre.chain.link"],
    "encore": ["https://api.encore.dev"],
    "libretto": ["https://api.libretto.sh", "https://libretto.sh"],
    "nrepo": ["https://neuralrepo.com"],
}


@pytest.mark.parametrize("name", TOOLS)
def test_a_secret_goes_to_its_own_platform_only(name: str) -> None:
    """The origins are the platform's; an override adds its own and takes none away."""
    assert tool(name).origins == ORIGINS[name]
    assert tool(name, ELSEWHERE).origins == [*ORIGINS[name], FAR]


@pytest.mark.parametrize("name", TOOLS)
def test_an_override_moves_every_address(name: str) -> None:
    """Started with the practice platforms' variables, no address of the real ones is left."""
    definition = tool(name, ELSEWHERE)
    requests = [step.request for step in steps_of(definition) if step.request is not None]
    requests += [spec.request for spec in definition.cache.values()]
    requests += [one for spec in definition.identity.values() if (one := spec.request)]
    requests += [one for spec in definition.identity.values() if (one := spec.instead)]
    requests += definition.logout.revoke
    keys = definition.api_keys
    requests += [one.request for one in (keys.listing, keys.issue, keys.revoke) if one]
    assert requests
    assert {origin_of(request.url) for request in requests} == {FAR}
    for login in definition.login.values():
        if isinstance(login, OAuthCode) and login.authorize:
            assert login.authorize.startswith(FAR)
        if isinstance(login, Device):
            assert f"{login.authorization}".startswith(FAR)
        if isinstance(login, LoopbackSecret):
            assert login.open.startswith(FAR)
    for step in steps_of(definition):
        if step.open is not None:
            assert step.open.startswith(FAR)


def steps_of(definition: ToolDefinition) -> list[Step]:
    """Return every step of a definition."""
    found = [step for action in definition.action.values() for step in action.step]
    for login in definition.login.values():
        if isinstance(login, Procedure):
            found += login.step
        if isinstance(login, OAuthCode):
            found += [step for step in (login.begin, login.redeem) if step is not None]
    return found


METHODS = {
    "cre": ["browser", "api-key"],
    "encore": ["device", "browser", "auth-key"],
    "libretto": ["browser", "password", "api-key"],
    "nrepo": ["browser", "api-key"],
}


@pytest.mark.parametrize("name", TOOLS)
def test_the_first_login_is_the_tools_own_default(name: str) -> None:
    """`login` without a method is what the tool's own `login` does."""
    assert list(tool(name).login) == METHODS[name]


VARIABLES = {
    "cre": [("CRE_API_KEY", True)],
    "encore": [("ENCORE_AUTH_KEY", False)],
    "libretto": [("LIBRETTO_API_KEY", True)],
    "nrepo": [],
}


@pytest.mark.parametrize("name", TOOLS)
def test_the_persons_variable_counts_where_the_tool_has_it_count(name: str) -> None:
    """A key comes before the session, with Encore after; NeuralRepo's tool looks at none."""
    found = [(one.name, one.before_session) for one in person_variables(tool(name))]
    assert found == VARIABLES[name]


@pytest.mark.parametrize("step", steps_of(tool("libretto")))
def test_libretto_is_never_asked_without_its_origin(step: Step) -> None:
    """Each request states it: Better Auth refuses a call that does not."""
    assert step.request is None or step.request.headers["Origin"] == "https://api.libretto.sh"


def test_libretto_gets_its_origin_with_every_credential() -> None:
    """Identity and keys are asked with the credential's headers, the logout with its own."""
    definition = tool("libretto")
    for spec in definition.credential:
        assert spec.headers["Origin"] == "https://api.libretto.sh"
    assert definition.logout.revoke[0].headers["Origin"] == "https://api.libretto.sh"


COMMANDS = {
    "cre": ["login", "logout", "whoami"],
    "libretto": [
        "cloud auth signup",
        "cloud auth login",
        "cloud auth forgot-password",
        "cloud auth logout",
        "cloud auth whoami",
        "cloud auth invite teammate@example.com --role member",
        "cloud auth accept-invite example-org inv_1",
        "cloud auth api-key issue --label laptop-dev",
        "cloud auth api-key list",
        "cloud auth api-key revoke key_1",
    ],
    "nrepo": [
        "login",
        "login --api-key",
        "logout",
        "whoami",
        "whoami --json",
        "key list",
        "key create ci",
        "key revoke key_1",
    ],
    "encore": [
        "auth login",
        "auth login --auth-key=ena_nEQIkfeM43t7oxpleMsIULbhbtLAbYnnLf1D",
        "auth logout",
        "auth whoami",
    ],
}


@pytest.mark.parametrize(
    ("name", "line"), [(name, line) for name, lines in COMMANDS.items() for line in lines]
)
def test_every_command_of_the_page_is_one_of_the_tools_words(name: str, line: str) -> None:
    """As it stands there, with its options and arguments."""
    meant = own_words.meaning(face(name), line.split())
    assert meant is not None
    if meant.word.do == "action":
        assert meant.word.action in tool(name).action
    if meant.word.method is not None:
        assert meant.word.method in tool(name).login


def test_an_option_chooses_the_way_to_sign_in() -> None:
    """As the pages have it; without one it is the tool's default."""
    key = "ena_nEQIkfeM43t7oxpleMsIULbhbtLAbYnnLf1D"
    meant = own_words.meaning(face("encore"), ["auth", "login", f"--auth-key={key}"])
    assert meant is not None
    assert (meant.method, meant.values) == ("auth-key", {"auth_key": key})
    for given, method in (([], "browser"), (["--api-key"], "api-key")):
        meant = own_words.meaning(face("nrepo"), ["login", *given])
        assert meant is not None
        assert (meant.method or meant.word.method) == method


def test_the_real_tools_other_words_are_not_ours() -> None:
    """`cre workflow deploy` and `nrepo push` run the tool itself."""
    for name, line in (("cre", "workflow deploy"), ("nrepo", "push idea"), ("encore", "run")):
        assert own_words.meaning(face(name), line.split()) is None


def test_a_key_of_a_wrong_label_is_not_issued() -> None:
    """A page's command without what it needs says how it is used."""
    with pytest.raises(InvalidRequestError, match="needs a label"):
        own_words.meaning(face("libretto"), ["cloud", "auth", "api-key", "issue"])


def test_the_output_defaults_are_the_pages_table() -> None:
    """OAuth is for people, an API key for programs; either option overrides."""
    output = tool("nrepo").output
    assert own_words.output_form(output, "browser") == "human"
    assert own_words.output_form(output, "api-key") == "json"
    assert own_words.output_form(output, "api-key", "human") == "human"


NOT_LOGGED_IN = (
    "Error: failed to attach credentials: failed to load credentials:"
    " you are not logged in, try running cre login"
)


def test_a_person_who_is_not_signed_in_reads_what_the_tool_says() -> None:
    """CRE's error is on its page, word for word."""
    assert face("cre").messages["login_required"] == NOT_LOGGED_IN
    assert face("nrepo").codes["login_required"] == "auth_required"
    whoami = [word.hint for word in face("encore").word if word.do == "whoami"]
    assert whoami == ["not logged in."]


def test_the_prompt_for_a_key_is_the_pages() -> None:
    """NeuralRepo's is quoted there."""
    login = tool("nrepo").login["api-key"]
    assert isinstance(login, Paste)
    assert login.prompt == "Paste your API key (nrp_<64-hex-chars>): "


@pytest.mark.parametrize("name", ["cre", "encore", "nrepo"])
def test_where_keys_are_made_by_hand_the_steps_are_told(name: str) -> None:
    """The platform issues them on its site: the page's own steps are printed."""
    keys = tool(name).api_keys
    assert f"{keys.create_url}".startswith("https://")
    assert keys.steps
    assert keys.variable is not None
    assert keys.variable in {"CRE_API_KEY", "ENCORE_AUTH_KEY", "NEURALREPO_API_KEY"}


@pytest.mark.parametrize("name", TOOLS)
def test_no_file_of_a_tools_gets_what_renews_a_login(name: str) -> None:
    """The field is there where the tool wants one, and empty."""
    for spec in tool(name).file.values():
        assert "{refresh_token}" not in repr(spec.content)
        assert spec.in_place or spec.directory_env
