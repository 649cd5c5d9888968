"""What decides how an agent behaves, as a digest: a change that no version number shows is still seen in the journal.

A part is a name and a digest. What a later release learns to look at (prompts, policies, prices) is one more part.
The same program has the same digest in every process and on every machine: it is made of source text as it stands in
the files, of names and of schemas; never of paths, addresses or the order of imports.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import inspect
import sys
import sysconfig
import types
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pydantic_core

from ..agent import Agent
from ..boundary.tool import Tool

__all__ = ["Behaviour", "behaviour_of", "digest_of"]

DIGITS = 16
"""Hexadecimal digits of a digest: enough to tell deploys apart."""


@dataclass(frozen=True, slots=True)
class Behaviour:
    """The digest of an agent's behaviour, and what it is made of."""

    digest: str
    parts: Mapping[str, str]
    """`code`: the source of the agent's module and of the program's own modules that it and the tools import.
    `tools`: the app's tools: names, effects, parameters, results. `models`: the providers that the app registered.
    `perdure`: its version"""


def behaviour_of(
    agent: Agent, tools: Iterable[Tool[..., Any]], *, models: Sequence[str], perdure: str
) -> Behaviour:
    """The behaviour of `agent` in an app with these tools and `models` (registered providers, by name)."""
    found = sorted(tools, key=lambda t: t.name)
    parts = {
        "code": _code([*_functions(agent), *(t.function for t in found)]),
        "tools": digest_of([_tool(t) for t in found]),
        "models": digest_of(sorted(models)),
        "perdure": perdure,
    }
    return Behaviour(digest_of(sorted(parts.items())), parts)


def _functions(agent: Agent) -> list[Callable[..., Any]]:
    return [agent.function, *(f for f in (agent.check, agent.repair) if f is not None)]


def digest_of(value: Any) -> str:
    """The digest of a value that JSON can say."""
    return hashlib.sha256(pydantic_core.to_json(value)).hexdigest()[:DIGITS]


def _tool(tool: Tool[..., Any]) -> list[Any]:
    checks = [tool.verify is not None, tool.compensate is not None]
    seconds = None if tool.timeout is None else tool.timeout.total_seconds()
    made = [
        tool.name, tool.effect, checks, seconds, inspect.getdoc(tool.function), _schema(tool), _result(tool)
    ]  # fmt: skip
    return [*made, sorted(tool.terms.requires)] if tool.terms.requires else made


def _schema(tool: Tool[..., Any]) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # defaults that no schema can show
        try:
            return tool.schema()
        except Exception:  # a parameter of a type without a schema: its name must do
            return list(tool.signature.parameters)


def _result(tool: Tool[..., Any]) -> Any:
    try:
        return tool.shape.schema()
    except Exception:
        return None


# code ----------------------------------------------------------------------------------------------------------------


def _code(functions: Iterable[Callable[..., Any]]) -> str:
    """Of the modules of these functions, and of those of the program that they import, directly or not."""
    files: dict[str, str] = {}
    for function in functions:
        bare = _bare(function)
        name = getattr(bare, "__module__", None) or ""
        place = getattr(sys.modules.get(name), "__file__", None)
        path = None if place is None else Path(place)
        if path is None or path.suffix != ".py" or not path.is_file():
            files[f"{getattr(bare, '__qualname__', '')}()"] = _source(bare)  # typed in, or made by a program
        elif not (_is_ours(path) or _is_standard(path)):
            files.update(_program(path.resolve()))
    return digest_of(sorted(files.items()))


def _bare(function: Any) -> Any:
    while isinstance(function, functools.partial):
        function = cast("functools.partial[Any]", function).func
    return inspect.unwrap(function)


def _source(function: Any) -> str:
    try:
        return inspect.getsource(function)
    except (OSError, TypeError):
        code = getattr(function, "__code__", None)
        return repr(_spelled(code)) if isinstance(code, types.CodeType) else ""


def _spelled(code: types.CodeType) -> tuple[Any, ...]:
    constants = [_spelled(c) if isinstance(c, types.CodeType) else repr(c) for c in code.co_consts]
    return code.co_code.hex(), code.co_names, constants


@functools.cache  # a process runs what it has imported, whatever happens to its files
def _program(first: Path) -> Mapping[str, str]:
    """The digests of a module and of those of the same program that it imports, by file name.

    Of an installed package, all its modules: it may be large, and reading is cheaper than following imports.
    """
    package = _package(first)
    root = package.parent
    if _INSTALLED & set(first.parts):
        paths = sorted(package.rglob("*.py")) if package != first else [first]
        return {
            p.relative_to(root).as_posix(): digest_of(text) for p in paths if (text := _text(p)) is not None
        }
    files: dict[str, str] = {}
    known: set[tuple[str, ...]] = set()
    queue = [first]
    while queue:
        path = queue.pop()
        name = path.relative_to(root).as_posix()
        if name in files or (text := _text(path)) is None:
            continue
        files[name] = digest_of(text)
        try:
            tree = ast.parse(text)
        except (SyntaxError, ValueError):
            continue
        here = name.removesuffix(".py").split("/")[:-1]
        for module in _imported(tree, here):
            if tuple(module) not in known:
                known.add(tuple(module))
                queue.extend(_files_of(root, module))
    return files


_INSTALLED = {"site-packages", "dist-packages"}
_OURS = Path(str(sys.modules[__name__.partition(".")[0]].__file__)).resolve().parent
"""Perdure itself counts by its version."""


def _package(path: Path) -> Path:
    """The topmost package that a module is in; the module itself where it is in none."""
    found, folder = path, path.parent
    while (folder / "__init__.py").is_file() and folder.parent != folder:
        found, folder = folder, folder.parent
    return found


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace")  # line ends are made the same by reading
    except OSError:
        return None


def _imported(tree: ast.AST, here: list[str]) -> Iterable[list[str]]:
    """Names of the modules that a module in the package `here` may import, split at the dots."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name.split(".")
        elif isinstance(node, ast.ImportFrom):
            above = here[: len(here) - node.level + 1] if node.level else []
            base = [*above, *(node.module.split(".") if node.module else [])]
            if base:
                yield base
            for alias in node.names:
                yield [*base, alias.name]


def _files_of(root: Path, module: list[str]) -> Iterable[Path]:
    for end in range(1, len(module) + 1):
        folder = root.joinpath(*module[:end])
        for path in (folder.with_name(folder.name + ".py"), folder / "__init__.py"):
            if path.is_file() and not _is_ours(path):
                found = path.resolve()
                yield found if found.is_relative_to(root) else path


def _is_ours(path: Path) -> bool:
    return path.resolve().is_relative_to(_OURS)


def _is_standard(path: Path) -> bool:
    library = Path(sysconfig.get_paths()["stdlib"])
    return path.is_relative_to(library) and "site-packages" not in path.parts
