"""An app's watchers: those that it registers, those that are built in, and what follows of what they find."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ..core.errors import ConfigError
from ..core.ids import check_id, new_id
from ..core.watcher_settings import OnFinding, WatcherSettings
from ..governance import Who
from ..governance.watching import Anomalies, Finding, Violations, Watcher
from ..governance.watching.watcher import Look
from .alerts import Alarms
from .revocations import Revoking
from .trust import AppTrust

if TYPE_CHECKING:
    from ..engines.worker import Beside

__all__ = ["Watchers"]

log = logging.getLogger("perdure.watchers")


class Watchers(Alarms, Revoking):
    """The part of `App` that watches agents."""

    trust: AppTrust
    """how far its agents are trusted: their rings, and what widens and narrows them"""

    watcher_settings: WatcherSettings | None = None
    """what the built-in watchers do; the table `[watchers]`. None: they do not look. Set it before a worker is made"""

    def watcher(
        self, name: str, *, on_finding: OnFinding = "alarm", quiet: bool = False, everywhere: bool = False
    ) -> Callable[[Look], Look]:
        """Register a watcher: `async def f(watch: Watch, fact: Fact) -> None`, called with each fact of all runs.

        It may read the runs of the fact's tenant, `watch.report` what is not as it should be, and `watch.suspend` a run
        or an agent; there is nothing else that it can do. `on_finding` says what follows of a report: people are told
        (`alarm`), and the agent's trust ring is narrowed (`narrow`), and the run is stopped (`suspend`). `quiet` is for
        facts of interest to a machine, too (what calls have cost), `everywhere` for the runs of all tenants, each
        within its own. Raises `ConfigError`.
        """
        check_id(name, what="a watcher's name")
        if on_finding not in ("alarm", "narrow", "suspend"):
            raise ConfigError(f"`on_finding={on_finding}` is none of alarm, narrow, suspend")

        def register(look: Look) -> Look:
            if name in self._watchers or name in ("violations", "anomalies", "perdure-alerts"):
                raise ConfigError(f"there is a watcher `{name}` already; give this one another name")
            self._watchers[name] = Watcher(
                name=name, look=look, on_finding=on_finding, quiet=quiet, everywhere=everywhere
            )
            return look

        return register

    @property
    def _watchers(self) -> dict[str, Watcher]:
        return self.__dict__.setdefault("registered_watchers", {})

    def watchers(self) -> Sequence[Watcher]:
        """All that are to watch: registered here, and built in."""
        found = [*self.alert_watchers(), *self._watchers.values()]
        settings = self.watcher_settings
        if settings is None:
            return found
        if settings.violations != "off":
            look = Violations(denials=settings.denials)
            found.append(
                Watcher(name="violations", look=look, on_finding=settings.violations, everywhere=True)
            )
        if settings.anomalies != "off":
            usual = Anomalies(learn=settings.learn, one_in=settings.one_in)
            found.append(
                Watcher(
                    name="anomalies",
                    look=usual,
                    on_finding=settings.anomalies,
                    quiet=True,
                    everywhere=True,
                )
            )
        return found

    def watching(self) -> Sequence[Beside]:
        """What drives them: in each worker; one of those does."""
        from ..engines.watching import Watching

        watchers = self.watchers()
        if not watchers:
            return []
        return [
            Watching(
                self.store,
                watchers,
                tenant=self.tenant,
                revocations=self.revocations,
                found=self.found,
                name=f"w-{new_id()[:12]}",
                corrupt=self.raise_corrupt,
            )
        ]

    async def found(self, watcher: Watcher, finding: Finding) -> None:
        """Let follow of a finding what its watcher is configured for. Done again it changes nothing."""
        by = f"watcher:{finding.watcher}"
        log.warning(
            "watcher `%s`: run %s/%s of agent `%s`: %s (%s)",
            finding.watcher, finding.tenant, finding.run, finding.agent, finding.why, finding.what,
        )  # fmt: skip
        await self.raise_finding(finding)
        if watcher.on_finding == "suspend":
            who = Who("run", finding.run)
            await self.revocations.revoke(finding.tenant, who, by=by, reason=finding.why, stop=True)
        if watcher.on_finding != "alarm" and self.trust.enabled:
            await self.trust.narrow(
                finding.agent, reason=finding.why, by=by, cause=finding.cause, tenant=finding.tenant
            )
