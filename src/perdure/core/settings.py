"""Settings: `perdure.toml`, overridden by `PERDURE_*` variables."""

from __future__ import annotations

import os
import re
import tomllib
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal, Self, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from .access_settings import AccessSettings
from .alert_settings import AlertSettings
from .approval_settings import ApprovalSettings
from .audit_settings import AuditSettings
from .contacts import Contact, Contacts, Smtp
from .database_settings import DatabaseSettings
from .errors import ConfigError
from .hook_settings import HookName, HookSettings, WebhookSettings
from .identity_settings import IdentitySettings
from .labels import check_labels
from .mcp_serve_settings import McpServeSettings
from .mcp_settings import McpName, McpSettings
from .memory_settings import MemorySettings
from .openapi_settings import OpenApiSettings
from .policy_settings import PolicySettings
from .provider_settings import ProviderName, ProviderSettings
from .spending_settings import BudgetSettings, PriceSettings
from .table import shown_input
from .telemetry_settings import TelemetrySettings
from .trust_settings import TrustSettings
from .watcher_settings import WatcherSettings

__all__ = ["Kept", "Retention", "Settings", "load_settings", "shown_url", "without_password"]


class Kept(BaseModel):
    """How long after its end a run keeps what it recorded, by how it ended. None: for good."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    succeeded: timedelta | None = Field(default=None, gt=timedelta())
    partial: timedelta | None = Field(default=None, gt=timedelta())
    escalated: timedelta | None = Field(default=None, gt=timedelta())
    failed: timedelta | None = Field(default=None, gt=timedelta())
    cancelled: timedelta | None = Field(default=None, gt=timedelta())
    quarantined: timedelta | None = Field(default=None, gt=timedelta())

    def rules(self) -> dict[str, timedelta]:
        """Those that are set, by the ending."""
        return {name: value for name, value in self if isinstance(value, timedelta)}


class Retention(Kept):
    """The table `[retention]`: for all agents that a worker knows, and apart for those under `agents`."""

    agents: dict[str, Kept] = {}


class Settings(BaseModel):
    """What a project sets. Durations are seconds, or ISO 8601 (`PT10S`)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    store: str = "sqlite:///perdure.db"
    """where journals live: `sqlite:///PATH`, `postgresql://USER@HOST/DATABASE` or `memory://`"""
    app: str | None = None
    """the application for `perdure worker` and its kin: `module:attribute` or `path.py:attribute`"""
    tenant: str = "default"
    durability: Literal["pipelined", "step"] = "pipelined"
    """`step`: every step waits for the disk; `pipelined`: only what must not be repeated does"""
    concurrency: int = Field(default=256, ge=1, le=100_000)
    """runs that one worker drives at once"""
    lease: timedelta = Field(default=timedelta(seconds=10), ge=timedelta(seconds=1), le=timedelta(hours=1))
    """after this without a heartbeat a worker's runs are taken by others"""
    labels: tuple[str, ...] = ()
    """what a worker here offers to runs that need it; in PERDURE_LABELS with spaces or commas between"""
    tenant_limit: int | None = Field(default=None, ge=1)
    """runs of a tenant at once, over all agents and workers"""
    retention: Retention = Retention()
    """when runs that have ended are pruned; without a setting never"""
    approvals: ApprovalSettings = ApprovalSettings()
    """who approves what agents want to do, and how often they may be asked"""
    policies: PolicySettings = PolicySettings()
    """what agents may do: a folder, or a table; without either `policies` beside the file, where there is such a
    folder"""
    budget: BudgetSettings = BudgetSettings()
    """how much tenants, agents and runs may use"""
    prices: PriceSettings = PriceSettings()
    """what models, tools and humans cost, where the lists do not say it or say it wrong"""

    identity: IdentitySettings = IdentitySettings()
    """under which name the agents are known outside, and where their keys are"""
    providers: dict[ProviderName, ProviderSettings] = {}
    """with whom users connect their accounts, by name"""
    mcp: dict[McpName, McpSettings] = {}
    """MCP servers whose tools agents may use, by name"""
    openapi: dict[McpName, OpenApiSettings] = {}
    """OpenAPI documents whose operations agents may call, by name"""
    mcp_serve: McpServeSettings = McpServeSettings()
    """what MCP clients may use of this app"""
    database: dict[McpName, DatabaseSettings] = {}
    """SQL databases that agents may read, by name"""
    memory: MemorySettings = MemorySettings()
    """which backends keep what agents remember beyond a run"""
    audit: AuditSettings = AuditSettings()
    """who signs the audit log, and where its checkpoints go"""
    trust: TrustSettings | None = None
    """the trust rings of agents; without the table those hold that agents say for themselves"""
    hooks: dict[HookName, HookSettings] = {}
    """signed webhooks that others send here, by name"""
    webhooks: dict[HookName, WebhookSettings] = {}
    """who is told what happens, by name"""
    telemetry: TelemetrySettings = TelemetrySettings()
    """which spans of runs are sent, where the environment says whereto"""
    watchers: WatcherSettings | None = None
    """what the built-in watchers do; without the table they do not look"""
    alerts: AlertSettings | None = None
    """what people are told without having asked; without the table nothing"""
    access: AccessSettings = AccessSettings()
    """who may ask the server (`perdure serve`) for what"""
    contacts: dict[str, Contact] = {}
    """whom escalations and other notices go to, by name"""
    smtp: Smtp | None = None
    """the server that sends mail to contacts"""

    @model_validator(mode="after")
    def _approvals_have_an_audience_of_their_own(self) -> Self:
        self.approvals.stand_beside(self.identity)
        self.access.stand_beside(self.identity)
        return self

    @model_validator(mode="after")
    def _contacts_fit(self) -> Self:
        try:
            self.all_contacts()
        except ConfigError as error:
            raise ValueError(str(error)) from None
        return self

    def all_contacts(self) -> Contacts:
        """The contacts, and how mail is sent to them."""
        return Contacts(self.contacts, self.smtp)

    @field_validator("labels", mode="before")
    @classmethod
    def _labels(cls, given: Any) -> Any:
        words: Any = re.split(r"[,\s]+", given) if isinstance(given, str) else given
        if not isinstance(words, list | tuple):
            raise ValueError("is not a list of labels")
        try:
            return check_labels(
                [str(word) for word in cast("list[Any]", words) if word != ""], what="a label"
            )
        except ConfigError as error:
            raise ValueError(str(error)) from None


