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

from collections.abc import Iterable, Sequence

from tratree_data.trees.differences import Cause, Difference, Slot, tokens_of
from tratree_data.trees.futures import Futures
from tratree_data.trees.json_differences import text_differences
from tratree_data.trees.repeated import THIN, repeated_groups
from tratree_data.trees.screening import ENOUGH_DECISIONS, ENOUGH_TEXTS, Candidate, Suggestion, reason_against_values, screen, suggestion_of
from tratree_data.trees.siblings import Log, Pair, pairs_of
from tratree_data.trees.slots import Occurrences

ROUNDS = 6
ENOUGH_PAIRS = 5
COMPARED_CHARACTERS = 30_000_000
"""What the token diffs of one round may read."""
VALUES = ("timestamps", "durations", "temporary-names", "identifiers")
"""Presets whose matches are values, as a slot's are; the others change the notation only."""
SAME_WORDS = ("terminal-codes", "key-order")


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
    texts = log.normalised(rules)
    pairs = list(pairs_of(groups, _numbered(log, texts)))
    if repeated:
        if len(pairs) >= THIN:
            return [], []
        groups = [*groups, *repeated_groups(log)]
        pairs = list(pairs_of(groups, _numbered(log, texts)))
    against: list[Suggestion] = []
    if log.presets_first:
        passed, against = _judge(log, rules, _whole_texts(log, rules, [], pairs), [], pairs)
        if passed:
            return passed, against
    notation, refused = _notation(log, [preset for preset in log.notation if preset not in (*rules, *without)], texts, groups, pairs)
    texts = log.normalised([*rules, *(candidate.rule for candidate in notation)])
    found = _compare(log, texts, _numbered(log, texts), pairs)
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


def _numbered(log: Log, texts: Sequence[str]) -> list[int]:
    """[rows]: equal numbers for equal texts."""
    number = {text: n for n, text in enumerate(dict.fromkeys(texts))}
    return [number[texts[text]] for text in log.text]


def _notation(
    log: Log, presets: Sequence[str], texts: Sequence[str], groups: Sequence[Sequence[int]], pairs: Sequence[Pair]
) -> tuple[list[Candidate], list[Suggestion]]:
    """Presets that rewrite enough of what differs, and whose values pass the tests of a slot's."""
    kept, refused = [], []
    for preset in presets:
        rewritten = log.normalised_from(texts, [preset])
        candidate = Candidate(preset, rule=preset)
        for n, pair in enumerate(pairs):
            a, b = log.text[pair.a], log.text[pair.b]
            if texts[a] != texts[b] and _closer(texts[a], texts[b], rewritten[a], rewritten[b], preset in SAME_WORDS):
                candidate.pairs.add(n)
                candidate.decisions.add(pair.group)
                candidate.examples.setdefault((texts[a], texts[b]))
        if len(candidate.pairs) < ENOUGH_PAIRS or len(candidate.decisions) < ENOUGH_DECISIONS:
            continue
        reason = reason_against_values(log, candidate, Occurrences(preset, texts), groups) if preset in VALUES else ""
        if reason:
            refused.append(suggestion_of(candidate, rejected=reason))
        else:
            kept.append(candidate)
            texts = rewritten
    return kept, refused


def _closer(a: str, b: str, new_a: str, new_b: str, same_words: bool) -> bool:
    """Whether two texts have fewer words of their own when rewritten; of rules that move words, whether they do anything."""
    if same_words:
        return a != new_a or b != new_b
    return len(set(tokens_of(a)) ^ set(tokens_of(b))) > len(set(tokens_of(new_a)) ^ set(tokens_of(new_b)))


def _compare(log: Log, texts: Sequence[str], same: Sequence[int], pairs: Sequence[Pair]) -> dict[int, Sequence[Difference]]:
    """{number of a pair: where its texts differ}, of differing pairs whose texts can be compared."""
    known: dict[tuple[str, str], Sequence[Difference] | None] = {}
    found, read = {}, 0
    for n, pair in enumerate(pairs):
        if same[pair.a] == same[pair.b]:
            continue
        key = texts[log.text[pair.a]], texts[log.text[pair.b]]
        if key not in known:
            read += len(key[0]) + len(key[1])
            if read > COMPARED_CHARACTERS:
                break
            known[key] = text_differences(*key)
        places = known[key]
        if places is not None:
            found[n] = places
    return found


def _candidates(found: dict[int, Sequence[Difference]], pairs: Sequence[Pair]) -> list[Candidate]:
    made: dict[Cause, Candidate] = {}
    for n, places in found.items():
        for number, place in enumerate(places):
            is_word = len(tokens_of(place.left)) == len(tokens_of(place.right)) == 1
            for cause in place.causes:
                for form in _forms(cause) if is_word else [cause]:
                    candidate = made.setdefault(form, Candidate(form))
                    candidate.pairs.add(n)
                    candidate.places.update((n, part) for part in place.parts or (number,))
                    candidate.is_span |= bool(place.parts)
                    candidate.decisions.add(pairs[n].group)
                    candidate.values.update((place.left, place.right))
                    candidate.examples.setdefault((place.left, place.right))
    return [made[cause] for cause in sorted(made, key=lambda cause: (type(cause).__name__, str(cause)))]


def _forms(cause: Cause) -> Iterable[Cause]:
    """The cause itself and, of a slot, the more general ones that know only one side."""
    yield cause
    if isinstance(cause, Slot):
        yield Slot(cause.left, "")
        yield Slot("", cause.right)


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
        apart = set(range(len(pairs))) - equal
        futures = Futures(log, texts, pairs)
        verdicts = []
        for candidate in kept:
            by_rule = candidate.pairs & equal
            others = equal - by_rule
            verdicts.append((futures.compare(by_rule, others, apart, few=candidate.few_values), candidate, by_rule))
        worst = max(verdicts, key=lambda verdict: (verdict[0].shortfall, str(verdict[1].cause)))
        if worst[0].shortfall <= 0:
            passed = [(verdict, candidate, by_rule) for verdict, candidate, by_rule in verdicts if by_rule]
            return [suggestion_of(candidate, futures=verdict.words) for verdict, candidate, _ in passed], refused
        kept.remove(worst[1])
        refused.append(suggestion_of(worst[1], futures=worst[0].words, rejected=f"what comes next disagrees: {worst[0].words}"))
    return [], refused
