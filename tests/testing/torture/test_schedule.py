"""Schedules are said as they are read."""

import pytest

from perdure import ConfigError
from perdure.testing import Boundary
from perdure.testing.torture import Hit, Schedule

ALL = (
    "kill before result pay; freeze after intent gather.1/price:2; store after entry #3; two workers; answers late; "
    "tool send_mail transient #2; tool two words hangs; model transient; model half_body #3"
)


def test_what_is_read_is_what_is_said() -> None:
    read = Schedule.parse(ALL)

    assert str(read) == ALL
    assert read.hits[0] == Hit("kill", Boundary("before", "result", "pay"))
    assert read.hits[5] == Hit("tool", name="send_mail", how="transient", nth=2)
    assert str(read.world) == ALL.partition("answers late; ")[2]


@pytest.mark.parametrize(
    ("text", "kind"),
    [("kill before entry #1", "kill"), ("kill before entry #1; kill after ended", "twice"),
     ("two workers; kill after ended", "worker"), ("tool a lost; kill after ended", "tool"), ("", "none")],
)  # fmt: skip
def test_what_a_schedule_counts_as(text: str, kind: str) -> None:
    assert Schedule.parse(text).kind == kind


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("kil before result pay", "`kil before result pay` is no fault of a schedule: write `kill before"),
        ("kill during result", "write `kill before result STEP`"),
        ("kill before entry #0", "`#1` is the first"),
        ("kill before breakfast", "`breakfast` is not a kind of entry: started, claimed"),
        ("tool pay explodes", "a tool fails as one of transient, permanent, hangs, lost"),
        ("tool transient", "is no fault"),
        ("model gpt transient", "is no fault"),
        ("answers never", "is no fault"),
    ],
)
def test_what_cannot_be_read_is_told(text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says.replace("(", r"\(")):
        Schedule.parse(f"two workers; {text}")


def test_a_step_of_a_wrapped_agent_is_named_without_the_digest_that_only_one_run_has() -> None:
    text = (
        "kill before result desk/turn:2.send.6ba93aa2/send; freeze after intent desk/1.tools.6ba93aa2:2/pay"
    )
    general = "kill before result desk/turn:2.send/send; freeze after intent desk/1.tools:2/pay"
    assert str(Schedule.parse(text)) == general
