"""Actions, API keys, output and the tool's own words, in words."""

from collections.abc import Iterator

from tool_agentd.definition.explain_logins import steps
from tool_agentd.definition.faces import Word
from tool_agentd.definition.vocabulary import ToolDefinition

_DEEDS = {
    "login": "signs in",
    "logout": "logs out",
    "whoami": "says who it is",
    "issue-key": "issues an API key",
    "list-keys": "lists API keys",
    "revoke-key": "revokes an API key",
}


def actions(definition: ToolDefinition) -> Iterator[str]:
    """Yield what each action does, step by step."""
    for name, action in definition.action.items():
        yield f"action {name}: {action.title}"
        yield from (f"  {line}" for line in steps(action.step))
        if action.login is not None:
            yield f"  brings a session, as login --method {action.login} does"


def api_keys(definition: ToolDefinition) -> Iterator[str]:
    """Yield how API keys are managed, or made by hand."""
    keys = definition.api_keys
    for part, verb in (("issue", "issue"), ("listing", "list"), ("revoke", "revoke")):
        spec = getattr(keys, part)
        if spec is not None:
            signed = f", signed with {' or '.join(keys.accepts)}"
            yield f"api-key {verb}: {spec.request.method} {spec.request.url}{signed}"
    if keys.issue is not None:
        yield "  a key is printed once and never stored"
    if keys.create_url is not None:
        yield f"API keys are made by hand at {keys.create_url}"
    yield from (f"  {number}. {line}" for number, line in enumerate(keys.steps, 1))
    if keys.variable is not None:
        yield f"  --write-env writes {keys.variable}"


def output(definition: ToolDefinition) -> Iterator[str]:
    """Yield the form of what is printed, where it is not the usual one."""
    if definition.output.default != "human":
        yield f"prints {definition.output.default} by default"
    for method, form in definition.output.by_method.items():
        yield f"prints {form} by default after login --method {method}"


def face(definition: ToolDefinition) -> Iterator[str]:
    """Yield the tool's own commands, and which errors it words itself."""
    spec = definition.face
    if spec is None:
        return
    yield f"the tool's own words, for 'tool-agent as' and the shim {spec.command}:"
    yield from (f"  {spec.command} {word.words}: {_deed(word)}" for word in spec.word)
    if spec.messages:
        yield f"  words these errors itself: {', '.join(spec.messages)}"
    if spec.json_errors:
        yield "  errors are JSON where its output is"
    for code, status in spec.exit.items():
        yield f"  exits with {status} on {code}"


def _deed(word: Word) -> str:
    if word.do == "action":
        return f"action {word.action}"
    methods = [word.method] if word.method else []
    methods += [f"{method} with {flag}" for flag, method in word.flags.items()]
    deed = _DEEDS[word.do]
    return f"{deed} ({', '.join(methods)})" if methods else deed
