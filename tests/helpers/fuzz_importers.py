"""Importers against mutated real files: every mutation must give records and problems, never an exception, a hang or an unstorable row.

    python tests/helpers/fuzz_importers.py --mutations 100000 [--seed 1]

Reading, validation and the making of Arrow rows are run in memory; the commit is the store's own. tests/test_fuzz_importers.py runs a few.
"""

import argparse
import json
import random
import re
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from tratree_data.errors import TratreeError
from tratree_data.importers.files.log_files import LogFile
from tratree_data.importers.formats import FORMATS
from tratree_data.importers.log_records import Options
from tratree_data.importers.record_storage import Import
from tratree_data.store.reader import Store
from tratree_data.store.schemas import check

TESTS = Path(__file__).parents[1]
REAL = TESTS.parent / "../shared/data/trajectories"
TRIAL = TESTS / "data/logs/harbor/hello__0000001"
LONGEST_SECONDS = 30.0
BIGGEST_SEED = 20_000
CHECK_EVERY = 500
ODD_VALUES: list[Any] = [
    None, True, False, 0, -1, 1.5, 10**30, 10**400, -(10**18), float("nan"), float("inf"), "", " ", "\ud800", "a\0b", "Action:", "> ",
    [], {}, [[]], [None], {"": None}, "9" * 50, {"role": "assistant", "content": []}, [{"type": "tool_use"}], "Reward: x", {"history": {}},
]  # fmt: skip
ODD_BYTES = [
    b"\x00",
    b"\xff\xfe",
    b"\xed\xa0\x80",
    b"\\ud800",
    b"{",
    b"}",
    b"[",
    b"]",
    b'"',
    b"\\",
    b"\n",
    b",",
    b":",
    b"NaN",
    b"1e999",
    b"9" * 5000,
    b"[" * 3000,
]


@dataclass(frozen=True)
class Seed:
    """A real log to begin with."""

    format: str
    name: str
    data: bytes
    options: Options
    folder: Path | None = None
    """Of formats that read a folder: what is beside the file, whose name has the folder in it."""


def seeds() -> list[Seed]:
    """The small logs of every format, and the beginnings of the real ones where they are here."""
    found = []
    for path in sorted(path for path in (TESTS / "data/logs").rglob("*.*") if path.suffix not in (".png", "") and path.is_file()):
        folder = path.relative_to(TESTS / "data/logs").parts[0]
        named = next((name for name in ("webshop", "sciworld", "alfworld") if name in str(path)), "any") if folder == "eto" else "any"
        scale = (0.0, 100.0) if folder == "history" else None
        top = TRIAL if path.is_relative_to(TRIAL) else None
        name = path.relative_to(top).as_posix() if top else path.name
        found.append(Seed(folder, name, path.read_bytes(), Options(environment=named, score_scale=scale), top))
    for format, pattern in (
        ("knowagent", "knowagent*/K*.jsonl"),
        ("fireact", "fireact*/h*.json"),
        ("intercode", "intercode*/*_*.json"),
        ("jsonl", "*/normalized.jsonl"),
    ):
        for path in sorted(REAL.glob(pattern)):
            found.append(Seed(format, path.name, _beginning(path), Options()))
    return found


def _beginning(path: Path) -> bytes:
    """A part of a real file that is small enough to be mutated many times."""
    data = path.read_bytes()
    if path.suffix == ".jsonl":
        cut = data.rfind(b"\n", 0, BIGGEST_SEED) + 1
        return data[: cut or BIGGEST_SEED]
    value = json.loads(data)
    inner = value.get("logs", value)
    few = dict(list(inner.items())[:3])
    return json.dumps({"logs": few} if "logs" in value else few).encode()


def mutate(data: bytes, rng: random.Random) -> bytes:
    """One to three changes to bytes, to lines, or to a value somewhere in the JSON."""
    for _ in range(rng.choice((1, 1, 2, 3))):
        data = rng.choice((_flip, _cut, _insert, _repeat, _swap_value, _swap_value, _swap_value))(data, rng)
    return data


