"""Parameters of a tool that the runtime fills in: no argument of the caller or the model, and never written down.

@app.tool(credential="github", scopes=["repo"])
def open_issue(title: str, key: EffectKey, token: Credential) -> str: ...      the model sees `title` alone

They stand in no schema, digest, fingerprint or intent. A class marks itself as such by `perdure_handed`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NewType

from ...core.codec import type_hints
from ...core.errors import ConfigError

if TYPE_CHECKING:
    from .tool import Tool

__all__ = ["CLIENTS", "EffectKey", "check_handed", "handed_parameters", "key_parameter"]

EffectKey = NewType("EffectKey", str)
"""Annotate a parameter of a tool, its `verify` or `compensate` with this type and it is handed the effect's key.

The key is the same over all attempts at one effect (`RUN/STEP`): give it to the receiver as its idempotency key.
"""


CLIENTS = frozenset({"http", "sync_http"})
"""Kinds of what is handed in: the clients."""


def handed_parameters(function: Callable[..., Any]) -> Mapping[str, str]:
    """Names of the parameters that are handed in, and what each is: `key`, `credential`, `http`, `sync_http`.

    A class is known by its mark, so that nobody needs the library of one that is not used.
    """
    try:
        annotations: dict[str, Any] = type_hints(function)
    except (ConfigError, TypeError):
        return {}
    annotations.pop("return", None)
    found: dict[str, str] = {}
    for name, hint in annotations.items():
        kind = "key" if hint is EffectKey else getattr(hint, "perdure_handed", None)
        if isinstance(kind, str):
            found[name] = kind
    return found


def key_parameter(function: Callable[..., Any]) -> str | None:
    """The name of the parameter that is annotated `EffectKey`, if there is one."""
    return next((name for name, kind in handed_parameters(function).items() if kind == "key"), None)


def check_handed(tool: Tool[..., Any]) -> None:
    """Whether what a tool is handed is there for it, and what is there for it is taken. Raises `ConfigError`."""
    access, outbound = tool.terms.credential, tool.terms.outbound
    kinds = set(tool.handed.values())
    anything = any(p.kind is p.VAR_KEYWORD for p in tool.signature.parameters.values())
    if access is not None and not (anything or kinds & {"credential", *CLIENTS}):
        raise ConfigError(
            f"tool `{tool.name}` has `credential={access.provider!r}` and takes none: annotate a parameter "
            "`Credential`, or `Http` for a client that uses it"
        )
    if outbound is not None and not (anything or kinds & CLIENTS):
        raise ConfigError(
            f"tool `{tool.name}` has `hosts` and takes no client: annotate a parameter `Http` (`SyncHttp`, if it "
            "is not async)"
        )
    others = {"verify": tool.verify, "compensate": tool.compensate}
    told = {tool.name: tool.handed, **{n: handed_parameters(f) for n, f in others.items() if f is not None}}
    for what, handed in told.items():
        for name, kind in handed.items():
            if kind == "credential" and access is None:
                raise ConfigError(
                    f"tool `{tool.name}`: the parameter `{name}` of `{what}` is a `Credential`, and the tool does not "
                    'say with whom: write `@app.tool(credential="PROVIDER")`'
                )
            if kind in CLIENTS and outbound is None:
                raise ConfigError(
                    f"tool `{tool.name}`: the parameter `{name}` of `{what}` is a client, and the tool does not say "
                    'what it may reach: write `@app.tool(hosts=["api.example.com"])`'
                )
    if "http" in kinds and not tool.asynchronous:
        raise ConfigError(f"tool `{tool.name}` is not async, and takes an `Http`: take a `SyncHttp`")
