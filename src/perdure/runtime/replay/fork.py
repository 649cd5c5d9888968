"""A new run out of the journal of another: up to a step (fork), or without the failure that ended it (retry).

Any prefix of a journal is a legal journal: a worker might have died there. So what is taken over replays as it would
have after a crash, and no effect of it runs again. What belongs to the claims of the source is left out, and so are
its open waits, which are asked anew, and messages that no step of the part had received.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import pydantic_core

from ...core.errors import RunConflict, UnknownStep
from ...core.ids import RunRef
from ...core.principal import Principal
from ...journal import Entry, Kind, NewRun, RunRecord, fingerprint, genesis, seal
from .history import as_replayed, scope_of

__all__ = ["Taken", "forked_run", "taken_until", "taken_without_failure"]

_FOR_WHOM = ("by", "on_behalf_of", "chain", "subject")
"""What a fork has of its source: it acts for nobody else, and with no more."""
_FOR_WHAT = ("draft",)
"""The same: of a draft it makes the one call, with approval, and nothing else."""
_FINAL = frozenset({Kind.RESULT, Kind.FAILED, Kind.VALUE, Kind.DECISION, Kind.PROGRESS})
_LEFT_OUT = frozenset(
    {
        Kind.STARTED,
        Kind.CONTINUED,
        Kind.CLAIMED,
        Kind.SUSPENDED,
        Kind.MISMATCH,
        Kind.ENDED,
        # of the run that paid, that lived, that came to something: a fork counts for itself
        Kind.RESERVED,
        Kind.CHARGED,
        Kind.HEARTBEAT,
        Kind.OUTCOME,
        Kind.ESCALATION,
    }
)
_TAKES = frozenset({Kind.SETTLED, Kind.VERDICT})
"""Entries that name the message that they go back to."""
_CANCELLED = ":RunCancelled"
_CUT_OFF = ":CancelledError"
_HAPPENED = ":Unserialisable"
"""The error of an effect that happened, and whose result could not be kept."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What of a journal a new run takes over, in order; some of it is settled on the way."""

    first: Entry
    """the source's STARTED, or its counterpart where it was continued as new"""
    entries: tuple[Entry, ...]
    """without `first`; `seq` and `hash` are the source's"""
    until: Entry
    """the last entry of the source that was looked at"""


def taken_until(ref: RunRef, entries: Sequence[Entry], step: str) -> Taken:
    """Everything before the first entry of `step`: a key, or the scope of a conversation or a branch.

    An effect that was under way then comes with its end, where the journal knows it: it is not put in doubt. Raises
    `UnknownStep`, with the keys that are most like it.
    """
    entries = as_replayed(entries)
    below = (f"{step}/", f"{step}.")
    cut = next((e.seq for e in entries if e.key == step or e.key.startswith(below)), None)
    if cut is None:
        keys = list(dict.fromkeys(e.key for e in entries if e.key))
        near = difflib.get_close_matches(step, keys, n=3, cutoff=0.4) or keys[-3:]
        like = ", ".join(f"`{key}`" for key in near) or "none at all"
        raise UnknownStep(f"run `{ref}` has no step `{step}`; it has {like}")
    before = [e for e in entries if e.seq < cut]
    over = {e.key for e in before if e.kind in _FINAL}
    tried = {e.key for e in before if e.kind == Kind.INTENT} - over
    before = [e for e in before if e.kind != Kind.WAITING or e.key not in tried]
    ends = [e for e in entries if e.seq > cut and e.key in tried and e.kind in (Kind.RESULT, Kind.FAILED)]
    until = next(e for e in reversed(entries) if e.seq < cut)
    return Taken(entries[0], _cleaned([*before, *ends]), until)


def taken_without_failure(ref: RunRef, entries: Sequence[Entry]) -> Taken:
    """Everything, without the failed steps that ended the run, so that they are tried again, and what followed them.

    Other branches keep what they had done. A failed effect is tried again under the key that it had. Raises
    `RunConflict` where effects followed the failure (somebody undid something, say): nobody but a human can tell
    from where to go on then.
    """
    entries = as_replayed(entries)
    failed = _failures(entries)
    began: dict[str, int] = {}
    scopes: dict[str, int] = {}
    for e in entries:
        if e.key:
            began.setdefault(e.key, e.seq)
            scopes.setdefault(scope_of(e.key), e.seq)

    def follows(e: Entry, failure: Entry) -> bool:
        if not e.key or e.key == failure.key or began[e.key] < failure.seq:
            return False
        mine, its = scope_of(e.key), scope_of(failure.key)
        return its.startswith(mine) or (mine.startswith(its) and scopes[mine] > failure.seq)

    kept: list[Entry] = []
    for e in entries:
        cause = next((f for f in failed.values() if follows(e, f)), None)
        if cause is None:
            kept.append(e)
        elif e.kind == Kind.INTENT:
            raise RunConflict(
                f"run `{ref}` went on after `{cause.key}` had failed: step `{e.key}` had an effect, of which a retry "
                f"would know nothing. Say from where to go on: `perdure runs fork {ref.id} --from STEP`"
            )
    return Taken(entries[0], _cleaned(_tried_again(kept, failed)), entries[-1])


