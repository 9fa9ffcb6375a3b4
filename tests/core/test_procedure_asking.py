"""Questions of steps: what counts as an answer, and what is said of one that does not."""

import asyncio
from typing import Any

import msgspec
import pytest

from tests.core.scripted import Typist, bare, new_login
from tool_agentd.broker.asking import ANSWER_MAX, Asking, slug
from tool_agentd.broker.login import Login
from tool_agentd.broker.values import Values
from tool_agentd.definition.steps import Ask
from tool_agentd.secret import Secret

KEY: dict[str, Any] = {"secret": True, "pattern": "ena_[a-z]+", "shape": "ena_<letters>"}


def ask(*typed: str, preset: dict[str, str] | None = None, **fields: object) -> tuple[Login, str]:
    """Ask one question, which is answered so; return the login and the value."""
    login = new_login()
    values = Values({"email": "a@b", "secret": Secret("hush")})
    question = msgspec.convert({"name": "it", "label": "It: ", **fields}, Ask)

    async def story() -> None:
        typing = asyncio.ensure_future(Typist(login, *typed).run())
        await asyncio.wait_for(Asking(login, preset or {}).ask(question, values), 5)
        await typing

    asyncio.run(story())
    return login, bare(values["it"])


def complaint(*typed: str, **fields: object) -> str:
    """Return what is said of a first answer that is wrong; the second is taken."""
    login = new_login()
    question = msgspec.convert({"name": "it", "label": "It: ", **fields}, Ask)
    typist = Typist(login, *typed)

    async def story() -> None:
        typing = asyncio.ensure_future(typist.run())
        await asyncio.wait_for(Asking(login, {}).ask(question, Values()), 5)
        await typing

    asyncio.run(story())
    notice = typist.views[1].notice
    assert notice is not None
    assert login.view.notice is None
    return notice.detail + (notice.hint or "")


def test_plain_answers_are_trimmed() -> None:
    """Blanks around a plain answer and around a key are none of it; a password keeps its own."""
    assert ask(" Ada ")[1] == "Ada"
    assert ask(" ena_a\n", **KEY)[1] == "ena_a"
    assert ask(" pass word ", secret=True)[1] == " pass word "


def test_defaults() -> None:
    """An empty answer is the default, which may use what was asked before; never a secret."""
    assert ask("", default="{email}")[1] == "a@b"
    assert ask("", default="x{secret}")[1] == "x"
    assert ask("", default="")[1] == ""
    assert ask("c@d", default="{email}")[1] == "c@d"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [("Acme Inc.", "acme-inc"), ("  Ünïted -- 42 ", "united-42"), ("a_b", "a-b"), ("!", "")],
)
def test_slug(text: str, wanted: str) -> None:
    """A slug is what stands in addresses."""
    assert slug(text) == wanted


def test_slug_of_the_answer() -> None:
    """The answer becomes a slug too, and the prompt shows the default as one."""
    assert ask("My Org", form="slug")[1] == "my-org"
    login = new_login()
    typist = Typist(login, "")
    question = msgspec.convert(
        {"name": "it", "label": "It: ", "form": "slug", "default": "{org}", "option": "--it"}, Ask
    )
    values = Values({"org": "Acme Inc."})

    async def story() -> None:
        typing = asyncio.ensure_future(typist.run())
        await Asking(login, {}).ask(question, values)
        await typing

    asyncio.run(story())
    prompt = typist.views[0].prompts[0]
    assert (prompt.default, prompt.option, values.text("it")) == ("acme-inc", "--it", "acme-inc")


def test_wrong_answers_are_asked_again() -> None:
    """Each kind of wrong answer is said, and asked again."""
    assert "an answer is needed" in complaint("", "x")
    assert "member, admin" in complaint("boss", "member", choices=["member", "admin"])
    assert "does not print" in complaint("a\x1b[2Jb", "x")
    assert str(ANSWER_MAX) in complaint("x" * (ANSWER_MAX + 1), "x")
    assert "an answer is needed" in complaint("!!", "x", form="slug")


def test_a_secret_is_never_repeated() -> None:
    """What is wrong with a secret is said by its shape."""
    said = complaint("ghp_verysecret", "ena_a", **KEY)
    assert "ena_<letters>" in said
    assert "verysecret" not in said
    assert "does not print" in complaint("a\nb", "x", secret=True)


def test_given_in_advance() -> None:
    """An answer given in advance is taken without a question; a wrong one is asked."""
    login, value = ask(preset={"it": "Ada"})
    assert (value, login.view.revision) == ("Ada", 0)
    login, value = ask("member", preset={"it": "boss"}, choices=["member"])
    assert (value, login.view.notices) == ("member", 1)


def test_asked_once() -> None:
    """What an earlier step has asked is not asked again."""
    login = new_login()
    values = Values({"it": "there"})
    question = msgspec.convert({"name": "it", "label": "It: "}, Ask)
    asyncio.run(Asking(login, {}).ask(question, values))
    assert (values.text("it"), login.view.revision) == ("there", 0)
