"""The one colour scale for values: orange (0) through grey to blue (1). It stays distinguishable with every common kind of colour
blindness, and by lightness in print; a number is always shown beside it."""

from itertools import pairwise

SCALE = ((0.0, (194, 85, 20)), (0.25, (219, 145, 89)), (0.5, (168, 165, 158)), (0.75, (100, 151, 199)), (1.0, (24, 97, 168)))
"""(value, (red, green, blue)). The page uses the same numbers, and a test compares them."""


def value_colour(value: float | None) -> str:
    """'#rrggbb' for a value from 0 to 1, or '' without a value."""
    if value is None:
        return ""
    value = min(max(value, 0.0), 1.0)
    for (low, dark), (high, light) in pairwise(SCALE):
        if value <= high:
            share = (value - low) / (high - low)
            return "#" + "".join(f"{round(a + (b - a) * share):02x}" for a, b in zip(dark, light, strict=True))
    return ""


GREY, STAR = "#b9b3a8", "#a87900"
INK, SOFT, FAINT, LINE = "#1f1d1a", "#5d5953", "#77726a", "#e3e0da"
"""Colours of figures: no value, e*; text, from strong to faint, and lines."""
