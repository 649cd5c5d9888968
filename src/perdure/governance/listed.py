"""The list of prices in the package `genai-prices`, as it was installed: nothing is fetched."""

from __future__ import annotations

from decimal import Decimal
from importlib import metadata
from typing import Any

from ..core.clock import from_micros
from .money import to_nanos
from .prices import Price, Rate

__all__ = ["Listed"]

SOURCE = "genai-prices"

_PROVIDERS = {
    "anthropic": "anthropic",
    "azure": "azure",
    "bedrock": "aws",
    "cerebras": "cerebras",
    "cohere": "cohere",
    "deepseek": "deepseek",
    "fireworks": "fireworks",
    "google": "google",
    "google-cloud": "google",
    "google-gla": "google",
    "google-vertex": "google",
    "grok": "x-ai",
    "groq": "groq",
    "mistral": "mistral",
    "moonshotai": "moonshotai",
    "openai": "openai",
    "openai-chat": "openai",
    "openai-responses": "openai",
    "openrouter": "openrouter",
    "ovhcloud": "ovhcloud",
    "together": "together",
    "xai": "x-ai",
}
"""Its name of a provider, by the prefix of a model's name. Others are not looked up: a guess is no price."""


class Listed:
    """Prices by full model name. The package is imported at the first look, which takes a third of a second."""

    def __init__(self) -> None:
        self._found: dict[str, Any] = {}
        self._prices: dict[int, Price | None] = {}
        self._version: str | None = None

    def __call__(self, model: str, at: int) -> Price | None:
        """The price of a model at a time; None: not listed, or the package is not installed."""
        if model not in self._found:
            self._found[model] = self._find(model, at)
        found = self._found[model]
        if found is None:
            return None
        prices = found.get_prices(from_micros(at))  # some change with the date, or the time of day
        key = id(prices)  # the package holds them for good
        if key not in self._prices:
            self._prices[key] = self._price(found, prices)
        return self._prices[key]

    def _find(self, model: str, at: int) -> Any:
        prefix, _, name = model.partition(":")
        provider = _PROVIDERS.get(prefix)
        if provider is None:
            return None
        try:
            import genai_prices
        except ImportError:
            return None
        try:
            found = genai_prices.calc_price(
                genai_prices.Usage(input_tokens=0, output_tokens=0),
                name,
                provider_id=provider,
                genai_request_timestamp=from_micros(at),
            )
        except LookupError:
            return None
        self._version = self._version or metadata.version(SOURCE)
        return found.model

    def _price(self, found: Any, prices: Any) -> Price | None:
        input_, output = _rate(prices.input_mtok), _rate(prices.output_mtok)
        if input_ is None and output is None:
            return None  # by the hour, or by the page: not by what a turn counts
        return Price(
            input=input_ or ((0, 0),),
            output=output or ((0, 0),),
            cached=_rate(prices.cache_read_mtok),
            cache_write=_rate(prices.cache_write_mtok),
            source=SOURCE,
            version=self._version or "",
            window=found.context_window,
        )


def _rate(price: Any) -> Rate | None:
    if price is None:
        return None
    if isinstance(price, Decimal):
        return ((0, to_nanos(price)),)
    return ((0, to_nanos(price.base)), *((tier.start, to_nanos(tier.price)) for tier in price.tiers))
