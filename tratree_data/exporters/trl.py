"""TRL: pairs.jsonl for DPO and reward models, demonstrations.jsonl for SFT, step_labels.jsonl for KTO, with the columns that TRL reads."""

from collections.abc import Iterator
from typing import Any

from tratree_data.errors import NotFoundError, quoted
from tratree_data.messages import row_messages, row_tools
from tratree_data.store.reader import Store

COLUMNS = {
    "pairs": ("prompt", "chosen", "rejected", "tools"),
    "demonstrations": ("messages", "tools"),
    "step_labels": ("prompt", "completion", "label", "tools"),
}
KEYS = {"pairs": "pair_id", "demonstrations": "demonstration_id", "step_labels": "node_id"}
ROWS_PER_BATCH = 1_000


def present(store: Store) -> list[str]:
    found = [table for table in COLUMNS if store.count(table)]
    if not found:
        raise NotFoundError(
            f"{store.path} has no pairs, demonstrations or step labels to train on.\nNext: tratree pairs {quoted(store.path)}"
        )
    return found


def rows(store: Store, table: str) -> Iterator[dict[str, Any]]:
    """The table's training columns, in the order of its key; a message has the keys that it needs, and calls are objects."""
    query = f"SELECT {', '.join(COLUMNS[table])} FROM {table} ORDER BY {KEYS[table]}"  # our own names, nothing that a user typed
    reader = store.stream(query, ROWS_PER_BATCH)
    yield from (_objects(row) for batch in reader for row in batch.to_pylist())


def _objects(row: dict[str, Any]) -> dict[str, Any]:
    tools = row_tools(row.pop("tools"))
    spoken = {name: row_messages(value) if isinstance(value, list) else value for name, value in row.items()}
    return spoken | ({"tools": tools} if tools else {})
