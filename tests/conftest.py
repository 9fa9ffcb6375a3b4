"""Fixtures for every test: the real parts, and the canary scan."""

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
]
