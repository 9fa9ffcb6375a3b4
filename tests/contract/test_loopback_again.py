"""The loopback listener of logins that begin anew, and of logins that bring something else."""

from tests.contract.test_loopback import GOOD, Answered, ask, listening, run
from tool_agentd.adapters.loopback import LoopbackListeners
from tool_agentd.model import Page


def test_a_page_that_goes_on_leaves_the_listener_for_one_more_callback() -> None:
    """The browser is sent on by the page itself; only the last page ends the listener."""

    async def story(answered: Answered) -> None:
        answered.gate.set()
        onward = "https://id.example/authorize?state=2&x=<"
        answered.page = Page("Not yet", "Make an organization first.", ok=False, goes_on=onward)
        async with listening(answered) as listener:
            redirect = await ask(listener, "/callback?error=e&state=1")
            page = await ask(listener, redirect.headers["location"])
            assert "Make an organization first." in page.body
            assert (
                '<meta http-equiv="refresh" '
                'content="4;url=https://id.example/authorize?state=2&amp;x=&lt;">'
            ) in page.body
            answered.page = GOOD
            redirect = await ask(listener, "/callback?code=c&state=2")
            assert redirect.status == 303
            page = await ask(listener, redirect.headers["location"])
            assert "alice@example.com" in page.body
            assert "http-equiv" not in page.body
            await listener.wait_closed()
        assert answered.targets == ["/callback?error=e&state=1", "/callback?code=c&state=2"]

    run(story)


def test_a_listener_takes_what_its_login_brings() -> None:
    """A key in a parameter is a callback only where the login says so."""

    async def story(answered: Answered) -> None:
        answered.gate.set()
        async with listening(answered) as listener:
            assert (await ask(listener, "/callback?api_key=k")).status == 400
        listeners = LoopbackListeners()
        listener = await listeners.listen("127.0.0.1", 0, "/callback", answered, brings="api_key")
        try:
            assert (await ask(listener, "/callback?code=c")).status == 400
            assert (await ask(listener, "/callback?api_key=k")).status == 303
        finally:
            await listener.close()

    run(story)
