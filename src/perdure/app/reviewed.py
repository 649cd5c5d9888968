"""Tools that somebody else describes: looked at by people, pinned as they were then, refused where they have changed.

    MCP servers (`mcp.py`) | OpenAPI documents (`openapi.py`)
        └─ what they say now ──► compared with what was reviewed ──► offered to a run ──► looked at before each call

What tells one kind from another is how its descriptions are had, and how a tool is called.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, TypeVar

from ..context import Definition, Review, Reviews
from ..context.definition import offered_name
from ..core.errors import ConfigError, Refused
from ..core.mcp_settings import McpSettings
from ..core.openapi_settings import OpenApiSettings
from ..runtime import Run, Tool
from .changes import record_change

if TYPE_CHECKING:
    from .connections import Connections

__all__ = ["OfferedTools", "PinnedTool", "Reviewed", "ReviewedTool"]

Kind = Literal["read", "idempotent", "write"]
S = TypeVar("S", bound=McpSettings | OpenApiSettings)
Alarm = Callable[[str, str, str, str, str], Awaitable[None]]
"""Given the kind of source, its name, the tool, what has changed, and the digest of what it is now."""


@dataclass(frozen=True, slots=True)
class ReviewedTool:
    """One tool of a source: as it is now, and as somebody has reviewed it."""

    name: str
    """the source's own name for it"""
    offered: str
    """what models and policies know it by"""
    state: Literal["reviewed", "unreviewed", "changed", "gone"]
    effect: Kind
    """what it counts as"""
    now: Definition | None
    review: Review | None

    @property
    def told(self) -> Definition:
        """As it is now; of one that is gone, as it was reviewed."""
        return _told(self.now, self.review)

    @property
    def changes(self) -> list[str]:
        """The parts of a changed tool that are not as they were reviewed."""
        if self.now is None or self.review is None:
            return []
        return self.review.definition.changes(self.now)


@dataclass(frozen=True, slots=True)
class PinnedTool:
    """A tool as somebody has let it pass, whatever it is now."""

    source: str
    offered: str
    """what models and policies know it by"""
    effect: Kind
    trusted: bool
    """whether its source is"""
    review: Review


class OfferedTools:
    """The tools that a run was offered of one source: iterate over them, or take one by the source's name for it."""

    def __init__(self, source: str, tools: Mapping[str, Tool[..., Any]], *, review: str) -> None:
        """`source` in words; `review`: the command that shows what there is."""
        self._source, self._tools, self._review = source, dict(tools), review

    def __iter__(self) -> Iterator[Tool[..., Any]]:
        return iter(self._tools.values())

    def __len__(self) -> int:
        return len(self._tools)

    def __getitem__(self, name: str) -> Tool[..., Any]:
        """A tool by name. Raises `Refused` where the run was not offered it."""
        if name not in self._tools:
            raise Refused(
                f"{self._source}: no reviewed tool `{name}` (reviewed: "
                f"{', '.join(f'`{n}`' for n in self._tools) or 'none'}). `{self._review}` shows what there is"
            )
        return self._tools[name]


