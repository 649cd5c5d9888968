"""The payment service, from outside: plain functions over HTTP."""

from __future__ import annotations

import os
import re
from typing import Any

import httpx
from pydantic import BaseModel

from perdure import NotDone

PATIENCE = 3.0
"""seconds for the payment service to answer"""


class Receipt(BaseModel):
    refund: str
    order: str
    cents: int
    refunded: str
    """the amount as a customer reads it"""


def dollars(cents: int) -> str:
    return f"${cents / 100:.2f}"


def amounts(text: str) -> set[str]:
    """The amounts of money that a text names."""
    return set(re.findall(r"\$\d+\.\d\d", text))


def find(order: str) -> dict[str, Any]:
    answer = _ask("GET", f"/orders/{order}")
    if answer.status_code == 404:
        raise LookupError(f"there is no order {order}")
    return answer.raise_for_status().json()


def refund(order: str, cents: int, key: str) -> Receipt:
    """Pay back, once for each key. Raises `NotDone` where the service refuses."""
    answer = _ask("POST", "/refunds", json={"order": order, "cents": cents}, headers={"Idempotency-Key": key})
    if answer.status_code == 422:
        raise NotDone(answer.json()["error"])
    return Receipt.model_validate(answer.raise_for_status().json())


def find_refund(key: str) -> Receipt | None:
    found = [receipt for receipt in _refunds(key) if receipt["key"] == key]
    return Receipt.model_validate(found[0]) if found else None


def paid_by(run: str) -> int:
    """Cents that went out for a run: its keys begin with its id."""
    return sum(receipt["cents"] for receipt in _refunds(f"{run}/"))


def _refunds(prefix: str) -> list[dict[str, Any]]:
    return _ask("GET", "/refunds", params={"key": prefix}).raise_for_status().json()


def _ask(method: str, path: str, **what: Any) -> httpx.Response:
    url = os.environ.get("REFUNDS_PAYMENTS", "http://127.0.0.1:8095")
    return httpx.request(method, url + path, timeout=PATIENCE, trust_env=False, **what)
