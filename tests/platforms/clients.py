"""The OAuth clients that are registered at CRE, with what each may ask for."""

import re
from dataclasses import dataclass

CRE_AUDIENCE = "https://api.cre.chain.link/"
WORKFLOWS_AUDIENCE = "https://workflows.example/"
REPORTS_AUDIENCE = "https://reports.example/"

OPENID_SCOPES = ("openid", "profile", "email", "offline_access")
API_SCOPES = ("workflows:read", "workflows:deploy", "reports:read")

_LOOPBACK = re.compile(r"http://(127\.0\.0\.1|localhost|\[::1\])(:[0-9]{1,5})?(/[^?#]*)")


@dataclass(frozen=True)
class Client:
    """A public client (RFC 6749 section 2.1): it has no secret.

    `redirects` are compared character for character; `loopback_path` admits any loopback host and
    port with exactly that path (RFC 8252 section 7.3). The first audience is the default.
    """

    id: str
    name: str
    redirects: tuple[str, ...]
    loopback_path: str
    scopes: tuple[str, ...]
    audiences: tuple[str, ...]

    def redirects_to(self, uri: str) -> bool:
        """Whether an authorization may end there."""
        if uri in self.redirects:
            return True
        found = _LOOPBACK.fullmatch(uri)
        return bool(self.loopback_path and found and found[3] == self.loopback_path)


CLIENTS = {
    client.id: client
    for client in (
        Client(
            id="cre-cli-practice",
            name="CRE CLI",
            redirects=("http://localhost:53682/callback",),
            loopback_path="",
            scopes=(*OPENID_SCOPES, *API_SCOPES),
            audiences=(CRE_AUDIENCE, WORKFLOWS_AUDIENCE, REPORTS_AUDIENCE),
        ),
        Client(
            id="workflow-tools",
            name="Workflow tools",
            redirects=(),
            loopback_path="/callback",
            scopes=(*OPENID_SCOPES, *API_SCOPES),
            audiences=(WORKFLOWS_AUDIENCE, REPORTS_AUDIENCE, CRE_AUDIENCE),
        ),
        Client(
            id="reader-without-refresh",
            name="Report reader",
            redirects=(),
            loopback_path="/callback",
            scopes=("openid", "profile", "email", "reports:read"),
            audiences=(REPORTS_AUDIENCE,),
        ),
    )
}
