"""The policies of an app: where they are, and what they say of its tools."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ..core.errors import ConfigError
from ..governance.policy.book import PolicyBook
from ..governance.policy.packs import STARTER, pack
from ..governance.policy.policies import read_folder
from ..governance.policy.schema import ToolForm
from ..governance.policy.shelf import Shelf
from ..runtime.boundary.policy import form_of

if TYPE_CHECKING:
    from .app import App

__all__ = ["AppPolicies"]


class AppPolicies:
    """Found when they are first needed, as all tools are registered then."""

    def __init__(self, app: App, folder: Path | None) -> None:
        """`folder`: None, and the app goes by the starter set if one of its tools has labels, else by no policies."""
        self._app = app
        self.folder = folder
        self._book: PolicyBook | None = None
        self._looked = False

    @property
    def starter(self) -> bool:
        """Whether the starter set holds, as the app has tools with labels and no policies of its own."""
        return self.folder is None and any(tool.labels or tool.clearance for tool in self.tools().values())

    def tools(self) -> Mapping[str, ToolForm]:
        """The registered tools, as policies see them."""
        return {name: form_of(tool) for name, tool in self._app.tools.items()}

    def book(self) -> PolicyBook | None:
        """The current version; None: there is none, and nothing is asked. Raises `ConfigError` for what is wrong."""
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
        agents = {name for name, _ in self._app.agents}
        return PolicyBook(
            files, agents=agents, tools=self.tools().values(), where=str(where or "the starter set")
        )

    def shelf(self) -> Shelf:
        """For a worker: the current version, and whatever runs began with."""
        return Shelf(self._app.store, self.book())

    def __repr__(self) -> str:
        return f"AppPolicies({self.folder or ('starter set' if self.starter else 'none')})"
