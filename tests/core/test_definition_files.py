"""A tool's own file: what is written into it for a credential, and what is read out of one."""

import json
from itertools import pairwise
from typing import Any

import msgspec
import pytest

from tests.core.acme_files import ACME_FILES
from tests.core.fakes import KEY, ORIGIN, catalogue
from tool_agentd.definition import files
from tool_agentd.definition.delivery import FileRead, FileSpec
from tool_agentd.definition.files import Directories
from tool_agentd.errors import ConfigurationError, InvalidRequestError
from tool_agentd.model import Credential, Grant, GrantKind, Identity
from tool_agentd.secret import Secret

NOW = 1_700_000_000.0
AT = Directories("/home/ada", "/home/ada/.config")
MAC = Directories("/home/mac", "/home/mac/.config", macos=True)
TOOL = catalogue(acme=ACME_FILES).tools["acme"]

CREDENTIAL = Credential(
    Secret("at-1"), "session", "Bearer", "default", expires_at=NOW + 3600.9, headers={}, env={}
)
GRANT = Grant(
    KEY,
    GrantKind.REFRESH_TOKEN,
    "browser",
    "session",
    (ORIGIN,),
    NOW,
    identity=Identity("ada@acme.example", "u-1"),
    kept=(("plan", "on"), ("refresh_token", "rt-1"), ("zip", "0123")),
)


def written(
    content: dict[str, Any], form: files.Format = "json", methods: dict[str, str] | None = None
) -> Any:  # noqa: ANN401 - a JSON value
    """Return what stands in the file, read back."""
    spec = FileSpec(
        credential="session", path="~/.acme/a", format=form, content=content, methods=methods or {}
    )
    return files.decode(files.render(spec, CREDENTIAL, GRANT, NOW).reveal(), form)


@pytest.mark.parametrize("form", ["json", "yaml"])
def test_a_placeholder_alone_gives_its_type(form: files.Format) -> None:
    """Seconds are a number, texts stay texts whatever they look like, nesting and lists stand."""
    content = {
        "token": "{access_token}",
        "left": "{expires_in}",
        "text": "{expires_in} s",
        "end": "{expires_at}",
        "plan": "{plan}",
        "zip": "{zip}",
        "deep": {"who": ["{name}", "{subject}", 7], "yes": True},
        "type": "Bearer",
    }
    found = written(content, form)
    end = found.pop("end")
    assert found == {
        "token": "at-1",
        "left": 3600,
        "text": "3600 s",
        "plan": "on",
        "zip": "0123",
        "deep": {"who": ["ada@acme.example", "u-1", 7], "yes": True},
        "type": "Bearer",
    }
    assert end == "2023-11-14T23:13:20Z"


def test_what_has_no_value_is_left_out_and_a_refresh_token_never_has() -> None:
    """A key whose placeholder nothing fills is not written, however a grant came by one."""
    content = {"a": "{refresh_token}", "b": ["{nothing}", "x"], "c": {"d": "id {nothing}"}}
    assert written(content) == {"b": ["x"], "c": {}}


def test_the_method_is_named_as_the_tool_names_it() -> None:
    """`methods` translates; a method that it does not have keeps its name."""
    assert written({"m": "{method}"}, methods={"browser": "oauth"}) == {"m": "oauth"}
    assert written({"m": "{method}"}, methods={"device": "x"}) == {"m": "browser"}


AWKWARD = [
    "yes",
    "~",
    "1e3",
    "a: b",
    "#x",
    "'",
    '"',
    "- x",
    "",
    " x ",
    "é\u2028\x7f\t\n",
    "\U0001f600",
]


@pytest.mark.parametrize("text", AWKWARD)
def test_yaml_keeps_every_text(text: str) -> None:
    """What YAML would take for something else comes back as the text that it was."""
    assert files.decode(files.encode({"k": text, "l": [text]}, "yaml"), "yaml") == {
        "k": text,
        "l": [text],
    }


def test_paths() -> None:
    """Below the home, below the configuration directory, and nowhere else."""
    assert files.path_of("~/.acme/a.json", AT) == "/home/ada/.acme/a.json"
    assert files.path_of("{config}/acme/a", AT) == "/home/ada/.config/acme/a"
    assert files.path_of("{config}/a", MAC, macos_config=True) == (
        "/home/mac/Library/Application Support/a"
    )
    for wrong in ("/etc/passwd", "~/../x", "~/", "a", "{config}/a/../../b", "~//a"):
        with pytest.raises(ConfigurationError):
            files.path_of(wrong, AT)


def test_directories_come_from_an_environment() -> None:
    """A relative XDG_CONFIG_HOME is ignored, as its specification says; a relative HOME refused."""
    assert Directories.of({"HOME": "/h"}, "/x").config == "/h/.config"
    assert Directories.of({}, "/x").home == "/x"
    assert Directories.of({"XDG_CONFIG_HOME": "c", "HOME": "/h"}, "/x").config == "/h/.config"
    assert Directories.of({"XDG_CONFIG_HOME": "/c/"}, "/x").config == "/c"
    with pytest.raises(InvalidRequestError):
        Directories.of({"HOME": "h"}, "/x")


