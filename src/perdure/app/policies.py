"""The policies of an app: where they are, what they say of its tools, and how they are changed while it works."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.errors import ConfigError
from ..core.policy_settings import PolicySettings
from ..core.table import read_table
from ..governance.changes import Change, ChangeLog, Signer
from ..governance.policy.book import PolicyBook
from ..governance.policy.packs import STARTER, pack
from ..governance.policy.policies import read_folder
from ..governance.policy.schema import ToolForm
from ..governance.policy.shelf import Shelf
from ..governance.policy.tools_file import read_tools
from ..governance.policy.versions import KIND, PolicyVersions, Terms
from ..journal import Store
from ..runtime.boundary.policy import form_of
from ..runtime.frameworks.survey import Survey
from .changes import record_chain
from .surveys import foreign_forms, surveyed_app

if TYPE_CHECKING:
    from .base import AppBase

__all__ = ["AppPolicies"]

_CHANGES = {"policies": "policy_apply", "shadow": "policy_shadow"}
"""What the audit log calls them."""


class AppPolicies:
    """Found when they are first needed, as all tools are registered then."""

    def __init__(
        self, app: AppBase, settings: PolicySettings | Mapping[str, Any] | str | os.PathLike[str] | None
    ) -> None:
        """Without a folder the app goes by the starter set if one of its tools has labels, else by no policies."""
        self._app = app
        given: Any = {} if settings is None else settings
        self.settings = read_table(PolicySettings, given, where="App(policies=...)")
        self._book: PolicyBook | None = None
        self._looked = False
        self._versions: tuple[Store, PolicyVersions] | None = None
        self._surveyed: tuple[frozenset[tuple[str, str]], Survey] | None = None

    @property
    def folder(self) -> Path | None:
        """Where they stand; None: nowhere."""
        return self.settings.folder

    @property
    def starter(self) -> bool:
        """Whether the starter set holds, as the app has tools with labels and no policies of its own."""
        return self.folder is None and any(tool.labels or tool.clearance for tool in self.tools().values())

    def tools(self) -> Mapping[str, ToolForm]:
        """The registered tools, as policies see them."""
        return {name: form_of(tool) for name, tool in self._app.tools.items()}

    def survey(self) -> Survey:
        """What the wrapped agents have, as far as their objects tell. Found anew where agents have come."""
        agents = frozenset(self._app.agents)
        if self._surveyed is None or self._surveyed[0] != agents:
            self._surveyed = agents, surveyed_app(self._app)
        return self._surveyed[1]

    def forms(self, folder: Path | None = None) -> tuple[Iterable[str], Iterable[ToolForm]]:
        """The registered agents and tools, those of other frameworks' agents that they wrap, and `tools.json`.

        The last stands beside the policies, of `folder` or the app's. Of tools of one name the app's own counts, then
        the first that is found: a call of another brings its own form. Raises `ConfigError`.
        """
        tools = dict(self.tools())
        where = folder or self.folder
        for tool in (*foreign_forms(self.survey()), *([] if where is None else read_tools(where))):
            tools.setdefault(tool.name, tool)
        return {name for name, _ in self._app.agents}, tools.values()

    def book(self) -> PolicyBook | None:
        """What the app was deployed with; None: there is none, and nothing is asked.

        Raises `ConfigError` for what is wrong.
        """
        if not self._looked:
            self._book = self.read()
            self._looked = True
        return self._book

    def read(self, folder: Path | None = None) -> PolicyBook | None:
        """What stands in a folder, or in the app's, checked against the app's agents and tools."""
        where = folder or self.folder
        if where is None and not self.starter:
            return None
        if where is not None and not where.is_dir():
            raise ConfigError(f"there is no folder `{where}` of policies; `perdure policy init` makes one")
        files = [pack(STARTER)] if where is None else read_folder(where)
        agents, tools = self.forms(where)
        return PolicyBook(files, agents=agents, tools=tools, where=str(where or "the starter set"))

    # while it works --------------------------------------------------------------------------------------------

    def versions(self) -> PolicyVersions:
        """What holds, and what was changed. Raises `ConfigError` where what the app was deployed with is wrong."""
        app = self._app
        shadow = None if self.settings.shadow is None else self.read(self.settings.shadow)
        return PolicyVersions(
            app.store,
            Terms(self.settings, app.approval_settings, self.forms),
            deployed=self.book(),
            shadow=shadow,
            monotonic=app.clock.monotonic,
        )

    async def holding(self, *, tenant: str | None = None) -> PolicyBook | None:
        """The version that holds for runs of a tenant that begin now; None: there is none, and nothing is asked.

        What was applied is found within a second. Raises `ConfigError` and `StoreError`.
        """
        await self._app.open()
        if self._versions is None or self._versions[0] is not self._app.store:
            self._versions = self._app.store, self.versions()
        return (await self._versions[1].now(self._app.ref("any", tenant).tenant)).book

    def shelf(self) -> Shelf:
        """For a worker: what holds now, and whatever runs began with."""
        return Shelf(self._app.store, self.versions())

    async def apply(
        self,
        folder: str | os.PathLike[str],
        *,
        by: str,
        reason: str,
        signer: Signer | None = None,
        tenant: str | None = None,
    ) -> Change:
        """Let the policies in a folder hold for runs that begin from now on, on every worker of the store.

        Workers take them up within a second; runs that have begun go on by their own version. Raises `ConfigError`
        where they do not load or hold already, `BadSignature` where the settings want another signature, and
        `RunConflict` where somebody else was quicker.
        """
        await self._app.open()
        made = await self.versions().apply(
            self._app.ref("any", tenant).tenant,
            self.read(Path(folder)),
            by=by,
            reason=reason,
            signer=signer,
            now=self._app.store.now,
        )
        await record_chain(self._app.store, await self.history(tenant=tenant), what=_CHANGES)
        return made

    async def run_beside(
        self,
        folder: str | os.PathLike[str] | None,
        *,
        by: str,
        reason: str,
        signer: Signer | None = None,
        tenant: str | None = None,
    ) -> Change:
        """Ask the candidate in a folder beside the policies in force, on every worker; None: ask none any more.

        It decides nothing: where it differs stands in the journal. Raises what `apply` raises.
        """
        await self._app.open()
        made = await self.versions().apply(
            self._app.ref("any", tenant).tenant,
            None if folder is None else self.read(Path(folder)),
            of="shadow",
            by=by,
            reason=reason,
            signer=signer,
            now=self._app.store.now,
        )
        await record_chain(self._app.store, await self.history(tenant=tenant), what=_CHANGES)
        return made

    async def history(self, *, tenant: str | None = None) -> list[Change]:
        """What was changed, the first change first. Raises `StoreCorrupt` where a change was altered or taken away."""
        await self._app.open()
        return await ChangeLog(self._app.store, KIND).since(self._app.ref("any", tenant).tenant)

    def __repr__(self) -> str:
        return f"AppPolicies({self.folder or ('starter set' if self.starter else 'none')})"
