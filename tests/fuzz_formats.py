"""Manifests of releases and logs of datasets, mutated: each is read or refused plainly, no path leads outside, nothing hangs.

python tests/fuzz_formats.py --mutations 100000 [--seed 1]
"""

import argparse
import json
import random
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from helpers.fuzz_json import damage
from helpers.small import make_store, tables

from tratree_data import open_release, publish
from tratree_data.errors import TratreeError
from tratree_data.store.published.release import corrupt_files
from tratree_data.store.reader import Store, open_store
from tratree_data.store.upkeep.vacuum import vacuum

LONGEST_SECONDS = 30.0
ATTEMPTS = [("t", attempt, attempt / 2, [("a", "", f"go {attempt}")]) for attempt in range(3)]
ODD_LINES = ("x  ../../x", "x  /etc/hostname", f"{'0' * 64}  a\\b", f"{'0' * 64}  %2e%2e/x", "\x1b[31m", "x" * 10_000, "", "\udc80")


def prepare(root: Path) -> None:
    make_store(root / "d", *tables(ATTEMPTS))
    publish(root / "d", root / "release", "1.0.0")
    sums = root / "release/versions/1.0.0/SHA256SUMS"
    lines = sums.read_text(encoding="utf-8").splitlines(keepends=True)
    sums.write_text(
        "".join(line for line in lines if not re.search(r"  (sql|schemas)/", line)), encoding="utf-8"
    )  # a hundred files to hash


def damage_manifest(root: Path, dice: random.Random) -> tuple[Path, str]:
    file = root / "release/versions/1.0.0/lineage.json"
    return file, damage(json.loads(file.read_text(encoding="utf-8")), dice)


def damage_checksums(root: Path, dice: random.Random) -> tuple[Path, str]:
    file = root / "release/versions/1.0.0/SHA256SUMS"
    lines = file.read_text(encoding="utf-8").splitlines()
    lines[dice.randrange(len(lines))] = dice.choice(ODD_LINES)
    return file, "\n".join(lines)


def damage_log(root: Path, dice: random.Random) -> tuple[Path, str]:
    """One action, or the lineage in it."""
    file = dice.choice(sorted((root / "d").glob("*/_delta_log/*.json")))
    lines = file.read_text(encoding="utf-8").splitlines()
    number = dice.randrange(len(lines))
    action = json.loads(lines[number])
    if "tratree" in action.get("commitInfo", {}) and dice.random() < 0.5:
        action["commitInfo"]["tratree"] = damage(json.loads(action["commitInfo"]["tratree"]), dice)
        lines[number] = json.dumps(action)
    else:
        lines[number] = damage(action, dice)
    return file, "\n".join(lines)


def read_release(root: Path) -> list[Store]:
    corrupt_files(f"{root}/release@1.0.0")
    return [open_release(f"{root}/release@1.0.0")]


def read_dataset(root: Path) -> list[Store]:
    vacuum(root / "d", dry_run=True)
    return [open_store(root / "d")]


KINDS: tuple[tuple[Callable[[Path, random.Random], tuple[Path, str]], Callable[[Path], list[Store]]], ...] = (
    (damage_manifest, read_release),
    (damage_checksums, read_release),
    (damage_log, read_dataset),
)


def contents(root: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in root.rglob("*") if path.is_file() and path.name != ".lock"}


def fuzz(root: Path, count: int, seed: int) -> tuple[Counter[str], list[str], float]:
    """(what happened, faults, the slowest in seconds)"""
    total, faults, slowest = Counter[str](), [], 0.0
    before = contents(root)
    for number in range(count):
        dice = random.Random(f"{seed} {number}")
        mutate, read = dice.choice(KINDS)
        file, text = mutate(root, dice)
        whole = file.read_bytes()
        file.write_bytes(text.encode("utf-8", "surrogatepass"))
        started = time.perf_counter()
        try:
            for store in read(root):
                named = [Path(name) for source in store.sources.values() for name in source.files]
                faults += [f"mutation {number}, {file.name}: leads to {one}" for one in named if not one.resolve().is_relative_to(root)]
            total[f"{mutate.__name__}: read"] += 1
        except TratreeError:
            total[f"{mutate.__name__}: refused"] += 1
        except Exception as error:  # whatever escapes is what we look for
            faults.append(f"mutation {number}, {file.name}: {type(error).__name__}: {str(error)[:200]}")
        slowest = max(slowest, time.perf_counter() - started)
        file.write_bytes(whole)
    after = contents(root)
    changed = {path for path in {*before, *after} if before.get(path) != after.get(path)}
    return total, faults + [f"changed: {path}" for path in sorted(changed)], slowest


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mutations", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    started = time.process_time()
    with tempfile.TemporaryDirectory() as name:
        prepare(Path(name).resolve())
        total, faults, slowest = fuzz(Path(name).resolve(), arguments.mutations, arguments.seed)
    seconds = time.process_time() - started
    print(f"{arguments.mutations:,} mutations, seed {arguments.seed}: {seconds:.0f} s of processor time, the slowest {slowest:.1f} s")
    print("".join(f"{count:>9,} {name}\n" for name, count in sorted(total.items())), end="")
    print(f"{len(faults)} faults")
    print("\n".join(faults[:50]))
    sys.exit(bool(faults) or slowest > LONGEST_SECONDS)


if __name__ == "__main__":
    main()
