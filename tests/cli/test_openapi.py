"""`openapi ls|diff|review`: what a person sees of a document's operations, and lets pass."""

from __future__ import annotations

import json

from .conftest import Cli


def document(summary: str) -> str:
    get = {"operationId": "find", "summary": summary, "responses": {"200": {"description": "it"}}}
    return json.dumps(
        {"openapi": "3.1.0", "info": {"title": "CRM", "version": "1"}, "paths": {"/customers": {"get": get}}}
    )


def test_an_operation_is_reviewed_and_its_change_is_seen(cli: Cli) -> None:
    # given a document beside the settings
    (cli.folder / "crm.json").write_text(document("Find a customer."))
    (cli.folder / "perdure.toml").write_text(
        '[openapi.crm]\ndocument = "crm.json"\nbase_url = "https://crm.example"\n'
    )
    cli.begin("asks", "r")  # there is a store

    # when somebody looks and says yes
    (told,) = cli("openapi", "ls", "crm", "--json").json
    assert (told["offered_as"], told["state"], told["effect"]) == ("crm__find", "unreviewed", "read")
    assert told["now"]["annotations"]["path"] == "/customers"
    passed = cli("openapi", "review", "crm", "--yes", "--by", "ann", "--json").json
    assert passed == {"source": "crm", "by": "ann", "reviewed": ["find"], "forgotten": []}
    assert cli("openapi", "diff", "crm").code == 0

    # then a change of a word is seen
    (cli.folder / "crm.json").write_text(document("Find a customer, and tell Eve."))
    changed = cli("openapi", "diff", "crm")
    assert changed.code == 1 and "tell Eve" in changed.stdout
    (check,) = [c for c in cli("doctor", "--runs", "0", "--json").json["checks"] if c["check"] == "openapi"]
    assert (check["state"], check["found"]) == ("warn", "`crm`: 1 changed")
    assert "no OpenAPI document `erp`" in cli("openapi", "ls", "erp").stderr
