"""ETO's and TraTree's files: rollout folders (one JSON a task) and expert files (a JSON list).

Rollouts begin with in-context examples, which are cut off: the first 10, 16 or 12 messages for WebShop, ScienceWorld and ALFWorld.
Expert records begin with the instruction and 'OK'. `reward` may be null; every exception of an agent was logged as
'exceeding maximum input length', so that becomes agent_error.
"""

from collections.abc import Iterator
from typing import Any

from tratree_data.importers import log_records
from tratree_data.importers.files.log_files import LogFile, json_records
from tratree_data.importers.log_records import Options, Problem, Record, Unusable
from tratree_data.importers.turns import conversations
from tratree_data.importers.turns.conversations import Turn

EXAMPLE_MESSAGES = {"webshop": 10, "scienceworld": 16, "alfworld": 12}
OTHER_NAMES = {"sciworld": "scienceworld"}
YOUR_TURN = "Now, it's your turn and here is the task."
EXPERT_OPENING = 2
GOLD_SCORE = 1.0
END_REASONS = {"success": "done", "max_steps": "max_steps", "exceeding maximum input length": "agent_error"}


def read(file: LogFile, options: Options) -> Iterator[Record | Problem]:
    return log_records.each(json_records(file), lambda where, value: _parse(file, options, where, value))


def _parse(file: LogFile, options: Options, where: str, value: Any) -> Record:
    entry = log_records.mapping(value, "the record")
    environment = OTHER_NAMES.get(options.environment, options.environment)
    log = log_records.items_of(log_records.need(entry, "conversations"), "conversations")
    said = [conversations.read_turn(message, f"conversations[{i}]") for i, message in enumerate(log)]
    if "meta" in entry:
        return _rollout(file, environment, where, log_records.mapping(entry["meta"], "meta"), entry, said)
    if "item_id" in entry:
        raise Unusable("other_format", "a record with item_id is AgentTraj's")
    return _expert(file, environment, where, entry, said)


def _rollout(file: LogFile, environment: str, where: str, meta: dict[str, Any], entry: dict[str, Any], said: list[Turn]) -> Record:
    record = _record(where, environment, said, start=_end_of_examples(environment, said))
    task = entry.get("task_id", meta.get("task_id", entry.get("id")))
    record.task_id = game_task(entry.get("game_file", meta.get("game_file"))) or (
        file.stem if task is None else log_records.identifier(task, "task_id")
    )
    record.trajectory_id = f"{file.path.resolve().parent.name}/{file.stem}"  # equal attempts in two folders are two attempts
    record.reward = log_records.number(meta.get("reward"), "meta.reward")
    success = log_records.truth_or_number(meta.get("success"), "meta.success")
    record.success = None if success is None else success == 1
    reason = log_records.optional_text(meta.get("terminate_reason"), "meta.terminate_reason")
    record.end_reason = END_REASONS.get(reason, "done" if record.success else "unknown")
    return record


def _expert(file: LogFile, environment: str, where: str, entry: dict[str, Any], said: list[Turn]) -> Record:
    record = _record(where, environment, said, start=EXPERT_OPENING if opens_with_ok(said) else 0)
    record.task_id = game_task(entry.get("game_file")) or log_records.identifier(log_records.need(entry, "id"), "id")
    record.agent = "expert"
    record.reward = log_records.number(entry.get("reward"), "reward")
    if record.reward is None and record.environment == "scienceworld":
        record.reward = GOLD_SCORE  # its gold files have no reward because all of them reach the goal
    record.success = None if record.reward is None else record.reward == GOLD_SCORE
    record.end_reason = "done"
    return record


def _record(where: str, environment: str, said: list[Turn], start: int) -> Record:
    if len(said) <= start:
        raise Unusable("only_examples", f"only {len(said)} messages, of which the first {start} are instruction and examples")
    first = said[start]
    task = Turn(first.role, first.content.removeprefix(YOUR_TURN).strip(), first.thought, first.calls)
    conversation = conversations.converse([task, *said[start + 1 :]])
    return Record(
        source=where,
        environment=environment,
        task_id="",
        prompt=said[0].content if start else "",
        instruction=conversations.instruction_in(conversation.steps[0].observation),
        steps=conversation.steps,
        end_observation=conversations.without_label(conversations.OBSERVATION_LABEL, conversation.end_observation),
    )


def _end_of_examples(environment: str, said: list[Turn]) -> int:
    """Where the task itself begins: where the log says so, else after the known number of messages."""
    marked = [i for i, turn in enumerate(said) if turn.role == "user" and turn.content.startswith(YOUR_TURN)]
    if marked:
        return marked[0]
    if environment not in EXAMPLE_MESSAGES:
        known = ", ".join(sorted(EXAMPLE_MESSAGES))
        raise Unusable("no_environment", f"how many messages are examples depends on the environment; name it: --environment {known}")
    return EXAMPLE_MESSAGES[environment]


def opens_with_ok(said: list[Turn]) -> bool:
    """The instruction, and an assistant that agrees."""
    return len(said) > EXPERT_OPENING and said[1].role == "assistant" and said[1].content.strip().upper().startswith("OK")


def game_task(game_file: Any) -> str:
    """'…/train/TASK/TRIAL/game.tw-pddl' → 'TASK/TRIAL', as our ALFWorld calls it."""
    parts = log_records.optional_text(game_file, "game_file").replace("\\", "/").split("/")
    return "/".join(parts[-3:-1]) if len(parts) >= 3 else ""
