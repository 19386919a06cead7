"""What a method learns from: the rows of a release, a dataset folder or a Hub repository, chosen by kind and score.

A release has one configuration per table; a dataset folder has the table itself. Either way the rows come as Arrow columns of the
schema, so that everything after this module sees one thing.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from tratree_data.errors import BadInputError, NotFoundError, quoted, suggest
from tratree_data.stages import command_for
from tratree_data.store.locations import place
from tratree_data.store.published.release import names_release, open_dataset
from tratree_data.training.step_weights import join_weights

if TYPE_CHECKING:
    from tratree_data.training.settings import TrainOptions


@dataclass(frozen=True)
class Method:
    """Which table and which kinds of rows a method takes by default."""

    table: str
    kinds: tuple[str, ...]
    about: str


METHODS = {
    "sft": Method("demonstrations", ("expert",), "imitate the expert (equation 4; with --divergence-weight, equation 5)"),
    "mcts-sft": Method("demonstrations", ("path",), "imitate the extracted paths e* (equation 8)"),
    "tree-dpo": Method("pairs", ("divergence", "step", "siblings"), "prefer the better branch where two diverge (equation 6)"),
    "unstructured-dpo": Method("pairs", ("unstructured",), "prefer the better of two whole rollouts (the paper's ablation)"),
    "eto": Method("pairs", ("unstructured", "expert"), "the same, over the model's own explorations, or the expert's against them"),
    "kto": Method("step_labels", (), "raise desirable steps, lower the others"),
}
COLUMNS = {
    "demonstrations": ["demonstration_id", "tree_id", "kind", "split", "rollout_id", "score", "messages", "form", "tools"],
    "pairs": ["pair_id", "tree_id", "kind", "split", "margin", "prompt", "chosen", "rejected", "form", "tools"],
    "step_labels": ["node_id", "tree_id", "split", "prompt", "completion", "label", "form", "tools"],
}
KEYS = {"demonstrations": "demonstration_id", "pairs": "pair_id", "step_labels": "node_id"}


def method(name: str) -> Method:
    if name not in METHODS:
        raise NotFoundError(f"Unknown method {name!r}.{suggest(name, METHODS)}")
    return METHODS[name]


def training_rows(
    release: str | Path,
    name: str,
    *,
    revision: str | None = None,
    split: str = "train",
    kinds: tuple[str, ...] = (),
    min_score: float | None = None,
    min_margin: float | None = None,
) -> tuple[pa.Table, dict[str, Any]]:
    """(rows in the order of their identifiers, where they come from)."""
    chosen = method(name)
    table, lineage = read_table(release, chosen.table, revision)
    found = table.num_rows
    table = _where(table, "split", (split,))
    table = _where(table, "kind", kinds or chosen.kinds)
    least = {column: value for column, value in (("score", min_score), ("margin", min_margin)) if value is not None}
    for column, value in least.items():
        if column not in table.column_names:
            raise BadInputError(f"The rows of {chosen.table} have no {column}.\nNext: drop --min-{column}")
        table = table.filter(pc.greater_equal(table[column], value))
    if not table.num_rows:
        kept = f"of split {split!r}" + (f" and kind {' or '.join(kinds or chosen.kinds)}" if chosen.kinds else "")
        kept += "".join(f" with a {column} of at least {value}" for column, value in least.items())
        raise BadInputError(
            f"{release} has {found:,} {chosen.table}, but none {kept}: there is nothing to train on.\n"
            f"Next: tratree sql {quoted(release)} 'SELECT split, count(*) FROM {chosen.table} GROUP BY split', "
            "then choose with --split and --kind"
        )
    return table.sort_by(KEYS[chosen.table]), {**lineage, "table": chosen.table, "rows": table.num_rows}


def chosen_rows(release: str | Path, options: "TrainOptions") -> tuple[pa.Table, pa.Table | None, dict[str, Any]]:
    """(rows to train on, rows to validate on if asked for, where they come from), as the settings of a training choose them."""
    share = share_of(options.validation)

    def read(split: str) -> tuple[pa.Table, dict[str, Any]]:
        rows, lineage = training_rows(
            release,
            options.method,
            revision=options.revision,
            split=split,
            kinds=tuple(options.kinds),
            min_score=options.min_score,
            min_margin=options.min_margin,
        )
        if options.weights is None:
            return rows, lineage
        credits = read_table(release, "step_credits", options.revision, ["rollout_id", "step", "method", "weight"])[0]
        rows, left_out = join_weights(rows, credits, options.weights)
        return rows, {**lineage, "rows": rows.num_rows, "without_weights": left_out}

    rows, lineage = read(options.split)
    if options.validation is None:
        return rows, None, lineage
    rows, validation = hold_out(rows, share) if share is not None else (rows, read(options.validation)[0])
    return rows, validation, {**lineage, "rows": rows.num_rows, "validation_rows": validation.num_rows}


def read_table(
    release: str | Path, table: str, revision: str | None = None, columns: list[str] | None = None
) -> tuple[pa.Table, dict[str, Any]]:
    """A table of a dataset folder, of a release's folder, or of `hub:org/name`; `revision` is a release's version."""
    text = f"{release}@{revision}" if revision else str(release)
    if not names_release(text) and not place(release).exists():
        raise NotFoundError(
            f"No such folder: {release}.\nNext: name a release or a dataset folder, or hub:ORGANISATION/NAME for one on the Hub"
        )
    store = open_dataset(text)
    if not store.has(table):
        raise NotFoundError(
            f"{release} has no {table} to train on; it has {', '.join(sorted(store.sources)) or 'nothing'}.\n"
            f"Next: {command_for(table)} for a dataset (then publish the release again), or choose another method"
        )
    name = str(release) if text.startswith("hub:") else place(release).name
    return store.read(table, columns or COLUMNS[table]), {
        "release": name,
        "revision": store.label or f"{table} version {store.version(table)}",
    }


def hold_out(rows: pa.Table, share: float) -> tuple[pa.Table, pa.Table]:
    """(rows to train on, rows to validate on): whole tasks are held out, always the same ones, whatever other tasks there are."""
    least = pc.utf8_slice_codeunits(rows["tree_id"].cast(pa.string()), 0, 8)
    held = pa.array([int(name, 16) < share * 16**8 for name in least.to_pylist()])
    train, validation = rows.filter(pc.invert(held)), rows.filter(held)
    if not train.num_rows or not validation.num_rows:
        raise BadInputError(
            f"A share of {share:g} of these rows' tasks leaves nothing to {'train' if not train.num_rows else 'validate'} on.\n"
            "Next: another share, or the name of a split with --validation"
        )
    return train, validation


def share_of(validation: str | None) -> float | None:
    """0.1 for '0.1'; None for the name of a split."""
    try:
        share = float(validation or "")
    except ValueError:
        return None
    if not 0 < share < 1:
        raise BadInputError(f"validation must be a share between 0 and 1 or the name of a split, not {validation}.\nNext: --validation 0.1")
    return share


def _where(table: pa.Table, column: str, values: tuple[str, ...]) -> pa.Table:
    if not values or column not in table.column_names:
        return table
    return table.filter(pc.is_in(table[column].cast(pa.string()), pa.array(values)))
