"""A release → a trained model: thin code over TRL, with LoRA by default, as in the paper.

What we decide ourselves: which rows a method learns from (training_data.py), which tokens (token_rows.py), the loss (losses.py), and
unsuitable defaults of TRL. All settings are in `training.json` beside the model.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from tratree_data.errors import BadInputError, TratreeError, missing_package, unwritten
from tratree_data.messages import row_messages, row_tools
from tratree_data.models.chat_templates import TEMPLATES, end_of_turn, spoken_template, supervised_extras, training_template
from tratree_data.models.find import RECORD, need_model, quiet
from tratree_data.models.template_limits import expressible_rows
from tratree_data.results import StageResult
from tratree_data.store.schemas import arrow_schema, released_schema, storage_type
from tratree_data.system.safe_paths import need_local
from tratree_data.system.settings import takes
from tratree_data.training.provenance import provenance
from tratree_data.training.runs import find_run, is_first, last_checkpoint, training_in, write_record
from tratree_data.training.settings import TrainOptions, TrainSettings, check_report, parse_settings, settings_from
from tratree_data.training.token_rows import Lengths, demonstration_rows, labelled_rows, preference_rows
from tratree_data.training.training_data import chosen_rows
from tratree_data.training.training_data import method as find_method
from tratree_data.training.validation import describe_validation, validated

__all__ = ["MESSAGES", "TrainSettings", "parse_settings", "prepare", "settings_from", "train"]

CHUNK = 1000
Rows = tuple[pa.Table, pa.Table | None]
"""To train on and to validate on."""
TEXTS = {"demonstrations": ["messages"], "pairs": ["prompt", "chosen", "rejected"], "step_labels": ["prompt", "completion", "label"]}
IDS, MASK = pa.list_(pa.int32()), pa.list_(pa.int8())
WEIGHTS = pa.field("weights", pa.list_(pa.float32()))
MESSAGES, MARKED = (schema("step_labels").field("prompt").type for schema in (arrow_schema, released_schema))
ROWS = {
    "demonstrations": pa.schema({"input_ids": IDS, "labels": IDS}),
    "pairs": pa.schema({"prompt_ids": IDS, "chosen_ids": IDS, "rejected_ids": IDS, "chosen_mask": MASK, "rejected_mask": MASK}),
    "step_labels": pa.schema({"prompt": MARKED, "completion": MARKED, "label": pa.bool_(), "tools": pa.string()}),
}
PREFERENCES = ("tree-dpo", "unstructured-dpo", "eto")
FULL_DISK = ("no space left", "os error 28", "os error 27", "file too large", "disk quota", "pytorchstreamwriter", "file write failed")
"""Messages of the writers of checkpoints (Python, safetensors, torch) when the disk is full."""


@takes(TrainOptions)
def train(release: str | Path, options: TrainOptions) -> StageResult:
    """Trains a model on the release's rows for a method and saves it in `out`; a stopped run resumes from its last checkpoint."""
    method, folder = options.method, need_local(options.out, "a model")
    table = find_method(method).table
    check_report(options.report_to)
    settings = _completed(options)
    if settings.trainer:
        with explain_failures(folder, settings):
            from tratree_data.training.trl_options import check_trainer
        check_trainer(method, settings.trainer)
    rows, validation, lineage = chosen_rows(release, settings)
    plan = {"method": method, "model": str(options.model), "data": lineage, "settings": settings.deciding(), "code": provenance()}
    with training_in(folder):
        record = find_run(folder, plan)
        changed = record is None or not record["finished"]
        if record is None or changed:
            record = _trained(folder, (rows, validation), plan, settings, options.report_to)
    if options.push and is_first():
        from tratree_data.training.model_cards import push_model

        push_model(folder, options.push, options.tag)
    return StageResult("train", changed, {table: lineage["rows"], **record["counts"]}, _notes(folder, record, changed))


def _completed(settings: TrainOptions) -> TrainOptions:
    """The settings with those filled in that depend on the method."""
    method = settings.method
    if method == "kto" and settings.device_batch < 2:
        raise BadInputError("kto estimates its KL from the rows of one pass, so it needs at least two.\nNext: --device-batch 2")
    if method == "tree-dpo" and settings.kl_weight is None:
        settings = replace(settings, kl_weight=settings.beta if settings.reference != "self" else 0.0)
    if settings.learning_rate is None:
        settings = replace(settings, learning_rate=2e-5 if method in PREFERENCES or method == "kto" else 1e-5)
    return settings


