"""The page that says which faults have a test is held to it."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "failure-tests.md").read_text(encoding="utf-8")
TABLES, CLAIMS = PAGE.split("## Which rows have a test")
LINE = re.compile(r"^\| ([FS]\d+) \|(.*)$", re.MULTILINE)
ROWS = {row for row, _ in LINE.findall(TABLES)}


def test_the_tables_are_read() -> None:
    assert {"F1", "F21", "S1", "S38"} <= ROWS


def test_a_row_that_claims_a_test_has_it() -> None:
    for row, cells in LINE.findall(CLAIMS):
        tests = re.findall(r"`(tests/[\w/.]+\.py)(?:::(\w+))?`", cells)
        assert row in ROWS
        assert tests, f"{row} names no test, in the form `tests/FILE.py` or `tests/FILE.py::test_name`"
        for file, name in tests:
            assert (ROOT / file).is_file(), f"{row} names {file}, which does not exist"
            source = (ROOT / file).read_text(encoding="utf-8")
            assert not name or re.search(rf"def {name}\b", source), f"{row}: no {name} in {file}"
