"""Texts as vectors, in a run: asked for across the boundary, priced and recorded; on replay read from the journal.

    working_add/embed ─► working_add        working_search/embed ─► working_search

A vector is of length 1, and stands in the journal with two bytes a number: a fourth of what the provider sends as JSON,
and near enough (a cosine differs in the fourth decimal). Live and on replay it is what was read from there.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict

from ...core.codec import arguments_bytes, shape_of
from ...core.errors import ConfigError, InvalidOutput
from ...memory.working import packed, unpacked
from ..boundary import effects
from ..boundary.effects import Governed
from ..conversation.messages import Usage
from ..conversation.providers import Models
from ..replay.recorder import Recorder
from ..replay.scope import Scope, current_scope

__all__ = ["Embedded", "Vectors", "embedded"]

EMBED = "embed"

BATCH = 96
"""Texts of one request: what all providers take."""
SECONDS = 60.0
"""An embedding takes milliseconds; what takes longer hangs."""
BYTES_PER_TOKEN = 4


class Embedded(BaseModel):
    """The payload of an embedding's RESULT."""

    model_config = ConfigDict(frozen=True)

    vectors: list[str]
    """base64 of numbers of two bytes, the lowest first"""
    by: str
    """the model, by the name under which it was asked: no other's vectors are comparable"""
    usage: Usage
    model: str | None = None
    """its exact name, as the provider says"""


class Vectors(NamedTuple):
    """What texts mean; of none where nobody was asked."""

    vectors: Sequence[bytes] = ()
    """`packed`, in the order of the texts"""
    by: str | None = None


async def embedded(
    recorder: Recorder,
    models: Models,
    model: str | None,
    step: str,
    texts: Sequence[str],
    *,
    query: bool = False,
) -> Vectors:
    """What texts mean that are about to go into the next step of that name: a step below it for each `BATCH` of them.

    What was recorded without vectors is replayed without them, and what was recorded with those of another model with
    those: `[memory] embeddings` may change under a run. Raises `ConfigError` where the model cannot be had,
    `InvalidOutput` where its answer is none, and what it raised.
    """
    outer = current_scope(recorder)
    key = outer.ahead(step)
    inner = Scope(recorder, f"{key}/", parent=outer, shielded=outer.shielded)
    if inner.ahead(EMBED) not in recorder.steps and (model is None or key in recorder.steps):
        return Vectors()
    if outer.busy:
        outer.enter(step)  # says that it overlaps
    outer.busy = key
    recorder.open_scopes.add(inner.path)
    vectors: list[bytes] = []
    by = model
    try:
        for i in range(0, len(texts), BATCH):
            batch = list(texts[i : i + BATCH])
            done = await _step(recorder, models, model, batch, outer=outer, scope=inner, query=query)
            vectors += [_wide(vector) for vector in done.vectors]
            by = done.by
        return Vectors(vectors, by)
    finally:
        recorder.open_scopes.discard(inner.path)
        outer.busy = ""


async def _step(
    recorder: Recorder,
    models: Models,
    model: str | None,
    texts: list[str],
    *,
    outer: Scope,
    scope: Scope,
    query: bool,
) -> Embedded:
    key = scope.enter(EMBED)
    record = recorder.steps.get(key)
    what = effects.PLAIN
    if record is None or record.final is None:
        if model is None:
            raise ConfigError(
                f"step `{key}` was begun with a model of embeddings, and `[memory] embeddings` names none any more: "
                "name it again until this run is over"
            )
        if recorder.unconsumed:
            recorder.check_frontier(outer, key)
        what = _governed(
            models, model, texts
        )  # what is missing here must not become the recorded failure of the run
    try:
        return await effects.repeat(
            recorder,
            scope,
            key,
            partial(_ask, models, model or "", query=query),
            (texts,),
            {},
            shape=shape_of(Embedded),
            asynchronous=True,
            operation=b"embed",
            data=arguments_bytes(texts),
            what=what,
        )
    finally:
        scope.busy = ""


def _governed(models: Models, model: str, texts: Sequence[str]) -> Governed:
    """By the model's terms; but no other stands in for it, for its vectors would be of another kind."""
    terms = replace(models.terms_of(model), fallback=())
    if getattr(models.embedder(model), "local", False):
        return Governed("step", model, terms)
    tokens = sum(len(text.encode()) for text in texts) // BYTES_PER_TOKEN + len(texts)
    return Governed("model", model, terms, estimate=partial(_estimate, tokens))


def _estimate(tokens: int) -> tuple[int, int]:
    return tokens, 0


async def _ask(models: Models, model: str, texts: list[str], *, query: bool) -> Embedded:
    answer = await models.embedder(model).embed(model, texts, query=query, timeout=SECONDS)
    if len(answer.vectors) != len(texts):
        raise InvalidOutput(f"model `{model}` gave {len(answer.vectors)} vectors for {len(texts)} texts")
    if len({len(vector) for vector in answer.vectors}) != 1:
        raise InvalidOutput(f"model `{model}` gave vectors of different lengths")
    vectors = [_narrow(vector) for vector in answer.vectors]
    return Embedded(vectors=vectors, by=model, usage=answer.usage, model=answer.model)


def _narrow(numbers: Sequence[float]) -> str:
    of_length_1 = unpacked(packed(numbers))
    return base64.b64encode(struct.pack(f"<{len(of_length_1)}e", *of_length_1)).decode()


def _wide(vector: str) -> bytes:
    data = base64.b64decode(vector)
    return packed(struct.unpack(f"<{len(data) // 2}e", data))
