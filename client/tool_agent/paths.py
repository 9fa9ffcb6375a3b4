"""Where things are, and every environment variable's name.

Pure text: nothing here touches the file system. It imports only what the interpreter has loaded
anyway, because the hot commands use it.
"""

import os
import sys

PROGRAM = "tool-agent"
"""The name under which the client is no shim."""

_UNNAMED = ("__main__.py", "-c", "-m", "")
"""What stands in place of a name where the interpreter was given a module or a text."""

SOCK = "TOOL_AGENT_SOCK"
PID = "TOOL_AGENT_PID"
SOCK_UID = "TOOL_AGENT_SOCK_UID"
"""The user whose agent may serve the socket besides our own and root: where it comes from outside,
as in a container, that one has another number here."""
ACCOUNT = "TOOL_AGENT_ACCOUNT"
STORE = "TOOL_AGENT_STORE"
PASSPHRASE_FILE = "TOOL_AGENT_PASSPHRASE_FILE"  # noqa: S105 - a variable's name
EXPORTED_PREFIX = "TOOL_AGENT_SET_"
"""`TOOL_AGENT_SET_<VARIABLE>` holds a fingerprint of the value that the agent exported there, so
that this value is not taken for the person's own: BLAKE2s (RFC 7693) of the value's bytes with
digest_size=8 and person=b"toolagnt", in hexadecimal."""
SHIM = "TOOL_AGENT_SHIM"
"""`nrepo 4711 1`: the shim that started a program, its process, how deep they are nested."""
SHELL = "SHELL"
GITHUB_ENV = "GITHUB_ENV"
"""The file that GitHub's runner reads after each step."""
BROWSER = "BROWSER"
DISPLAY = "DISPLAY"
WAYLAND_DISPLAY = "WAYLAND_DISPLAY"
NO_COLOR = "NO_COLOR"
TERM = "TERM"
XDG_RUNTIME_DIR = "XDG_RUNTIME_DIR"
XDG_CONFIG_HOME = "XDG_CONFIG_HOME"
XDG_STATE_HOME = "XDG_STATE_HOME"
XDG_DATA_HOME = "XDG_DATA_HOME"
PATH = "PATH"
GITHUB_PATH = "GITHUB_PATH"
"""The file whose lines GitHub's runner puts in front of PATH after each step."""
HOME = "HOME"
CREDENTIALS_DIRECTORY = "CREDENTIALS_DIRECTORY"
"""systemd.exec(5), LoadCredential=."""

SOCKET_PATH_MAX = 103 if sys.platform == "darwin" else 107
"""Bytes that fit sockaddr_un.sun_path with its closing NUL: 104 on macOS, 108 on Linux."""


def shim_name(called: str) -> str:
    """Return the name under which a process was started; empty where it is no shim."""
    name = called.rpartition("/")[2]
    return "" if name == PROGRAM or name in _UNNAMED else name


def variable_for(tool: str) -> str:
    """Return the name of the variable that chooses the account of `tool`."""
    return ACCOUNT + "_" + "".join(c if c.isascii() and c.isalnum() else "_" for c in tool).upper()


def home(environ: "os._Environ[str] | dict[str, str]" = os.environ) -> str:
    """Return the person's home directory."""
    return environ.get(HOME) or os.path.expanduser("~")


def socket_path(environ: "os._Environ[str] | dict[str, str]" = os.environ) -> str:
    """Return the agent's socket: `$TOOL_AGENT_SOCK`, else the default place (interface.md)."""
    explicit = environ.get(SOCK)
    if explicit:
        return explicit
    if sys.platform == "darwin":
        return home(environ) + "/Library/Caches/tool-agent/agent.sock"
    runtime = environ.get(XDG_RUNTIME_DIR)
    if runtime and runtime.startswith("/"):
        return runtime + "/tool-agent/agent.sock"
    return home(environ) + "/.local/state/tool-agent/agent.sock"


def runtime_dir(environ: "os._Environ[str] | dict[str, str]" = os.environ) -> str | None:
    """Return the agent's directory for what ends with the person's session; None without one."""
    runtime = environ.get(XDG_RUNTIME_DIR)
    return runtime + "/tool-agent" if runtime and runtime.startswith("/") else None


def _below(environ: "os._Environ[str] | dict[str, str]", variable: str, default: str) -> str:
    base = environ.get(variable)
    if not base or not base.startswith("/"):  # the XDG specification: ignore a relative path
        base = home(environ) + "/" + default
    return base + "/tool-agent"


def config_dir(environ: "os._Environ[str] | dict[str, str]" = os.environ) -> str:
    """Return the directory of `config.toml` and `tools.d/`."""
    return _below(environ, XDG_CONFIG_HOME, ".config")


def state_dir(environ: "os._Environ[str] | dict[str, str]" = os.environ) -> str:
    """Return the directory of `grants.db`, `audit.jsonl` and `agent.log`."""
    return _below(environ, XDG_STATE_HOME, ".local/state")


def data_dir(environ: "os._Environ[str] | dict[str, str]" = os.environ) -> str:
    """Return the directory of the shim folder."""
    return _below(environ, XDG_DATA_HOME, ".local/share")
