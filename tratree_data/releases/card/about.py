"""What only the publisher of a dataset knows: whom to credit, its language, and statements about it."""

import tomllib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from tratree_data.errors import BadInputError, suggest
from tratree_data.files import read_text
from tratree_data.releases.settings import PublishSettings
from tratree_data.system.safe_paths import read_plain_text

STATEMENTS = (
    "dataBiases", "dataCollection", "dataLimitations", "dataReleaseMaintenancePlan", "dataSocialImpact", "dataUseCases",
    "personalSensitiveInformation",
)  # fmt: skip
"""Properties of Croissant's RAI vocabulary whose values are text."""
KNOWN = {"summary": str, "authors": list, "published": date, "doi": str, "language": list, "environments": dict, "statements": dict}


@dataclass(frozen=True)
class About:
    summary: str = ""
    authors: tuple[str, ...] = ()
    published: date | None = None
    doi: str = ""
    language: tuple[str, ...] = ()
    environments: dict[str, str] = field(default_factory=dict)
    """A sentence about each environment, by its name."""
    statements: dict[str, str] = field(default_factory=dict)
    """By their names in STATEMENTS."""


def read_about(settings: PublishSettings, redact: Callable[[Any, str], Any]) -> About:
    """The file of `--about`, with `--language` and what we know about our own environments."""
    said = redact(_parse(settings.about), "about") if settings.about else {}
    ours = tomllib.loads(read_text("publish", "environments.toml"))
    return About(
        summary=said.get("summary", ""),
        authors=tuple(said.get("authors", ())),
        published=said.get("published"),
        doi=said.get("doi", ""),
        language=tuple(settings.language.split(",")) if settings.language else tuple(said.get("language", ())),
        environments={**ours, **said.get("environments", {})},
        statements=said.get("statements", {}),
    )


def _parse(name: str) -> dict[str, Any]:
    path = Path(name)
    if not path.is_file():
        raise BadInputError(f"No such file: {path}.\nNext: docs/publishing.md shows what --about reads")
    try:
        said = tomllib.loads(read_plain_text(path))
    except tomllib.TOMLDecodeError as error:
        raise BadInputError(f"{path} is not valid TOML: {error}.\nNext: docs/publishing.md shows what --about reads") from error
    for key, value in said.items():
        if key not in KNOWN:
            raise BadInputError(f"{path} has an unknown entry {key!r}.{suggest(key, KNOWN)}")
        if not isinstance(value, KNOWN[key]) or not all(isinstance(part, str) for part in _parts(value)):
            raise BadInputError(f"{path}: {key} must be {'a date' if key == 'published' else 'text'}.\nNext: see docs/publishing.md")
    for key in said.get("statements", {}):
        if key not in STATEMENTS:
            raise BadInputError(f"{path} has an unknown statement {key!r}.{suggest(key, STATEMENTS)}")
    return said


def _parts(value: Any) -> list[Any]:
    return list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []
