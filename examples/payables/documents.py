"""What the company publishes of its agents: their public keys, and where those are. The bank reads it.

python documents.py PORT          serves what `perdure.toml` here says
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys

import uvicorn

from perdure import App
from perdure.identity import Broker, Documents


def main(port: str) -> None:
    listening = socket.create_server(("127.0.0.1", int(port)))
    app = Documents(Broker.open(App.from_config().identity_settings))
    print(json.dumps({"url": f"http://127.0.0.1:{port}"}), flush=True)
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=1))
    asyncio.run(server.serve(sockets=[listening]))


if __name__ == "__main__":
    main(*sys.argv[1:])
