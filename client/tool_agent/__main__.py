"""The command `tool-agent`: hot commands first; everything else is click's, imported only then.

A hot command is typed in prompts, hooks and loops. Its options are read here by hand; what is
not plain (an unknown option, `--help`, a missing argument) falls over to click, which has the
texts.
"""

import os
import sys

from tool_agent import wire
from tool_agent.errors import ToolAgentError
from tool_agent.output import (
    EXIT_READER_GONE,
    ReaderGoneError,
    answer,
    complain,
    note,
    open_missing,
)
from tool_agent.paths import shim_name


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit status.

    Without `arguments` it is the process's own command line, and after a hot command the process
    ends here: the interpreter's tidying up takes as long as everything else.
    """
    open_missing()
    words = sys.argv[1:] if arguments is None else arguments
    hot = False
    shim = shim_name(sys.argv[0]) if arguments is None else ""
    try:
        if shim:
            from tool_agent.commands.shim import run_shim  # noqa: PLC0415 - imports click

            return run_shim(shim, words)
        status = hot_command(words)
        hot = status is not None
        if status is None:
            from tool_agent.commands import run  # noqa: PLC0415 - imports click

            status = run(words)
    except ToolAgentError as error:
        status = complain(error)
    except KeyboardInterrupt:
        status = wire.EXIT_INTERRUPTED
    except ReaderGoneError:
        status = EXIT_READER_GONE
    except Exception as error:  # noqa: BLE001 - a person never sees a traceback
        note(f"tool-agent: internal error: {_where(error)}")
        status = wire.EXIT_FAILURE
    if arguments is None and hot:
        os._exit(status)  # nothing is left to flush: output.py writes to the descriptors
    return status


def hot_command(words: list[str]) -> int | None:
    """Run a hot command; None where the words are not plainly one."""
    if not words:
        return None
    name = words[0]
    if name == "token":
        from tool_agent import credential  # noqa: PLC0415 - each command loads its own

        parsed = parse(words[1:], credential.OPTIONS)
        if parsed is None or len(parsed[1]) != 1:
            return None
        if parsed[0].get("format", "raw") not in credential.FORMATS:
            return None
        return credential.print_token(parsed[1][0], parsed[0])
    if name == "env":
        from tool_agent import environment, shell  # noqa: PLC0415 - as above

        parsed = parse(words[1:], environment.OPTIONS)
        if parsed is None or parsed[0].get("shell", shell.SH) not in shell.SHELLS:
            return None
        return environment.print_env(parsed[1], parsed[0])
    if words == ["--version"]:
        from tool_agent._version import __version__  # noqa: PLC0415 - as above

        answer(f"tool-agent {__version__}\n".encode())
        return wire.EXIT_OK
    return None


def parse(
    words: list[str], known: dict[str, tuple[str, str | None]]
) -> tuple[dict[str, str], list[str]] | None:
    """Read options and arguments as click does; None where they are not plain.

    `known`: option -> its name, and the value of a flag (None: the next word is the value).
    """
    options: dict[str, str] = {}
    rest: list[str] = []
    index = 0
    while index < len(words):
        word = words[index]
        index += 1
        if word == "--":
            rest += words[index:]
            break
        if word == "-" or not word.startswith("-"):
            rest.append(word)
            continue
        option, equals, value = word.partition("=") if word.startswith("--") else (word, "", "")
        if option not in known:
            return None
        name, flag = known[option]
        if flag is not None:
            if equals:
                return None
            value = flag
        elif not equals:
            if index == len(words):
                return None
            value = words[index]
            index += 1
        options[name] = value
    return options, rest


def _where(error: BaseException) -> str:
    """Return the kind of an unexpected error and its place; its text might hold a secret."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return type(error).__name__
    file = os.path.basename(trace.tb_frame.f_code.co_filename)
    return f"{type(error).__name__} at {file}:{trace.tb_lineno}"


if __name__ == "__main__":
    sys.exit(main())
