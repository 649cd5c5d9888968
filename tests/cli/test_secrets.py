"""What people and logs see of a store's URL."""

from __future__ import annotations

import pytest

from perdure import App, ConfigError
from perdure.core.settings import shown_url


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://ada:s3cret@db/prod", "postgresql://ada:***@db/prod"),
        ("postgresql://ada@db/prod", "postgresql://ada@db/prod"),
        ("sqlite:////srv/perdure.db", "sqlite:////srv/perdure.db"),
        ("memory://", "memory://"),
    ],
)
def test_a_url_is_shown_without_its_password(url: str, shown: str) -> None:
    assert shown_url(url) == shown


def test_an_error_does_not_tell_the_password() -> None:
    with pytest.raises(ConfigError) as refused:
        App("mysql://ada:s3cret@db/prod")

    assert "s3cret" not in str(refused.value)
