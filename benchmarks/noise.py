"""Which noise do learned rules see through, and which traps do they fall for? Each kind of noise alone and in mixtures, in five worlds.

    python -m benchmarks.noise --worlds operations news --out benchmarks/results/noise.json

Of pairs of steps whose histories are the same but for noise (siblings, where merges happen), recall is the share of those that differ in
noise alone which the rules of `--normalise auto` make equal, and precision the share of those made equal which differ in noise alone.
`precision_anywhere` is the same for all pairs of steps of one task, whatever came before. `game` is held back: it is measured when the
rules are done, and nobody looks at its misses.
"""

import argparse
import json
import random
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from benchmarks.noisy_worlds.game import GAME
from benchmarks.noisy_worlds.news import NEWS
from benchmarks.noisy_worlds.operations import OPERATIONS
from benchmarks.noisy_worlds.service import SERVICE
from benchmarks.noisy_worlds.testing import TESTING
from benchmarks.noisy_worlds.world import World
from tratree_data.trees.rules.learned_rules import learn
from tratree_data.trees.rules.normalise import normalise, parse_rules
from tratree_data.trees.rules.siblings import Log
from tratree_data.trees.texts import one_array

WORLDS = {world.name: world for world in (OPERATIONS, NEWS, SERVICE, TESTING, GAME)}
NOTHING = "nothing"
MIXED = 4
"""Mixtures of so many kinds, besides all of them."""


def mixtures(world: World, seed: int) -> dict[str, list[str]]:
    """{name: kinds}: nothing, each kind alone, quarters of all kinds, and all."""
    kinds = world.kinds()
    drawn = random.Random(f"{world.name} {seed}").sample(kinds, len(kinds))
    alone = {kind: [kind] for kind in kinds}
    quarters = {f"mixture {place + 1}": sorted(drawn[place::MIXED]) for place in range(MIXED)}
    return {NOTHING: [], **alone, **quarters, "everything": kinds}


def measure(world: World, kinds: Sequence[str], seed: int) -> dict[str, Any]:
    rollouts, clean, seen = world.log(kinds, seed)
    started = time.process_time()
    rules = [suggestion.rule for suggestion in learn(Log(rollouts, seen)) if not suggestion.rejected]
    seconds = time.process_time() - started
    task = dict(zip(rollouts["rollout_id"].to_pylist(), map(int, rollouts["task_id"].to_pylist()), strict=True))
    tasks = [task[name] for name in seen["rollout_id"].to_pylist()]
    columns = clean["observation"], seen["observation"], normalise(one_array(seen["observation"]), parse_rules(rules))
    histories = _histories(tasks, clean)
    true, shown, found = (list(zip(histories, texts.to_pylist(), strict=True)) for texts in columns)
    right = _pairs(found, true) - _pairs(found, true, shown)
    merged, wanted = _pairs(found) - _pairs(found, shown), _pairs(true) - _pairs(true, shown)
    anywhere = [list(zip(tasks, texts.to_pylist(), strict=True)) for texts in columns]
    equal_anywhere = _pairs(anywhere[2]) - _pairs(anywhere[2], anywhere[1])
    right_anywhere = _pairs(anywhere[2], anywhere[0]) - _pairs(*anywhere)
    return {
        "recall": right / wanted if wanted else 1.0, "precision": right / merged if merged else 1.0, "wanted": wanted,
        "precision_anywhere": right_anywhere / equal_anywhere if equal_anywhere else 1.0,
        "false": dict(_false_pairs(world, tasks, found, true)), "seconds": round(seconds, 2), "rules": rules,
    }  # fmt: skip


def _histories(tasks: Sequence[int], clean: pa.Table) -> list[str]:
    """[steps] the task, and all that was truly seen and done before."""
    found, before = [], ""
    for task, step in zip(tasks, clean.to_pylist(), strict=True):
        before = before if step["step"] else str(task)
        found.append(before)
        before += f"|{step['observation']}|{step['action']}"
    return found


Keys = Sequence[tuple[str, str]]


def _pairs(*keys: Keys) -> int:
    """Pairs of steps that are equal in all of these."""
    return sum(count * (count - 1) // 2 for count in Counter(zip(*keys, strict=True)).values())


def _false_pairs(world: World, tasks: Sequence[int], found: Keys, true: Keys) -> Iterator[tuple[str, int]]:
    """(trap, pairs in its tasks that the rules made equal by mistake)."""
    traps = [world.trap_of(task) for task in tasks]
    for fact in sorted({trap.fact if trap else "" for trap in traps}):
        rows = [row for row, trap in enumerate(traps) if (trap.fact if trap else "") == fact]
        ours, theirs = [found[row] for row in rows], [true[row] for row in rows]
        if false := _pairs(ours) - _pairs(ours, theirs):
            yield fact or "no trap", false


def summary(measured: dict[str, dict[str, Any]]) -> dict[str, Any]:
    noisy = {kind: row for kind, row in measured.items() if row["wanted"]}
    alone = {kind: row for kind, row in noisy.items() if kind != "everything" and not kind.startswith("mixture")}
    return {
        "kinds": len(alone), "kinds_at_95": sum(row["recall"] >= 0.95 and row["precision"] >= 0.99 for row in alone.values()),
        "mean_recall": round(sum(row["recall"] for row in alone.values()) / max(1, len(alone)), 3),
        "least_precision": round(min((row["precision"] for row in noisy.values()), default=1.0), 4),
        "longest_seconds": max(row["seconds"] for row in measured.values()),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worlds", nargs="+", choices=WORLDS, default=[name for name in WORLDS if name != GAME.name])
    parser.add_argument("--kinds", nargs="+", help="only these kinds or mixtures")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    report: dict[str, Any] = {"seed": given.seed, "worlds": {}}
    for name in given.worlds:
        measured = {}
        for kind, kinds in mixtures(WORLDS[name], given.seed).items():
            if given.kinds and kind not in given.kinds:
                continue
            row = measured[kind] = measure(WORLDS[name], kinds, given.seed)
            print(
                f"{name:11}{kind:36} recall {row['recall']:.3f}  precision {row['precision']:.4f}"
                f" ({row['precision_anywhere']:.4f} anywhere)  {row['wanted']:6,} pairs"
                f"  {row['seconds']:5.1f} s  {row['false'] or ''}",
                flush=True,
            )
        report["worlds"][name] = {"summary": summary(measured), "kinds": measured}
        print(f"seed {given.seed}: {name} {report['worlds'][name]['summary']}", flush=True)
    if given.out:
        given.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
