"""Alert rules and the Grafana dashboard name metrics that there are; the rules do what they say, where promtool is."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("prometheus_client", reason='no prometheus_client: `pip install "perdure[serve]"`')

import yaml

from perdure.journal import LogLag, Projected
from perdure.telemetry.metrics import Reading, exposed

DEPLOY = Path(__file__).parents[2] / "deploy"


def exposed_names() -> dict[str, set[str]]:
    """The families of a scrape of an empty store; of each the endings that a query may name."""
    reading = Reading(
        now=0, place=Projected(-1, 0, None), log_lag=LogLag(0, None), tallies=[], sessions=[], demands=[]
    )
    text = exposed(reading)[0].decode()
    endings = {"counter": {""}, "gauge": {""}, "histogram": {"_bucket", "_sum", "_count"}}
    return {
        name + ending: set()
        for name, kind in re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE)
        for ending in endings[kind]
    }


def expressions() -> list[str]:
    board: dict[str, Any] = json.loads((DEPLOY / "grafana" / "perdure.json").read_text())
    found = [target["expr"] for panel in board["panels"] for target in panel.get("targets", ())]
    rules = yaml.safe_load((DEPLOY / "prometheus" / "rules.yml").read_text())
    return [*found, *(rule["expr"] for group in rules["groups"] for rule in group["rules"])]


def test_each_metric_that_is_asked_for_is_told() -> None:
    told = exposed_names()
    asked = {name for expr in expressions() for name in re.findall(r"perdure_\w+", expr)}
    assert asked and asked <= told.keys(), f"nobody tells {sorted(asked - told.keys())}"


def test_each_metric_is_documented() -> None:
    page = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text()
    families = {re.sub(r"_(bucket|sum|count)$", "", name) for name in exposed_names()}
    missing = sorted(name for name in families if f"`{name}`" not in page)
    assert not missing, f"docs/metrics.md does not tell of {missing}"


def test_the_rules_do_what_they_say() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("no promtool: Debian's package `prometheus` brings it")
    for arguments in (["check", "rules", "rules.yml"], ["test", "rules", "rules_test.yml"]):
        done = subprocess.run(
            [promtool, *arguments],
            cwd=DEPLOY / "prometheus",
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, done.stdout + done.stderr
