"""Every verb beside an older checkout, in turns: python benchmarks/verbs.py OLD [--steps 50000] [--runs 5] [--old-import jsonl]

Each verb is the command that people type, in a process of its own; its children count. Both checkouts run with the libraries of today and
work on datasets of their own, made from the same log. A ratio is the median over the runs of new / old, in processor seconds; the two
take turns in going first. `--old-import` is what the older `import` expects before the log. results/verbs.json grows with each run.
"""

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.measuring import medians, run
from benchmarks.pipeline import SEED, SMALL, write_log

HERE = Path(__file__).parent
RESULT = HERE / "results/verbs.json"
QUERY = "SELECT task_id, count(*) AS rollouts, avg(score) AS score FROM rollouts GROUP BY task_id ORDER BY task_id LIMIT 10"


def commands(log: Path, folder: Path, format: list[str]) -> dict[str, list[str]]:
    """Every verb with its arguments, in the order of the stages."""
    data = str(folder / "data")
    return {
        "import": ["import", *format, str(log), data],
        "build": ["build", data, "--embedder", "lexical"],
        "search": ["search", data],
        "pairs": ["pairs", data],
        "demonstrations": ["demonstrations", data],
        "check": ["check", data],
        "publish": ["publish", data, str(folder / "release"), "--version", "1.0.0", "--license", "cc-by-4.0"],
        "sql": ["sql", data, QUERY],
        "show": ["show", data],
        "stats": ["stats", data],
        "export": ["export", data, str(folder / "exported"), "--format", "sts"],
        "view": ["view", data, "--out", str(folder / "page.html"), "--no-open"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", type=Path)
    parser.add_argument("--old-import", default=[], nargs="*", metavar="FORMAT")
    parser.add_argument("--steps", type=int, default=50_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--result", type=Path, default=RESULT)
    options = parser.parse_args()
    packages = {"new": HERE.parent, "old": options.old.resolve()}
    with tempfile.TemporaryDirectory() as scratch:
        runs: dict[str, dict[str, list[dict[str, float]]]] = {}
        logs = [write_log(Path(scratch) / str(steps), steps) for steps in (SMALL, options.steps)]
        for number in range(options.runs + 1):
            log = logs[number > 0]  # the first run compiles
            forms = {name: commands(log, Path(scratch) / name, options.old_import if name == "old" else []) for name in packages}
            for name in packages:
                shutil.rmtree(Path(scratch) / name, ignore_errors=True)
                (Path(scratch) / name).mkdir()
            for verb in forms["new"]:
                taken = runs.setdefault(verb, {name: [] for name in packages})
                for name in sorted(packages, reverse=bool(number % 2)):
                    used = run(packages[name], *forms[name][verb])
                    if number:
                        taken[name].append(used)
                    print(number, verb, name, f"{used['cpu']:.2f} s", file=sys.stderr, flush=True)
            if number:
                facts = {"cores": len(os.sched_getaffinity(0)), "steps": options.steps, "runs": number, "seed": SEED}
                result = json.dumps(facts | {"verbs": summarized(runs)}, indent=1, sort_keys=True)
                options.result.write_text(result + "\n", encoding="utf-8")
    print(result)


def summarized(runs: dict[str, dict[str, list[dict[str, float]]]]) -> dict[str, dict[str, dict[str, float]]]:
    result = {}
    for verb, taken in runs.items():
        ratios = [new["cpu"] / old["cpu"] for new, old in zip(taken["new"], taken["old"], strict=True)]
        ratio = {"median": round(statistics.median(ratios), 3), "least": round(min(ratios), 3), "most": round(max(ratios), 3)}
        result[verb] = {name: medians(costs) for name, costs in taken.items()} | {"ratio": ratio}
    return result


if __name__ == "__main__":
    main()
