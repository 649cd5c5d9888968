"""Who plays in the suite of adapters: tools, and the agents that a framework is to make with them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from ... import App, Run
from ..model_server import ModelServer

__all__ = ["Broken", "Number", "Part", "World"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """An agent, as the suite wants it made. It has to ask its model over HTTP, at the server's address."""

    server: ModelServer
    name: str = "actor"
    instructions: str = "You are the actor."
    tools: Sequence[Callable[..., Any]] = ()
    """plain functions with annotations and a docstring, async and not; their names are what the model calls"""
    output: type[BaseModel] | None = None
    """the form of its answer; None: text. An answer that does not fit is to be sent back to the model once"""
    needs_approval: frozenset[str] = frozenset()
    """names of tools on which the framework's own approval is to be switched on"""
    helpers: Mapping[str, Part] = field(default_factory=dict[str, "Part"])
    """agents that it calls as tools of these names, with one parameter `task`, a text; the result is their answer"""


class Number(BaseModel):
    """The form of an answer."""

    n: int


class Broken(Exception):
    """What a tool raises."""

    def __init__(self, message: str, code: int = 0) -> None:
        super().__init__(message)
        self.code = code


class World:
    """The tools of one test, and what they saw. Their effects are declared by `declare`."""

    def __init__(self) -> None:
        self.run: Run | None = None
        """the one under way"""
        self.lives = 0
        """how often the agent's function began"""
        self.paid: list[int] = []
        self.lingering = asyncio.Event()
        """set once `linger` is under way"""

    def declare(self, app: App) -> None:
        """Say what the tools do. Of `mystery` nobody says anything."""
        app.effects.declare("read", "look", "broken", "linger")
        app.effects.declare("idempotent", "put")
        app.effects.declare("write", "pay")
        app.effects.declare("delegate", "ask_person", "expert")

    def tools(self, *names: str) -> list[Callable[..., Any]]:
        """The tools of these names."""
        world = self

        async def look(n: int) -> str:
            """Look at a number."""
            return f"saw {n}"

        def put(n: int) -> str:
            """Put a number where it belongs. It is not async."""
            return f"put {n}"

        async def pay(n: int) -> str:
            """Pay an amount."""
            world.paid.append(n)
            return f"paid {n}"

        async def mystery(n: int) -> str:
            """Do who knows what."""
            return f"did {n}"

        async def broken(n: int) -> str:
            """Fail."""
            raise Broken(f"there is no number {n}", code=n)

        async def linger(n: int) -> str:
            """Take for ever."""
            world.lingering.set()
            await asyncio.Event().wait()
            return "never"

        async def ask_person(topic: str) -> str:
            """Ask somebody, and wait for the answer."""
            assert world.run is not None
            return await world.run.receive(topic, str)

        found = {f.__name__: f for f in (look, put, pay, mystery, broken, linger, ask_person)}
        return [found[name] for name in names]
