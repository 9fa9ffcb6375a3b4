"""Fixtures for every test: the real parts, and the canary scan; what may run side by side."""

import pytest

# A module that another one imports stands before it: pytest rewrites the assertions of a plugin
# before its first import.
pytest_plugins = [
    "pytester",
    "tests.canary",
    "tests.real.home",
    "tests.real.platforms",
    "tests.real.agent",
    "tests.real.idp",
    "tests.real.keychain",
    "tests.real.plain_user",
    "tests.faults.table",
]


@pytest.hookimpl(tryfirst=True)  # xdist reads the groups in the same hook
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let a module's tests share one process, and all that need the fixed port another."""
    for item in items:
        # tests/api asks one agent for everything, that login too, which then waits for its person.
        alone = item.get_closest_marker("fixed_port") or item.nodeid.startswith("tests/api/")
        group = "fixed port" if alone else item.nodeid.partition("::")[0]
        item.add_marker(pytest.mark.xdist_group(group))
