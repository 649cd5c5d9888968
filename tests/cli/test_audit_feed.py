"""`perdure audit feed`: events for a SIEM, to stdout or to a file, that a death neither loses nor renames."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.audit.ocsf import faults
from tests.cli.conftest import Cli

ORDER = ["--input", '{"item": "green tea"}']


def events(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []


def ids(found: list[dict[str, Any]]) -> list[str]:
    return [event["metadata"]["uid"] for event in found]


def test_events_are_valid_and_hold_no_contents_unless_asked(cli: Cli) -> None:
    cli.begin("order", "o", *ORDER)
    cli.work()
    found = cli("audit", "feed").lines
    assert [fault for event in found for fault in faults(event)] == []
    assert [event["activity_name"] for event in found if event["class_uid"] == 6002] == [
        "Start",
        "Restart",
        "Stop",
    ]
    assert "green tea" not in json.dumps(found) and "it is near" not in json.dumps(found)
    whole = cli("audit", "feed", "--with-arguments").lines
    assert "green tea" in json.dumps(whole) and "it is near" in json.dumps(whole)
    assert ids(whole) == ids(found)
    assert cli("audit", "feed", "--json").lines == found
    assert cli("audit", "feed", "--tenant", "other").stdout == ""
    assert cli("audit", "feed", "--tenant", "other", "--all-tenants").lines == found


def test_it_goes_on_behind_any_event_and_behind_the_cursor_that_was_kept(cli: Cli, tmp_path: Path) -> None:
    cli.begin("order", "o", *ORDER)
    cli.work()
    found = cli("audit", "feed", "--out", "siem.jsonl")
    assert found.code == 0 and "up to cursor" in found.stderr
    first = events(tmp_path / "siem.jsonl")
    assert (tmp_path / "siem.jsonl").stat().st_mode & 0o077 == 0
    assert cli("audit", "feed", "--out", "siem.jsonl").code == 0
    assert events(tmp_path / "siem.jsonl") == first
    cli.begin("order", "p", *ORDER)
    assert cli("audit", "feed", "--out", "siem.jsonl").code == 0
    more = events(tmp_path / "siem.jsonl")
    assert ids(more) == [*ids(first), "default/p/1"]
    assert ids(cli("audit", "feed", "--since", first[-1]["unmapped"]["cursor"]).lines) == ["default/p/1"]
    assert ids(cli("audit", "feed", "--since", "0").lines) == ids(more)
    assert cli("audit", "feed", "--cursor", "mine").lines == more
    assert cli("audit", "feed", "--cursor", "mine").stdout == ""


def test_what_is_no_cursor_or_not_of_this_store_is_refused(cli: Cli, tmp_path: Path) -> None:
    cli.begin("order", "o", *ORDER)
    assert "is none of this feed" in cli("audit", "feed", "--since", "yesterday").stderr
    strange = cli("audit", "feed", "--since", "1.0123456789abcdef")
    assert strange.code == 2 and "is not of this store's log" in strange.stderr
    (tmp_path / "mine").write_text("nonsense")
    assert "`mine` holds no cursor" in cli("audit", "feed", "--cursor", "mine").stderr


def test_it_follows_survives_a_kill_and_loses_nothing(
    cli: Cli, tmp_path: Path, until: Callable[..., None]
) -> None:
    out = tmp_path / "siem.jsonl"
    following = ["audit", "feed", "--follow", "--out", "siem.jsonl"]
    cli.begin("order", "a", *ORDER)
    one = cli.start(*following)
    until(lambda: ids(events(out)) == ["default/a/1"], "the first event")
    cli.begin("order", "b", *ORDER)
    until(lambda: "default/b/1" in ids(events(out)), "what came while it followed")
    one.kill()
    one.wait()
    cli.begin("order", "c", *ORDER)
    cli.work()
    out.rename(tmp_path / "siem.jsonl.1")  # by whoever rotates logs
    two = cli.start(*following)
    until(lambda: "default/c/1" in ids(events(out)), "what came while it was dead")
    until(lambda: len(cli("audit", "feed").lines) == len({*ids(events(out)), "default/a/1", "default/b/1"}))
    two.send_signal(signal.SIGTERM)
    done = cli.finish(two)
    assert done.code == 0, done
    sent = ids(events(tmp_path / "siem.jsonl.1")) + ids(events(out))
    assert set(sent) == set(ids(cli("audit", "feed").lines))