def forked_run(
    source: RunRecord,
    taken: Taken,
    ref: RunRef,
    *,
    kind: str,
    key: bytes,
    at: int,
    actor: str,
    version: str | None = None,
    input: bytes | None = None,
    on_behalf_of: Principal | None = None,
) -> NewRun:
    """The new run: its STARTED entry says where it comes from; what it takes over is chained anew.

    `key` is the tenant's, `at` is microseconds, `input` JSON in place of the source's. A deadline is as far away as
    it was from the source's beginning. It acts for whom the source does, or `on_behalf_of` another; where its input is
    another nobody vouches for that the user wants it, unless `on_behalf_of` says so.
    """
    told: dict[str, Any] = pydantic_core.from_json(taken.first.payload)
    body = pydantic_core.to_json(told["input"]) if input is None else input
    changed = input is not None and input != pydantic_core.to_json(told["input"])
    deadline = None if source.deadline is None else at + source.deadline - source.created_at
    origin = {"run": source.ref.id, "entry": taken.until.seq, "hash": taken.until.hash.hex(), "kind": kind}
    made = version or source.version
    same = pydantic_core.to_json([origin, made])  # whoever asks for the same fork again gets the same run
    origin |= {"taken": len(taken.entries) + 1, "input_changed": changed}
    whose = {name: told[name] for name in _FOR_WHOM + _FOR_WHAT if name in told}
    if changed or on_behalf_of is not None:
        whose.pop("on_behalf_of", None)
    if on_behalf_of is not None:
        whose |= {"by": on_behalf_of.subject}
        whose |= {"on_behalf_of": on_behalf_of.told()} if on_behalf_of.verified else {}
        same += b"\0" + pydantic_core.to_json(on_behalf_of.told())
    head = pydantic_core.to_json(
        {
            "agent": source.agent,
            "version": made,
            "labels": dict(source.labels),
            "parent": None,
            "deadline": deadline,
            "origin": origin,
            **whose,
        }
    )
    mark = fingerprint(key, source.agent.encode() + b"\0" + body + b"\0" + same)
    first = seal(
        genesis(ref), Kind.STARTED, 1, 0, at, 0, "", actor, mark, head[:-1] + b',"input":' + body + b"}"
    )
    return NewRun(
        ref=ref,
        agent=source.agent,
        version=made,
        entries=(first, *_sealed(first, taken.entries, f"{kind} of {source.ref.id}")),
        labels=dict(source.labels),
        deadline=deadline,
        priority=source.priority,
        needs=source.needs,
        principal=whose.get("by"),
        subject=told.get("subject"),
    )


def _sealed(first: Entry, entries: Iterable[Entry], actor: str) -> list[Entry]:
    """The entries chained to `first`; what refers to a message names it by its new number."""
    numbers: dict[int, int] = {}
    last_of: dict[str, int] = {}
    sealed: list[Entry] = []
    last = first
    for e in entries:
        payload = e.payload
        if e.kind in _TAKES or (e.kind == Kind.RESULT and last_of.get(e.key) == Kind.WAITING):
            told: Any = pydantic_core.from_json(payload)
            if isinstance(told, dict) and (source := cast("dict[str, Any]", told).get("from")) is not None:
                payload = pydantic_core.to_json({**told, "from": numbers[source]})
        last = seal(last.hash, e.kind, last.seq + 1, 0, e.at, e.took, e.key, actor, e.fingerprint, payload)
        numbers[e.seq] = last.seq
        last_of[e.key] = e.kind
        sealed.append(last)
    return sealed


