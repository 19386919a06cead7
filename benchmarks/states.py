"""What states and credits cost beyond the build: processor seconds and peak memory of each command on the same steps; prints JSON.

    python -m benchmarks.states --steps 100000 300000 1000000

Commands run in processes of their own, so `import` is what the interpreter and the package cost alone; `beyond` is without it.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

from benchmarks.measuring import measured
from benchmarks.synthetic_rollouts import make_store
from tratree_data.store.reader import open_store

COMMANDS = {
    "build": ["build", "{}", "--embedder", "exact"],
    "states": ["states", "{}", "--method", "gigpo"],
    "states, histories 0 and 2, three methods": [
        "states", "{}", "--history", "0", "--history", "2", "--method", "gigpo", "--method", "hgpo", "--method", "g2po",
    ],
}  # fmt: skip


def measure(steps: int) -> dict[str, object]:
    start = [sys.executable, "-m", "tratree_data.cli"]
    with tempfile.TemporaryDirectory() as folder:
        directory = str(Path(folder) / "data")
        make_store(Path(directory), steps)
        alone = measured([*start, "states", "--help"])["cpu"]
        found = {}
        for name, words in COMMANDS.items():
            cost = measured([*start, *(word.format(directory) for word in words)])
            found[name] = {**cost, "beyond": cost["cpu"] - alone}
        rows = {table: open_store(directory).count(table) for table in ("steps", "nodes", "states", "transitions", "step_credits")}
    return {"rows": rows, "import": alone, "commands": found}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, nargs="+", default=[100_000, 300_000, 1_000_000])
    for number in parser.parse_args().steps:
        print(json.dumps(measure(number)), flush=True)
