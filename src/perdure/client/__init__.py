"""Clients of a server's API, and what goes over the wire between them.

    with Client("https://perdure.example.org") as client:
        run = client.runs.start("desk", {"order": 17})
        print(client.runs.result(run.run).result)

`AsyncClient` is written by hand, `Client` is made of it: one cannot be behind the other. Both need the extra `client`.
"""

from .asynchronous import AsyncClient
from .synchronous import Client

__all__ = ["AsyncClient", "Client"]
