"""What a dataset costs per step, and what growing it by 1 % costs: bytes, files, requests, memory, processor seconds, for docs/scale.md.

    python -m benchmarks.scale --rollouts 1000 4000            # in a folder and in a bucket (moto's server), into results/scale.json
    python -m benchmarks.scale --rollouts --bucket-rollouts 12500 50000 --result large.json         # 0.5M and 2M steps, in a bucket only

Rollouts have 40 steps of about 2 kB. Every stage runs as a command of its own, so its peak memory is its own. The slope between two sizes
leaves out what is paid once per command. The estimate for 12M rollouts is the slope times their steps: nothing else is assumed.
"""

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

RESULTS = Path(__file__).parent / "results" / "scale.json"
STEPS, BYTES, ATTEMPTS = 40, 2_000, 8
TARGET_ROLLOUTS = 12_000_000
MEASURED = ("processor_seconds", "wall_seconds", "peak_mb", "requests")
VERBS = {
    "import": [],
    "build": ["--embedder", "exact"],
    "search": [],
    "states": [],
    "pairs": [],
    "demonstrations": ["--kind", "best"],
    "check": [],
    "publish": [],
}


def rollouts(count: int, seed: int) -> Iterator[dict[str, Any]]:
    """Terminal sessions: files of numbered lines that repeat within a task, counters that do not, and attempts that diverge."""
    chance = random.Random(seed)
    words = ["".join(chance.choices("abcdefghijklmnopqrstuvwxyz_", k=chance.randint(3, 11))) for _ in range(20_000)]
    lines: list[str] = []
    for number in range(count):
        if number % ATTEMPTS == 0:
            lines = [f"{i:5} {' '.join(chance.choices(words, k=9))}" for i in range(400)]
        steps = []
        for step in range(STEPS):
            first = (step * 7) % 350 if step < 8 else chance.randrange(350)
            seen = "\n".join(lines[first : first + 22])
            noise = f"exit 0 after {chance.random():.3f} s" if step >= 8 else "exit 0"
            steps.append(
                {
                    "observation": f"{seen}\n{noise}"[:BYTES],
                    "thought": " ".join(chance.choices(words, k=12)),
                    "action": f"sed -n {first},{first + 22}p {words[number // ATTEMPTS % len(words)]}.py",
                }
            )
        task = f"s{seed}-{number // ATTEMPTS}"
        yield {"task_id": task, "env": "terminal", "instruction": f"Fix {task}.", "reward": chance.randrange(2), "steps": steps,
               "trajectory_id": f"{task}-{number % ATTEMPTS}"}  # fmt: skip


def write_log(path: Path, count: int, seed: int) -> Path:
    with path.open("wb") as handle:
        for rollout in rollouts(count, seed):
            handle.write(orjson.dumps(rollout) + b"\n")
    return path


