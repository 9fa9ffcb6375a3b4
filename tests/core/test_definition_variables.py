"""The person's variables: what a definition says of them, and what the broker makes of a value."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import pytest

from tests.core.fakes import ACME, ME, ORIGIN, World
from tool_agent.variables import Entry
from tool_agentd.broker import TokenAsk
from tool_agentd.broker.selection import own_credential, own_spec
from tool_agentd.definition.credentials import (
    PersonVariable,
    identity_request,
    person_variables,
    tool_agent_env_header,
)
from tool_agentd.definition.decode import decode
from tool_agentd.definition.vocabulary import ToolDefinition
from tool_agentd.errors import CheckEnvError, InvalidRequestError
from tool_agentd.secret import Secret

SESSION = '[[credential]]\nid = "session"\nsource = "session"\n'
KEY = '[[credential]]\nid = "key"\nsource = { env = ["ACME_KEY"], stored = true }'

PAIR = """[[credential]]
id = "pair"
source = { all_of = ["ACME_ID", "ACME_SECRET"], dotenv = "ACME_NO_DOTENV" }
pattern = "sh+"
[credential.headers]
X-Id = "{ACME_ID}"
Authorization = "Key {secret}"

"""

TAKEN = """[[credential]]
id = "auth"
source = { env = ["ACME_AUTH_KEY", "ACME_AUTH"], login = "auth-key" }

"""

EXCHANGE = f"""
[identity.pair]
request = {{ get = "{ORIGIN}/me", headers = {{ X-Both = "{{ACME_ID}}:{{secret}}" }} }}
text = "I am {{email}}"
[identity.pair.fields]
email = "email"

[login.auth-key]
flow = "exchange"
credential = "session"
[[login.auth-key.step]]
ask = [{{ name = "auth_key", label = "Auth key: ", secret = true }}]
[login.auth-key.step.request]
post = "{ORIGIN}/auth-key"
json = {{ key = "{{auth_key}}" }}
[login.auth-key.step.take_secret]
given = "token"
[login.auth-key.obtain]
access_token = "given"
"""


def written(before: str = "", after: str = "") -> str:
    """Return the fakes' definition with credentials before and after its session."""
    exchange = EXCHANGE if "pair" in before + after else EXCHANGE[EXCHANGE.index("[login.") :]
    return (
        ACME.replace(KEY, before + KEY).replace("[login.browser]", after + "[login.browser]", 1)
        + exchange
    )


def definition(before: str = "", after: str = "") -> ToolDefinition:
    """Decode it."""
    return decode(written(before, after), "acme.toml")


def revealed(table: Mapping[str, str | Secret]) -> dict[str, str]:
    """Return headers as they are sent."""
    return {n: v.reveal() if isinstance(v, Secret) else v for n, v in table.items()}


def both(secret: str = "shh", **others: str) -> tuple[str, Secret, dict[str, Secret]]:  # noqa: S107 - a secret of the test's own
    """Return the pair as a request carries it."""
    values = {"ACME_ID": "id", "ACME_SECRET": secret} | others
    return "ACME_SECRET", Secret(secret), {name: Secret(text) for name, text in values.items()}


def told(story: Callable[[World], Coroutine[Any, Any, None]], text: str) -> None:
    """Tell a story in a world with this definition."""

    async def begin() -> None:
        await asyncio.wait_for(story(World(acme=text)), 10)

    asyncio.run(begin())


# -- the entries that clients read -------------------------------------------------------------


def test_each_kind_of_variable_has_its_entry() -> None:
    """Pairs with every header, alternatives of a login, and none of them twice."""
    header = tool_agent_env_header(definition(PAIR, TAKEN))
    assert header == (
        "ACME_ID+ACME_SECRET; before=session; header=X-Id%3A%20%7BACME_ID%7D"
        "; header=Authorization%3A%20Key%20%7B%7D; dotenv=ACME_NO_DOTENV, "
        "ACME_KEY; before=session; header=Authorization%3A%20Key%20%7B%7D, "
        "ACME_AUTH_KEY ACME_AUTH; after=session; login=auth-key"
    )
    pair, key, taken = [Entry(part) for part in header.split(",")]
    assert pair.choices == (("ACME_ID", "ACME_SECRET"),)
    assert pair.headers == ("X-Id: {ACME_ID}", "Authorization: Key {}")
    assert (pair.before, pair.dotenv, pair.login) == (True, "ACME_NO_DOTENV", "")
    assert (key.choices, key.before, key.dotenv) == ((("ACME_KEY",),), True, "")
    assert taken.choices == (("ACME_AUTH_KEY",), ("ACME_AUTH",))
    assert (taken.before, taken.login, taken.headers) == (False, "auth-key", ())


def test_a_variable_that_a_login_takes_never_wins_over_the_session() -> None:
    """Even where the definition has it first: a login is no credential."""
    found = definition(TAKEN)
    assert "ACME_AUTH_KEY ACME_AUTH; after=session" in tool_agent_env_header(found)
    assert person_variables(found)[0] == PersonVariable(
        "ACME_AUTH_KEY", "auth", before_session=False, login="auth-key"
    )


