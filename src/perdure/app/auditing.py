"""What workers do for the audit log: integrate heads of runs, and send checkpoints away."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..core.audit_settings import AuditSettings
from .base import AppBase

if TYPE_CHECKING:
    from ..audit import Signer
    from ..engines.worker import Beside
    from ..identity.sealing import MasterKeys

__all__ = ["Auditing", "audit_signer"]


def audit_signer(settings: AuditSettings) -> Signer | None:
    """The key that signs checkpoints; None: nobody made one here. Raises `ConfigError`, `CannotUnseal`."""
    from ..audit.keys import open_key

    def master() -> MasterKeys:
        from ..identity.sealing import MasterKeys

        return MasterKeys.open(settings.master_key)

    return open_key(settings.key, master)


class Auditing(AppBase):
    """The part of `App` that keeps the audit log."""

    audit_settings: AuditSettings | None = None
    """who signs the audit log, and where its checkpoints go; the table `[audit]`. None: it is kept, and not signed"""

    def audit_tasks(self) -> Sequence[Beside]:
        """What a worker does beside its runs. Raises `ConfigError` where the key is there and cannot be used."""
        from ..engines.exporter import CheckpointExporter
        from ..engines.sequencer import Sequencer

        settings = self.audit_settings
        if settings is None:
            return [Sequencer(self.store)]
        signer = audit_signer(settings)
        tasks: list[Beside] = [Sequencer(self.store, signer)] if settings.sequence else []
        if signer is not None and settings.to:
            tasks.append(CheckpointExporter.of(self.store, settings))
        return tasks
