"""Values to bytes and back: JSON through pydantic, never pickle.

What a step hands out is always what reading its bytes gives, live as on replay ("same path"): a value that would
come back different is refused when it is first seen, not after the first crash.
"""

from __future__ import annotations

import functools
import inspect
import types
import typing
import weakref
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Generic, TypeVar, cast

import pydantic_core
from pydantic import BaseModel, PydanticUserError, TypeAdapter, ValidationError

from .errors import ConfigError, Unserialisable

__all__ = [
    "Shape",
    "arguments_bytes",
    "is_asynchronous",
    "own_shape",
    "return_shape",
    "returns",
    "shape_of",
    "type_hints",
]

T = TypeVar("T")

_to_json = pydantic_core.to_json
_from_json = pydantic_core.from_json

_PLAIN_TYPES = (str, int, bool, type(None))


class Shape(Generic[T]):
    """How values of one type are written and read."""

    __slots__ = ("_is_text", "annotation", "dump_json", "load", "schema")

    def __init__(self, annotation: Any) -> None:
        self.annotation = annotation
        adapter: TypeAdapter[T] = TypeAdapter(annotation)
        # The adapter's own methods are wrappers of a microsecond each around these two.
        self.dump_json: Callable[..., bytes] = adapter.serializer.to_json
        self.load: Callable[[bytes], T] = adapter.validator.validate_json
        """raises pydantic's `ValidationError` where the bytes do not fit"""
        self.schema: Callable[[], dict[str, Any]] = adapter.json_schema
        self._is_text = bool(annotation is str)
        """then a value comes back as it is: pydantic's check and a reading cost twice what the writing does"""

    def round_trip(self, value: Any) -> tuple[bytes, T]:
        """The bytes of `value`, and what reading them gives. Raises `Unserialisable`."""
        try:
            if self._is_text and type(value) is str:
                return _to_json(value), value  # pyright: ignore[reportReturnType]  # here `T` is text
            data = self.dump_json(value, warnings="error")
        except (pydantic_core.PydanticSerializationError, ValueError, TypeError, RecursionError) as error:
            raise _unserialisable(value, error, self.annotation) from error
        try:
            return data, self.load(data)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            path = "$" + "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in first["loc"])
            raise Unserialisable(
                f"the value at `{path}` does not fit the declared type `{_name(self.annotation)}`: {first['msg']}",
                path=path,
            ) from error


class _Plain(Shape[Any]):
    """Values without a declared type: what JSON itself can say, and nothing that would come back as something else."""

    __slots__ = ()

    def __init__(self) -> None:
        self.annotation = Any
        self._is_text = False
        self.dump_json = _to_json
        self.load = _from_json
        self.schema = dict

    def round_trip(self, value: Any) -> tuple[bytes, Any]:
        try:
            data = _to_json(value)
        except (pydantic_core.PydanticSerializationError, ValueError, TypeError, RecursionError) as error:
            raise _unserialisable(value, error, None) from error
        if type(value) in _PLAIN_TYPES:
            return data, value
        loaded = _from_json(data)
        difference = _difference(value, loaded, "$")
        if difference is not None:
            path, kind = difference
            raise Unserialisable(
                f"the value at `{path}` is a `{kind}`, which would come back as something else; declare the type "
                "(a return annotation on the function) so that it is read back as it was",
                path=path,
            )
        return data, loaded


PLAIN: Shape[Any] = _Plain()


class _Own(Shape[T]):
    __slots__ = ()

    def __init__(self, annotation: Any, dump: Callable[[Any], bytes], load: Callable[[bytes], T]) -> None:
        self.annotation = annotation
        self._is_text = False

        def dump_json(value: Any, **_: Any) -> bytes:
            return dump(value)

        self.dump_json = dump_json
        self.load = load
        self.schema = dict


def own_shape(annotation: Any, dump: Callable[[Any], bytes], load: Callable[[bytes], T]) -> Shape[T]:
    """Of values that functions of your own write and read; `annotation` is what they are called in errors."""
    return _Own(annotation, dump, load)


@lru_cache(maxsize=2048)
def _cached_shape(annotation: Any) -> Shape[Any]:
    return _new_shape(annotation)


def _new_shape(annotation: Any) -> Shape[Any]:
    try:
        return Shape(annotation)
    except PydanticUserError as error:
        raise ConfigError(
            f"values of type `{_name(annotation)}` cannot be written to the journal: {error.message}. Use a pydantic "
            "model, a dataclass, a TypedDict or JSON types"
        ) from error


def shape_of(annotation: Any) -> Shape[Any]:
    """The shape of a type annotation; `Any` and no annotation mean plain JSON. Raises `ConfigError`."""
    if annotation is Any or annotation is inspect.Parameter.empty or annotation is object:
        return PLAIN
    if annotation is None:
        annotation = type(None)
    try:
        return _cached_shape(annotation)
    except TypeError:  # not hashable
        return _new_shape(annotation)


