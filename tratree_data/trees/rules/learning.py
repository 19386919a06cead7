"""`auto` among the rules of a build: what the log itself suggests, for observations and actions in turn.

Noise in actions parts what follows them, and noise in observations parts the actions that answer them, so each is learned with what is
known about the other, until nothing changes.
"""

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from tratree_data.errors import quoted
from tratree_data.store.reader import Store
from tratree_data.trees.rules.action_siblings import ActionLog
from tratree_data.trees.rules.json_parts import IGNORE_KEY, leaves_of
from tratree_data.trees.rules.learned_rules import learn
from tratree_data.trees.rules.normalise import parse_rules
from tratree_data.trees.rules.screening import Suggestion
from tratree_data.trees.rules.siblings import Log, read_tables
from tratree_data.trees.settings import AUTO

SAMPLED_TREES = 200
TURNS = 3
NAMES = ("temporary-names", "identifiers")
"""Presets that actions are seen through when observations are learned first: what only these name does not refer to a state."""

SAMPLED_CALLS = 5_000
ENOUGH_CALLS = 20
OWN = 0.7
"""Share of different values from which on a key's values are an agent's own words, as long as nothing else is known."""

Learned = tuple[list[Suggestion], list[Suggestion]]


def learn_rules(
    store: Store,
    rules: Sequence[str] = (),
    action_rules: Sequence[str] = (),
    *,
    observations: bool = True,
    actions: bool = False,
    trees: int = SAMPLED_TREES,
) -> Learned:
    """(for observations, for actions): what a dataset's own log suggests, in addition to the given rules."""
    return learn_both(*read_tables(store, trees), rules, action_rules, observations=observations, actions=actions)


def learn_both(
    rollouts: pa.Table, steps: pa.Table, rules: Sequence[str] = (), action_rules: Sequence[str] = (), *, observations: bool, actions: bool
) -> Learned:
    seen: list[Suggestion] = []
    done: list[Suggestion] = []
    for turn in range(TURNS if observations and actions else 1):
        before = _accepted(seen), _accepted(done)
        if observations:
            names = (*NAMES, *_own_words(steps)) if actions and not turn else ()
            seen = learn(Log(rollouts, steps, [*action_rules, *_accepted(done), *names]), rules)
        if actions:
            done = learn(ActionLog(rollouts, steps, action_rules=(), rules=[*rules, *_accepted(seen)]), action_rules)
        if turn and (_accepted(seen), _accepted(done)) == before:
            break
    return seen, done


def _own_words(steps: pa.Table) -> list[str]:
    """Rules for the keys of calls that hold something else nearly every time, such as the reasons that an agent gives."""
    values: dict[str, list[str]] = {}
    for call in pc.unique(steps["action"]).to_pylist()[:SAMPLED_CALLS]:
        for path, value in leaves_of(call):
            values.setdefault(path, []).append(value)
    return [
        f"{IGNORE_KEY}:{path}" for path, held in sorted(values.items()) if len(held) >= ENOUGH_CALLS and len(set(held)) > OWN * len(held)
    ]


def _accepted(suggestions: Sequence[Suggestion]) -> list[str]:
    return [suggestion.rule for suggestion in suggestions if not suggestion.rejected]


def resolve_rules(store: Store, rules: Sequence[str], action_rules: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...], list[str]]:
    """The rules of a build for observations and actions, with those that were learned in place of AUTO, and what to say about them."""
    given, given_actions = ([rule for rule in named if rule != AUTO] for named in (rules, action_rules))
    parse_rules([*given, *given_actions])  # a wrong one is an error before any work
    wanted = AUTO in rules, AUTO in action_rules
    if not any(wanted):
        return tuple(rules), tuple(action_rules), []
    seen, done = learn_rules(store, given, given_actions, observations=wanted[0], actions=wanted[1])
    notes = [_note(store, found, *words) for asked, found, words in zip(wanted, (seen, done), WORDS, strict=True) if asked]
    return (*given, *_accepted(seen)), (*given_actions, *_accepted(done)), notes


WORDS = (("normalisers", "--suggest"), ("normalisers of actions", "--actions"))


def _note(store: Store, found: Sequence[Suggestion], what: str, option: str) -> str:
    accepted = [suggestion for suggestion in found if not suggestion.rejected]
    if not accepted:
        return f"learned no {what}: no difference between siblings passes the tests; see tratree audit {quoted(store.path)} {option}"
    words = "; ".join(f"{suggestion.rule!r} (+{suggestion.merges:,} steps)" for suggestion in accepted)
    count = f"{len(accepted)} {what if len(accepted) > 1 else what.replace('normalisers', 'normaliser')}"
    return f"learned {count}: {words}"