class Reviewed(ABC, Generic[S]):
    """All sources of one kind that an app knows, by name."""

    kind: ClassVar[str]
    """what its settings, its commands and its cells are called: `mcp`"""
    called: ClassVar[str]
    """one of them, in messages: `MCP server`"""
    log: ClassVar[logging.Logger]

    def __init__(self, app: Connections, settings: Mapping[str, S]) -> None:
        self._app = app
        self.settings = dict(settings)
        """by name; set it before the first use"""
        self.alarm: Alarm | None = None
        """lets people know of a tool that was called, and is not what was reviewed"""

    async def tools(self, run: Run, source: str) -> OfferedTools:
        """Its tools that somebody has reviewed, for one run: `tools=[*await app.mcp.tools(run, "files")]`.

        A step of the run, which records them: replay offers the same ones and asks nobody. The source is not asked
        either: what a model reads is what was reviewed. Raises `ConfigError` for one that is not set up, and where
        the app has a tool of its own by the same name.
        """
        self._ready(source)

        async def offered() -> list[Definition]:
            reviews = await self._reviews().of(self._app.tenant, source)
            found = [reviews[name].definition for name in sorted(reviews)]
            return [
                definition
                for definition in found
                if self._wanted(source, definition) and self._offered(definition)
            ]

        definitions: list[Definition] = await run.step(f"{self.kind} {source}", offered)
        made = {d.name: self._tool(source, d, run) for d in definitions}
        return OfferedTools(f"{self.called} `{source}`", made, review=self._command("review", source))

    async def ls(self, source: str, *, user: str | None = None) -> list[ReviewedTool]:
        """Its tools, by name: as it says now, and as they were reviewed. Asks the source.

        One that wants to know who asks is asked with the account of `user` (`user:ann`); without one as nobody. Raises
        `NeedsConnection` where that user has connected none, `ConfigError` where two of its tools, or one of them and
        one of the app's, have one name.
        """
        self._ready(source)
        await self._app.open()
        now = await self._now(source, user=user)
        reviews = await self._reviews().of(self._app.tenant, source)
        found: list[ReviewedTool] = []
        for name in sorted({*now, *reviews}):
            here, review = now.get(name), reviews.get(name)
            state = (
                "gone" if here is None
                else "unreviewed" if review is None
                else "reviewed" if review.digest == here.digest
                else "changed"
            )  # fmt: skip
            effect = self._effect(source, _told(here, review))
            found.append(ReviewedTool(name, self._name(source, name), state, effect, here, review))
        return found

    async def review(
        self, source: str, seen: Mapping[str, Definition], *, by: str, forget: Iterable[str] = ()
    ) -> None:
        """Let tools pass, exactly as somebody (`by`) has seen them; take the reviews of others back."""
        self._ready(source)
        for name in seen:
            self._name(source, name)
        await self._app.open()
        taken_back = [*forget]
        await self._reviews().record(self._app.tenant, source, seen, by=by, forget=taken_back)
        told = {
            "source": source,
            "tools": {name: definition.digest for name, definition in seen.items()},
            "taken_back": taken_back,
        }
        await record_change(self._app.store, self._app.tenant, f"{self.kind}_review", told, by=by)

    async def let_pass(self, *, tenant: str | None = None) -> list[PinnedTool]:
        """What a tenant's people have let pass, of all sources that are set up. No source is asked."""
        await self._app.open()
        found: list[PinnedTool] = []
        for source in sorted(self.settings):
            reviews = await self._reviews().of(tenant or self._app.tenant, source)
            for name in sorted(reviews):
                made = reviews[name].definition
                if not self._offered(made):
                    continue
                offered = offered_name(source, name, called=self.called)
                trusted = self.settings[source].trusted
                found.append(PinnedTool(source, offered, self._effect(source, made), trusted, reviews[name]))
        return found

    # what tells the kinds apart ---------------------------------------------------------------------------------

    @abstractmethod
    def _ready(self, source: str) -> S:
        """Its settings, and what is needed to ask it. Raises `ConfigError` for one that is not set up."""

    @abstractmethod
    async def _now(self, source: str, *, user: str | None = None) -> dict[str, Definition]:
        """What it says now, by the tool's own name; to `user`, where that makes a difference.

        Raises `NotDone`, `ConfigError`.
        """

    @abstractmethod
    def _effect(self, source: str, definition: Definition) -> Kind: ...

    @abstractmethod
    def _tool(self, source: str, definition: Definition, run: Run) -> Tool[..., Any]: ...

    def _offered(self, definition: Definition) -> bool:
        """Whether it is a tool, and not something else that is reviewed."""
        return True

    def _wanted(self, source: str, definition: Definition) -> bool:
        """Whether the settings leave it in."""
        return True

    # what they share --------------------------------------------------------------------------------------------

    async def _pinned(
        self,
        source: str,
        offered: Definition,
        *,
        now: Callable[[], Awaitable[dict[str, Definition]]] | None = None,
    ) -> None:
        """Refuse a tool that is not, at this moment, what was reviewed and what the run was offered.

        `now` asks the source, where it is not asked as by anybody.
        """
        self._ready(source)
        reviews = await self._reviews().of(self._app.tenant, source)
        review = reviews.get(offered.name)
        if review is None or review.digest != offered.digest:
            raise Refused(
                f"`{offered.name}` of {self.called} `{source}` is not what the run was offered: it was reviewed again "
                "since, or its review was taken back. A new run is offered what holds now"
            )
        try:
            found = await (self._now(source) if now is None else now())
        except ConfigError as error:  # a shadow: which of the two would be called, nobody knows
            self.log.error("%s %s: no tool of it is called: %s", self.called, source, error)
            raise Refused(str(error)) from error
        here = found.get(offered.name)
        if here is None:
            raise Refused(f"{self.called} `{source}` has no tool `{offered.name}` any more")
        if here.digest != offered.digest:
            changed = await self._drifted(source, review, here)
            raise Refused(
                f"`{offered.name}` of {self.called} `{source}` has changed since it was reviewed ({changed}), so it "
                f"is not called. A person looks at `{self._command('diff', source)}`, and lets it pass by "
                f"`{self._command('review', source)}`"
            )

    async def look_over(self, source: str) -> list[str]:
        """Compare what it says now with what was reviewed, and let people know of what has changed. Its names."""
        now = await self._now(source)
        reviews = await self._reviews().of(self._app.tenant, source)
        drifted = [
            name
            for name, review in sorted(reviews.items())
            if name in now and now[name].digest != review.digest
        ]
        for name in drifted:
            await self._drifted(source, reviews[name], now[name])
        return drifted

    async def _drifted(self, source: str, review: Review, here: Definition) -> str:
        """Let people know that a tool is not what was reviewed. What has changed, in words."""
        changed = ", ".join(f"`{part}`" for part in review.definition.changes(here))
        self.log.error(
            "%s %s: tool `%s` is not what %s has reviewed (changed: %s); its calls are refused until "
            "somebody reviews it: %s",
            self.called, source, here.name, review.by, changed, self._command("diff", source),
        )  # fmt: skip
        if self.alarm is not None:
            await self.alarm(self.kind, source, here.name, changed, here.digest)
        return changed

    def _known(self, source: str) -> S:
        """Its settings. Raises `ConfigError`."""
        settings = self.settings.get(source)
        if settings is None:
            known = ", ".join(f"`{name}`" for name in sorted(self.settings)) or "none"
            raise ConfigError(
                f"there is no {self.called} `{source}` (known: {known}); say where it is in `[{self.kind}.{source}]` "
                "of perdure.toml"
            )
        return settings

    def _name(self, source: str, tool: str) -> str:
        name = offered_name(source, tool, called=self.called)
        if name in self._app.tools:
            raise ConfigError(
                f"two tools have the name `{name}`: one of the app, and `{tool}` of {self.called} `{source}`. Rename "
                "one of them"
            )
        return name

    def _reviews(self) -> Reviews:
        return Reviews(self._app.store, self.kind)

    def _command(self, what: str, source: str) -> str:
        return f"perdure {self.kind} {what} {source}"


def _told(now: Definition | None, review: Review | None) -> Definition:
    told = now or (review and review.definition)
    assert told is not None
    return told
