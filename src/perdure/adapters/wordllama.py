"""`wordllama:256`: a small model of embeddings that runs in this process. Its weights come with the package.

It knows what English words mean, and little of what a sentence does: 256 numbers a text, 16 MB, tens of thousands of
texts a second on one core. No request leaves the machine. `:128` and `:64` are the same, cut off.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from ..core.errors import ConfigError
from ..runtime.conversation.embedding import Embeddings

__all__ = ["WordLlamaEmbedder"]

_library: Any = import_module("wordllama")
DIMENSIONS = (64, 128, 256)


class WordLlamaEmbedder:
    """One size of the model, loaded when it is first used."""

    local = True

    def __init__(self, dimensions: int) -> None:
        self._dimensions = dimensions
        self._loading = asyncio.Lock()
        self._model: Any = None

    @classmethod
    def of(cls, model: str) -> WordLlamaEmbedder:
        """By its full name. Raises `ConfigError`."""
        name = model.partition(":")[2]
        if name not in map(str, DIMENSIONS):
            raise ConfigError(
                f"there is no model `{model}`: write `wordllama:256`, `wordllama:128` or `wordllama:64`"
            )
        return cls(int(name))

    async def embed(self, model: str, texts: Sequence[str], *, query: bool, timeout: float) -> Embeddings:
        """The vectors; it tells no question from an answer."""
        async with self._loading:
            if self._model is None:
                self._model = await asyncio.to_thread(self._load)
        return Embeddings(vectors=await asyncio.to_thread(self._vectors, list(texts)), model=model)

    def _load(self) -> Any:
        # Without the folder it looks for its tokenizer where it is not, and asks the network for it.
        where = Path(_library.__file__).parent
        cut = None if self._dimensions == max(DIMENSIONS) else self._dimensions
        return _library.WordLlama.load(trunc_dim=cut, cache_dir=where, disable_download=True)

    def _vectors(self, texts: list[str]) -> list[list[float]]:
        return self._model.embed(texts, norm=True).tolist()
