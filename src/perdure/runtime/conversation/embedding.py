"""The port to models that turn texts into vectors, which are near each other where the texts mean alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from pydantic import BaseModel, ConfigDict

from .messages import Usage

__all__ = ["Embedder", "EmbedderSource", "Embeddings"]


class Embeddings(BaseModel):
    """What a model answers: a vector for each text, in their order."""

    model_config = ConfigDict(frozen=True)

    vectors: list[list[float]]
    usage: Usage = Usage()
    model: str | None = None
    """its exact name, as the provider says"""


class Embedder(Protocol):
    """Turns texts into vectors. It keeps nothing between two calls."""

    async def embed(self, model: str, texts: Sequence[str], *, query: bool, timeout: float) -> Embeddings:
        """The vectors of `texts`: of something that is looked for (`query`), or of what is to be found.

        `model` is the full name (`prefix:name`). What is raised is recorded as the failure of the step. One that
        reckons in this process, and costs nothing, says so by a class attribute `local = True`.
        """
        ...


EmbedderSource = Callable[[str], Embedder]
"""Finds the embedder of a model by its full name; raises `ConfigError` where it cannot be had."""
