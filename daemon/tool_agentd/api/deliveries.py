"""The routes that deliver a tool's own file to a command, and that import a login from one."""

from tool_agent import wire
from tool_agentd.api.answers import Answer
from tool_agentd.api.call import Body, Call, Json, reads
from tool_agentd.api.credentials import no_variable, token_ask
from tool_agentd.broker import Broker
from tool_agentd.broker.deliveries import Deliveries
from tool_agentd.broker.importing import Importing, ImportOrder, ImportReport
from tool_agentd.definition.files import CONFIG_VARIABLE, HOME_VARIABLE
from tool_agentd.errors import InvalidRequestError
from tool_agentd.model import GrantKind

KINDS = {
    GrantKind.REFRESH_TOKEN: "login",
    GrantKind.API_KEY: "API key",
    GrantKind.SESSION: "session",
}
"""What the person is told that was found."""


class DeliveryBody(Body, frozen=True):
    """The body of POST .../deliveries."""

    account: str | None = None
    min_ttl: str | None = None
    directories: dict[str, str] = {}
    """HOME and XDG_CONFIG_HOME as the command will have them."""


class ImportBody(Body, frozen=True):
    """The body of POST .../import."""

    account: str | None = None
    keep: bool = False
    dry_run: bool = False
    origin: str | None = None
    """Where the login was issued, where its file does not say."""
    directories: dict[str, str] = {}


class DeliveryRoutes:
    """Deliveries and imports."""

    def __init__(self, broker: Broker, deliveries: Deliveries, importing: Importing) -> None:
        """Serve from these."""
        self._broker = broker
        self._deliveries = deliveries
        self._importing = importing

    @reads(body=DeliveryBody)
    async def deliver(self, call: Call) -> Answer:
        """POST /v1/tools/{tool}/deliveries: for the process that asks, until it ends."""
        call.query()
        body = await call.json(DeliveryBody)
        given = {"account": body.account or "", "min_ttl": body.min_ttl}
        query = {name: value for name, value in given.items() if value is not None}
        request = token_ask(call, query, call.params[0])
        # First: a client that finds a variable of its person's takes nothing of what we would do.
        self._broker.check_env(self._broker.catalogue.get(request.tool), request)
        delivery = await self._deliveries.deliver(request, call.peer, _checked(body.directories))
        credential = delivery.credential
        if not credential.env and not delivery.files:
            raise no_variable(self._broker.catalogue.get(call.params[0]), credential)
        secrets = {name: value.reveal() for name, value in credential.env.items()}
        data: Json = {
            "schema": wire.SCHEMA,
            "account": credential.account,
            "credential": credential.id,
            "expires_at": credential.expires_at,
            "env": {**secrets, **delivery.directories},
            "variables": sorted(secrets),
            "files": list(delivery.files),
            "notes": list(delivery.notes),
        }
        return Answer(data, "".join(f"{n}={v}\n" for n, v in data["env"].items()), secret=True)

    @reads(body=ImportBody)
    async def take_over(self, call: Call) -> Answer:
        """POST /v1/tools/{tool}/import: move a login out of the tool's own file."""
        call.query()
        body = await call.json(ImportBody)
        tool = self._broker.catalogue.get(call.params[0])
        order = ImportOrder(tool, body.account, body.keep, body.dry_run, body.origin)
        report = await self._importing.run(order, _checked(body.directories), call.peer)
        data = {
            "schema": wire.SCHEMA,
            "tool": tool.name,
            "account": report.key.label,
            "path": report.path,
            "kind": report.kind.value,
            "method": report.method,
            "identity": report.identity.name or None,
            "imported": report.imported,
            "verified": report.verified,
            "erased": report.erased,
        }
        return Answer(data, _words(tool.title, report, keep=body.keep))


def _checked(directories: dict[str, str]) -> dict[str, str]:
    """Return the directories that the client names. Raises InvalidRequestError for others."""
    unknown = sorted(set(directories) - {HOME_VARIABLE, CONFIG_VARIABLE})
    if unknown:
        message = f"directories has no {unknown[0][:32]!r} here"
        raise InvalidRequestError(message, hint=f"it may have: {HOME_VARIABLE}, {CONFIG_VARIABLE}")
    return directories


def _words(title: str, report: ImportReport, *, keep: bool) -> str:
    """Return what `import` prints."""
    what = f"the {KINDS[report.kind]} of {title} in {report.path}"
    if not report.imported:
        text = f"Would import {what} as the account {report.key.label!r}"
        return text + (" and keep the file.\n" if keep else " and erase the file.\n")
    name = f" as {report.identity.name}" if report.identity.name else ""
    text = f"Imported {what}{name}.\n"
    if not report.verified:
        text += "It was not tried: the definition does not say how.\n"
    if report.erased:
        return text + "The file is erased: this login has one holder now.\n"
    if keep:
        return text + "The file is kept.\n"
    return text + "The file has changed meanwhile and is not erased: look at what is in it.\n"
