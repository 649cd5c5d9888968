"""Perdure: the production runtime for AI agents.

Bring an agent as a Python function; it is journaled, survives crashes, waits for days without a worker, and never
repeats a write in silence. Start with `App`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .app import App, open_store
    from .app.deploys import Broken, CheckReport
    from .app.handle import Handle
    from .app.schedules import Schedule
    from .audit.answers import VerifiedAnswer, verify_answers
    from .audit.fact import Fact
    from .client import AsyncClient, Client
    from .core.approval_settings import ApprovalSettings
    from .core.contacts import Contact, Contacts, Smtp
    from .core.credentials import Credential, CredentialRejected, CredentialSource, Wanted
    from .core.errors import (
        AnswerRefused,
        ApiError,
        ApprovalDenied,
        BadSignature,
        BudgetExceeded,
        BudgetFinished,
        CheckFailed,
        CircuitOpen,
        ConcurrentScope,
        ConfigError,
        ContextExceeded,
        HostRefused,
        InvalidInput,
        InvalidOutput,
        LimitFull,
        NeedsConnection,
        Nondeterministic,
        NotCarriedOut,
        NotDone,
        OutsideRun,
        OutsideStep,
        PerdureError,
        PrincipalRefused,
        ProcessFailed,
        ProgramError,
        ProviderError,
        ProviderRefused,
        ProviderUnavailable,
        Refused,
        ResponseTooLarge,
        Revoked,
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
        StoreRestored,
        StoreSealed,
        StoreTooNew,
        StoreUnavailable,
        Stuck,
        SubjectErased,
        Superseded,
        TrustRefused,
        TurnLimit,
        UnknownAgent,
        UnknownAlert,
        UnknownApprover,
        UnknownConnection,
        UnknownItem,
        UnknownRun,
        UnknownSchedule,
        UnknownStep,
        UnknownSubject,
        Unserialisable,
        VersionConflict,
        WaitTimeout,
    )
    from .core.failures import Diagnosis, FailureClass
    from .core.principal import Principal
    from .core.rings import Ring
    from .core.webhooks import verify_webhook
    from .governance.breaker import Breaker
    from .governance.budgets import Budget
    from .governance.rate import Rate
    from .governance.trust.signing import sign_change
    from .governance.watching.watcher import Watch
    from .journal.approvals import Approval
    from .journal.entry import Entry, Kind, verify_chain
    from .journal.state import RunStatus
    from .journal.store import RunRecord
    from .runtime.agent import Agent
    from .runtime.approval.approvers import Approvers
    from .runtime.approval.proof import answer_statement, sign_answer
    from .runtime.boundary.call import Called
    from .runtime.boundary.process import Output, run_process
    from .runtime.boundary.pulse import heartbeat
    from .runtime.boundary.retry import Retry
    from .runtime.boundary.settling import DoubtfulWrite, sign_settlement
    from .runtime.boundary.terms import Cache, Cached, Instead
    from .runtime.boundary.tool import CANNOT_TELL, DID_NOT_HAPPEN, EffectKey, Happened, Tool, Verdict
    from .runtime.conversation.messages import ModelReply, ModelRequest
    from .runtime.conversation.stuck import StuckRules
    from .runtime.ending.checking import Check
    from .runtime.ending.conclusion import Ending
    from .runtime.ending.outcome import Outcome
    from .runtime.ending.undoing import Left, Undone
    from .runtime.frameworks.at_hand import credential, effect_key, http_client
    from .runtime.frameworks.declared import declare
    from .runtime.outbound.clients import Http, SyncHttp
    from .runtime.progress import Handover, ItemState, WorkItem
    from .runtime.replay.failure import Failure
    from .runtime.replay.parallel import Branch, Winner
    from .runtime.run import Run
    from .runtime.waits import Answer

__version__ = "0.1.0"

_WHERE = {
    "App": "app",
    "AsyncClient": "client",
    "Client": "client",
    "open_store": "app",
    "Contact": "core.contacts",
    "Contacts": "core.contacts",
    "Smtp": "core.contacts",
    "Credential": "core.credentials",
    "CredentialRejected": "core.credentials",
    "CredentialSource": "core.credentials",
    "Wanted": "core.credentials",
    "Fact": "audit.fact",
    "Watch": "governance.watching.watcher",
    "ApprovalSettings": "core.approval_settings",
    "Diagnosis": "core.failures",
    "Principal": "core.principal",
    "verify_webhook": "core.webhooks",
    "FailureClass": "core.failures",
    "Broken": "app.deploys",
    "Budget": "governance.budgets",
    "CheckReport": "app.deploys",
    "Breaker": "governance.breaker",
    "VerifiedAnswer": "audit.answers",
    "verify_answers": "audit.answers",
    "answer_statement": "runtime.approval.proof",
    "sign_answer": "runtime.approval.proof",
    "Rate": "governance.rate",
    "Ring": "core.rings",
    "sign_change": "governance.trust.signing",
    "Handle": "app.handle",
    "Entry": "journal.entry",
    "Kind": "journal.entry",
    "verify_chain": "journal.entry",
    "RunStatus": "journal.state",
    "RunRecord": "journal.store",
    "Agent": "runtime.agent",
    "Approvers": "runtime.approval.approvers",
    "Cache": "runtime.boundary.terms",
    "Cached": "runtime.boundary.terms",
    "Called": "runtime.boundary.call",
    "Check": "runtime.ending.checking",
    "Outcome": "runtime.ending.outcome",
    "Left": "runtime.ending.undoing",
    "Undone": "runtime.ending.undoing",
    "Output": "runtime.boundary.process",
    "run_process": "runtime.boundary.process",
    "heartbeat": "runtime.boundary.pulse",
    "Ending": "runtime.ending.conclusion",
    "Instead": "runtime.boundary.terms",
    "Failure": "runtime.replay.failure",
    "declare": "runtime.frameworks.declared",
    "credential": "runtime.frameworks.at_hand",
    "effect_key": "runtime.frameworks.at_hand",
    "http_client": "runtime.frameworks.at_hand",
    "ModelReply": "runtime.conversation.messages",
    "ModelRequest": "runtime.conversation.messages",
    "Http": "runtime.outbound.clients",
    "SyncHttp": "runtime.outbound.clients",
    "Branch": "runtime.replay.parallel",
    "Winner": "runtime.replay.parallel",
    "Retry": "runtime.boundary.retry",
    "DoubtfulWrite": "runtime.boundary.settling",
    "sign_settlement": "runtime.boundary.settling",
    "StuckRules": "runtime.conversation.stuck",
    "Handover": "runtime.progress.records",
    "ItemState": "runtime.progress.records",
    "WorkItem": "runtime.progress.records",
    "Run": "runtime.run",
    "CANNOT_TELL": "runtime.boundary.tool",
    "DID_NOT_HAPPEN": "runtime.boundary.tool",
    "EffectKey": "runtime.boundary.tool",
    "Happened": "runtime.boundary.tool",
    "Tool": "runtime.boundary.tool",
    "Verdict": "runtime.boundary.tool",
    "Answer": "runtime.waits",
    "Approval": "journal.approvals",
    "Schedule": "app.schedules",
}

__all__ = [
    "CANNOT_TELL",
    "DID_NOT_HAPPEN",
    "Agent",
    "Answer",
    "AnswerRefused",
    "ApiError",
    "App",
    "Approval",
    "ApprovalDenied",
    "ApprovalSettings",
    "Approvers",
    "AsyncClient",
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
    "CheckFailed",
    "CheckReport",
    "CircuitOpen",
    "Client",
    "ConcurrentScope",
    "ConfigError",
    "Contact",
    "Contacts",
    "ContextExceeded",
    "Credential",
    "CredentialRejected",
    "CredentialSource",
    "Diagnosis",
    "DoubtfulWrite",
    "EffectKey",
    "Ending",
    "Entry",
    "Fact",
    "Failure",
    "FailureClass",
    "Handle",
    "Handover",
    "Happened",
    "HostRefused",
    "Http",
    "Instead",
    "InvalidInput",
    "InvalidOutput",
    "ItemState",
    "Kind",
    "LimitFull",
    "Left",
    "ModelReply",
    "ModelRequest",
    "NeedsConnection",
    "Nondeterministic",
    "NotCarriedOut",
    "NotDone",
    "Outcome",
    "Output",
    "OutsideRun",
    "OutsideStep",
    "PerdureError",
    "Principal",
    "PrincipalRefused",
    "ProcessFailed",
    "ProgramError",
    "ProviderError",
    "ProviderRefused",
    "ProviderUnavailable",
    "Rate",
    "Refused",
    "ResponseTooLarge",
    "Retry",
    "Revoked",
    "Ring",
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
    "StoreRestored",
    "StoreSealed",
    "StoreTooNew",
    "StoreUnavailable",
    "Stuck",
    "SubjectErased",
    "StuckRules",
    "Superseded",
    "SyncHttp",
    "Tool",
    "TrustRefused",
    "TurnLimit",
    "Undone",
    "UnknownAgent",
    "UnknownAlert",
    "UnknownConnection",
    "UnknownItem",
    "UnknownApprover",
    "UnknownRun",
    "UnknownSchedule",
    "UnknownStep",
    "UnknownSubject",
    "Unserialisable",
    "Verdict",
    "VerifiedAnswer",
    "VersionConflict",
    "WaitTimeout",
    "Wanted",
    "Watch",
    "Winner",
    "WorkItem",
    "answer_statement",
    "credential",
    "declare",
    "effect_key",
    "http_client",
    "open_store",
    "sign_answer",
    "sign_change",
    "sign_settlement",
    "verify_answers",
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
