"""`why`: the rule that would answer now, told without asking anybody anything."""

import asyncio
from collections.abc import Callable, Collection, Coroutine
from dataclasses import replace
from typing import Any

import pytest

from tests.core.fakes import ACME, KEY, ME, World
from tests.core.test_broker_races import full
from tool_agentd.api.why import explanation_json
from tool_agentd.api.words_why import explanation
from tool_agentd.broker import TokenAsk
from tool_agentd.broker.standing import IDLE
from tool_agentd.broker.why import Chosen, Explanation, Rule, Why
from tool_agentd.errors import LoginRequiredError, TemporarilyUnavailableError, UnknownToolError
from tool_agentd.model import NOBODY, AccountKey, Consent, GrantKind, Peer, Requester
from tool_agentd.policy import Ask, Rules, Table
from tool_agentd.secret import Secret

ASK = TokenAsk("acme")


def run(story: Callable[[World], Coroutine[Any, Any, None]], text: str = ACME) -> None:
    """Run a story in a world with one tool."""

    async def told() -> None:
        await asyncio.wait_for(story(World(acme=text)), 10)

    asyncio.run(told())


async def why(
    world: World,
    present: Collection[str] | None = None,
    account: str | None = None,
    peer: Peer = NOBODY,
) -> Explanation:
    """Explain; nothing may be sent for it, and no secret may be in what is said."""
    provider = world.provider
    sent = (provider.refreshes, len(provider.requests), len(provider.revoked))
    found = await Why(world.broker, world.clock).explain("acme", account, present, peer)
    assert sent == (provider.refreshes, len(provider.requests), len(provider.revoked))
    said = explanation(found) + repr(explanation_json(found))
    for secret in (*provider.living, *provider.rotated, "access-"):
        assert secret not in said
    return found


def test_the_rule_follows_the_token() -> None:
    """None, fresh, ageing, over: what a request would meet at each moment."""

    async def story(world: World) -> None:
        await world.signed_in()
        first = await why(world)
        assert (first.rule, first.token, first.chosen) == (Rule.REFRESH, None, Chosen.ONLY)
        assert first.refreshes_at == "https://acme.example/token"
        assert "presented at https://acme.example/token" in explanation(first)
        await world.broker.token(ASK, ME)
        assert (await why(world)).rule is Rule.TOKEN
        world.clock.advance(3600 - 250)
        found = await why(world)
        assert found.rule is Rule.TOKEN_AND_REFRESH
        assert "250 s" not in explanation(found)
        assert "4 min left of 60 min" in explanation(found)
        token = explanation_json(found)["token"]
        assert (token["margin"], token["window"], token["left"]) == (60.0, 300.0, 250.0)
        world.clock.advance(200)
        assert (await why(world)).rule is Rule.REFRESH

    run(story)


def test_the_policy_is_what_a_request_would_meet() -> None:
    """A lock, and a limit that leaves nothing of the login, are said where they would deny."""

    async def story(world: World) -> None:
        await world.signed_in()
        assert (await why(world)).policy.verdict == "allow"
        world.broker.gate.table = Table({"acme": Rules(max_scope=frozenset({"admin"}))})
        found = (await why(world)).policy
        assert (found.verdict, found.rule) == ("deny", "max_scope in config.toml")
        world.broker.gate.locked = True
        found = (await why(world)).policy
        assert (found.verdict, found.detail) == ("deny", "the agent is locked")

    run(story)


def test_the_persons_variable_goes_before() -> None:
    """It wins where it is set; where the client did not look, nobody says that it is unset."""

    async def story(world: World) -> None:
        await world.signed_in()
        await world.broker.token(ASK, ME)
        found = await why(world, {"ACME_KEY"})
        assert (found.rule, found.credential) == (Rule.VARIABLE, "key")
        assert "your own ACME_KEY" in explanation(found)
        assert "ACME_KEY: set" in explanation(found)
        assert (await why(world, set())).rule is Rule.TOKEN
        assert "ACME_KEY: not set" in explanation(await why(world, set()))
        unasked = await why(world)
        assert explanation_json(unasked)["variables"][0]["set"] is None
        assert "set;" not in explanation(unasked)

    run(story)


