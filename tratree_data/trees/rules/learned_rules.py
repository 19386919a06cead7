"""Normalisers learned from the log: which differences between observations of one decision are noise?

Two steps that did the same before and do the same now, yet saw different texts, differ in *slots* and *segments* (differences.py). A rule
for one of them is accepted if it passes four tests, which docs/noise.md explains:

- support: it explains differences at several decisions;
- variation: a slot's values seldom come again (a state's do), and a segment comes with many texts;
- references: what the agent does later does not name the slot's value more often than another step's value;
- futures: steps that the rule makes equal are followed by equal actions, equal observations and like scores as often as steps that are
  equal without it.

Rules are learned in rounds, because every merge uncovers siblings below it.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache

import numpy as np
import numpy.typing as npt

from tratree_data.trees.comparing import Ints
from tratree_data.trees.rules.differences import LINE, REST, Cause, Difference, Segment, Slot, tokens_of
from tratree_data.trees.rules.futures import Futures, Verdict
from tratree_data.trees.rules.json_differences import text_differences
from tratree_data.trees.rules.repeated import THIN, repeated_groups
from tratree_data.trees.rules.screening import (
    ENOUGH_DECISIONS,
    ENOUGH_TEXTS,
    Candidate,
    Suggestion,
    reason_against_values,
    screen,
    suggestion_of,
)
from tratree_data.trees.rules.siblings import Log, Pairs, pairs_of
from tratree_data.trees.rules.slots import Occurrences, Shown
from tratree_data.trees.rules.wordings import Numbers

ROUNDS = 6
ENOUGH_PAIRS = 5
COMPARED_CHARACTERS = 30_000_000
"""What the token diffs of one round may read."""
VALUES = ("timestamps", "durations", "temporary-names", "identifiers")
"""Presets whose matches are values, as a slot's are; the others change the notation only."""
HEADS = {":", r"\]"}
"""What ends the head of a line, behind which anything may be."""
SAME_WORDS = ("terminal-codes", "typography", "key-order")


def learn(log: Log, given: Sequence[str] = ()) -> list[Suggestion]:
    """Accepted rules in the order in which they apply, then those that were left out; `given` rules apply before all of them."""
    accepted: list[Suggestion] = []
    rejected: dict[str, Suggestion] = {}
    repeated = False
    for _ in range(ROUNDS):
        found, refused = _learn_once(log, [*given, *(suggestion.rule for suggestion in accepted)], repeated=repeated)
        rejected.update((suggestion.rule, suggestion) for suggestion in refused)
        if not found and (repeated or log.presets_first):
            break
        repeated |= not found
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


def _learn_once(
    log: Log, rules: Sequence[str], without: frozenset[str] = frozenset(), *, repeated: bool = False
) -> tuple[list[Suggestion], list[Suggestion]]:
    """`repeated`: where attempts share too little, what the same action led to at other places of a task is evidence too."""
    groups = log.groups(rules)
    siblings = len(groups)
    texts = log.words.under(rules)
    pairs = pairs_of(groups, texts[log.text].tolist())
    if repeated:
        if len(pairs) >= THIN:
            return [], []
        groups = [*groups, *repeated_groups(log)]
        pairs = pairs_of(groups, texts[log.text].tolist())
    against: list[Suggestion] = []
    if log.presets_first:
        passed, against = _judge(log, rules, _whole_texts(log, rules, [], pairs), [], pairs)
        if passed:
            return passed, against
    notation, refused = _notation(log, [preset for preset in log.notation if preset not in (*rules, *without)], texts, groups, pairs)
    texts = log.words.under([*rules, *(candidate.rule for candidate in notation)])
    found = _compare(log, texts, pairs)
    candidates = [candidate for candidate in _candidates(found, pairs) if len(candidate.pairs) >= ENOUGH_PAIRS]
    kept, also_refused = screen(log, texts, groups, candidates, pairs, siblings)
    kept = [*notation, *kept]
    kept += [] if log.presets_first else _whole_texts(log, rules, [candidate.rule for candidate in kept], pairs)
    passed, refused = _judge(log, rules, kept, [*against, *refused, *also_refused], pairs)
    failed = {suggestion.rule for suggestion in refused} & {candidate.rule for candidate in notation}
    if failed:  # what was learned beside it was learned from texts that it had rewritten
        again, also_refused = _learn_once(log, rules, without | failed, repeated=repeated)
        return again, [*refused, *also_refused]
    return passed, refused


