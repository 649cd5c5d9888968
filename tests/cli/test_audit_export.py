"""`perdure audit export`: a bundle that an auditor can read and check offline, and that nothing in it can deceive."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
import shutil
import subprocess
import sys
import zipfile
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import apsw
import jsonschema
import pytest

from perdure import App, Run
from tests.approvals.desks import approve, opened
from tests.cli.conftest import Cli

EVIL = "<img src=x onerror=alert(1)><div hx-post='/approve' hx-trigger='load'>\u202egnp.exe p\u0430ypal</div>"


async def _worked(folder: Path) -> None:
    """One run that pays with an approval, and asks; one of another agent; one of another tenant."""
    app = App(f"sqlite:///{folder / 'test.db'}")

    @app.tool(effect="write", needs_approval=True)
    def pay(to: str, amount: int) -> str:
        return EVIL

    @app.agent("pays")
    async def pays(run: Run, to: str) -> str:
        said = await run.call(pay, to, 5)
        await run.ask(EVIL, show={"html": EVIL})
        return said

    @app.agent("rests")
    async def rests(run: Run) -> str:
        return await run.step("think", lambda: "nothing")

    async with app:
        for tenant, name in (("default", "p1"), ("other", "secret")):
            run = await app.start(pays, "Ada", run_id=name, by="user:ann", tenant=tenant)
            await approve(app, run, by="grace")
            await opened(app, run, "ask")
        run = await app.start(rests, run_id="r1")
        await run.result()


@pytest.fixture(scope="module")
def worked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("worked")
    asyncio.run(_worked(folder))
    return folder / "test.db"


@pytest.fixture
def desk(cli: Cli, worked: Path) -> Cli:
    shutil.copy(worked, cli.folder / "test.db")
    return cli


def exported(cli: Cli, *arguments: str) -> dict[str, Any]:
    answer = cli("audit", "export", *arguments, "--json")
    assert answer.code == 0, answer
    return answer.json


def verified(folder: Path) -> subprocess.CompletedProcess[str]:
    """By Python alone, in a process that knows nothing of Perdure."""
    return subprocess.run(
        [sys.executable, "-I", "-S", "verify.py"], cwd=folder, capture_output=True, text=True, check=False
    )


class Read(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.links += [
            str(value) for name, value in attrs if name == "href" and not str(value).startswith("#")
        ]


def test_a_bundle_holds_what_was_asked_for_and_nobody_elses(desk: Cli, tmp_path: Path) -> None:
    done = exported(desk, "--agent", "pays", "--out", "bundle")
    folder = tmp_path / "bundle"
    assert (done["runs"], done["broken"], done["bundle"]) == (1, [], str(folder))
    manifest = json.loads((folder / "manifest.json").read_text())
    assert [run["run"] for run in manifest["runs"]] == ["p1"]
    everything = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    assert everything - {"manifest.json"} == set(manifest["files"])
    assert not any("secret" in p.read_text() for p in folder.rglob("*") if p.is_file() and p.suffix != ".py")
    assert folder.stat().st_mode & 0o077 == 0
    (call,) = [json.loads(line) for line in (folder / "calls.jsonl").read_text().splitlines()]
    assert (call["tool"], call["outcome"], call["approved_by"]) == ("pay", "ok", ["grace"])
    approval, question = [json.loads(line) for line in (folder / "approvals.jsonl").read_text().splitlines()]
    assert approval["shown"]["arguments"] == {"to": "Ada", "amount": 5}
    assert (approval["digest_fits"], question["decision"], question["digest_fits"]) == (True, "open", True)
    said = verified(folder)
    assert said.returncode == 0, said
    assert said.stdout.startswith("as it was: 1 runs, ") and done["manifest_sha256"] in said.stdout


def test_each_line_of_each_file_is_of_the_form_that_the_schema_tells(desk: Cli, tmp_path: Path) -> None:
    assert desk("audit", "init").code == 0
    exported(desk, "--all", "--out", "bundle")
    folder = tmp_path / "bundle"
    schema = json.loads((folder / "schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)

    def check(form: str, lines: list[str]) -> None:
        validator = jsonschema.Draft202012Validator({"$ref": f"#/$defs/{form}", "$defs": schema["$defs"]})
        assert lines
        for line in lines:
            validator.validate(json.loads(line))

    check("manifest", [(folder / "manifest.json").read_text()])
    for name, form in (("calls", "call"), ("approvals", "approval"), ("in-force", "in_force")):
        check(form, (folder / f"{name}.jsonl").read_text().splitlines())
    for run in json.loads((folder / "manifest.json").read_text())["runs"]:
        check("proof", [(folder / run["proof"]).read_text()])
        check("entry", (folder / run["journal"]).read_text().splitlines())
        check("fact", (folder / f"facts/{run['run']}.jsonl").read_text().splitlines())


def test_what_was_changed_in_it_is_found_without_perdure(desk: Cli, tmp_path: Path) -> None:
    def tried(change: Any) -> str:
        target = tmp_path / "bundle.zip"
        exported(desk, "--all", "--out", "bundle.zip")
        folder = tmp_path / "unpacked"
        with zipfile.ZipFile(target) as archive:
            archive.extractall(folder)
        change(folder)
        said = verified(folder)
        assert said.returncode == 1, said
        target.unlink()
        shutil.rmtree(folder)
        return said.stdout

    def edit(name: str, before: str, after: str) -> Any:
        def change(folder: Path) -> None:
            text = (folder / name).read_text()
            assert before in text
            (folder / name).write_text(text.replace(before, after, 1))

        return change

    journal = "runs/default/p1.jsonl"
    assert "is not what was written" in tried(edit(journal, '"at": 1', '"at": 2'))
    assert "it is not the file that was put here" in tried(edit("index.html", "grace", "heidi"))
    assert "is missing" in tried(lambda folder: (folder / "calls.jsonl").unlink())
    assert "does not name it" in tried(lambda folder: (folder / "more.txt").write_text("x"))
    assert "has another digest" in tried(edit("approvals.jsonl", '"amount": 5', '"amount": 6'))

    def cut(folder: Path) -> None:
        lines = (folder / journal).read_text().splitlines(keepends=True)
        (folder / journal).write_text("".join(lines[:-1]))

    assert "it was cut, or is another" in tried(cut)


def test_nothing_that_was_written_can_act_or_deceive_on_a_page(desk: Cli, tmp_path: Path) -> None:
    exported(desk, "--all", "--out", "bundle")
    pages = sorted((tmp_path / "bundle").rglob("*.html"))
    assert len(pages) == 3
    for page in pages:
        text = page.read_text()
        read = Read()
        read.feed(text)
        assert not read.tags & {"script", "img", "iframe", "object", "form", "link", "base"}
        assert not any(name.startswith(("on", "hx-", "style", "src")) for name in read.attributes)
        assert "\u202e" not in text and "\u0430" not in text
        for link in read.links:
            assert (page.parent / link.partition("#")[0]).is_file(), link
    run = (tmp_path / "bundle/pages/p1/index.html").read_text()
    assert "&lt;img src=x onerror=alert(1)&gt;" in run
    assert "\\u202egnp.exe p\\u0430ypal" in run and 'class="odd"' in run
    index = (tmp_path / "bundle/index.html").read_text()
    assert "What was shown for a question has hidden characters" in index
    assert "grace" in index and "recomputed: it is the digest of what is shown here" in index


def test_the_policy_of_a_page_lets_its_own_style_pass_and_nothing_else(desk: Cli, tmp_path: Path) -> None:
    exported(desk, "--run", "r1", "--out", "bundle")
    page = (tmp_path / "bundle/index.html").read_text()
    (style,) = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    assert policy in page.replace("&#39;", "'")


def test_what_was_pruned_is_shown_as_erased_and_still_holds(desk: Cli, tmp_path: Path) -> None:
    assert desk("runs", "prune", "r1", "--yes").code == 0
    done = exported(desk, "--run", "r1", "--out", "bundle")
    assert done["broken"] == []
    page = (tmp_path / "bundle/pages/r1/index.html").read_text()
    assert "erased" in page and "nothing" not in page.partition("<main")[2].partition("audit log")[0]
    assert verified(tmp_path / "bundle").returncode == 0


@pytest.mark.parametrize("form", ["cast({} as blob)", "{}"])
def test_a_chain_that_does_not_hold_is_told_everywhere(desk: Cli, tmp_path: Path, form: str) -> None:
    connection = apsw.Connection(str(tmp_path / "test.db"))
    changed = form.format("replace(payload, 'Ada', 'Eve')")
    connection.execute(f"update entries set payload = {changed} where kind = 5")
    connection.close()
    answer = desk("audit", "export", "--person", "grace", "--out", "bundle", "--json")
    assert answer.code == 1
    assert answer.json["broken"] == ["p1"]
    assert "the chain does NOT hold" in (tmp_path / "bundle/pages/p1/index.html").read_text()
    assert "1</b>chains do NOT hold" in (tmp_path / "bundle/index.html").read_text()
    assert verified(tmp_path / "bundle").returncode == 1


@pytest.mark.soak
def test_where_it_goes_and_of_what(desk: Cli, tmp_path: Path) -> None:
    assert "say of what" in desk("audit", "export").stderr
    assert desk("audit", "export", "--run", "nope").code == 4
    assert desk("audit", "export", "--run", "secret").code == 4
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "x").touch()
    assert "is there already" in desk("audit", "export", "--all", "--out", "there").stderr
    assert "there is no folder" in desk("audit", "export", "--all", "--out", "no/where").stderr
    assert exported(desk, "--person", "user:nobody", "--out", "none")["runs"] == 0
    said = desk("audit", "export", "--from", "1h")
    assert said.code == 0 and "index.html" in said.stderr
    assert [p for p in tmp_path.iterdir() if p.name.startswith("audit-default-")]


def test_with_an_audit_log_each_run_is_proven_and_one_command_verifies_it(desk: Cli, tmp_path: Path) -> None:
    key = desk("audit", "init", "--origin", "example.com/audit", "--json").json["key"]
    (tmp_path / "held").write_text(desk("audit", "checkpoint").stdout)
    desk.begin("order", "later", "--input", '{"item":"tea"}')
    done = exported(desk, "--all", "--checkpoint", "held", "--out", "bundle")
    folder = tmp_path / "bundle"
    manifest = json.loads((folder / "manifest.json").read_text())
    assert len(manifest["runs"]) == done["runs"] == 3
    assert all((folder / run["proof"]).is_file() for run in manifest["runs"])
    assert verified(folder).stdout.startswith("as it was: 3 runs, ")
    assert ", 3 in the tree of the checkpoint" in verified(folder).stdout
    verify = ["audit", "verify", "--export", "bundle", "--key", key, "--checkpoint", "held", "--json"]
    found = desk(*verify, bare=True)
    assert found.code == 0, found
    assert (found.json["sound"], found.json["runs"], found.json["held"]) == (True, 3, 1)
    assert "3</b>proven by the checkpoint" in (folder / "index.html").read_text()

    # a proof of another tree
    proof = folder / "proofs/default/p1.json"
    told = json.loads(proof.read_text())
    proof.write_text(json.dumps({**told, "since": told["since"] + 1}))
    assert "is not in the tree that the checkpoint names" in verified(folder).stdout
    assert desk(*verify, bare=True).code == 1


def test_a_checkpoint_of_another_log_is_refused(desk: Cli, tmp_path: Path) -> None:
    assert desk("audit", "init", "--origin", "example.com/audit").code == 0
    held = desk("audit", "checkpoint").stdout
    lines = held.splitlines()
    lines[1] = "1000"
    (tmp_path / "held").write_text("\n".join(lines) + "\n")
    refused = desk("audit", "export", "--all", "--checkpoint", "held", "--out", "bundle")
    assert refused.code == 2
    assert "is of 1000 heads, and this log has signed" in refused.stderr
    assert not (tmp_path / "bundle").exists()
