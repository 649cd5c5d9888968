"""A cassette that is played: requests are looked up in it, and answered as they were when it was recorded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..model_server.faults import Fault, breaks
from ..model_server.gemini import PATH
from ..model_server.reply import Recorded, Reply
from ..model_server.request import Request
from .exchange import Exchange, ToolCalled
from .folding import folded
from .matching import Difference, differences, essence
from .reading import read
from .tape import load
from .tools import ToolPlayer, watching

if TYPE_CHECKING:
    from ... import App

__all__ = ["Cassette", "Player"]

_TOLD = 3
"""differences in a message"""


class Cassette:
    """What was recorded, to be answered from: `ModelServer(Cassette("shop.json"))`, or just the path of the file.

    With `failures=False` the errors that a provider gave (overloaded, too many requests) are left out where the same
    request was answered later: so nothing waits for their sake. Raises `ConfigError` for a file that cannot be used.
    """

    def __init__(self, path: str | Path, *, failures: bool = True) -> None:
        self.path = Path(path).expanduser()
        exchanges, tools = load(self.path)
        self.exchanges: tuple[Exchange, ...] = exchanges if failures else tuple(_answered(exchanges))
        """in the order in which they were recorded"""
        self.tools: tuple[ToolCalled, ...] = tools
        """calls of tools, in their order"""

    def player(self) -> Player:
        """Answers from the beginning; each server has its own."""
        return Player(self)

    def tools_player(self) -> ToolPlayer:
        """Answers of tools from the beginning."""
        return ToolPlayer(self.tools, name=f"cassette `{self.path}`", again=self.again)

    @contextmanager
    def playing(self, app: App) -> Generator[None]:
        """The tools of an app, also those of its wrapped agents, answer as they did, and do nothing.

        By name and arguments; of equal calls the first has the first answer, and the last stays. A tool of which no
        call was recorded is carried out.
        """
        with watching(app, self.tools_player().watch):
            yield

    @property
    def again(self) -> str:
        """What to do where it has no answer."""
        return f"record it again (`perdure record --out {self.path} COMMAND`), or see what changed"


def _answered(exchanges: Sequence[Exchange]) -> list[Exchange]:
    kept: list[Exchange] = []
    for i, one in enumerate(exchanges):
        failed = one.status in (408, 409, 429) or one.status >= 500
        later = (o for o in exchanges[i + 1 :] if o.status < 400 and o.path == one.path)
        if not failed or not any(essence(o.request) == essence(one.request) for o in later):
            kept.append(one)
    return kept


class Player:
    """Finds answers, the first for the first of equal requests and so on; the last of them stays."""

    def __init__(self, cassette: Cassette) -> None:
        self._cassette = cassette
        self._played: Counter[int] = Counter()
        self._known = [(one, essence(one.request), _model(one)) for one in cassette.exchanges]

    def __call__(self, request: Request) -> Reply | Fault:
        """The answer to a request to a model; without one, an error that says why."""
        body, model = essence(request.body), request.model
        nearest: tuple[int, Exchange, list[Difference]] | None = None
        equal: list[Exchange] = []
        for one, recorded, its_model in self._known:
            if one.protocol != request.protocol:
                continue
            found = list(differences(recorded, body))
            if its_model != model and not any(d.place == "model" for d in found):
                found.insert(0, Difference("model", its_model, model))
            if not found:
                equal.append(one)
            elif nearest is None or len(found) < nearest[0]:
                nearest = len(found), one, found
        if equal:
            return self._reply(self._next(equal, streams=request.stream), request)
        return breaks(400, self._unknown(request, nearest))

    def other(self, method: str, target: str, body: Any) -> Recorded | None:
        """The answer to a request that is none to a model: embeddings, a list of models."""
        path = target.partition("?")[0]
        equal = [
            one
            for one, recorded, _ in self._known
            if one.method == method
            and one.path.partition("?")[0] == path
            and not any(differences(recorded, essence(body)))
        ]
        return _recorded(self._next(equal, streams=False)) if equal else None

    def _next(self, equal: list[Exchange], *, streams: bool) -> Exchange:
        """The first that was not played yet, or else the last; of those in the form that is asked for, if there are."""
        in_form = [one for one in equal if one.status >= 400 or (one.stream is not None) == streams]
        pool = in_form or equal
        one = next((one for one in pool if not self._played[one.number]), pool[-1])
        self._played[one.number] += 1
        return one

    def _reply(self, one: Exchange, request: Request) -> Reply | Fault:
        recorded = _recorded(one)
        if one.status >= 400:
            return Reply(recorded=recorded)
        whole: Any = one.answer if one.stream is None else folded(request.protocol, one.stream)
        if one.stream is not None and whole is None:
            return (
                self._no_form(one, "a stream without its end", "whole")
                if not request.stream
                else Reply(recorded=recorded)
            )
        told = read(request.protocol, whole)
        if (one.stream is not None) == request.stream:
            return replace(told.reply, recorded=recorded)
        if not request.stream:
            return replace(told.reply, recorded=Recorded(one.status, one.headers, body=whole))
        if told.left_out:
            return self._no_form(one, told.left_out, "streamed")
        return told.reply

    def _no_form(self, one: Exchange, what: str, form: str) -> Fault:
        return breaks(
            400,
            f"exchange {one.number} of cassette `{self._cassette.path}` was not {form}, and has {what}, which "
            f"cannot be made so: {self._cassette.again}",
        )

    def _unknown(self, request: Request, nearest: tuple[int, Exchange, list[Difference]] | None) -> str:
        name = f"cassette `{self._cassette.path}`"
        if nearest is None:
            return (
                f"{name} has no request of {request.protocol} (`{request.path}`), which was asked for turn "
                f"{request.turn}: {self._cassette.again}"
            )
        count, one, found = nearest
        more = f", and {count - _TOLD} more" if count > _TOLD else ""
        return (
            f"{name} has no such request; the nearest is exchange {one.number}: "
            f"{'; '.join(map(str, found[:_TOLD]))}{more}. If that is meant, {self._cassette.again}"
        )


def _model(one: Exchange) -> str:
    """The model that was asked: in the body, or in the path."""
    route = PATH.search(one.path.partition("?")[0])
    if route is not None:
        return route["model"]
    named = one.request.get("model") if isinstance(one.request, dict) else None  # pyright: ignore
    return named if isinstance(named, str) else ""


def _recorded(one: Exchange) -> Recorded:
    return Recorded(one.status, one.headers, body=one.answer, events=one.stream)