def run(words: list[str], environment: dict[str, str], server: Any) -> dict[str, float]:
    if server is not None:
        server.whole()
    started = time.perf_counter()
    command = [sys.executable, "-m", "tratree_data.cli", *words]
    process = subprocess.Popen(command, env=os.environ | environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert process.stderr is not None
    said = process.stderr.read()
    _, status, used = os.wait4(process.pid, 0)
    if os.waitstatus_to_exitcode(status) not in (0, 1):
        raise SystemExit(f"{' '.join(words)}: {said.decode()[-500:]}")
    return {
        "wall_seconds": round(time.perf_counter() - started, 2),
        "processor_seconds": round(used.ru_utime + used.ru_stime, 2),
        "peak_mb": round(used.ru_maxrss / 1024),
        "requests": len(server.requests()) if server is not None else 0,
    }


def stages(where: str, log: Path, release: str, version: str, environment: dict[str, str], server: Any) -> dict[str, dict[str, float]]:
    commands = {verb: [verb, where, *options] for verb, options in VERBS.items()}
    commands["import"] = ["import", str(log), where]
    commands["publish"] = ["publish", where, release, "--version", version]
    measured = {}
    for verb, words in commands.items():
        measured[verb] = run(words, environment, server)
        print(f"  {verb:15} {measured[verb]}", file=sys.stderr, flush=True)
    return measured


def contents(where: str) -> dict[str, int]:
    """Bytes and files of the dataset's live versions, and entries of its logs."""
    from tratree_data import open_store
    from tratree_data.store.buckets.bucket_paths import list_below, parse_address
    from tratree_data.store.locations import place, size_at

    files = [file for source in open_store(where).sources.values() for file in source.files]
    if where.startswith("s3:"):
        entries = sum("/_delta_log/" in str(found.path) for found in list_below(parse_address(where)))
    else:
        entries = len(list(Path(where).glob("*/_delta_log/*.json")))
    return {"bytes": sum(size_at(place(file)) for file in files), "files": len(files), "log_entries": entries}


def measure(folder: Path, base: str, sizes: list[int], environment: dict[str, str], server: Any) -> dict[str, Any]:
    found: dict[str, Any] = {"sizes": {}}
    warm = str(folder / f"warm{bool(base)}")  # compiles what is compiled once per machine
    stages(warm, write_log(folder / "warm.jsonl", 5 * ATTEMPTS, seed=0), f"{warm}-release", "1.0.0", environment, None)
    for size in sizes:
        print(f"{base or folder}: {size} rollouts", file=sys.stderr, flush=True)
        log = write_log(folder / f"{size}.jsonl", size, seed=size)
        where, release = (f"{base}/d{size}", f"{base}/r{size}") if base else (str(folder / f"d{size}"), str(folder / f"r{size}"))
        entry: dict[str, Any] = {"steps": size * STEPS, "log_bytes": log.stat().st_size}
        entry["stages"] = stages(where, log, release, "1.0.0", environment, server)
        entry["dataset"] = contents(where)
        if size == max(sizes):
            more = write_log(folder / "more.jsonl", max(ATTEMPTS, size // 100), seed=-1)
            entry["grown_by_1_percent"] = stages(where, more, release, "1.1.0", environment, server)
        found["sizes"][str(size)] = entry
        log.unlink()
    low, high = (found["sizes"][str(size)] for size in (min(sizes), max(sizes)))
    steps = high["steps"] - low["steps"]
    found["per_million_steps"] = {
        verb: {name: round((high["stages"][verb][name] - low["stages"][verb][name]) / steps * 1e6, 2) for name in MEASURED}
        for verb in VERBS
    }
    found["bytes_per_step"] = round((high["dataset"]["bytes"] - low["dataset"]["bytes"]) / steps, 1)
    millions = TARGET_ROLLOUTS * STEPS / 1e6
    found["for_12M_rollouts"] = {
        "terabytes": round(found["bytes_per_step"] * TARGET_ROLLOUTS * STEPS / 1e12, 2),
        "processor_hours": {verb: round(row["processor_seconds"] * millions / 3600, 1) for verb, row in found["per_million_steps"].items()},
        "million_requests": {verb: round(row["requests"] * millions / 1e6, 2) for verb, row in found["per_million_steps"].items()},
    }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rollouts", type=int, nargs="*", default=[1_000, 4_000])
    parser.add_argument("--bucket-rollouts", type=int, nargs="*", default=[500, 2_000])
    parser.add_argument("--result", type=Path, default=RESULTS)
    options = parser.parse_args()
    sys.path[:0] = [str(Path(__file__).parents[1] / "tests")]
    from helpers.loopback_s3 import BUCKET, LoopbackS3

    results: dict[str, Any] = {"steps_per_rollout": STEPS, "cores": os.cpu_count()}
    with tempfile.TemporaryDirectory() as name:
        if options.rollouts:
            results["folder"] = measure(Path(name), "", options.rollouts, {}, None)
        options.result.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
        if options.bucket_rollouts:
            server = LoopbackS3()
            try:
                os.environ.update(server.environment)
                results["bucket"] = measure(Path(name), f"s3://{BUCKET}", options.bucket_rollouts, {}, server)
            finally:
                server.close()
    results["peak_mb_of_the_benchmark"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    options.result.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
