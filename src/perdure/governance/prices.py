"""Prices: what a model's tokens, a tool's call and a human's minute cost, where that is said, and in which version.

In this order: the project's own prices (`[prices]` in `perdure.toml`, or a file that it names), then the list that the
package `genai-prices` carries (extra `models`). Nothing is fetched over the network. What has no price is *unpriced*:
None, never nothing, and shown as such.
"""

from __future__ import annotations

import fnmatch
import hashlib
import json
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from ..core.errors import ConfigError
from ..core.spending_settings import ModelPriceSettings, PriceSettings
from .amounts import Amount
from .money import to_nanos

__all__ = ["Charge", "Price", "PriceList", "Prices", "Rate", "TokenCounts"]

Rate = tuple[tuple[int, int], ...]
"""Nano-dollars per million tokens: `(from so many input tokens on, price)`, ascending; the first from 0.

Above a threshold its price holds for all tokens of the call, as providers charge it.
"""

MILLION = 1_000_000

PriceList = Callable[[str, int], "Price | None"]
"""A list of prices: a model's, by its full name and the time (microseconds); None: not in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """What the tokens of one model cost."""

    input: Rate
    output: Rate
    cached: Rate | None = None
    """of input tokens read from the provider's cache; None: as any other"""
    cache_write: Rate | None = None
    """of input tokens written to it; None: as any other"""
    source: str
    """`genai-prices`, or the file"""
    version: str
    max_output: int | None = None
    """output tokens of one turn that the model gives at most"""
    window: int | None = None
    """tokens that it takes at most, input and output together"""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenCounts:
    """Tokens of one turn. None: nobody counted them."""

    input: int | None = None
    """those of the cache included"""
    output: int | None = None
    cached: int | None = None
    cache_write: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """What a call used, and by which price. `amount.money` says nothing where it is `unpriced`."""

    amount: Amount
    source: str | None = None
    version: str | None = None
    unpriced: bool = False
    estimated: bool = False
    """nobody counted: this is what it may have used at most"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """All prices of an app."""

    models: Mapping[str, Price] = field(default_factory=dict[str, Price])
    """the project's own, by full name or pattern (`scripted:*`); a name goes before patterns, those in their order"""
    tools: Mapping[str, int] = field(default_factory=dict[str, int])
    """fee of a call in nano-dollars, by the tool's name"""
    human_minute: int | None = None
    """nano-dollars of a minute of a human's attention"""
    approval_minutes: float = 1
    """of a human's attention, for an answer"""
    source: str = "perdure.toml"
    version: str = ""
    default_output: int = 4096
    """output tokens that a turn is reserved for where neither its settings nor its price say how many there may be"""
    listed: PriceList | None = None

    @classmethod
    def of(cls, settings: PriceSettings, *, listed: PriceList | None = None) -> Self:
        """From the table `[prices]`, and the file that it names. Raises `ConfigError`."""
        source = "perdure.toml"
        if settings.file is not None:
            settings, source = _from_file(settings)
        version = settings.version or _digest(settings)
        models = {
            name: _own(name, table, source=source, version=version) for name, table in settings.models.items()
        }
        return cls(
            models=models,
            tools={
                name: to_nanos(fee, what=f"the fee of tool `{name}`") for name, fee in settings.tools.items()
            },
            human_minute=None
            if settings.human_minute is None
            else to_nanos(settings.human_minute, what="`human_minute`"),
            approval_minutes=settings.human_minutes_per_approval,
            source=source,
            version=version,
            default_output=settings.default_output,
            listed=listed if settings.listed else None,
        )

    def of_model(self, model: str, at: int) -> Price | None:
        """The price of a model (`provider:name`) at a time; None: unpriced."""
        own = self.models.get(model)
        if own is None and self.models:
            own = next((p for name, p in self.models.items() if fnmatch.fnmatchcase(model, name)), None)
        if own is None and self.listed is not None:
            return self.listed(model, at)
        return own

    def estimate(self, model: str, at: int, *, prompt: int, output: int | None) -> Charge:
        """What a turn uses at most: `prompt` tokens, and `output` ones, or as many as the model gives."""
        price = self.of_model(model, at)
        most = output
        if most is None:
            most = self.default_output
            if price is not None and price.max_output is not None:
                most = price.max_output
        if price is not None and price.window is not None:
            most = min(most, max(1, price.window - prompt))
        return _charge(price, TokenCounts(input=prompt, output=most), dearest=True, estimated=True)

    def charge(self, model: str, at: int, counts: TokenCounts, *, otherwise: Amount | None = None) -> Charge:
        """What a turn used. Where nobody counted its tokens, it used `otherwise`, as far as anybody knows."""
        if counts.input is None and counts.output is None and otherwise is not None:
            price = self.of_model(model, at)
            told = {} if price is None else {"source": price.source, "version": price.version}
            return Charge(amount=otherwise, estimated=True, unpriced=price is None, **told)
        uncounted = counts.input is None and counts.output is None
        return _charge(self.of_model(model, at), counts, estimated=uncounted)

    def fee(self, tool: str) -> Charge:
        """What a call of a tool costs. A tool without a fee is free, not unpriced: most are."""
        fee = self.tools.get(tool)
        if fee is None:
            return Charge(amount=Amount(tool_calls=1))
        return Charge(amount=Amount(money=fee, tool_calls=1), source=self.source, version=self.version)

    def human(self, micros: int) -> Charge | None:
        """What so much of a human's attention costs; None: nobody has said."""
        if self.human_minute is None:
            return None
        money = -(-self.human_minute * micros // 60_000_000)
        return Charge(amount=Amount(money=money), source=self.source, version=self.version)


def _charge(
    price: Price | None, counts: TokenCounts, *, dearest: bool = False, estimated: bool = False
) -> Charge:
    given, made = counts.input or 0, counts.output or 0
    money = 0
    if price is not None:
        money = (_dearest if dearest else _cost)(price, counts)
    amount = Amount(money=money, input_tokens=given, output_tokens=made, tokens=given + made, model_calls=1)
    if price is None:
        return Charge(amount=amount, unpriced=True, estimated=estimated)
    return Charge(amount=amount, source=price.source, version=price.version, estimated=estimated)


def _cost(price: Price, counts: TokenCounts) -> int:
    """Nano-dollars, rounded up once."""
    given, made = counts.input or 0, counts.output or 0
    cached = min(counts.cached or 0, given)
    written = min(counts.cache_write or 0, given - cached)
    sum_ = (given - cached - written) * _rate(price.input, given) + made * _rate(price.output, given)
    if cached:
        sum_ += cached * _rate(price.cached or price.input, given)
    if written:
        sum_ += written * _rate(price.cache_write or price.input, given)
    return -(-sum_ // MILLION)


def _dearest(price: Price, counts: TokenCounts) -> int:
    """The same, when nobody knows yet what the cache does: writing to it may cost more than not to use it."""
    given = counts.input or 0
    plain = _cost(price, counts)
    if price.cache_write is None:
        return plain
    return max(plain, _cost(price, TokenCounts(input=given, output=counts.output, cache_write=given)))


def _rate(rate: Rate, given: int) -> int:
    if len(rate) == 1:
        return rate[0][1]
    return next(price for start, price in reversed(rate) if given > start or start == 0)


def _own(name: str, table: ModelPriceSettings, *, source: str, version: str) -> Price:
    def flat(value: Any, what: str) -> Rate:
        return ((0, to_nanos(value, what=f"price `{what}` of model `{name}`")),)

    return Price(
        input=flat(table.input, "input"),
        output=flat(table.output, "output"),
        cached=None if table.cached is None else flat(table.cached, "cached"),
        cache_write=None if table.cache_write is None else flat(table.cache_write, "cache_write"),
        source=source,
        version=version,
        max_output=table.max_output,
    )


def _from_file(settings: PriceSettings) -> tuple[PriceSettings, str]:
    """The file's prices; what the table itself says goes before them."""
    path = Path(str(settings.file))
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"there is no file of prices `{path}`; see `[prices] file`") from None
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"`{path}` is not readable TOML: {error}") from error
    there = PriceSettings.read(values, where=str(path))
    given = settings.model_dump(exclude_unset=True, exclude={"file", "models", "tools"})
    merged = there.model_copy(
        update={
            **given,
            "models": {
                **settings.models,
                **{n: p for n, p in there.models.items() if n not in settings.models},
            },
            "tools": {**there.tools, **settings.tools},
        }
    )
    return merged, path.name


def _digest(settings: PriceSettings) -> str:
    """A version for prices that were given none: it changes with them."""
    text = json.dumps(settings.model_dump(mode="json", exclude={"file"}), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]
