"""SMTP and SQL, by real servers: what proves that nothing was done, and what does not."""

from __future__ import annotations

import smtplib
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import apsw
import psycopg
import psycopg.errors
import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from perdure import FailureClass
from perdure.runtime.boundary.diagnosis import diagnose
from tests.places import PostgresServer
from tests.runtime.bad_server import nobody

PERMANENT, TRANSIENT = FailureClass.PERMANENT, FailureClass.TRANSIENT
OVERLOADED = FailureClass.OVERLOADED


def verdict(what: Callable[[], Any]) -> tuple[FailureClass, bool]:
    try:
        what()
    except Exception as error:
        found = diagnose(error)
        assert found.why
        return found.failure, found.not_sent
    raise AssertionError("it raised nothing")


class Postmaster:
    """Replies as it is told."""

    def __init__(self) -> None:
        self.sender = self.data = "250 OK"
        self.recipients: dict[str, str] = {}

    async def handle_MAIL(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        envelope.mail_from = address
        return self.sender

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        reply = self.recipients.get(address, "250 OK")
        if reply.startswith("250"):
            envelope.rcpt_tos.append(address)
        return reply

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        if self.data == "hang up":
            assert server.transport is not None
            server.transport.abort()
        return self.data


class TestMail:
    @pytest.fixture
    def master(self, unused_tcp_port: int) -> Iterator[Postmaster]:
        self.port = unused_tcp_port
        master = Postmaster()
        controller = Controller(master, hostname="127.0.0.1", port=self.port)
        controller.start()
        yield master
        controller.stop()

    def send(self, *to: str) -> object:
        with smtplib.SMTP("127.0.0.1", self.port, timeout=5) as client:
            return client.sendmail("us@example.org", to or ["a@example.org"], "Subject: hi\r\n\r\nhi")

    def test_nobody_listens(self) -> None:
        with nobody() as url:
            port = int(url.rpartition(":")[2])
            assert verdict(lambda: smtplib.SMTP("127.0.0.1", port, timeout=5)) == (TRANSIENT, True)

    def test_never_connected(self) -> None:
        assert verdict(lambda: smtplib.SMTP().sendmail("a", "b", "")) == (TRANSIENT, True)

    @pytest.mark.parametrize(("reply", "failure"), [("451 later", TRANSIENT), ("550 never", PERMANENT)])
    def test_a_sender_that_is_refused(self, master: Postmaster, reply: str, failure: FailureClass) -> None:
        master.sender = reply
        assert verdict(self.send) == (failure, True)

    @pytest.mark.parametrize(("reply", "failure"), [("451 later", TRANSIENT), ("554 spam", PERMANENT)])
    def test_a_message_that_is_refused(self, master: Postmaster, reply: str, failure: FailureClass) -> None:
        master.data = reply
        assert verdict(self.send) == (failure, True)

    def test_recipients_that_are_refused(self, master: Postmaster) -> None:
        master.recipients = {"a@example.org": "450 greylisted", "b@example.org": "550 unknown"}
        assert verdict(lambda: self.send("a@example.org")) == (TRANSIENT, True)
        assert verdict(lambda: self.send("a@example.org", "b@example.org")) == (PERMANENT, True)

    @pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
    def test_it_hangs_up_where_the_message_may_have_been_taken(self, master: Postmaster) -> None:
        master.data = "hang up"
        assert verdict(self.send) == (TRANSIENT, False)

    def test_a_wrong_password(self) -> None:
        error = smtplib.SMTPAuthenticationError(535, b"no")
        assert (diagnose(error).failure, diagnose(error).not_sent) == (PERMANENT, True)


class TestSqlite:
    @pytest.fixture
    def path(self, tmp_path: Path) -> str:
        path = str(tmp_path / "shop.db")
        with sqlite3.connect(path) as connection:
            connection.execute("create table payment (id text primary key)")
        connection.close()
        return path

    @pytest.fixture(params=["sqlite3", "apsw"])
    def connect(self, request: pytest.FixtureRequest, path: str) -> Iterator[Callable[[], Any]]:
        """Of both libraries: each has a copy of SQLite, and in one process they do not see each other's locks."""
        made: list[Any] = []

        def connect() -> Any:
            if request.param == "sqlite3":
                made.append(sqlite3.connect(path, timeout=0, isolation_level=None))
            else:
                made.append(apsw.Connection(path))
            return made[-1]

        yield connect
        for connection in made:
            connection.close()

    @pytest.fixture
    def run(self, connect: Callable[[], Any]) -> Callable[[str], Any]:
        connection = connect()
        return lambda sql: list(connection.execute(sql))

    def test_it_is_locked(self, run: Callable[[str], Any], connect: Callable[[], Any]) -> None:
        connect().execute("begin immediate")
        assert verdict(lambda: run("insert into payment values ('1')")) == (TRANSIENT, True)

    def test_a_rule_of_the_data(self, run: Callable[[str], Any]) -> None:
        run("insert into payment values ('1')")
        assert verdict(lambda: run("insert into payment values ('1')")) == (PERMANENT, True)

    def test_a_wrong_statement(self, run: Callable[[str], Any]) -> None:
        assert verdict(lambda: run("insert into nowhere values ('1')")) == (PERMANENT, True)

    def test_it_is_full(self, run: Callable[[str], Any]) -> None:
        pages = run("pragma page_count")[0][0]
        run(f"pragma max_page_count = {pages}")
        fill = "insert into payment select hex(randomblob(4000)) from (values (1), (2), (3), (4))"
        assert verdict(lambda: run(fill)) == (TRANSIENT, True)


class TestPostgres:
    @pytest.fixture
    def url(self, postgres: PostgresServer) -> Iterator[str]:
        name = postgres.new_database()
        url = postgres.url(name)
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("create table payment (id int primary key, amount int)")
            connection.execute("insert into payment values (1, 10), (2, 20)")
        yield url
        postgres.drop_database(name)

    def test_nobody_listens(self) -> None:
        with nobody() as url:
            port = url.rpartition(":")[2]
            assert verdict(lambda: psycopg.connect(f"host=127.0.0.1 port={port} dbname=x")) == (
                TRANSIENT,
                True,
            )

    def test_no_such_database(self, url: str) -> None:
        wrong = url.replace("perdure_test", "no_such")
        assert verdict(lambda: psycopg.connect(wrong))[1]

    @pytest.mark.parametrize(
        ("sql", "failure"),
        [
            ("insert into payment values (1, 1)", PERMANENT),
            ("insert into nowhere values (1)", PERMANENT),
            ("select 1 / 0", PERMANENT),
            ("set statement_timeout = '1ms'; select pg_sleep(5)", TRANSIENT),
            ("begin read only; insert into payment values (3, 1)", TRANSIENT),
        ],
    )
    def test_the_server_turns_it_down(self, url: str, sql: str, failure: FailureClass) -> None:
        with psycopg.connect(url, autocommit=True) as connection:
            assert verdict(lambda: connection.execute(sql.encode())) == (failure, True)

    def test_a_lock_that_is_not_had(self, url: str) -> None:
        with psycopg.connect(url) as holder, psycopg.connect(url) as other:
            holder.execute("select from payment where id = 1 for update")
            nowait = "select from payment where id = 1 for update nowait"
            assert verdict(lambda: other.execute(nowait)) == (TRANSIENT, True)

    def test_a_collision(self, url: str) -> None:
        with psycopg.connect(url) as one, psycopg.connect(url, autocommit=True) as other:
            one.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            one.execute("select from payment")
            other.execute("update payment set amount = 0 where id = 1")
            change = "update payment set amount = 5 where id = 1"
            assert verdict(lambda: one.execute(change)) == (TRANSIENT, True)

    def test_a_deadlock(self, url: str) -> None:
        with psycopg.connect(url) as one, psycopg.connect(url) as other:
            one.execute("update payment set amount = 1 where id = 1")
            other.execute("update payment set amount = 2 where id = 2")
            found: list[tuple[FailureClass, bool]] = []

            def cross(connection: psycopg.Connection[Any], row: int) -> None:
                try:
                    connection.execute("update payment set amount = 3 where id = %s", (row,))
                except psycopg.Error as error:
                    found.append((diagnose(error).failure, diagnose(error).not_sent))
                    connection.rollback()

            thread = threading.Thread(target=cross, args=(one, 2))
            thread.start()
            cross(other, 1)
            thread.join()
            assert found == [(TRANSIENT, True)]

    def test_a_connection_that_is_lost_leaves_a_doubt(self, url: str) -> None:
        with psycopg.connect(url, autocommit=True) as killer, psycopg.connect(url) as victim:
            victim.execute("insert into payment values (3, 1)")
            killer.execute("select pg_terminate_backend(%s, 5000)", (victim.info.backend_pid,))
            assert verdict(victim.commit) == (TRANSIENT, False)
            # After that it is known to be closed, and nothing is sent over it.
            assert verdict(lambda: victim.execute("select 1")) == (TRANSIENT, True)

    def test_wrappers_say_what_the_driver_said(self, url: str) -> None:
        """Django and peewee raise from it; SQLAlchemy has it as `orig`."""

        class OperationalError(Exception):
            __module__ = "sqlalchemy.exc"

            def __init__(self, orig: BaseException) -> None:
                super().__init__("(psycopg.errors.DeadlockDetected)")
                self.orig = orig

        def fail(error: BaseException) -> None:
            raise error

        assert verdict(lambda: fail(OperationalError(psycopg.errors.DeadlockDetected()))) == (TRANSIENT, True)
        assert verdict(lambda: fail(OperationalError(psycopg.errors.UniqueViolation()))) == (PERMANENT, True)
        assert verdict(lambda: fail(OperationalError(ValueError()))) == (TRANSIENT, False)

    @pytest.mark.parametrize(
        ("state", "failure", "not_sent"),
        [
            ("40001", TRANSIENT, True),
            ("40003", TRANSIENT, False),
            ("08006", TRANSIENT, False),
            ("08007", TRANSIENT, False),
            ("08001", TRANSIENT, True),
            ("53300", OVERLOADED, True),
            ("57P01", TRANSIENT, False),
            ("57P03", TRANSIENT, True),
            ("23505", PERMANENT, True),
        ],
    )
    def test_states(self, state: str, failure: FailureClass, not_sent: bool) -> None:
        found = diagnose(psycopg.errors.lookup(state)())
        assert (found.failure, found.not_sent) == (failure, not_sent)
