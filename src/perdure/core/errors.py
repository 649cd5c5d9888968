"""The one error tree.

Every error that Perdure raises on purpose is in it; a message says what was wrong, with the value in
backticks, and what to do next.

    PerdureError
    ├── ConfigError              a setting, a file or an argument that cannot be used
    ├── StoreError
    │   ├── StoreUnavailable     disk full, locked, unreadable: nothing was lost, try again later
    │   ├── StoreCorrupt         bytes on disk are not what was written
    │   ├── StoreTooNew          written by a newer version of Perdure
    │   ├── StoreMoved           its runs are in another database now
    │   ├── StoreRestored        it may have forgotten what its runs did since
    │   ├── StoreSealed          what a run recorded is sealed, and no key that is here opens it
    │   └── Superseded           another worker owns this run now (a stale epoch or head)
    ├── BadSignature             a webhook, or an answer, is not from whom it says, or is old
    ├── ProviderError            who gives out credentials does not do what was asked
    │   ├── ProviderRefused      it says no; asked again, it says the same
    │   └── ProviderUnavailable  it cannot be reached, or is overloaded: try again later
    ├── AccessRefused            a server does not do what it is asked over HTTP
    │   ├── Unauthenticated      nobody has proved who asks: sign in, or show a key
    │   ├── Forbidden            who asks may not do that
    │   └── TooManyRequests      who asks does so too often: try again after `retry_after` seconds
    ├── ApiError                 a server answered a client what no other error says, or did not answer
    ├── UnknownApprover          nobody of that name has a key, or there is no such key
    ├── TrustRefused             a trust ring is not widened: no good signature, or too little evidence
    ├── UnknownKey               no API key of that id in this tenant, or no such passkey
    ├── PrincipalRefused         a run cannot be started on behalf of that user: no good token, or too few grants
    ├── UnknownItem              nothing of that name is remembered, or waits for a review
    ├── UnknownAlert             no alert of that id is open in this tenant
    ├── UnknownSchedule          no schedule of that name in this tenant
    ├── UnknownConnection        that user has connected no account with that provider
    ├── RunError
    │   ├── UnknownRun           no run of that id in this tenant
    │   ├── RunConflict          the id is taken by a run with other input
    │   ├── RunEnded             the run has ended and takes no more messages
    │   ├── RunNotEnded          the run goes on: what is only known at its end cannot be said yet
    │   ├── RunFailed            the run ended in anything but `succeeded`
    │   ├── RunPruned            what the run's journal held was taken away
    │   │   └── SubjectErased    with the key of the person whose data it was
    │   ├── AnswerRefused        an answer to a question does not count; the question stays open
    │   └── UnknownStep          no such step, or it does not wait for what was given
    ├── ProgramError             the program must be changed; retrying does not help
    │   ├── UnknownAgent         no agent of that name (and version) is registered
    │   ├── InvalidInput         the input does not fit the agent's signature
    │   │   └── TaskRefused      the agent is not there for that task
    │   ├── ConcurrentScope      two steps of one scope overlap
    │   ├── Nondeterministic     the program asked for other steps than were recorded
    │   ├── OutsideRun           a run context was used where no run is
    │   ├── OutsideStep          a model was about to be asked in a run, but in none of its steps
    │   └── Unserialisable       a value cannot be written to the journal and read back the same
    └── StepError
        ├── StepFailed           a recorded error whose own type cannot be raised again
        ├── NotDone              raised by a tool: proves that the effect did not happen
        │   └── CredentialRejected   the other side did not take the user's credential: it is renewed, or widened, once
        ├── VersionConflict      a memory was changed by somebody else first: read it again, and decide anew
        ├── WaitTimeout          a wait ended before what it waited for came
        ├── LimitFull            the queue of a rate limit is longer than a call waits
        ├── InvalidOutput        a model's answer does not fit, also after one repair
        ├── ContextExceeded      a conversation does not fit into any model that may be asked, also after compaction
        ├── Stuck                no progress: the same calls with the same results, also after one warning
        ├── CheckFailed          what a tool did is not what its `check` wants to see; it was undone, where it can be
        ├── ProcessFailed        a program that a tool ran ended with another exit code than 0
        ├── TurnLimit            a model loop reached its bound
        ├── ResponseTooLarge     what a tool's client was answered has more bytes than it takes
        ├── CircuitOpen          the other side failed too often; no call goes out for a while
        └── Refused              the boundary says no, and why
            ├── ApprovalDenied   a human said no, or nobody answered in time
            ├── Revoked          the agent, the run or its user was revoked: it may do nothing any more
            ├── HostRefused      a tool's client would have gone where it may not
            ├── PolicyDenied     no policy permits the call, or one forbids it
            ├── NotCarriedOut    the agent's trust ring lets it do no more than that: it was recorded, or is a draft
            ├── NeedsConnection  the user has connected no account that the call could use
            └── BudgetExceeded   a budget does not hold what the next call may need
                └── BudgetFinished   the last call from what was held back has been made: the run ends `partial`

    RunCancelled (BaseException) raised at the next step of a run that was cancelled
"""

