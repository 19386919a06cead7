"""Secrets that belong to nobody, in the contexts where they occur, and harmless texts that look like them.

`tests/data/secrets` holds templates; the random parts are drawn here, so that no file contains anything a secret scanner reports.
"""

import base64
import random
import re
import string
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent.parent / "data" / "secrets"
ALPHABETS = {
    "a": string.ascii_letters + string.digits,
    "A": string.ascii_uppercase + string.digits,
    "l": string.ascii_lowercase + string.digits,
    "d": string.digits,
    "h": "0123456789abcdef",
    "H": "0123456789ABCDEF",
    "s": string.ascii_letters + string.digits + "-_",
    "T": string.ascii_uppercase + "234567",
    "p": string.ascii_letters + string.digits + "!#$%&*+-=?^_~",
}


@dataclass(frozen=True)
class Example:
    kind: str
    text: str
    secret: str
    """Empty for a text that must stay as it is."""


def secrets(name: str, seed: int) -> list[Example]:
    """The examples of `dev` or `held_back`, one per kind."""
    chance = random.Random(seed)
    return [_example(kind, template, chance) for kind, template in _lines(f"{name}.txt")]


def look_alikes(name: str, seed: int) -> list[Example]:
    chance = random.Random(seed)
    return [Example("clean", fill(text, chance), "") for text in _texts(f"{name}_clean.txt")]


def fill(template: str, chance: random.Random) -> str:
    """Draws every `<a20>` and writes `\\n` as the end of a line."""
    drawn = re.sub(r"<([a-zA-Z])(\d*)>", lambda match: _draw(match[1], int(match[2] or 0), chance), template)
    return drawn.replace("\\\\", "\0").replace("\\n", "\n").replace("\0", "\\")


def _example(kind: str, template: str, chance: random.Random) -> Example:
    before, _, rest = fill(template, chance).partition("«")
    secret, _, after = rest.partition("»")
    return Example(kind, before + secret + after.replace("«", "").replace("»", ""), secret)


def _draw(letter: str, count: int, chance: random.Random) -> str:
    if letter == "u":
        return str(uuid.UUID(int=chance.getrandbits(128), version=4))
    if letter == "b":
        return base64.b64encode(chance.randbytes(count)).decode()[:count].rstrip("=")
    if letter not in ALPHABETS:
        return f"<{letter}{count or ''}>"
    letters = ALPHABETS[letter]
    text = "".join(chance.choices(letters, k=count))
    if letter in "asp" and count >= 8 and not re.search(r"\d", text):
        return text[:3] + "7" + text[4:]
    return text[0].replace(text[0], "k") + text[1:] if letter == "p" else text


def _texts(name: str) -> Iterator[str]:
    for line in (FOLDER / name).read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("# "):
            yield line


def _lines(name: str) -> Iterator[tuple[str, str]]:
    for line in _texts(name):
        kind, _, template = line.partition(" | ")
        yield kind, template
