"""The operations of OpenAPI documents: reviewed by people, offered to agents, called across the boundary."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from fnmatch import fnmatchcase
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from ..context import Definition
from ..context.definition import apart
from ..context.openapi import ApiResult, Document, Operation, answered, definition, operations, request_of
from ..core.credentials import Credential
from ..core.errors import ConfigError
from ..core.openapi_settings import OpenApiSettings
from ..core.provider_settings import is_below
from ..runtime import EffectKey, Run, Tool, terms_of
from .openapi_documents import Copy, looked_at, origin, secrets_of, server_of
from .openapi_failures import RAISED, failure
from .reviewed import Kind, Reviewed

if TYPE_CHECKING:
    from ..runtime.outbound.clients import Http
    from .connections import Connections

__all__ = ["AppOpenApi"]

_LONGEST_NAME = 64
_MOST_OPERATIONS = 1000


class AppOpenApi(Reviewed[OpenApiSettings]):
    """The OpenAPI documents of an app."""

    kind = "openapi"
    called = "OpenAPI document"
    log = logging.getLogger("perdure.openapi")

    def __init__(self, app: Connections, settings: Mapping[str, OpenApiSettings]) -> None:
        super().__init__(app, settings)
        self._copies: dict[str, Copy] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    def _ready(self, source: str) -> OpenApiSettings:
        settings = self._known(source)
        try:
            import httpx2
            import openapi_spec_validator
            import yaml
        except ImportError as error:
            raise ConfigError(
                'OpenAPI documents need the extra `openapi`: `pip install "perdure[openapi]"`'
            ) from error
        del httpx2, openapi_spec_validator, yaml
        if settings.auth is not None:
            self._provider(source)
        return settings

    async def _now(self, source: str, *, user: str | None = None) -> dict[str, Definition]:
        if user is not None:
            raise ConfigError(f"{self.called} `{source}` is the same for everybody: leave the user out")
        copy = await self._copy(source, fresh=True)
        if not copy.checked:
            await asyncio.to_thread(copy.document.check)
            copy.checked = True
        settings = self.settings[source]
        found = [o for o in operations(copy.document) if _wanted(settings, o.names)]
        _check_patterns(source, settings, copy.document)
        if len(found) > _MOST_OPERATIONS:
            raise ConfigError(
                f"OpenAPI document `{source}` has {len(found)} operations, and may have {_MOST_OPERATIONS}: say in "
                "`only` which of them agents may use"
            )
        made = [self._made(source, copy, operation) for operation in found]
        return apart(source, [d for d in made if d is not None], called=self.called)

    async def _single(self, source: str, name: str) -> dict[str, Definition]:
        """That tool alone, if it is there.

        A document of a thousand operations is not made anew for each call, and one whose digest is the reviewed one was
        checked when it was reviewed.
        """
        copy = await self._copy(source, fresh=False)
        if name not in copy.made:
            wanted = (o for o in operations(copy.document) if _wanted(self.settings[source], o.names))
            operation = next((o for o in wanted if o.name(room=_room(source)) == name), None)
            copy.made[name] = None if operation is None else self._made(source, copy, operation)
        made = copy.made[name]
        return {} if made is None else {name: made}

    async def _copy(self, source: str, *, fresh: bool) -> Copy:
        async with self._locks.setdefault(source, asyncio.Lock()):
            had = self._copies.get(source)
            self._copies[source] = found = await looked_at(source, self.settings[source], had, fresh=fresh)
            return found

    def _made(self, source: str, copy: Copy, operation: Operation) -> Definition | None:
        settings = self.settings[source]
        given = frozenset(name.lower() for name in [*settings.headers, settings.key_header or ""])
        made = definition(copy.document, operation, room=_room(source), given=given)
        if made is None or settings.base_url is not None:
            return made
        annotations = {**made.annotations, "server": server_of(source, copy.document)}
        return made.model_copy(update={"annotations": annotations})

    def _wanted(self, source: str, definition: Definition) -> bool:
        return _wanted(self.settings[source], _names(definition))

    def _effect(self, source: str, definition: Definition) -> Kind:
        settings, names = self.settings[source], _names(definition)
        if _matches(settings.idempotent, names):
            return "idempotent"
        if definition.annotations["method"] in ("GET", "HEAD") and not _matches(settings.writes, names):
            return "read"
        return "write"

    def _tool(self, source: str, definition: Definition, run: Run) -> Tool[..., Any]:
        from ..runtime.outbound.clients import Http

        settings, effect = self.settings[source], self._effect(source, definition)
        base = settings.base_url or definition.annotations.get("server")
        if base is None:
            raise ConfigError(
                f"`{definition.name}` of {self.called} `{source}` was reviewed when `base_url` said where it is; "
                f"now nothing does: `{self._command('review', source)}`"
            )

        async def made(
            key: str, http: Http, arguments: dict[str, Any], credential: Credential | None
        ) -> ApiResult:
            await self._pinned(source, definition, now=partial(self._single, source, definition.name))
            secrets = secrets_of(source, settings)
            headers = (
                {} if settings.key_header is None or effect == "read" else {settings.key_header: _ascii(key)}
            )
            request = request_of(definition, arguments, base=base)
            sent = http.build_request(
                request.method, request.url, headers={**request.headers, **headers, **secrets},
                content=request.content, timeout=settings.timeout.total_seconds(),
            )  # fmt: skip
            # A write that was answered by "look there" was done, or was not: following it may do it once more.
            answer = await http.send(sent, follow_redirects=effect == "read")
            found = answered(
                answer.status_code, dict(answer.headers), answer.content, encoding=answer.encoding or "utf-8",
                named=definition.annotations.get("headers", []), most=settings.most_output, secrets=secrets,
            )  # fmt: skip
            if answer.status_code in RAISED or answer.status_code >= 500:
                raise failure(source, definition, found, answer, credential)
            return found

        async def call(*, perdure_effect_key: EffectKey, perdure_http: Http, **arguments: Any) -> ApiResult:
            return await made(perdure_effect_key, perdure_http, arguments, None)

        async def call_as_user(
            *,
            perdure_effect_key: EffectKey,
            perdure_http: Http,
            perdure_credential: Credential,
            **arguments: Any,
        ) -> ApiResult:
            return await made(perdure_effect_key, perdure_http, arguments, perdure_credential)

        function = call if settings.auth is None else call_as_user
        function.__annotations__["perdure_http"] = Http  # of a library that only those need who use it
        function.__doc__ = definition.description
        return Tool(
            function,
            name=self._name(source, definition.name),
            effect=effect,
            timeout=settings.timeout,
            terms=terms_of(
                labels=["trusted" if settings.trusted else "untrusted", *settings.labels],
                hosts=[origin(base)],
                allow_private=settings.allow_private,
                credential=None if settings.auth is None else self._provider(source),
                scopes=settings.scopes,
            ),
            form=definition.arguments,
        )

    def _provider(self, source: str) -> str:
        """With whom users connect the account that is used. Raises `ConfigError`."""
        settings = self.settings[source]
        name = settings.provider or source
        provider = self._app.providers.get(name)
        if self._app.credentials is None and provider is None:
            raise ConfigError(
                f'OpenAPI document `{source}` has `auth = "user"`: say with whom users connect their account, in '
                f"`[providers.{name}]` of perdure.toml"
            )
        # Not all who give tokens for an API say for which it is; where it is said, it counts.
        meant = None if provider is None else provider.resource
        if meant is not None and not is_below(settings.base_url or "", meant):
            raise ConfigError(
                f"OpenAPI document `{source}` at `{settings.base_url}` must not be shown tokens of provider `{name}`, "
                f"which are for `{meant}`"
            )
        return name


def _room(source: str) -> int:
    return _LONGEST_NAME - len(source) - 2


def _names(definition: Definition) -> tuple[str, ...]:
    called = definition.annotations
    return str(called.get("operation", "")), f"{called['method']} {called['path']}"


def _wanted(settings: OpenApiSettings, names: tuple[str, ...]) -> bool:
    return (not settings.only or _matches(settings.only, names)) and not _matches(settings.without, names)


def _matches(patterns: tuple[str, ...], names: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, _escaped(pattern)) for pattern in patterns for name in names if name)


def _escaped(pattern: str) -> str:
    return pattern.replace("[", "[[]").replace("?", "[?]")  # only `*` stands for others


def _check_patterns(source: str, settings: OpenApiSettings, document: Document) -> None:
    """A pattern that means nothing was misspelt; of `idempotent` and `without` that would be dangerous."""
    there = [o.names for o in operations(document)]
    for word in ("only", "without", "idempotent", "writes"):
        for pattern in getattr(settings, word):
            if not any(_matches((pattern,), names) for names in there):
                raise ConfigError(
                    f"OpenAPI document `{source}` has no operation `{pattern}`, which `{word}` names: write an "
                    "`operationId`, or a method and path like `GET /orders/{id}`"
                )


def _ascii(key: str) -> str:
    return quote(key, safe="/:._-~@+,;=")
