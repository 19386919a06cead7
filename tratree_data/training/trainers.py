"""Models, adapters and TRL trainers from settings (imported lazily: this is where torch, peft and trl come in).

Set explicitly, because TRL's defaults are unsuitable here: `max_length=None` (rows are already cut, at turns), gradient checkpointing as
asked rather than always, bf16 only where the device has it, `average_tokens` left to the trainer, no loading of a reference from disk.
"""

import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import torch
from datasets import Dataset
from peft import LoraConfig, PeftModel
from transformers import EarlyStoppingCallback
from trl import KTOTrainer, SFTTrainer

from tratree_data.errors import BadInputError
from tratree_data.models.loading import computes_in_bf16, load_model, load_tokenizer
from tratree_data.training.losses import (
    AgentPreferenceCollator,
    ExplorerSFTTrainer,
    TreeDPOTrainer,
    WeightedCollator,
    WeightedSFTTrainer,
    check_reference,
)
from tratree_data.training.runs import processes
from tratree_data.training.trl_options import adapter_options, config_class, config_options, loading_options

if TYPE_CHECKING:
    from tratree_data.training.settings import TrainSettings

VALIDATE_EVERY = 0.1
"""Of all steps."""


def check_tokens(tokenizer: Any, model: Any, rows: pa.Table) -> None:
    """Requires an embedding for every token of the rows: a missing one would end the training with an IndexError, or worse on a GPU."""
    embeddings = model.get_input_embeddings().weight.shape[0]
    columns = [rows[name] for name in rows.column_names if name.endswith("_ids")]
    largest = max([tokenizer.pad_token_id or 0, *(pc.max(pc.list_flatten(column)).as_py() or 0 for column in columns)])
    if largest >= embeddings:
        token = tokenizer.convert_ids_to_tokens(largest)
        raise BadInputError(
            f"The tokenizer writes token {largest:,} ({token!r}), but {model.name_or_path} has only {embeddings:,} embeddings.\n"
            f"Next: model.resize_token_embeddings({len(tokenizer)}), save it, and train that; or name another model"
        )


def stop_at(tokenizer: Any, model: Any, end: int) -> None:
    """Makes generation stop at the end-of-turn token the model was trained on, and give padding a token."""
    stops = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
    if end not in {tokenizer.eos_token_id, *(stops if isinstance(stops, list) else [stops])}:
        tokenizer.eos_token = tokenizer.convert_ids_to_tokens(end)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.convert_ids_to_tokens(end)


def make_trainer(
    method: str,
    model: Any,
    language: tuple[Any, str],
    rows: pa.Table,
    *,
    folder: Path,
    settings: "TrainSettings",
    report_to: str = "none",
    validation: pa.Table | None = None,
) -> Any:
    """The trainer of a method, ready to run; `language` is the tokenizer and the chat template, `validation` the rows held out."""
    tokenizer, template = language
    lora = _new_adapter(model, settings)
    shared: dict[str, Any] = {"model": model, "train_dataset": Dataset(rows), "processing_class": tokenizer, "peft_config": lora}
    if validation is not None:
        shared["eval_dataset"] = Dataset(validation)
    if settings.patience is not None:
        shared["callbacks"] = [EarlyStoppingCallback(settings.patience)]
    arguments = _arguments(folder, settings, report_to)
    if method in ("sft", "mcts-sft"):
        config = _config(method, arguments, settings)
        if settings.weights is not None:
            return WeightedSFTTrainer(args=config, data_collator=WeightedCollator(tokenizer.pad_token_id), **shared)
        if not settings.divergence_weight:
            return SFTTrainer(args=config, **shared)
        previous = load_model(str(settings.previous), None, settings.bf16)
        check_reference(tokenizer, model, load_tokenizer(str(settings.previous)), previous)
        return ExplorerSFTTrainer(args=config, previous=previous, divergence_weight=settings.divergence_weight, **shared)
    if method == "kto":
        tokenizer.chat_template = template
        reference = None if lora or isinstance(model, PeftModel) else copy.deepcopy(model)
        return KTOTrainer(args=_config(method, {"beta": settings.beta, **arguments}, settings), ref_model=reference, **shared)
    arguments["beta"], arguments["loss_type"] = settings.beta, ["sigmoid"]
    if settings.likelihood_weight:
        arguments["loss_type"], arguments["loss_weights"] = ["sigmoid", "sft"], [1.0, settings.likelihood_weight]
    config = _config(method, arguments, settings)
    collator = AgentPreferenceCollator(pad_token_id=tokenizer.pad_token_id)
    reference = _reference(model, tokenizer, settings)
    return TreeDPOTrainer(args=config, ref_model=reference, data_collator=collator, kl_weight=settings.kl_weight or 0.0, **shared)


