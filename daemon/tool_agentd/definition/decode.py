"""A TOML text becomes a `ToolDefinition`, or an error that names file, key and fix."""

import os.path
import re
import tomllib

import msgspec

from tool_agentd.definition import check
from tool_agentd.definition.errors import DefinitionError, Finding, shown
from tool_agentd.definition.vocabulary import ToolDefinition

FILE_MAX = 64 * 1024
"""Bytes of a definition; the largest that ships has under 8 KiB."""

_AT = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")


def decode(text: str, file: str) -> ToolDefinition:
    """Return the definition that a file's text describes, its placeholders still in place.

    Args:
        text: the file's text.
        file: its path, for messages; without `.toml` its last part must be the tool's name.

    Raises:
        DefinitionError: with every mistake that was found, and nothing else, whatever the text.
    """
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > FILE_MAX:
        raise DefinitionError(file, [Finding("", f"{size} bytes", f"at most {FILE_MAX} bytes")])
    try:
        definition = _typed(text, file)
        wrong = list(check.findings(definition))
    except RecursionError:
        finding = Finding("", "tables or arrays nested too deeply", "a few levels")
        raise DefinitionError(file, [finding]) from None
    stem = os.path.splitext(os.path.basename(file))[0]  # noqa: PTH119, PTH122 - a label, no file
    if definition.name != stem and not any(finding.key == "name" for finding in wrong):
        allowed = f'"{stem}", as the file is called'
        advice = f"rename the file to {definition.name}.toml, or the tool"
        wrong.insert(0, Finding("name", shown(definition.name), allowed, advice=advice))
    if wrong:
        raise DefinitionError(file, wrong)
    return definition


def _typed(text: str, file: str) -> ToolDefinition:
    try:
        document = tomllib.loads(text)
    except ValueError as error:  # TOMLDecodeError, and plain ones for impossible dates and numbers
        raise DefinitionError(file, [_syntax(str(error), text)]) from None
    try:
        return msgspec.convert(document, type=ToolDefinition)
    except msgspec.ValidationError as error:
        # Imported late: only a wrong file pays for the introspection.
        from tool_agentd.definition.shape import mistakes  # noqa: PLC0415 - see above

        fallback = Finding("", str(error), "the vocabulary of docs/tool-definitions.md")
        raise DefinitionError(file, mistakes(document) or [fallback]) from None


def _syntax(message: str, text: str) -> Finding:
    found = _AT.search(message)
    reason = message[: found.start()] if found else message
    line = column = None
    if found:
        lines = text.split("\n")
        line = int(found[1]) if found[1] else len(lines)
        column = int(found[2]) if found[2] else len(lines[-1]) + 1
    what = reason[:1].lower() + reason[1:]
    plain = "".join(sign if sign.isprintable() else "?" for sign in what)
    return Finding(
        "", f"text that is not TOML ({plain[:120]})", "TOML 1.0", line=line, column=column
    )
