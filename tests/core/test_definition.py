"""Decoding definitions: what is right is taken as it stands, what is wrong is named exactly."""

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.acme import ACME, error_of
from tests.core.beta import BETA
from tool_agentd.definition import pattern
from tool_agentd.definition.decode import FILE_MAX, decode
from tool_agentd.definition.duration import seconds
from tool_agentd.definition.errors import DefinitionError, Finding
from tool_agentd.definition.flows import OAuthCode, Paste
from tool_agentd.definition.shape import mistakes
from tool_agentd.definition.vocabulary import EnvSource


def test_a_whole_definition_is_taken_as_it_stands() -> None:
    """Every table arrives with its types; placeholders stay."""
    definition = decode(ACME, "/etc/tools.d/acme.toml")
    browser, token = definition.login["browser"], definition.login["token"]
    assert isinstance(browser, OAuthCode)
    assert isinstance(token, Paste)
    assert (browser.loopback.host, browser.loopback.port) == ("localhost", 8976)
    assert browser.authorize == "{id}/authorize"
    assert definition.credential[0].source == EnvSource(env=["ACME_KEY"])
    assert definition.logout.revoke[0].method == "POST"
    assert definition.logout.revoke[0].url == "{id}/revoke"
    assert definition.provider_name == "acme"


NEAREST = [
    ("port = 8976", "prot = 8976", "port"),
    ('source = "session"', 'source = "sesion"', "session"),
    ('flow = "oauth_code"', 'flow = "oauth-code"', "oauth_code"),
    ("Key {secret}", "Key {secert}", "secret"),
    ('credential = "token"', 'credential = "tokne"', "token"),
    ('origins = ["https://id', 'orgins = ["https://id', "origins"),
    ('text = "{email} ({plan})"', 'name = "emial"', "email"),
]


@pytest.mark.parametrize(("old", "new", "word"), NEAREST)
def test_the_nearest_known_word_is_suggested(old: str, new: str, word: str) -> None:
    """A slip of the finger gets the word that was meant as a hint."""
    assert error_of(ACME.replace(old, new, 1)).hint == f"did you mean '{word}'?"


def test_every_mistake_is_found_at_once() -> None:
    """`tool check` can show all of them, and the first one is the error's text."""
    text = ACME.replace('path = "/callback"', 'path = "x"').replace("[422]", "[1]")
    error = error_of(text)
    keys = [finding.key for finding in error.findings]
    assert keys == ["login.browser.loopback.path", "refresh.fatal_status[0]"]
    assert error.detail == f"acme.toml: {error.findings[0]}"


def test_all_mistakes_together_are_one_text() -> None:
    """What `tool check` prints: each on a line with its hint; a single one is as it was."""
    text = ACME.replace("port = 8976", "prot = 8976").replace("fatal_status", "fatal_statuses")
    error = error_of(text)
    assert error.whole().detail.split("\n") == [
        "2 mistakes",
        f"acme.toml: {error.findings[0]} (did you mean 'port'?)",
        f"acme.toml: {error.findings[1]} (did you mean 'fatal_status'?)",
    ]
    alone = error_of(ACME.replace("port = 8976", "prot = 8976"))
    assert alone.whole() is alone
    many = error_of(ACME.replace("[422]", f"[{', '.join(['1'] * 30)}]"))
    assert many.whole().detail.endswith("\n20 more")


def test_the_search_for_mistakes_finds_none_where_there_is_none() -> None:
    """The walk that explains a wrong file has nothing to say about a right one."""
    assert mistakes(tomllib.loads(ACME)) == mistakes(tomllib.loads(BETA)) == ()


@pytest.mark.parametrize(
    ("text", "line", "column"), [("a = 1\nb = ]", 2, 5), ("a = 1\nb", 2, 2), ("x = [1,\n", 2, 1)]
)
def test_a_syntax_error_has_its_line_and_column(text: str, line: int, column: int) -> None:
    """Text that is no TOML is named by its place."""
    error = error_of(text)
    assert (error.findings[0].line, error.findings[0].column) == (line, column)
    start = f"acme.toml: line {line}, column {column}: found text that is not TOML ("
    assert error.detail.startswith(start)