def _cleaned(entries: Sequence[Entry]) -> tuple[Entry, ...]:
    """Without what belongs to claims, open waits, and messages that nothing in it has received."""
    over = {e.key for e in entries if e.kind in _FINAL}
    begun = {e.key for e in entries if e.kind == Kind.INTENT}
    last_of: dict[str, int] = {}
    received: set[int] = set()
    cancelled = 0
    for e in entries:
        if e.kind in _TAKES or (e.kind == Kind.RESULT and last_of.get(e.key) == Kind.WAITING):
            told: Any = pydantic_core.from_json(e.payload)
            if isinstance(told, dict) and (e.kind != Kind.VERDICT or e.key in over or e.key in begun):
                received.add(cast("dict[str, Any]", told).get("from") or 0)
        elif e.kind == Kind.FAILED and _type(e).endswith(_CANCELLED):
            cancelled = e.seq
        last_of[e.key] = e.kind

    def stays(e: Entry) -> bool:
        if e.kind in _LEFT_OUT:
            return False
        if e.kind == Kind.WAITING:
            return e.key in over
        if e.kind == Kind.VERDICT:  # an approval that was not used yet was given to the source
            return e.key in over or e.key in begun
        if e.kind == Kind.MESSAGE:
            # A cancellation that showed before goes on to be true.
            return e.seq in received or (_message_kind(e) == "cancel" and e.seq < cancelled)
        return True

    return tuple(e for e in entries if stays(e))


def _failures(entries: Sequence[Entry]) -> dict[int, Entry]:
    """The FAILED entries that ended the run, by `seq`. None where the code itself raised."""
    finals = [e for e in entries if e.kind in _FINAL]
    ending = _object(entries[-1]) if entries[-1].kind == Kind.ENDED else {}
    failure: Mapping[str, Any] = ending.get("failure") or {}
    if ending.get("status") == "cancelled":
        asked = max(
            (e.seq for e in entries if e.kind == Kind.MESSAGE and _message_kind(e) == "cancel"), default=0
        )
        return {
            e.seq: e
            for e in finals
            if e.kind == Kind.FAILED and e.seq > asked and _type(e).endswith(_CANCELLED)
        }
    if (said := ending.get("step")) is not None:  # the code itself said how the run ends: it is asked again
        return {e.seq: e for e in finals if e.key == said}
    if (check := ending.get("check")) is not None and not check["passed"]:
        # it is examined anew, and the result that a repair had made is gone
        return {e.seq: e for e in finals if e.key.startswith(tuple(check["scopes"]))}
    failed = [e for e in finals if e.kind == Kind.FAILED]
    same = [e for e in failed if _same(_object(e), failure)]
    if not same and failed and failed[-1] is finals[-1]:
        same = failed  # the code raised something else, right after this
    if not same:
        return {}
    found = {same[-1].seq: same[-1]}
    for e in failed:
        # A sibling in the same gather, whose branch ended with it too, would end the run again.
        beside = _beside(scope_of(e.key), scope_of(same[-1].key))
        if beside is None or _type(e).endswith(_CUT_OFF):
            continue
        if not any(f.seq > e.seq and f.key.startswith(beside) for f in finals):
            found[e.seq] = e
    return found


def _beside(scope: str, other: str) -> str | None:
    """The branch of `scope` where it and `other` part ways within one gather; None where they do not."""
    mine, its = scope.split("/"), other.split("/")
    for i, (a, b) in enumerate(zip(mine, its, strict=False)):
        if a != b:
            stem = a.rpartition(".")[0]
            return "/".join(mine[: i + 1]) + "/" if stem and stem == b.rpartition(".")[0] else None
    return None


def _tried_again(entries: Sequence[Entry], failed: Mapping[int, Entry]) -> list[Entry]:
    """Without the failures: a step is asked anew, an effect goes on from its last intent, settled as not done."""
    keys = {f.key: f for f in failed.values()}
    intents = {e.key: e for e in entries if e.key in keys and e.kind == Kind.INTENT}
    kept: list[Entry] = []
    for e in entries:
        failure = keys.get(e.key) if e.key else None
        if failure is None:
            kept.append(e)
        elif intents.get(e.key) is e:
            kept.append(e)
            if not _type(failure).endswith(_HAPPENED):
                settled = pydantic_core.to_json({"happened": False, "by": "its recorded failure"})
                kept.append(e._replace(kind=int(Kind.SETTLED), payload=settled))
    return kept


def _object(entry: Entry) -> dict[str, Any]:
    return pydantic_core.from_json(entry.payload)


def _type(entry: Entry) -> str:
    return str(_object(entry).get("type", ""))


def _message_kind(entry: Entry) -> str:
    return str(_object(entry).get("kind", ""))


def _same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return bool(other) and one.get("type") == other.get("type") and one.get("message") == other.get("message")
