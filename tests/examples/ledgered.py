"""An EXAMPLE's app for a worker process: what its tools do to the world goes into a file that outlives the process."""

from __future__ import annotations

import functools
import importlib
import inspect
import json
import os
from collections.abc import Callable
from typing import Any

import pydantic_core

from perdure import App
from perdure.runtime import Tool
from perdure.runtime.replay.scope import running_in
from perdure.testing.cassette import watching

module = importlib.import_module(f"examples.frameworks.{os.environ['EXAMPLE']}")
app = App(os.environ["STORE"])
app.agents, app.tools, app.effects = module.app.agents, module.app.tools, module.app.effects


def ledgered(tool: Tool[..., Any]) -> Callable[..., Any]:
    function = tool.function
    if tool.effect == "read":
        return function

    def note(given: dict[str, Any], value: Any) -> None:
        told = {
            "run": str(running_in()).removeprefix("run "),
            "tool": tool.name,
            "effect": tool.effect,
            "key": str(given.pop(tool.key_parameter, None)),
            "arguments": pydantic_core.to_jsonable_python(given),
            "result": pydantic_core.from_json(tool.shape.round_trip(value)[0]),
        }
        file = os.open(os.environ["LEDGER"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(file, json.dumps(told).encode() + b"\n")  # at once: this is the effect
        os.close(file)

    @functools.wraps(function)
    async def done(*args: Any, **kwargs: Any) -> Any:
        value = function(*args, **kwargs)
        if inspect.isawaitable(value):
            value = await value
        note(dict(kwargs), value)
        return value

    @functools.wraps(function)
    def done_in_thread(*args: Any, **kwargs: Any) -> Any:
        value = function(*args, **kwargs)
        note(dict(kwargs), value)
        return value

    return done if tool.asynchronous else done_in_thread


kept = watching(app, ledgered)  # held: its end would take the functions back
kept.__enter__()
