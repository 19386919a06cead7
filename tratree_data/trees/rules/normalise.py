"""What a merge should see through: rules that rewrite an observation for comparison only; what is stored stays as it was.

A rule is the name of a preset or 'PATTERN=>REPLACEMENT' in RE2's syntax. `learned_rules` finds rules in the log itself.
"""

from collections.abc import Callable, Sequence
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc

from tratree_data.errors import BadInputError, suggest
from tratree_data.trees.rules.argument_order import sort_arguments, sort_keys
from tratree_data.trees.rules.json_parts import CHANGES, key_rule
from tratree_data.trees.rules.list_order import sort_lists

Rule = Callable[[pa.Array], pa.Array]

DAYS = "Mon|Tue|Wed|Thu|Fri|Sat|Sun"
MONTHS = "Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec"
UNIT = r"(?:[nmµu]s|h(?:ours?|rs?)?|m(?:in(?:ute)?s?)?|s(?:ec(?:ond)?s?)?)"
WORKPLACES = r"workspaces?|testbed|app|repo|root|tmp|(?:home|Users)/[\w.@-]+"
MONTH = (
    r"(?:Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?"
    r"|Aug(?:ust)?|Sept?(?:ember)?|Oct(?:ober)?|Nov(?:ember)?|Dec(?:ember)?)\b"
)
DATE = (
    rf"(?:(?:{DAYS})[a-z]*,? +)?(?:{MONTH} +\d{{1,2}}|\d{{1,2}} {MONTH})\b(?:,? +\d{{4}}\b)?"
    r"(?:,? +\d{1,2}:\d{2}(?::\d{2})?)?(?: +\d{4}\b)?"
)
"""A date with the name of a month, and the time beside it."""
LOG_LINE = (
    r"(?:\W*(?:\d{4}-\d{2}-\d{2}[T ]\S+\W+)?(?:\S+\W+)?\b(?:DEBUG|INFO|NOTICE|WARN|WARNING|ERROR|CRITICAL)\b\W.*"
    r"|\S+\.py:\d+: \w*Warning: .*)"
)
PATTERNS: dict[str, tuple[tuple[str, str], ...]] = {
    "timestamps": (
        (r"\b\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2})?(?:[.,]\d+)?(?:Z|[+-]\d{2}:?\d{2})?)?", "<time>"),
        (
            rf"\b(?:(?:{DAYS})[a-z]*,? +)?(?:{MONTHS})[a-z]* +\d{{1,2}}(?: +\d{{1,2}}:\d{{2}}(?::\d{{2}})?)?"
            r"(?: +[A-Z]{3,4})?(?: +\d{4})?\b",
            "<time>",
        ),
        (
            rf"\b(?:(?:{DAYS})[a-z]*,? +)?\d{{1,2}}(?:st|nd|rd|th)?\.? (?:{MONTHS})[a-z]*\.?,?(?: \d{{4}})?\b"
            r"|\b\d{1,2}[./-]\d{1,2}[./-]\d{4}\b",
            "<time>",
        ),
        (r"\b\d{1,2}:\d{2}(?::\d{2})?(?:[.,]\d+)?(?: ?[AaPp][Mm])?\b", "<time>"),
        (r"\b(?i:(?:an?|\d+) (?:second|minute|hour|day|week|month|year)s? ago|just now)\b", "<time>"),
        (r"<time>(?:,? (?:at )?<time>)+", "<time>"),
    ),
    "durations": ((rf"\b\d+(?:[.,]\d+)? ?{UNIT}\b(?: ?\d+(?:[.,]\d+)? ?{UNIT}\b)*", "<duration>"),),
    "terminal-codes": ((r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)", ""), (r"[^\n]*\r([^\n\r])", r"\1")),
    "typography": (
        ("[\u2018\u2019\u201a\u201b\u2032]", "'"),
        ("[\u201c\u201d\u201e\u201f\u2033\u00ab\u00bb]", '"'),
        ("[\u2010-\u2015\u2212]", "-"),
        ("\u2026", "..."),
        ("[\u00a0\u2000-\u200a\u202f\u205f\u3000]", " "),
        ("[\u00ad\u200b\u2060\ufeff]", ""),
    ),
    "numbers": ((r"\d+(?:[.,]\d+)*", "<number>"),),
    "identifiers": (
        (r"\b[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}\b", "<id>"),
        (r"\b(?:0x)?(?:[0-9a-f]{12,64}|[0-9A-F]{12,64})\b", "<id>"),
    ),
    "host-names": (
        (r"\b[\w.-]+@[\w.-]+", "<host>"),
        (r"\b(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)+(?:com|org|net|io|dev|local|internal|lan|edu|cloud)\b", "<host>"),
        (r"\b\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?\b", "<host>"),
    ),
    "log-lines": ((rf"(?m)^{LOG_LINE}\n", ""), (rf"(?:\A|\n){LOG_LINE}\z", ""), (r"\n+\z", "")),
    "result-headers": (
        (r"(?m)^(?:Chunk ID: [0-9a-f]+|Wall time: [\d.]+ s(?:econds)?|Process Group PGID: \d+|Background PIDs: [\d, ]+)(?:\n|\z)", ""),
        (r"<shellId: \d+", "<shellId"),
    ),
    "quoting": ((r"\\?[\"'`]", "'"),),
    "comment-lines": ((r"(?m)^[ \t]*#(?:[^!\n][^\n]*)?\n", ""),),
    "cd-prefix": ((r"\bcd +[^;&|]+?\s*&&\s*", ""),),
    "working-directory": ((rf"(^|[\s\"'=:(])(?:/(?:{WORKPLACES})(?:/[\w.@-]+)?/|\./|\$PWD/)", r"\1"),),
    "temporary-names": (
        (r"/var/folders/\w+/\w+/T(?:/tmp[.\w]{8,11}\b)?", "/tmp/<name>"),
        (r"/tmp/pytest-of-\w+/pytest-\d+", "/tmp/<name>"),
        (r"(?:/var)?/tmp/tmp[.\w]{8,11}\b", "/tmp/<name>"),
        (r"\btmp(?:\.\w{10}|[a-z0-9_]{8})\b", "<name>"),
    ),
    "spaces": ((r"[ \t\r]+(\n|\z)", r"\1"), (r"[ \t]+", " ")),
    "white-space": ((r"\s+", " "), (r"^ | $", "")),
}


def _replace(pairs: Sequence[tuple[str, str]]) -> tuple[Rule, ...]:
    return tuple(partial(pc.replace_substring_regex, pattern=pattern, replacement=replacement) for pattern, replacement in pairs)


PRESETS: dict[str, tuple[Rule, ...]] = {
    **{name: _replace(pairs) for name, pairs in PATTERNS.items()},
    "typography": (partial(pc.utf8_normalize, form="NFC"), *_replace(PATTERNS["typography"])),
    "letter-case": (pc.utf8_lower,),
    "list-order": (sort_lists,),
    "key-order": (sort_keys,),
    "argument-order": (sort_arguments,),
}


def parse_rules(rules: Sequence[str]) -> list[Rule]:
    """Presets and written rules → what rewrites the texts, in order."""
    return [step for rule in rules for step in parse_rule(rule)]


def parse_rule(rule: str) -> tuple[Rule, ...]:
    if rule in PRESETS:
        return PRESETS[rule]
    kind, _, path = rule.partition(":")
    if kind in CHANGES and path and "=>" not in path:
        return (key_rule(kind, path),)
    pattern, arrow, replacement = rule.partition("=>")
    if not arrow:
        raise BadInputError(f"Unknown normaliser {rule!r}.{suggest(rule, PRESETS)}\nNext: name a preset, or write PATTERN=>REPLACEMENT")
    rewrite = partial(pc.replace_substring_regex, pattern=pattern, replacement=replacement)
    try:
        rewrite(pa.array([""]))
    except pa.ArrowInvalid as error:
        raise BadInputError(f"The normaliser {rule!r} is not a valid pattern: {error}.\nNext: fix it; the syntax is RE2's") from error
    return (rewrite,)


def normalise(texts: pa.Array, rules: Sequence[Rule]) -> pa.Array:
    """Each distinct text is rewritten once."""
    if not rules:
        return texts
    encoded = texts.dictionary_encode()
    distinct = encoded.dictionary
    for rewrite in rules:
        distinct = rewrite(distinct)
    return distinct.take(encoded.indices)
