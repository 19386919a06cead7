"""Which of the values next to a conversation is its score: if two candidates differ, neither is used, and a scale is never guessed."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tratree_data.importers.log_records import Unusable
from tratree_data.importers.unknown.json_columns import ABSENT
from tratree_data.importers.unknown.run_facts import Names, names_in, rows_text
from tratree_data.importers.unknown.scores_in_logs import reward_of, truth_of

SCORES = (
    "reward", "final_reward", "total_reward", "episode_reward", "score", "final_score", "overall_score", "task_score", "correctness",
)  # fmt: skip
METRICS = (
    "return", "episode_return", "total_return", "cumulative_reward", "cum_reward", "accuracy", "acc", "exact_match", "em", "f1", "f1_score",
)  # fmt: skip
"""What counts where nothing is called a score."""
SINGLE_SCORES = ("feedback_scores[0].value", "scores[0].value")
"""Of a list with one named score."""
TRUTHS = (
    "success", "is_success", "successful", "succeeded", "resolved", "is_resolved", "solved", "is_solved", "passed", "is_passed", "pass",
    "correct", "is_correct", "won", "task_success", "goal_achieved", "verdict", "outcome", "grade",
)  # fmt: skip
NOT_ABOUT_THE_RUN = {
    "config", "settings", "params", "parameters", "args", "kwargs", "options", "usage", "threshold", "thresholds", "expected", "reference",
    "gold", "baseline", "step", "token", "tokens", "retrieval", "search", "tool", "confidence", "reward_model", "previous", "best",
}  # fmt: skip
ENVELOPES = {"data", "payload", "response", "body", "result"}
"""What a server's answer is wrapped in: its `success` is about the request."""
COUNTS = {"failed", "total", "errors", "skipped", "num_failed", "num_total"}
LIMITS = ("max_score", "max_reward", "out_of", "total_points", "max_points", "max")
TASKS = (
    "task_id", "taskid", "instance_id", "problem_id", "question_id", "example_id", "scenario_id", "case_id", "test_id", "prompt_id",
    "item_id", "sample_id", "task_name", "task", "problem", "instance", "scenario", "question", "example",
)  # fmt: skip


@dataclass(frozen=True)
class Scores:
    """Columns of a score and of success, if any; else the reason; and the scale of scores that are not from 0 to 1."""

    columns: dict[str, str] = field(default_factory=dict)
    doubts: tuple[str, ...] = ()
    scale: tuple[float, float] | None = None


def guess_scores(facts: Names, messages: str = "") -> Scores:
    """The score of the rows whose conversation is at the path, or the reason why none is used."""
    numbers, truths = _candidates(facts, SCORES, messages), _candidates(facts, TRUTHS, messages)
    numbers = numbers or ({} if truths else _candidates(facts, METRICS, messages) or _candidates(facts, ("result",), messages))
    score, truth = (_agreeing(found) for found in (numbers, truths))
    if (numbers and not score) or (truths and not truth) or (score and truth and not _goes_with(numbers[score], truths[truth])):
        differ = [*dict.fromkeys([*numbers, *truths])]
        named = " and ".join(f"`{path}`" for path in differ)
        return Scores(
            doubts=(f"No score was imported, because {named} differ. Next: choose one with --column reward={differ[0]}, or --scores FILE",)
        )
    chosen = score or truth
    if not chosen:
        return Scores()
    values = [value for value in (numbers | truths)[chosen] if value is not None]
    limit = next((path for path in facts if path.rpartition(".")[0] == chosen.rpartition(".")[0] and names_in(path)[-1] in LIMITS), "")
    bounds = [float(value) for value in facts.get(limit, ()) if isinstance(value, int | float) and not isinstance(value, bool)]
    columns = {"reward": chosen} | ({"success": truth} if truth else {})
    low = 1.0 if min(values) == 1 and not bounds else min(0.0, *values)
    is_other_scale = any(not 0 <= value <= 1 for value in values) or any(bound != 1 for bound in bounds)
    return Scores(columns, scale=(low, max([*values, *bounds])) if is_other_scale else None)


def _candidates(facts: Names, names: Sequence[str], messages: str) -> dict[str, list[float | None]]:
    """Paths with such a name whose values are scores in every row that has one."""
    found = {}
    top = rows_text(messages)
    for path, values in facts.items():
        on_the_way = names_in(path)
        is_single = names is SCORES and path.endswith(SINGLE_SCORES)
        if not on_the_way or not (on_the_way[-1] in names or is_single) or NOT_ABOUT_THE_RUN & set(on_the_way):
            continue
        if names == ("result",) and not all(isinstance(value, bool) or value in (None, ABSENT) for value in values):
            continue
        is_envelope = names_in(messages)[:1] and names_in(messages)[0] in ENVELOPES and len(on_the_way) == 1
        if is_envelope or _is_count(facts, path) or not (path.startswith(top) if top else True):
            continue
        try:
            scores = [
                None
                if value is ABSENT or isinstance(value, list)
                else (float(t) if (t := _truth(value, names)) is not None else reward_of(value))
                for value in values
            ]
        except Unusable:
            continue
        if scores.count(None) < len(scores):
            found[path] = scores
    return found


def _is_count(facts: Names, path: str) -> bool:
    """Whether it counts how many passed, as other counts next to it show."""
    beside = {names_in(other)[-1] for other in facts if other.rpartition(".")[0] == path.rpartition(".")[0] and names_in(other)}
    is_number = any(isinstance(value, int | float) and not isinstance(value, bool) for value in facts[path])
    return is_number and bool(beside & COUNTS)


def _truth(value: Any, names: Sequence[str]) -> bool | None:
    return truth_of(value) if names is TRUTHS and isinstance(value, bool | str) else None


def _agreeing(found: dict[str, list[float | None]]) -> str:
    """The first of the paths if all agree, the one with most values first; '' if they differ."""
    if not found:
        return ""
    first = min(found, key=lambda path: (found[path].count(None), len(names_in(path)), path))
    same = all(a is None or b is None or a == b for values in found.values() for a, b in zip(values, found[first], strict=True))
    return first if same else ""


def _goes_with(scores: list[float | None], truths: list[float | None]) -> bool:
    """Whether the runs that succeeded have the higher scores."""
    both = [(a, b) for a, b in zip(scores, truths, strict=True) if a is not None and b is not None]
    good, bad = [a for a, b in both if b == 1], [a for a, b in both if b != 1]
    return not good or not bad or min(good) > max(bad)
