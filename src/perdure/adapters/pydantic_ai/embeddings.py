"""Embeddings by any provider that pydantic-ai knows: OpenAI and its like, Google, Cohere, Voyage, Bedrock."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from pydantic_ai.embeddings import EmbeddingModel, infer_embedding_model
from pydantic_ai.exceptions import UserError
from pydantic_ai.providers import Provider, infer_provider

from ...core.errors import ConfigError
from ...runtime.conversation.embedding import Embeddings
from ...runtime.conversation.messages import Usage

__all__ = ["PydanticAIEmbedder"]


class PydanticAIEmbedder:
    """Makes models by name, and keeps them with their connections."""

    def __init__(self) -> None:
        self._models: dict[str, EmbeddingModel] = {}
        self._providers: list[Provider[Any]] = []
        self._loop: asyncio.AbstractEventLoop | None = None

    def checked(self, model: str) -> PydanticAIEmbedder:
        """This embedder, once it is sure that the model can be had. Called in a loop. Raises `ConfigError`."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:  # connections belong to the loop that made them
            self._loop = loop
            self._models.clear()
            self._providers.clear()
        if model not in self._models:
            try:
                self._models[model] = infer_embedding_model(model, provider_factory=self._provider)
            except (UserError, ImportError, ValueError) as error:
                raise ConfigError(f"model `{model}` cannot be used for embeddings: {error}") from error
        return self

    async def embed(self, model: str, texts: Sequence[str], *, query: bool, timeout: float) -> Embeddings:
        """One request. Raises the errors of `pydantic_ai.exceptions`, and `TimeoutError`."""
        self.checked(model)
        limit = asyncio.timeout(timeout)
        try:
            async with limit:
                found = await self._models[model].embed(
                    list(texts), input_type="query" if query else "document"
                )
        except TimeoutError as error:
            if not limit.expired():
                raise
            raise TimeoutError(f"model `{model}` gave no embedding within {timeout:g} s") from error
        counted = found.usage.input_tokens or None
        return Embeddings(
            vectors=[list(vector) for vector in found.embeddings],
            usage=Usage(input_tokens=counted, output_tokens=None if counted is None else 0),
            model=found.model_name,
        )

    async def close(self) -> None:
        """Close the connections; the models are made anew when they are needed."""
        providers, self._providers = self._providers, []
        self._models.clear()
        for provider in providers:
            async with provider:  # entered and left, it closes the client that it made
                pass

    def _provider(self, name: str) -> Provider[Any]:
        """The SDKs try a request three times, of which the journal would know nothing."""
        provider = infer_provider(name)
        if hasattr(provider.client, "max_retries"):
            provider.client.max_retries = 0
        self._providers.append(provider)
        return provider
