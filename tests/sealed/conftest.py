from __future__ import annotations

import pytest

from perdure.identity import MasterKeys


@pytest.fixture(autouse=True)
def master_key(monkeypatch: pytest.MonkeyPatch) -> str:
    """A master key, where every process of a test finds it."""
    key = MasterKeys.new()
    monkeypatch.setenv("PERDURE_MASTER_KEY", key)
    return key
