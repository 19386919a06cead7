"""What shoppers are asked for: one goal per combination of option values of every product that has an instruction."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from tratree_data.environments.webshop.catalogue_data import Product
from tratree_data.ids import content_id

SEED = "tratree-webshop-goals-1"
# Shares of the products, not of the goals: a product and all of its goals are in one split.
SPLITS = (("train", 0.8), ("dev", 0.1), ("test", 0.1))
PRICE_STEPS = [10.0 * step for step in range(1, 100)]


@dataclass(frozen=True)
class Goal:
    task_id: str
    asin: str
    instruction: str
    attributes: tuple[str, ...]
    options: dict[str, str]
    price_limit: float | None
    """None if the product costs more than the highest limit."""


def goal_price(product: Product) -> float | None:
    """The larger of two of the next four $10 steps above the price, drawn from the product's own seed."""
    above = [step for step in PRICE_STEPS if step > product.price][:4]
    return max(random.Random(f"{SEED}:{product.asin}").sample(above, 2)) if len(above) >= 2 else None


def goals_of(product: Product, limit: int) -> list[Goal]:
    """At most `limit` goals of a product, drawn from its seed. A goal keeps its number whatever the limit is."""
    if not product.instruction or not product.instruction_attributes:
        return []
    names = sorted(product.options)
    price_limit = goal_price(product)
    price_text = f", and price lower than {price_limit:.2f} dollars" if price_limit is not None else ""
    sizes = [len(product.options[name]) for name in names]
    count = 1
    for size in sizes:
        count *= size
    numbers = range(count)
    chosen: Sequence[int] = numbers if count <= limit else random.Random(f"{SEED}:{product.asin}:goals").sample(numbers, limit)
    goals = []
    for number in chosen:
        options = combination(product, names, number)
        option_text = ", and ".join(f"{name}: {value}" for name, value in options.items())
        text = f"{product.instruction}{' with ' + option_text if option_text else ''}{price_text}"
        goals.append(Goal(f"{product.asin}-{number}", product.asin, text, product.instruction_attributes, options, price_limit))
    return goals


def combination(product: Product, names: Sequence[str], number: int) -> dict[str, str]:
    """The number-th combination of option values, the last option running fastest."""
    values = {}
    for name in reversed(names):
        number, position = divmod(number, len(product.options[name]))
        values[name] = product.options[name][position]
    return {name: values[name] for name in names}


def split_of(asin: str) -> str:
    share = int(content_id(SEED, "split", asin), 16) / 16**16
    for name, width in SPLITS:
        if share < width:
            return name
        share -= width
    return SPLITS[-1][0]


def make_goals(products: Sequence[Product], limit: int) -> dict[str, list[Goal]]:
    """The goals of each split. First one goal of every product, then the second ones, …: any first N tasks are spread over products."""
    rounds: dict[str, list[tuple[int, str, Goal]]] = {name: [] for name, _ in SPLITS}
    for product in products:
        goals = sorted(goals_of(product, limit), key=lambda goal: content_id(SEED, goal.task_id))
        place = content_id(SEED, "order", product.asin)
        rounds[split_of(product.asin)] += [(turn, place, goal) for turn, goal in enumerate(goals)]
    ordered = {name: sorted(entries, key=lambda entry: (entry[0], entry[1], entry[2].task_id)) for name, entries in rounds.items()}
    return {name: [goal for _, _, goal in entries] for name, entries in ordered.items()}
