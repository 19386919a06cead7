"""Makes the bundled catalogue: python -m tratree_data.environments.webshop.catalogue [FOLDER]

Every kind of product comes as five pairs of near-twins that a hurried shopper confuses: one of a pair has everything that an instruction
asks for, the other lacks one attribute, one option value, or costs more than the limit. Titles mention at most one attribute; the others
are in the description and the features, so these must be read. All draws are seeded: the same words give the same bytes.
"""

import gzip
import json
import random
import sys
import tomllib
from pathlib import Path
from typing import Any

from tratree_data.environments.webshop.catalogue_data import BUNDLED, INSTRUCTIONS, PRODUCTS
from tratree_data.ids import content_id

SEED = "tratree-webshop-catalogue-1"
PAIRS = 5
CONTRASTS = ("attribute", "option", "price", "attribute", "option")
ALPHABET = "0123456789ABCDEFGHJKLMNPQRSTVWXYZ"

Words = dict[str, Any]
Rows = list[dict[str, Any]]


def make_asin(*parts: object) -> str:
    number = int(content_id(SEED, *parts), 16)
    digits = []
    for _ in range(8):
        number, digit = divmod(number, len(ALPHABET))
        digits.append(ALPHABET[digit])
    return "B0" + "".join(digits)


def title_case(text: str) -> str:
    fixed = {"usb": "USB", "hdmi": "HDMI", "usda": "USDA", "bpa": "BPA", "gmo": "GMO", "c": "C"}
    return " ".join(fixed.get(word, word[:1].upper() + word[1:]) for word in text.split())


def sentence_of(words: Words, attribute: str) -> str:
    return str(next(kind[attribute] for kind in words["attributes"].values() if attribute in kind))


def list_of(values: list[str]) -> str:
    return ", ".join(values)


def instruction_text(words: Words, kind: Words, wanted: list[str], draw: random.Random) -> str:
    by_kind = {
        name: [attribute for attribute in wanted if attribute in words["attributes"][name]] for name in ("plain", "having", "purpose")
    }
    thing = f"{list_of(by_kind['plain'])} {kind['name']}".strip()
    uncountable = kind["name"].endswith("s") or kind.get("uncountable", False)
    article = "" if uncountable else "an" if thing[0] in "aeiou" and not thing.startswith("us") else "a"
    text = f"{draw.choice(words['openings'])} {article} {thing}"
    if by_kind["having"]:
        text += f" with {list_of(by_kind['having'])}"
    if by_kind["purpose"]:
        text += f" for {list_of(by_kind['purpose'])}"
    return " ".join(text.split())


