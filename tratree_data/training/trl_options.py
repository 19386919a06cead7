"""`--set trainer.KEY=VALUE`: what TRL's own configs take beyond our settings, checked before anything is loaded.

A key is a field of the method's config (SFTConfig, DPOConfig, KTOConfig) or one of TRL's ModelConfig that says how the model is loaded
or adapted. A key that one of our settings already decides is refused with that setting's name (imported lazily: trl comes with it).
"""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from trl import DPOConfig, KTOConfig, ModelConfig, SFTConfig, get_quantization_config

from tratree_data.errors import BadInputError, suggest

CONFIGS = {"sft": SFTConfig, "mcts-sft": SFTConfig, "kto": KTOConfig}
"""DPOConfig for all others."""
DECIDED = {
    "output_dir": "--out",
    "max_length": "--max-length",
    "learning_rate": "--learning-rate",
    "lr_scheduler_type": "--schedule",
    "warmup_steps": "--warmup-ratio",
    "warmup_ratio": "--warmup-ratio",
    "weight_decay": "--weight-decay",
    "num_train_epochs": "--epochs",
    "max_steps": "--max-steps",
    "per_device_train_batch_size": "--device-batch",
    "per_device_eval_batch_size": "--device-batch",
    "gradient_accumulation_steps": "--batch",
    "gradient_checkpointing": "--gradient-checkpointing",
    "bf16": "--bf16",
    "save_steps": "--save-steps",
    "logging_steps": "--log-steps",
    "report_to": "--report-to",
    "seed": "--seed",
    "beta": "--beta",
    "eval_strategy": "--validation",
    "load_best_model_at_end": "--patience",
    "metric_for_best_model": "--patience",
    "loss_weights": "--likelihood-weight",
    "push_to_hub": "--push",
    "hub_model_id": "--push",
    "chat_template_path": "--chat-template",
    "pad_token": "--chat-template",
    "eos_token": "--chat-template",
}
LOADING = ("attn_implementation", "load_in_4bit", "load_in_8bit", "bnb_4bit_quant_type", "use_bnb_nested_quant", "bnb_4bit_quant_storage")
ADAPTING = ("lora_target_modules", "lora_target_parameters", "lora_modules_to_save", "use_rslora", "use_dora")


def config_class(method: str) -> Any:
    return CONFIGS.get(method, DPOConfig)


def check_trainer(method: str, trainer: Mapping[str, Any]) -> None:
    """Refuses a key that TRL does not know, with the closest one, and a key that a setting of ours decides, with that setting."""
    config = config_class(method)
    known = {field.name for field in fields(config) if field.init} - {*DECIDED} | {*LOADING, *ADAPTING}
    for key in trainer:
        if key in DECIDED:
            raise BadInputError(f"trainer.{key} is what {DECIDED[key]} sets.\nNext: {DECIDED[key]} instead of --set trainer.{key}")
        if key not in known:
            raise BadInputError(f"TRL's {config.__name__} has no option {key!r}.{suggest(key, known)}")


def config_options(trainer: Mapping[str, Any]) -> dict[str, Any]:
    """The part of the keys that belongs to the trainer's config."""
    return {key: value for key, value in trainer.items() if key not in (*LOADING, *ADAPTING, "model_init_kwargs")}


def loading_options(trainer: Mapping[str, Any], bf16: bool | None) -> dict[str, Any]:
    """How from_pretrained is called: attention, quantisation, and whatever model_init_kwargs says."""
    options = dict(trainer.get("model_init_kwargs") or {})
    model = ModelConfig(**{key: trainer[key] for key in LOADING if key in trainer}, dtype="float32" if bf16 is False else "bfloat16")
    if model.attn_implementation is not None:
        options["attn_implementation"] = model.attn_implementation
    quantised = get_quantization_config(model)
    return options if quantised is None else {**options, "quantization_config": quantised}


def adapter_options(trainer: Mapping[str, Any]) -> dict[str, Any]:
    """What LoraConfig takes, under its own names."""
    return {key.removeprefix("lora_"): trainer[key] for key in ADAPTING if key in trainer}