def _place_policies(values: dict[str, Any], folder: Path) -> None:
    """Make the folders of the table `[policies]` relative to the file; `policies` beside it is meant without one."""
    given: Any = values.get("policies")
    if given is not None and not isinstance(given, str | dict):
        return  # which the check of the settings tells
    table: dict[str, Any] = (
        {"folder": given} if isinstance(given, str) else cast("dict[str, Any]", given or {})
    )
    if any(not isinstance(table.get(name, ""), str) for name in ("folder", "shadow")):
        return
    if "folder" in table or (folder / "policies").is_dir():
        table["folder"] = str(folder / table.get("folder", "policies"))
    if "shadow" in table:
        table["shadow"] = str(folder / table["shadow"])
    if table:
        values["policies"] = table


def _place_keys(table: Any, folder: Path) -> None:
    """Make the files of its issuers' keys relative to the file."""
    issuers: Any = cast("dict[str, Any]", table).get("issuers") if isinstance(table, dict) else None
    for issuer in cast("dict[str, Any]", issuers).values() if isinstance(issuers, dict) else ():
        match issuer:
            case {"jwks": str(keys)} if "://" not in keys:
                issuer["jwks"] = str(folder / keys)
            case _:
                pass


def _place_sources(values: dict[str, Any], folder: Path) -> None:
    """Make OpenAPI documents and databases that are files relative to the file."""
    tables = [values.get("openapi"), values.get("database")]
    for table in [
        t for named in tables if isinstance(named, dict) for t in cast("dict[str, Any]", named).values()
    ]:
        match table:
            case {"url": str(url)} if url.startswith("sqlite:///"):
                table["url"] = f"sqlite:///{folder / url.removeprefix('sqlite:///')}"
            case {"document": str(document)} if "://" not in document:
                table["document"] = str(folder / document)
            case _:
                pass


