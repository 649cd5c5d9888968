"""The composition root: settings and registrations in, a working application out."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Mapping
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

import pydantic_core

from ..core.access_settings import AccessSettings
from ..core.alert_settings import AlertSettings
from ..core.approval_settings import ApprovalSettings
from ..core.audit_settings import AuditSettings
from ..core.clock import Clock, SystemClock
from ..core.codec import arguments_bytes
from ..core.contacts import Contact, Contacts
from ..core.credentials import CredentialSource
from ..core.errors import ConfigError, UnknownRun
from ..core.identity_settings import IdentitySettings
from ..core.ids import DEFAULT_TENANT, RunRef, check_id, new_id
from ..core.labels import check_labels
from ..core.mcp_settings import McpSettings, read_servers
from ..core.memory_settings import MemorySettings
from ..core.openapi_settings import OpenApiSettings, read_documents
from ..core.policy_settings import PolicySettings
from ..core.provider_settings import ProviderSettings, read_providers
from ..core.settings import load_settings, shown_url
from ..core.spending_settings import BudgetSettings, PriceSettings
from ..core.table import read_table
from ..core.telemetry_settings import TelemetrySettings
from ..core.trust_settings import TrustSettings
from ..core.watcher_settings import WatcherSettings
from ..engines import Worker, WorkerOptions
from ..engines.worker import Beside, Isolate
from ..governance import Breakers, Limits, Listed, Prices, Rate, Treasury
from ..journal import Post, RunStatus, Store
from ..registry import Registry
from ..runtime import Classifier, Retry, Rules, Surroundings, end_claimed
from ..runtime.frameworks.declared import ToolTable
from .alerts import Alarms
from .approvals import Approvals
from .auditing import Auditing
from .budgets import Budgets
from .configured import configured
from .connections import Connections
from .deploys import Behaviours, Deploys
from .erasure import Erasures
from .escalations import Escalations
from .handle import Endings, Handle
from .histories import Histories
from .hooks import Hooks
from .identities import Identities
from .mcp import AppMcp
from .memory import AppMemory
from .openapi import AppOpenApi
from .outcomes import Outcomes
from .policies import AppPolicies
from .revocations import Revoking
from .schedules import Schedules
from .series import SeriesOfRuns
from .settlements import Settlements
from .starts import Starts
from .stopping import Stopping
from .stores import open_store, sealing
from .tracing import Tracing
from .trust import AppTrust
from .watchers import Watchers

if TYPE_CHECKING:
    from ..engines.messenger import Messenger

__all__ = ["App", "open_store"]

Durability = Literal["pipelined", "step"]


class App(
    Registry,
    Starts,
    Histories,
    Deploys,
    Escalations,
    Outcomes,
    Approvals,
    Settlements,
    Identities,
    Connections,
    Auditing,
    Tracing,
    Revoking,
    Stopping,
    Watchers,
    Alarms,
    Erasures,
    Hooks,
    SeriesOfRuns,
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
        memory: MemorySettings | Mapping[str, Any] | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Make an app on a store, by its URL or as it is.

        `retry` holds for model turns and tools whose agents and own terms say no other. `tenant_rate` (`"100/s"`)
        bounds how often a tenant calls models and tools, over all workers. `budget`, `prices`, `contacts`,
        `approvals`, `policies` (or their folder alone), `identity`, `providers`, `audit`, `trust`, `watchers`,
        `alerts`, `access`, `telemetry`, `mcp`, `openapi` and `memory` are what stands in the tables of these names in
        `perdure.toml`; mailboxes among the contacts need `Contacts({...}, smtp=Smtp(...))`. `credentials` keeps
        those of users, for tools that use them; without it the vault does, where there are providers. Raises
        `ConfigError`.
        """
        if durability not in ("pipelined", "step"):
            raise ConfigError(f"durability `{durability}` is not one of pipelined, step")
        super().__init__()
        self.tenant = check_id(tenant, what="a tenant")
        self.clock: Clock = clock or SystemClock()
        self._store = sealing(open_store(store, clock=self.clock) if isinstance(store, str) else store, self)
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
        self.effects = ToolTable()
        """what the tools of other frameworks' agents do to the world: `app.effects.declare("read", "lookup")`"""
        self.retry_policy = retry
        self.tenant_rate = None if tenant_rate is None else Rate.of(tenant_rate)
        self.target: str | None = None
        """`module:attribute` under which other processes can import this app; set by the CLI, or found"""
        self.schedules = Schedules(self)
        self.budgets = Budgets(self)
        self.budget_settings = BudgetSettings.read(budget or {}, where="App(budget=...)")
        """what may be used; the table `[budget]`. Set it before the first use"""
        self.price_settings = PriceSettings.read(prices or {}, where="App(prices=...)")
        """what it costs; the table `[prices]`. Set it before the first use"""
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
        """who may ask the server for what; the table `[access]`"""
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
        """how far its agents are trusted: their rings, and what widens and narrows them"""
        self.mcp = AppMcp(self, read_servers(mcp or {}, where="App(mcp=...)"))
        """tools of MCP servers"""
        self.openapi = AppOpenApi(self, read_documents(openapi or {}, where="App(openapi=...)"))
        """operations of OpenAPI documents"""
        self.memory = AppMemory(self, read_table(MemorySettings, memory or {}, where="App(memory=...)"))
        """what its agents remember"""
        self._treasury: Treasury | None = None
        self.behaviours = Behaviours(self)
        """what starts runs by the clock; `schedule` declares it"""
        self.schedule = self.schedules.declare
        self._models: Any = None
        self._opened = False
        self._worker: Worker | None = None
        self._worker_task: asyncio.Task[None] | None = None
        self.endings = Endings(self._store)
        """of runs that somebody here waits for"""

    @classmethod
    def from_config(cls, path: str | os.PathLike[str] | None = None) -> Self:
        """An app by `perdure.toml` (or `path`) and `PERDURE_*` variables. Raises `ConfigError`."""
        return configured(cls, load_settings(path))

    @property
    def models(self) -> Any:
        """The providers of `run.model`; register your own with `app.models.register(prefix, provider)`."""
        if self._models is None:
            from ..adapters.models import default_models

            self._models = default_models()
        return self._models

    @property
    def treasury(self) -> Treasury:
        """Prices, and the accounts of budgets that runs share. Raises `ConfigError` for what cannot mean anything."""
        if self._treasury is None or self._treasury.store is not self._store:
            prices = Prices.of(self.price_settings, listed=Listed())
            self._treasury = Treasury(self._store, prices=prices, settings=self.budget_settings)
        return self._treasury

    def registered_models(self) -> Mapping[str, str]:
        """The program's own providers: the type's name, by prefix. Those that come with Perdure are not imported."""
        return {} if self._models is None else self._models.registered

    # opening and closing ---------------------------------------------------------------------------------------

    @property
    def store(self) -> Store:
        """Where the journals are. Another may be set before the first use (`ConfigError` after it)."""
        return self._store

    @store.setter
    def store(self, store: Store) -> None:
        if self._opened:
            raise ConfigError(
                f"the store `{shown_url(self._store.url)}` is open already; choose another before the first use"
            )
        self._store = sealing(store, self)
        self.endings = Endings(self._store)

    def use_store(self, url: str) -> None:
        """Keep journals elsewhere than the program says, as `perdure --store` does; before it is opened."""
        self.store = open_store(url, clock=self.clock)

    async def open(self) -> None:
        """Open the store, without a worker. `start` and the other calls do so by themselves."""
        if not self._opened:
            await self.store.open()
            self._opened = True

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

    # runs ------------------------------------------------------------------------------------------------------

    async def handle(self, run_id: str, *, tenant: str | None = None) -> Handle:
        """A handle on a run that was started before. Raises `UnknownRun`."""
        await self.open()
        ref = self.ref(run_id, tenant)
        record = await self.store.get(ref)
        if record is None:
            raise UnknownRun(f"no run `{ref}`; `perdure runs ls` shows what there is")
        return Handle(self, ref, self.agents.get((record.agent, record.version)))

    async def signal(
        self,
        run_id: str,
        name: str,
        payload: Any = None,
        *,
        message_id: str | None = None,
        sender: str = "app",
        tenant: str | None = None,
    ) -> bool:
        """Send a run a signal, for its `run.receive(name)`. False where `message_id` was sent before.

        Raises `UnknownRun`, and `RunEnded` where the run has ended.
        """
        body = arguments_bytes(payload)[1:-1]
        return await self.post(run_id, "signal", name, body, message_id, sender, tenant)

    async def cancel(
        self,
        run_id: str,
        *,
        reason: str = "",
        by: str = "operator",
        terminate: bool = False,
        compensate: bool = False,
        tenant: str | None = None,
    ) -> None:
        """Cancel a run: `RunCancelled` at its next step. With `terminate` it ends at once, and its code is not asked.

        With `compensate` what it has done is undone before it ends, once its own code has left. Raises `UnknownRun`,
        and `RunEnded` where it has ended.
        """
        if terminate and compensate:
            raise ConfigError("`terminate` ends a run at once, so nothing of it can be undone; leave one out")
        told = {"reason": reason, "compensate": True} if compensate else {"reason": reason}
        body = pydantic_core.to_json(told)
        await self.post(run_id, "cancel", "", body, None, by, tenant)
        if terminate:
            claim = await self.store.seize(self.ref(run_id, tenant))
            if claim is not None:
                text = f"terminated by {by}" + (f": {reason}" if reason else "")
                await end_claimed(self.store, claim, status=RunStatus.CANCELLED, reason=text, actor=by)

    async def pause(self, run_id: str, *, by: str = "operator", tenant: str | None = None) -> None:
        """Hold a run at its next step until `resume`."""
        await self.post(run_id, "pause", "", b"null", None, by, tenant)

    async def resume(
        self, run_id: str, *, by: str = "operator", reset: bool = False, tenant: str | None = None
    ) -> None:
        """Let a paused run go on; also makes one that waits look again. `reset` releases one from quarantine."""
        await self.open()
        ref = self.ref(run_id, tenant)
        if reset:
            await self.store.wake(ref, reset=True)
        await self.post(run_id, "resume", "", b"null", None, by, tenant)

    async def post(
        self,
        run_id: str,
        kind: str,
        name: str,
        body: bytes,
        message_id: str | None,
        sender: str,
        tenant: str | None,
    ) -> bool:
        """Put a message of `kind` into a run's inbox. `signal`, `answer` and their kin are made of it."""
        await self.open()
        if message_id is not None:
            check_id(message_id.replace("/", "-").replace(":", "-").replace(" ", "-"), what="a message id")
        post = Post(
            ref=self.ref(run_id, tenant),
            kind=kind,
            name=name,
            id=message_id or new_id(),
            sender=sender,
            body=body,
        )
        return await self.store.post(post)

    def ref(self, run_id: str, tenant: str | None = None) -> RunRef:
        """The full name of a run of this app's tenant, or of another."""
        return RunRef(
            self.tenant if tenant is None else check_id(tenant, what="a tenant"),
            check_id(run_id, what="a run id"),
        )


class _Lazy:
    """The app's models, looked up when first used: importing providers is slow."""

    def __init__(self, app: App) -> None:
        self._app = app

    def __getattr__(self, name: str) -> Any:
        return getattr(self._app.models, name)
