"""The YAML at the head of a card, by which the Hub and `datasets` find configurations, splits, features and sizes."""

from collections.abc import Sequence
from typing import Any

import yaml

from tratree_data.releases.card.markdown import INVISIBLE
from tratree_data.store.published.manifest import Manifest
from tratree_data.store.schemas import released_schema

TRACE_TAGS = ["agent-traces", "format:agent-traces"]
"""The Hub finds traces by itself only where they are the first configuration, and in JSON."""
PAPER = "2507.18858"
"""The method's, on arXiv."""
TAGS = ["agents", "trajectories", "trajectory-trees", "preference-data", "weak-to-strong", "tratree-data", f"arxiv:{PAPER}"]
SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"), (10_000_000, "1M<n<10M"))


def default_table(manifest: Manifest) -> str:
    return "pairs" if "pairs" in manifest.tables and manifest.tables["pairs"]["shards"] else "rollouts"


def front_matter(manifest: Manifest, license: str, title: str, language: Sequence[str] = ()) -> str:
    """Tables without a row are left out: a configuration without files would break the others."""
    tables = {name: entry for name, entry in manifest.tables.items() if entry["shards"]}
    most = max(entry["rows"] for entry in tables.values())
    content = {
        "license": license,
        "pretty_name": INVISIBLE.sub("", " ".join(title.split())),
        **({"language": list(language)} if language else {}),
        "task_categories": ["reinforcement-learning", "text-generation"],
        "tags": [*TAGS, *(TRACE_TAGS if "traces" in tables else [])],
        "size_categories": [next((name for limit, name in SIZES if most < limit), "n>10M")],
        "configs": [_config(name, entry, name == default_table(manifest)) for name, entry in tables.items()],
        "dataset_info": [_info(name, entry) for name, entry in tables.items()],
    }
    return str(yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=10_000))


def _config(table: str, entry: dict[str, Any], default: bool) -> dict[str, Any]:
    by_split: dict[str, list[str]] = {}
    for shard in entry["shards"]:
        by_split.setdefault(shard["split"], []).append(shard["path"])
    config: dict[str, Any] = {"config_name": table, "data_files": [{"split": split, "path": paths} for split, paths in by_split.items()]}
    return {**config, "default": True} if default else config


def _info(table: str, entry: dict[str, Any]) -> dict[str, Any]:
    from datasets import DatasetInfo, Features

    splits: dict[str, dict[str, Any]] = {}
    for shard in entry["shards"]:
        info = splits.setdefault(shard["split"], {"name": shard["split"], "num_bytes": 0, "num_examples": 0})
        info["num_bytes"] += shard["memory_bytes"]
        info["num_examples"] += shard["rows"]
    information = DatasetInfo(
        features=Features.from_arrow_schema(released_schema(table)),
        config_name=table,
        splits=splits,
        download_size=sum(shard["bytes"] for shard in entry["shards"]),
        dataset_size=sum(info["num_bytes"] for info in splits.values()),
    )
    return dict(information._to_yaml_dict())
