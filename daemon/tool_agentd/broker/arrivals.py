"""Arrivals: the browser that comes back to the loopback, or the address that the person pastes."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from tool_agentd.broker.login import Login, LoginState, Prompt
from tool_agentd.errors import AgentError, InvalidRequestError
from tool_agentd.model import Page
from tool_agentd.ports import Listener

REDIRECT_PROMPT = "redirect_url"


class Arrivals:
    """Callbacks, each with the page that its browser waits for."""

    def __init__(self) -> None:
        """Begin with none."""
        self._queue: asyncio.Queue[tuple[str, asyncio.Future[Page]]] = asyncio.Queue()
        self._ours: Callable[[str], bool] = lambda _: False

    def belongs_if(self, ours: Callable[[str], bool]) -> None:
        """Set what tells a callback of this login; before it, none is."""
        self._ours = ours

    def belongs(self, target: str) -> bool:
        """Tell whether a callback is this login's."""
        return self._ours(target)

    async def answer(self, target: str) -> Page:
        """Hand a callback over and wait for its page: what a listener is given."""
        page: asyncio.Future[Page] = asyncio.get_running_loop().create_future()
        self._queue.put_nowait((target, page))
        return await page

    async def next(self) -> tuple[str, asyncio.Future[Page]]:
        """Wait for the next callback."""
        return await self._queue.get()


class WaitingPage:
    """The page that the browser waits for, once it is back; a pasted address has none."""

    def __init__(self, title: str) -> None:
        """Begin without a browser; `title` is the platform's."""
        self.future: asyncio.Future[Page] | None = None
        self._title = title

    def signed_in(self, text: str) -> None:
        """Say that it is done."""
        self._show(Page(f"Signed in to {self._title}", text, ok=True))

    def failed(self, why: str) -> None:
        """Say what went wrong, unless something is said already."""
        self._show(Page(f"Not signed in to {self._title}", why, ok=False))

    def goes_on(self, why: str, url: str) -> None:
        """Say why it goes on at `url`; the browser then comes back once more."""
        self._show(Page(f"Not signed in to {self._title} yet", why, ok=False, goes_on=url))
        self.future = None

    def cancelled(self) -> None:
        """Say that nobody waits any more, unless something is said already."""
        self._show(Page("Not signed in", "The login was cancelled.", ok=False))

    def _show(self, page: Page) -> None:
        if self.future is not None and not self.future.done():
            self.future.set_result(page)


@asynccontextmanager
async def waiting_page(listener: Listener, title: str) -> AsyncIterator[WaitingPage]:
    """Give the page that the browser waits for; however the body ends, the browser is told.

    A listener whose page has been shown closes by itself.
    """
    page = WaitingPage(title)
    try:
        yield page
    except AgentError as error:
        page.failed(error.detail)
        raise
    finally:
        if page.future is None:
            await listener.close()
        page.cancelled()


async def arrival(
    login: Login, url: str, arrivals: Arrivals, read: Callable[[str], None]
) -> tuple[str, asyncio.Future[Page] | None]:
    """Send the person to `url`, and wait until they are back.

    Return the address they came back with, and the page that the browser waits for, None where the
    address was pasted. `read` raises InvalidRequestError for a text that is no callback of this
    login at all: that is a slip, and another may be pasted.
    """
    login.update(
        state=LoginState.AWAITING_BROWSER,
        url=url,
        prompts=(Prompt(REDIRECT_PROMPT, "Paste the address the browser ended at: "),),
    )
    while True:
        browser = asyncio.ensure_future(arrivals.next())
        pasted = asyncio.ensure_future(login.answers())
        try:
            await asyncio.wait({browser, pasted}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            browser.cancel()
            pasted.cancel()
        if browser.done():
            return browser.result()
        text = pasted.result()[REDIRECT_PROMPT].reveal().strip()
        try:
            read(text)
        except InvalidRequestError as slip:
            login.update(notice=slip, notices=login.view.notices + 1)
            continue
        except AgentError:
            pass  # the caller reads it again and ends the login with it
        return text, None
