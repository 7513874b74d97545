"""The page itself goes to the browser compressed. Gradio's own files are left as Gradio serves them: large, and kept by
the browser."""

from __future__ import annotations

from starlette.middleware.gzip import GZipMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

# What is made of our components, examples, scripts and sheets; a proxy may put a prefix before it.
OURS = ("/", "/config", "/theme.css")


class Squeezed:
    """ASGI middleware: gzip for the paths of `OURS`."""

    def __init__(self, app: ASGIApp) -> None:
        self._plain, self._squeezed = app, GZipMiddleware(app, minimum_size=1000, compresslevel=6)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        ours = scope["type"] == "http" and scope["path"].removeprefix(scope.get("root_path", "")) in OURS
        await (self._squeezed if ours else self._plain)(scope, receive, send)
