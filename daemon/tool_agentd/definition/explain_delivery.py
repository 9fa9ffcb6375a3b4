"""Files and caches in words: what is written where and when, and what an import reads."""

from collections.abc import Iterator

from tool_agentd.definition.delivery import FileSpec
from tool_agentd.definition.vocabulary import ToolDefinition

_MACOS = "~/Library/Application Support"
"""What `{config}` is on macOS, for tools that follow that system's own rule."""


def files(definition: ToolDefinition) -> Iterator[str]:
    """Yield what is written for `exec`, and what `import` reads."""
    for spec in definition.file.values():
        yield f"file {_path(spec.path, macos_config=spec.macos_config)}, in {spec.format.upper()}"
        yield f"  written by exec {_where(spec)}, for: {spec.credential}"
        if spec.min_ttl.lstrip("0.") not in {"ms", "s", "m", "h", "d"}:
            yield f"  its token lives for {spec.min_ttl} at least"
        if spec.beside_env:
            yield "  also where a variable carries the same"
        yield "  never with a refresh token"
        lasting = [part for part in ("refresh_token", "secret") if getattr(spec.read, part)]
        if lasting:
            yield f"  import reads its {' or '.join(lasting)}"


def caches(definition: ToolDefinition) -> Iterator[str]:
    """Yield what is fetched besides, with what, and where it stands."""
    for name, spec in definition.cache.items():
        yield f"cache {name}: {spec.request.method} {spec.request.url}"
        yield f"  fetched with {' or '.join(spec.credential)}, erased with the session"
        path = _path(spec.path, macos_config=False)
        also = ", also beside a variable" if spec.in_place else ""
        yield f"  written by exec to {path}, in {spec.format.upper()}{also}"


def _path(path: str, *, macos_config: bool) -> str:
    usual = path.replace("{config}", "~/.config")
    if not macos_config:
        return usual
    return f"{usual} (on macOS {path.replace('{config}', _MACOS)})"


def _where(spec: FileSpec) -> str:
    places = []
    if spec.directory_env is not None:
        places.append(f"below a private directory, which {spec.directory_env} names")
    if spec.in_place:
        places.append("in its own place, and put back afterwards")
    return ", or ".join(places)