def _notes(folder: Path, record: dict[str, Any], changed: bool) -> tuple[str, ...]:
    if not changed:
        return (f"{folder} already holds this model",)
    counts = record["counts"]
    first = "" if sum("loss" in entry for entry in record["log"]) < 2 else f"{record['first_loss']:.4f} → "
    notes = [f"loss {first}{record['last_loss']:.4f} in {record['seconds']:.0f} s; saved in {folder}"]
    if counts["cut"] or counts["dropped"]:
        why = f"longer than {record['longest_allowed']:,} tokens, without a turn of the agent, or a pair of equal sides"
        notes.append(
            f"{counts['cut']} rows were cut after a turn and {counts['dropped']} dropped: {why} (see too_long in {folder / RECORD})"
        )
    notes += [f"The chat template makes the agent learn {extra}" for extra in record.get("supervised_by_template", ())]
    if "validation" in record:
        notes.append(describe_validation(record["validation"]))
    notes += [f"{count:,} rows were left out: the chat template {reason}" for reason, count in record.get("refused", {}).items()]
    return tuple(notes)


def _trained(folder: Path, rows: Rows, plan: dict[str, Any], settings: TrainSettings, report_to: str) -> dict[str, Any]:
    for needed in filter(None, (plan["model"], settings.adapter, settings.previous, settings.reference)):
        if needed != "self":
            need_model(needed)
    with explain_failures(folder, settings), quiet():
        return _run(folder, rows, plan, settings, report_to)


def _run(folder: Path, chosen: Rows, plan: dict[str, Any], settings: TrainSettings, report_to: str) -> dict[str, Any]:
    from tratree_data.models.loading import load_model, load_tokenizer, longest_row
    from tratree_data.training.model_cards import write_card
    from tratree_data.training.reporting import reporting
    from tratree_data.training.trainers import check_tokens, make_trainer, stop_at
    from tratree_data.training.trl_options import loading_options

    started = time.monotonic()
    tokenizer = load_tokenizer(plan["model"])
    template = training_template(tokenizer, _template_text(settings.chat_template))
    lengths = Lengths(longest_row(plan["model"], settings.max_length), settings.too_long)
    table = plan["data"]["table"]
    rows, refused = expressible_rows(chosen[0], TEXTS[table], tokenizer, template)
    prepared = prepare(rows, table, tokenizer, template, lengths)
    if not prepared.num_rows:
        raise _nothing_left(rows, lengths)
    validation = _validation(chosen[1], table, tokenizer, template, lengths)
    preparation = time.monotonic() - started
    options = loading_options(settings.trainer or {}, settings.bf16)
    kept = False if settings.full else settings.bf16  # steps of all weights are too small for bfloat16 to hold
    model = load_model(plan["model"], settings.adapter, kept, trainable=not settings.full, options=options)
    check_tokens(tokenizer, model, prepared)
    spoken = spoken_template(tokenizer, template)
    stop_at(tokenizer, model, end_of_turn(tokenizer, template))
    trainer = make_trainer(
        plan["method"],
        model,
        (tokenizer, template),
        prepared,
        folder=folder,
        settings=settings,
        report_to=report_to,
        validation=validation,
    )
    if is_first():
        write_record(folder, {**plan, "finished": False})
    checkpoint = last_checkpoint(folder)
    with reporting(trainer, int(checkpoint.rpartition("-")[2]) if checkpoint else 0):
        trainer.train(resume_from_checkpoint=checkpoint)
    tokenizer.chat_template = spoken
    trainer.save_model(str(folder))
    record = {**plan, "finished": True, **_results(trainer, rows, lengths, prepared.num_rows)}
    record["refused"], record["supervised_by_template"] = refused, supervised_extras(tokenizer, template)
    record["seconds"], record["seconds_of_preparation"] = round(time.monotonic() - started, 1), round(preparation, 1)
    if is_first():
        tokenizer.save_pretrained(folder)
        write_card(folder, record)
        write_record(folder, record)
    return record


def _validation(rows: pa.Table | None, table: str, tokenizer: Any, template: str, lengths: Lengths) -> pa.Table | None:
    """The rows to validate on, made as those to train on are; their cuts are not recorded."""
    if rows is None:
        return None
    own = Lengths(lengths.max_length, lengths.too_long)
    rows = expressible_rows(rows, TEXTS[table], tokenizer, template)[0]
    prepared = prepare(rows, table, tokenizer, template, own)
    if not prepared.num_rows:
        raise _nothing_left(rows, own)
    return prepared


