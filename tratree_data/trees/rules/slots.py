"""Slots and segments as normalisers, and two tests of a slot: do its values vary, and does the agent refer to them?"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow.compute as pc

from tratree_data.trees.rules.differences import END, LINE, LINE_END, LINE_START, NAME, NUMBER, START, Segment, Slot
from tratree_data.trees.rules.json_parts import IGNORE_KEY, has_objects, values_at
from tratree_data.trees.rules.normalise import PATTERNS
from tratree_data.trees.rules.siblings import FEW, MEMBERS, Log
from tratree_data.trees.rules.wordings import Numbers

Values = tuple[str, ...]

LITERAL_SHARE = 0.3
"""Share of a segment's tokens that must be fixed, spaces left out; a freer pattern would remove anything."""
REFERENCES = 0.05
"""Excess of references to the own value over references to another step's from which on the value is part of the state."""
REFERENCES_READ = 400
INDEPENDENT = 0.9
"""How often a few values differ between siblings, as a share of how often they differ between any two steps: noise does not mind."""
PLACEHOLDER = re.compile(r"<(?:time|duration|id|name)>|#")
"""What rules leave in the place of values that vary."""
UNSEEN = "no two siblings show it"
FIXED = re.compile(r"\w")


def slot_rule(slot: Slot, values: str) -> str:
    begin = r"\b" if not slot.left or re.match(r"\w", slot.left) else ""
    left, right = (f"({_without_arrow(side)})" if side else "" for side in (slot.left, slot.right))
    close = "" if right else r"\b"
    before, after = (r"\1" if left else ""), ((r"\2" if left else r"\1") if right else "")
    return f"{begin}{left}{_without_arrow(values)}{close}{right}=>{before}#{after}"


def segment_rule(segment: Segment) -> str:
    """The rule that removes it; '' where the pattern fixes too little."""
    visible = [token for token in segment.template if token.removesuffix("+") not in (r"\s", r"\n")]
    fixed = [token for token in visible if not token.startswith(("[", r"\d", r"\S"))]
    if not visible or len(fixed) < LITERAL_SHARE * len(visible) or not fixed:
        return ""
    body = _without_arrow("".join(segment.template))
    if segment.anchor == LINE:
        return rf"(?m)(?:^{body}\n|\n?^{body}\z)=>"
    edges = {START: f"{START}{body}=>", END: f"{body}{END}=>", LINE_START: f"(?m)^{body}=>", LINE_END: f"(?m){body}$=>"}
    return edges.get(segment.anchor, f"{body}=>")


def _without_arrow(pattern: str) -> str:
    """Two tokens may make the arrow that separates a rule's pattern from its replacement."""
    return pattern.replace("=>", "=[>]").replace("=+>", "=+[>]")


def has_word(slot: Slot) -> bool:
    """Whether a word, or on both sides an edge or brackets, say which place it is; a number after any comma or number is many things."""
    sides = [re.sub(r"\\[sdw]", "", side.replace(NUMBER, "").replace(NAME, "")) for side in (slot.left, slot.right)]
    return any(FIXED.search(re.sub(r"\\.|\d", "", side)) for side in sides) or all(
        re.search(r"\\[nAz]|[^\w\s,;:.+\\]", side) for side in sides
    )


class Shown:
    """The distinct texts as compared, and which of them the members of each group show."""

    def __init__(self, log: Log, texts: Numbers, groups: Sequence[Sequence[int]]) -> None:
        self.words, self.array = log.words.words(texts), log.words.array(texts)
        members = [rows[:MEMBERS] for rows in groups]
        self.first = np.cumsum([0, *map(len, members)])
        self.member = np.array(log.text, np.int64)[[row for rows in members for row in rows]]
        self.before_an_action = set(log.text)

    def groups_with(self, found: dict[int, Values]) -> Iterator[list[Values]]:
        """The members' values, of groups in which there are any."""
        has = np.zeros(len(self.words), np.bool_)
        has[[text for text, values in found.items() if any(values)]] = True
        begin = self.first[:-1]
        for group in np.flatnonzero(np.add.reduceat(has[self.member], begin) if len(begin) else begin).tolist():
            yield [found.get(text, ()) for text in self.member[self.first[group] : self.first[group + 1]].tolist()]


