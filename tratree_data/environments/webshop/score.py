"""The score of a purchase: type * (attributes + options + price) / (goal attributes + goal options + 1), as in the original shop.

One fault of the original is fixed here: it compares chosen options as the text of a (name, value) tuple, which keeps 6.6 % of its goals
from ever reaching 1. Here values are compared with values, and equal values always match.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from tratree_data.environments.webshop.catalogue_data import Product
from tratree_data.environments.webshop.goals import Goal
from tratree_data.environments.webshop.nouns import nouns
from tratree_data.errors import missing_package

try:
    from rapidfuzz import fuzz, utils
except ImportError as error:
    raise missing_package("rapidfuzz", "webshop") from error

SAME = 85
# A colour name anywhere in a value stands for the value. In alphabetical order, and the first one counts: 'navy blue' is blue.
_COLOURS = """amber apricot aqua azure beige black blue blush bronze brown burgundy camel caramel champagne charcoal cherry
    chocolate coffee copper coral cream crimson denim emerald espresso fuchsia gold gray green grey indigo ivory
    khaki lavender lemon leopard lilac lime magenta mahogany maroon mauve mint mocha multicolor mustard navy nude
    oak olive orange peach pearl pink plum purple rainbow red rose rust sapphire scarlet silver tan taupe teal
    turquoise violet walnut white wine yellow"""
COLOURS = sorted(_COLOURS.split())


@dataclass(frozen=True)
class Score:
    """A purchase's score and the terms that it is made of."""

    total: float
    type: float
    attributes: int
    options: int
    price: int
    goal_attributes: int
    goal_options: int


@lru_cache(maxsize=100_000)
def alike(left: str, right: str) -> bool:
    """token_set_ratio > 85 as the original's library has it: of ASCII letters and digits in lower case, rounded to a whole number.

    Equal texts are alike even where nothing of them is left then.
    """
    return left == right or round(fuzz.token_set_ratio(_plain(left), _plain(right))) > SAME


def _plain(text: str) -> str:
    return utils.default_process(text.encode("ascii", "ignore").decode())


def normalise_colour(value: str) -> str:
    lowered = value.lower()
    return next((colour for colour in COLOURS if colour in lowered), lowered)


def count_attributes(product: Product, goal: Goal) -> int:
    texts = (product.title.lower(), " ".join(product.bullets).lower(), product.description.lower())
    return sum(
        any(alike(own, wanted) for own in product.attributes) or any(wanted.lower() in text for text in texts) for wanted in goal.attributes
    )


def count_options(chosen: Iterable[str], goal: Goal) -> int:
    values = [normalise_colour(value) for value in chosen]
    wanted_values = [normalise_colour(value) for value in goal.options.values()]
    return sum(any(alike(value, wanted) for value in values) for wanted in wanted_values)


def title_score(product: Product, target: Product) -> float:
    """Shared nouns / the goal's nouns; 0.2 where the goal's name has none."""
    wanted = nouns(target.title)
    return len(set(nouns(product.title)) & set(wanted)) / len(wanted) if wanted else 0.2


def type_factor(product: Product, target: Product) -> float:
    """1 for the same kind of product, 0.5 for another kind, 0.1 or 0 where the names share next to nothing."""
    shared = title_score(product, target)
    if shared == 0:
        return 0.0
    if shared < 0.1:
        return 0.1
    same_path = len(product.category_parts & target.category_parts) >= 2
    return 1.0 if product.query == target.query or same_path or shared > 0.2 else 0.5


def score_purchase(product: Product, chosen: Iterable[str], goal: Goal, target: Product) -> Score:
    """`target` is the product that the goal was made from."""
    kind = type_factor(product, target)
    attributes = count_attributes(product, goal)
    options = count_options(chosen, goal)
    price = int(goal.price_limit is None or product.price <= goal.price_limit)
    total = kind * (attributes + options + price) / (len(goal.attributes) + len(goal.options) + 1)
    return Score(total, kind, attributes, options, price, len(goal.attributes), len(goal.options))
