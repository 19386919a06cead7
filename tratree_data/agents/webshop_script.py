"""How a scripted agent shops: what could be done next on a page, and how sensible that is."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tratree_data.agents import Request
from tratree_data.agents.scripted_choices import Choice
from tratree_data.agents.webshop_reading import (
    SEPARATOR,
    Memory,
    Need,
    Offer,
    lowest_amount,
    option_values,
    page_kind,
    read_need,
    read_offers,
    remember,
    shorten,
)

PATIENCE = 10
"""The number of steps that the script plans for."""


def shop(request: Request) -> list[Choice]:
    """What could be done on the page at hand."""
    parts = request.observation.split(SEPARATOR)
    visit = Visit(read_need(request.instruction), remember(request.history, request.observation), parts, PATIENCE - len(request.history))
    pages: dict[str, Callable[[], Iterator[Choice]]] = {
        "search": visit.search,
        "results": visit.results,
        "item": visit.item,
        "subpage": visit.subpage,
    }
    return list(pages[page_kind(parts)]())


@dataclass
class Visit:
    need: Need
    memory: Memory
    parts: list[str]
    steps_left: int

    def search(self) -> Iterator[Choice]:
        need = self.need
        attributes = " ".join(need.attributes)
        queries = [
            ("search_well", f"{attributes} {need.thing}".strip(), 1.0),
            ("search_narrow", f"{need.thing} {need.attributes[0]}" if need.attributes else need.thing, 0.75),
            ("search_options", " ".join([need.thing, *need.options.values()]), 0.6),
            ("search_thing", need.thing, 0.6),
            ("search_word", need.thing.split()[-1] if need.thing else "gift", 0.3),
            ("search_badly", need.attributes[-1] if need.attributes else "best seller", 0.0),
        ]
        unique = {query: (kind, query, quality) for kind, query, quality in reversed(queries)}
        for kind, query, quality in reversed(unique.values()):
            again = 0.5 if query in self.memory.queries else 0.0
            yield Choice(f"search[{query}]", kind, quality - again, {"query": query, "thing": need.thing})
        yield Choice(f"click[{need.thing}]", "invalid_search", -0.3, {"thing": need.thing})

    def results(self) -> Iterator[Choice]:
        need, seen = self.need, self.memory.evidence
        offers = read_offers(self.parts)
        unseen = [offer for offer in offers if offer.asin not in seen]
        ranked = sorted(unseen, key=lambda offer: (-self.worth(offer), offers.index(offer)))
        if ranked:
            best = ranked[0]
            good = self.worth(best) > 0.45
            yield self.open(best, "open_best", 1.0 if good else 0.4)
            yield self.open(unseen[0], "open_first", 0.55)
            luring = max(unseen, key=lambda offer: need.fit(offer.title))
            yield self.open(
                luring, "open_dear" if self.too_dear(luring.price) else "open_fitting", 0.3 if self.too_dear(luring.price) else 0.8
            )
            cheapest = min(unseen, key=lambda offer: (offer.price or 0.0, offer.asin))
            yield self.open(cheapest, "open_cheapest", 0.3)
            yield self.open(ranked[-1], "open_odd", -0.1)
        else:
            good = False
        returning = [offer for offer in offers if offer.asin in seen]
        if returning:
            kept = max(returning, key=lambda offer: (self.promise(offer), offer.asin))
            yield self.open(kept, "open_again", 0.85 if self.steps_left <= 4 and self.promise(kept) > 0.6 else 0.2)
        if "Next >" in self.parts:
            yield Choice("click[Next >]", "next_page", 0.2 if good else 0.7, {"thing": need.thing})
        yield Choice("click[Back to Search]", "search_again", 0.1 if good else 0.75, {"thing": need.thing})
        yield Choice("click[Buy Now]", "invalid_buy", -0.4, {})

    def open(self, offer: Offer, kind: str, quality: float) -> Choice:
        price = f"${offer.price:.2f}" if offer.price is not None else "the price"
        limit = f"${self.need.limit:.2f}" if self.need.limit is not None else "no limit"
        facts = {"title": shorten(offer.title), "price": price, "limit": limit, "thing": self.need.thing}
        return Choice(f"click[{offer.asin}]", kind, quality, facts)

    def too_dear(self, price: float | None) -> bool:
        return self.need.limit is not None and price is not None and price > self.need.limit

    def worth(self, offer: Offer) -> float:
        return self.need.fit(offer.title) - (0.6 if self.too_dear(offer.price) else 0.0)

    def promise(self, offer: Offer) -> float:
        """How well a product that was looked at fits, judged by everything read about it."""
        return self.need.fit(self.memory.evidence[offer.asin]) - (0.6 if self.too_dear(offer.price) else 0.0)

    def item(self) -> Iterator[Choice]:
        need, memory = self.need, self.memory
        offered = [part.lower() for part in option_values(self.parts)]
        chosen = [value.lower() for value in memory.chosen]
        wanted = [value for value in need.options.values() if value in offered]
        open_values = [value for value in wanted if value not in chosen]
        price = next((lowest_amount(part) for part in self.parts if part.startswith("Price: ")), None)
        title = next((self.parts[place - 1] for place, part in enumerate(self.parts) if part.startswith("Price: ")), "it")
        missing = need.missing(f"{title} {memory.evidence.get(memory.product, '')}")
        read = memory.read.get(memory.product, set())
        facts = {"title": shorten(title), "missing": " and ".join(missing) or "nothing", "thing": need.thing}
        facts |= {
            "price": f"${price:.2f}" if price is not None else "the price",
            "limit": f"${need.limit:.2f}" if need.limit else "no limit",
        }
        spare = self.steps_left - len(open_values) - 1
        yield from self._leave(facts, missing, read, spare, self.too_dear(price), len(wanted) < len(need.options))
        if "Features" not in read:
            yield Choice("click[Features]", "read_features", 0.95 if missing and spare >= 2 else 0.2, facts)
        if "Description" not in read:
            useful = len(missing) == 1 and "Features" in read
            yield Choice("click[Description]", "read_description", 0.95 if useful and spare >= 2 else 0.25, facts)
        yield Choice("click[Reviews]", "read_reviews", 0.05, facts)
        for value in open_values[:1]:
            yield Choice(f"click[{value}]", "choose", 0.85, {**facts, "value": value})
        rest = open_values[1:] or [value for value in offered if value not in wanted and value not in need.options]
        if rest:
            wrong = rest[len(memory.queries) % len(rest)] if open_values[1:] else rest[len(title) % len(rest)]
            yield Choice(f"click[{wrong}]", "choose_other", 0.55 if open_values[1:] else 0.1, {**facts, "value": wrong})
        if chosen:
            yield Choice(f"click[{chosen[-1]}]", "choose_again", -0.1, {**facts, "value": chosen[-1]})
        ready = not open_values and (not missing or spare < 2 or {"Features", "Description"} <= read)
        kind = "buy_anyway" if ready and missing else "buy" if ready else "buy_early"
        yield Choice("click[Buy Now]", kind, 0.9 if ready else 0.4 if not open_values else 0.3, facts)
        yield Choice("click[Add to Cart]", "invalid_cart", -0.3, facts)

    def _leave(
        self, facts: dict[str, str], missing: list[str], read: set[str], spare: int, dear: bool, lacks_option: bool
    ) -> Iterator[Choice]:
        quality, kind = 0.0, "leave"
        enough = spare >= 2
        if dear and enough:
            quality, kind = 1.1, "leave_dear"
        elif lacks_option and enough:
            quality, kind = 1.05, "leave_option"
        elif missing and "Features" in read and (len(missing) > 1 or "Description" in read) and enough:
            quality, kind = 0.98, "leave_missing"
        yield Choice("click[< Prev]", kind, quality, facts)

    def subpage(self) -> Iterator[Choice]:
        missing = self.need.missing(self.memory.evidence.get(self.memory.product, ""))
        facts = {"missing": " and ".join(missing), "thing": self.need.thing}
        yield Choice("click[< Prev]", "go_back_missing" if missing else "go_back", 0.95, facts)
        yield Choice("click[Back to Search]", "search_again", 0.3 if missing else 0.0, facts)
        yield Choice("click[Buy Now]", "invalid_buy", 0.1, facts)
