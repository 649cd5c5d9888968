"""`perdure policy`: policies are begun, read, checked, explained, tested, compared, and tried on what has happened."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from perdure.core.ids import new_id

from .conftest import Answer, Cli

pytest.importorskip("cedarpy", reason='no Cedar: `pip install "perdure[policy]"`')

APP = '''
from perdure import App, Run

app = App()

@app.tool(effect="write", zone="money")
def pay(to: str, cents: int) -> str:
    """Pay."""
    return f"paid {cents} to {to}"

@app.agent()
async def desk(run: Run, cents: int) -> str:
    return await run.call(pay, "Ada", cents)
'''
POLICIES = """
@id("all") permit (principal, action, resource);

@id("limit") @gate("human") @role("finance") @reason("more than 50 is approved")
forbid (principal, action == Action::"pay", resource) when { context.args.cents > 5000 }
unless { context.approvals.contains("finance") };
"""
CASES = """
- { name: small, agent: desk, tool: pay, arguments: { to: Ada, cents: 100 }, expect: allow }
- { name: large, agent: desk, tool: pay, arguments: { to: Ada, cents: 9000 }, expect: needs_approval, by: [limit] }
"""


class Project:
    def __init__(self, cli: Cli) -> None:
        self.cli = cli
        name = f"desk_{new_id()}"  # a process takes one module of a name
        (cli.folder / f"{name}.py").write_text(APP)
        (cli.folder / "perdure.toml").write_text(f'app = "{name}.py:app"\n')
        self.folder = cli.folder / "policies"

    def write(self, text: str, folder: str = "policies", name: str = "base.cedar") -> Path:
        path = self.cli.folder / folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return path.parent

    def __call__(self, *arguments: str, as_json: bool = True) -> Answer:
        where = ("--config", str(self.cli.folder / "perdure.toml"), "--store", self.cli.store)
        return self.cli(*where, *arguments, *(["--json"] if as_json else []), bare=True, columns="200")


@pytest.fixture
def project(cli: Cli) -> Project:
    return Project(cli)


def test_a_folder_is_begun_with_what_comes_along_and_loads(project: Project) -> None:
    assert project("policy", "check").code == 2
    assert "begins a folder" in project("policy", "check").stdout
    made = project("policy", "init", "bounded-spend").json
    assert made["made"] == [str(project.folder / "bounded-spend.cedar")]
    assert project("policy", "init", "bounded-spend").code == 2, "what is there stays"
    told = project("policy", "check").json
    assert told["layers"] == {"organisation": 4}
    assert "4 of the organisation" in project("policy", "check", as_json=False).stdout


def test_every_pack_loads_and_says_what_it_is_for(project: Project) -> None:
    packs = project("policy", "packs").json
    assert len(packs) >= 6
    for pack in packs:
        assert pack["about"], pack
        project("policy", "init", pack["name"], "--into", str(project.cli.folder / pack["name"]))
        assert project("policy", "check", str(project.cli.folder / pack["name"])).code == 0, pack
    assert "bounded-spend" in project("policy", "packs", as_json=False).stdout


def test_what_is_wrong_is_told_with_its_place(project: Project) -> None:
    project.write('@id("x")\npermit (principal, action == Action::"pax", resource);')
    answer = project("policy", "check")
    assert answer.code == 2
    assert "base.cedar:2:30: unrecognized action" in answer.stdout


def test_policies_are_listed_with_their_gates_and_places(project: Project) -> None:
    project.write(POLICIES)
    everything, limit = project("policy", "ls").json
    assert (everything["effect"], everything["role"]) == ("permit", None)
    assert (limit["role"], limit["quorum"], limit["reason"]) == ("finance", 1, "more than 50 is approved")
    assert limit["place"].endswith("base.cedar:4:1")
    assert "1 × finance" in project("policy", "ls", as_json=False).stdout


def test_a_verdict_is_explained(project: Project) -> None:
    project.write(POLICIES)
    large = ("policy", "explain", "desk", "pay", "--arg", "to=Ada", "--arg", "cents=9000")
    asked = project(*large)
    assert (asked.code, asked.json["decision"], asked.json["policies"]) == (1, "needs_approval", ["limit"])
    assert asked.json["places"]["limit"].endswith("base.cedar:4:1")
    people = project(*large, as_json=False).stdout
    assert "needs approval: more than 50 is approved" in people and "asks 1 of `finance`" in people
    allowed = project(*large, "--approved", "finance")
    assert (allowed.code, allowed.json["decision"]) == (0, "allow")
    assert project("policy", "explain", "nobody", "pay").code == 4
    assert "`args.cents` is missing" in project("policy", "explain", "desk", "pay", "--arg", "to=Ada").stdout


def test_cases_beside_the_policies_are_run(project: Project) -> None:
    project.write(POLICIES)
    assert project("policy", "test").code == 1, "no case is no success"
    project.write(CASES, name="base.test.yaml")
    assert project("policy", "test").json == {"ok": True, "passed": 2, "failed": []}
    project.write(CASES.replace("expect: allow", "expect: deny"), name="base.test.yaml")
    answer = project("policy", "test")
    assert answer.code == 1
    (failed,) = answer.json["failed"]
    assert (failed["case"], failed["expected"], failed["decision"]) == ("small", "deny", "allow")
    assert "1 of 2 cases hold" in project("policy", "test", as_json=False).stdout
    project.write("- { name: x, tool: pay }", name="base.test.yaml")
    assert "case `0.agent`" in project("policy", "test").stdout
    project.write("- [", name="base.test.yaml")
    assert "cannot be read" in project("policy", "test").stdout


def test_a_candidate_is_compared_and_tried_on_what_has_happened(project: Project) -> None:
    before = project.write(POLICIES)
    candidate = project.write(POLICIES.replace("5000", "50"), folder="candidate")
    for cents in (20, 100, 200):
        assert project("run", "desk", "--input", str(cents)).code == 0

    (difference,) = project("policy", "diff", str(before), str(candidate)).json
    assert (difference["id"], difference["what"]) == ("limit", "changed")
    assert "+forbid" in project("policy", "diff", str(before), str(candidate), as_json=False).stdout
    assert project("policy", "diff", str(before), str(before)).code == 0

    assert project("policy", "backtest", str(before)).json["same"]
    answer = project("policy", "backtest", str(candidate))
    told: Any = answer.json
    assert (answer.code, told["judged"], told["same"]) == (1, 3, False)
    changes = {(c["before"], c["after"]): c["calls"] for c in told["changes"]}
    assert changes == {("allow", "allow"): 1, ("allow", "needs_approval"): 2}
    (change,) = [c for c in told["changes"] if c["before"] != c["after"]]
    assert {json.dumps(e["policies"]) for e in change["examples"]} == {'["limit"]'}
    assert "2 allow → needs_approval" in project("policy", "backtest", str(candidate), as_json=False).stdout
