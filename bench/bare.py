"""The measure of all: `python -m bench.bare SOCKET BYTES`, aiohttp with one route and no checks."""

import sys

from aiohttp import web

ROUTE = "/v1/tools/cre/token"


def application(size: int) -> web.Application:
    """Return an application that answers its one route with `size` bytes."""
    body = b"x" * size

    async def answer(_request: web.Request) -> web.Response:
        return web.Response(body=body, content_type="text/plain")

    app = web.Application()
    app.router.add_get(ROUTE, answer)
    return app


def main() -> int:
    """Serve until SIGTERM."""
    path, size = sys.argv[1:]
    # No access log: writing one would be work that the agent does not do either.
    web.run_app(application(int(size)), path=path, access_log=None, print=None)
    return 0


if __name__ == "__main__":
    sys.exit(main())
