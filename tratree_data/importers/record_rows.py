"""Records → rows: what makes a record usable, what is replaced in it, and what identifies it. Light to import, for workers."""

from collections.abc import Sequence
from operator import attrgetter
from typing import TYPE_CHECKING, Any, cast

import orjson
import xxhash

from tratree_data import ids
from tratree_data.importers.contents import content_id
from tratree_data.importers.log_records import END_REASONS, LogStep, Options, Record, StreamedSteps, Unusable
from tratree_data.messages import message_bytes, message_json
from tratree_data.store.writing.storable_text import replace_unstorable, storable

if TYPE_CHECKING:
    from tratree_data.importers.beside import Beside

STEPS_PER_TABLE = 100_000

NUL = b"\\u0000"
STEP_FIELDS = ("observation", "thought", "action", "response", "reward", "valid", "input_messages", "output_message")
QUOTED_CHARACTERS = 60
STEP_TEXTS = ("observation", "thought", "action", "response")
STRUCTURED = ("input_messages", "output_message", "metadata")
RECORD_TEXTS = (
    "environment", "environment_version", "split", "task_id", "trajectory_id", "instruction", "prompt", "agent", "end_observation", "model",
    "sampling", "source",
)  # fmt: skip
RECORD_STRUCTURED = ("tools", "end_messages", "metadata")


def origin_of(options: Options, format: str) -> dict[str, str | None]:
    """The origin of all rollouts of an import."""
    said = {name: storable(getattr(options, name)) or None for name in ("license", "source_url", "attribution")}
    return {"format": format or None} | said


def prepared_row(record: Record, options: Options, beside: "Beside | None", origin: dict[str, str | None]) -> tuple[dict[str, Any], int]:
    """The record's row, without what depends on the rest of the dataset, and how many characters had to be replaced."""
    validate(record, options)
    rollout, content, replaced = _streamed_ids(record) if isinstance(record.steps, StreamedSteps) else _ids(record)
    if beside is not None:
        beside.score(record)
    score = options.score(record.reward)
    tree = ids.tree_id(record.environment, record.task_id)
    return rollout_row(record, rollout, tree, 0, score) | origin | {"content_id": content}, replaced


def _ids(record: Record) -> tuple[str, str, int]:
    """What makes it this rollout and this content, with everything in it as it can be stored; and how much had to be replaced."""
    storable_texts = _storable_texts(record)
    replaced = 0 if storable_texts else clean(record)
    texts, messages = storable_texts or (_texts_of_steps(record), messages_in(record))
    rollout = record.rollout_id or identity(record, texts, messages)
    return rollout, content_id(texts[::3], texts[2::3]), replaced


def validate(record: Record, options: Options) -> None:
    """Checks every record, and fills in what the user gave for the log."""
    record.environment = record.environment or options.environment or options.log_name
    record.agent = options.agent or record.agent or "imported"
    record.model = options.model or record.model
    record.split = record.split or options.split or "train"
    if not record.environment:
        raise Unusable("no_environment", "the log does not name the environment; name it with --environment")
    if not record.task_id.strip():
        raise Unusable("missing_field", "the task has no id")
    if not record.steps:
        raise Unusable("empty_steps", "the trajectory has no steps")
    for number, step in enumerate(() if isinstance(record.steps, StreamedSteps) else record.steps):
        if not step.action.strip() and step.output_message is None and (step.thought.strip() or (step.response or "").strip()):
            raise Unusable(
                "empty_action", f"steps[{number}] has no action, though the agent wrote {_shortened(step.response or step.thought)!r}"
            )
    if record.end_reason not in END_REASONS:
        record.end_reason = "unknown"


def _shortened(text: str) -> str:
    return text if len(text) <= QUOTED_CHARACTERS else f"{text[:QUOTED_CHARACTERS]}…"


def clean(record: Record) -> int:
    """Replaces characters that the tables cannot hold; returns how many."""
    replaced = sum(_clean_text(record, name) for name in RECORD_TEXTS)
    replaced += sum(_clean_value(record, name) for name in RECORD_STRUCTURED)
    return replaced + (record.steps.replaced if isinstance(record.steps, StreamedSteps) else sum(map(clean_step, record.steps)))


def clean_step(step: LogStep) -> int:
    parts = [getattr(step, name) for name in (*STEP_TEXTS, *STRUCTURED)]
    try:
        if NUL not in orjson.dumps(parts):
            return 0
    except orjson.JSONEncodeError:
        pass
    texts = sum(_clean_text(step, name) for name in STEP_TEXTS)
    return texts + sum(_clean_value(step, name) for name in STRUCTURED)


def _clean_text(owner: Any, name: str) -> int:
    value = getattr(owner, name)
    text, count = replace_unstorable(value) if value is not None else (None, 0)
    if count:
        setattr(owner, name, text)
    return count


