"""Which words and numbers in a log are a score, and what they mean: only unambiguous ones count."""

from contextlib import suppress
from typing import Any

from tratree_data.importers import log_records

GOOD = ("true", "yes", "pass", "passed", "resolved", "solved", "correct", "success", "succeeded", "successful")
BAD = ("false", "no", "fail", "failed", "unresolved", "unsolved", "incorrect", "wrong", "failure", "unsuccessful")
WORDS = dict.fromkeys(GOOD, True) | dict.fromkeys(BAD, False)


def reward_of(value: Any) -> float | None:
    """A number, true or false, or a text of either; '' is null."""
    if isinstance(value, str):
        said = value.strip().lower()
        if not said:
            return None
        if said in WORDS:
            return float(WORDS[said])
        with suppress(ValueError):
            value = float(said)
    return log_records.truth_or_number(value, "reward")


def truth_of(value: Any) -> bool | None:
    """True or false, 1 or 0, or a word for either; '' is null."""
    if isinstance(value, str):
        value = WORDS.get(value.strip().lower(), {"1": True, "1.0": True, "0": False, "0.0": False, "": None}.get(value.strip(), value))
    return bool(value) if not isinstance(value, bool) and value in (0, 1) else log_records.truth(value, "success")
