"""An app by its settings: which of its arguments stands in which table of `perdure.toml`."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from ..core.settings import Settings

if TYPE_CHECKING:
    from .app import App

__all__ = ["configured"]

A = TypeVar("A", bound="App")


def configured(kind: type[A], settings: Settings) -> A:
    """An app of that class. Raises `ConfigError`."""
    made = kind(
        settings.store,
        tenant=settings.tenant,
        durability=settings.durability,
        concurrency=settings.concurrency,
        lease=settings.lease,
        labels=settings.labels,
        tenant_limit=settings.tenant_limit,
        budget=settings.budget,
        prices=settings.prices,
        contacts=settings.all_contacts(),
        approvals=settings.approvals,
        identity=settings.identity,
        providers=settings.providers,
        audit=settings.audit,
        access=settings.access,
        policies=settings.policies,
        trust=settings.trust,
        watchers=settings.watchers,
        telemetry=settings.telemetry,
        mcp=settings.mcp,
        openapi=settings.openapi,
        database=settings.database,
        memory=settings.memory,
        alerts=settings.alerts,
    )
    made.retention = settings.retention
    made.hooks, made.webhooks = settings.hooks, settings.webhooks
    made.mcp_serve = settings.mcp_serve
    return made
