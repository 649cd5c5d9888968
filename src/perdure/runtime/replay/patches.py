"""`run.patched`: one program for the runs that began before a change and for those that come to it first.

The journal only grows, so whether recorded steps are left at the first call is the same in every replay: a run that
had passed here still has, and one that comes here first leaves its marker before anything that it does after.
"""

from __future__ import annotations

from ...core.ids import check_id
from ...journal import Kind
from .control import Unwind
from .recorder import Recorder
from .scope import current_scope

__all__ = ["patched"]


def patched(recorder: Recorder, name: str) -> bool:
    """Whether the run takes the new way. Once for the run, whatever scope asks first. Raises `ConfigError`."""
    scope = current_scope(recorder)
    known = recorder.patches.get(name)
    if known is not None:
        return known
    check_id(name, what="a patch")
    if recorder.halted is not None:
        raise Unwind
    fresh = not recorder.unconsumed
    if fresh:
        if recorder.releasing:
            raise Unwind
        recorder.check_cut(scope)
        recorder.write(
            Kind.VALUE, f"patched.{name}", b"true", fingerprint=recorder.mark(b"patched", name.encode())
        )
    recorder.patches[name] = fresh
    return fresh
