"""What a text may hold to be stored: not lone surrogates, which UTF-8 cannot encode, nor NUL, on which SQL tools stumble.

Explore and import replace both by U+FFFD before anything is compared or hashed, and note in `dropped` how many.
"""

import re

REPLACEMENT = "\ufffd"
REPLACED = "replaced_characters"
"""The reason in `dropped` for a rollout that was kept."""
UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def replace_unstorable(text: str) -> tuple[str, int]:
    """The text as it can be stored, and how many characters were replaced."""
    if text.isascii() and "\0" not in text:
        return text, 0
    return UNSTORABLE.subn(REPLACEMENT, text)


def storable(text: str) -> str:
    return replace_unstorable(text)[0]


def replacement_detail(count: int) -> str:
    return f"{count} NUL or lone surrogate characters became U+FFFD; the rollout was kept"
