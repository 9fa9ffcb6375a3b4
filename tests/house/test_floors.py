"""The floors: every room that exists stands on one, and the pure ones are guarded as such."""

from typing import Any

from tests.house.tree import CLIENT, DAEMON, pyproject

# The rooms that decide and never act. They get time as an argument and bytes as values.
PURE = {
    "audit",
    "broker",
    "credential_helpers",
    "definition",
    "errors",
    "model",
    "oauth",
    "policy",
    "ports",
    "secret",
    "session",
}

# What only an adapter may touch.
IMPURE = {"aiohttp", "keyring", "watchfiles", "socket", "time"}


def contract(name: str) -> dict[str, Any]:
    """Return the import-linter contract with this id."""
    contracts = pyproject()["tool"]["importlinter"]["contracts"]
    found: list[dict[str, Any]] = [entry for entry in contracts if entry["id"] == name]
    assert len(found) == 1
    return found[0]


def rooms() -> set[str]:
    """Return the modules and packages directly below the daemon's."""
    return {
        path.stem
        for path in DAEMON.iterdir()
        if (path.suffix == ".py" and path.stem != "__init__") or (path / "__init__.py").is_file()
    }


def test_every_pure_room_is_guarded() -> None:
    """Each pure room that exists is a source of the contract that forbids I/O, and no other is."""
    guarded = {module.removeprefix("tool_agentd.") for module in contract("pure")["source_modules"]}
    assert guarded == PURE & rooms()


def test_the_guard_names_all_that_does_io() -> None:
    """The contract for pure rooms forbids the libraries and the modules that reach outside."""
    assert set(contract("pure")["forbidden_modules"]) >= IMPURE


def test_a_room_without_a_floor_is_an_error() -> None:
    """The floors are exhaustive: only the folder of definitions, which holds no code, is exempt."""
    floors = contract("floors")
    assert floors["exhaustive"] is True
    assert floors["exhaustive_ignores"] == ["tools"]
    assert not list((DAEMON / "tools").glob("*.py"))


def test_no_contract_ignores_an_import_of_the_daemons_own() -> None:
    """The only imports let through are the client's two modules that both sides share."""
    ignored = {
        entry.partition(" -> ")[2]
        for each in pyproject()["tool"]["importlinter"]["contracts"]
        for entry in each.get("ignore_imports", [])
    }
    assert ignored == {
        "tool_agent.wire",
        "tool_agent.paths",
        "tool_agent.shell",
        "tool_agent._version",
    }
    assert all((CLIENT / f"{entry.rpartition('.')[2]}.py").is_file() for entry in ignored)
