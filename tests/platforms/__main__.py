"""`python -m tests.platforms [--json] [--port N]`: serve until SIGTERM or SIGINT."""

import argparse
import asyncio
import json
import signal
import sys

from .server import Platforms, start

PAGES = {
    "cre": ("GraphQL", "/graphql"),
    "libretto": ("sign-in page", "/signin"),
    "nrepo": ("browser login", "/auth/cli?callback=http://127.0.0.1:PORT/callback"),
    "encore": ("device page", "/activate"),
}


def banner(platforms: Platforms) -> str:
    """The same as the JSON line, for a person with a browser of their own."""
    lines = ["Practice platforms are listening. Nothing here is real.", ""]
    for name, site in platforms.sites.items():
        title, path = PAGES[name]
        lines += [name, f"  {title:<28}{platforms.urls[name]}{path}"]
        lines += [f"  {key.replace('_', ' '):<28}{value}" for key, value in site.account.items()]
        lines.append("")
    lines += ["Point the tools here:"]
    lines += [f"  export {name}={value}" for name, value in platforms.env().items()]
    lines += [
        "",
        f"One-time password now:  {platforms.url}/_/person",
        f"What happened:          {platforms.url}/_/counters",
        f"The mail box:           {platforms.url}/_/mail",
        "Stop with Ctrl-C.",
    ]
    return "\n".join(lines)


async def serve(*, port: int, as_json: bool) -> None:
    """Start, say so on one flushed line, and wait for a signal."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    platforms = await start(port)
    sys.stdout.write(
        (json.dumps(platforms.announcement()) if as_json else banner(platforms)) + "\n"
    )
    sys.stdout.flush()
    await stop.wait()
    await platforms.stop()


def main() -> int:
    """Parse the options and serve."""
    parser = argparse.ArgumentParser(prog="python -m tests.platforms", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one line of JSON when ready")
    parser.add_argument("--port", type=int, default=0, help="the first of four ports; 0: any")
    options = parser.parse_args()
    try:
        asyncio.run(serve(port=options.port, as_json=options.json))
    except OSError as error:
        sys.stderr.write(f"cannot listen: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
