"""How fast logs are imported, beside a plain read and write of the same bytes: python benchmarks/import.py [--steps 1000000] [--runs 3]

The same rollouts as lines of our own, OpenAI messages with tool calls, sessions of Claude Code, and a log of Inspect. Each import is a
process of its own, from the command to committed tables; its children count. The plain reference parses every line with orjson, takes the
three texts of each step and writes one Parquet file: no ids, no checks, no store. With --old PATH, the package at PATH (another checkout)
takes turns with this one. Medians go to results/import.json.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.measuring import measured, medians, run
from benchmarks.synthetic_rollouts import rollouts

HERE = Path(__file__).parent
RESULT = HERE / "results/import.json"
FORMATS = ("jsonl", "messages", "claude-code", "inspect")
SEED = 0
Steps = list[dict[str, str]]
STARTED = "2026-11-01T10:00:00+00:00"
EVAL = {"task": "synthetic", "model": "mockllm/model", "created": STARTED, "run_id": "run", "eval_id": "eval"}
PLAIN = """
import sys, orjson, pyarrow as pa, pyarrow.parquet as pq
columns = {"observation": [], "thought": [], "action": []}
with open(sys.argv[1], "rb") as lines:
    for line in lines:
        for step in orjson.loads(line)["steps"]:
            for name, values in columns.items():
                values.append(step[name])
pq.write_table(pa.table(columns), sys.argv[2], compression="zstd", compression_level=1)
"""


def write_logs(folder: Path, steps: int, formats: Sequence[str] = FORMATS) -> dict[str, Path]:
    names = {"jsonl": "jsonl.jsonl", "messages": "messages.jsonl", "claude-code": "sessions", "inspect": "inspect.eval"}
    paths = {name: folder / names[name] for name in formats}
    with ExitStack() as open_files:
        writers = [WRITERS[name](path, open_files) for name, path in paths.items()]
        for made, taken in rollouts(steps, SEED):
            by_rollout: dict[str, Steps] = {}
            for row in taken.select(["rollout_id", "observation", "thought", "action"]).to_pylist():
                by_rollout.setdefault(row.pop("rollout_id"), []).append(row)
            for row in made.to_pylist():
                for write in writers:
                    write(row, by_rollout[row["rollout_id"]])
    return paths


Write = Callable[[dict[str, Any], Steps], None]


def lines_writer(path: Path, open_files: ExitStack) -> Write:
    lines = open_files.enter_context(path.open("w"))

    def write(row: dict[str, Any], steps: Steps) -> None:
        about = {"task_id": row["task_id"], "reward": row["score"], "env": "synthetic", "trajectory_id": row["rollout_id"]}
        lines.write(json.dumps(about | {"instruction": row["instruction"], "steps": steps}) + "\n")

    return write


def messages_writer(path: Path, open_files: ExitStack) -> Write:
    lines = open_files.enter_context(path.open("w"))

    def write(row: dict[str, Any], steps: Steps) -> None:
        about = {"task_id": row["task_id"], "reward": row["score"], "environment": "synthetic", "trial": row["rollout_id"]}
        lines.write(json.dumps(about | {"messages": list(messages_of(steps))}) + "\n")

    return write


def messages_of(steps: Steps) -> Iterator[dict[str, Any]]:
    yield {"role": "system", "content": "You are an agent."}
    for number, step in enumerate(steps):
        heard = {"role": "tool", "tool_call_id": f"c{number - 1}"} if number else {"role": "user"}
        function = {"name": "act", "arguments": json.dumps({"action": step["action"]})}
        yield heard | {"content": step["observation"]}
        call = {"id": f"c{number}", "type": "function", "function": function}
        yield {"role": "assistant", "content": step["thought"], "tool_calls": [call]}


def sessions_writer(path: Path, open_files: ExitStack) -> Write:
    """A file per session, as Claude Code keeps them: what the user asked, then each turn and the result of its call."""
    folder = path / "-home-me-synthetic"
    folder.mkdir(parents=True)

    def write(row: dict[str, Any], steps: Steps) -> None:
        session = row["rollout_id"]
        common = {"isSidechain": False, "userType": "external", "cwd": "/home/me", "sessionId": session, "version": "2.1.0"}
        messages: list[dict[str, Any]] = []
        for number, step in enumerate(steps):
            result = [{"type": "tool_result", "tool_use_id": f"c{number - 1}", "content": step["observation"]}]
            messages.append({"role": "user", "content": result if number else row["instruction"]})
            blocks = [{"type": "text", "text": step["thought"]}]
            call = {"type": "tool_use", "id": f"c{number}", "name": "act", "input": {"action": step["action"]}}
            usage = {"input_tokens": 10, "output_tokens": 5}
            messages.append({"role": "assistant", "id": f"m{number}", "model": "m", "content": [*blocks, call], "usage": usage})
        with (folder / f"{session}.jsonl").open("w") as lines:
            for number, message in enumerate(messages):
                place = {"uuid": f"{session}-{number}", "parentUuid": f"{session}-{number - 1}" if number else None}
                about = {"type": message["role"], "timestamp": f"2026-11-02T10:{number // 60:02d}:{number % 60:02d}.000Z"}
                lines.write(json.dumps(common | place | about | {"message": message}) + "\n")

    return write


def inspect_writer(path: Path, open_files: ExitStack) -> Write:
    archive = open_files.enter_context(zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1))
    archive.writestr("header.json", json.dumps({"version": 2, "status": "success", "eval": EVAL, "plan": {}}))

    def write(row: dict[str, Any], steps: Steps) -> None:
        sample = f"{row['task_id']}-{row['attempt']}"
        messages = [message | {"id": f"m{number}"} for number, message in enumerate(messages_of(steps))]
        for message in messages:
            for call in message.get("tool_calls", ()):
                call |= {"function": "act", "arguments": json.loads(call["function"]["arguments"])}
        scores = {"match": {"value": row["score"]}}
        content = {"id": sample, "epoch": 1, "input": row["instruction"], "target": "", "messages": messages, "scores": scores}
        archive.writestr(f"samples/{sample}_epoch_1.json", json.dumps(content))

    return write


WRITERS = {"jsonl": lines_writer, "messages": messages_writer, "claude-code": sessions_writer, "inspect": inspect_writer}


def size_of(path: Path) -> int:
    """Bytes of JSON: of an archive, what it unpacks to."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            return sum(member.file_size for member in archive.filelist)
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file()) if path.is_dir() else path.stat().st_size


