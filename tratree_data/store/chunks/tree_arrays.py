"""A chunk of trees as flat arrays: what search, pairs and demonstrations compute on.

Rows of `nodes`, `step_nodes` and `rollouts` come in any order. Here rollouts are in the order (tree, attempt, rollout_id), and nodes in
founding order: (tree, first rollout through the node, depth). So parents come before their children, siblings are in the order in which
they appeared, and every loop over a tree is a loop over integers, however deep it is.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tratree_data.errors import BadInputError

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

NO_NODE = -1
FOUNDED_BY_NONE = -1
"""Below every rollout, so that roots come first."""
FREE = ("free_visits", "free_score_sum", "free_score_squares")
NODE_COLUMNS = ("tree_id", "node_id", "parent_id", "depth", "state", "scored_visits", "score_sum", "scored_ends", "end_score_sum", *FREE)
STEP_COLUMNS = ("tree_id", "rollout_id", "step", "node_id")
ROLLOUT_COLUMNS = ("tree_id", "rollout_id", "attempt", "score")


@dataclass(frozen=True)
class TreeArrays:
    """T trees, N nodes, R rollouts, S steps. Rollouts without steps, or that are not in the trees, are left out."""

    tree_ids: pa.Array  # [T]
    tree_start: Ints  # [T + 1] first node of each tree, its root
    node_ids: pa.Array  # [N]
    node_row: Ints  # [N] row in the given table of nodes
    tree: Ints  # [N]
    parent: Ints  # [N] NO_NODE for roots
    depth: Ints  # [N]
    state: Ints  # [N]
    scored_visits: Ints  # [N]
    score_sum: Floats  # [N]
    scored_ends: Ints  # [N]
    end_score_sum: Floats  # [N]
    free_visits: Ints  # [N] scored rollouts that chose for themselves what came after the node
    free_score_sum: Floats  # [N]
    free_score_squares: Floats  # [N]
    rollout_ids: pa.Array  # [R]
    rollout_row: Ints  # [R] row in the given table of rollouts
    rollout_tree: Ints  # [R]
    score: Floats  # [R] NaN if there is none
    step_start: Ints  # [R + 1] first step of each rollout
    step_node: Ints  # [S]
    step_row: Ints  # [S] row in the given table of step_nodes

    @property
    def mean(self) -> Floats:
        """Mean score of the rollouts through each node; NaN where none has a score."""
        return divide(self.score_sum, self.scored_visits)

    @property
    def free_mean(self) -> Floats:
        """Mean score of the rollouts that acted freely after the node: what it leads to."""
        return divide(self.free_score_sum, self.free_visits)

    @property
    def end_mean(self) -> Floats:
        """Mean score of the rollouts that end at each node; NaN where none with a score does."""
        return divide(self.end_score_sum, self.scored_ends)

    @property
    def end_node(self) -> Ints:
        """Where each rollout ends."""
        ends: Ints = self.step_node[self.step_start[1:] - 1]
        return ends

    @property
    def step_rollout(self) -> Ints:
        return np.repeat(np.arange(len(self.rollout_ids)), np.diff(self.step_start))

    def paths_to(self, ends: Ints) -> tuple[Ints, Ints]:
        """Lists of nodes from the root's child to each end, as (offsets, nodes)."""
        offsets = offsets_of(self.depth[ends])
        nodes = np.empty(offsets[-1], dtype=np.int64)
        open_paths, node = np.arange(len(ends)), ends.copy()
        position = offsets[1:] - 1
        while True:
            inside = self.parent[node] != NO_NODE
            open_paths, node, position = open_paths[inside], node[inside], position[inside]
            if not len(node):
                return offsets, nodes
            nodes[position] = node
            node, position = self.parent[node], position - 1


def divide(sums: Floats, counts: Ints) -> Floats:
    means: Floats = np.divide(sums, counts, out=np.full(len(sums), np.nan), where=counts > 0)
    return means


def offsets_of(lengths: npt.NDArray[np.integer]) -> Ints:
    return np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(lengths, dtype=np.int64)])


