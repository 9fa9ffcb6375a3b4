"""docs/tool-definitions.md: each example decodes, each wrong one gets the error beside it."""

import re
from pathlib import Path

import msgspec
import pytest

from tool_agentd.definition import delivery, faces, flows, steps, vocabulary
from tool_agentd.definition import table as table_module
from tool_agentd.definition.catalogue import SourceText, load
from tool_agentd.definition.decode import decode
from tool_agentd.definition.errors import DefinitionError
from tool_agentd.definition.table import Table
from tool_agentd.definition.transforms import TRANSFORMS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "tool-definitions.md"
TEXT = PAGE.read_text(encoding="utf-8")
RIGHT = re.findall(r"^```toml\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
WRONG = re.findall(
    r"^```toml wrong\n(.*?)^```\n\n```text\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL
)


def name_of(text: str) -> str:
    """Return the tool that an example is about."""
    found = re.search(r'^name = "([^"]+)"', text, re.MULTILINE)
    assert found is not None
    return found[1]


def test_the_page_has_examples_of_both_kinds() -> None:
    """Every fenced TOML block of the page is found by this module."""
    assert len(RIGHT) + len(WRONG) == TEXT.count("```toml")
    assert len(RIGHT) >= 5
    assert len(WRONG) >= 3


@pytest.mark.parametrize("text", RIGHT, ids=range(len(RIGHT)))
def test_an_example_decodes_and_comes_into_force(text: str) -> None:
    """What the page shows works as it stands; a shared login beside the example before it."""
    name = name_of(text)
    assert decode(text, f"{name}.toml").name == name
    files = [SourceText(f"{name}.toml", text)]
    if "provider = " in text:
        before = RIGHT[RIGHT.index(text) - 1]
        files.append(SourceText(f"{name_of(before)}.toml", before))
    found = load({file.file: file for file in files}, None, {}, {})
    assert found.problems == ()
    assert name in found.tools


@pytest.mark.parametrize(("text", "expected"), WRONG, ids=range(len(WRONG)))
def test_a_wrong_example_gets_the_error_that_is_shown(text: str, expected: str) -> None:
    """The error and its hint, word for word."""
    with pytest.raises(DefinitionError) as caught:
        decode(text, f"{name_of(text)}.toml")
    hint = f"hint: {caught.value.hint}\n" if caught.value.hint else ""
    assert f"{caught.value.detail}\n{hint}" == expected


def test_every_key_of_the_vocabulary_is_on_the_page() -> None:
    """No table has a key that the page does not mention."""
    tables = {
        table
        for module in (delivery, faces, flows, steps, table_module, vocabulary)
        for table in vars(module).values()
        if isinstance(table, type) and issubclass(table, Table) and table is not Table
    }
    assert len(tables) >= 40
    keys = {field.name for table in tables for field in msgspec.structs.fields(table)}
    prose = re.sub(r"^```toml.*?^```$", "", TEXT, flags=re.MULTILINE | re.DOTALL)
    assert {key for key in keys if not re.search(rf"\b{key}\b", prose)} == set()


def test_every_transform_is_on_the_page() -> None:
    """The list of transforms says what each one does, in the words that its code has."""
    assert TRANSFORMS
    for name, (_, words) in TRANSFORMS.items():
        assert f"| `{name}` | {words} |" in TEXT
