"""One version of an app's policies, for whatever tools come up: those of a framework's agent are known when it is met.

A run is judged by the version with which it began, also by a worker that has another: the files of a version are kept
under their digest.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

import pydantic_core

from ...core.errors import ConfigError
from .policies import Policies, PolicyFile
from .remembering import RECALL, RECALL_FORM, REMEMBERING
from .schema import ANSWER, ANSWER_FORM, PolicySchema, ToolForm

__all__ = ["PolicyBook", "digest_of"]


def digest_of(files: Iterable[PolicyFile]) -> str:
    """The name of a version: SHA-256 of its files, hexadecimal."""
    digest = hashlib.sha256()
    for file in sorted(files, key=lambda f: (f.layer, f.name)):
        digest.update(pydantic_core.to_json([file.layer, file.name, file.text]))
    return digest.hexdigest()


class PolicyBook:
    """The policies of one version."""

    def __init__(
        self, files: Iterable[PolicyFile], *, agents: Iterable[str], tools: Iterable[ToolForm], where: str
    ) -> None:
        """Raises `ConfigError` where they are not right for these agents and tools."""
        self.files: Sequence[PolicyFile] = tuple(files)
        self.digest = digest_of(self.files)
        self.where = where
        self._agents = set(agents)
        self._tools = {tool.name: tool for tool in tools}
        for name, form in {ANSWER: ANSWER_FORM, RECALL: RECALL_FORM, **REMEMBERING}.items():
            if any(f'"{name}"' in file.text for file in self.files):
                self._tools.setdefault(name, form)
        self.policies = self._compiled()

    def for_call(self, agent: str, tool: ToolForm) -> Policies:
        """The policies, with a schema that knows this agent and this tool."""
        if self._tools.get(tool.name) != tool or agent not in self._agents:
            self._tools[tool.name] = tool
            self._agents.add(agent)
            self.policies = self._compiled()
        return self.policies

    def kept(self) -> bytes:
        """The files, to be kept under the digest."""
        return pydantic_core.to_json([[file.layer, file.name, file.text] for file in self.files])

    def forms(self) -> tuple[Iterable[str], Iterable[ToolForm]]:
        """The agents and tools that it knows."""
        return self._agents, self._tools.values()

    @classmethod
    def read(
        cls, kept: bytes, digest: str, *, agents: Iterable[str] = (), tools: Iterable[ToolForm] = ()
    ) -> PolicyBook:
        """A version from what was kept. Raises `ConfigError` where it is not what was kept, or does not fit."""
        told: list[list[Any]] = pydantic_core.from_json(kept)
        files = [PolicyFile(*map(str, each)) for each in told]
        if digest_of(files) != digest:
            raise ConfigError(
                f"the policies that were kept as `{digest[:12]}` are not those: they were changed"
            )
        return cls(files, agents=agents, tools=tools, where=f"version {digest[:12]}")

    def _compiled(self) -> Policies:
        return Policies(self.files, PolicySchema(self._agents, self._tools.values()), where=self.where)