class Occurrences:
    """The values in each distinct text: of a slot, or of what a preset's patterns find."""

    def __init__(self, rule: str, shown: Shown) -> None:
        self.shown = shown
        if rule.startswith(f"{IGNORE_KEY}:"):
            path = rule.removeprefix(f"{IGNORE_KEY}:")
            self.found = {n: values_at(text, path) or ("",) for n, text in enumerate(shown.words) if has_objects(text)}
        else:
            rules = PATTERNS[rule] if rule in PATTERNS else (tuple(rule.split("=>", 1)),)
            self.found = _find(shown, [(pattern, replacement) for pattern, replacement in rules])

    def few(self) -> int:
        """How many values there are, if so few that they come again, as those of a state do; else 0."""
        found: set[str] = set()
        for text in self.found.keys() & self.shown.before_an_action:
            found.update(self.found[text])
            if len(found) > FEW:
                return 0
        return 0 if any(map(PLACEHOLDER.search, found)) else len(found)

    def reason_against(self, log: Log, *, is_few: bool) -> str:
        """Why the values belong to the state, if they do not vary among siblings as noise does."""
        seen = list(self.shown.groups_with(self.found))
        rate, count = _variation(seen)
        needed = log.variation
        if is_few:
            values = Counter(value for members in seen for value in members if value)
            needed = min(needed, INDEPENDENT * (1 - sum(n * n for n in values.values()) / max(1, values.total()) ** 2))
        if rate >= needed and rate:
            return ""
        if not count:
            return UNSEEN
        return f"the values differ in {rate:.0%} of {count:,} pairs of siblings only, so they belong to the state"


def _find(shown: Shown, rules: Sequence[tuple[str, str]]) -> dict[int, Values]:
    """{text: values} of the texts in which any of the patterns is found."""
    has = np.zeros(len(shown.words), np.bool_)
    for pattern, _ in rules:
        has |= pc.match_substring_regex(shown.array, pattern).to_numpy(zero_copy_only=False)
    patterns = [(re.compile(pattern.replace(r"\z", r"\Z")), replacement) for pattern, replacement in rules]
    found = {}
    for text in np.flatnonzero(has).tolist():
        values, rest = [], shown.words[text]
        for compiled, replacement in patterns:
            values += [_value(match, replacement) for match in compiled.finditer(rest)]
            rest = rest if len(patterns) == 1 else compiled.sub(replacement, rest)
        found[text] = tuple(values)
    return found


def _variation(seen: Sequence[Sequence[Values]]) -> tuple[float, int]:
    """(share, count): how often the values differ between two siblings that have as many of them."""
    differ = count = 0
    for members in seen:
        for i, ours in enumerate(members):
            for theirs in members[i + 1 :]:
                if ours and len(ours) == len(theirs):
                    differ += sum(a != b or bool(PLACEHOLDER.search(a)) for a, b in zip(ours, theirs, strict=True))
                    count += len(ours)
    return (differ / count if count else 0.0), count


def _value(match: re.Match[str], replacement: str) -> str:
    start = match.end(1) if replacement.startswith("\\") else match.start()
    end = match.start(match.re.groups) if replacement.endswith(("\\1", "\\2")) else match.end()
    return match.string[start:end]


def is_referred_to(occurrences: Occurrences, log: Log) -> str:
    """Why the slot belongs to the state, if a rollout names its own value elsewhere more often than another rollout names it."""
    values = {text: {value for value in held if value} for text, held in occurrences.found.items() if any(held)}
    rows = np.flatnonzero(np.isin(log.text, list(values))).tolist()
    rows = rows[:: max(1, len(rows) // REFERENCES_READ)]
    own = other = 0
    for place, row in enumerate(rows):
        held = values[log.text[row]]
        elsewhere = next((r for r in rows[place + 1 :] + rows[:place] if not held & values[log.text[r]]), None)
        if elsewhere is not None:
            own += log.names(row, held)
            other += log.names(elsewhere, held)
    if own - other > max(1, REFERENCES * len(rows)):
        return f"{log.naming} in {own:,} of {len(rows):,} cases, in other rollouts in {other:,}"
    return ""