def run_import(package: Path, path: Path, out: Path) -> dict[str, float]:
    shutil.rmtree(out, ignore_errors=True)
    return run(package, "import", str(path), str(out))


def with_speed(runs: Sequence[dict[str, float]], size: int) -> dict[str, float]:
    found = medians(runs)
    return found | {f"mb_per_second_of_{name}": round(size / 1e6 / found[name], 1) for name in ("wall", "cpu")}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--format", choices=FORMATS, action="append")
    parser.add_argument("--old", type=Path)
    parser.add_argument("--result", type=Path, default=RESULT)
    options = parser.parse_args()
    packages = {"new": HERE.parent} | ({"old": options.old.resolve()} if options.old else {})
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        paths = write_logs(folder, options.steps, tuple({"jsonl": None} | dict.fromkeys(options.format or FORMATS)))
        sizes = {name: size_of(path) for name, path in paths.items()}
        cores = len(os.sched_getaffinity(0))
        result: dict[str, Any] = {"cores": cores, "steps": options.steps, "runs": options.runs, "seed": SEED, "bytes": sizes}
        plain = [measured([sys.executable, "-c", PLAIN, str(paths["jsonl"]), str(folder / "plain.parquet")]) for _ in range(options.runs)]
        result["plain_jsonl"] = with_speed(plain, sizes["jsonl"])
        for name, path in paths.items():
            found: dict[str, list[dict[str, float]]] = {package: [] for package in packages}
            for package in packages.values():  # compiles what is compiled once
                run_import(package, path, folder / "out")
            for _ in range(options.runs):
                for package, runs in found.items():
                    runs.append(run_import(packages[package], path, folder / "out"))
                    print(name, package, {key: round(value, 2) for key, value in runs[-1].items()}, file=sys.stderr)
            result[f"import_{name}"] = {package: with_speed(runs, sizes[name]) for package, runs in found.items()}
    options.result.write_text(json.dumps(result, indent=1, sort_keys=True) + "\n")
    print(json.dumps(result, indent=1, sort_keys=True))


if __name__ == "__main__":
    main()
