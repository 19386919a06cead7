"""Weighted imitation: the weights that `tratree states` gave to the steps of a rollout, beside the demonstrations of that rollout."""

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from tratree_data.errors import BadInputError, suggest


def join_weights(demonstrations: pa.Table, credits: pa.Table, method: str) -> tuple[pa.Table, int]:
    """(the demonstrations of whole rollouts with a list `weights`, one per step; how many had none and are left out)."""
    credits = credits.filter(pc.is_valid(credits["weight"]))
    chosen = find_method(method, pc.unique(credits["method"]).to_pylist())
    credits = credits.filter(pc.equal(credits["method"], chosen)).sort_by([("rollout_id", "ascending"), ("step", "ascending")])
    lists = credits.group_by("rollout_id", use_threads=False).aggregate([("weight", "list")])
    known = dict(zip(lists["rollout_id"].to_pylist(), lists["weight_list"].to_pylist(), strict=True))
    weights = [known.get(rollout) for rollout in demonstrations["rollout_id"].to_pylist()]
    weighted = demonstrations.append_column("weights", pa.array(weights, pa.list_(pa.float64())))
    weighted = weighted.filter(pc.is_valid(weighted["weights"]))
    if not weighted.num_rows:
        raise BadInputError(
            f"None of {demonstrations.num_rows:,} demonstrations has weights of {chosen}: extracted paths and unscored "
            "rollouts have none.\nNext: --kind success or --kind best"
        )
    return weighted, demonstrations.num_rows - weighted.num_rows


def find_method(name: str, known: Sequence[str]) -> str:
    """'awr' for 'awr(beta=1,discount=0.95)' if there is only one of them."""
    found = [method for method in known if name in (method, method.partition("(")[0])]
    if len(found) == 1:
        return found[0]
    if found:
        raise BadInputError(f"{name!r} names several methods of step_credits.\nNext: one of {', '.join(sorted(found))}")
    if not known:
        raise BadInputError("step_credits has no weights.\nNext: tratree states DIR --method awr, then train again")
    raise BadInputError(f"step_credits has no weights of {name!r}.{suggest(name, known)}")


def token_weights(mask: Sequence[int], ends: Sequence[int], weights: Sequence[float]) -> list[float]:
    """The weight of each token: that of its turn, and 0 outside the agent's turns; `ends` are those of the turns."""
    found, turn = [], 0
    for position, own in enumerate(mask):
        turn += turn < len(ends) and position >= ends[turn]
        found.append(float(weights[turn]) if own else 0.0)
    return found
