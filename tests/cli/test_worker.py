"""Workers as processes: they drain, they die, others go on."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .conftest import SCENE, Cli

Until = Callable[..., None]


def ready(process: Any) -> Any:
    """The line in which a worker says that it is there."""
    told = json.loads(process.stdout.readline())
    assert told["event"] == "ready"
    return told


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_exits_0_and_releases_the_run(number: int, cli: Cli, until: Until) -> None:
    cli.begin("holds", "r")
    worker = cli.start("worker", "--json", "--lease", "1h")
    ready(worker)
    until(lambda: Path("begun").exists(), "the step began")
    worker.send_signal(number)
    # the step that has begun is finished and recorded; the next one is left to another worker
    assert cli.record("r")["status"] == "running"
    Path("go").touch()
    said = cli.finish(worker)
    assert said.code == 0, said
    assert said.lines == [
        {"event": "stopping", "pid": worker.pid, "busy": 1},
        {"event": "stopped", "pid": worker.pid, "driven": 1, "left": 0},
    ]
    record = cli.record("r")
    assert (record["status"], record["session"], record["unclean"]) == ("pending", None, 0)
    assert [s["step"] for s in record["steps"]] == ["held"]
    cli.work()  # at once: nobody waits for the hour of the lease
    assert cli.record("r")["result"] == "done"


def test_a_second_ctrl_c_is_hard(cli: Cli, until: Until) -> None:
    cli.begin("holds", "r")
    worker = cli.start("worker", "--json")
    ready(worker)
    until(lambda: Path("begun").exists(), "the step began")
    worker.send_signal(signal.SIGINT)
    assert json.loads(worker.stdout.readline()) == {"event": "stopping", "pid": worker.pid, "busy": 1}
    worker.send_signal(signal.SIGINT)
    assert cli.finish(worker).code == 130
    assert cli.record("r")["status"] == "running"


def test_a_step_that_does_not_return_is_not_waited_for_beyond_the_grace(cli: Cli, until: Until) -> None:
    cli.begin("holds", "r")
    worker = cli.start("worker", "--json", "--lease", "1h", "--grace", "50ms")
    ready(worker)
    until(lambda: Path("begun").exists(), "the step began")
    worker.send_signal(signal.SIGTERM)
    said = cli.finish(worker)  # its thread would go on for a minute
    assert (said.code, said.lines[-1]["left"]) == (0, 1), said
    assert cli.record("r")["status"] == "pending"


def test_once_leaves_what_is_due_later(cli: Cli) -> None:
    cli.begin("sleeps", "later")
    cli.begin("order", "now", "--input", '{"item": "tea"}')
    told = cli("worker", "--once", "--json").lines
    assert [t["event"] for t in told] == ["ready", "stopped"]
    assert cli.record("later")["reasons"] == ["timer"]
    assert cli.record("now")["status"] == "succeeded"


def test_a_supervisor_replaces_a_dead_worker_and_lets_its_runs_go(cli: Cli, until: Until) -> None:
    cli.begin("holds", "r")
    supervisor = cli.start("worker", "--processes", "2", "--json", "--lease", "1h")
    workers = {ready(supervisor)["pid"], ready(supervisor)["pid"]}
    until(lambda: Path("begun").exists(), "the step began")
    holder = cli.record("r")["session"]
    Path("begun").unlink()
    for pid in workers:
        os.kill(pid, signal.SIGKILL)
    # both are replaced, and the run goes on although its lease would have held for an hour
    until(lambda: Path("begun").exists(), "the step began again")
    record = cli.record("r")
    assert record["session"] != holder
    assert record["unclean"] == 1
    Path("go").touch()
    until(lambda: cli.record("r")["status"] == "succeeded", "the run ended")
    supervisor.send_signal(signal.SIGTERM)
    said = cli.finish(supervisor)
    assert said.code == 0, said
    events = [t["event"] for t in said.lines]
    assert events.count("died") == 2
    assert events.count("stopped") >= 1  # the other may not have been there yet


def test_workers_leave_when_their_supervisor_is_killed(cli: Cli, until: Until) -> None:
    supervisor = cli.start("worker", "--processes", "2", "--json")
    workers = [ready(supervisor)["pid"], ready(supervisor)["pid"]]
    supervisor.kill()
    supervisor.wait()

    try:
        until(lambda: all(gone(pid) for pid in workers), "the workers left")
    finally:
        for pid in workers:
            if not gone(pid):
                os.kill(pid, signal.SIGKILL)
    assert supervisor.stdout is not None
    events = [json.loads(line)["event"] for line in supervisor.stdout]
    assert events.count("stopped") == 2


def test_a_supervisor_of_an_app_that_cannot_be_loaded_gives_up(cli: Cli) -> None:
    said = cli("worker", "nope.py", "--processes", "2")
    assert said.code == 2
    assert "there is no file" in said.stderr


def test_ctrl_c_leaves_a_run_to_other_workers(cli: Cli, until: Until) -> None:
    process = cli.start("run", "asks", "--id", "r")
    until(lambda: Path("test.db").exists() and cli("approvals", "ls", "--json").json, "the question")
    process.send_signal(signal.SIGINT)
    said = cli.finish(process)
    assert (said.code, said.stdout) == (130, "")
    assert f"it goes on with `perdure worker --store {cli.store} --app {SCENE}:app`" in said.stderr
    assert cli.record("r")["status"] == "waiting"


@pytest.mark.soak
def test_poison_goes_alone_then_into_quarantine_and_its_neighbour_lives(cli: Cli, until: Until) -> None:
    cli.begin("poison", "bad")
    cli.begin("neighbour", "good")
    supervisor = cli.start("worker", "--processes", "1", "-v")  # one process: no supervisor
    assert cli.finish(supervisor).code == 9
    assert cli.record("bad")["status"] == "running"  # nobody knows yet that it is dead

    supervisor = cli.start("worker", "--processes", "2", "--lease", "1s", "--json")
    until(lambda: cli.record("bad")["status"] == "quarantined", "the quarantine")
    until(lambda: cli.record("good")["status"] == "succeeded", "the neighbour's end")
    record = cli.record("bad")
    assert (record["alone_deaths"], record["unclean"]) == (3, 5)
    deaths = Path("deaths").read_text().split()
    assert len(deaths) == 5
    supervisor.send_signal(signal.SIGTERM)
    said = cli.finish(supervisor)
    assert said.code == 0, said
    # two workers died of it (the first before this), three processes died alone, and took nobody with them
    died = [t["pid"] for t in said.lines if t["event"] == "died"]
    assert {str(pid) for pid in died} == {deaths[1]}

    shown = cli("runs", "show", "bad")
    assert "Quarantined" in shown.stdout
    assert "the process died 3 times alone in a process of its own" in shown.stdout
    assert f"perdure runs resume bad --reset --store {cli.store}" in shown.stdout
    assert "in quarantine: bad" in cli("doctor").stdout
    refused = cli("runs", "resume", "bad")
    assert refused.code == 5
    assert "--reset" in refused.stderr

    Path("cured").touch()
    assert cli("runs", "resume", "bad", "--reset").code == 0
    cli.work()
    record = cli.record("bad")
    assert (record["status"], record["result"], record["alone_deaths"]) == ("succeeded", "alive", 0)


SLOW = """
import os, sys, time
from perdure import App, Run
time.sleep(1.5)  # heavy imports
app = App("memory://")

