"""Where the desk finds its things. Workers are told by variables; the demo sets them."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import BaseModel, ConfigDict

HERE = Path(__file__).resolve().parent

PROVIDERS = {
    "OPENAI_API_KEY": "openai:gpt-5-mini",
    "ANTHROPIC_API_KEY": "anthropic:claude-haiku-4-5",
    "GEMINI_API_KEY": "google:gemini-2.5-flash",
}
"""The model that is taken for each key, first come first served; `DESK_MODEL` takes another."""


class Settings(BaseModel):
    model_config = ConfigDict(frozen=True)

    store: str = "sqlite:///sales-desk.db"
    model: str = f"scripted:{HERE / 'scripted.json'}"
    pace: float = 0.0
    """seconds that a scripted model takes to answer, so that there is something to watch, and to kill"""
    documents: Path = HERE / "documents"
    smtp: str = "127.0.0.1:2525"
    sent: Path = Path("sent-mail")
    """the mail server's own store (a Maildir): what `was_sent` looks into, as it would over IMAP or a provider's API"""
    crm: Path = Path("crm")
    executions: Path | None = None
    """a file to which every execution of a tool or a model adds a line: the evidence of what was done how often"""

    @property
    def scripted(self) -> bool:
        return self.model.startswith("scripted:")

    def as_environment(self) -> dict[str, str]:
        return {f"DESK_{name.upper()}": str(value) for name, value in self if value is not None}

    @classmethod
    def from_environment(cls) -> Settings:
        names = {name: f"DESK_{name.upper()}" for name in cls.model_fields}
        values = {name: os.environ[variable] for name, variable in names.items() if variable in os.environ}
        values.setdefault("model", model_by_key())
        return cls.model_validate(values)


def model_by_key() -> str:
    """A real model where there is a key for one, else the scripted one."""
    for variable, model in PROVIDERS.items():
        if os.environ.get(variable):
            return model
    return f"scripted:{HERE / 'scripted.json'}"
