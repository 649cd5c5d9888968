"""The table `[audit]` of `perdure.toml`: who signs the audit log, and where its checkpoints are sent."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["AuditSettings"]


class AuditSettings(BaseModel):
    """The log itself is always kept; without a key its checkpoints are not signed, and nothing is sent."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sequence: bool = True
    """False: workers here leave it to others (`perdure audit sequence`) to integrate heads of runs"""
    key: Path = Path(".perdure/audit.key")
    """the file of the key that signs, sealed under `[identity] master_key`; `perdure audit init` makes it"""
    master_key: Path = Path(".perdure/master.key")
    """the file of the key that seals; where nothing is said, that of `[identity]`"""
    to: tuple[str, ...] = ()
    """where checkpoints go: a folder, `s3://BUCKET/PREFIX`, or a witness as `witness+https://…`"""
    every: timedelta = Field(default=timedelta(minutes=5), ge=timedelta(seconds=1))
    """how often they go"""
    witnesses: tuple[str, ...] = ()
    """keys of witnesses (`NAME+HASH+BASE64`) whose cosignatures are taken"""
    s3_endpoint: str | None = None
    """the address of a store that is compatible with S3; None: Amazon's. Credentials come from the environment"""