def die_among_others() -> str:
    if "perdure.cli.alone" not in sys.orig_argv:
        os._exit(9)
    return "alive"

@app.agent("shy")
async def shy(run: Run) -> str:
    return await run.step("die", die_among_others)
"""


@pytest.mark.soak
def test_an_app_that_takes_longer_to_import_than_a_lease_does_not_die_of_it(cli: Cli) -> None:
    Path("slow.py").write_text(SLOW)
    options = ("--store", cli.store, "--app", "slow.py:app")
    assert cli.finish(cli.start("run", "shy", "--no-wait", "--id", "r", *options, bare=True)).code == 0
    said = cli.finish(cli.start("worker", "--processes", "2", "--lease", "1s", "--once", *options, bare=True))
    assert said.code == 0, said
    record = cli.record("r")
    assert (record["status"], record["result"], record["alone_deaths"]) == ("succeeded", "alive", 0)


PICKY = """
import os, sys, time
from pathlib import Path
from perdure import App, Run
if "perdure.cli.alone" in sys.orig_argv and not Path("mended").exists():
    raise RuntimeError("no licence")
app = App("memory://")

def work() -> str:
    if "perdure.cli.alone" not in sys.orig_argv:
        os._exit(9)
    Path("alone").write_text(str(os.getpid()))
    until = time.monotonic() + 60
    while Path("hold").exists() and time.monotonic() < until:
        time.sleep(0.01)
    return "alive"