@pytest.mark.parametrize(
    ("path", "variable", "named"),
    [
        ("~/.acme/a", None, None),
        ("~/.acme/a", "HOME", "/home/ada"),
        ("{config}/acme/a", "XDG_CONFIG_HOME", "/home/ada/.config"),
        ("~/.acme/a", "XDG_CONFIG_HOME", None),
        ("~/.acme/a", "ACME_HOME", "/home/ada/.acme"),
    ],
)
def test_what_a_variable_moves(path: str, variable: str | None, named: str | None) -> None:
    """HOME and XDG_CONFIG_HOME move what is below them; any other names the file's own folder."""
    spec = FileSpec(credential="session", path=path, directory_env=variable)
    assert files.moved_directory(spec, AT) == named


def test_xdg_does_not_move_what_macos_keeps_elsewhere() -> None:
    """A tool that looks below Library does not look at the variable."""
    spec = FileSpec(
        credential="session",
        path="{config}/a",
        macos_config=True,
        directory_env="XDG_CONFIG_HOME",
    )
    assert files.moved_directory(spec, MAC) is None


# -- reading -------------------------------------------------------------------------------------


def read(text: str, where: dict[str, Any], credential: str = "session") -> files.FoundLogin | None:
    """Return the login in the text of a file of acme's."""
    read_table = msgspec.convert(where, type=FileRead)
    spec = FileSpec(credential=credential, path="~/a", read=read_table)
    return files.read_login(TOOL, TOOL, spec, text)


def test_a_refresh_token_is_found_with_what_goes_with_it() -> None:
    """The method, the access token and the kept values come along."""
    text = json.dumps({"rt": " r1 ", "at": "a1", "how": "oauth", "org": {"id": 7, "none": None}})
    found = read(
        text,
        {
            "refresh_token": "rt",
            "access_token": "at",
            "method": "how",
            "methods": {"oauth": "browser"},
            "keep": {"org": "org.id", "none": "org.none"},
        },
    )
    assert found is not None
    assert (found.secret, found.access) == (Secret("r1"), Secret("a1"))
    assert (found.kind, found.method) == (GrantKind.REFRESH_TOKEN, "browser")
    assert found.kept == (("org", "7"),)


def test_the_kind_of_a_secret_is_that_of_its_credential() -> None:
    """For a session it is a platform's session, with its end; else an API key."""
    session = read('{"s": "c=1", "e": "2023-11-14T22:13:20Z"}', {"secret": "s", "expires_at": "e"})
    assert session is not None
    assert (session.kind, session.expires_at) == (GrantKind.SESSION, NOW)
    key = read('{"s": "ak_1"}', {"secret": "s"}, "key")
    assert key is not None
    assert (key.kind, key.method) == (GrantKind.API_KEY, "api-key")


@pytest.mark.parametrize("text", ["{}", '{"s": null}', '{"s": ""}', '{"s": 7}', "[]", '"x"'])
def test_no_login_is_none(text: str) -> None:
    """What is not there, or is no text, is no login; nor is an access token alone."""
    assert read(text, {"secret": "s", "access_token": "s"}) is None
    assert read('{"at": "a1"}', {"access_token": "at"}) is None


def test_a_login_for_another_place_is_refused() -> None:
    """A secret goes to the origins of the definition; this one was issued elsewhere."""
    assert read(json.dumps({"s": "x", "at": ORIGIN + "/api"}), {"secret": "s", "origin": "at"})
    assert read('{"s": "x"}', {"secret": "s", "origin": "at"})
    for other in ("https://evil.example", "acme.example", "http://acme.example"):
        with pytest.raises(InvalidRequestError, match="no origin of acme"):
            read(json.dumps({"s": "x", "at": other}), {"secret": "s", "origin": "at"})


def test_a_text_in_another_format_is_refused() -> None:
    """Neither a parser's words nor a traceback, and nothing of the text."""
    for text in ("{", "{]", "[" * 2000):
        with pytest.raises(InvalidRequestError, match=r"^the file is not JSON$"):
            files.decode(text, "json")
    deep = ["[" * 60_000, "- " * 30_000, "a: " + "{a: " * 15_000, "? " * 30_000]
    for text in ("a: [", "a: b: c", "\t- x: {", "\x00", *deep):
        with pytest.raises(InvalidRequestError, match=r"^the file is not YAML$"):
            files.decode(text, "yaml")


def test_yaml_makes_nothing_but_values() -> None:
    """No objects of Python's, and nothing that refers to itself a billion times."""
    with pytest.raises(InvalidRequestError, match="not YAML"):
        files.decode("!!python/object/apply:os.system ['true']", "yaml")
    names = "abcdefghijklm"
    pairs = pairwise(names)
    lines = [f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]" for before, name in pairs]
    laughs = "\n".join(["a: &a [x, x]", *lines])
    merges = "a: &a {k: v}\n" + "\n".join(
        f"{name}: &{name}\n  <<: [{', '.join([f'*{before}'] * 10)}]"
        for before, name in pairwise(names)
    )
    for text in (laughs, merges, "a: 1\n<<: {b: 2}\n"):
        with pytest.raises(InvalidRequestError, match="aliases or merge keys"):
            files.decode(text, "yaml")


@pytest.mark.parametrize("form", ["json", "yaml"])
def test_a_text_that_is_too_large_is_not_parsed(form: files.Format) -> None:
    """A file with a login has a few hundred bytes; megabytes of one would keep a thread busy."""
    largest = json.dumps("x" * (files.LARGEST - 2))
    assert len(files.decode(largest, form)) == files.LARGEST - 2
    with pytest.raises(InvalidRequestError, match="larger than 65536 bytes"):
        files.decode(json.dumps("\u00e9" * (files.LARGEST // 2), ensure_ascii=False), form)
