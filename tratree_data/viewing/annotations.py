"""The table `annotations`: people's labels and notes on nodes, rollouts and pairs, stored one at a time while the page is served."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from tratree_data.errors import BadInputError, NotFoundError
from tratree_data.ids import content_id
from tratree_data.store.reader import Store, open_store
from tratree_data.store.schemas import empty_table, table_from_rows
from tratree_data.store.writing.storable_text import storable
from tratree_data.store.writing.writer import commit, writing

STAGE, TABLE = "annotate", "annotations"
KEYS = {"node": ("nodes", "node_id"), "rollout": ("rollouts", "rollout_id"), "pair": ("pairs", "pair_id")}
LABELS = ("", "good", "bad", "unsure")
LONGEST_NOTE = 10_000


def annotate(directory: str | Path, given: Mapping[str, Any], author: str) -> dict[str, Any]:
    """Stores one annotation in place of the author's earlier one about this subject; without label and note it is removed."""
    subject, subject_id, label, note = (given.get(name) for name in ("subject", "subject_id", "label", "note"))
    if subject not in KEYS or not isinstance(subject_id, str) or label not in LABELS or not isinstance(note, str):
        raise BadInputError("An annotation has subject, subject_id, label and note.\nNext: annotate in the page")
    if len(note) > LONGEST_NOTE:
        raise BadInputError(f"The note has {len(note):,} characters, more than {LONGEST_NOTE:,}.\nNext: shorten it")
    with writing(directory):
        store = open_store(directory)
        row = {
            "annotation_id": content_id("annotation", subject, subject_id, author),
            "tree_id": _tree_of(store, subject, subject_id),
            "subject": subject,
            "subject_id": subject_id,
            "label": label,
            "note": storable(note.strip()),
            "author": author,
            "changed_at": datetime.now(UTC).replace(tzinfo=None),
        }
        before = store.read(TABLE) if store.has(TABLE) else empty_table(TABLE)
        others = before.filter(pc.not_equal(before["annotation_id"], row["annotation_id"]))
        rows = pa.concat_tables([others, table_from_rows(TABLE, [row] if label or row["note"] else [])]).sort_by("annotation_id")
        commit(directory, STAGE, {TABLE: rows}, settings={}, reads={})
    return row | {"changed_at": row["changed_at"].isoformat(timespec="seconds")}


def _tree_of(store: Store, subject: str, subject_id: str) -> str:
    table, key = KEYS[subject]
    found = store.sql(f"SELECT tree_id FROM {table} WHERE {key} = $id LIMIT 1", {"id": subject_id})
    if not found.num_rows:
        raise NotFoundError(f"{store.path} has no {subject} {subject_id!r}.\nNext: reload the page")
    return str(found["tree_id"][0].as_py())


def read_annotations(store: Store, tree_id: str) -> list[dict[str, Any]]:
    """The annotations of one tree, the newest last."""
    if not store.has(TABLE):
        return []
    columns = "subject, subject_id, label, note, author, strftime(changed_at, '%Y-%m-%d %H:%M') AS changed_at"
    rows: list[dict[str, Any]] = store.sql(
        f"SELECT {columns} FROM {TABLE} WHERE tree_id = $tree ORDER BY annotations.changed_at, annotation_id", {"tree": tree_id}
    ).to_pylist()
    return rows
