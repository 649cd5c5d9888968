"""Classes of failure: rules of the user's, causes, what a journal keeps, and what the system and Perdure raise."""

from __future__ import annotations

import asyncio
import errno
import json
import logging
import socket
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import tenacity

from perdure import (
    ApprovalDenied,
    CircuitOpen,
    ConfigError,
    ContextExceeded,
    Diagnosis,
    Failure,
    FailureClass,
    InvalidOutput,
    NotDone,
    Refused,
    StepFailed,
    StoreUnavailable,
    Stuck,
    TurnLimit,
    Unserialisable,
    WaitTimeout,
)
from perdure.runtime.boundary.diagnosis import Classifier, diagnose
from perdure.runtime.replay.failure import again, failure_of

PERMANENT, TRANSIENT = FailureClass.PERMANENT, FailureClass.TRANSIENT
OVERLOADED, REFUSED = FailureClass.OVERLOADED, FailureClass.REFUSED


def raised(what: Callable[[], Any]) -> BaseException:
    """The error that it raises, as a program sees it."""
    try:
        what()
    except BaseException as error:
        return error
    raise AssertionError("it raised nothing")


def chained(
    outer: BaseException, cause: BaseException | None = None, context: BaseException | None = None
) -> Any:
    def fail() -> None:
        if cause is not None:
            raise outer from cause
        try:
            raise context or ValueError
        except BaseException:
            raise outer  # noqa: B904  # a context without a cause is what is looked at

    return raised(fail)


class ShopError(Exception):
    """Of a library that nobody knows."""


