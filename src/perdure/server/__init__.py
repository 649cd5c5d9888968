"""One ASGI application for a team: the API, the pages, and what goes on behind them.

    from perdure.server import asgi
    application = asgi(app, gate=gate)          # uvicorn module:application; `perdure serve` does that

Needs the extra `serve`.
"""

from .composition import Application, asgi
from .life import Life

__all__ = ["Application", "Life", "asgi"]