def concat_ranges(starts: Ints, lengths: Ints) -> Ints:
    """starts[0], starts[0] + 1, …, then the same for each next range."""
    offsets = offsets_of(lengths)
    return np.arange(offsets[-1]) + np.repeat(starts - offsets[:-1], lengths)


def read_tree_arrays(nodes: pa.Table, step_nodes: pa.Table, rollouts: pa.Table) -> TreeArrays:
    """Tables of some whole trees → flat arrays."""
    tree_ids = sorted_unique(nodes["tree_id"])
    rollout_row = select_rollouts(rollouts, step_nodes, tree_ids)
    rollout_ids = as_array(rollouts["rollout_id"]).take(pa.array(rollout_row))
    step_rollout = positions(step_nodes["rollout_id"], rollout_ids)
    step_row = np.lexsort((numbers(step_nodes["step"]), step_rollout))
    step_row = step_row[step_rollout[step_row] != NO_NODE]
    row_of_step = must_find(positions(step_nodes["node_id"], as_array(nodes["node_id"])), "step_nodes.node_id")
    founder = np.full(nodes.num_rows, FOUNDED_BY_NONE, dtype=np.int64)
    backwards = step_row[::-1]
    founder[row_of_step[backwards]] = step_rollout[backwards]
    depth = numbers(nodes["depth"])
    tree_of_row = positions(nodes["tree_id"], tree_ids)
    order = np.lexsort((depth, founder, tree_of_row))
    index_of_row = np.empty(len(order), dtype=np.int64)
    index_of_row[order] = np.arange(len(order))
    return TreeArrays(
        tree_ids=tree_ids,
        tree_start=offsets_of(np.bincount(tree_of_row, minlength=len(tree_ids))),
        node_ids=as_array(nodes["node_id"]).take(pa.array(order)),
        node_row=order,
        tree=tree_of_row[order],
        parent=parents(nodes, order, index_of_row),
        depth=depth[order],
        state=numbers(nodes["state"])[order],
        scored_visits=numbers(nodes["scored_visits"])[order],
        score_sum=floats(nodes["score_sum"])[order],
        scored_ends=numbers(nodes["scored_ends"])[order],
        end_score_sum=floats(nodes["end_score_sum"])[order],
        free_visits=numbers(_free(nodes, "free_visits", "scored_visits"))[order],
        free_score_sum=floats(_free(nodes, "free_score_sum", "score_sum"))[order],
        free_score_squares=floats(_free(nodes, "free_score_squares", "score_sum"))[order],
        rollout_ids=rollout_ids,
        rollout_row=rollout_row,
        rollout_tree=positions(rollouts["tree_id"], tree_ids)[rollout_row],
        score=floats(rollouts["score"])[rollout_row],
        step_start=offsets_of(np.bincount(step_rollout[step_row], minlength=len(rollout_row))),
        step_node=index_of_row[row_of_step[step_row]],
        step_row=step_row,
    )


def _free(nodes: pa.Table, name: str, older: str) -> pa.ChunkedArray:
    """Converts files of older builds, which count all scored rollouts, and a graded score as a share of a success."""
    return pc.coalesce(nodes[name], nodes[older].cast(nodes[name].type)) if name in nodes.column_names else nodes[older]


def select_rollouts(rollouts: pa.Table, step_nodes: pa.Table, tree_ids: pa.Array) -> Ints:
    """Rows of the rollouts that are in the trees, in the order (tree, attempt, rollout_id)."""
    tree = positions(rollouts["tree_id"], tree_ids)
    has_steps = pc.is_in(rollouts["rollout_id"], value_set=pc.unique(step_nodes["rollout_id"])).to_numpy()
    name = ranks(rollouts["rollout_id"])
    order = np.lexsort((name, numbers(rollouts["attempt"]), tree))
    kept: Ints = order[(tree[order] != NO_NODE) & has_steps[order]]
    return kept


