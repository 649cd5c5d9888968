"""Every package has one public face: an `__all__` that resolves, and a docstring for each name in it.

What stands in `__all__` is followed to the file that defines it. Classes and functions carry a docstring,
and so does each public method; other values have a string below their assignment. Faces may resolve names
lazily (`__getattr__`): names are fetched as a user would fetch them.
"""

import ast
import importlib
import inspect
import sys
import warnings
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType

SRC = Path(__file__).resolve().parent.parent / "src"


def packages() -> Iterator[tuple[str, Path]]:
    """Folders under src/perdure that hold Python, with their dotted names. Empty and data folders do not count."""
    for folder in sorted(path for path in [SRC / "perdure", *(SRC / "perdure").rglob("*")] if path.is_dir()):
        if any(folder.glob("*.py")):
            yield ".".join(folder.relative_to(SRC).parts), folder


@cache
def documented(file: Path) -> dict[str, bool]:
    """Top-level names that `file` assigns or defines, and whether a docstring stands there."""
    names: dict[str, bool] = {}
    body = ast.parse(file.read_text(encoding="utf-8")).body
    for node, following in zip(body, [*body[1:], None], strict=True):
        match node:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                names[name] = ast.get_docstring(node) is not None
            case ast.Assign(targets=[ast.Name(id=name), *_]) | ast.AnnAssign(target=ast.Name(id=name)):
                match following:
                    case ast.Expr(value=ast.Constant(value=str())):
                        names[name] = True
                    case _:
                        names.setdefault(name, False)
            case _:
                pass
    return names


def undocumented_methods(cls: type) -> Iterator[str]:
    for name, member in vars(cls).items():
        if name.startswith("_"):
            continue
        method = inspect.isroutine(member) or isinstance(member, property)
        if method and not inspect.getdoc(getattr(cls, name)):  # getdoc: a base's docstring counts
            yield name


def faults(package: str, folder: Path) -> Iterator[str]:
    if not (folder / "__init__.py").exists():
        yield f"{package}: has no __init__.py"
        return
    try:
        face = importlib.import_module(package)
    except Exception as error:
        yield f"{package}: cannot be imported: {error!r}"
        return
    exported: list[str] | None = getattr(face, "__all__", None)
    if exported is None:
        yield f"{package}: its __init__.py has no __all__"
        return
    if not face.__doc__:
        yield f"{package}: its __init__.py has no docstring"
    for twice in sorted({name for name in exported if exported.count(name) > 1}):
        yield f"{package}.__all__: names `{twice}` twice"
    for name in exported:
        try:
            value = getattr(face, name)
        except Exception as error:
            yield f"{package}.{name}: in __all__ but does not resolve: {error!r}"
            continue
        if name.startswith("__") or (isinstance(value, ModuleType) and value.__doc__):
            continue
        defined = inspect.isclass(value) or inspect.isroutine(value)  # else it was assigned somewhere
        home = getattr(sys.modules.get(value.__module__), "__file__", None) if defined else None
        if home and not Path(home).is_relative_to(SRC):
            continue  # re-exported from another project
        name_there = value.__name__ if home else name
        if not any(documented(file).get(name_there) for file in ([Path(home)] if home else all_sources())):
            yield f"{package}.{name}: has no docstring"
        elif inspect.isclass(value):
            for method in undocumented_methods(value):
                yield f"{package}.{name}.{method}: has no docstring"


@cache
def all_sources() -> list[Path]:
    return sorted((SRC / "perdure").rglob("*.py"))


def main() -> int:
    warnings.simplefilter("error")
    names = list(packages())
    found = [fault for package, folder in names for fault in faults(package, folder)]
    for fault in found:
        print(fault, file=sys.stderr)
    if not found:
        exported = sum(len(vars(sys.modules[package])["__all__"]) for package, _ in names)
        print(f"{len(names)} packages, {exported} public names")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
