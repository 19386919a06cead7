"""Attachments of an Inspect log: long texts and images that messages point to."""

from collections.abc import Mapping
from typing import Any

from tratree_data.importers.turns.dialects import DATA_URL, placeholder

POINTERS = ("attachment://", "tc://")
LONGEST_POINTER = 100
KINDS = {"application": "document", "text": "document"}


def attached_text(text: str) -> str:
    """An attachment as messages will contain it: of an image, however large, only the placeholder."""
    media = DATA_URL.match(text)
    if media is None:
        return text
    kind = media["type"].partition("/")[0]
    return placeholder({"type": KINDS.get(kind, kind) or "part", "data": text})


def resolved(value: Any, attachments: Mapping[str, str]) -> Any:
    """The value with the attachments that it refers to; an image becomes the text of its placeholder."""
    if not attachments:
        return value
    if isinstance(value, str):
        if len(value) < LONGEST_POINTER and value.startswith(POINTERS):
            return attachments.get(value.partition("://")[2], value)
        return value
    if isinstance(value, list):
        return [resolved(item, attachments) for item in value]
    if not isinstance(value, dict):
        return value
    kind = value.get("type")
    media = value.get(kind) if isinstance(kind, str) else None
    if kind != "text" and isinstance(media, str) and media.startswith(POINTERS):
        found = resolved(media, attachments)
        if isinstance(found, str) and found.startswith("["):
            return {"type": "text", "text": found}
    return {key: resolved(item, attachments) for key, item in value.items()}