from __future__ import annotations

from typing import Any

from ._access_errors import AccessRefused, ApiError, Forbidden, TooManyRequests, Unauthenticated
from ._base_error import PerdureError
from ._memory_errors import UnknownItem

__all__ = [
    "AccessRefused",
    "ApiError",
    "AnswerRefused",
    "ApprovalDenied",
    "BadSignature",
    "BudgetExceeded",
    "BudgetFinished",
    "CheckFailed",
    "CircuitOpen",
    "ConcurrentScope",
    "ConfigError",
    "ContextExceeded",
    "Forbidden",
    "HostRefused",
    "InvalidInput",
    "InvalidOutput",
    "Nondeterministic",
    "LimitFull",
    "NeedsConnection",
    "NotCarriedOut",
    "NotDone",
    "OutsideRun",
    "OutsideStep",
    "PerdureError",
    "PrincipalRefused",
    "PolicyDenied",
    "ProcessFailed",
    "ProgramError",
    "ProviderError",
    "ProviderRefused",
    "ProviderUnavailable",
    "Refused",
    "ResponseTooLarge",
    "Revoked",
    "RunCancelled",
    "RunConflict",
    "RunEnded",
    "RunError",
    "RunFailed",
    "RunNotEnded",
    "RunPruned",
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
    "Superseded",
    "TrustRefused",
    "TurnLimit",
    "TaskRefused",
    "TooManyRequests",
    "Unauthenticated",
    "UnknownAgent",
    "UnknownAlert",
    "UnknownApprover",
    "UnknownConnection",
    "UnknownItem",
    "UnknownKey",
    "UnknownRun",
    "UnknownSchedule",
    "UnknownStep",
    "UnknownSubject",
    "Unserialisable",
    "VersionConflict",
    "WaitTimeout",
]


class ConfigError(PerdureError):
    """A setting, a file or an argument that cannot be used."""


class StoreError(PerdureError):
    """The store could not do what was asked."""


class StoreUnavailable(StoreError):
    """The store cannot be written or read now (disk full, locked, gone); nothing acknowledged was lost."""


class StoreCorrupt(StoreError):
    """Bytes in the store are not what was written; nothing was built on them."""


class StoreTooNew(StoreError):
    """The store, or an entry in it, was written by a newer version of Perdure."""


class StoreMoved(StoreError):
    """The store's runs are in another database now (`perdure db copy`): nobody goes on here."""


class StoreRestored(StoreError):
    """The store was put back from an earlier moment (`perdure db restored`): nobody goes on before that is settled."""


class StoreSealed(StoreError):
    """What a run recorded is sealed, and no master key that is here opens it."""


class Superseded(StoreError):
    """Another worker owns this run now: the epoch or the head that the append carried is stale."""


