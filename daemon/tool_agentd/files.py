"""What `tool-agentd check` looks at: config.toml and every definition; nothing is started."""

from collections.abc import Mapping

from tool_agent import paths
from tool_agentd import config
from tool_agentd.adapters.watch import DefinitionFolders
from tool_agentd.definition import catalogue
from tool_agentd.errors import ConfigurationError


def problems(environ: Mapping[str, str]) -> list[str]:
    """Return one sentence for everything that is wrong."""
    directory = paths.config_dir(dict(environ))
    found: list[str] = []
    settings = config.Config()
    try:
        settings = config.read(directory + "/config.toml")
    except ConfigurationError as error:
        found.append(error.detail)
    folders = DefinitionFolders(directory + "/tools.d")
    loaded = catalogue.load(folders.read(), None, environ, settings.vars)
    return found + [problem.detail for problem in loaded.problems if not problem.note]
