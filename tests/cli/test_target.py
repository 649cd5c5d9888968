"""Targets that name no app, and what is said of them."""

import sys
from pathlib import Path

import pytest

from perdure import App, ConfigError
from perdure.cli.target import load_app

APP = "from perdure import App\n{0} = App('memory://')\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "modules", sys.modules.copy())
    monkeypatch.setenv("PYTHONPATH", "")
    return tmp_path


def test_a_file_is_a_module_under_its_stem(folder: Path) -> None:
    (folder / "neighbour_of_t1.py").write_text("value = 1")
    (folder / "t1.py").write_text(
        APP.format("desk") + "from neighbour_of_t1 import value\nclass Oops(Exception): pass\n"
        "if __name__ == '__main__': raise SystemExit('it was run')\n"
    )
    app = load_app("t1.py:desk")
    assert isinstance(app, App)
    assert app.target == f"{folder / 't1.py'}:desk"
    assert sys.modules["t1"].Oops.__module__ == "t1"
    assert load_app(str(folder / "t1.py")) is app


def test_a_module_is_found_in_the_current_folder(folder: Path) -> None:
    (folder / "shop_t2").mkdir()
    (folder / "shop_t2" / "__init__.py").write_text("")
    (folder / "shop_t2" / "desk_t2.py").write_text("from . import other\n" + APP.format("app"))
    (folder / "shop_t2" / "other.py").write_text("")
    assert load_app("shop_t2.desk_t2:app").target == "shop_t2.desk_t2:app"
    with pytest.raises(ConfigError, match="it belongs to a package"):
        load_app("shop_t2/desk_t2.py:app")


@pytest.mark.parametrize(
    ("source", "target", "message"),
    [
        ("", "nope.py:app", "there is no file"),
        ("", "t3.py:app", "has no attribute `app`"),
        ("", "t3.py", "has no `perdure.App`; name one as"),
        ("app = 3", "t3.py:app", "holds a `int`, not a `perdure.App`, as `app`"),
        (APP.format("desk"), "t3.py:app", "has no attribute `app`; it has `t3.py:desk`"),
        (APP.format("a") + APP.format("b"), "t3.py", r"has several apps \(a, b\)"),
        ("x = (", "t3.py:app", "cannot be imported: SyntaxError"),
        ("\n1 / 0", "t3.py:app", r"ZeroDivisionError: division by zero \(.*t3.py:2\)"),
        ("import no_such_thing", "t3.py:app", "No module named 'no_such_thing'"),
        ("raise SystemExit(3)", "t3.py:app", "SystemExit: 3"),
        ("", "no_such_module:app", "ModuleNotFoundError: No module named 'no_such_module'"),
        (APP.format("app") + "@app.agent('a')\ndef a(run): ...", "t3.py:app", "must be an `async def`"),
    ],
)
def test_what_is_wrong_with_a_target(source: str, target: str, message: str, folder: Path) -> None:
    (folder / "t3.py").write_text(source)
    with pytest.raises(ConfigError, match=message):
        load_app(target)
    assert "t3" not in sys.modules or "cannot" not in message


def test_a_file_must_not_take_the_name_of_a_module(folder: Path) -> None:
    (folder / "json.py").write_text(APP.format("app"))
    with pytest.raises(ConfigError, match="would be the module `json`"):
        load_app("json.py:app")


def test_a_file_that_failed_can_be_mended_and_loaded_again(folder: Path) -> None:
    (folder / "t4.py").write_text("1 / 0")
    with pytest.raises(ConfigError):
        load_app("t4.py")
    (folder / "t4.py").write_text(APP.format("app"))
    assert load_app("t4.py").target == f"{folder / 't4.py'}:app"
