"""One tool with each flow of a login, and what every story of a login begins with."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from tests.core.fakes import KEY, ORIGIN, World
from tool_agentd.broker.login import LoginView
from tool_agentd.broker.logins import LoginOrder
from tool_agentd.model import HttpReply
from tool_agentd.secret import Secret

HEAD = f"""
schema = 1
name = "acme"
title = "Acme"
origins = ["{ORIGIN}"]
errors = {{ code = ["error.code"], text = ["error.detail"] }}

"""

SESSION = (
    HEAD
    + """
[[credential]]
id = "session"
source = "session"
headers = { Authorization = "Bearer {access_token}" }
expiry = { field = "expiry" }
"""
)

KEPT = f"""
[identity.session]
request = {{ get = "{ORIGIN}/me" }}
subject = "actor"
text = ["I am app {{slug}}", "I am {{email}}"]
[identity.session.fields]
email = {{ kept = "email" }}
actor = {{ kept = "actor" }}
slug = {{ kept = "slug" }}

[refresh]
token = "{ORIGIN}/token"
client_id = "cli"
fatal_status = [422]
"""

DEVICE = (
    SESSION
    + KEPT
    + f"""
[login.device]
flow = "device"
client_id = "cli"
authorization = "{ORIGIN}/device"
token = "{ORIGIN}/poll"
pkce = "S256"
scope = "read"
pending = ["auth_pending"]
slow_down = ["rate_limited"]
keep = {{ email = "email", actor = "who.actor", slug = "slug", stolen = "refresh_token" }}
"""
)

RETRY = (
    SESSION
    + f"""
[login.browser]
flow = "oauth_code"
client_id = "client"
authorize = "{ORIGIN}/authorize"
token = "{ORIGIN}/token"
retry = [{{ when_error_contains = "no organization", max = 2, say = "Make one first." }}]
"""
)

STEPS = (
    SESSION
    + KEPT
    + f"""
[login.browser]
flow = "oauth_code"
client_id = "client"

[login.browser.begin]
take = {{ url = "data.auth_url" }}
[login.browser.begin.request]
post = "{ORIGIN}/create"
json = {{ challenge = "{{challenge}}", state = "{{state}}", redirect_url = "{{redirect_uri}}" }}

[login.browser.redeem]
take = {{ expiry = "data.expiry", email = "data.email", actor = "data.actor", slug = "data.slug" }}
take_secret = {{ access_token = "data.access_token", refresh_token = "data.refresh_token" }}
[login.browser.redeem.request]
post = "{ORIGIN}/exchange"
json = {{ challenge = "{{verifier}}", code = "{{code}}" }}

[login.browser.obtain]
access_token = "access_token"
refresh_token = "refresh_token"
expires_at = "expiry"
name = "email"
subject = "actor"
keep = ["email", "actor", "slug"]
"""
)

LOOPBACK = (
    HEAD
    + f"""
[[credential]]
id = "key"
source = "stored"
pattern = "ak_[a-z0-9]+"
headers = {{ Authorization = "Key {{secret}}" }}

[identity.key]
request = {{ get = "{ORIGIN}/me" }}
subject = "email"
fields = {{ email = "email" }}

[login.browser]
flow = "loopback_secret"
credential = "key"
open = "{ORIGIN}/auth/cli?callback={{callback}}"
parameter = "api_key"
"""
)


def run(definition: str, story: Callable[[World], Coroutine[Any, Any, None]]) -> None:
    """Run a story in a world with this definition of acme."""

    async def told() -> None:
        await asyncio.wait_for(story(World(acme=definition)), 10)

    asyncio.run(told())


async def begun(world: World, **more: Any) -> LoginView:  # noqa: ANN401 - LoginOrder's fields
    """Start a login and wait until it waits for its person."""
    order = LoginOrder(world.catalogue.get("acme"), KEY, **more)
    view, _ = await world.broker.start_login(order)
    return await world.broker.login(view.id).watch("starting", 5)


async def ended(world: World, view: LoginView) -> LoginView:
    """Wait for a login's end."""
    login = world.broker.login(view.id)
    await login.finished()
    return login.view


def text(value: object) -> str:
    """Return a form's value."""
    return value.reveal() if isinstance(value, Secret) else str(value)


def token_reply(world: World, **more: object) -> HttpReply:
    """Return a token reply that says its end as a moment."""
    end = world.clock.now().wall + 3600
    return world.provider.json(
        {
            "access_token": "first",
            "token_type": "Bearer",
            "expiry": end,
            "email": "ada@acme.example",
            "who": {"actor": "user:1"},
            **more,
        }
    )
