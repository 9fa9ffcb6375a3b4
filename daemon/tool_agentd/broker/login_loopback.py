"""The login whose site sends a key to the loopback, as a parameter of the callback."""

from urllib.parse import quote

from tool_agentd.broker.arrivals import Arrivals, arrival, waiting_page
from tool_agentd.broker.login import Login, LoginState
from tool_agentd.broker.login_flows import Parts, Taker, take_key
from tool_agentd.definition.flows import LoopbackSecret
from tool_agentd.definition.vocabulary import ToolDefinition
from tool_agentd.oauth import code

PATH_BYTES = 16
"""128 random bits play the state's part, where the site takes any path."""
CALLBACK = "{callback}"


async def loopback_secret(
    parts: Parts, login: Login, provider: ToolDefinition, method: LoopbackSecret, taker: Taker
) -> None:
    """Wait for the key that the site sends; its shape is checked here, its worth at the platform.

    Raises CancelledError when the person refuses on the site, and ProviderError or
    InvalidRequestError for a callback or a key that is wrong. The first callback counts.
    """
    path = method.loopback.path
    if method.random_path:
        path = f"{path.rstrip('/')}/{parts.entropy(PATH_BYTES).hex()}"
    arrivals = Arrivals()
    listener = await parts.loopback.listen(
        method.loopback.host,
        method.loopback.port,
        path,
        arrivals.answer,
        brings=method.parameter,
    )
    callback = listener.redirect_uri

    def read(text: str) -> None:
        code.read_parameter(callback, text, method.parameter)

    async with waiting_page(listener, provider.title) as page:
        url = method.open.replace(CALLBACK, quote(callback, safe=""))
        target, page.future = await arrival(login, url, arrivals, read)
        login.update(state=LoginState.WORKING, prompts=())
        secret = code.read_parameter(callback, target, method.parameter)
        text = await taker.see_through(
            take_key(parts, login, provider, method.credential, secret, taker)
        )
        page.signed_in(text)
