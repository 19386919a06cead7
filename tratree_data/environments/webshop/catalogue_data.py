"""Reading a catalogue: products.jsonl.gz and instructions.json of a folder → products that the shop can show.

The rows may come from anywhere, so they are checked one by one: a row that breaks a rule is left out with its line and reason, and no text
of a product can look like a part of a page.
"""

import gzip
import hashlib
import json
import math
import random
import re
import zlib
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from tratree_data.errors import BadInputError, NotFoundError

BUNDLED = Path(__file__).parent / "data"
PRODUCTS = "products.jsonl.gz"
INSTRUCTIONS = "instructions.json"
STANDARD_DATA = (
    "the standard 1,000 products of WebShop (github.com/princeton-nlp/WebShop, repacked as products.jsonl.gz and instructions.json)"
)
LONGEST_TEXT = 20_000
MOST_VALUES = 2_000
BUTTONS = ("Search", "Back to Search", "Next >", "< Prev", "Description", "Features", "Reviews", "Buy Now")
_RESERVED = frozenset(button.lower() for button in BUTTONS)
_ASIN = re.compile(r"[A-Za-z0-9]{1,20}")
_SEPARATOR = re.compile(r"\[\s*SEP\s*\]", re.IGNORECASE)


@dataclass(frozen=True)
class Product:
    asin: str
    title: str
    price: float
    """The price; if the page shows a range, a value in it, drawn from the product's own seed."""
    price_text: str
    query: str
    category: str
    category_path: str
    description: str = ""
    bullets: tuple[str, ...] = ()
    reviews: tuple[str, ...] = ()
    rating: str = "N.A."
    options: dict[str, tuple[str, ...]] = field(default_factory=dict)
    attributes: tuple[str, ...] = ()
    contents: str = ""
    """The text that is searched."""
    instruction: str = ""
    instruction_attributes: tuple[str, ...] = ()

    @cached_property
    def category_parts(self) -> frozenset[str]:
        return frozenset(part.strip() for part in self.category_path.split("›"))


@dataclass(frozen=True)
class Catalogue:
    name: str
    products: tuple[Product, ...]
    dropped: tuple[tuple[str, str], ...]
    """(line, reason) of every row that was left out."""
    content_hash: str


class BadRow(Exception):
    """A product row that breaks a rule; the message is the reason."""


def clean(text: object) -> str:
    """One line, without anything that looks like the page's separator."""
    if not isinstance(text, str):
        raise BadRow(f"a text was expected, not {type(text).__name__}")
    # An unpaired surrogate cannot be written to any table; a replacement character can.
    encodable = text[:LONGEST_TEXT].encode("utf-8", "replace").decode("utf-8")
    return " ".join(_SEPARATOR.sub("(SEP)", encodable).split())


def clean_all(values: object, name: str) -> tuple[str, ...]:
    if values is None or values == "":
        return ()
    entries = [values] if isinstance(values, str) else values
    if not isinstance(entries, list):
        raise BadRow(f"{name} is not a list")
    return tuple(filter(None, (clean(value) for value in entries[:MOST_VALUES])))