def parents(nodes: pa.Table, order: Ints, index_of_row: Ints) -> Ints:
    row = positions(nodes["parent_id"], as_array(nodes["node_id"]))
    orphan = (row == NO_NODE) & as_array(nodes["parent_id"]).is_valid().to_numpy(zero_copy_only=False)
    if orphan.any():
        missing = nodes["parent_id"][int(np.argmax(orphan))].as_py()
        raise BadInputError(f"nodes.parent_id {missing!r} is not a node of the same trees.\nNext: tratree build DIR, then run this again")
    parent = np.where(row == NO_NODE, NO_NODE, index_of_row[row])[order]
    if (parent >= np.arange(len(parent))).any():
        raise BadInputError("nodes: a parent was founded after its child, so the tree does not fit the rollouts.\nNext: tratree build DIR")
    return parent


def as_array(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def positions(values: pa.ChunkedArray | pa.Array, known: pa.Array) -> Ints:
    """The index of each value in `known`; NO_NODE where it is missing or NULL."""
    return numbers(pc.fill_null(pc.index_in(values, value_set=known, skip_nulls=True), NO_NODE))


def must_find(found: Ints, column: str) -> Ints:
    if (found == NO_NODE).any():
        raise BadInputError(
            f"{column}: {int((found == NO_NODE).sum())} rows name a node that is missing from nodes.\nNext: tratree build DIR"
        )
    return found


def ranks(column: pa.ChunkedArray) -> Ints:
    """Alphabetical position of each value."""
    return numbers(pc.rank(as_array(column), tiebreaker="dense"))


def sorted_unique(column: pa.ChunkedArray) -> pa.Array:
    names = pc.unique(as_array(column))
    return names.take(pc.sort_indices(names))


def numbers(column: pa.ChunkedArray | pa.Array) -> Ints:
    values: Ints = as_array(column).to_numpy(zero_copy_only=False).astype(np.int64)
    return values


def floats(column: pa.ChunkedArray) -> Floats:
    values: Floats = as_array(column).to_numpy(zero_copy_only=False).astype(np.float64)
    return values


def advantages(arrays: TreeArrays) -> tuple[Floats, Floats]:
    """(advantage, relative advantage) of each node among its siblings of the same state; NaN for roots and where nothing has a score."""
    group = sibling_groups(arrays)
    inside = group != NO_NODE
    size = int(group.max(initial=NO_NODE)) + 1
    sums = np.bincount(group[inside], weights=arrays.score_sum[inside], minlength=size)
    counts: Floats = np.bincount(group[inside], weights=arrays.scored_visits[inside], minlength=size).astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        group_mean = sums / counts
        spread = group_spread(arrays, group, group_mean, counts)
        advantage = np.where(inside, arrays.mean - group_mean[group], np.nan) if size else np.full(len(group), np.nan)
        deviation = spread[group] if size else np.zeros(len(group))
        advantage = np.where(inside & (deviation == 0) & (arrays.scored_visits > 0), 0.0, advantage)
        relative = np.where(deviation > 0, advantage / deviation, np.where(np.isnan(advantage), np.nan, 0.0))
    return advantage, relative


def sibling_groups(arrays: TreeArrays) -> Ints:
    """A number for each (parent, state); NO_NODE for roots."""
    group = np.full(len(arrays.parent), NO_NODE, dtype=np.int64)
    child = np.flatnonzero(arrays.parent != NO_NODE)
    order = child[np.lexsort((arrays.state[child], arrays.parent[child]))]
    opens = np.ones(len(order), dtype=bool)
    opens[1:] = (np.diff(arrays.parent[order]) != 0) | (np.diff(arrays.state[order]) != 0)
    group[order] = np.cumsum(opens) - 1
    return group


def group_spread(arrays: TreeArrays, group: Ints, group_mean: Floats, counts: Floats) -> Floats:
    """Standard deviation of the scores of the rollouts through each group; exactly 0 if all are equal, however their mean rounds."""
    size = len(counts)
    score = arrays.score[arrays.step_rollout]
    scored = ~np.isnan(score)
    score, at = score[scored], group[arrays.step_node[scored]]
    squares = np.bincount(at, weights=(score - group_mean[at]) ** 2, minlength=size)
    lowest, highest = np.full(size, np.inf), np.full(size, -np.inf)
    np.minimum.at(lowest, at, score)
    np.maximum.at(highest, at, score)
    return np.where(highest > lowest, np.sqrt(squares / counts), 0.0)