class BadSignature(PerdureError):
    """A webhook was not signed with the secret that the receiver has, or an answer not by its author's key, or then."""


class UnknownAlert(PerdureError):
    """No alert of that id is open in this tenant."""


class UnknownApprover(PerdureError):
    """Nobody of that name has a key by which answers are signed, or there is no such key."""


class TrustRefused(PerdureError):
    """A trust ring is not widened: nobody who may has signed, it was changed meanwhile, or too little speaks for it."""


class UnknownKey(PerdureError):
    """There is no API key of that id in this tenant, or no such passkey."""


class ProviderError(PerdureError):
    """A provider of credentials (`[providers.NAME]` in perdure.toml) does not do what was asked."""


class ProviderRefused(ProviderError):
    """The provider says no. `code` is its word for it: `invalid_grant`, `invalid_client`, `access_denied`, ..."""

    def __init__(self, message: str, *, code: str = "") -> None:
        super().__init__(message)
        self.code = code


class ProviderUnavailable(ProviderError):
    """The provider cannot be reached, or has no time now; `retry_after` is how many seconds it asks for."""

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class PrincipalRefused(PerdureError):
    """A run cannot be started on behalf of that user: the token is not good here, or the user may not. Says why."""


class UnknownSchedule(PerdureError):
    """No schedule of that name in this tenant."""


class UnknownConnection(PerdureError):
    """That user has connected no account with that provider."""


class UnknownSubject(PerdureError):
    """No run of this tenant handles the data of that person."""


class RunError(PerdureError):
    """A run is not there, or not in the state that was needed."""


class UnknownRun(RunError):
    """No run of that id in this tenant."""


class RunConflict(RunError):
    """A run of that id exists already, with another agent or other input."""


class RunEnded(RunError):
    """The run has ended and takes no more messages."""


class RunNotEnded(RunError):
    """The run has not ended: what can only be said of one that has cannot be said yet."""


class UnknownStep(RunError):
    """The run has no such step, or the step does not wait for what was given."""


class AnswerRefused(RunError):
    """An answer to a question does not count, and the question stays open. The message says why."""


class RunFailed(RunError):
    """The run ended in anything but `succeeded`.

    `status` is the ending, `failure` what was recorded of it (a `Failure`: type, message, traceback text) or None. Of a
    run that ended `partial`, `value` is what there is and `missing` what there is not.
    """

    def __init__(
        self,
        message: str,
        *,
        status: str,
        failure: Any = None,
        value: Any = None,
        missing: tuple[str, ...] = (),
    ) -> None:
        super().__init__(message)
        self.status = status
        self.failure = failure
        self.value = value
        self.missing = missing


class RunPruned(RunError):
    """The run's payloads were taken away: there is nothing to replay, to fork or to return. Its row is left."""


class SubjectErased(RunPruned):
    """The key of the person whose data the run handled is gone: nothing can be read of it, nor be written to it."""


class ProgramError(PerdureError):
    """The program must be changed; retrying it as it is does not help."""


class UnknownAgent(ProgramError):
    """No agent of that name (and version) is registered with this app."""


class InvalidInput(ProgramError):
    """The input does not fit the agent's signature."""


class TaskRefused(InvalidInput):
    """The agent is not there for that; it says what for."""


class ConcurrentScope(ProgramError):
    """Two steps of one scope overlap, so their order could not be replayed."""


class Nondeterministic(ProgramError):
    """On replay the program asked for other steps than were recorded."""


class OutsideRun(ProgramError):
    """A run context was used outside its run."""


class OutsideStep(ProgramError):
    """A request to a model was about to go out in a run, but in none of its steps: each replay would repeat it."""


class Unserialisable(ProgramError):
    """A value cannot be written to the journal and read back the same. `path` says where in the value."""

    def __init__(self, message: str, *, path: str = "$") -> None:
        super().__init__(message)
        self.path = path


