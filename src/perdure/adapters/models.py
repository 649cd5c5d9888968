"""The providers that runs have without being told: scripts, a small model of embeddings, all that pydantic-ai knows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..core.errors import ConfigError
from ..runtime.conversation.embedding import Embedder
from ..runtime.conversation.providers import ModelProvider, Models

if TYPE_CHECKING:
    from .pydantic_ai.embeddings import PydanticAIEmbedder
    from .pydantic_ai.models import PydanticAIModels

__all__ = ["default_models"]


def default_models() -> Models:
    """A fresh registry: `scripted:PATH`, and every other prefix by pydantic-ai (the extra `models`)."""
    return Models(
        {"scripted": _scripted},
        otherwise=_Library(),
        embedders={"wordllama": _Small()},
        embeds_otherwise=_EmbeddingLibrary(),
    )


def _scripted(model: str) -> ModelProvider:
    from .scripted import ScriptedModel

    return ScriptedModel(model)


class _Small:
    """Loads each size of the small model once."""

    def __init__(self) -> None:
        self._made: dict[str, Embedder] = {}

    def __call__(self, model: str) -> Embedder:
        if model not in self._made:
            try:
                from .wordllama import WordLlamaEmbedder
            except ImportError as error:
                raise ConfigError(
                    f"model `{model}` needs a library that is not installed (no `{error.name}`): "
                    'pip install "perdure[embeddings]"'
                ) from error
            self._made[model] = WordLlamaEmbedder.of(model)
        return self._made[model]


class _EmbeddingLibrary:
    """Imports pydantic-ai when an embedding is needed."""

    def __init__(self) -> None:
        self._embedder: PydanticAIEmbedder | None = None

    def __call__(self, model: str) -> Embedder:
        if self._embedder is None:
            try:
                from .pydantic_ai.embeddings import PydanticAIEmbedder
            except ImportError as error:
                raise ConfigError(
                    f"model `{model}` needs a library that is not installed (no `{error.name}`): "
                    'pip install "perdure[models]". Or take `wordllama:256`, which runs here: '
                    'pip install "perdure[embeddings]"'
                ) from error
            self._embedder = PydanticAIEmbedder()
        return self._embedder.checked(model)


class _Library:
    """Imports pydantic-ai, which takes more than a second, when a model needs it."""

    def __init__(self) -> None:
        self._source: PydanticAIModels | None = None

    def __call__(self, model: str) -> ModelProvider:
        if self._source is None:
            try:
                from .pydantic_ai.models import PydanticAIModels
            except ImportError as error:
                raise ConfigError(
                    f"model `{model}` needs a library that is not installed (no `{error.name}`): "
                    'pip install "perdure[models]". Or register a provider of your own for its prefix, or use '
                    "`scripted:PATH`"
                ) from error
            self._source = PydanticAIModels()
        return self._source.provider(model)
