"""A deck for cassettes, as a test has it: it plays, or it records in place of what was there."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...core.errors import ConfigError
from .cassette import Cassette
from .recorder import Recorder
from .tools import noted, watching

if TYPE_CHECKING:
    from ... import App

__all__ = ["Deck", "playing", "recording"]


class Deck:
    """What the fixture `cassette` gives. While it is there, clients of model providers that are made ask it."""

    def __init__(self, path: Path, *, tape: Cassette | Recorder) -> None:
        self.path = path
        """of the cassette"""
        self._tape = tape

    @property
    def recording(self) -> bool:
        """Whether real providers are asked, and their answers kept."""
        return isinstance(self._tape, Recorder)

    @contextmanager
    def tools(self, app: App) -> Generator[None]:
        """Within, calls of an app's tools are recorded too, or answered as they were, and do nothing."""
        tape = self._tape
        with tape.playing(app) if isinstance(tape, Cassette) else watching(app, noted(tape.tool)):
            yield


@contextmanager
def playing(path: Path, *, again: str, failures: bool = True) -> Generator[Deck]:
    """A deck that plays a file. `again`: the command that records it. Raises `ConfigError` where it cannot be used."""
    from ..model_server import ModelServer

    if not path.exists():
        raise ConfigError(f"there is no cassette `{path}`: record it, with a network and keys, by `{again}`")
    tape = Cassette(path, failures=failures)
    with ModelServer(tape) as server, _set(server.environ()):
        yield Deck(path, tape=tape)


@contextmanager
def recording(path: Path, *, redact: Iterable[str], upstreams: Mapping[str, str]) -> Generator[Deck]:
    """A deck that records, and whose file takes its place only where nothing was raised.

    Raises `ConfigError` where there was nothing to record, and for an address or an expression that is none.
    """
    with tempfile.TemporaryDirectory(prefix="perdure-cassette-") as folder:
        recorder = Recorder(Path(folder) / path.name, upstreams=upstreams, redact=redact)
        with recorder:
            yield Deck(path, tape=recorder)
        if not recorder.exchanges and not recorder.tools:
            why = "; ".join(recorder.skipped) or (
                "no request came by. A client is led here by its variables (`OPENAI_BASE_URL`, ...) when it is made; "
                "one that is made at the top of a module, or given an address of its own, does not look at them"
            )
            raise ConfigError(f"nothing was recorded for `{path}`: {why}")
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(recorder.path, path)


@contextmanager
def _set(variables: Mapping[str, str]) -> Generator[None]:
    before: dict[str, Any] = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
