"""Regular expressions for secrets: compiled, and refused where matching could take for ever."""

import re
import warnings

PATTERN_MAX = 500
"""Characters; the longest known key pattern has 60."""
ALLOWED = "a regular expression without a repeat or an alternative inside an open-ended repeat"


def problem(pattern: str) -> str | None:
    """Return what is wrong with a pattern, in words; None where it may be used.

    A repeat inside an open-ended repeat, `(a+)+`, makes the matcher try every way to divide the
    text, and so does `(a|a)*`: a pasted key of forty characters would then hang the agent.
    """
    if len(pattern) > PATTERN_MAX:
        return f"{len(pattern)} characters, more than {PATTERN_MAX}"
    try:
        with warnings.catch_warnings():
            # Syntax that is about to change its meaning is no syntax for a check.
            warnings.simplefilter("error")
            re.compile(pattern)
    except Warning as warning:
        return f"an unclear regular expression: {warning}"
    except (re.error, OverflowError, RecursionError) as error:
        reason = error.msg if isinstance(error, re.error) else "too large a repeat"
        return f"no regular expression: {reason}"
    return "a repeat or alternative inside an open-ended repeat" if _explosive(pattern) else None


def _explosive(pattern: str) -> bool:
    """Tell whether an open-ended repeat encloses a choice of how much to match."""
    # A sketch of the pattern, one sign for each element: classes and escapes become a letter.
    sketch = re.sub(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]", "a", pattern, flags=re.DOTALL)
    open_ended = re.compile(r"[*+]|\{\d*,\}")
    choice = re.compile(r"[*+|]|\{\d*,\d*\}|(?<!\()\?")
    starts: list[int] = []
    for at, sign in enumerate(sketch):
        if sign == "(":
            starts.append(at)
        elif sign == ")" and starts:
            inner = sketch[starts.pop() + 1 : at]
            inner = re.sub(r"^\?(?:P<\w+>|[a-zA-Z-]*:|[=!>]|<[=!])", "", inner)
            if open_ended.match(sketch, at + 1) and choice.search(inner):
                return True
    return False
