"""What goes over the wire, noun by noun: the API and its clients share these models."""

from .agents import AgentOut, CapabilityOut, ConditionOut, ToolOut, WaitingOut, WorkerOut
from .approvals import AnswerIn, ApprovalOut
from .audit import AuditStatus, CheckpointOut, FactOut, FactsPage
from .base import Asked, Json, Moment, Page, Told
from .budgets import BudgetOut, RaiseBudget, RunBudget, SetBudget
from .costs import AnswerOut, CostBy, CostRowOut, CostTableOut, EvidenceOut, FiguresOut
from .events import Event
from .health import Health, Readiness
from .identity import AgentIdentity, TrustDomain
from .operations import (
    AcknowledgeAlert,
    AlertId,
    AlertOut,
    DeliveryOut,
    Lifted,
    Me,
    Stop,
    StopOut,
    Stopped,
)
from .policies import Explain, GateOut, PolicyOut, VerdictOut
from .problems import Misfit, Problem
from .runs import (
    Accepted,
    Cancel,
    EntryOut,
    Fork,
    Resume,
    RetryRun,
    RunId,
    RunOut,
    RunResult,
    Settle,
    Signal,
    StartRun,
    Status,
    Taken,
)

__all__ = [
    "AcknowledgeAlert",
    "AlertId",
    "AlertOut",
    "DeliveryOut",
    "Lifted",
    "Me",
    "Stop",
    "StopOut",
    "Stopped",
    "Accepted",
    "AgentIdentity",
    "AgentOut",
    "AnswerIn",
    "AnswerOut",
    "ApprovalOut",
    "Asked",
    "AuditStatus",
    "BudgetOut",
    "Cancel",
    "CapabilityOut",
    "CheckpointOut",
    "ConditionOut",
    "CostBy",
    "CostRowOut",
    "CostTableOut",
    "EntryOut",
    "Event",
    "EvidenceOut",
    "Explain",
    "FactOut",
    "FactsPage",
    "FiguresOut",
    "Fork",
    "GateOut",
    "Health",
    "Json",
    "Misfit",
    "Moment",
    "Page",
    "PolicyOut",
    "Problem",
    "RaiseBudget",
    "Readiness",
    "Resume",
    "RetryRun",
    "RunBudget",
    "RunId",
    "RunOut",
    "RunResult",
    "SetBudget",
    "Settle",
    "Signal",
    "StartRun",
    "Status",
    "Taken",
    "Told",
    "ToolOut",
    "TrustDomain",
    "VerdictOut",
    "WaitingOut",
    "WorkerOut",
]
