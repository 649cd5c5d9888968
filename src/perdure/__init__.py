"""Perdure: the production runtime for AI agents.

Bring an agent as a Python function; it is journaled, survives crashes, waits for days without a worker, and never
repeats a write in silence. Start with `App`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .app import App, open_store
    from .core.approval_settings import ApprovalSettings
    from .core.contacts import Contact, Contacts, Smtp
    from .core.errors import (
        AnswerRefused,
        ApprovalDenied,
        BadSignature,
        BudgetExceeded,
        BudgetFinished,
        CircuitOpen,
        ConcurrentScope,
        ConfigError,
        ContextExceeded,
        InvalidInput,
        InvalidOutput,
        LimitFull,
        Nondeterministic,
        NotDone,
        OutsideRun,
        OutsideStep,
        PerdureError,
        ProcessFailed,
        ProgramError,
        Refused,
        RunCancelled,
        RunConflict,
        RunEnded,
        RunError,
        RunFailed,
        RunNotEnded,
        RunPruned,
        StepError,
        StepFailed,
        StoreCorrupt,
        StoreError,
        StoreMoved,
        StoreTooNew,
        StoreUnavailable,
        Stuck,
        Superseded,
        TurnLimit,
        UnknownAgent,
        UnknownRun,
        UnknownSchedule,
        UnknownStep,
        Unserialisable,
        WaitTimeout,
    )
    from .core.failures import Diagnosis, FailureClass
    from .core.webhooks import verify_webhook
    from .deploys import Broken, CheckReport
    from .governance.breaker import Breaker
    from .governance.budgets import Budget
    from .governance.rate import Rate
    from .handle import Handle
    from .journal.entry import Entry, Kind, verify_chain
    from .journal.state import RunStatus
    from .journal.store import RunRecord
    from .runtime.agent import Agent
    from .runtime.approvers import Approvers
    from .runtime.call import Called
    from .runtime.checking import Check
    from .runtime.conclusion import Ending
    from .runtime.declared import declare, effect_key
    from .runtime.failure import Failure
    from .runtime.messages import ModelReply, ModelRequest
    from .runtime.outcome import Outcome
    from .runtime.parallel import Branch, Winner
    from .runtime.process import Output, run_process
    from .runtime.pulse import heartbeat
    from .runtime.retry import Retry
    from .runtime.run import Run
    from .runtime.stuck import StuckRules
    from .runtime.terms import Cache, Cached, Instead
    from .runtime.tool import CANNOT_TELL, DID_NOT_HAPPEN, EffectKey, Happened, Tool, Verdict
    from .runtime.undoing import Left, Undone
    from .runtime.waits import Answer
    from .schedules import Schedule

__version__ = "0.1.0"

_WHERE = {
    "App": "app",
    "open_store": "app",
    "Contact": "core.contacts",
    "Contacts": "core.contacts",
    "Smtp": "core.contacts",
    "ApprovalSettings": "core.approval_settings",
    "Diagnosis": "core.failures",
    "verify_webhook": "core.webhooks",
    "FailureClass": "core.failures",
    "Broken": "deploys",
    "Budget": "governance.budgets",
    "CheckReport": "deploys",
    "Breaker": "governance.breaker",
    "Rate": "governance.rate",
    "Handle": "handle",
    "Entry": "journal.entry",
    "Kind": "journal.entry",
    "verify_chain": "journal.entry",
    "RunStatus": "journal.state",
    "RunRecord": "journal.store",
    "Agent": "runtime.agent",
    "Approvers": "runtime.approvers",
    "Cache": "runtime.terms",
    "Cached": "runtime.terms",
    "Called": "runtime.call",
    "Check": "runtime.checking",
    "Outcome": "runtime.outcome",
    "Left": "runtime.undoing",
    "Undone": "runtime.undoing",
    "Output": "runtime.process",
    "run_process": "runtime.process",
    "heartbeat": "runtime.pulse",
    "Ending": "runtime.conclusion",
    "Instead": "runtime.terms",
    "Failure": "runtime.failure",
    "declare": "runtime.declared",
    "effect_key": "runtime.declared",
    "ModelReply": "runtime.messages",
    "ModelRequest": "runtime.messages",
    "Branch": "runtime.parallel",
    "Winner": "runtime.parallel",
    "Retry": "runtime.retry",
    "StuckRules": "runtime.stuck",
    "Run": "runtime.run",
    "CANNOT_TELL": "runtime.tool",
    "DID_NOT_HAPPEN": "runtime.tool",
    "EffectKey": "runtime.tool",
    "Happened": "runtime.tool",
    "Tool": "runtime.tool",
    "Verdict": "runtime.tool",
    "Answer": "runtime.waits",
    "Schedule": "schedules",
}

__all__ = [
    "CANNOT_TELL",
    "DID_NOT_HAPPEN",
    "Agent",
    "Answer",
    "AnswerRefused",
    "App",
    "ApprovalDenied",
    "ApprovalSettings",
    "Approvers",
    "BadSignature",
    "Branch",
    "Breaker",
    "Broken",
    "Budget",
    "BudgetExceeded",
    "BudgetFinished",
    "Cache",
    "Cached",
    "Called",
    "Check",
    "CheckReport",
    "CircuitOpen",
    "ConcurrentScope",
    "ConfigError",
    "Contact",
    "Contacts",
    "ContextExceeded",
    "Diagnosis",
    "EffectKey",
    "Ending",
    "Entry",
    "Failure",
    "FailureClass",
    "Handle",
    "Happened",
    "Instead",
    "InvalidInput",
    "InvalidOutput",
    "Kind",
    "LimitFull",
    "Left",
    "ModelReply",
    "ModelRequest",
    "Nondeterministic",
    "NotDone",
    "Outcome",
    "Output",
    "OutsideRun",
    "OutsideStep",
    "PerdureError",
    "ProcessFailed",
    "ProgramError",
    "Rate",
    "Refused",
    "Retry",
    "Run",
    "RunCancelled",
    "RunConflict",
    "RunEnded",
    "RunError",
    "RunFailed",
    "RunNotEnded",
    "RunPruned",
    "RunRecord",
    "RunStatus",
    "Schedule",
    "Smtp",
    "StepError",
    "StepFailed",
    "StoreCorrupt",
    "StoreError",
    "StoreMoved",
    "StoreTooNew",
    "StoreUnavailable",
    "Stuck",
    "StuckRules",
    "Superseded",
    "Tool",
    "TurnLimit",
    "Undone",
    "UnknownAgent",
    "UnknownRun",
    "UnknownSchedule",
    "UnknownStep",
    "Unserialisable",
    "Verdict",
    "WaitTimeout",
    "Winner",
    "declare",
    "effect_key",
    "open_store",
    "verify_chain",
    "verify_webhook",
    "heartbeat",
    "run_process",
]


def __getattr__(name: str) -> Any:
    """Load a public name when it is first used, so that `import perdure` costs nothing."""
    if name not in __all__:
        raise AttributeError(f"module `perdure` has no attribute `{name}`")
    from importlib import import_module

    value = getattr(import_module(f".{_WHERE.get(name, 'core.errors')}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
