"""What is read of an OpenAPI document: its schemas, the places of its parameters, and what is not read at all."""

from __future__ import annotations

import json
from typing import Any

import pytest

from perdure import ConfigError
from perdure.context import Definition
from perdure.context.openapi import Document, definition, operations, request_of


def document(
    paths: dict[str, Any], *, version: str = "3.1.0", schemas: dict[str, Any] | None = None
) -> Document:
    told = {"openapi": version, "info": {"title": "t", "version": "1"}, "paths": paths}
    return Document("crm", json.dumps({**told, "components": {"schemas": schemas or {}}}).encode())


def tool(read: Document, *, room: int = 59) -> Definition:
    read.check()
    (made,) = [definition(read, operation, room=room) for operation in operations(read)]
    assert made is not None
    return made


def parameter(name: str, place: str, **more: Any) -> dict[str, Any]:
    told = {"name": name, "in": place, **({"required": True} if place == "path" else {}), **more}
    return told if "content" in told else {"schema": {}, **told}


def asked(parameters: list[dict[str, Any]], **arguments: Any) -> Any:
    path = "/x" + "".join(f"/{{{p['name']}}}" for p in parameters if p["in"] == "path")
    said = {"operationId": "op", "parameters": parameters, "responses": {"200": {"description": "ok"}}}
    return request_of(tool(document({path: {"get": said}})), arguments, base="https://crm.example")


LIST, OBJECT = ["blue", "bl ack"], {"R": 100, "G": 200}


@pytest.mark.parametrize(
    ("place", "more", "value", "written"),
    [
        # the table of "Style Examples" in OpenAPI 3.1, 4.8.12.4
        ("query", {}, LIST, "?c=blue&c=bl%20ack"),
        ("query", {"explode": False}, LIST, "?c=blue,bl%20ack"),
        ("query", {}, OBJECT, "?R=100&G=200"),
        ("query", {"explode": False}, OBJECT, "?c=R,100,G,200"),
        ("query", {"style": "spaceDelimited", "explode": False}, LIST, "?c=blue%20bl%20ack"),
        ("query", {"style": "pipeDelimited", "explode": False}, LIST, "?c=blue%7Cbl%20ack"),
        ("query", {"style": "deepObject", "explode": True}, OBJECT, "?c%5BR%5D=100&c%5BG%5D=200"),
        ("query", {}, True, "?c=true"),
        ("query", {"content": {"application/json": {"schema": {}}}}, {"a": 1}, "?c=%7B%22a%22%3A1%7D"),
        ("path", {}, "a&b/c", "/a%26b%2Fc"),
        ("path", {}, LIST, "/blue,bl%20ack"),
        ("path", {"explode": True}, OBJECT, "/R=100,G=200"),
        ("path", {"style": "label"}, LIST, "/.blue.bl%20ack"),
        ("path", {"style": "matrix"}, LIST, "/;c=blue,bl%20ack"),
        ("path", {"style": "matrix", "explode": True}, LIST, "/;c=blue;c=bl%20ack"),
        ("path", {"style": "matrix", "explode": True}, OBJECT, "/;R=100;G=200"),
    ],
)
def test_each_style_is_written_as_openapi_says(
    place: str, more: dict[str, Any], value: Any, written: str
) -> None:
    assert asked([parameter("c", place, **more)], c=value).url == f"https://crm.example/x{written}"


def test_headers_and_cookies() -> None:
    # a header that another part of the document says is no parameter
    made = asked(
        [parameter("X-C", "header"), parameter("s", "cookie"), parameter("Authorization", "header")],
        **{"X-C": LIST, "s": "a;b"},
    )
    assert dict(made.headers) == {"X-C": "blue,bl ack", "Cookie": "s=a%3Bb"}


def test_parameters_of_one_name_and_names_that_models_do_not_take() -> None:
    same = [parameter("id", "path"), parameter("id", "query"), parameter("f[a]", "query")]
    assert asked(same, id="1", id_query="2", f_a="3").url == "https://crm.example/x/1?id=2&f%5Ba%5D=3"


def test_a_form_is_written_as_one() -> None:
    schema = {"type": "object", "properties": {"to": {"type": "string"}, "tags": {"type": "array"}}}
    body = {"content": {"application/x-www-form-urlencoded": {"schema": schema}}}
    paths = {"/x": {"post": {"requestBody": body, "responses": {"200": {"description": "ok"}}}}}
    made = tool(document(paths))
    sent = request_of(made, {"body": {"to": "a&b", "tags": ["x", "y"]}}, base="https://crm.example")
    assert (made.name, sent.method, sent.content) == ("post_x", "POST", b"to=a%26b&tags=x&tags=y")


def test_a_schema_stands_alone_refers_to_itself_and_leaves_out_what_only_answers_have() -> None:
    node = {
        "type": "object",
        "required": ["id", "next"],
        "properties": {
            "id": {"type": "string", "readOnly": True},
            "next": {"$ref": "#/components/schemas/Node"},
            "size": {
                "type": "integer",
                "nullable": True,
                "minimum": 0,
                "exclusiveMinimum": True,
                "example": 3,
            },
        },
    }
    body = {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Node"}}}}
    answer = {"200": {"description": "ok", "content": body["content"]}}
    paths = {"/x": {"post": {"requestBody": body, "responses": answer}}}
    made = tool(document(paths, version="3.0.3", schemas={"Node": node}))
    assert made.arguments["properties"]["body"] == {"$ref": "#/$defs/Node"}
    asks = made.arguments["$defs"]["Node"]
    assert asks["required"] == ["next"] and "id" not in asks["properties"]
    assert asks["properties"]["size"] == {"type": ["integer", "null"], "exclusiveMinimum": 0}
    assert asks["properties"]["next"] == {"$ref": "#/$defs/Node"}
    assert made.result is not None and "id" in made.result["$defs"]["Node"]["properties"]


def test_a_long_name_is_cut_and_stays_apart_from_its_like() -> None:
    said = {"responses": {"200": {"description": "ok"}}}
    ids = ["a" * 80 + "1", "a" * 80 + "2"]
    paths = {f"/{n}": {"get": {**said, "operationId": id}} for n, id in enumerate(ids)}
    read = document(paths)
    names = [operation.name(room=20) for operation in operations(read)]
    assert len(set(names)) == 2 and {len(name) for name in names} == {20}


BOMB = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 9))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b'{"openapi": "2.0"}', "its version is `2.0`"),
        (b'{"swagger": "2.0"}', "it says no version"),
        (b'{"openapi": ', "it is not JSON"),
        (b"openapi: [3", "it is not YAML"),
        (b"\xff", "it is not UTF-8"),
        (b"openapi: 3.1.0\nx: !!python/object/apply:os.system [id]", "it is not YAML"),
        (b'{"openapi": "3.1.0", "x": {"$ref": "https://evil.example/x.json#/y"}}', "is outside of it"),
        (b'{"openapi": "3.1.0", "x": {"$ref": "/etc/passwd"}}', "is outside of it"),
        (BOMB.encode(), "once its aliases are written out"),
        (b"openapi: 3.1.0\nx: " + b"[" * 500 + b"]" * 500, "too deep"),
    ],
    ids=["old", "swagger", "json", "yaml", "bytes", "object", "remote", "file", "bomb", "deep"],
)
def test_a_document_that_is_not_read(data: bytes, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "perdure.context.openapi.document._MOST_NODES", 100_000
    )  # two million take three seconds
    with pytest.raises(ConfigError, match=said):
        Document("crm", data)


@pytest.mark.parametrize(
    ("paths", "said"),
    [
        ({"/x": {"get": {"parameters": "all"}}}, "cannot be used"),
        ({"/x/{id}": {"get": {"responses": {"200": {"description": "ok"}}}}}, "id"),
    ],
)
def test_a_document_that_is_not_valid(paths: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        tool(document(paths))


def test_yaml_dates_are_texts_and_references_that_lead_nowhere_an_error() -> None:
    read = Document("crm", b"openapi: 3.1.0\ninfo: {title: t, version: 2020-01-01}\npaths: {200: {}}")
    assert read.root["info"]["version"] == "2020-01-01" and "200" in read.root["paths"]
    for ref in ("#/nowhere", "#/a"):
        with pytest.raises(ConfigError, match=f"`{ref}` refers to"):
            Document("crm", json.dumps({"openapi": "3.1.0", "a": {"$ref": "#/a"}}).encode()).resolved(
                {"$ref": ref}
            )