def test_nobody_is_signed_in() -> None:
    """Nothing answers; the command that helps is named."""

    async def story(world: World) -> None:
        found = await why(world, set())
        assert (found.rule, found.credential, found.chosen) == (
            Rule.NOTHING,
            None,
            Chosen.DEFAULT,
        )
        assert "tool-agent login acme" in explanation(found)
        assert "No history" in explanation(found)
        with pytest.raises(UnknownToolError):
            await Why(world.broker, world.clock).explain("ghost", None, None)

    run(story)


def test_a_lost_login_is_explained() -> None:
    """Why it ended, when, and what was done before it, one line an event."""

    async def story(world: World) -> None:
        await world.signed_in()
        await world.broker.token(ASK, ME)
        world.clock.advance(3600)
        world.provider.living.clear()
        with pytest.raises(LoginRequiredError):
            await world.broker.token(ASK, ME)
        world.restarted()
        found = await why(world)
        text = explanation(found)
        assert found.rule is Rule.NOTHING
        assert "invalid_grant" in text
        said = explanation_json(found)
        assert said["state"] == "expired"
        assert said["ended_at"] == world.clock.now().wall
        assert [line["event"] for line in said["history"]] == [
            "intent",
            "rotated",
            "persisted",
            "intent",
            "refused",
            "ended",
        ]
        lines = text[text.index("History") :].splitlines()[1:]
        assert len(lines) == 6
        assert "pid 4711, uid 1000" in lines[0]
        assert "the session ended by itself: " in lines[-1]

    run(story)


def test_trouble_is_told() -> None:
    """A login that is only in memory, and a renewal whose end nobody has heard."""

    async def story(world: World) -> None:
        await world.signed_in()
        world.store.write = full  # type: ignore[method-assign]  # the fault
        await world.broker.token(ASK, ME)
        assert "only in memory: the disk is full" in explanation(await why(world))
        world.clock.advance(3600)
        world.provider.gate = asyncio.Event()
        caller = asyncio.ensure_future(world.broker.token(ASK, ME))
        world.provider.arrived.clear()
        await world.provider.arrived.wait()
        assert any("has no result" in trouble for trouble in (await why(world)).trouble)
        world.provider.gate.set()
        await caller
        assert len((await why(world)).trouble) == 1

    run(story)


def test_a_failure_leaves_no_trouble() -> None:
    """What failed in an orderly way is history, and the next request tries again."""

    async def story(world: World) -> None:
        await world.signed_in()
        world.provider.down = True
        with pytest.raises(TemporarilyUnavailableError):
            await world.broker.token(ASK, ME)
        found = await why(world)
        assert (found.rule, found.trouble) == (Rule.REFRESH, [])
        assert "came to nothing: acme.example does not answer" in explanation(found)

    run(story)


def test_the_account_is_the_one_that_a_request_means() -> None:
    """Named, chosen, the only one or the default."""

    async def story(world: World) -> None:
        await world.signed_in()
        await world.signed_in(label="work")
        assert (await why(world)).chosen is Chosen.DEFAULT
        named = await why(world, account="work")
        assert (named.key, named.chosen) == (AccountKey("acme", "work"), Chosen.NAMED)
        await world.broker.switch("acme", "work")
        assert (await why(world)).chosen is Chosen.SWITCHED
        assert "work at acme (chosen by 'account switch')" in explanation(await why(world))

    run(story)


def test_a_stored_key_answers_as_it_is() -> None:
    """No token, no renewal, no end."""

    async def story(world: World) -> None:
        grant = await world.signed_in()
        await world.store.delete(grant)
        key = replace(grant, kind=GrantKind.API_KEY, method="api-key", credential="key", scopes=())
        await world.store.write(key, Secret("ak_secret1"), expected=0)
        await world.broker.token(ASK, ME)
        found = await why(world)
        assert (found.rule, found.credential) == (Rule.STORED, "key")
        assert "the stored key, as it is" in explanation(found)
        assert "ak_secret1" not in explanation(found) + repr(explanation_json(found))
        assert explanation_json(found)["token"] is None
        assert found.key == KEY

    run(story)


