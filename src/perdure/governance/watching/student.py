"""Student's t distribution, for what is judged by few earlier runs. SciPy would be 100 MB, for this one function."""

from __future__ import annotations

from math import exp, lgamma, log, log1p

__all__ = ["t_cdf"]


def t_cdf(t: float, dof: int) -> float:
    """P(T <= t) with `dof` degrees of freedom (at least 1); accurate to about 1e-12.

    By the regularised incomplete beta function (Abramowitz and Stegun 26.7.1, 26.5.8).
    """
    tail = _beta(dof / (dof + t * t), dof / 2, 0.5) / 2
    return tail if t < 0 else 1 - tail


def _beta(x: float, a: float, b: float) -> float:
    """I_x(a, b), by its continued fraction."""
    if x <= 0 or x >= 1:
        return 0.0 if x <= 0 else 1.0
    if x > (a + 1) / (a + b + 2):
        return 1 - _beta(1 - x, b, a)
    front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x)) / a
    c, d = 1.0, 1 - (a + b) * x / (a + 1)
    d = 1 / d if d else 1e300
    value = d
    for m in range(1, 300):
        for step in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1 / ((1 + step * d) or 1e-300)
            c = (1 + step / c) or 1e-300
            value *= c * d
        if abs(c * d - 1) < 1e-14:
            break
    return front * value