@pytest.mark.parametrize(
    ("error", "failure", "not_sent"),
    [
        (ConnectionRefusedError(), TRANSIENT, True),
        (socket.gaierror(socket.EAI_AGAIN, "try again"), TRANSIENT, True),
        (ConnectionResetError(), TRANSIENT, False),
        (BrokenPipeError(), TRANSIENT, False),
        (TimeoutError(), TRANSIENT, False),
        (subprocess.TimeoutExpired("pay", 3), TRANSIENT, False),
        (asyncio.IncompleteReadError(b"", 3), TRANSIENT, False),
        (OSError(errno.ENOSPC, "No space left on device"), TRANSIENT, False),
        (OSError(errno.EHOSTUNREACH, "No route to host"), TRANSIENT, False),
        (FileNotFoundError(errno.ENOENT, "No such file"), PERMANENT, False),
        (PermissionError(errno.EACCES, "Permission denied"), PERMANENT, False),
        (ValueError("x"), PERMANENT, False),
        (KeyError("x"), PERMANENT, False),
        (raised(lambda: json.loads('{"receipt": ')), TRANSIENT, False),
        (ShopError(), PERMANENT, False),
        (asyncio.CancelledError(), PERMANENT, False),
        (NotDone("closed on Sundays"), TRANSIENT, True),
        (InvalidOutput("x"), FailureClass.INVALID_OUTPUT, False),
        (TurnLimit("x"), FailureClass.STUCK, False),
        (Stuck("x"), FailureClass.STUCK, False),
        (ContextExceeded("x"), FailureClass.CONTEXT_EXCEEDED, False),
        (CircuitOpen("x"), OVERLOADED, True),
        (Refused("x"), REFUSED, True),
        (ApprovalDenied("x"), REFUSED, True),
        (WaitTimeout("x"), PERMANENT, False),
        (Unserialisable("x"), PERMANENT, False),
        (StoreUnavailable("x"), TRANSIENT, False),
        (ConfigError("x"), PERMANENT, False),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else str(value),
)
def test_what_the_system_and_perdure_raise(
    error: BaseException, failure: FailureClass, not_sent: bool
) -> None:
    found = diagnose(error)
    assert (found.failure, found.not_sent) == (failure, not_sent)
    assert found.why


def test_a_refused_connection_is_one_in_fact(unused_tcp_port: int) -> None:
    error = raised(lambda: socket.create_connection(("127.0.0.1", unused_tcp_port), timeout=5))
    assert diagnose(error) == diagnose(ConnectionRefusedError())


class TestCauses:
    def test_an_unknown_error_is_what_it_was_raised_from(self) -> None:
        found = diagnose(chained(ShopError("sold out?"), cause=ConnectionRefusedError()))
        assert (found.failure, found.not_sent) == (TRANSIENT, True)

    def test_one_raised_while_another_was_handled_has_its_class_but_proves_nothing(self) -> None:
        """Between the two, more may have been done: another server may have been asked."""
        found = diagnose(chained(ShopError(), context=ConnectionRefusedError()))
        assert (found.failure, found.not_sent) == (TRANSIENT, False)

    def test_a_mistake_of_the_program_in_a_handler_is_a_mistake(self) -> None:
        assert diagnose(chained(KeyError("x"), context=TimeoutError())).failure is PERMANENT

    def test_a_cause_that_was_cut_off_does_not_count(self) -> None:
        def fail() -> None:
            try:
                raise TimeoutError
            except TimeoutError:
                raise ShopError from None

        assert diagnose(raised(fail)).failure is PERMANENT

    def test_causes_in_a_ring_end(self) -> None:
        one, two = ShopError("1"), ShopError("2")
        one.__cause__, two.__cause__ = two, one
        assert diagnose(one).failure is PERMANENT

    def test_not_done_takes_the_class_of_its_cause_and_keeps_its_proof(self) -> None:
        found = diagnose(chained(NotDone("rolled back"), cause=TimeoutError()))
        assert (found.failure, found.not_sent) == (TRANSIENT, True)
        found = diagnose(chained(NotDone("not allowed"), cause=PermissionError(errno.EACCES, "no")))
        assert (found.failure, found.not_sent) == (PERMANENT, True)

    def test_the_worst_of_a_group(self) -> None:
        group = ExceptionGroup("both", [ConnectionRefusedError(), InvalidOutput("x")])
        assert diagnose(group) == diagnose(InvalidOutput("x"))
        assert diagnose(ExceptionGroup("both", [TimeoutError(), ValueError()])).failure is PERMANENT

    def test_a_group_proves_something_only_where_each_does(self) -> None:
        assert diagnose(ExceptionGroup("", [ConnectionRefusedError(), ConnectionRefusedError()])).not_sent
        assert not diagnose(ExceptionGroup("", [ConnectionRefusedError(), TimeoutError()])).not_sent

    def test_the_last_of_several_attempts_proves_nothing_of_the_others(self) -> None:
        def attempts(count: int) -> BaseException:
            @tenacity.retry(stop=tenacity.stop_after_attempt(count), wait=tenacity.wait_none())
            def pay() -> None:
                raise ConnectionRefusedError

            return raised(pay)

        assert type(attempts(1)) is tenacity.RetryError
        assert diagnose(attempts(1)).not_sent
        found = diagnose(attempts(2))
        assert (found.failure, found.not_sent) == (TRANSIENT, False)


class TestRules:
    def test_a_rule_goes_before_what_is_built_in(self) -> None:
        mine = Diagnosis(REFUSED, not_sent=True, why="sold out")
        classifier = Classifier([lambda e: mine if isinstance(e, TimeoutError) else None])
        assert classifier.diagnose(TimeoutError()) is mine
        assert classifier.diagnose(ValueError()).failure is PERMANENT

    def test_a_class_alone_leaves_what_is_known_besides(self) -> None:
        classifier = Classifier([lambda e: OVERLOADED])
        found = classifier.diagnose(ConnectionRefusedError())
        assert (found.failure, found.not_sent) == (OVERLOADED, True)

    def test_a_rule_sees_what_is_inside_too(self) -> None:
        classifier = Classifier([lambda e: OVERLOADED if isinstance(e, ShopError) else None])
        error = chained(RuntimeError("a wrapper"), cause=ShopError())
        assert classifier.diagnose(error).failure is OVERLOADED

    def test_a_rule_that_raises_is_logged_and_the_next_is_asked(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        def broken(error: BaseException) -> None:
            raise LookupError("a typing error")

        classifier = Classifier([broken, lambda e: REFUSED])
        with caplog.at_level(logging.ERROR):
            assert classifier.diagnose(ValueError()).failure is REFUSED
        assert "broken" in caplog.text

    def test_a_rule_that_says_something_else_is_logged_and_ignored(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        rule: Any = lambda e: "catastrophic"  # noqa: E731
        assert Classifier([rule]).diagnose(TimeoutError()).failure is TRANSIENT
        assert "catastrophic" in caplog.text

    def test_an_error_that_cannot_be_looked_at_is_permanent(self, caplog: pytest.LogCaptureFixture) -> None:
        class Vicious(OSError):
            def __getattribute__(self, name: str) -> Any:
                if name.startswith("__"):
                    return super().__getattribute__(name)
                raise LookupError(name)

        assert diagnose(Vicious()).failure is PERMANENT


class TestTheJournal:
    def test_what_was_recorded_is_what_was_found(self) -> None:
        found = diagnose(chained(ShopError("sold out?"), cause=ConnectionRefusedError()))
        failure = failure_of(chained(ShopError("sold out?"), cause=ConnectionRefusedError()))
        read = Failure.model_validate_json(failure.model_dump_json())
        assert read.diagnosis == found
        assert diagnose(again(read)) == found

    def test_the_users_rules_are_in_it(self) -> None:
        """And a rule that has changed since says nothing of what was recorded."""
        error = ShopError()
        ruled = Classifier([lambda e: OVERLOADED]).diagnose(error)
        read = Failure.model_validate_json(failure_of(error, ruled).model_dump_json())
        assert Classifier([lambda e: REFUSED]).diagnose(again(read)) == ruled

    def test_an_error_whose_type_is_gone_keeps_its_class(self) -> None:
        recorded = failure_of(ConnectionRefusedError()).model_copy(update={"type": "gone:GoneError"})
        error = again(recorded)
        assert isinstance(error, StepFailed)
        assert diagnose(error) == diagnose(ConnectionRefusedError())

    def test_a_recorded_error_that_is_recorded_again_keeps_its_class(self) -> None:
        once = again(failure_of(ShopError(), Diagnosis(REFUSED, why="sold out")))
        assert failure_of(once).diagnosis == Diagnosis(REFUSED, why="sold out")

    def test_journals_of_earlier_releases_are_read_by_the_type(self) -> None:
        old = json.loads(failure_of(TimeoutError("slow")).model_dump_json())
        del old["diagnosis"]
        assert diagnose(again(Failure.model_validate(old))).failure is TRANSIENT
        old["type"] = "openai:RateLimitError"  # not its own type, so the recorded error stands in for it
        stand_in = StepFailed("RateLimitError: slow", type_name="openai:RateLimitError")
        assert diagnose(stand_in).failure is OVERLOADED

    def test_many_threads_may_ask_at_once(self) -> None:
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(lambda _: diagnose(ConnectionRefusedError()).not_sent, range(100)))
        assert all(found)
