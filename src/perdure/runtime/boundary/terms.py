"""Terms: what the owner of a tool, an agent or an app says about its calls. The boundary keeps to them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, cast

from ...core.errors import ConfigError
from ...core.labels import check_labels
from ...core.principal import check_grants
from ...governance import Breaker, Rate
from ..outbound.addresses import Outbound
from .diagnosis import Rule
from .retry import Retry

__all__ = ["NO_TERMS", "Access", "Cache", "Cached", "Instead", "Terms", "terms_of"]


@dataclass(frozen=True, slots=True)
class Cache:
    """Results of a `read` tool that may be used again, by every run of the tenant, over all workers."""

    max_age: timedelta
    """as long as this a result counts as fresh"""
    stale_if_error: timedelta | None = None
    """where the tool fails, a result of at most this age is used, and labelled with its age"""

    def __post_init__(self) -> None:
        for what, value in (("max_age", self.max_age), ("stale_if_error", self.stale_if_error)):
            if value is not None and value <= timedelta():
                raise ConfigError(f"cache: `{what}={value}` is not a time above nothing")

    @property
    def keep(self) -> timedelta:
        """How long a result is kept."""
        return max(self.max_age, self.stale_if_error or timedelta())


@dataclass(frozen=True, slots=True)
class Cached:
    """A way out: the result of an earlier call with the same arguments, if it is not older than this."""

    max_age: timedelta


@dataclass(frozen=True, slots=True)
class Instead:
    """A way out: a degraded answer, a value or a function of the tool's arguments, which must not fail."""

    answer: Any


@dataclass(frozen=True, slots=True)
class Access:
    """Whose account with which provider a call uses: always that of the user on whose behalf the run acts."""

    provider: str
    scopes: tuple[str, ...] = ()
    """what the credential must at least allow, in the provider's words"""
    within: timedelta | None = None
    """how long the run waits for a user who has connected no account; None: as long as it takes"""

    def __post_init__(self) -> None:
        if not self.provider or "/" in self.provider or any(c.isspace() for c in self.provider):
            raise ConfigError(
                f"credential: `{self.provider}` is no provider; write its name in perdure.toml, without `/` and spaces"
            )
        if self.within is not None and self.within <= timedelta():
            raise ConfigError(f"credential: `connect_within={self.within}` is not a time above nothing")


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How the calls of one tool, or of one model, are to be handled. None: as the agent says, then the app."""

    retry: Retry | None = None
    breaker: Breaker | None = None
    rates: tuple[Rate, ...] = ()
    cache: Cache | None = None
    fallback: tuple[Any, ...] = ()
    """what is tried where it fails for good: tools with the same arguments, `Cached`, `Instead`, in this order"""
    classify: Rule | None = None
    needs_approval: Any = None
    """what an approval is asked for: see `consent`"""
    heartbeat: timedelta | None = None
    """a call that says nothing for so long counts as hung"""
    credential: Access | None = None
    """the account that a call uses"""
    outbound: Outbound | None = None
    """what the clients that it is handed may reach"""
    requires: frozenset[str] = frozenset()
    """grants that the user must have for whom the run acts: see `grants`"""
    labels: frozenset[str] = frozenset()
    """of what it returns: `trusted`, `untrusted`, and what else policies ask about"""
    clearance: frozenset[str] = frozenset()
    """labels of data that may go into it; for policies"""
    zone: str = "default"
    """what it belongs to: `money`, `communication`, `production`; for policies"""
    check: Callable[..., Any] | None = None
    """looks at what an effect has come to: see `verifying`"""

    @property
    def guarded(self) -> bool:
        """Whether anything must be looked at before the call, so that it cannot go the short way."""
        return bool(
            self.breaker is not None
            or self.rates
            or self.cache is not None
            or self.needs_approval is not None
            or self.heartbeat is not None
            or self.credential is not None
            or self.outbound is not None
            or self.requires
        )


NO_TERMS = Terms()


def terms_of(
    *,
    retry: Retry | None = None,
    breaker: Breaker | None = None,
    rate: Rate | str | Iterable[Rate | str] = (),
    cache: Cache | timedelta | None = None,
    fallback: Any = (),
    classify: Rule | None = None,
    needs_approval: Any = None,
    heartbeat: timedelta | None = None,
    credential: str | None = None,
    scopes: Iterable[str] = (),
    connect_within: timedelta | None = None,
    hosts: Iterable[str] | str = (),
    allow_private: Iterable[str] | str = (),
    audience: str | None = None,
    requires: str | Iterable[str] = (),
    labels: Iterable[str] = (),
    clearance: Iterable[str] = (),
    zone: str = "default",
    check: Callable[..., Any] | None = None,
) -> Terms:
    """Terms as people write them: `rate="10/s"`, `cache=timedelta(minutes=5)`, one fallback or several."""
    wanted = (scopes,) if isinstance(scopes, str) else tuple(scopes)
    if credential is None and connect_within is not None:
        raise ConfigError("`connect_within` is of no use without `credential=PROVIDER`")
    if wanted and credential is None and audience is None:
        raise ConfigError("`scopes` are of no use without `credential=PROVIDER` or `audience=RECEIVER`")
    if audience is not None and credential is not None:
        raise ConfigError(
            f"`credential={credential!r}` and `audience={audience!r}` both say what a request carries: leave one out"
        )
    if not hosts and (allow_private or audience is not None):
        raise ConfigError("`allow_private` and `audience` are of no use without `hosts=[...]`")
    rates = [rate] if isinstance(rate, Rate | str) else list(rate)
    ways: tuple[Any, ...] = (
        tuple(cast("list[Any]", fallback)) if isinstance(fallback, list | tuple) else (fallback,)
    )
    made = Terms(
        retry=retry,
        breaker=breaker,
        rates=tuple(Rate.of(r) for r in rates),
        cache=Cache(cache) if isinstance(cache, timedelta) else cache,
        fallback=ways,
        classify=classify,
        needs_approval=None if needs_approval is False else needs_approval,
        heartbeat=heartbeat,
        credential=None if credential is None else Access(credential, wanted, connect_within),
        outbound=Outbound.of(hosts, private=allow_private, audience=audience, scopes=wanted)
        if hosts
        else None,
        requires=check_grants(requires, what="`requires`"),
        labels=frozenset(check_labels((labels,) if isinstance(labels, str) else labels, what="a label")),
        clearance=frozenset(
            check_labels((clearance,) if isinstance(clearance, str) else clearance, what="a clearance")
        ),
        zone=zone,
        check=check,
    )
    return NO_TERMS if made == NO_TERMS else made