def make_pair(words: Words, kind: Words, number: int) -> list[Words]:
    """Two products as plain facts; the second differs from the first in one relevant point."""
    draw = random.Random(f"{SEED}:{kind['name']}:{number}")
    contrast = CONTRASTS[number]
    attributes = draw.sample(kind["attributes"], 4)
    wanted = attributes[: draw.choice((2, 3))]
    others = [attribute for attribute in kind["attributes"] if attribute not in attributes]
    low, high = kind["price"]
    price = round(low + (high - low) * draw.random() ** 1.5) - 0.01
    options = {name: list(values) for name, values in kind["options"].items()}
    brands = draw.sample(words["brands"], 2)
    alias = draw.choice(kind["alias"])
    first = {"attributes": attributes, "wanted": wanted, "price": price, "options": options, "brand": brands[0], "alias": alias}
    second = {**first, "brand": brands[1], "price": round(max(low, price * draw.uniform(0.82, 1.0))) - 0.01}
    if contrast == "attribute":
        lost = wanted[-1]
        second["attributes"] = [draw.choice(others) if attribute == lost else attribute for attribute in attributes]
        second["wanted"] = [attribute for attribute in second["attributes"][:3] if attribute != lost]
    elif contrast == "price":
        second["price"] = price + draw.choice((45, 50, 60))
        second["alias"] = f"Premium {alias}"
    else:
        name = draw.choice(sorted(options))
        kept = draw.sample(options[name], max(1, len(options[name]) // 2))
        second["options"] = {**options, name: [value for value in options[name] if value in kept]}
    # The order of the two must not reveal which one is right.
    return [first, second] if draw.random() < 0.5 else [second, first]


def make_title(kind: Words, facts: Words, draw: random.Random) -> str:
    shown = title_case(draw.choice(facts["attributes"][:2]))
    name = title_case(kind["name"])
    patterns = (
        "{brand} {shown} {name}, {alias}",
        "{brand} {name} – {alias}, {shown}",
        "{brand} {alias}, {shown} {name}",
        "{brand} {name}, {alias}",
    )
    return draw.choice(patterns).format(brand=facts["brand"], shown=shown, name=name, alias=facts["alias"])


def make_row(words: Words, kind: Words, facts: Words, place: str) -> tuple[dict[str, Any], dict[str, Any]]:
    draw = random.Random(f"{SEED}:{kind['name']}:{place}")
    asin = make_asin(kind["name"], place)
    title = make_title(kind, facts, draw)
    told = draw.sample(facts["attributes"], len(facts["attributes"]))
    description = f"{kind['blurb']} {sentence_of(words, told[0])}"
    choices = " and ".join(f"{len(values)} {name}s" if len(values) > 1 else f"one {name}" for name, values in facts["options"].items())
    bullets = [f"{facts['brand']} {kind['name']}, available in {choices}.", *(sentence_of(words, attribute) for attribute in told[1:])]
    option_text = ", ".join(f"{name}: {', '.join(values)}" for name, values in facts["options"].items())
    price = round(facts["price"], 2)
    product = {
        "asin": asin,
        "name": title,
        "Title": title,
        "query": kind["name"],
        "category": kind["category"],
        "product_category": kind["path"],
        "pricing": [price],
        "Price": f"${price:.2f}",
        "Rating": f"{draw.uniform(3.4, 4.9):.1f} out of 5",
        "Description": description,
        "BulletPoints": bullets,
        "Reviews": draw.sample(words["reviews"], draw.choice((0, 1, 2, 3))),
        "options": facts["options"],
        "Attributes": sorted(facts["attributes"]),
    }
    contents = " ".join((title, description, bullets[0], option_text)).lower()
    entry: dict[str, Any] = {"attributes": sorted(facts["attributes"])}
    wanted = facts["wanted"]
    if len(wanted) >= 2 or (wanted and draw.random() < 0.2):
        entry |= {"instruction": instruction_text(words, kind, wanted, draw), "instruction_attributes": wanted}
    return {"id": asin, "contents": contents, "product": product}, entry


def make_catalogue() -> tuple[Rows, dict[str, Any]]:
    words = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
    rows, instructions = [], {}
    for kind in words["types"]:
        for number in range(PAIRS):
            for side, facts in enumerate(make_pair(words, kind, number)):
                row, entry = make_row(words, kind, facts, f"{number}{side}")
                rows.append(row)
                instructions[row["id"]] = entry
    rows.sort(key=lambda row: str(row["id"]))
    return rows, {asin: instructions[asin] for asin in sorted(instructions)}


def file_contents() -> dict[str, bytes]:
    rows, instructions = make_catalogue()
    lines = "".join(json.dumps(row, ensure_ascii=False, sort_keys=True) + "\n" for row in rows)
    wishes = json.dumps(instructions, ensure_ascii=False, sort_keys=True, indent=1) + "\n"
    return {PRODUCTS: lines.encode(), INSTRUCTIONS: wishes.encode()}


def main(folder: Path = BUNDLED) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in file_contents().items():
        # Without a time stamp the file's bytes depend on its content only.
        (folder / name).write_bytes(gzip.compress(data, 9, mtime=0) if name.endswith(".gz") else data)
    rows, instructions = make_catalogue()
    wishes = sum("instruction" in entry for entry in instructions.values())
    print(f"{len(rows)} products, {wishes} of them with an instruction, written to {folder}", file=sys.stderr)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