def _new_adapter(model: Any, settings: "TrainSettings") -> LoraConfig | None:
    """None where all weights are trained, or training continues an existing adapter."""
    if settings.full or isinstance(model, PeftModel):
        return None
    return LoraConfig(
        r=settings.lora_rank,
        lora_alpha=settings.lora_alpha,
        lora_dropout=settings.lora_dropout,
        task_type="CAUSAL_LM",
        **{"target_modules": "all-linear", **adapter_options(settings.trainer or {})},
    )


def _reference(model: Any, tokenizer: Any, settings: "TrainSettings") -> Any:
    """The fixed reference: another model, or the start of this one (with LoRA that is the model without its adapter)."""
    if settings.reference == "self":
        return None if not settings.full else copy.deepcopy(model)
    reference = load_model(settings.reference, None, settings.bf16, options=loading_options(settings.trainer or {}, settings.bf16))
    check_reference(tokenizer, model, load_tokenizer(settings.reference), reference)
    return reference


def accumulation(settings: "TrainSettings") -> int:
    """Passes per process before each step, so that the batch does not depend on the number of processes."""
    at_once = settings.device_batch * processes()
    if settings.batch % at_once:
        raise BadInputError(
            f"A batch of {settings.batch} rows cannot be divided among {processes()} processes of {settings.device_batch} rows at once.\n"
            f"Next: --device-batch {max(1, settings.batch // processes())}, another --set batch=N, or another number of processes"
        )
    return settings.batch // at_once


def _config(method: str, arguments: dict[str, Any], settings: "TrainSettings") -> Any:
    """The method's config of TRL, with the options that were passed through to it."""
    kind, passed = config_class(method), config_options(settings.trainer or {})
    if passed.get("packing"):
        arguments["max_length"] = settings.max_length
    try:
        config = kind(**{**arguments, **passed})
    except (TypeError, ValueError) as error:
        if not passed:
            raise
        raise BadInputError(f"TRL's {kind.__name__} refuses these options: {error}\nNext: change {_named(passed)}") from error
    return _on_one_gpu(config)


def _named(passed: dict[str, Any]) -> str:
    return " or ".join(f"--set trainer.{key}" for key in passed)


def _on_one_gpu(config: Any) -> Any:
    """Keeps the trainer from spreading a pass over all GPUs in threads, which changes the batch and copies the model without our hooks."""
    if config.n_gpu > 1:
        config._n_gpu = 1
    return config


def _arguments(folder: Path, settings: "TrainSettings", report_to: str) -> dict[str, Any]:
    on_gpu = torch.cuda.is_available()
    arguments = {
        "output_dir": str(folder),
        "max_length": None,
        "gradient_checkpointing": settings.gradient_checkpointing,
        "bf16": computes_in_bf16(settings.bf16),
        "use_cpu": not on_gpu,
        "dataloader_pin_memory": on_gpu,
        "optim": "adamw_torch",
        "learning_rate": settings.learning_rate,
        "lr_scheduler_type": settings.schedule,
        "warmup_steps": settings.warmup_ratio,
        "weight_decay": settings.weight_decay,
        "num_train_epochs": settings.epochs,
        "max_steps": settings.max_steps or -1,
        "per_device_train_batch_size": settings.device_batch,
        "gradient_accumulation_steps": accumulation(settings),
        "save_steps": settings.save_steps,
        "save_total_limit": 2,
        "logging_steps": settings.log_steps,
        "logging_first_step": True,
        "report_to": report_to,
        "seed": settings.seed,
        "disable_tqdm": True,
    }
    return arguments | _validating(settings) if settings.validation is not None else arguments


def _validating(settings: "TrainSettings") -> dict[str, Any]:
    """Ten validations of a run, unless trainer.eval_steps says otherwise; to stop early, a checkpoint of each."""
    every = (settings.trainer or {}).get("eval_steps", VALIDATE_EVERY)
    shared = {"eval_strategy": "steps", "eval_steps": every, "per_device_eval_batch_size": settings.device_batch}
    if settings.patience is None:
        return shared
    best = {"load_best_model_at_end": True, "metric_for_best_model": "eval_loss", "restore_callback_states_from_checkpoint": True}
    return shared | best | {"save_steps": every}
