"""Which adapter knows which agent: by the package that its type comes from. None is imported before it is needed."""

from __future__ import annotations

from importlib import import_module
from typing import Any, cast

from ..core.errors import ConfigError
from ..runtime.frameworks.survey import Had
from ..runtime.frameworks.wrapping import Adapter

__all__ = ["Frameworks"]

_BY_PACKAGE = {
    "pydantic_ai": ("pydantic_ai.agents", "pydantic-ai"),
    "langgraph": ("langgraph.graphs", "langgraph"),
    "langchain_core": ("langgraph.graphs", "langgraph"),
    "langchain": ("langgraph.graphs", "langgraph"),
    "agents": ("openai_agents.agents", "openai-agents"),
    "google.adk": ("google_adk.agents", "google-adk"),
    "strands": ("strands.agents", "strands"),
    "openai": ("clients.clients", "clients"),
    "anthropic": ("clients.clients", "clients"),
}
"""By the beginning of a module's name: the adapter's module, and the extra that installs what it was tested with."""


class Frameworks:
    """The adapters that come with Perdure."""

    def __init__(self) -> None:
        self._made: dict[str, Adapter] = {}

    def find(self, agent: Any) -> Adapter:
        """The adapter of an agent, by its type or one of its bases. Raises `ConfigError`."""
        kind: type[Any] = agent if isinstance(agent, type) else type(agent)
        package = _package(kind)
        if package is not None:
            module, extra = _BY_PACKAGE[package]
            return self._load(module, extra, package)
        known = ", ".join(sorted({package for package in _BY_PACKAGE}))
        raise ConfigError(
            f"`{kind.__module__}.{kind.__qualname__}` cannot be wrapped: Perdure knows agents of {known}. A plain "
            "function needs no wrapping: call its steps and tools through the run"
        )

    def had(self, value: Any) -> Had | None:
        """The tools of an agent of any framework, see `Adapter.had`; None for what is none of them."""
        kind = cast("type[Any]", type(value))
        package = None if isinstance(value, type) else _package(kind)
        if package is None:
            return None
        module, extra = _BY_PACKAGE[package]
        try:
            adapter = self._load(module, extra, package)
        except ConfigError:
            return None
        return adapter.had(value)

    def _load(self, module: str, extra: str, package: str) -> Adapter:
        if module not in self._made:
            try:
                self._made[module] = import_module(f".{module}", __package__).ADAPTER
            except ModuleNotFoundError as error:
                if error.name is not None and error.name.startswith(f"{__package__}."):
                    raise ConfigError(f"agents of {package} cannot be wrapped by this release") from error
                raise ConfigError(
                    f'wrapping an agent of {package} needs `{error.name}`: pip install "perdure[{extra}]"'
                ) from error
        return self._made[module]


def _package(kind: type[Any]) -> str | None:
    for base in kind.__mro__:
        for package in _BY_PACKAGE:
            if base.__module__ == package or base.__module__.startswith(f"{package}."):
                return package
    return None
