"""Acme with files of its own: a session that it reads from one, in place or moved by variable."""

from tests.core.fakes import ACME

ACME_FILES = (
    ACME
    + """
[file.session]
credential = "session"
path = "~/.acme/session.json"
in_place = true
min_ttl = "5m"

[file.session.content]
access = "{access_token}"
refresh = ""
left = "{expires_in}"
how = "{method}"

[file.session.read]
refresh_token = "refresh"
access_token = "access"
method = "how"

[file.key]
credential = "key"
path = "~/.acme/key.json"
in_place = true
content = { key = "{secret}" }
read = { secret = "key" }
"""
)

ACME_MOVED = ACME_FILES.replace(
    'path = "~/.acme/session.json"\nin_place = true',
    'path = "{config}/acme/session.json"\ndirectory_env = "XDG_CONFIG_HOME"',
)
