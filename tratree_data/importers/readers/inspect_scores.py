"""Which of an Inspect sample's scores counts, and what its value means.

The score is the one that Inspect itself shows first: the eval's headline, else the first of its results, else the sample's first.
"""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from tratree_data.importers import log_records

LETTERS = {"C": 1.0, "P": 0.5, "I": 0.0, "N": 0.0}
WORDS = {"yes": 1.0, "true": 1.0, "no": 0.0, "false": 0.0}


def headline(scores: Mapping[str, Any], log: Mapping[str, Any]) -> tuple[str, Any]:
    """(scorer, or scorer.key, and the value) of the score that counts; ('', None) if the sample was not scored."""
    results = log_records.at(log, "results", "scores")
    named = [log_records.at(log, "results", "headline"), log_records.at(log, "eval", "headline_metric")]
    named += results if isinstance(results, list) else []
    for shown in named:
        for scorer in (log_records.at(shown, "scorer"), log_records.at(shown, "score"), log_records.at(shown, "name")):
            if isinstance(scorer, str) and scorer in scores:
                return _value_of(scorer, scores[scorer], log_records.at(shown, "score") or log_records.at(shown, "name"))
    return next((_value_of(scorer, score, None) for scorer, score in scores.items()), ("", None))


def _value_of(scorer: str, score: Any, key: Any) -> tuple[str, Any]:
    """A score of several values counts by the one that is shown, else by its first."""
    value = log_records.at(score, "value")
    if not isinstance(value, dict) or not value:
        return scorer, value
    key = key if isinstance(key, str) and key in value else next(iter(value))
    return f"{scorer}.{key}", value[key]


def score_of(value: Any) -> float | None:
    """The value as a number, as Inspect's metrics convert it; a list, an unknown word and NaN (not scored) give none."""
    if isinstance(value, str):
        if value in LETTERS or value.lower() in WORDS:
            return LETTERS.get(value, WORDS.get(value.lower()))
        with suppress(ValueError):
            value = float(value)
    if isinstance(value, bool):
        return float(value)
    with suppress(log_records.Unusable):
        return log_records.number(value, "the score")
    return None


def success_of(value: Any) -> bool | None:
    """Whether the sample was solved, where the value says only that: a letter, a word or a boolean."""
    if isinstance(value, bool):
        return value
    said = LETTERS.get(value, WORDS.get(value.lower())) if isinstance(value, str) else None
    return None if said is None or value == "P" else said == 1.0
