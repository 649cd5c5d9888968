"""What stands around every page: headers, static files, tokens, roles, and errors that say what to do."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import AsyncIterator
from importlib.resources import files

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from perdure import App, Run
from perdure.access.callers import Role
from perdure.web import pages
from perdure.web.assets import FOLDER
from tests.web.scene import Reader, TestGate, reading, text_of


@pytest.fixture
async def reader() -> AsyncIterator[Reader]:
    app = App("memory://")

    @app.agent("greet")
    async def greet(run: Run) -> str:
        return "hello"

    async with reading(app) as found:
        yield found
    await app.close()


def test_what_is_vendored_is_what_its_publishers_sent() -> None:
    """Each file with its licence beside it, of a version that is written down, with its digest."""
    vendor = files("perdure.web").joinpath("static", "vendor")
    versions = json.loads(vendor.joinpath("versions.json").read_text())
    there = {path.name for path in (FOLDER / "vendor").iterdir() if path.is_dir()}

    assert there == set(versions)
    for name, told in versions.items():
        folder = FOLDER / "vendor" / name
        assert {path.name for path in folder.iterdir()} == {"LICENSE", *told["files"]}
        for file, digest in told["files"].items():
            found = hashlib.sha384((folder / file).read_bytes()).digest()
            assert f"sha384-{base64.b64encode(found).decode()}" == digest, file


async def test_no_page_fetches_anything_from_elsewhere(reader: Reader) -> None:
    page = await reader.get("/runs")
    for address in re.findall(r'(?:src|href|action)="([^"]*)"', page):
        assert address.startswith(("/", "#")), address

    found = re.findall(r'(?:src|href)="(/static/[^"]+)"', page)
    assert len(found) >= 8
    for address in found:
        answer = await reader.client.get(address)
        assert answer.status_code == 200, address
        assert "immutable" in answer.headers["cache-control"]
    style = "".join(path.read_text() for path in (FOLDER / "css").glob("*.css"))
    assert "http" not in style and "//" not in style.replace("../", "")


async def test_static_files_lead_nowhere_else(reader: Reader) -> None:
    for path in (
        "/static/x/../assets.py",
        "/static/x/%2e%2e/assets.py",
        "/static/x/js",
        "/static/",
        "/static/x//etc/passwd",
    ):
        assert (await reader.client.get(path)).status_code == 404, path


async def test_every_answer_has_a_strict_policy_with_a_nonce_of_its_own(reader: Reader) -> None:
    one, other = await reader.client.get("/runs"), await reader.client.get("/nowhere")
    for answer in (one, other):
        policy = answer.headers["content-security-policy"]
        nonce = re.search(r"'nonce-([\w-]+)'", policy)
        assert nonce is not None
        assert policy.startswith("default-src 'none'") and "unsafe" not in policy and "http" not in policy
        assert set(re.findall(r'<script[^>]*nonce="([^"]*)"', answer.text)) == {nonce[1]}
        assert "style=" not in answer.text and not re.search(r"\son\w+=", answer.text)
        assert answer.headers["cache-control"] == "no-store"
    assert one.headers["content-security-policy"] != other.headers["content-security-policy"]


async def test_a_form_without_its_token_changes_nothing(reader: Reader) -> None:
    for token in ("", "0" * 64):
        answer = await reader.post("/views", status=403, csrf=token, name="mine", query="status=failed")
        assert "form is old" in text_of(answer.text)
    token = await reader.token()
    answer = await reader.client.post(
        "/views", data={"csrf": token, "name": "mine"}, headers={"Sec-Fetch-Site": "cross-site"}
    )
    assert answer.status_code == 403
    assert "mine" not in await reader.get("/runs")

    await reader.post("/views", name="mine", query="status=failed")
    assert "mine" in await reader.get("/runs")


async def test_a_token_of_somebody_else_is_none(reader: Reader) -> None:
    token = await reader.token()
    reader.gate.subject = "user:eve"
    await reader.post("/views", status=403, csrf=token, name="mine", query="")


async def test_who_is_not_known_is_told_how_to_be(reader: Reader) -> None:
    reader.gate.subject = None
    page = text_of(await reader.get("/runs", status=401))
    assert "Who are you?" in page and "Sign in" in page
    reader.gate.subject, reader.gate.roles = "user:eve", frozenset()
    assert "Not for you" in text_of(await reader.get("/runs", status=403))


async def test_what_is_not_there_is_said_with_a_way_on(reader: Reader) -> None:
    assert "Nothing here" in text_of(await reader.get("/nowhere", status=404))
    page = text_of(await reader.get("/runs?status=done", status=400))
    assert "Status `done` is not one of pending" in page and "All runs" in page


async def test_a_fault_of_ours_tells_nothing_of_itself(
    reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object, **__: object) -> None:
        raise RuntimeError("secret of the connection string")

    monkeypatch.setattr("perdure.web.runs.pages.runs_page", broken)
    page = await reader.get("/runs", status=500)
    assert "That should not have happened" in page and "secret" not in page


async def test_a_viewer_sees_runs(reader: Reader) -> None:
    reader.gate.roles = frozenset({Role.VIEWER})
    assert "No runs yet" in text_of(await reader.get("/runs"))


async def test_pages_know_where_they_are_mounted() -> None:
    app = App("memory://")
    outer = Starlette(routes=[Mount("/ops", pages(app, TestGate()))])
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app=outer), base_url="http://perdure.test"
    ) as client:
        answer = await client.get("/ops/", follow_redirects=True)
        assert str(answer.url).endswith("/ops/runs")
        for address in re.findall(r'(?:src|href|action)="(/[^"]*)"', answer.text):
            assert address.startswith("/ops/"), address
            if "/static/" in address:
                assert (await client.get(address)).status_code == 200
    await app.close()
