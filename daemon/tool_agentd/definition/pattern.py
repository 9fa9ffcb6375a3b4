"""Regular expressions for secrets: compiled, and refused where matching could take for ever.

The matcher of the standard library tries every way to divide a text among the repeats and choices
of a pattern. It runs in the agent, which must not stand still for a pasted key, so a pattern may
have only as many ways as are tried in a moment.
"""

import re
import warnings

PATTERN_MAX = 500
"""Characters; the longest known key pattern has 60."""
SUBJECT_MAX = 4096
"""Characters of a secret that has a pattern; the longest known key with a shape has 400."""
STEPS_MAX = 2**26
"""Steps of the matcher in the worst case: about a second."""
ALLOWED = "a regular expression with at most two open-ended repeats, none of them of a group"

_REPEAT = re.compile(r"[*+]|\{(\d*)(,?)(\d*)\}")


def problem(pattern: str) -> str | None:
    """Return what is wrong with a pattern, in words; None where it may be used."""
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
    return _explosive(pattern)


def _explosive(pattern: str) -> str | None:
    """Say why matching could take for ever: a repeated group, or too many ways to divide a text."""
    # A sketch of the pattern, one sign for each element: classes and escapes become a letter.
    sketch = re.sub(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]", "a", pattern, flags=re.DOTALL)
    sketch = re.sub(r"\(\?(?:P<\w+>|[a-zA-Z-]*:|[=!>]|<[=!]|#)?", "(", sketch)
    steps = 1
    for repeat in _REPEAT.finditer(sketch):
        least, comma, most = repeat.groups()
        if sketch[repeat.start() - 1 : repeat.start()] == ")":
            return "a repeat of a group"
        if least is None or (comma and not most):
            steps *= SUBJECT_MAX
        elif comma:
            steps *= int(most) - int(least or 0) + 1
    steps *= 2 ** sketch.count("?") * 2 ** sketch.count("|")
    return "too many repeats and choices" if steps > STEPS_MAX else None
