"""Finding the application: `module:attribute`, or `path.py:attribute`.

A file is imported under its own stem as the module's name, whoever imports it: errors are recorded as
`module:Qualname`, and a replay in another process must find the same type under the same name.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from ..app import App
from ..core.errors import ConfigError, PerdureError

__all__ = ["DEFAULT_TARGETS", "default_target", "load_app", "load_object", "split_target"]

DEFAULT_TARGETS = ("agents.py:app", "app.py:app")
"""Looked for in the current folder where nothing else is named."""


def default_target(folder: Path) -> str | None:
    """The first of `DEFAULT_TARGETS` whose file is there."""
    return next((t for t in DEFAULT_TARGETS if (folder / split_target(t)[0]).is_file()), None)


def split_target(target: str) -> tuple[str, str | None]:
    """Module or file, and the attribute, if one is named."""
    place, _, attribute = target.rpartition(":") if ":" in target else (target, "", "")
    return place, attribute or None


def is_file(place: str) -> bool:
    """Whether the first part of a target names a file, and not a module."""
    return place.endswith(".py") or os.sep in place


def load_app(target: str, *, folder: Path | None = None) -> App:
    """Import the app that `target` names; relative to `folder` (default: the current one).

    Raises `ConfigError` that says what is wrong and where.
    """
    base = (folder or Path.cwd()).resolve()
    place, attribute = split_target(target)
    if is_file(place):
        path = (base / place).resolve()
        module = _import_file(path)
        stable = str(path)
    else:
        _let_import_from(base)
        os.environ["PYTHONPATH"] = os.pathsep.join([str(base), *_python_path(without=str(base))])
        module = _import(place, lambda: importlib.import_module(place))
        stable = place
    name, app = _find(module, place, attribute)
    app.target = f"{stable}:{name}"
    return app


def load_object(target: str, *, folder: Path) -> Any:
    """Import what `target` names, whatever it is. Raises `ConfigError`."""
    place, attribute = split_target(target)
    if attribute is None:
        raise ConfigError(f"`{target}` names no attribute: write `path.py:attribute` or `module:attribute`")
    if is_file(place):
        module = _import_file((folder / place).resolve())
    else:
        _let_import_from(folder)
        module = _import(place, lambda: importlib.import_module(place))
    try:
        return getattr(module, attribute)
    except AttributeError:
        raise ConfigError(f"`{place}` has no attribute `{attribute}`") from None


def _python_path(*, without: str) -> Sequence[str]:
    return [p for p in os.environ.get("PYTHONPATH", "").split(os.pathsep) if p and p != without]


def _let_import_from(folder: Path) -> None:
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


def _import_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise ConfigError(
            f"there is no file `{path}`; name the app as `path.py:attribute` or `module:attribute`"
        )
    name = path.stem
    known = sys.modules.get(name)
    if known is not None:
        there = getattr(known, "__file__", None)
        if there is not None and Path(there).resolve() == path:
            return known
        raise ConfigError(
            f"`{path}` would be the module `{name}`, which is {there or 'a part of Python'}; give the file another name"
        )
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"`{path}` is not a Python file")
    module = importlib.util.module_from_spec(spec)
    _let_import_from(path.parent)
    sys.modules[name] = module
    loader = spec.loader
    try:
        _import(str(path), lambda: loader.exec_module(module))
    except BaseException:
        del sys.modules[name]
        raise
    _stand_for_main(module)
    return module


def _stand_for_main(module: ModuleType) -> None:
    """`python agents.py` has recorded its errors as `__main__:Error`: let a replay here find them."""
    main = sys.modules["__main__"]
    for name, value in list(vars(module).items()):
        if isinstance(value, type) and issubclass(value, Exception) and not hasattr(main, name):
            setattr(main, name, value)


def _import(place: str, load: object) -> ModuleType:
    try:
        return load()  # type: ignore[operator]
    except PerdureError:
        raise
    except (Exception, SystemExit) as error:
        raise ConfigError(f"`{place}` cannot be imported: {_where(error)}{_hint(error)}") from error


def _where(error: BaseException) -> str:
    text = f"{type(error).__name__}: {error}"
    if isinstance(error, SyntaxError):
        return text
    here = [
        f
        for f in traceback.extract_tb(error.__traceback__)
        if "importlib" not in f.filename and f.filename != __file__
    ]
    return text if not here else f"{text} ({here[-1].filename}:{here[-1].lineno})"


def _hint(error: BaseException) -> str:
    if isinstance(error, ImportError) and "no known parent package" in str(error):
        return "; it belongs to a package: name it as `package.module:attribute`"
    return ""


def _find(module: ModuleType, place: str, attribute: str | None) -> tuple[str, App]:
    apps = {name: value for name, value in vars(module).items() if isinstance(value, App)}
    if attribute is None:
        distinct = {id(app): name for name, app in reversed(apps.items())}
        if len(distinct) != 1:
            what = f"has several apps ({', '.join(sorted(apps))})" if apps else "has no `perdure.App`"
            raise ConfigError(f"`{place}` {what}; name one as `{place}:attribute`")
        attribute = next(iter(distinct.values()))
    found = getattr(module, attribute, None)
    if isinstance(found, App):
        return attribute, found
    what = (
        "has no attribute" if found is None else f"holds a `{type(found).__name__}`, not a `perdure.App`, as"
    )
    there = f"; it has {', '.join(f'`{place}:{name}`' for name in sorted(apps))}" if apps else ""
    raise ConfigError(f"`{place}` {what} `{attribute}`{there}")
