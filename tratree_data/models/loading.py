"""Models and tokenizers from a folder or the Hub (import it inside functions, because it imports torch, peft and transformers)."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from tratree_data.errors import BadInputError, NotFoundError


def load_tokenizer(model: str) -> Any:
    try:
        tokenizer = AutoTokenizer.from_pretrained(model)
    except (OSError, ValueError) as error:
        raise NotFoundError(
            f"No model with a tokenizer at {model!r}: {str(error).splitlines()[0]}\nNext: name a folder or a Hub id"
        ) from error
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def longest_row(model: str, requested: int) -> int:
    """Maximum tokens per row: the requested number, or the model's positions if it has fewer."""
    try:
        config = AutoConfig.from_pretrained(adapter_base(model) or model).get_text_config()
    except (OSError, ValueError):  # load_model reports what is wrong with it
        return requested
    positions = getattr(config, "max_position_embeddings", None)
    return min(requested, positions) if isinstance(positions, int) and positions > 0 else requested


def load_model(
    model: str, adapter: str | None = None, bf16: bool | None = None, trainable: bool = False, options: Mapping[str, Any] | None = None
) -> Any:
    """A causal model. An adapter, named or found in the model's own folder, is merged in; or kept apart if it is to be trained further.

    `options` are more arguments of from_pretrained.
    """
    dtype = torch.bfloat16 if computes_in_bf16(bf16) else torch.float32
    base = model
    own = adapter_base(model)
    if own is not None:
        if adapter is not None:
            raise BadInputError(f"{model} is an adapter itself.\nNext: name its base model, or drop --adapter")
        base, adapter = own, model
    try:
        loaded = AutoModelForCausalLM.from_pretrained(base, dtype=dtype, **(options or {}))
    except (OSError, ValueError) as error:
        raise NotFoundError(
            f"No causal language model at {base!r}: {str(error).splitlines()[0]}\nNext: name a folder or a Hub id"
        ) from error
    return loaded if adapter is None else _with_adapter(loaded, adapter, trainable)


def computes_in_bf16(asked: bool | None) -> bool:
    """By default, if the GPU can."""
    return bool(asked) if asked is not None else torch.cuda.is_available() and torch.cuda.is_bf16_supported()


def adapter_base(folder: str) -> str | None:
    """The model that the adapter in a folder belongs to; None if the folder holds no adapter."""
    config = Path(folder) / "adapter_config.json"
    return str(json.loads(config.read_text(encoding="utf-8"))["base_model_name_or_path"]) if config.is_file() else None


def _with_adapter(model: Any, adapter: str, trainable: bool) -> Any:
    base = adapter_base(adapter)
    if base is None:
        raise NotFoundError(f"{adapter} has no adapter_config.json.\nNext: name the folder of a LoRA adapter")
    other = BadInputError(
        f"The adapter {adapter} does not fit {model.name_or_path}: it was trained on {base}.\nNext: add --model {base}, or drop --adapter"
    )
    if Path(base).name != Path(model.name_or_path).name:
        raise other
    try:
        adapted = PeftModel.from_pretrained(model, adapter, is_trainable=trainable)
    except (RuntimeError, ValueError, KeyError) as error:
        raise other from error
    return adapted if trainable else adapted.merge_and_unload()