def _place_audit(audit: dict[str, Any], folder: Path, identity: Any) -> None:
    """Make the paths of the table `[audit]` relative to the file; its master key is that of `[identity]`."""
    if "master_key" not in audit and isinstance(identity, dict):
        audit["master_key"] = cast("dict[str, Any]", identity)["master_key"]
    for name in ("key", "master_key"):
        default = AuditSettings.model_fields[name].default
        audit[name] = str(folder / str(audit.get(name, default)))
    to: Any = audit.get("to")
    if isinstance(to, list):
        audit["to"] = [
            str(folder / place) if isinstance(place, str) and "://" not in place else place
            for place in cast("list[Any]", to)
        ]


def shown_url(url: str) -> str:
    """A store's URL for people and logs: without its password."""
    hidden = re.sub(r"^([^:/?]*://[^:/@?]*):[^?]*@", r"\1:***@", url)
    return re.sub(rf"\b({_SECRETS})=[^&]*", r"\1=***", hidden) if "?" in hidden else hidden


def without_password(url: str) -> str:
    """A store's URL that may be kept, and pasted into a command line: who uses it has the password from elsewhere."""
    bare = re.sub(r"^([^:/?]*://[^:/@?]*):[^?]*@", r"\1@", url)
    if "?" not in bare:
        return bare
    place, _, parameters = bare.partition("?")
    kept = [part for part in parameters.split("&") if not re.match(rf"({_SECRETS})=", part)]
    return f"{place}?{'&'.join(kept)}" if kept else place


_SECRETS = "password|sslpassword"


def load_settings(path: str | os.PathLike[str] | None = None) -> Settings:
    """Read `path` (default: `perdure.toml` here, if there is one), then `PERDURE_STORE` and so on.

    A relative SQLite path in the file is relative to the file. Raises `ConfigError` that names the setting.
    """
    file = Path(path) if path is not None else Path("perdure.toml")
    values: dict[str, Any] = {}
    said = False
    if file.exists():
        try:
            values = tomllib.loads(file.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"`{file}` is not readable TOML: {error}") from error
        store = values.get("store")
        if isinstance(store, str) and store.startswith("sqlite:///") and not store.startswith("sqlite:////"):
            values["store"] = f"sqlite:///{file.parent.resolve() / store.removeprefix('sqlite:///')}"
        match values.get("prices"):
            case {"file": str(prices)}:  # relative to this file, as the store is
                values["prices"]["file"] = str(file.parent.resolve() / prices)
            case _:
                pass
        _place_policies(values, file.parent.resolve())
        identity = values.get("identity")
        if isinstance(identity, dict):
            paths = cast("dict[str, Any]", identity)
            for name in ("keys", "master_key"):
                default = IdentitySettings.model_fields[name].default
                paths[name] = str(file.parent.resolve() / str(paths.get(name, default)))
        for name in ("identity", "approvals"):
            _place_keys(values.get(name), file.parent.resolve())
        providers = values.get("providers")
        for provider in cast("dict[str, Any]", providers).values() if isinstance(providers, dict) else ():
            match provider:
                case {"client_secret": str(secret)} if secret.startswith("sealed:"):
                    place = file.parent.resolve() / secret.removeprefix("sealed:")
                    provider["client_secret"] = f"sealed:{place}"
                case _:
                    pass
        _place_sources(values, file.parent.resolve())
        said = "audit" in values  # else only its paths are: a program's own table goes before them
        audit = values.setdefault("audit", {})
        if isinstance(audit, dict):
            _place_audit(cast("dict[str, Any]", audit), file.parent.resolve(), identity)
    elif path is not None:
        raise ConfigError(f"there is no file `{file}`; `perdure init` writes one")
    for name in Settings.model_fields:
        value = os.environ.get(f"PERDURE_{name.upper()}")
        if value is not None:
            values[name] = value
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        setting = ".".join(str(part) for part in first["loc"])
        known = ", ".join(sorted(Settings.model_fields))
        raise ConfigError(
            f"setting `{setting}` = `{shown_input(first)}` ({file} or PERDURE_{setting.upper()}): {first['msg']}. "
            f"Settings are: {known}"
        ) from error
    if not said:
        settings.model_fields_set.discard("audit")
    return settings
