"""`python -m perdure.testing.model_server SCRIPT`: the server as a process, for demos and to be killed."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading
from typing import Any

from ...core.errors import ConfigError
from .request import Request
from .server import ModelServer


def main() -> int:
    """Serve until SIGINT or SIGTERM. The first line of the output tells where; then one for each request."""
    parser = argparse.ArgumentParser(
        prog="python -m perdure.testing.model_server",
        description="A model provider on loopback that answers from a script.",
    )
    parser.add_argument("script", metavar="SCRIPT", help="a file, as of `scripted:PATH`: JSON, or TOML")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 (default): any that is free")
    parser.add_argument(
        "--env", action="store_true", help="print the variables that lead programs here, as `export`"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    options = parser.parse_args()
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda _number, _frame: stop.set())
    try:
        server = ModelServer(options.script, host=options.host, port=options.port).start()
    except (ConfigError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    _tell(server, options)
    told = 0
    while not stop.is_set():
        try:
            requests = server.wait(told + 1, timeout=0.2)
        except TimeoutError:
            continue
        for request in requests[told:]:
            print(_line(request, options.json), flush=True)
        told = len(requests)
    server.stop()
    return 0


def _tell(server: ModelServer, options: argparse.Namespace) -> None:
    if options.json:
        print(json.dumps({"url": server.url, "environ": server.environ()}), flush=True)
    elif options.env:
        for name, value in server.environ().items():
            print(f"export {name}={value}", flush=True)
    else:
        print(f"model server on {server.url}, answers from {options.script}", flush=True)


def _line(request: Request, as_json: bool) -> str:
    said: dict[str, Any] = {
        "request": request.number,
        "protocol": request.protocol,
        "model": request.model,
        "turn": request.turn,
        "stream": request.stream,
        "last": request.last[:80],
    }
    if as_json:
        return json.dumps(said, ensure_ascii=False)
    return (
        f"{request.number}  {request.protocol}  {request.model}  turn {request.turn}  {request.last[:80]!r}"
    )


if __name__ == "__main__":
    sys.exit(main())
