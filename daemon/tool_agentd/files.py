"""The person's files: config.toml and the definitions, read at the start and whenever they change.

A file that breaks while the agent runs changes nothing: what was in force stays, and the catalogue
lists the problem for `status`. Of config.toml, [store] is read for the life of an agent; the rest
is in force as soon as it is read, but for one thing: an editor empties or removes a file for a
moment before it writes it anew, and what that opens has to last before it is believed.
"""

import os
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from tool_agent import paths
from tool_agentd import config
from tool_agentd.adapters.watch import DefinitionFolders, foreign_folder, read_source
from tool_agentd.definition import catalogue, check
from tool_agentd.definition.catalogue import Catalogue, Problem
from tool_agentd.definition.credentials import person_variables
from tool_agentd.definition.errors import nearest, shown
from tool_agentd.definition.vocabulary import SessionLimits
from tool_agentd.errors import ConfigurationError
from tool_agentd.policy import EVERY, Ask, Rules, Table

CONFIG = "config.toml"
SETTLE = 2.0
"""Seconds for which a config.toml that says less has to stay as it is, before it counts. Editors
and `cp` need milliseconds from emptying a file to the last byte; a person who has removed it waits
as long, or runs `tool-agent reload`."""
ANEW = "takes effect when the agent starts anew"


@dataclass(frozen=True, slots=True)
class Given:
    """What the command line said; it comes before config.toml."""

    log_level: str | None = None


