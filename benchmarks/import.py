"""How fast logs are imported, beside a plain read and write of the same bytes: python benchmarks/import.py [--steps 1000000] [--runs 3]

Each import is a process of its own, from the command to committed tables. The plain reference parses every line with orjson, takes the
three texts of each step and writes one Parquet file: no ids, no checks, no store. Medians go to results/import.json.
"""

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.synthetic_rollouts import rollouts

RESULT = Path(__file__).parent / "results/import.json"
FORMATS = ("jsonl", "messages")


def write_logs(folder: Path, steps: int) -> dict[str, Path]:
    """The same rollouts as our own lines, and as OpenAI messages with tool calls."""
    paths = {name: folder / f"{name}.jsonl" for name in FORMATS}
    with paths["jsonl"].open("w") as lines, paths["messages"].open("w") as chats:
        for made, taken in rollouts(steps):
            by_rollout: dict[str, list[dict[str, str]]] = {}
            for row in taken.select(["rollout_id", "observation", "thought", "action"]).to_pylist():
                by_rollout.setdefault(row.pop("rollout_id"), []).append(row)
            for row in made.to_pylist():
                own = by_rollout[row["rollout_id"]]
                about = {"task_id": row["task_id"], "reward": row["score"]}
                line = {"env": "synthetic", "trajectory_id": row["rollout_id"], "instruction": row["instruction"], "steps": own}
                chat = {"environment": "synthetic", "trial": row["rollout_id"], "messages": as_messages(own)}
                lines.write(json.dumps(about | line) + "\n")
                chats.write(json.dumps(about | chat) + "\n")
    return paths


def as_messages(steps: list[dict[str, str]]) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = [{"role": "system", "content": "You are an agent."}]
    for number, step in enumerate(steps):
        heard = {"role": "tool", "tool_call_id": f"c{number - 1}"} if number else {"role": "user"}
        function = {"name": "act", "arguments": json.dumps({"action": step["action"]})}
        call = {"id": f"c{number}", "type": "function", "function": function}
        messages += [heard | {"content": step["observation"]}, {"role": "assistant", "content": step["thought"], "tool_calls": [call]}]
    return messages


def plain(path: Path, out: Path) -> None:
    """What any program pays: parsing, three columns, one Parquet file."""
    columns: dict[str, list[str]] = {"observation": [], "thought": [], "action": []}
    with path.open("rb") as lines:
        for line in lines:
            for step in orjson.loads(line)["steps"]:
                for name, values in columns.items():
                    values.append(step[name])
    pq.write_table(pa.table(columns), out, compression="zstd", compression_level=1)


def run_import(path: Path, out: Path) -> None:
    shutil.rmtree(out, ignore_errors=True)
    command = [sys.executable, "-m", "tratree_data.cli", "import", str(path), str(out)]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent)}
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL, env=environment)


def measured(work: Callable[[], None]) -> dict[str, float]:
    """Wall and processor seconds, children included, and the machine's load before."""
    load, before, start = os.getloadavg()[0], processor_seconds(), time.perf_counter()
    work()
    return {"wall": time.perf_counter() - start, "cpu": processor_seconds() - before, "load": load}


def processor_seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def medians(work: Callable[[], None], runs: int, size: int) -> dict[str, float]:
    all_runs = [measured(work) for _ in range(runs)]
    found = {name: statistics.median(run[name] for run in all_runs) for name in ("wall", "cpu", "load")}
    return found | {"mb_per_second_of_wall": size / 1e6 / found["wall"], "mb_per_second_of_cpu": size / 1e6 / found["cpu"]}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        paths = write_logs(folder, options.steps)
        sizes = {name: path.stat().st_size for name, path in paths.items()}
        result: dict[str, Any] = {"cores": len(os.sched_getaffinity(0)), "steps": options.steps, "runs": options.runs, "bytes": sizes}
        result["plain_jsonl"] = medians(lambda: plain(paths["jsonl"], folder / "plain.parquet"), options.runs, sizes["jsonl"])
        for name, path in paths.items():
            result[f"import_{name}"] = medians(lambda path=path: run_import(path, folder / "out"), options.runs, sizes[name])  # type: ignore[misc]
    RESULT.write_text(json.dumps(result, indent=1, sort_keys=True) + "\n")
    print(json.dumps(result, indent=1, sort_keys=True))


if __name__ == "__main__":
    main()
