"""Normalisers learned from the log: which differences between observations of one decision are noise?

Two steps that did the same before and do the same now, yet saw different texts, differ in *slots* and *segments* (differences.py). A rule
for one of them is accepted if it passes four tests, which docs/trees.md explains:

- support: it explains differences at several decisions;
- variation: a slot's values seldom come again (a state's do), and a segment comes with many texts;
- references: what the agent does later does not name the slot's value more often than another step's value;
- futures: steps that the rule makes equal are followed by equal actions, equal observations and like scores as often as steps that are
  equal without it.

Rules are learned in rounds, because every merge uncovers siblings below it.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from tratree_data.trees.differences import Difference, Segment, Slot, differences, values_pattern
from tratree_data.trees.futures import Futures
from tratree_data.trees.siblings import Log, Pair, pairs_of
from tratree_data.trees.slots import Occurrences, is_referred_to, segment_rule, slot_rule

ROUNDS = 6
ENOUGH_PAIRS = 5
ENOUGH_DECISIONS = 2
ENOUGH_TEXTS = 3
"""Different remaining texts that a segment comes with."""
COMPARED_CHARACTERS = 30_000_000
"""What the token diffs of one round may read."""


@dataclass
class Suggestion:
    """A rule, what speaks for it, and the reason why it was left out, if it was."""

    rule: str
    pairs: int
    decisions: int
    examples: tuple[tuple[str, str], ...]
    futures: str = ""
    rejected: str = ""
    merges: int = 0
    """Steps that join a node because of this rule, all others applied."""


@dataclass
class Candidate:
    cause: Slot | Segment | str  # a preset's name for whole texts
    values: Counter[str] = field(default_factory=Counter)
    pairs: set[int] = field(default_factory=set)
    places: set[tuple[int, int]] = field(default_factory=set)  # (pair, number of its difference)
    decisions: set[int] = field(default_factory=set)
    texts: set[str] = field(default_factory=set)
    examples: dict[tuple[str, str], None] = field(default_factory=dict)
    rule: str = ""


def learn(log: Log, given: Sequence[str] = ()) -> list[Suggestion]:
    """Accepted rules in the order in which they apply, then those that were left out; `given` rules apply before all of them."""
    accepted: list[Suggestion] = []
    rejected: dict[str, Suggestion] = {}
    for _ in range(ROUNDS):
        found, refused = _learn_once(log, [*given, *(suggestion.rule for suggestion in accepted)])
        rejected.update((suggestion.rule, suggestion) for suggestion in refused)
        if not found:
            break
        accepted += found
    accepted, superfluous = _prune(log, given, accepted)
    chosen = {suggestion.rule for suggestion in (*accepted, *superfluous)}
    return accepted + sorted((s for s in rejected.values() if s.rule not in chosen), key=lambda s: (-s.pairs, s.rule))


def _prune(log: Log, given: Sequence[str], accepted: list[Suggestion]) -> tuple[list[Suggestion], list[Suggestion]]:
    """Rules without which fewer steps would merge, each with how many, and those that others make superfluous."""
    superfluous = []
    merged = log.count_merged([*given, *(suggestion.rule for suggestion in accepted)])
    for suggestion in sorted(accepted, key=lambda s: (s.pairs, s.rule)):
        without = [other for other in accepted if other is not suggestion]
        suggestion.merges = merged - log.count_merged([*given, *(other.rule for other in without)])
        if suggestion.merges <= 0:
            accepted = without
            superfluous.append(suggestion)
    return accepted, superfluous


def _learn_once(log: Log, rules: Sequence[str]) -> tuple[list[Suggestion], list[Suggestion]]:
    groups = log.groups(rules)
    texts = log.normalised(rules)
    number = {text: n for n, text in enumerate(dict.fromkeys(texts))}
    same = [number[texts[text]] for text in log.text]
    pairs = list(pairs_of(groups, same))
    against: list[Suggestion] = []
    if log.presets_first:
        passed, against = _judge(log, rules, _whole_texts(log, rules, [], pairs), [], pairs)
        if passed:
            return passed, against
    found = _compare(log, texts, same, pairs)
    candidates = [candidate for candidate in _candidates(found, pairs) if len(candidate.pairs) >= ENOUGH_PAIRS]
    kept, refused = _screen(log, texts, groups, candidates)
    kept += [] if log.presets_first else _whole_texts(log, rules, [candidate.rule for candidate in kept], pairs)
    return _judge(log, rules, kept, [*against, *refused], pairs)


def _compare(log: Log, texts: Sequence[str], same: Sequence[int], pairs: Sequence[Pair]) -> dict[int, list[Difference]]:
    """{number of a pair: where its texts differ}, of differing pairs whose texts can be compared."""
    known: dict[tuple[str, str], list[Difference] | None] = {}
    found, read = {}, 0
    for n, pair in enumerate(pairs):
        if same[pair.a] == same[pair.b]:
            continue
        key = texts[log.text[pair.a]], texts[log.text[pair.b]]
        if key not in known:
            read += len(key[0]) + len(key[1])
            if read > COMPARED_CHARACTERS:
                break
            known[key] = differences(*key)
        places = known[key]
        if places is not None:
            found[n] = places
    return found


def _candidates(found: dict[int, list[Difference]], pairs: Sequence[Pair]) -> list[Candidate]:
    made: dict[Slot | Segment, Candidate] = {}
    for n, places in found.items():
        for number, place in enumerate(places):
            for cause in place.causes:
                for form in _forms(cause):
                    candidate = made.setdefault(form, Candidate(form))
                    candidate.pairs.add(n)
                    candidate.places.add((n, number))
                    candidate.decisions.add(pairs[n].group)
                    candidate.values.update((place.left, place.right))
                    candidate.examples.setdefault((place.left, place.right))
    return [made[cause] for cause in sorted(made, key=lambda cause: (type(cause).__name__, str(cause)))]


def _forms(cause: Slot | Segment) -> Iterable[Slot | Segment]:
    """The cause itself and, of a slot, the more general ones that know only one side."""
    yield cause
    if isinstance(cause, Slot):
        yield Slot(cause.left, "")
        yield Slot("", cause.right)


def _screen(
    log: Log, texts: Sequence[str], groups: Sequence[Sequence[int]], candidates: Sequence[Candidate]
) -> tuple[list[Candidate], list[Suggestion]]:
    """Those that pass support, variation and references, with their rules; slots in their most general form that passes."""
    kept, refused = [], []
    covered: set[tuple[int, int]] = set()
    order = sorted(
        candidates, key=lambda c: (isinstance(c.cause, Slot) and bool(c.cause.left and c.cause.right), -len(c.pairs), str(c.cause))
    )
    for candidate in order:
        reason = _reason_against(log, texts, groups, candidate)
        if not candidate.rule:
            continue
        is_general = isinstance(candidate.cause, Slot) and not (candidate.cause.left and candidate.cause.right)
        if reason and not is_general:
            refused.append(_suggestion(candidate, rejected=reason))
        elif not reason and not (isinstance(candidate.cause, Slot) and candidate.places <= covered):
            kept.append(candidate)
            covered |= candidate.places if isinstance(candidate.cause, Slot) else set()
    return sorted(kept, key=lambda candidate: isinstance(candidate.cause, Slot)), refused  # segments apply before slots within them


def _reason_against(log: Log, texts: Sequence[str], groups: Sequence[Sequence[int]], candidate: Candidate) -> str:
    cause = candidate.cause
    if isinstance(cause, Segment):
        candidate.rule = segment_rule(cause)
        if not candidate.rule:
            return "too general"
        others = len(candidate.decisions)
        return "" if others >= ENOUGH_TEXTS else f"it comes at {others} decisions only, and {ENOUGH_TEXTS} are needed"
    assert isinstance(cause, Slot)
    values = {value for value in candidate.values if value}
    pattern = values_pattern(values)
    if pattern is None:
        return ""
    candidate.rule = slot_rule(cause, pattern)
    if len(candidate.decisions) < ENOUGH_DECISIONS:
        return f"it comes at {len(candidate.decisions)} decision only, and {ENOUGH_DECISIONS} are needed"
    occurrences = Occurrences(candidate.rule, texts)
    rate, count = occurrences.variation(log.text, groups)
    if rate < log.variation:
        return f"the values differ in {rate:.0%} of {count:,} pairs of siblings only, so they belong to the state"
    return is_referred_to(occurrences, log)


def _whole_texts(log: Log, rules: Sequence[str], learned: Sequence[str], pairs: Sequence[Pair]) -> list[Candidate]:
    """Presets that make further pairs equal, on top of what was learned: alone, or together with the other presets."""
    made = []
    presets = [preset for preset in log.presets if preset not in rules]
    base, whole = log.normalised([*rules, *learned]), log.normalised([*rules, *learned, *presets])
    for preset in presets:
        alone = log.normalised([*rules, *learned, preset])
        without = log.normalised([*rules, *learned, *(other for other in presets if other != preset)])
        candidate = Candidate(preset, rule=preset)
        for n, pair in enumerate(pairs):
            a, b = log.text[pair.a], log.text[pair.b]
            if base[a] != base[b] and (alone[a] == alone[b] or (whole[a] == whole[b] and without[a] != without[b])):
                candidate.pairs.add(n)
                candidate.decisions.add(pair.group)
                candidate.examples.setdefault((base[a], base[b]))
        if len(candidate.pairs) >= ENOUGH_PAIRS and len(candidate.decisions) >= ENOUGH_TEXTS:
            made.append(candidate)
    return made


def _judge(
    log: Log,
    rules: Sequence[str],
    kept: list[Candidate],
    refused: list[Suggestion],
    pairs: Sequence[Pair],
) -> tuple[list[Suggestion], list[Suggestion]]:
    """The test of futures, with all candidates applied; the one that fails worst is dropped until none fails."""
    while kept:
        texts = log.normalised([*rules, *(candidate.rule for candidate in kept)])
        equal = {n for n, pair in enumerate(pairs) if texts[log.text[pair.a]] == texts[log.text[pair.b]]}
        futures = Futures(log, texts, pairs)
        verdicts = []
        for candidate in kept:
            by_rule = candidate.pairs & equal
            others = equal - by_rule
            verdicts.append((futures.compare(by_rule, others), candidate, by_rule))
        worst = max(verdicts, key=lambda verdict: (verdict[0].shortfall, str(verdict[1].cause)))
        if worst[0].shortfall <= 0:
            passed = [(verdict, candidate, by_rule) for verdict, candidate, by_rule in verdicts if by_rule]
            return [_suggestion(candidate, futures=verdict.words) for verdict, candidate, _ in passed], refused
        kept.remove(worst[1])
        refused.append(_suggestion(worst[1], futures=worst[0].words, rejected=f"what comes next disagrees: {worst[0].words}"))
    return [], refused


def _suggestion(candidate: Candidate, *, futures: str = "", rejected: str = "") -> Suggestion:
    examples = tuple(list(candidate.examples)[:3])
    return Suggestion(candidate.rule, len(candidate.pairs), len(candidate.decisions), examples, futures, rejected)
