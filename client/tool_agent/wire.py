"""The contract both sides import: routes, media types, headers, error codes and exit statuses.

It imports nothing, because the hot commands load it.
"""

PROTOCOL = 1
"""Version of the HTTP contract; the path prefix `/v1` and `GET /v1/agent` carry it."""

SCHEMA = 1
"""The `schema` field of every `--json` output and JSON reply made for people's scripts."""

HOSTS = ("tool-agent", "localhost")
"""Values of `Host` that the agent answers; any other is a page that was rebound to the socket."""

# -- media types -------------------------------------------------------------------------------

JSON = "application/json"
PROBLEM = "application/problem+json"
"""RFC 9457."""
TEXT = "text/plain"
"""A success is the bare answer and an error's body is empty: a forgotten `curl -f` never makes an
error message a token."""
REPLY = "application/vnd.tool-agent.reply"
"""stdout in the body, exit status and stderr in headers: for clients that are pipes."""

# -- headers -----------------------------------------------------------------------------------

EXIT_HEADER = "Tool-Agent-Exit"
STDERR_HEADER = "Tool-Agent-Stderr"
"""Percent-encoded UTF-8."""
CODE_HEADER = "Tool-Agent-Code"
"""The error code of a reply for pipes."""
ENV_HEADER = "Tool-Agent-Env"
"""The variables that hold the person's own credential for a tool. Sent with every reply about a
tool, errors too: entries like `CRE_API_KEY; before=session`, separated by commas. An entry names
one variable, or alternatives separated by blanks (`GH_TOKEN GITHUB_TOKEN`), of which the first one
set counts; or several joined by `+` (`ACME_ID+ACME_SECRET`), which only count together and of which
the last one is the secret. Parameters, percent-encoded where they need it (always `%`, `,`, `;` and
blanks):

- `before=session`: the variable wins over the agent's session; `after=session`: it serves only
  where the reply is `login_required`.
- `header=Authorization%3A%20Apikey%20%7B%7D` (optional, one for each header): a header that the
  value belongs in, as `Authorization: Apikey {}`; `{}` is the value, which the agent never gets,
  and `{ACME_ID}` that of another variable of the entry. Without any a client cannot render the
  formats `header` and `curl` for the person's own value.
- `dotenv=ACME_DISABLE_DOTENV` (optional): a variable of the entry that is not in the environment
  may stand in the project's `.env`, unless this variable is set.
- `login=auth-key` (optional): the value is no credential. Where the reply is `login_required`, the
  client starts the login of this method, answers its first secret question with the value, and
  repeats the request. It always comes with `after=session`.
- `tool=cre`: which tool the entry is about; needed where the request named several.
"""
UNSET_HEADER = "Tool-Agent-Unset"
"""Sent by a client: the variables that it has found unset, separated by commas (empty at first).
A request that carries it and does not cover the tool's variables with `before=session` is answered
428 `check_env` before any store, keychain or provider is touched; the start of a login that names
no method must cover those with `login` as well. A variable that holds what the agent itself
exported (`tool_agent.paths.EXPORTED_PREFIX`) counts as unset, and so does one without the others
that it only counts with."""
INTERIM_HEADER = "Tool-Agent-Interim"
"""`102`, sent by a client that reads such answers: where the person has to be asked, it gets one,
with the two headers below, before its answer. Others just wait; many cannot read a 102."""
PROCESSING = 102
"""RFC 2518 section 10.1."""
WAIT_HEADER = "Tool-Agent-Wait"
"""Of an interim answer: how many seconds more the answer may take. `STDERR_HEADER` says why."""
MASK = "::add-mask::"
"""With `shell=github` the reply of `ENV` begins with the lines that mask each value; the client
prints these and appends the rest to the file that GITHUB_ENV names."""
NO_ACCOUNT = "-"
"""In a path, the account that the tool uses when none is named."""

# -- routes ------------------------------------------------------------------------------------

AGENT = "/v1/agent"
OPENAPI = "/v1/openapi.json"
TOOLS = "/v1/tools"
ACCOUNTS = "/v1/accounts"
ENV = "/v1/env"
LOGINS = "/v1/logins"
APPROVALS = "/v1/approvals"
"""The questions that wait for the person: `?wait=20&since=REVISION` is a long poll, and a POST to
`APPROVALS/ID` of `{"answer": "once"}`, `"session"` or `"no"` answers one."""
WHY = "/v1/why"
"""`WHY/cre?set=CRE_API_KEY` says what would answer now; `set` lists the variables that are set."""
SOCKETS = "/v1/sockets"
AUDIT = "/v1/audit"
"""`AUDIT?n=40&event=denial&tool=cre&since=2h`: the newest lines, the newest last."""
COMMANDS = "/v1/commands"
"""`COMMANDS/nrepo` says which tool the program of that name belongs to."""

# -- exit statuses (interface.md, "Exit codes") -------------------------------------------------

EXIT_OK = 0
EXIT_FAILURE = 1
EXIT_USAGE = 2
EXIT_CANCELLED = 3
EXIT_LOGIN_NEEDED = 4
EXIT_LOCKED = 5
EXIT_NO_AGENT = 69
EXIT_TRY_AGAIN = 75
EXIT_DENIED = 77
EXIT_CONFIG = 78
EXIT_EXEC_FAILED = 125
EXIT_NOT_EXECUTABLE = 126
EXIT_NOT_FOUND = 127
EXIT_INTERRUPTED = 130

# -- error codes: code -> (HTTP status, exit status) --------------------------------------------

ERRORS = {
    "login_required": (401, EXIT_LOGIN_NEEDED),
    "denied": (403, EXIT_DENIED),
    "unknown_tool": (404, EXIT_USAGE),
    "unknown_account": (404, EXIT_USAGE),
    "unknown_login": (404, EXIT_FAILURE),
    "not_found": (404, EXIT_FAILURE),
    "conflict": (409, EXIT_FAILURE),
    "cancelled": (409, EXIT_CANCELLED),
    "locked": (423, EXIT_LOCKED),
    "check_env": (428, EXIT_FAILURE),
    "invalid_request": (400, EXIT_USAGE),
    "too_large": (413, EXIT_USAGE),
    "configuration": (500, EXIT_CONFIG),
    "internal": (500, EXIT_FAILURE),
    "provider_error": (502, EXIT_FAILURE),
    "store_unavailable": (503, EXIT_TRY_AGAIN),
    "temporarily_unavailable": (503, EXIT_TRY_AGAIN),
}