def _clean_value(owner: Any, name: str) -> int:
    value = getattr(owner, name)
    cleaned, count = clean_value(value) if value else (None, 0)
    if count:
        setattr(owner, name, cleaned)
    return count


def _storable_texts(record: Record) -> tuple[list[bytes], bytes] | None:
    """The texts of the steps and the messages in UTF-8, if nothing in the record has to be replaced.

    One look shows it: UTF-8 has no lone surrogates, and JSON writes NUL as an escape.
    """
    around = [record.tools, record.metadata, *[step.metadata for step in record.steps if step.metadata]]
    beside = [*(getattr(record, name) or "" for name in RECORD_TEXTS), *[step.response for step in record.steps if step.response]]
    try:
        texts, messages = _texts_of_steps(record), messages_in(record)
        has_nul = b"\0" in b"".join(texts) or b"\0" in "".join(beside).encode() or NUL in messages or NUL in orjson.dumps(around)
    except (UnicodeEncodeError, orjson.JSONEncodeError):
        return None
    return None if has_nul else (texts, messages)


def _texts_of_steps(record: Record) -> list[bytes]:
    return [text.encode() for step in record.steps for text in (step.observation, step.thought, step.action)]


def clean_value(value: Any) -> tuple[Any, int]:
    """A JSON value with every text in it as it can be stored, and how many characters were replaced."""
    if isinstance(value, str):
        return replace_unstorable(value)
    if isinstance(value, list | tuple):
        cleaned = [clean_value(item) for item in value]
        return [item for item, _ in cleaned], sum(count for _, count in cleaned)
    if isinstance(value, dict):
        members = [(clean_value(key), clean_value(item)) for key, item in value.items()]
        return {key: item for (key, _), (item, _) in members}, sum(a + b for (_, a), (_, b) in members)
    return value, 0


def messages_in(record: Record) -> bytes:
    """The messages of all steps and the end as JSON; nothing if the texts say it all."""
    messages = [part for step in record.steps for part in (step.input_messages, step.output_message)] + [record.end_messages]
    return message_bytes(messages) if messages.count(None) < len(messages) else b""


def identity(record: Record, texts: Sequence[bytes], messages: bytes) -> str:
    """What identifies a rollout: the log's own id and reward, and all that happened; not the score, which depends on --score-scale."""
    return xxhash.xxh3_64_hexdigest(identifying_facts(record) + ids.framed_bytes([*texts, messages] if messages else texts))


def identifying_facts(record: Record) -> bytes:
    """As `ids.rollout_id` begins."""
    own = (record.trajectory_id, record.agent, record.model or "", record.reward, record.instruction, record.end_observation)
    return ids.framed("rollout", record.environment, record.task_id, "import", *own)


def _streamed_ids(record: Record) -> tuple[str, str, int]:
    steps = cast(StreamedSteps, record.steps)
    replaced = clean(record)
    return record.rollout_id or _streamed_identity(record), steps.content, replaced


def _streamed_identity(record: Record) -> str:
    """The same, in two readings: the texts of all steps come before their messages, behind whose length they are."""
    digest = xxhash.xxh3_64(identifying_facts(record))
    length, has_messages = 0, record.end_messages is not None
    for step in record.steps:
        digest.update(ids.framed(step.observation, step.thought, step.action))
        has_messages = has_messages or step.input_messages is not None or step.output_message is not None
        length += len(_messages_of(step))
    if has_messages:
        end = message_bytes(record.end_messages)
        digest.update(ids.frame(len(b"[") + length + len(end) + len(b"]")) + b"[")
        for step in record.steps:
            digest.update(_messages_of(step))
        digest.update(end + b"]")
    return digest.hexdigest()


def _messages_of(step: LogStep) -> bytes:
    """The step's part of `messages_in`."""
    return b"".join(message_bytes(part) + b", " for part in (step.input_messages, step.output_message))


def rollout_row(record: Record, rollout: str, tree: str, attempt: int, score: float | None) -> dict[str, Any]:
    names = (
        "environment", "environment_version", "split", "task_id", "prompt", "instruction", "agent", "model", "sampling", "success",
        "end_reason", "end_observation", "seconds", "prompt_tokens", "completion_tokens", "source", "end_messages",
    )  # fmt: skip
    row: dict[str, Any] = {name: getattr(record, name) for name in names}
    row |= {name: message_json(value) if (value := getattr(record, name)) else None for name in ("tools", "metadata")}
    row["trajectory_id"] = record.trajectory_id if record.trajectory_id not in ("", rollout) else None
    return row | {"rollout_id": rollout, "tree_id": tree, "attempt": attempt, "score": score, "step_count": len(record.steps)}


def step_columns(steps: Sequence[LogStep]) -> dict[str, list[Any]]:
    columns = {name: list(map(attrgetter(name), steps)) for name in STEP_FIELDS}
    return columns | {"metadata": [message_json(step.metadata) if step.metadata else None for step in steps]}