def _nothing_left(rows: pa.Table, lengths: Lengths) -> BadInputError:
    if lengths.longest <= (lengths.max_length or lengths.longest):
        return BadInputError(
            f"None of {rows.num_rows:,} rows can be learned from: the agent says nothing, or both sides of the pairs are equal.\n"
            "Next: tratree check on the dataset, or choose other rows with --kind"
        )
    return BadInputError(
        f"All {rows.num_rows:,} rows are longer than {lengths.max_length:,} tokens (the longest has {lengths.longest:,}).\n"
        "Next: raise --max-length, if the model supports that many"
    )


def _results(trainer: Any, rows: pa.Table, lengths: Lengths, trained: int) -> dict[str, Any]:
    history = trainer.state.log_history
    losses = [entry["loss"] for entry in history if "loss" in entry] or [float("nan")]
    keys = rows.column(0)
    counts = {"trained_rows": trained, "cut": lengths.count("cut"), "dropped": lengths.count("dropped"), "steps": trainer.state.global_step}
    return {
        "counts": counts,
        "first_loss": losses[0],
        "last_loss": losses[-1],
        "longest": lengths.longest,
        "longest_allowed": lengths.max_length,
        "processes": trainer.args.world_size,
        "too_long": [{**row, "id": keys[row["row"]].as_py()} for row in lengths.rows],
        "log": history,
        **validated(trainer.state),
    }


def prepare(rows: pa.Table, table: str, tokenizer: Any, template: str, lengths: Lengths) -> pa.Table:
    """Rows → what the trainer takes, too-long ones cut or dropped; chunk by chunk, so that only Arrow holds all of them."""
    makers: dict[str, Callable[..., list[dict[str, Any]]]] = {
        "demonstrations": demonstration_rows,
        "pairs": preference_rows,
        "step_labels": labelled_rows,
    }
    parts = []
    for start in range(0, rows.num_rows, CHUNK):
        chunk = rows.slice(start, CHUNK)
        lengths.offset = start
        weights = {"weights": chunk["weights"].to_pylist()} if "weights" in chunk.column_names else {}
        made = makers[table](tokenizer, template, _spoken_rows(chunk, table), lengths, _tools(chunk), **weights)
        parts.append(_as_arrow(made, ROWS[table].append(WEIGHTS) if weights else ROWS[table]))
    return pa.concat_tables(parts)


def _spoken_rows(rows: pa.Table, table: str) -> list[tuple[Any, ...]]:
    """The messages of each row, and what else its trainer needs."""
    columns = rows.select(TEXTS[table]).to_pylist()
    return [tuple(row_messages(value) if isinstance(value, list) else value for value in row.values()) for row in columns]


def _tools(rows: pa.Table) -> list[Any]:
    return [row_tools(tools) for tools in rows["tools"].to_pylist()] if "tools" in rows.column_names else [None] * rows.num_rows


def _as_arrow(rows: list[dict[str, Any]], schema: pa.Schema) -> pa.Table:
    """Arrow makes extension types from their storage only."""
    plain = pa.schema([field.with_type(storage_type(field.type)) for field in schema])
    return pa.Table.from_pylist(rows, plain).cast(schema)


def _template_text(chat_template: str | None) -> str | None:
    if chat_template is None or chat_template in TEMPLATES or "{%" in chat_template:
        return chat_template
    file = Path(chat_template)
    if not file.is_file():
        raise BadInputError(
            f"Unknown chat template {chat_template!r}.\n"
            f"Next: name a .jinja file, or {' or '.join(TEMPLATES)} for one that comes with tratree-data"
        )
    return file.read_text(encoding="utf-8")


@contextmanager
def explain_failures(folder: Path, settings: TrainSettings) -> Iterator[None]:
    """Reports missing packages, full memory and full disks."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name in ("torch", "trl", "transformers", "peft", "accelerate"):
            raise missing_package(str(error.name), "train") from error
        raise
    except TratreeError:
        raise
    except Exception as error:
        text = str(error).lower()
        if isinstance(error, MemoryError) or "out of memory" in text or "can't allocate memory" in text:
            raise _no_memory(settings) from error
        if any(sign in text for sign in FULL_DISK):
            intact, advice = "The last whole checkpoint is intact.", "free some space, then run the same command: it resumes from there"
            raise unwritten(folder, "the disk is full", intact, advice) from error
        raise


def _no_memory(settings: TrainSettings) -> TratreeError:
    smaller = max(1, settings.device_batch // 2)
    return TratreeError(
        f"Out of memory with {settings.device_batch} rows of up to {settings.max_length} tokens at once.\n"
        f"Next: the same command with --device-batch {smaller} (the batch stays {settings.batch}), a shorter --max-length, "
        "or more GPUs with accelerate launch; tratree reproduce shows estimates"
    )