def _flip(data: bytes, rng: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        if changed:
            changed[rng.randrange(len(changed))] = rng.randrange(256)
    return bytes(changed)


def _cut(data: bytes, rng: random.Random) -> bytes:
    start = rng.randrange(len(data) + 1)
    return data[:start] if rng.random() < 0.5 else data[:start] + data[start + rng.randint(1, 200) :]


def _insert(data: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(data) + 1)
    return data[:at] + rng.choice(ODD_BYTES) + data[at:]


def _repeat(data: bytes, rng: random.Random) -> bytes:
    lines = data.split(b"\n")
    at = rng.randrange(len(lines))
    return b"\n".join([*lines[:at], *[lines[at]] * rng.randint(0, 3), *lines[at + 1 :]])


def _swap_value(data: bytes, rng: random.Random) -> bytes:
    """Another value in a random place: a wrong type, a huge number, a lone surrogate, deep nesting, a key that is missing."""
    lines = data.split(b"\n")
    for whole in (False, True):
        at = 0 if whole else rng.randrange(len(lines))
        try:
            value = json.loads(data if whole else lines[at])
        except (ValueError, RecursionError):
            continue
        text = _dump(_changed(value, rng), rng)
        return text if whole else b"\n".join([*lines[:at], text, *lines[at + 1 :]])
    numbers = list(re.finditer(rb"\d+", data))
    if not numbers:
        return _insert(data, rng)
    chosen = rng.choice(numbers)
    return data[: chosen.start()] + rng.choice((b"", b"-1", b"999999999999999999999", b"x")) + data[chosen.end() :]


def _changed(value: Any, rng: random.Random) -> Any:
    if rng.random() < 0.25 or not isinstance(value, dict | list) or not value:
        return _deep(rng) if rng.random() < 0.05 else rng.choice(ODD_VALUES)
    if isinstance(value, list):
        at = rng.randrange(len(value))
        if rng.random() < 0.1:
            return value[:at] + value[at + 1 :]
        return [*value[:at], _changed(value[at], rng), *value[at + 1 :]]
    key = rng.choice(list(value))
    if rng.random() < 0.1:
        return {name: inner for name, inner in value.items() if name != key}
    return value | {key: _changed(value[key], rng)}


def _deep(rng: random.Random) -> Any:
    value: Any = "deep"
    for _ in range(rng.choice((10, 100, 400))):
        value = [value] if rng.random() < 0.5 else {"history": value}
    return value


def _dump(value: Any, rng: random.Random) -> bytes:
    return json.dumps(value, ensure_ascii=rng.random() < 0.5).encode("utf-8", "surrogatepass")


Tables = dict[str, list[pa.Table]]


def run(seed: Seed, data: bytes, folder: Path) -> tuple[Counter[str], dict[str, pa.Table]]:
    """What an import would do short of the commit: counts, and the tables that it would write."""
    read = folder / (seed.name if seed.folder is None else "result.json")
    if seed.folder is not None:
        shutil.copytree(seed.folder, folder, dirs_exist_ok=True)
    (folder / seed.name).write_bytes(data)
    importing = Import(folder, Store(folder, {}), seed.options, {})
    try:
        for _ in importing.take(FORMATS[seed.format](LogFile(read, read.name), seed.options)):
            pass
    except TratreeError:
        return Counter({"refused": 1}), {}
    importing.pack_problems()
    return importing.counts + importing.reasons, importing.writer.tables() | {"dropped": importing.dropped[0]}


def check_all(tables: Tables) -> None:
    """What the store checks before it writes; many at once, for each check opens a database."""
    for name, parts in tables.items():
        check(name, pa.concat_tables(parts))


def mutations(count: int, number: int) -> Iterator[tuple[int, Seed, bytes]]:
    rng = random.Random(number)
    logs = seeds()
    for i in range(count):
        seed = rng.choice(logs)
        yield i, seed, mutate(seed.data, random.Random(rng.getrandbits(64)))


def fuzz(count: int, number: int) -> tuple[Counter[str], list[str], float]:
    """(what happened, faults, the slowest in seconds)"""
    total: Counter[str] = Counter()
    faults: list[str] = []
    slowest = 0.0
    waiting: Tables = {}
    with tempfile.TemporaryDirectory() as folder:
        for i, seed, data in mutations(count, number):
            started = time.perf_counter()
            try:
                counts, tables = run(seed, data, Path(folder))
                total += counts
                for name, table in tables.items():
                    waiting.setdefault(name, []).append(table)
                if i % CHECK_EVERY == 0 or i == count - 1:
                    full, waiting = waiting, {}
                    check_all(full)
            except Exception as error:  # whatever escapes is what we look for
                faults.append(f"mutation {i} of seed {number}, {seed.format} {seed.name}: {type(error).__name__}: {str(error)[:200]}")
            took = time.perf_counter() - started
            slowest = max(slowest, took)
            if took > LONGEST_SECONDS:
                faults.append(f"mutation {i} of seed {number}, {seed.format} {seed.name}: took {took:.1f} s")
    return total, faults, slowest


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mutations", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    started = time.perf_counter()
    total, faults, slowest = fuzz(arguments.mutations, arguments.seed)
    seconds = time.perf_counter() - started
    print(f"{arguments.mutations:,} mutations, seed {arguments.seed}: {seconds:.0f} s, the slowest {slowest * 1000:.0f} ms")
    for name, count in total.most_common():
        print(f"{count:>9,} {name}")
    print(f"{len(faults)} faults")
    print("\n".join(faults[:50]))
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