def test_the_order_of_the_file_is_the_precedence() -> None:
    """A pair before the session and one after it."""
    assert [one.before_session for one in person_variables(definition(PAIR))] == [True, True, True]
    assert [(one.name, one.before_session) for one in person_variables(definition(after=PAIR))] == [
        ("ACME_KEY", True),
        ("ACME_ID", False),
        ("ACME_SECRET", False),
    ]


# -- values that a request carries -------------------------------------------------------------


def test_a_pair_fills_its_headers_and_its_identity_request() -> None:
    """Each variable where the definition names it, the secret where it says so."""
    found = definition(PAIR)
    mine = own_credential(found, both())
    assert (mine.id, mine.value.reveal()) == ("pair", "shh")
    assert revealed(mine.headers) == {"X-Id": "id", "Authorization": "Key shh"}
    spec = own_spec(found, "ACME_ID")
    request = identity_request(found, spec, mine.value, mine.others)
    assert request is not None
    assert revealed(request.headers) == {
        "X-Id": "id",
        "Authorization": "Key shh",
        "X-Both": "id:shh",
    }
    assert "shh" not in repr(mine)


@pytest.mark.parametrize(
    ("own", "words"),
    [
        (("ACME_SECRET", Secret("shh")), "ACME_SECRET counts only together with ACME_ID"),
        (("ACME_ID", Secret("id")), "ACME_ID counts only together with ACME_SECRET"),
        (both(ACME_ID=""), "ACME_SECRET counts only together with ACME_ID"),
        (both("loud"), "does not have the shape of the credential 'pair'"),
        (both(ACME_ID="a\r\nb"), "the value of {ACME_ID} contains a line break"),
        (("ACME_AUTH", Secret("k")), "the login by auth-key takes it"),
        (("PATH", Secret("k")), "acme does not read 'PATH'"),
    ],
)
def test_what_is_no_credential_is_refused_before_it_is_sent(
    own: tuple[str, Secret], words: str
) -> None:
    """Half a pair, another shape, what a login takes; no text shows a value."""
    with pytest.raises(InvalidRequestError) as caught:
        own_credential(definition(PAIR, TAKEN), own)
    assert words in caught.value.detail
    for secret in ("shh", "loud"):
        assert secret not in f"{caught.value.detail} {caught.value.hint}"


def test_variables_that_the_definition_does_not_name_fill_nothing() -> None:
    """A request cannot put values of its own into a header."""
    mine = own_credential(definition(PAIR), both(access_token="other", PATH="x"))  # noqa: S106 - no secret, a name that must not count
    assert set(mine.others) == {"ACME_ID", "ACME_SECRET"}
    assert revealed(mine.headers) == {"X-Id": "id", "Authorization": "Key shh"}


def test_a_single_variable_needs_no_others() -> None:
    """As ever."""
    mine = own_credential(definition(PAIR), ("ACME_KEY", Secret("ak_own")))
    assert (mine.id, mine.others) == ("key", {})


def test_whoami_asks_with_the_whole_pair() -> None:
    """The platform sees both, and nothing is stored or kept."""

    async def story(world: World) -> None:
        world.provider.keys.add("shh")
        who, mine = await world.broker.identity(TokenAsk("acme"), ME, both())
        assert (who.identity.name, mine.account) == ("ada@acme.example", "")
        assert not world.broker.sessions.loaded, "no store was touched"

    told(story, written(PAIR))


# -- the client has to look first --------------------------------------------------------------


@pytest.mark.parametrize(
    ("unset", "choosing", "refused"),
    [
        (None, True, False),
        ("", False, True),
        ("ACME_KEY", False, True),
        ("ACME_KEY, ACME_ID", False, True),
        ("ACME_KEY, ACME_ID, ACME_SECRET", False, False),
        ("ACME_KEY, ACME_ID, ACME_SECRET", True, True),
        ("ACME_KEY, ACME_ID, ACME_SECRET, ACME_AUTH", True, True),
        ("ACME_AUTH_KEY,ACME_KEY,ACME_ID,ACME_SECRET,ACME_AUTH", True, False),
    ],
)
def test_the_client_looks_before_anything_is_done(
    unset: str | None, *, choosing: bool, refused: bool
) -> None:
    """For every variable of a pair; for those of a login where it would choose the method."""

    async def story(world: World) -> None:
        ask = TokenAsk("acme", unset=unset)
        try:
            world.broker.check_env(world.catalogue.get("acme"), ask, choosing=choosing)
        except CheckEnvError:
            assert refused
        else:
            assert not refused

    told(story, written(PAIR, TAKEN))


def test_no_store_is_touched_before_the_client_has_looked() -> None:
    """Neither to load sessions nor to renew a token."""

    async def story(world: World) -> None:
        await world.signed_in()
        ask = TokenAsk("acme", unset="ACME_KEY")
        with pytest.raises(CheckEnvError):
            await world.broker.token(ask, ME)
        assert not world.broker.sessions.loaded
        await world.broker.load()
        with pytest.raises(CheckEnvError):
            await world.broker.token(ask, ME)
        assert world.provider.refreshes == 0
        looked = TokenAsk("acme", unset="ACME_KEY, ACME_ID, ACME_SECRET")
        assert (await world.broker.token(looked, ME)).id == "session"

    told(story, written(PAIR))
