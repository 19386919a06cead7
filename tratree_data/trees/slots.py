"""Slots and segments as normalisers, and two tests of a slot: do its values vary, and does the agent refer to them?"""

import re
from collections import Counter
from collections.abc import Sequence

from tratree_data.trees.differences import END, LINE, LINE_END, LINE_START, START, Segment, Slot
from tratree_data.trees.json_parts import IGNORE_KEY, has_objects, values_at
from tratree_data.trees.normalise import PATTERNS
from tratree_data.trees.siblings import FEW, MEMBERS, Log

LITERAL_SHARE = 0.3
"""Share of a segment's tokens that must be fixed, spaces left out; a freer pattern would remove anything."""
REFERENCES = 0.05
"""Excess of references to the own value over references to another step's from which on the value is part of the state."""
REFERENCES_READ = 400
INDEPENDENT = 0.9
"""How often a few values differ between siblings, as a share of how often they differ between any two steps: noise does not mind."""
PLACEHOLDER = re.compile(r"<(?:time|duration|id|name)>|#")
"""What rules leave in the place of values that vary."""
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


class Occurrences:
    """The values in each distinct text: of a slot, or of what a preset's patterns find."""

    def __init__(self, rule: str, texts: Sequence[str]) -> None:
        self.path = rule.removeprefix(f"{IGNORE_KEY}:") if rule.startswith(f"{IGNORE_KEY}:") else ""
        rules = () if self.path else PATTERNS[rule] if rule in PATTERNS else (tuple(rule.split("=>", 1)),)
        self.patterns = [(re.compile(pattern.replace(r"\z", r"\Z")), replacement) for pattern, replacement in rules]
        self.texts = texts
        self.known: dict[int, tuple[str, ...]] = {}

    def values(self, text: int) -> tuple[str, ...]:
        if text not in self.known and self.path:
            self.known[text] = values_at(self.texts[text], self.path) or (("",) if has_objects(self.texts[text]) else ())
        elif text not in self.known:
            found, rest = [], self.texts[text]
            for pattern, replacement in self.patterns:
                found += [_value(match, replacement) for match in pattern.finditer(rest)]
                rest = rest if len(self.patterns) == 1 else pattern.sub(replacement, rest)
            self.known[text] = tuple(found)
        return self.known[text]

    def few(self, text: Sequence[int]) -> int:
        """How many values there are, if so few that they come again, as those of a state do; else 0."""
        found = {value for number in set(text) for value in self.values(number)}
        return len(found) if len(found) <= FEW and not any(map(PLACEHOLDER.search, found)) else 0

    def reason_against(self, log: Log, groups: Sequence[Sequence[int]], *, is_few: bool) -> str:
        """Why the values belong to the state, if they do not vary among siblings as noise does."""
        seen = [[self.values(log.text[row]) for row in rows[:MEMBERS]] for rows in groups]
        seen = [members for members in seen if any(map(any, members))]
        rate, count = _variation(seen)
        needed = log.variation
        if is_few:
            values = Counter(value for members in seen for value in members if value)
            needed = min(needed, INDEPENDENT * (1 - sum(n * n for n in values.values()) / max(1, values.total()) ** 2))
        if rate >= needed and rate:
            return ""
        return f"the values differ in {rate:.0%} of {count:,} pairs of siblings only, so they belong to the state"


def _variation(seen: Sequence[Sequence[tuple[str, ...]]]) -> tuple[float, int]:
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
    rows = [row for row, text in enumerate(log.text) if any(occurrences.values(text))]
    rows = rows[:: max(1, len(rows) // REFERENCES_READ)]
    own = other = 0
    for place, row in enumerate(rows):
        values = set(occurrences.values(log.text[row]))
        elsewhere = next((r for r in rows[place + 1 :] + rows[:place] if not values & set(occurrences.values(log.text[r]))), None)
        if elsewhere is not None:
            own += log.names(row, values)
            other += log.names(elsewhere, values)
    if own - other > max(1, REFERENCES * len(rows)):
        return f"{log.naming} in {own:,} of {len(rows):,} cases, in other rollouts in {other:,}"
    return ""
