"""What a scripted agent understands of WebShop's pages: the need in an instruction, the offers on a page, and what it has seen so far.

It uses only the instruction, the observation and its own history, never the goal behind the instruction.
"""

import re
from dataclasses import dataclass, field
from functools import lru_cache

from tratree_data.agents import Step

SEPARATOR = " [SEP] "
_PRICE_LIMIT = re.compile(r",? and price lower than ([\d.]+) dollars\.?$")
_OPENING = re.compile(r"^(?:please )?(?:find me|i am looking for|i need|i want(?: to buy)?)\s+(?:an? )?", re.IGNORECASE)
_OPTIONS = re.compile(r" with (?=(?:(?! with )[^:,]){1,40}: )")
_AMOUNT = re.compile(r"\$([\d,]+(?:\.\d+)?)")
_ASIN = re.compile(r"[A-Z0-9]{10}")
_ENDS_OF_ADJECTIVES = ("able", "free", "proof", "resistant", "safe", "duty", "saving", "assemble", "efficient", "organic", "gmo")
_WORD = re.compile(r"[^\W_]+")
_RESULTS = re.compile(r"Page (\d+) \(Total results: (\d+)\)")


@lru_cache(maxsize=20_000)
def words(text: str) -> frozenset[str]:
    """Words in lower case, without a plural's s."""
    return frozenset(word[:-1] if len(word) > 3 and word.endswith("s") else word for word in _WORD.findall(text.lower()))


@dataclass(frozen=True)
class Need:
    """What an instruction asks for, as far as its words show."""

    thing: str
    attributes: tuple[str, ...]
    options: dict[str, str]
    limit: float | None

    def missing(self, evidence: str) -> list[str]:
        """The attributes that a text does not mention."""
        known = words(evidence)
        return [attribute for attribute in self.attributes if not words(attribute) <= known]

    def fit(self, title: str) -> float:
        """How much of the need a title covers: mostly whether it is the thing at all."""
        known = words(title)
        thing = len(words(self.thing) & known) / max(1, len(words(self.thing)))
        named = 1 - len(self.missing(title)) / max(1, len(self.attributes))
        return 0.7 * thing + 0.3 * named


@lru_cache(maxsize=2_000)
def read_need(instruction: str) -> Need:
    price = _PRICE_LIMIT.search(instruction)
    rest = instruction[: price.start()] if price else instruction
    core, *option_text = _OPTIONS.split(rest, maxsplit=1)
    options = {}
    for part in re.split(r",? and (?=[^:,]{1,40}: )", option_text[0]) if option_text else []:
        name, _, value = part.partition(": ")
        options[name.strip().lower()] = value.strip().lower()
    head, *clauses = re.split(r" (?:with|for) ", _OPENING.sub("", core))
    *plain, last = head.split(", ")
    tail = last.split()
    start = start_of_thing(tail)
    thing = " ".join(tail[start:])
    attributes = [*plain, " ".join(tail[:start]), *(part for clause in clauses for part in clause.split(", "))]
    return Need(thing, tuple(filter(None, attributes)), options, float(price[1]) if price else None)


def start_of_thing(tail: list[str]) -> int:
    """Where the product's name begins among the last words before any clause: mostly, it is the last two words."""
    start = max(0, len(tail) - 2)
    if len(tail) >= 2 and tail[-2].endswith(_ENDS_OF_ADJECTIVES):
        return len(tail) - 1
    return start - 1 if start and tail[start - 1].endswith(("'s", "’s")) else start


@dataclass(frozen=True)
class Offer:
    asin: str
    title: str
    price: float | None


@dataclass
class Memory:
    """What the agent knows from the pages it has seen."""

    queries: list[str] = field(default_factory=list)
    product: str = ""
    chosen: list[str] = field(default_factory=list)
    evidence: dict[str, str] = field(default_factory=dict)
    """ASIN → everything read about the product."""
    read: dict[str, set[str]] = field(default_factory=dict)
    offers: dict[str, Offer] = field(default_factory=dict)


def page_kind(parts: list[str]) -> str:
    if "Buy Now" in parts:
        return "item"
    if parts[-1] == "Search":
        return "search"
    return "results" if any(_RESULTS.fullmatch(part) for part in parts[:6]) else "subpage"


def clicked(action: str) -> str:
    match = re.fullmatch(r"click\[(.*)\]", action)
    return match[1] if match else ""


def remember(steps: tuple[Step, ...], observation: str) -> Memory:
    memory = Memory()
    seen = [*(step.observation for step in steps), observation]
    for step, after in zip(steps, seen[1:], strict=True):
        before, label = step.observation.split(SEPARATOR), clicked(step.action)
        kind = page_kind(before)
        if kind == "search" and step.action.startswith("search["):
            memory.queries.append(step.action[7:-1])
        if kind == "results":
            memory.offers |= {offer.asin: offer for offer in read_offers(before)}
            if label in memory.offers:
                memory.product, memory.chosen = label, []
                memory.evidence.setdefault(label, memory.offers[label].title)
        elif kind == "item" and label in ("Description", "Features", "Reviews"):
            memory.read.setdefault(memory.product, set()).add(label)
            memory.evidence[memory.product] = f"{memory.evidence.get(memory.product, '')} {after}".replace(wish_of(after), "")
        elif kind == "item" and label in option_values(before):
            memory.chosen.append(label)
    return memory


def wish_of(observation: str) -> str:
    """The instruction as the page repeats it, which is not evidence of anything."""
    parts = observation.split(SEPARATOR)
    place = parts.index("Instruction:") + 1 if "Instruction:" in parts[:-1] else 0
    return parts[place] if place else ""


def read_offers(parts: list[str]) -> list[Offer]:
    return [
        Offer(asin, parts[place + 1], lowest_amount(parts[place + 2]))
        for place, asin in enumerate(parts[:-2])
        if _ASIN.fullmatch(asin) and parts[place + 2].startswith("$")
    ]


def lowest_amount(text: str) -> float | None:
    amounts = [float(amount.replace(",", "")) for amount in _AMOUNT.findall(text)]
    return min(amounts, default=None)


def option_values(parts: list[str]) -> list[str]:
    """The names and values of options: what is between '< Prev' and the title."""
    price = next((place for place, part in enumerate(parts) if part.startswith("Price: ")), len(parts))
    start = parts.index("< Prev") + 1 if "< Prev" in parts else price
    return parts[start : max(start, price - 1)]


def shorten(title: str, length: int = 60) -> str:
    return title if len(title) <= length else title[: length - 1].rsplit(" ", 1)[0] + " …"
