"""Scenarios: what an agent is to be tortured with, in a file of TOML.

agent = "desk"
input = "lamp"
model = "answers.toml"
observe = "desk:seen"

[[answers]]
step = "ask"
approved = true

[[signals]]
name = "note"
value = "by bike"
"""

from __future__ import annotations

import asyncio
import importlib
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError

from ...core.errors import ConfigError, RunEnded, UnknownStep
from ...journal import RunStatus
from ...runtime.conversation.toolbox import in_words
from .schedule import KindName, general

if TYPE_CHECKING:
    from ... import App, Handle
    from .trial import Outside

__all__ = ["AnswerGiven", "Scenario", "SignalSent"]

_STRICT = ConfigDict(frozen=True, extra="forbid")


class AnswerGiven(BaseModel):
    """An answer to a question of the run, or of a run below it, once it stands open."""

    model_config = _STRICT

    step: str
    """its key; of a call of a wrapped agent the digest, which is another in each run, does not count"""
    approved: bool = True
    by: str = "torture"
    reason: str | None = None
    value: Any = None
    arguments: dict[str, Any] | None = None


class SignalSent(BaseModel):
    """A signal to the run: once it waits for one, or at its start."""

    model_config = _STRICT

    name: str
    value: Any = None
    when: str = Field(default="waiting", pattern="^(waiting|start)$")


class Scenario(BaseModel):
    """All that a file of a scenario says."""

    model_config = _STRICT

    agent: str | None = None
    input: Any = None
    model: str | None = None
    """a script or cassette that a model server answers from, beside the file"""
    answers: tuple[AnswerGiven, ...] = ()
    approve_all: bool = False
    """whatever is asked is approved"""
    signals: tuple[SignalSent, ...] = ()
    faults: tuple[KindName, ...] | None = None
    setup: str | None = None
    """`module:function`, called before each run"""
    observe: str | None = None
    """`module:function`, which returns what is to be seen outside after a run"""
    equal: str | tuple[str, ...] | None = None
    """`module:function` of two results, or the names of the fields that have to be equal"""
    limit: float | None = None
    """seconds for one run"""
    _folder: Path = PrivateAttr(default=Path())

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a file. Raises `ConfigError` that names the place."""
        try:
            told = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"the scenario `{path}` cannot be read: {error}") from None
        except tomllib.TOMLDecodeError as error:
            raise ConfigError(f"the scenario `{path}` is not TOML: {error}") from None
        try:
            made = cls.model_validate(told)
        except ValidationError as error:
            raise ConfigError(f"the scenario `{path}` cannot be used: {in_words(error)}") from None
        made._folder = path.resolve().parent
        return made

    @property
    def script(self) -> str | None:
        """Where the script or cassette is that a model server answers from."""
        return None if self.model is None else str(self._folder / self.model)

    def options(self, app: App) -> dict[str, Any]:
        """What it says as arguments of `torture`. Raises `ConfigError`."""
        found: dict[str, Any] = {"input": self.input}
        if self.script is not None:
            found["models"] = self.script
        if self.faults is not None:
            found["faults"] = self.faults
        if self.limit is not None:
            found["limit"] = self.limit
        for name in ("setup", "observe"):
            named = getattr(self, name)
            if named is not None:
                found[name] = _function(named, what=name, app=app)
        if isinstance(self.equal, str):
            found["equal"] = _function(self.equal, what="equal", app=app)
        elif self.equal is not None:
            found["equal"] = _by_fields(self.equal)
        if (outside := self.outside()) is not None:
            found["outside"] = outside
        return found

    def outside(self) -> Outside | None:
        """The world that sends these answers and signals; None where it sends nothing."""
        if not (self.answers or self.signals or self.approve_all):
            return None

        async def play(app: App, run: Handle) -> None:
            for signal in self.signals:
                if signal.when == "start":
                    await app.signal(run.id, signal.name, signal.value, message_id=f"start-{signal.name}")
            await asyncio.gather(self._answer(app, run), self._signal(app, run))

        return play

    async def _answer(self, app: App, run: Handle) -> None:
        if self.approve_all and not self.answers:
            from .world import say_yes

            await say_yes(app, run)
            return
        left = list(self.answers)
        while left:
            seen = app.store.changes()
            for asked in await app.open_approvals(run.id):
                given = next((a for a in left if general(a.step) == general(asked.step)), None)
                if given is None:
                    continue
                told = given.model_dump(exclude={"step"})
                digest = asked.digest
                try:
                    await app.answer(asked.ref.id, asked.step, digest=digest, **told)
                except (UnknownStep, RunEnded):  # a kill came between; it is asked again
                    continue
                left.remove(given)
            await app.store.changed(seen, within=0.2)

    async def _signal(self, app: App, run: Handle) -> None:
        for nth, signal in enumerate(s for s in self.signals if s.when == "waiting"):
            while True:
                seen = app.store.changes()
                record = await run.record()
                if record.status is RunStatus.WAITING and "signal" in record.reasons:
                    break
                await app.store.changed(seen, within=0.2)
            await app.signal(run.id, signal.name, signal.value, message_id=f"{signal.name}-{nth}")


def _function(named: str, *, what: str, app: App) -> Callable[..., Any]:
    place, colon, name = named.partition(":")
    if not colon:
        raise ConfigError(f"`{what} = {named!r}` of the scenario is not of the form `module:function`")
    try:
        found: Any = importlib.import_module(place)
    except ImportError as error:
        raise ConfigError(f"`{what} = {named!r}` of the scenario cannot be imported: {error}") from None
    for part in name.split("."):
        found = getattr(found, part, None)
    if not callable(found):
        raise ConfigError(f"`{what} = {named!r}` of the scenario is no function")
    return found


def _by_fields(fields: tuple[str, ...]) -> Callable[[Any, Any], bool]:
    def value(result: Any, name: str) -> Any:
        return result.get(name) if isinstance(result, Mapping) else getattr(result, name, None)  # pyright: ignore

    return lambda a, b: all(value(a, name) == value(b, name) for name in fields)
