"""The shop as a state machine: which page an episode is on, and where a search or a click leads from there."""

import random
import re
from dataclasses import dataclass, field, replace

from tratree_data.environments.webshop import pages
from tratree_data.environments.webshop.catalogue_data import Catalogue, Product
from tratree_data.environments.webshop.goals import Goal
from tratree_data.environments.webshop.pages import MAX_RESULTS, RESULTS_PER_PAGE, SEPARATOR, SUBPAGES
from tratree_data.environments.webshop.ranking import Index
from tratree_data.environments.webshop.score import Score, score_purchase

ACTION = re.compile(r"\s*(search|click)\[(.*)\]\s*", re.DOTALL | re.IGNORECASE)
LONGEST_ACTION = 10_000


class Shop:
    """What all episodes share without changing it: the products and the index over them."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.products = catalogue.products
        self.by_asin = {product.asin: product for product in catalogue.products}
        self._index = Index([product.contents for product in catalogue.products])

    def search(self, keywords: str) -> tuple[Product, ...]:
        return tuple(self.products[number] for number in self._index.search(keywords, MAX_RESULTS))

    def forget_queries(self) -> None:
        """Forgets cached searches, for measurements."""
        self._index.forget_queries()


@dataclass(frozen=True)
class Page:
    """Where the shopper is. `kind` is search, results, item, done, or the name of an item's subpage."""

    kind: str = "search"
    results: tuple[Product, ...] = ()
    number: int = 1
    product: Product | None = None
    options: dict[str, str] = field(default_factory=dict)


class Visit:
    """One episode: a goal, the page, and the score once something was bought."""

    def __init__(self, shop: Shop, goal: Goal, banner_seed: str | None = None) -> None:
        self.shop = shop
        self.goal = goal
        self.page = Page()
        self.score: Score | None = None
        # Real shops show something that differs on every visit.
        self._banner = f"Deal ends in {random.Random(banner_seed).randrange(10, 240)} minutes{SEPARATOR}" if banner_seed is not None else ""

    def act(self, action: str) -> bool:
        """Carries out an action; returns False and changes nothing else if the page does not offer it."""
        match = ACTION.fullmatch(action[:LONGEST_ACTION])
        if match is None:
            return False
        verb, argument = match[1].lower(), " ".join(match[2].split())
        page = self._search(argument) if verb == "search" else self._click(argument.lower())
        if page is None:
            return False
        self.page = page
        return True

    def observation(self) -> str:
        page, wish = self.page, self.goal.instruction
        if page.kind == "search":
            text = pages.search_page(wish)
        elif page.kind == "results":
            text = pages.results_page(wish, page.results, page.number)
        elif page.product is None:
            raise AssertionError(f"a page of kind {page.kind!r} without a product")
        elif page.kind == "item":
            text = pages.item_page(wish, page.product)
        elif page.kind == "done":
            text = pages.done_page(page.product, page.options, self.score.total if self.score else 0.0)
        else:
            text = pages.subpage(wish, page.product, page.kind)
        return self._banner + text

    def buttons(self) -> list[str]:
        """What can be clicked now, as written on the page."""
        page = self.page
        if page.kind in ("search", "done") or (page.product is None and page.kind != "results"):
            return []
        if page.product is None:
            shown = page.results[(page.number - 1) * RESULTS_PER_PAGE : page.number * RESULTS_PER_PAGE]
            return [*pages.results_buttons(page.number, len(page.results)), *(product.asin for product in shown)]
        if page.kind != "item":
            return ["Back to Search", "< Prev"]
        values = dict.fromkeys(value for values in page.product.options.values() for value in values)
        return ["Back to Search", "< Prev", *values, *SUBPAGES, "Buy Now"]

    def _search(self, keywords: str) -> Page | None:
        if self.page.kind != "search" or not keywords:
            return None
        return Page("results", self.shop.search(keywords))

    def _click(self, label: str) -> Page | None:
        page = self.page
        if page.kind in ("search", "done"):
            return None
        if label == "back to search":
            return Page()
        if page.product is None:
            return self._click_result(label)
        if page.kind != "item":
            return replace(page, kind="item") if label == "< prev" else None
        if label == "< prev":
            return Page("results", page.results, page.number)
        if label == "buy now":
            self.score = score_purchase(page.product, page.options.values(), self.goal, self.shop.by_asin[self.goal.asin])
            return replace(page, kind="done")
        subpage = next((name for name in SUBPAGES if name.lower() == label), None)
        return replace(page, kind=subpage) if subpage else self._choose(page.product, label)

    def _click_result(self, label: str) -> Page | None:
        page = self.page
        last = -(-len(page.results) // RESULTS_PER_PAGE)
        if label == "next >" and page.number < last:
            return replace(page, number=page.number + 1)
        if label == "< prev" and page.number > 1:
            return replace(page, number=page.number - 1)
        shown = page.results[(page.number - 1) * RESULTS_PER_PAGE : page.number * RESULTS_PER_PAGE]
        product = next((product for product in shown if product.asin.lower() == label), None)
        return Page("item", page.results, page.number, product) if product else None

    def _choose(self, product: Product, value: str) -> Page | None:
        """A value that several options offer is chosen for all of them: the click does not say which it means."""
        chosen = {name: value for name, values in product.options.items() if value in values}
        return replace(self.page, options={**self.page.options, **chosen}) if chosen else None