def read_catalogue(folder: Path) -> Catalogue:
    name = "bundled" if folder == BUNDLED else folder.resolve().name
    rows, instructions = _read_bytes(folder, PRODUCTS), _read_bytes(folder, INSTRUCTIONS)
    wishes = _read_instructions(instructions, folder / INSTRUCTIONS)
    products: dict[str, Product] = {}
    dropped = []
    for number, line in enumerate(rows.split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            product = read_product(line, wishes)
            if product.asin in products:
                raise BadRow(f"the ASIN {product.asin} is in an earlier line")
            products[product.asin] = product
        except BadRow as reason:
            dropped.append((f"line {number}", str(reason)))
    if not products:
        why = f" The first: {dropped[0][0]}: {dropped[0][1]}." if dropped else ""
        raise BadInputError(f"{folder / PRODUCTS} has no usable product.{why}\nNext: put {STANDARD_DATA} there, or leave the option out.")
    digest = hashlib.sha256(rows + b"\0" + instructions).hexdigest()[:12]
    return Catalogue(name, tuple(products.values()), tuple(dropped), digest)


def _read_bytes(folder: Path, name: str) -> bytes:
    path = folder / name
    if not path.is_file():
        raise NotFoundError(
            f"WebShop's data folder {folder} has no {name}.\n"
            f"Next: name a folder with {STANDARD_DATA}, or unset TRATREE_WEBSHOP_DATA for the bundled catalogue."
        )
    try:
        data = path.read_bytes()
        return gzip.decompress(data) if name.endswith(".gz") else data
    except (OSError, EOFError, zlib.error) as error:
        raise BadInputError(f"{path} cannot be read: {error}.\nNext: download the file again.") from error


def _read_instructions(text: bytes, path: Path) -> dict[str, Any]:
    try:
        wishes = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadInputError(f"{path} is not valid JSON: {error}.\nNext: download the file again.") from error
    if not isinstance(wishes, dict):
        raise BadInputError(
            f"{path} must be one JSON object with an entry per ASIN, not a {type(wishes).__name__}.\nNext: download it again."
        )
    return wishes


def read_product(line: bytes, wishes: dict[str, Any]) -> Product:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise BadRow("not valid JSON") from error
    fields = row.get("product") if isinstance(row, dict) else None
    if not isinstance(fields, dict):
        raise BadRow("not an object with a 'product' object in it")
    asin = fields.get("asin")
    if not isinstance(asin, str) or not _ASIN.fullmatch(asin):
        raise BadRow("'asin' is not an ASIN (1 to 20 letters and digits)")
    wish = wishes.get(asin)
    wish = wish if isinstance(wish, dict) else {}
    # One of the standard products has an empty name; only its ASIN can name it.
    title = clean(fields["Title"] if "Title" in fields else fields.get("name")) or asin
    description = clean(fields.get("Description") or fields.get("full_description") or "")
    bullets = clean_all(fields.get("BulletPoints") or fields.get("small_description"), "'BulletPoints'")
    options = read_options(fields.get("options"))
    contents = clean(row.get("contents") or " ".join((title, description, *bullets[:1], *(v for vs in options.values() for v in vs))))
    price, price_text = read_price(asin, fields)
    return Product(
        asin=asin,
        title=title,
        price=price,
        price_text=price_text,
        query=clean(fields.get("query") or "").lower(),
        category=clean(fields.get("category") or ""),
        category_path=clean(fields.get("product_category") or ""),
        description=description,
        bullets=bullets,
        reviews=read_reviews(fields.get("Reviews")),
        rating=clean(str(fields.get("Rating") or "N.A.")),
        options=options,
        attributes=clean_all(wish.get("attributes") or fields.get("Attributes"), "'attributes'"),
        contents=contents.lower(),
        instruction=clean(wish.get("instruction") or "").rstrip(" ."),
        instruction_attributes=clean_all(wish.get("instruction_attributes"), "'instruction_attributes'"),
    )


def read_price(asin: str, fields: dict[str, Any]) -> tuple[float, str]:
    amounts = fields.get("pricing")
    if amounts in (None, "", []):
        amounts = [100.0]
    if not isinstance(amounts, list):
        raise BadRow("'pricing' is not a list of numbers")
    for amount in amounts:
        if isinstance(amount, bool) or not isinstance(amount, int | float) or not math.isfinite(amount) or not 0 <= amount < 1e9:
            raise BadRow(f"the price {amount!r} is not an amount of money")
    low, high = float(min(amounts[:2])), float(max(amounts[:2]))
    text = f"${low} to ${high}" if low < high else f"${low}"
    price = low if low == high else random.Random(f"tratree-webshop-price:{asin}").uniform(low, high)
    return round(price, 2), clean(fields.get("Price") or text)


def read_options(found: object) -> dict[str, tuple[str, ...]]:
    """Option names and values in lower case. A value that is also a button could not be clicked, so it is not an option value."""
    if found in (None, "", {}):
        return {}
    if not isinstance(found, dict):
        raise BadRow("'options' is not an object")
    options = {}
    for name, values in found.items():
        unique = dict.fromkeys(value.lower() for value in clean_all(values, "an option's values"))
        kept = tuple(value for value in unique if value not in _RESERVED)
        if clean(name) and kept:
            options[clean(name).lower()] = kept
    return options


def read_reviews(found: object) -> tuple[str, ...]:
    if found in (None, ""):
        return ()
    if not isinstance(found, list):
        raise BadRow("'Reviews' is not a list")
    texts = []
    for review in found[:MOST_VALUES]:
        parts = [review.get("title"), review.get("body")] if isinstance(review, dict) else [review]
        texts.append(" – ".join(clean(part) for part in parts if part))
    return tuple(filter(None, texts))