def _sides(log: Log, pairs: Pairs) -> tuple[Ints, Ints]:
    """The texts of both steps of each pair."""
    text = np.array(log.text, np.int64)
    return text[pairs.a], text[pairs.b]


def _notation(
    log: Log, presets: Sequence[str], texts: Numbers, groups: Sequence[Sequence[int]], pairs: Pairs
) -> tuple[list[Candidate], list[Suggestion]]:
    """Presets that rewrite enough of what differs, and whose values pass the tests of a slot's."""
    kept, refused = [], []
    left, right = _sides(log, pairs)
    for preset in presets:
        rewritten = log.words.under([preset], texts)
        a, b = texts[left], texts[right]
        changed = np.flatnonzero((a != b) & ((rewritten[left] != a) | (rewritten[right] != b)))
        is_closer = _closer(log.words.texts, preset in SAME_WORDS)
        sides = zip(*(numbers[changed].tolist() for numbers in (a, b, rewritten[left], rewritten[right])), strict=True)
        closer = changed[np.fromiter(map(is_closer, sides), np.bool_, len(changed))]
        candidate = _whole_text_candidate(log, preset, closer, pairs, a, b)
        if len(candidate.pairs) < ENOUGH_PAIRS or len(candidate.decisions) < ENOUGH_DECISIONS:
            continue
        reason = reason_against_values(log, candidate, Occurrences(preset, Shown(log, texts, groups))) if preset in VALUES else ""
        if reason:
            refused.append(suggestion_of(candidate, rejected=reason))
        else:
            kept.append(candidate)
            texts = rewritten
    return kept, refused


def _whole_text_candidate(log: Log, preset: str, numbers: Ints, pairs: Pairs, a: Numbers, b: Numbers) -> Candidate:
    """`numbers` are the pairs that it explains; `a` and `b` the texts of each pair as compared before it."""
    examples = dict.fromkeys(zip(log.words.words(a[numbers]), log.words.words(b[numbers]), strict=True))
    return Candidate(preset, pairs=set(numbers.tolist()), decisions=set(pairs.group[numbers].tolist()), examples=examples, rule=preset)


def _closer(texts: Sequence[str], same_words: bool) -> Callable[[tuple[int, int, int, int]], bool]:
    """Whether two texts have fewer words of their own when rewritten; of rules that move words, whether they do anything."""

    @cache
    def own_words(a: int, b: int) -> int:
        return len(set(tokens_of(texts[a])) ^ set(tokens_of(texts[b])))

    return lambda sides: same_words or own_words(*sides[:2]) > own_words(*sides[2:])


def _compare(log: Log, texts: Numbers, pairs: Pairs) -> dict[int, Sequence[Difference]]:
    """{number of a pair: where its texts differ}, of differing pairs whose texts can be compared."""
    known: dict[tuple[int, int], Sequence[Difference] | None] = {}
    found, read = {}, 0
    left, right = (texts[side] for side in _sides(log, pairs))
    for n in np.flatnonzero(left != right).tolist():
        key = int(left[n]), int(right[n])
        if key not in known:
            sides = log.words.texts[key[0]], log.words.texts[key[1]]
            read += len(sides[0]) + len(sides[1])
            if read > COMPARED_CHARACTERS:
                break
            known[key] = text_differences(*sides)
        places = known[key]
        if places is not None:
            found[n] = places
    return found