def test_a_file_over_the_limit_is_refused_by_its_size() -> None:
    """64 KiB are enough for anybody's tool; the limit counts bytes."""
    assert error_of("#" + "é" * (FILE_MAX // 2)).detail == (
        f"acme.toml: found {FILE_MAX + 1} bytes; allowed: at most {FILE_MAX} bytes"
    )
    assert "schema" in error_of("#" * FILE_MAX).detail


@pytest.mark.parametrize("text", ["a = " + "[" * 20000, "a" + ".a" * 20000 + " = 1"])
def test_deep_nesting_is_an_error_and_no_crash(text: str) -> None:
    """Tables within tables without end are refused like any other mistake."""
    assert error_of(text).detail.startswith("acme.toml: ")


def test_a_value_is_shown_short_and_printable() -> None:
    """A message neither floods the terminal nor sends it control characters."""
    error = error_of(ACME.replace("[422]", '["' + "\\u001b" + "x" * 500 + '"]'))
    assert "\\u001b" in error.detail
    assert error.detail.isprintable()
    assert len(error.detail) < 200


@pytest.mark.parametrize(
    ("text", "expected"),
    [("500s", 500), ("10m", 600), ("1h", 3600), ("1.5h", 5400), ("250ms", 0.25), ("30d", 2592000)],
)
def test_a_duration_is_a_number_with_a_unit(text: str, expected: float) -> None:
    """Every unit in seconds."""
    assert seconds(text) == expected


@pytest.mark.parametrize(
    "text", ["", "s", "5", "5 s", "-5s", "1e3s", ".5s", "5.s", "5S", "5w", "٣s", "9999999d", "nans"]
)
def test_what_is_no_duration_is_refused(text: str) -> None:
    """No unit, no number, a sign, an exponent, another alphabet, or longer than ten years."""
    with pytest.raises(ValueError, match="allowed"):
        seconds(text)


@given(st.text())
def test_any_text_at_all_gets_a_definition_error(text: str) -> None:
    """Whatever a file says, the error is ours."""
    error_of(text)


@given(st.text(alphabet="[]{}=.,\"'\n#-+_:TZe0189abx\\"))
def test_any_text_of_tomls_signs_gets_a_definition_error(text: str) -> None:
    """The same with texts that come close to being TOML."""
    error_of(text)


@given(st.text(alphabet="()[]{}^$.*+?|\\,:<=!P0129ab-"))
def test_any_pattern_is_taken_or_refused(text: str) -> None:
    """Whatever stands in `pattern`, the check says yes or why not."""
    reason = pattern.problem(text)
    assert reason is None or reason.isprintable()


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12)
TREES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)


def toml(value: Any) -> str:  # noqa: ANN401 - any TOML value
    """Write a value as TOML on one line."""
    match value:
        case bool() | None:
            return "true" if value else "false"
        case str():
            return '"' + "".join(f"\\U{ord(sign):08x}" for sign in value) + '"'
        case dict():
            return (
                "{" + ", ".join(f"{toml(key)} = {toml(item)}" for key, item in value.items()) + "}"
            )
        case list():
            return "[" + ", ".join(toml(item) for item in value) + "]"
        case _:
            return repr(value)


def write(document: dict[str, Any]) -> str:
    """Write a document with every top-level value on a line of its own."""
    return "\n".join(f"{toml(key)} = {toml(value)}" for key, value in document.items())


def places(tree: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:  # noqa: ANN401 - as above
    """Return the path of every value below a tree."""
    items = (
        tree.items()
        if isinstance(tree, dict)
        else enumerate(tree)
        if isinstance(tree, list)
        else ()
    )
    return [found for key, item in items for found in [(*path, key), *places(item, (*path, key))]]


@given(st.data())
def test_a_definition_with_any_value_exchanged_is_right_or_gets_our_error(
    data: st.DataObject,
) -> None:
    """Any value of any type in any place: a definition, or an error with a key."""
    name, text = data.draw(st.sampled_from([("acme", ACME), ("beta", BETA)]))
    document = tomllib.loads(text)
    path = data.draw(st.sampled_from(places(document)))
    holder: Any = document
    for part in path[:-1]:
        holder = holder[part]
    holder[path[-1]] = data.draw(TREES)
    wrong: tuple[Finding, ...] | None = None
    try:
        decode(write(document), f"{name}.toml")
    except DefinitionError as error:
        wrong = error.findings
    assert wrong is None or (wrong and all(one.found and one.allowed for one in wrong))
