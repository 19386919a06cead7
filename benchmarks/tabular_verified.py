"""What new attempts said about the decisions of pipelines/weak_to_strong_tabular_verified.toml, beside the experiment's results.

    python benchmarks/tabular_verified.py DIR

DIR is the folder that `tratree reproduce` wrote. Everything is written to benchmarks/results/tabular_verified.json.
"""

import json
import sys
from collections import Counter
from pathlib import Path

from tratree_data.store.reader import open_store

RESULTS = Path(__file__).parent / "results" / "tabular_verified.json"
PAIRS = "SELECT count(*) AS pairs, count(*) FILTER (verified) AS certain FROM pairs"
BRANCHES = "SELECT count(*) AS attempts, count(DISTINCT branch_node_id) AS sides FROM rollouts WHERE branch_node_id IS NOT NULL"
TRIED = "SELECT DISTINCT branch_node_id AS node FROM rollouts WHERE branch_node_id IS NOT NULL"
MEANS = "SELECT node_id AS node, score_sum / scored_visits AS mean FROM nodes WHERE scored_visits > 0"
DECISIONS = "SELECT best_id AS better, worst_id AS worse FROM decisions WHERE is_divergence"


def main(folder: Path) -> None:
    results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    counts: Counter[str] = Counter()
    for block in sorted(folder.glob("block-*")):
        counts.update(count(block / "data" / "weak", block / "data" / "weak_verified"))
    kept = {name: results[name] for name in ("code", "seconds", "arms", "comparisons", "rewards")}
    seeds = results["recipe"]["protocol"]["test_seeds"]
    RESULTS.write_text(json.dumps({"seeds": seeds, "verification": counts, **kept}, indent=1) + "\n", encoding="utf-8")
    print(dict(counts))


def count(before: Path, after: Path) -> dict[str, int]:
    """Pairs and certain ones before and after, new attempts, and decisions whose better side is not better any more."""
    first, second = open_store(before), open_store(after)
    found = {f"{name}_before": int(value) for name, value in first.sql(PAIRS).to_pylist()[0].items()}
    found |= {f"{name}_after": int(value) for name, value in second.sql(PAIRS).to_pylist()[0].items()}
    found |= second.sql(BRANCHES).to_pylist()[0]
    tried = set(second.sql(TRIED)["node"].to_pylist())
    mean = {row["node"]: row["mean"] for row in second.sql(MEANS).to_pylist()}
    both = [row for row in first.sql(DECISIONS).to_pylist() if {row["better"], row["worse"]} <= tried]
    reversed_or_level = sum(mean[row["better"]] <= mean[row["worse"]] + 1e-9 for row in both)
    return found | {"decisions_tried_on_both_sides": len(both), "reversed_or_level": reversed_or_level}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