class Files:
    """Where the person's files are, and what they said last."""

    def __init__(self, environ: Mapping[str, str], given: Given = Given()) -> None:
        """Find the places in the start environment; nothing is read yet."""
        self._environ = environ
        self._given = given
        directory = paths.config_dir(dict(environ))
        self._config = f"{directory}/{CONFIG}"
        self._folders = DefinitionFolders(f"{directory}/tools.d")
        self.settings = config.Config()
        self._began = config.Config()
        self.catalogue = Catalogue()
        self._less: tuple[config.Config, float] | None = None
        """What config.toml says by now and is not yet in force, and since when, in seconds."""
        self._patterned: Catalogue | None = None
        self._patterns: frozenset[str] = frozenset()

    def read(self) -> None:
        """Read everything for the first time. Raises ConfigurationError for config.toml."""
        self.settings = self._began = self._read_config()
        self.catalogue = self._load()

    @property
    def log_level(self) -> str:
        """How much to log now."""
        return self._given.log_level or self.settings.log.level

    def read_again(self, now: float | None = None) -> None:
        """Read everything again; what is broken stays as it was, and is listed.

        `now` is when it was noticed that something may have changed, in seconds that never jump;
        None: the person says so, and whatever the files say is meant.
        """
        problems: tuple[Problem, ...] = ()
        try:
            self._take(self._read_config(), now)
        except ConfigurationError as error:
            self._less = None
            problems = (Problem(CONFIG, "", "", error.detail, error.hint or "", in_force=True),)
        loaded = self._load()
        self.catalogue = replace(loaded, problems=loaded.problems + problems + self._waiting())

    @property
    def settling(self) -> bool:
        """Whether config.toml says less than what is in force: to be read again after `SETTLE`."""
        return self._less is not None

    def _take(self, found: config.Config, now: float | None) -> None:
        """Put into force what config.toml says; what says less only once that has lasted."""
        if now is None or not _says_less(found, self.settings):
            self._less, self.settings = None, found
            return
        if self._less is None or self._less[0] != found:
            self._less = found, now
        elif now - self._less[1] >= SETTLE:
            self._less, self.settings = None, found

    def _waiting(self) -> tuple[Problem, ...]:
        """Return a note of what config.toml says by now and an agent reads only at its start."""
        if self._store(self.settings) == self._store(self._began):
            return ()
        detail = f"{CONFIG}: [store] has changed; that {ANEW}"
        hint = "run 'tool-agent stop', then 'tool-agent start'"
        return (Problem(CONFIG, "", "store", detail, hint, note=True),)

    def _store(self, settings: config.Config) -> config.StoreTable:
        """Return where secrets rest, as far as config.toml decides it."""
        if self._environ.get(paths.STORE):
            return config.StoreTable(service=settings.store.service)
        return settings.store

    def _read_config(self) -> config.Config:
        """Read config.toml by the rule of the definitions: it too decides where secrets go."""
        uid = os.geteuid()
        folder = foreign_folder(str(Path(self._config).parent), uid)
        if folder:  # where there is no file, somebody else may have taken it away
            message = f"{self._config}: is {folder}"
            raise ConfigurationError(message, hint=f"run 'chmod go-w {Path(self._config).parent}'")
        if not os.path.lexists(self._config):
            return config.Config()
        source = read_source(self._config, builtin=False, uid=uid)
        if source.refused:
            message = f"{self._config}: {source.refused}"
            raise ConfigurationError(message, hint=f"run '{source.fix}'" if source.fix else None)
        found = config.parse(source.text, self._config)
        for name, limits in found.session.items():
            for finding in check.limits(f"session.{name}", limits.idle, limits.absolute):
                raise ConfigurationError(f"{CONFIG}: {finding}", hint=f"edit {self._config}")
        return found

    @property
    def policy(self) -> Table:
        """Who may have what."""
        return Table({name: _rules(one) for name, one in self.settings.policy.items()})

    def _load(self) -> Catalogue:
        loaded = catalogue.load(
            self._folders.read(),
            self.catalogue,
            self._environ,
            self.settings.vars,
            {
                name: SessionLimits(idle=one.idle, absolute=one.absolute)
                for name, one in self.settings.session.items()
            },
        )
        strangers = [name for name in self.settings.policy if name not in {EVERY, *loaded.tools}]
        noted = tuple(_stranger(name, loaded) for name in sorted(strangers))
        return replace(loaded, problems=loaded.problems + noted)

    def watch(self, tick: float) -> AsyncGenerator[None, None]:
        """Yield whenever one of the files may have changed; see `DefinitionFolders.watch`."""
        return self._folders.watch(beside=self._config, tick=tick)

    def own_credentials(self) -> list[str]:
        """Return the variables of the start environment that hold credentials.

        The person's own, and those that an agent has exported before.
        """
        names = {name for name in self._environ if name.startswith(paths.EXPORTED_PREFIX)}
        for tool in self.catalogue.tools.values():
            names.update(tool.env, (variable.name for variable in person_variables(tool)))
        return sorted(name for name in names if self._environ.get(name))

    def key_patterns(self) -> frozenset[str]:
        """Return the patterns of the credentials that the definitions in force describe."""
        if self._patterned is not self.catalogue:
            self._patterned = self.catalogue
            specs = (spec for tool in self.catalogue.tools.values() for spec in tool.credential)
            self._patterns = frozenset(spec.pattern for spec in specs if spec.pattern)
        return self._patterns


def _says_less(found: config.Config, before: config.Config) -> bool:
    """Tell whether nothing is left of a file that said something, or a rule of it is another.

    Rules count one by one, because a file that is cut short may be a whole one with fewer of them.
    """
    if found == config.Config() != before:
        return True
    return any(found.policy.get(name) != rules for name, rules in before.policy.items())


def _stranger(name: str, loaded: Catalogue) -> Problem:
    """Say that a rule is about no tool: it may be misspelt, and what it was to close is open."""
    key = f"policy.{name}"
    guess = nearest(name, loaded.tools)
    detail = f"{CONFIG}: {key}: there is no tool {shown(name)}, so the rule holds for nothing"
    return Problem(CONFIG, "", key, detail, f"did you mean '{guess}'?" if guess else "")


def _rules(table: config.PolicyTable) -> Rules:
    most = None if table.max_scope is None else frozenset(table.max_scope.split())
    return Rules(
        Ask(table.confirm), most, tuple(table.allow or ()), tuple(table.deny), foreign=table.foreign
    )


def problems(environ: Mapping[str, str]) -> list[str]:
    """Return one sentence for everything that is wrong, as `tool-agentd check` prints it."""
    files = Files(environ)
    files.read_again()
    return [problem.detail for problem in files.catalogue.problems if not problem.note]