def _candidates(found: dict[int, Sequence[Difference]], pairs: Pairs) -> list[Candidate]:
    made: dict[Cause, Candidate] = {}
    groups = pairs.group.tolist()
    for n, places in found.items():
        for number, place in enumerate(places):
            is_word = len(tokens_of(place.left)) == len(tokens_of(place.right)) == 1
            for cause in place.causes:
                for form in _forms(cause) if is_word or isinstance(cause, Segment) else [cause]:
                    candidate = made.setdefault(form, Candidate(form))
                    candidate.pairs.add(n)
                    candidate.places.update((n, part) for part in place.parts or (number,))
                    candidate.is_span |= bool(place.parts)
                    candidate.decisions.add(groups[n])
                    candidate.values.update((place.left, place.right))
                    candidate.examples.setdefault((place.left, place.right))
    return [made[cause] for cause in sorted(made, key=lambda cause: (type(cause).__name__, str(cause)))]


def _forms(cause: Cause) -> Iterable[Cause]:
    """The cause itself and more general ones: a slot that knows only one side, a segment with anything behind its head."""
    yield cause
    if isinstance(cause, Slot):
        yield Slot(cause.left, "")
        yield Slot("", cause.right)
    elif isinstance(cause, Segment) and cause.anchor == LINE and (heads := HEADS & {*cause.template[1:-2]}):
        end = min(cause.template.index(mark, 1) for mark in heads) + 1
        yield Segment(cause.anchor, (*cause.template[:end], REST))


def _whole_texts(log: Log, rules: Sequence[str], learned: Sequence[str], pairs: Pairs) -> list[Candidate]:
    """Presets that make further pairs equal, on top of what was learned: alone, or together with the other presets."""
    made: list[Candidate] = []
    presets = [preset for preset in log.presets if preset not in rules]
    left, right = _sides(log, pairs)
    base = log.words.under([*rules, *learned])

    def equal(*more: str) -> npt.NDArray[np.bool_]:
        texts = log.words.under(more, base)
        return np.equal(texts[left], texts[right])

    whole = equal(*presets)
    for preset in presets:
        without = equal(*(other for other in presets if other != preset))
        numbers = np.flatnonzero(~equal() & (equal(preset) | (whole & ~without)))
        candidate = _whole_text_candidate(log, preset, numbers, pairs, base[left], base[right])
        is_enough = len(candidate.pairs) >= ENOUGH_PAIRS and len(candidate.decisions) >= ENOUGH_TEXTS
        if is_enough and not (preset == "white-space" and made and made[-1].rule == "spaces" and candidate.pairs <= made[-1].pairs):
            made.append(candidate)
    return made


def _judge(
    log: Log, rules: Sequence[str], kept: list[Candidate], refused: list[Suggestion], pairs: Pairs
) -> tuple[list[Suggestion], list[Suggestion]]:
    """The test of futures, with all candidates applied; those that fail are dropped, and the others tested again, until none fails."""
    while True:
        texts = log.words.under([*rules, *(candidate.rule for candidate in kept)])
        futures = Futures(log, texts, pairs)
        verdicts = [(futures.compare(candidate), candidate) for candidate in kept]
        passed = [(verdict, candidate) for verdict, candidate in verdicts if len(futures.by(candidate))]
        failed = list(_failing(futures, verdicts))
        if not failed:
            return [suggestion_of(candidate, futures=verdict.words) for verdict, candidate in passed], refused
        for verdict, candidate in failed:
            kept.remove(candidate)
            refused.append(suggestion_of(candidate, futures=verdict.words, rejected=f"what comes next disagrees: {verdict.words}"))


def _failing(futures: Futures, verdicts: list[tuple[Verdict, Candidate]]) -> Iterator[tuple[Verdict, Candidate]]:
    """The worst first, each by what it makes equal without those that are worse: nobody is blamed for another's merges."""
    while True:
        failing = sorted((v for v in verdicts if v[0].shortfall > 0), key=lambda v: (v[0].shortfall, str(v[1].cause)), reverse=True)
        if not failing:
            return
        for _, candidate in failing:
            verdict = futures.compare(candidate)
            if verdict.shortfall > 0:
                futures.without(candidate)
                yield verdict, candidate
                verdicts = [v for v in verdicts if v[1] is not candidate]
        verdicts = [(futures.compare(candidate), candidate) for _, candidate in verdicts]