def test_a_variable_that_counts_after_the_session_answers_without_one() -> None:
    """A definition whose session comes first: the variable only fills the gap."""
    later = ACME.split("[[credential]]")
    text = "[[credential]]".join([later[0], "\n" + later[2].split("[login")[0], later[1]])
    text += "\n[login" + "[login".join(later[2].split("[login")[1:])

    async def story(world: World) -> None:
        assert (await why(world, {"ACME_KEY"})).rule is Rule.VARIABLE_AFTER
        await world.signed_in()
        world.restarted()
        assert (await why(world, {"ACME_KEY"})).rule is Rule.REFRESH

    run(story, text)


TYPED = Peer(
    1000, 1000, 4711, "/usr/bin/python3", Requester(4000, "/usr/bin/bash", 4000, 77, "pts/3")
)


@pytest.mark.parametrize(
    ("rules", "verdict", "rule", "detail", "hint"),
    [
        (Rules(), "allow", "same user", None, None),
        (Rules(deny=("bash",)), "deny", "deny = 'bash'", "/usr/bin/bash may not", "[policy.acme]"),
        (Rules(allow=("make",)), "deny", "allow", "is none of the programs", "'allow'"),
        (
            Rules(confirm=Ask.ALWAYS),
            "deny",
            'confirm = "always"',
            "nobody can be asked",
            "'tool-agent approve'",
        ),
        (Rules(max_scope=frozenset(("read",))), "allow", "same user", None, None),
    ],
)
def test_the_policy_says_what_it_would_answer(
    rules: Rules, verdict: str, rule: str, detail: str | None, hint: str | None
) -> None:
    """Verdict, rule, detail and hint, in JSON and in words, as a request would meet them."""

    async def story(world: World) -> None:
        await world.signed_in()
        world.broker.gate.table = Table({"acme": rules})
        found = await why(world, peer=TYPED)
        policy = explanation_json(found)["policy"]
        assert (policy["verdict"], policy["rule"]) == (verdict, rule)
        for expected, said in ((detail, policy["detail"]), (hint, policy["hint"])):
            assert said is None if expected is None else expected in said
        assert policy["max_scope"] == (["read"] if rules.max_scope else None)
        assert rule in explanation(found)

    run(story)


def test_the_policy_says_who_would_ask_and_until_when_it_is_approved() -> None:
    """Asked by a terminal; then approved for this session; another one would be asked."""

    async def story(world: World) -> None:
        broker, desk = world.broker, world.broker.desk
        broker.gate.table = Table({"acme": Rules(confirm=Ask.SESSION)})
        await world.signed_in()
        looking = asyncio.ensure_future(desk.look(TYPED, 0, 5))
        await asyncio.sleep(0)
        policy = explanation_json(await why(world, peer=TYPED))["policy"]
        assert policy["verdict"] == "ask"
        assert policy["detail"] == "you would be asked by a terminal with 'tool-agent approve'"
        asking = asyncio.ensure_future(broker.token(ASK, TYPED))
        desk.answer((await looking).waiting[0].id, Consent.SESSION, TYPED)
        await asking
        found = await why(world, peer=TYPED)
        policy = explanation_json(found)["policy"]
        assert policy["verdict"] == "allow"
        assert policy["detail"] == "approved for this terminal session"
        assert policy["until"] == world.clock.now().wall + IDLE
        assert "approved for this terminal session" in explanation(found)
        other = replace(TYPED, requester=Requester(5000, "/usr/bin/bash", 5000, 78, "pts/4"))
        assert explanation_json(await why(world, peer=other))["policy"]["verdict"] == "ask"

    run(story)
