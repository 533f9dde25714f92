"""Numbers as people write them."""

import math


def number(value: float, digits: int = 3) -> str:
    """Formats a number for people: 4,000; 0.25; 1.2e-05; "none" for None."""
    if not math.isfinite(value):
        return "none"
    value = round(value, 12) + 0.0  # no -0
    if value == 0:
        return "0"
    if abs(value) >= 10**digits and abs(value) < 1e7:
        return f"{value:,.0f}".replace("-", "\u2212")
    if abs(value) < 1e-4:
        digit, power = f"{value:.1e}".split("e")
        short = f"{digit.removesuffix('.0')}e{int(power)}"
        return short.replace("-", "\u2212")
    return f"{value:.{digits}g}".replace("-", "\u2212")
