"""`perdure torture`, in this process, on agents that are in the file beside."""

import shlex
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Cli

SCENE = Path(__file__).with_name("torture_scene.py")

SCENARIO = """
agent = "careless"
input = "tea"
setup = "torture_scene:charged.clear"
observe = "torture_scene:charged.copy"
faults = ["kill"]

[[answers]]
step = "ask"
by = "ann"
"""


@pytest.fixture
def scenario(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> Path:
    sys.modules.pop("torture_scene", None)
    file = cli.folder / "scenario.toml"
    file.write_text(SCENARIO)
    return file


def test_a_violation_is_told_with_the_command_that_replays_it(cli: Cli, scenario: Path) -> None:
    answer = cli("torture", f"{SCENE}:app", "--scenario", str(scenario), bare=True)

    assert answer.code == 1, answer
    assert "violated: what was seen outside is the same" in answer.stdout
    assert "kill before result charge" in answer.stdout
    assert "with violations" in answer.stdout
    command = next(line for line in answer.stdout.splitlines() if line.startswith("  perdure torture"))
    again = cli(*shlex.split(command)[1:], "--json", bare=True)
    assert again.code == 1, again
    assert again.json["schedules"] == 2
    assert again.json["smallest"][0]["schedule"] == "kill before result charge"
    assert again.json["smallest"][0]["replay"] == command.strip()


def test_what_holds_exits_with_0(cli: Cli, scenario: Path) -> None:
    scenario.write_text('signals = [{name = "note", value = "now"}]')

    answer = cli(
        "torture", f"{SCENE}:app", "--scenario", str(scenario), "--agent", "careful", "--input", '"tea"',
        "--faults", "answer,worker", "--json", bare=True,
    )  # fmt: skip

    assert answer.code == 0, answer
    assert answer.json["ok"]
    assert [kind["kind"] for kind in answer.json["kinds"]] == ["none", "worker", "answer"]


def test_questions_are_approved_on_demand_on_a_real_store(cli: Cli, scenario: Path) -> None:
    answer = cli(
        "torture", f"{SCENE}:app", "--agent", "careless", "--input", '"tea"', "--yes", "--schedule",
        "kill after message; answers late", "--store", cli.store, bare=True,
    )  # fmt: skip

    assert answer.code == 0, answer
    assert "2 schedules" in answer.stdout


def test_a_client_that_is_made_at_the_import_asks_the_script_and_not_its_provider(
    cli: Cli, scenario: Path
) -> None:
    agent = cli.folder / "early.py"
    agent.write_text(
        "import os\nimport anthropic\nfrom perdure import App, Run\n"
        'where = os.environ["ANTHROPIC_BASE_URL"]\n'  # as a client at the top of a module looks for it
        'app = App("memory://")\n\n'
        '@app.agent("early")\nasync def early(run: Run) -> str:\n'
        "    async with anthropic.AsyncAnthropic(base_url=where, max_retries=0) as client:\n"
        '        said = await run.wrap(client).messages.create(model="m", max_tokens=9, messages='
        '[{"role": "user", "content": "hello"}])\n'
        "        return said.content[0].text\n"
    )
    (cli.folder / "answers.toml").write_text('[[rules]]\nreply = "hello to you"')
    scenario.write_text('model = "answers.toml"')

    answer = cli(
        "torture", f"{agent}:app", "--scenario", str(scenario), "--schedule", "kill after result", "--json",
        bare=True,
    )  # fmt: skip

    assert answer.code == 0, answer
    assert answer.json["alone"] is None


def test_a_run_that_fails_when_it_is_left_alone_is_no_quiet_success(cli: Cli) -> None:
    agent = cli.folder / "broken.py"
    agent.write_text(
        'from perdure import App, Run\napp = App("memory://")\n\n@app.agent("broken")\n'
        'async def broken(run: Run) -> None:\n    raise KeyError("no such lamp")\n'
    )

    answer = cli("torture", f"{agent}:app", "--faults", "kill", bare=True)

    assert answer.code == 0, answer
    assert "left alone, the run ended `failed`" in answer.stdout
    assert "no such lamp" in answer.stdout
    assert "nothing beyond that was tried" in answer.stdout


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--random", "3", "--schedule", "two workers"], "give one of `--every-boundary`, `--random` and"),
        (["--agent", "careless", "--faults", "kil"], "`kil` is no kind of fault: kill, freeze"),
        (["--agent", "careless", "--schedule", "kill"], "`kill` is no fault of a schedule"),
        (["--scenario", "none.toml"], "the scenario `none.toml` cannot be read"),
        ([], "the app has 2 agents (careful, careless): name the one that is meant"),
    ],
)
def test_what_cannot_be_done_is_told(cli: Cli, options: list[str], says: str) -> None:
    answer = cli("torture", f"{SCENE}:app", *options, bare=True)
    assert answer.code == 2, answer
    assert says in answer.stderr


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("agent = ", "is not TOML"),
        ("agnet = 'a'", "agnet"),
        (
            "agent = 'careless'\nobserve = 'nowhere:at_all'",
            "`observe = 'nowhere:at_all'` of the scenario cannot be",
        ),
        ("agent = 'careless'\nequal = 'nowhere'", "is not of the form `module:function`"),
        ("agent = 'careless'\nfaults = ['rain']", "faults"),
    ],
)
def test_what_is_wrong_with_a_scenario_is_told(cli: Cli, scenario: Path, text: str, says: str) -> None:
    scenario.write_text(text)
    answer = cli("torture", f"{SCENE}:app", "--scenario", str(scenario), bare=True)
    assert answer.code == 2, answer
    assert says in answer.stderr