class StepError(PerdureError):
    """A step did not give a result."""


class StepFailed(StepError):
    """A recorded error whose own type cannot be raised again. `type_name` is that type's name."""

    def __init__(self, message: str, *, type_name: str = "") -> None:
        super().__init__(message)
        self.type_name = type_name


class NotDone(StepError):
    """Raised by a tool to prove that its effect did not happen, so that it is safe to try again."""


class VersionConflict(StepError):
    """What was to be changed has another version by now. `version` is that; 0: nothing is there."""

    def __init__(self, message: str, *, version: int = 0) -> None:
        super().__init__(message)
        self.version = version


class WaitTimeout(StepError, TimeoutError):
    """A wait ended before what it waited for came."""


class LimitFull(StepError):
    """The queue of a rate limit is longer than a call waits: nothing was sent, and no place was taken.

    `until` is when the place would have come (microseconds, the store's clock), `retry_after` how many seconds from
    now there may be room.
    """

    def __init__(self, message: str, *, until: int = 0, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.until = until
        self.retry_after = retry_after


class InvalidOutput(StepError):
    """A model's answer does not fit the asked type, also after one repair."""


class CheckFailed(StepError):
    """A tool did something, and its `check` did not find what it wants to see."""

    undone: bool = False
    """whether `compensate` has undone it"""


class ProcessFailed(StepError):
    """A program that a tool ran ended with the exit code `code`, or (below 0) by that signal."""

    def __init__(self, message: str, *, code: int = 1) -> None:
        super().__init__(message)
        self.code = code


class ResponseTooLarge(StepError):
    """What a tool's client was answered has more bytes than it takes: the rest was not read."""


class TurnLimit(StepError):
    """A model loop reached its bound on turns without a final answer."""


class ContextExceeded(StepError):
    """A conversation does not fit into the context of any model that may be asked, also after compaction."""


class Stuck(StepError):
    """An agent makes no progress, and went on like that after it had been told so once."""


class CircuitOpen(StepError):
    """The other side failed too often of late: no call goes out before `retry_after` seconds have passed."""

    retry_after: float | None = None


class Refused(StepError):
    """The boundary does not let a call pass. The message says why, for the model as for a human."""


class ApprovalDenied(Refused):
    """A human said no to the call, with a reason, or nobody answered in time."""

    by: str | None = None
    """who said no; None: nobody answered"""
    reason: str | None = None
    expired: bool = False


class Revoked(Refused):
    """The agent, the run or the user for whom it acts was revoked: nothing is done any more until it is restored."""

    what: str = ""
    """`agent`, `run` or `user`"""
    name: str = ""
    by: str = ""
    """who revoked it"""


class HostRefused(Refused):
    """A tool's client would have gone where it may not: to another host than are listed, or to no public address."""


class PolicyDenied(Refused):
    """No policy permits the call, or one forbids it, and no approval would change that."""

    policies: tuple[str, ...] = ()
    """ids of those that forbid it"""


class NotCarriedOut(Refused):
    """The trust ring of the agent lets it go no further: the call was recorded (`observe`), or is a draft (`draft`)."""

    ring: str = ""
    draft: str | None = None
    """id of the run that waits for a person to release the draft; None: it was recorded alone"""


class NeedsConnection(Refused):
    """The user on whose behalf the run acts has connected no account of that provider, or too narrow a one."""

    provider: str = ""
    subject: str = ""
    scopes: tuple[str, ...] = ()
    """what the call needs, in the provider's words"""


class BudgetExceeded(Refused):
    """A budget does not hold what the next call may need, or the call has no price and that is forbidden."""


class BudgetFinished(BudgetExceeded):
    """The last call from what was held back has been made: a run that is left by this ends as `partial`."""


class RunCancelled(BaseException):
    """Raised at the next step of a run that was cancelled; under `run.shield()` steps still go on.

    Not an `Exception`, so that a retry loop with `except Exception` does not swallow it.
    """
