"""What all parts of an app stand on: its store, its tenant, its clock, and the settings that several parts read.

base ◄── steering ◄── starts, settlements, budgets ...        a part derives from the parts that it asks
base ◄── policies, trust, mcp, memory ...                     or is an object that is handed one
  └── app: puts all of them together, and is the only one that knows them all
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..core.access_settings import AccessSettings
from ..core.approval_settings import ApprovalSettings
from ..core.clock import Clock, SystemClock
from ..core.contacts import Contacts
from ..core.errors import ConfigError
from ..core.identity_settings import IdentitySettings
from ..core.ids import RunRef, check_id
from ..core.settings import shown_url
from ..core.spending_settings import BudgetSettings, PriceSettings
from ..governance import Listed, Prices, Treasury
from ..journal import Store
from ..registry import Registry
from ..runtime.frameworks.declared import ToolTable
from .endings import Endings
from .stores import open_store, sealing

__all__ = ["AppBase"]


class AppBase(Registry):
    """An app without what is asked of it."""

    contacts: Contacts
    """whom notices go to, by name; the tables `[contacts.NAME]`"""
    approval_settings: ApprovalSettings
    """who approves what; the table `[approvals]`"""
    identity_settings: IdentitySettings
    """the name of the agents, and where their keys are; the table `[identity]`"""
    access_settings: AccessSettings
    """who may ask the server for what; the table `[access]`"""
    budget_settings: BudgetSettings
    """what may be used; the table `[budget]`. Set it before the first use"""
    price_settings: PriceSettings
    """what it costs; the table `[prices]`. Set it before the first use"""

    def __init__(self, store: str | Store, *, tenant: str, clock: Clock | None) -> None:
        """On a store, by its URL or as it is. Raises `ConfigError`."""
        super().__init__()
        self.tenant = check_id(tenant, what="a tenant")
        self.clock: Clock = clock or SystemClock()
        self._store = sealing(open_store(store, clock=self.clock) if isinstance(store, str) else store, self)
        self._opened = False
        self.endings = Endings(self._store)
        """of runs that somebody here waits for"""
        self.effects = ToolTable()
        """what the tools of other frameworks' agents do to the world: `app.effects.declare("read", "lookup")`"""
        self._models: Any = None
        self._treasury: Treasury | None = None

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

    def ref(self, run_id: str, tenant: str | None = None) -> RunRef:
        """The full name of a run of this app's tenant, or of another."""
        return RunRef(
            self.tenant if tenant is None else check_id(tenant, what="a tenant"),
            check_id(run_id, what="a run id"),
        )

    @property
    def models(self) -> Any:
        """The providers of `run.model`; register your own with `app.models.register(prefix, provider)`."""
        if self._models is None:
            from ..adapters.models import default_models

            self._models = default_models()
        return self._models

    def registered_models(self) -> Mapping[str, str]:
        """The program's own providers: the type's name, by prefix. Those that come with Perdure are not imported."""
        return {} if self._models is None else self._models.registered

    @property
    def treasury(self) -> Treasury:
        """Prices, and the accounts of budgets that runs share. Raises `ConfigError` for what cannot mean anything."""
        if self._treasury is None or self._treasury.store is not self._store:
            prices = Prices.of(self.price_settings, listed=Listed())
            self._treasury = Treasury(self._store, prices=prices, settings=self.budget_settings)
        return self._treasury