@app.agent("picky")
async def picky(run: Run) -> str:
    await run.step("work", work)
    return await run.step("more", lambda: "done")
"""


def picky(cli: Cli) -> tuple[str, ...]:
    """A run whose worker died of it twice: the next claim of it goes alone."""
    Path("picky.py").write_text(PICKY)
    options = ("--store", cli.store, "--app", "picky.py:app")
    assert cli.finish(cli.start("run", "picky", "--no-wait", "--id", "r", *options, bare=True)).code == 0
    for _ in range(2):
        assert cli.finish(cli.start("worker", "--lease", "1s", *options, bare=True)).code == 9
    return options


@pytest.mark.soak
def test_an_app_that_the_lone_process_cannot_import_is_no_death(cli: Cli, until: Until) -> None:
    options = picky(cli)
    worker = cli.start("worker", "--lease", "1s", *options, bare=True)
    until(lambda: cli.record("r")["status"] == "waiting", "it is set aside")
    worker.terminate()
    said = cli.finish(worker)

    record = cli.record("r")
    assert record["reasons"][0] == "not_importable"
    assert "cannot be imported by a process of its own" in record["reasons"][1]
    assert (record["alone_deaths"], record["unclean"]) == (0, 2)
    assert "run r is set aside: `" in said.stderr and "no licence" in said.stderr

    Path("mended").touch()
    assert cli("runs", "resume", "r").code == 0
    assert cli.finish(cli.start("worker", "--once", *options, bare=True)).code == 0
    assert cli.record("r")["result"] == "done"


@pytest.mark.soak
def test_a_worker_that_stops_tells_the_lone_process_to_drain(cli: Cli, until: Until) -> None:
    options = picky(cli)
    Path("mended").touch()
    Path("hold").touch()
    worker = cli.start("worker", "--lease", "1s", "--grace", "10m", *options, bare=True)
    until(lambda: Path("alone").exists(), "it goes alone")
    worker.terminate()
    until(lambda: "stopping: 1 run under way" in line_of(worker), "it stops")
    Path("hold").unlink()
    assert cli.finish(worker).code == 0

    record = cli.record("r")  # the step that had begun is finished, the next is left to others
    assert (record["status"], record["alone_deaths"]) == ("pending", 0)
    assert [s["step"] for s in record["steps"]] == ["work"]
    assert gone(int(Path("alone").read_text()))


def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stderr is not None
    return process.stderr.readline()


def test_alone_stops_when_the_worker_that_started_it_is_killed(cli: Cli, until: Until) -> None:
    cli.begin("holds", "r")
    arguments = [sys.executable, "-m", "perdure.cli.alone", f"{SCENE}:app", cli.store, "default", "r", "a-1"]
    starter = (
        f"import subprocess, time; print(subprocess.Popen({arguments!r}).pid, flush=True); time.sleep(60)"
    )
    with open("log", "w") as log:
        worker = subprocess.Popen(
            [sys.executable, "-c", starter], stdout=subprocess.PIPE, stderr=log, text=True
        )
    with worker:
        assert worker.stdout is not None
        alone = int(worker.stdout.readline())
        until(lambda: Path("begun").exists(), "the step began")
        worker.kill()
    until(lambda: "is gone" in Path("log").read_text(), "its death was seen")
    Path("go").touch()
    until(lambda: gone(alone), "the lone process left")
    record = cli.record("r")
    assert (record["status"], record["session"]) == ("pending", None)
    assert [s["step"] for s in record["steps"]] == ["held"]


def test_alone_takes_five_arguments(cli: Cli) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "perdure.cli.alone"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "TARGET STORE_URL TENANT RUN_ID SESSION" in done.stderr
