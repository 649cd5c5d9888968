"""The composition root: settings and registrations in, a working application out."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Mapping
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

from ..core.access_settings import AccessSettings
from ..core.alert_settings import AlertSettings
from ..core.approval_settings import ApprovalSettings
from ..core.audit_settings import AuditSettings
from ..core.clock import Clock
from ..core.contacts import Contact, Contacts
from ..core.credentials import CredentialSource
from ..core.database_settings import DatabaseSettings, read_databases
from ..core.errors import ConfigError
from ..core.identity_settings import IdentitySettings
from ..core.ids import DEFAULT_TENANT, new_id
from ..core.labels import check_labels
from ..core.mcp_settings import McpSettings, read_servers
from ..core.memory_settings import MemorySettings
from ..core.openapi_settings import OpenApiSettings, read_documents
from ..core.policy_settings import PolicySettings
from ..core.provider_settings import ProviderSettings, read_providers
from ..core.settings import load_settings
from ..core.spending_settings import BudgetSettings, PriceSettings
from ..core.table import read_table
from ..core.telemetry_settings import TelemetrySettings
from ..core.trust_settings import TrustSettings
from ..core.watcher_settings import WatcherSettings
from ..engines import Worker, WorkerOptions
from ..engines.worker import Beside, Isolate
from ..governance import Breakers, Limits, Rate
from ..journal import Store
from ..runtime import Agent, Classifier, Retry, Rules, Surroundings
from .auditing import Auditing
from .budgets import Budgets
from .configured import configured
from .connections import Connections
from .databases import AppDatabases
from .deploys import Behaviours, Deploys
from .erasure import Erasures
from .escalations import Escalations
from .histories import Histories
from .hooks import Hooks
from .mcp import AppMcp
from .memory import AppMemory
from .offering import Offering
from .openapi import AppOpenApi
from .outcomes import Outcomes
from .policies import AppPolicies
from .schedules import Schedules
from .series import SeriesOfRuns
from .settlements import Settlements
from .stopping import Stopping
from .stores import open_store
from .tracing import Tracing
from .trust import AppTrust
from .watchers import Watchers

if TYPE_CHECKING:
    from ..engines.messenger import Messenger

__all__ = ["App", "open_store"]

Durability = Literal["pipelined", "step"]


class App(
    Histories,
    Settlements,
    Stopping,
    Watchers,
    Deploys,
    Escalations,
    Outcomes,
    Connections,
    Auditing,
    Tracing,
    Erasures,
    Hooks,
    SeriesOfRuns,
    Offering,
):
    """Agents and tools, a store, and, inside `async with`, a worker.

    `start` accepts runs and never executes them; `async with app`, `run_sync` and `perdure worker` do.
    """

    def __init__(
        self,
        store: str | Store = "sqlite:///perdure.db",
        *,
        tenant: str = DEFAULT_TENANT,
        durability: Durability = "pipelined",
        concurrency: int = 256,
        lease: timedelta = timedelta(seconds=10),
        labels: Iterable[str] = (),
        tenant_limit: int | None = None,
        retry: Retry | None = None,
        tenant_rate: Rate | str | None = None,
        budget: BudgetSettings | Mapping[str, Any] | None = None,
        prices: PriceSettings | Mapping[str, Any] | None = None,
        contacts: Contacts | Mapping[str, Contact | Mapping[str, Any]] | None = None,
        approvals: ApprovalSettings | Mapping[str, Any] | None = None,
        policies: PolicySettings | Mapping[str, Any] | str | os.PathLike[str] | None = None,
        credentials: CredentialSource | None = None,
        identity: IdentitySettings | Mapping[str, Any] | None = None,
        providers: Mapping[str, ProviderSettings | Mapping[str, Any]] | None = None,
        audit: AuditSettings | Mapping[str, Any] | None = None,
        trust: TrustSettings | Mapping[str, Any] | None = None,
        watchers: WatcherSettings | Mapping[str, Any] | None = None,
        alerts: AlertSettings | Mapping[str, Any] | None = None,
        access: AccessSettings | Mapping[str, Any] | None = None,
        telemetry: TelemetrySettings | Mapping[str, Any] | None = None,
        mcp: Mapping[str, McpSettings | Mapping[str, Any]] | None = None,
        openapi: Mapping[str, OpenApiSettings | Mapping[str, Any]] | None = None,
        database: Mapping[str, DatabaseSettings | Mapping[str, Any]] | None = None,
        memory: MemorySettings | Mapping[str, Any] | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Make an app on a store, by its URL or as it is.

        `retry` holds for model turns and tools whose agents and own terms say no other. `tenant_rate` (`"100/s"`)
        bounds how often a tenant calls models and tools, over all workers. `budget`, `prices`, `contacts`,
        `approvals`, `policies` (or their folder alone), `identity`, `providers`, `audit`, `trust`, `watchers`,
        `alerts`, `access`, `telemetry`, `mcp`, `openapi`, `database` and `memory` are what stands in the tables of
        these names in `perdure.toml`; mailboxes among the contacts need `Contacts({...}, smtp=Smtp(...))`.
        `credentials` keeps those of users, for tools that use them; without it the vault does, where there are
        providers. Raises `ConfigError`.
        """
        if durability not in ("pipelined", "step"):
            raise ConfigError(f"durability `{durability}` is not one of pipelined, step")
        super().__init__(store, tenant=tenant, clock=clock)
        self.options = WorkerOptions(
            concurrency=concurrency,
            lease=lease,
            durable_steps=durability == "step",
            labels=frozenset(check_labels(labels, what="a label")),
            tenant_limit=tenant_limit,
        )
        self.classifier = Classifier(clock=self.clock)
        self.classify = self.classifier.add
        """decorates a function that says what kind of failure an error is, or None"""
        self.retry_policy = retry
        self.tenant_rate = None if tenant_rate is None else Rate.of(tenant_rate)
        self.target: str | None = None
        """`module:attribute` under which other processes can import this app; set by the CLI, or found"""
        self.schedules = Schedules(self)
        self.budgets = Budgets(self)
        self.budget_settings = BudgetSettings.read(budget or {}, where="App(budget=...)")
        self.price_settings = PriceSettings.read(prices or {}, where="App(prices=...)")
        self.contacts = Contacts.read(contacts or {}, where="App(contacts=...)")
        self.approval_settings = read_table(ApprovalSettings, approvals or {}, where="App(approvals=...)")
        self.credentials = credentials
        """whatever keeps users' credentials; set it before a worker is made"""
        self.identity_settings = read_table(IdentitySettings, identity or {}, where="App(identity=...)")
        self.providers = read_providers(providers or {}, where="App(providers=...)")
        self.audit_settings = (
            None if audit is None else read_table(AuditSettings, audit, where="App(audit=...)")
        )
        self.access_settings = read_table(AccessSettings, access or {}, where="App(access=...)")
        self.policies = AppPolicies(self, policies)
        """what its agents may do, by the folder `policies`"""
        self.telemetry_settings = read_table(TelemetrySettings, telemetry or {}, where="App(telemetry=...)")
        if alerts is not None:
            self.alert_settings = read_table(AlertSettings, alerts, where="App(alerts=...)")
        if watchers is not None:
            self.watcher_settings = read_table(WatcherSettings, watchers, where="App(watchers=...)")
        self.trust = AppTrust(
            self, None if trust is None else read_table(TrustSettings, trust, where="App(trust=...)")
        )
        self.mcp = AppMcp(self, read_servers(mcp or {}, where="App(mcp=...)"))
        """tools of MCP servers"""
        self.openapi = AppOpenApi(self, read_documents(openapi or {}, where="App(openapi=...)"))
        """operations of OpenAPI documents"""
        self.mcp.alarm = self.openapi.alarm = self.raise_changed
        self.databases = AppDatabases(self, read_databases(database or {}, where="App(database=...)"))
        """SQL databases that agents may read"""
        self.memory = AppMemory(self, read_table(MemorySettings, memory or {}, where="App(memory=...)"))
        """what its agents remember"""
        self.behaviours = Behaviours(self)
        """what starts runs by the clock; `schedule` declares it"""
        self.schedule = self.schedules.declare
        self._worker: Worker | None = None
        self._worker_task: asyncio.Task[None] | None = None

    @classmethod
    def from_config(cls, path: str | os.PathLike[str] | None = None) -> Self:
        """An app by `perdure.toml` (or `path`) and `PERDURE_*` variables. Raises `ConfigError`."""
        return configured(cls, load_settings(path))

    # opening and closing ---------------------------------------------------------------------------------------

    async def close(self) -> None:
        """Stop the worker in good order, then close the store."""
        if self._worker is not None:
            self._worker.stop()
        if self._worker is not None and self._worker_task is not None:
            await self._worker_task
            self._worker.abandon()
            self._worker = self._worker_task = self.endings.worker = None
        if self._models is not None:
            await self._models.close()
        await self.mcp.close()
        await self.memory.close()
        await self.close_vault()
        if self._opened:
            self._opened = False
            await self.store.close()

    async def __aenter__(self) -> Self:
        await self.open()
        self._worker = self.new_worker()
        self._worker_task = asyncio.create_task(self._worker.run(), name="perdure worker")
        self.endings.worker = self._worker_task
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def run_sync(
        self, agent: Agent | str, input: Any = None, *, run_id: str | None = None, **options: Any
    ) -> Any:
        """Start a run, work until it has ended, and return its result. For scripts and notebooks without a loop."""

        async def work() -> Any:
            async with self:
                handle = await self.start(agent, input, run_id=run_id, **options)
                telling = asyncio.create_task(handle.tell_questions())
                try:
                    return await handle.result()
                finally:
                    telling.cancel()

        return asyncio.run(work())

    def new_worker(self, options: WorkerOptions | None = None, *, isolate: Isolate | None = None) -> Worker:
        """A worker for this app's agents; `await worker.run()` works until `worker.stop()`."""
        from ..adapters.frameworks import Frameworks
        from ..engines.alone import isolation
        from ..engines.bookkeeping import Bookkeeping
        from ..engines.retention import Retention
        from ..engines.scheduler import Scheduler

        return Worker(
            self.store,
            self.agents,
            clock=self.clock,
            surroundings=Surroundings(
                agent=self.find_agent,
                models=_Lazy(self),
                adapters=Frameworks(),
                effects=self.effects,
                rules=self._rules(),
                treasury=self.treasury,
                memories=self.memory.backends,
                behaviour=self.behaviours.of,
            ),
            options=options or self.options,
            isolate=isolate or isolation(self, self.store.url),
            on_end=self.endings.told,
            schedules=Scheduler(self.store, self.tenant, self.schedules.declared),
            retention=Retention(self.store, self.retention_rules),
            messenger=self._messenger(),
            bookkeeping=Bookkeeping(self.treasury, self.sweeps()),
            audit=[*self.audit_tasks(), *self.watching(), *self.alerting(), *self.span_tasks()],
        )

    def beside_server(self) -> list[Beside]:
        """What goes on in a server that drives no runs: people are told, and spans sent, whoever does the work."""
        return [self._messenger(), *self.watching(), *self.alerting(), *self.span_tasks()]

    def _messenger(self) -> Messenger:
        from ..engines.messenger import Messenger

        name = f"messenger {new_id()[:12]}"
        return Messenger(self.store, lambda: self.contacts, name=name, links=self.question_links())

    def _rules(self) -> Rules:
        return Rules(
            classifier=self.classifier,
            retry=self.retry_policy,
            breakers=Breakers(self.store, self.clock),
            limits=Limits(self.store),
            tenant_rate=self.tenant_rate,
            approvals=self.approval_settings,
            approver_proof=self.approver_proof,
            credentials=self.credential_source,
            minting=self.minting(),
            policies=self.policies.shelf(),
            revocations=self.revocations,
            trust=self.trust.looked_at,
        )


class _Lazy:
    """The app's models, looked up when first used: importing providers is slow."""

    def __init__(self, app: App) -> None:
        self._app = app

    def __getattr__(self, name: str) -> Any:
        return getattr(self._app.models, name)
