"""`perdure policy apply|shadow|history`: policies are changed, signed, tried beside, and it is told who did what."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("cedarpy", reason='no Cedar: `pip install "perdure[policy]"`')
pytest.importorskip("joserfc", reason='no keys: `pip install "perdure[identity]"`')

from perdure.identity.approver_file import SigningKey

from .conftest import Cli
from .test_policy import POLICIES, Project

STRICTER = POLICIES.replace("5000", "50")


@pytest.fixture
def project(cli: Cli) -> Project:
    return Project(cli)


def key_of(folder: Path, user: str) -> tuple[SigningKey, str]:
    key = SigningKey.new(user)
    key.write(folder / f"{user.removeprefix('user:')}.key", "correct horse", hard=4)
    return key, str(folder / f"{user.removeprefix('user:')}.key")


def test_policies_are_changed_under_a_signature_and_the_history_tells_it(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PERDURE_APPROVER_PASSPHRASE", "correct horse")
    folder = project.cli.folder
    (eve, hers), (bob, his) = (key_of(folder, name) for name in ("user:eve", "user:bob"))
    with (folder / "perdure.toml").open("a") as settings:
        settings.write(f'[policies]\neditors = ["eve"]\n[approvals.keys]\neve = "{eve.public.key}"\n')
        settings.write(f'bob = "{bob.public.key}"\n')
    project.write(POLICIES)
    stricter = str(project.write(STRICTER, folder="stricter"))
    broken = str(project.write("permit", folder="broken"))
    assert project("run", "desk", "--input", "100").code == 0
    assert project("policy", "history").json == []

    assert project("policy", "apply", broken, "--reason", "x", "--sign-with", hers).code == 2
    assert (
        "changes no policies here"
        in project("policy", "apply", stricter, "--reason", "x", "--sign-with", his).stdout
    )
    assert (
        "signs with one of their own"
        in project("policy", "apply", stricter, "--reason", "x", "--sign-with", hers, "--by", "bob").stdout
    )
    assert project("policy", "history").json == [], "nothing of that was a change"

    made: Any = project("policy", "apply", stricter, "--reason", "the audit", "--sign-with", hers).json
    assert (made["change"], made["by"], made["signed"]) == (1, "user:eve", True)
    told = project("policy", "history")
    assert told.code == 0
    assert [(c["reason"], c["problem"]) for c in told.json] == [("the audit", None)]
    assert "the audit" in project("policy", "history", as_json=False).stdout

    settings_text = (folder / "perdure.toml").read_text().replace(eve.public.key, key_of_other())
    (folder / "perdure.toml").write_text(settings_text)
    answer = project("policy", "history")
    assert (answer.code, "no approver has the key" in answer.json[0]["problem"]) == (1, True)


def key_of_other() -> str:
    return SigningKey.new("user:eve").public.key


def test_a_candidate_runs_beside_and_its_differences_are_listed(project: Project) -> None:
    project.write(POLICIES)
    candidate = str(project.write(STRICTER, folder="candidate"))
    assert project("run", "desk", "--input", "20").code == 0
    assert project("policy", "shadow").json == []
    assert project("policy", "shadow", candidate, "--stop").code == 2
    assert "say why" in project("policy", "shadow", candidate).stdout
    begun: Any = project("policy", "shadow", candidate, "--reason", "try").json
    for cents in ("20", "100", "200"):
        assert project("run", "desk", "--input", cents).code == 0, "it decides nothing"

    answer = project("policy", "shadow")
    (found,) = answer.json
    assert answer.code == 1
    assert (found["tool"], found["before"], found["after"], found["policies"], found["calls"]) == (
        "pay", "allow", "needs_approval", ["limit"], 2,
    )  # fmt: skip
    assert [e["why"] for e in found["examples"]] == ["more than 50 is approved"] * 2
    assert found["version"] == begun["after"]
    assert "pay: allow → needs_approval  by limit" in project("policy", "shadow", as_json=False).stdout
    assert project("policy", "shadow", "--agent", "nobody").json == []
    assert project("policy", "shadow", "--of", "0000").json == []
    assert len(project("policy", "shadow", "--since", "1h").json) == 1

    assert project("policy", "shadow", "--stop", "--reason", "seen enough").json["after"] is None
    assert [(c["of"], c["after"] is None) for c in project("policy", "history").json] == [
        ("shadow", False),
        ("shadow", True),
    ]
