"""A safety net under the adapters: a request to a model that is no step of its run does not go out.

Such a request would be made again on every replay, its tools with it, and no budget or policy would see it.
"""

from __future__ import annotations

import functools
import inspect
import logging
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from ..core.errors import OutsideStep
from ..runtime.replay.scope import scope_here
from .clients.requests import is_model_path

__all__ = ["watch_requests"]

log = logging.getLogger("perdure.run")


@functools.cache
def watch_requests() -> None:
    """From now on a request by `httpx` or `httpx2` to a model, in a run and in none of its steps, raises `OutsideStep`.

    Outside of runs, and inside of steps, nothing changes. The adapters call this when an agent is first wrapped.
    """
    for name in ("httpx", "httpx2"):
        if find_spec(name) is not None:
            library = import_module(name)
            _guard(library.Client)
            _guard(library.AsyncClient)


def _guard(kind: Any) -> None:
    theirs = kind.send

    @functools.wraps(theirs)
    def send(self: Any, request: Any, *args: Any, **options: Any) -> Any:
        _check(request)
        return theirs(self, request, *args, **options)

    @functools.wraps(theirs)
    async def send_async(self: Any, request: Any, *args: Any, **options: Any) -> Any:
        _check(request)
        return await theirs(self, request, *args, **options)

    kind.send = send_async if inspect.iscoroutinefunction(theirs) else send


def _check(request: Any) -> None:
    scope = scope_here()
    if scope is None or scope.busy or request.method != "POST" or not is_model_path(request.url.path):
        return
    error = OutsideStep(
        f"a request to a model (`{request.url.host}{request.url.path}`) was about to be made in a run, but in none of "
        "its steps: it would be made again on every replay. Write `client = run.wrap(client)`, or for an agent of a "
        "framework `await run.wrap(agent)(...)`; a call of your own belongs into `await run.step(...)`"
    )
    log.error("run %s: %s", scope.recorder.ref, error)
    raise error