_returns: weakref.WeakKeyDictionary[Any, tuple[Shape[Any], bool]] = weakref.WeakKeyDictionary()


def returns(function: Any) -> tuple[Shape[Any], bool]:
    """The shape of what a function returns, and whether it must be awaited. Raises `ConfigError`."""
    try:
        return _returns[function]
    except (KeyError, TypeError):
        pass
    if isinstance(function, types.MethodType):
        return returns(function.__func__)
    if isinstance(function, functools.partial):
        return returns(cast("functools.partial[Any]", function).func)
    if isinstance(function, type):
        return shape_of(function), False
    if not isinstance(function, types.FunctionType):
        call = type(function).__call__
        return returns(call) if isinstance(call, types.FunctionType) else (PLAIN, False)
    annotated = "return" in function.__annotations__
    shape = shape_of(type_hints(function).get("return", Any)) if annotated else PLAIN
    found = shape, inspect.iscoroutinefunction(function)
    _returns[function] = found
    return found


def is_asynchronous(function: Any) -> bool:
    """Whether calling it gives something to await."""
    while isinstance(function, functools.partial):
        function = cast("functools.partial[Any]", function).func
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__)


def return_shape(function: Any) -> Shape[Any]:
    """The shape of what a function returns, from its annotation. Raises `ConfigError`."""
    return returns(function)[0]


def type_hints(function: Callable[..., Any]) -> dict[str, Any]:
    """Resolved annotations of a function, also of names that only its closure knows. Raises `ConfigError`."""
    try:
        return typing.get_type_hints(function, include_extras=True)
    except NameError:
        pass
    try:
        return typing.get_type_hints(
            function, localns=dict(inspect.getclosurevars(function).nonlocals), include_extras=True
        )
    except NameError as error:
        raise ConfigError(
            f"an annotation of `{getattr(function, '__qualname__', function)}` cannot be resolved: {error}. Import "
            "that type where the function can see it at run time (not only under TYPE_CHECKING)"
        ) from error


def arguments_bytes(*parts: Any) -> bytes:
    """JSON of arguments, for fingerprints and intents. Raises `Unserialisable`."""
    try:
        return _to_json(parts)
    except (pydantic_core.PydanticSerializationError, ValueError, TypeError, RecursionError) as error:
        raise _unserialisable(parts, error, None, what="argument") from error


def _unserialisable(value: Any, error: Exception, annotation: Any, *, what: str = "value") -> Unserialisable:
    path, culprit = _culprit(value, "$", 0)
    declared = "" if annotation is None else f" (declared: `{_name(annotation)}`)"
    return Unserialisable(
        f"the {what} at `{path}` of type `{type(culprit).__qualname__}` cannot be written as JSON{declared}: "
        f"{str(error)[:200]}",
        path=path,
    )


def _culprit(value: Any, path: str, depth: int) -> tuple[str, Any]:
    """The innermost part of `value` that cannot be written by itself."""
    if depth > 50:
        return path, value
    for step, part in _parts(value):
        try:
            _to_json(part)
        except Exception:
            return _culprit(part, path + step, depth + 1)
    return path, value


def _parts(value: Any) -> list[tuple[str, Any]]:
    if isinstance(value, Mapping):
        return [(f".{k}", v) for k, v in cast("Mapping[Any, Any]", value).items()]
    if isinstance(value, list | tuple | set | frozenset):
        return [(f"[{i}]", v) for i, v in enumerate(cast("list[Any]", value))]
    if isinstance(value, BaseModel):
        return [(f".{k}", getattr(value, k)) for k in type(value).model_fields]
    fields = getattr(value, "__dataclass_fields__", None)
    if fields is not None:
        return [(f".{k}", getattr(value, k)) for k in fields]
    return []


def _difference(a: Any, b: Any, path: str) -> tuple[str, str] | None:
    """Where `b`, read back from the JSON of `a`, is not what `a` was."""
    kind = cast("type[Any]", type(a))
    if kind is dict:
        if type(b) is not dict or len(a) != len(cast("dict[Any, Any]", b)):
            return path, "dict"
        for k, v in cast("dict[Any, Any]", a).items():
            if type(k) is not str:
                return f"{path}.{k}", f"{type(k).__qualname__} key"
            found = _difference(v, b[k], f"{path}.{k}")
            if found is not None:
                return found
        return None
    if kind is list:
        if type(b) is not list or len(a) != len(cast("list[Any]", b)):
            return path, "list"
        for i, v in enumerate(cast("list[Any]", a)):
            found = _difference(v, b[i], f"{path}[{i}]")
            if found is not None:
                return found
        return None
    if kind in _PLAIN_TYPES:
        return None if a == b else (path, kind.__qualname__)
    if kind is float:
        return None if a == b or (a != a and b != b) else (path, "float")
    return path, kind.__qualname__


def _name(annotation: Any) -> str:
    return getattr(annotation, "__qualname__", None) or str(annotation)
