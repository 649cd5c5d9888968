"""Which models may answer a conversation: the one that was asked for, those that stand in for it, and larger ones.

    asked ─► fallback ─► fallback ─► Instead(answer)     where one fails for good, is overloaded, or its breaker is open
      │
      └────► larger ─► larger                            where the conversation does not fit, also when it was compacted

Each is a way of the turn's call, so the boundary decides when the next one's turn has come. A conversation stays with
the model that answered last: what two models say of their reasoning they cannot read of each other, and a model that
has just failed for minutes is not waited for again at every turn. That is read from the recorded turns, never from
what is known of a model now.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, cast

from ...core.errors import ConfigError
from ..boundary.call import Way
from ..boundary.retry import Retry
from ..boundary.terms import Instead, Terms
from .providers import Models

__all__ = ["INSTEAD", "Alternative", "Candidates", "alternatives"]

Alternative = str | Instead
"""A model by its name, or an answer that needs none."""

INSTEAD = "answer"
"""What a turn says it was answered by where no model was asked."""


class Candidates:
    """The models of one conversation, the one whose turn it is first."""

    def __init__(
        self,
        models: Models,
        asked: Sequence[Alternative],
        *,
        larger: Sequence[str] = (),
        retry: Retry | None = None,
    ) -> None:
        """`asked`: the model, then its fallbacks. Without fallbacks, those hold that are set for the model."""
        first = asked[0] if asked else None
        if not isinstance(first, str):
            raise ConfigError(
                "no model is named first: write `provider:name`, or several; `Instead` is for the end"
            )
        self._models = models
        self._retry = retry
        self.asked = first
        self._way = list(asked) if len(asked) > 1 else [first, *alternatives(models.terms_of(first).fallback)]
        self._larger = list(larger)

    @property
    def now(self) -> str:
        """The model that is asked next."""
        first = self._way[0]
        assert isinstance(first, str)
        return first

    def answered_by(self, name: str) -> None:
        """A turn was answered by this model: the conversation stays with it. Unknown names change nothing."""
        if name in self._way:
            del self._way[: self._way.index(name)]

    def grow(self) -> bool:
        """Go on to a model that may have room for more; False: there is none."""
        rest: list[Alternative] = [*self._larger, *(m for m in self._way[1:] if isinstance(m, str))]
        self._larger = []
        if not rest:
            return False
        self._way = rest
        return True

    def terms(self, name: str) -> Terms:
        """What holds for the calls of a model."""
        terms = self._models.terms_of(name)
        return terms if self._retry is None else replace(terms, retry=self._retry)

    def check(self) -> None:
        """Raise `ConfigError` where one of them cannot be had: not only when it is needed."""
        for name in (*self._way, *self._larger):
            if isinstance(name, str):
                self._models.provider(name)

    def ways(
        self,
        ask: Callable[[str], Awaitable[Any]],
        instead: Callable[[Instead], Awaitable[Any]],
    ) -> tuple[Way, ...]:
        """The ways of a call to answer a turn."""
        made: list[Way] = []
        for name in self._way:
            if isinstance(name, Instead):
                made.append(Way(INSTEAD, "answer", partial(instead, name)))
            else:
                made.append(Way(name, "model", partial(ask, name), self.terms(name)))
        return tuple(made)


def alternatives(given: Any) -> tuple[Alternative, ...]:
    """Models and other ways out as people write them: one or several. Raises `ConfigError`."""
    found: list[Any] = list(cast("Sequence[Any]", given)) if isinstance(given, list | tuple) else [given]
    for one in found:
        if not isinstance(one, Alternative):
            raise ConfigError(
                f"`{one!r}` cannot answer for a model: name another model (`provider:name`), or give `Instead(answer)`"
            )
    return tuple(found)
