"""Where a log of an unknown tool stores its conversations, and which other values are the task, the score and the model.

The first records are examined (conversation_places.py, run_facts.py, score_guess.py); the result is a mapping that `--column` would give,
which parquet_rows.py reads.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from tratree_data.importers.unknown.conversation_places import (
    REQUESTS,
    UNSPEAKABLE,
    answer_places,
    around,
    choose_place,
    conversations_in,
    is_request,
    is_spoken,
    walk,
)
from tratree_data.importers.unknown.episode_places import parallel_lists, place_of_pairs, reward_of_each_step
from tratree_data.importers.unknown.histories import speaker_of, step_keys
from tratree_data.importers.unknown.json_columns import ABSENT, Path, path_text, rows_of, unpacked
from tratree_data.importers.unknown.message_rows import ROW_COLUMNS, place_of
from tratree_data.importers.unknown.run_facts import (
    ENVIRONMENTS,
    MODELS,
    RUNS,
    TASKS,
    Names,
    columns_beside,
    facts_of,
    is_id,
    is_name,
    leaves_of,
    nearest,
    snake,
)  # fmt: skip
from tratree_data.importers.unknown.score_guess import SCORES, guess_scores

LOOKED_AT = 20
INSTRUCTIONS = ("instruction", "goal", "objective", "task_description", "task_goal", "intent")
"""What steps of a task without messages were to reach."""
ORDERS = (
    "step", "step_id", "step_num", "step_number", "step_idx", "step_index", "turn", "turn_id", "turn_num", "turn_idx", "turn_index",
    "message_index", "message_idx", "position", "seq", "sequence", "order", "t", "index", "idx",
)  # fmt: skip
CONTENTS = ("content", "text", "message", "value", "body", "utterance", "content_json", "parts", "blocks")


@dataclass
class Guess:
    """Columns as `--column` names them, and what to report about them."""

    columns: dict[str, str]
    doubts: Sequence[str] = ()
    """Sentences about what was left out, or where the user has to choose."""
    scale: tuple[float, float] | None = None
    """The range of scores that are not from 0 to 1."""
    choices: Sequence[str] = ()
    """Places of conversations, if there are several that differ."""
    pairs: str = ""
    """The place of steps that are pairs of texts, of which nobody knows which is the action."""
    unanswered: bool = False
    """Whether the conversations are requests that repeat each other, and nothing beside them is an answer."""
    answers: Sequence[str] = ()
    """Places of the agent's answers, if there are several that differ."""

    def said(self) -> str:
        """What was found, in one line."""
        names = {"reward": "score", "task_id": "task", "trajectory_id": "run", "prompt": "system message", "completion": "answer"}
        kind = "step" if "action" in self.columns else "message"
        rows = f"a {kind} per row" if {*ROW_COLUMNS} & set(self.columns) else "lists with an element per step"
        rows = f"messages at `{self.columns['messages']}`" if "messages" in self.columns else rows
        shown = [(names.get(ours, ours), path) for ours, path in self.columns.items() if ours not in ("messages", "success")]
        return "; ".join([rows, *(f"{ours} from `{path}`" for ours, path in shown)])


def guess_columns(records: Sequence[Any], is_whole: bool = False) -> Guess | None:
    """What the records have in common; None if they contain no conversation. `is_whole` says that the only record is the whole file."""
    records = [unpacked(record) for record in records]
    places = conversations_in(records, is_whole)
    if not places:
        return guess_rows(records) or _guess_lists(records, is_whole) or _guess_answers(records, is_whole) or _guess_pairs(records)
    best, rivals = choose_place(places)
    if rivals:
        return Guess({}, choices=[path_text(path) for path in (best, *rivals)])
    answers = _answers_to(records, best) if sum(map(is_request, places[best])) > len(places[best]) / 2 else None
    if answers == [] and any(a == b[: len(a)] and len(a) < len(b) for a in places[best] for b in places[best]):
        return Guess({"messages": path_text(best)}, unanswered=True)
    return _with_facts(records, best, answers or [])


def _with_facts(records: Sequence[Any], best: Path, answers: Sequence[Path]) -> Guess:
    messages, prefix = path_text(best), rows_of(best)
    facts = facts_of([row for record in records for row in around(record, prefix)], best, prefix)
    histories = [found for record in records for _, found in walk(record, best)]
    scores = guess_scores(facts, messages)
    if len(answers) > 1:
        return Guess({"messages": messages}, answers=list(map(path_text, answers)))
    columns = {"messages": messages} | ({"completion": path_text(answers[0])} if answers else {})
    columns |= scores.columns | columns_beside(facts, histories, messages)
    asked = (
        "" if any(map(is_spoken, histories)) else nearest(facts, INSTRUCTIONS, lambda value: isinstance(value, str) and value.strip() != "")
    )
    columns |= {"instruction": asked} if asked else {}
    each = "" if scores.columns or scores.doubts else reward_of_each_step(records, best)
    doubts = (f"No score was taken from `{each}`, which is one step's; --column reward={each} would take the last",) if each else ()
    return Guess(columns, (*scores.doubts, *doubts), scores.scale)


def _guess_lists(records: Sequence[Any], is_whole: bool) -> Guess | None:
    """Lists of actions and observations beside each other."""
    lists = parallel_lists(records, is_whole)
    guess = _with_facts(records, lists["observations"], []) if lists else None
    return guess and replace(guess, columns={kind: path_text(path) for kind, path in lists.items()} | _but_messages(guess))


def _guess_pairs(records: Sequence[Any]) -> Guess | None:
    """Lists of [observation, action], or of [action, observation]."""
    place = place_of_pairs(records)
    guess = _with_facts(records, place, []) if place else None
    return guess and replace(guess, columns=_but_messages(guess), pairs=path_text(place))


