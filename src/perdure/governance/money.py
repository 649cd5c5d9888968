"""Money: whole nano-dollars (1e-9 USD) inside, dollars at the edges. Sums of integers are exact, in any order."""

from __future__ import annotations

from decimal import ROUND_CEILING, Decimal, InvalidOperation

from ..core.errors import ConfigError

__all__ = ["NANOS", "Dollars", "decimal_text", "dollars", "from_nanos", "to_nanos"]

NANOS = 1_000_000_000
"""Nano-dollars in a dollar. A token of the cheapest model costs some ten of them."""

Dollars = Decimal | int | float | str
"""Dollars as people write them; a float is taken as it is printed (`0.1` is a tenth)."""

_MOST = 10**9  # dollars: sums of nano-dollars stay within 64 bits


def to_nanos(value: Dollars, *, what: str = "money") -> int:
    """Dollars in nano-dollars, rounded up. Raises `ConfigError` for what is no amount, or below nothing."""
    try:
        exact = Decimal(str(value).strip().removeprefix("$"))
    except InvalidOperation:
        raise ConfigError(f"{what} `{value}` is no amount in dollars: write it as `2.50`") from None
    if isinstance(value, bool) or not exact.is_finite() or exact < 0:
        raise ConfigError(f"{what} `{value}` is no amount in dollars: write it as `2.50`, from 0")
    if exact > _MOST:
        raise ConfigError(
            f"{what} `{value}` is above {_MOST:,} dollars, which is more than can be reckoned with"
        )
    return int((exact * NANOS).to_integral_value(rounding=ROUND_CEILING))


def from_nanos(nanos: int) -> Decimal:
    """Nano-dollars in dollars, exactly."""
    return Decimal(nanos).scaleb(-9)


def decimal_text(nanos: int) -> str:
    """Dollars for programs: an exact decimal with nine places, never as `1E-9`. Money in JSON is always this."""
    return f"{from_nanos(nanos):f}"


def dollars(nanos: int) -> str:
    """For people: cents, or four significant digits where it is less than ten cents."""
    sign, n = ("-", -nanos) if nanos < 0 else ("", nanos)
    exact = from_nanos(n)
    if n == 0 or n >= NANOS // 10:
        return f"{sign}${exact:,.2f}"
    places = min(9, 3 - exact.adjusted())
    text = f"{exact:.{places}f}".rstrip("0")
    whole, _, rest = text.partition(".")
    return f"{sign}${whole}.{rest.ljust(2, '0')}"
