"""The port to models, and where `run.model` finds the provider of a model by its name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from fnmatch import fnmatchcase
from typing import Any, Protocol, TypeVar, cast

from ...core.errors import ConfigError
from ..boundary.terms import NO_TERMS, Terms, terms_of
from .embedding import Embedder, EmbedderSource
from .messages import ModelReply, ModelRequest

__all__ = ["ModelProvider", "Models", "Source"]


T = TypeVar("T")


class ModelProvider(Protocol):
    """Answers one turn. It keeps nothing between two: all that was said stands in the request."""

    async def request(self, model: str, request: ModelRequest) -> ModelReply:
        """Ask `model` (the full name, `prefix:name`) and return its answer.

        Every tool call has an id of its own. What is raised is recorded as the failure of the turn and raised again,
        as its own type, on replay. A provider that holds connections may have an `async def close(self)`; one that can
        stream, an `async def request_stream(self, model, request, say)`, which calls `say` with each piece of the
        answer's text and returns what `request` would: it is asked where somebody listens to the run.
        """
        ...


Source = Callable[[str], ModelProvider]
"""Finds the provider of a model by its full name; raises `ConfigError` where it cannot be had (no key, no file)."""


class Models:
    """Providers by the prefix of a model's name (`prefix:name`). Sources are asked when a model is first needed."""

    def __init__(
        self,
        sources: dict[str, Source] | None = None,
        *,
        otherwise: Source | None = None,
        embedders: dict[str, EmbedderSource] | None = None,
        embeds_otherwise: EmbedderSource | None = None,
    ) -> None:
        self._sources = dict(sources or {})
        self._otherwise = otherwise
        self._embedders = dict(embedders or {})
        self._embeds_otherwise = embeds_otherwise
        self._providers: list[Any] = []
        self._terms: list[tuple[str, Terms]] = []
        self.registered: dict[str, str] = {}
        """the program's own: the type's name, by prefix"""

    def register(self, prefix: str, provider: ModelProvider) -> None:
        """Let `provider` answer for every model `prefix:...`; it goes before a built-in one of that prefix."""
        if not prefix or ":" in prefix:
            raise ConfigError(
                f"`{prefix}` cannot be a provider's prefix: write what stands before the `:` of its models"
            )
        embeds = callable(getattr(provider, "embed", None))
        if not callable(getattr(provider, "request", None)) and not embeds:
            raise ConfigError(f"provider `{prefix}` has no `async def request(self, model, request)`")
        self._sources[prefix] = lambda _: provider
        if embeds:
            self._embedders[prefix] = lambda _: cast("Embedder", provider)
        self._providers.append(provider)
        self.registered[prefix] = type(provider).__qualname__

    def provider(self, model: str) -> ModelProvider:
        """The provider of a model. Raises `ConfigError`, which says what to write, to install or to set."""
        prefix, colon, name = model.partition(":")
        if not colon or not prefix or not name:
            raise ConfigError(
                f"model `{model}` does not name its provider: write `provider:name`, for example `openai:gpt-5`, or "
                "`scripted:PATH` for answers from a file"
            )
        source = self._sources.get(prefix, self._otherwise)
        if source is None:
            known = ", ".join(sorted(self._sources)) or "none"
            raise ConfigError(
                f"model `{model}`: no provider `{prefix}` is registered (known: {known}); register one with "
                f'`app.models.register("{prefix}", provider)`'
            )
        return self._kept(source(model))

    def embedder(self, model: str) -> Embedder:
        """What turns texts into vectors. Raises `ConfigError`, which says what to write or to install."""
        prefix, colon, name = model.partition(":")
        if not colon or not prefix or not name:
            raise ConfigError(
                f"`{model}` does not name a model of embeddings: write `provider:name`, for example "
                "`openai:text-embedding-3-small`"
            )
        source = self._embedders.get(prefix)
        if source is None and prefix not in self._sources:
            source = self._embeds_otherwise
        if source is None:
            raise ConfigError(
                f"model `{model}`: provider `{prefix}` makes no embeddings; take another one, or register one that has "
                f'`async def embed(self, model, texts, *, query, timeout)`: `app.models.register("{prefix}", provider)`'
            )
        return self._kept(source(model))

    def _kept(self, found: T) -> T:
        """To be closed at the end."""
        if all(found is not known for known in self._providers):
            self._providers.append(found)
        return found

    def terms(self, pattern: str, **terms: Any) -> None:
        """Say how calls of the models are handled whose full names fit `pattern` (`openai:*`, `*`).

        `retry=`, `breaker=`, `rate=`, `fallback=` (other models, or `Instead(answer)`) and `classify=`, as of a tool.
        Where several patterns fit, what was said last of each holds. Raises `ConfigError`.
        """
        unknown = sorted(set(terms) - _OF_MODELS)
        if unknown:
            raise ConfigError(
                f"models have no `{unknown[0]}`: what can be said of them is {', '.join(sorted(_OF_MODELS))}"
            )
        self._terms.append((pattern, terms_of(**terms)))

    def terms_of(self, model: str) -> Terms:
        """What holds for calls of a model."""
        found = NO_TERMS
        for pattern, said in self._terms:
            if fnmatchcase(model, pattern):
                found = _together(found, said)
        return found

    async def close(self) -> None:
        """Close the providers that hold connections. They open again when they are used again."""
        for provider in self._providers:
            close: Any = getattr(provider, "close", None)
            if close is not None:
                await close()


_OF_MODELS = {"retry", "breaker", "rate", "fallback", "classify"}
"""All else that terms say is of tools."""


def _together(before: Terms, after: Terms) -> Terms:
    """What `after` says, and of all else what `before` does."""
    said = {f.name: getattr(after, f.name) for f in fields(Terms)}
    new = {name: value for name, value in said.items() if value != getattr(NO_TERMS, name)}
    return replace(before, **new)