def _but_messages(guess: Guess) -> dict[str, str]:
    return {ours: theirs for ours, theirs in guess.columns.items() if ours != "messages"}


def _answers_to(records: Sequence[Any], best: Path) -> list[Path]:
    """Where the agent's last answer may be, if it is not among the messages; rows without messages do not matter."""
    prefix = rows_of(best)
    places = answer_places([row[-1] for record in records for row, found in walk(record, best) if isinstance(found, list)])
    return [(*prefix, *place) for place in places]


def _guess_answers(records: Sequence[Any], is_whole: bool) -> Guess | None:
    """Requests as messages or as text, with their answers next to them."""
    places = conversations_in(records, is_whole, is_request)
    if places:
        best, rivals = choose_place(places)
        answers = [] if rivals else _answers_to(records, best)
        return _with_facts(records, best, answers) if answers else None
    rows = [record for record in records if isinstance(record, dict)]
    asked = next((name for name in REQUESTS if all(isinstance(row.get(name), str) and row[name] for row in rows)), "")
    answers = answer_places(rows) if asked and len(rows) == len(records) else []
    return _with_facts(records, (asked,), answers) if answers else None


def below(prefix: str, guess: Guess | None) -> Guess | None:
    """The same with paths that begin further up."""
    if guess is None:
        return None
    columns = {ours: prefix + path for ours, path in guess.columns.items()}
    choices, answers = ([prefix + path for path in places] for places in (guess.choices, guess.answers))
    return replace(guess, columns=columns, choices=choices, answers=answers, pairs=guess.pairs and prefix + guess.pairs)


def guess_rows(records: Sequence[Any], prefix: str = "") -> Guess | None:
    """Rows that are messages, or hold one, with the id of their conversation; `prefix` is the path to them."""
    rows = [record for record in records if isinstance(record, dict)]
    columns = _message_columns(rows) if len(rows) == len(records) > 1 else {}
    key = next(
        (name for run in RUNS for name in (rows[0] if columns else ()) if snake(name) == run and all(is_id(row.get(name)) for row in rows)),
        "",
    )
    if not columns or not key or key in columns.values() or ("message" in columns and conversations_in(rows[:LOOKED_AT], False)):
        return None
    within = tuple(f"{path}." for path in columns.values())
    steady = {
        prefix + path: values
        for path, values in _steady(rows, key).items()
        if path not in (*columns.values(), key) and not path.startswith(within)
    }
    scores = guess_scores(steady)
    changing = sorted(name for name in rows[0] if snake(name) in SCORES and name not in steady) if not scores.columns else []
    doubts = [
        f"No score was imported, because `{name}` differs within a run. Next: give one per run with --scores FILE" for name in changing[:1]
    ]
    about = {
        "task_id": nearest(steady, TASKS, is_id),
        "model": nearest(steady, MODELS, is_name),
        "env": nearest(steady, ENVIRONMENTS, is_name),
    }
    order = _order_of(rows, key)
    found = {ours: prefix + path for ours, path in (columns | {"trajectory_id": key} | ({"order": order} if order else {})).items()}
    return Guess(found | scores.columns | {ours: path for ours, path in about.items() if path}, (*scores.doubts, *doubts), scores.scale)


def _message_columns(rows: list[dict[str, Any]]) -> dict[str, str]:
    """The columns of speaker and text, of a step, or of the whole message; in the last case up to half of the rows may be other events."""
    if all(speaker_of(row)[1] for row in rows) and "assistant" in {speaker_of(row)[1] for row in rows}:
        role = Counter(speaker_of(row)[0] for row in rows).most_common(1)[0][0]
        content = next((name for name in CONTENTS if name != role and any(isinstance(row.get(name), str | list) for row in rows)), "")
        return {"role": role, "content": content} if content and all(speaker_of(row)[0] == role for row in rows) else {}
    steps = [step_keys(row) for row in rows]
    if all(step and "input" not in step and step == steps[0] for step in steps):
        return steps[0]
    for name in dict.fromkeys(name for row in rows for name in row):
        whole = [said for row in rows if isinstance(said := unpacked(row.get(name)), dict) and speaker_of(said)[1]]
        if len(whole) >= len(rows) / 2 and _is_dialogue(whole) and not UNSPEAKABLE & set(name):
            return {"message": name}
    return {}


def _order_of(rows: list[dict[str, Any]], key: str) -> str:
    """The column that numbers the rows of each conversation; '' if there is none."""
    named = sorted((name for name in rows[0] if snake(name) in ORDERS), key=lambda name: ORDERS.index(snake(name)))
    for name in named:
        places = [(str(row[key]), place_of(row.get(name))) for row in rows]
        if all(place is not None for _, place in places) and len(set(places)) == len(places):
            return name
    return ""


def _is_dialogue(messages: list[dict[str, Any]]) -> bool:
    speakers = {speaker_of(message)[1] for message in messages}
    return "assistant" in speakers and len(speakers) > 1


def _steady(rows: list[dict[str, Any]], key: str) -> Names:
    """The values on which all rows of a conversation agree, one per conversation."""
    runs: dict[str, dict[str, list[Any]]] = {}
    for row in rows:
        facts = runs.setdefault(str(row[key]), {})
        for path, value in leaves_of(row, (), (), True):
            said = facts.setdefault(path_text(path), [])
            if value is not None and value not in said:
                said.append(value)
    paths = dict.fromkeys(path for facts in runs.values() for path in facts)
    steady = [path for path in paths if all(len(facts.get(path, ())) < 2 for facts in runs.values())]
    return {path: [(facts.get(path) or [ABSENT])[0] for facts in runs.values()] for path in steady}
