"""Models small enough to train from scratch on two cores: a word-level tokenizer and a Llama of any size, saved as any model is.

They replace a weak and a strong language model in the miniature experiment and in the tests. To TRL, transformers and vLLM they are
ordinary Hugging Face folders with a chat template.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa

from tratree_data.errors import BadInputError

MARKS = ["<|pad|>", "<|unknown|>", "<|user|>", "<|assistant|>", "<|end|>"]
TEMPLATE = (
    "{%- for message in messages -%}"
    "{%- if message['role'] == 'assistant' -%}"
    "<|assistant|>{% generation %}{{ message['content'] }}<|end|>{% endgeneration %}"
    "{%- else -%}<|user|>{{ message['content'] }}{%- endif -%}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}<|assistant|>{%- endif -%}"
)


def make_tokenizer(texts: Iterable[str]) -> Any:
    """Words and punctuation marks of the texts; 'Action:' and 'Thought:' are words, so that decoding gives the action back."""
    from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.WordLevel(unk_token="<|unknown|>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation()])
    labels = [AddedToken(label, single_word=False, lstrip=True, rstrip=True, normalized=False) for label in ("Action:", "Thought:")]
    tokenizer.train_from_iterator(
        sorted(set(texts)), trainers.WordLevelTrainer(vocab_size=20_000, special_tokens=MARKS, show_progress=False)
    )
    tokenizer.add_tokens(labels)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<|pad|>",
        unk_token="<|unknown|>",
        eos_token="<|end|>",
        padding_side="right",
        clean_up_tokenization_spaces=False,
        chat_template=TEMPLATE,
        model_max_length=4096,
    )


def make_model(folder: str | Path, tokenizer: Any, *, width: int, layers: int, spread: float = 0.0, seed: int = 0) -> Path:
    """A Llama with random weights (of this standard deviation, or 1/√width), saved with its tokenizer in `folder`."""
    from transformers import LlamaConfig, LlamaForCausalLM, set_seed

    set_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=width * 2,
        num_hidden_layers=layers,
        num_attention_heads=max(2, width // 32),
        max_position_embeddings=4096,
        tie_word_embeddings=True,
        initializer_range=spread or width**-0.5,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = LlamaForCausalLM(config)
    path = Path(folder)
    model.save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


def keep_first_layers(model: str, folder: str | Path, layers: int) -> Path:
    """A weaker model of the same tokenizer: the first layers of `model` with its embeddings and head, saved in `folder`."""
    from tratree_data.models.loading import load_model, load_tokenizer

    loaded = load_model(model, bf16=False)
    existing = loaded.config.num_hidden_layers
    if not 0 < layers < existing:
        raise BadInputError(f"{model} has {existing} layers, so its first {layers} are not a smaller model.\nNext: 1 to {existing - 1}")
    decoder = loaded.get_decoder()
    decoder.layers = decoder.layers[:layers]
    loaded.config.num_hidden_layers = layers
    if getattr(loaded.config, "layer_types", None):
        loaded.config.layer_types = loaded.config.layer_types[:layers]
    path = Path(folder)
    load_tokenizer(model).save_pretrained(path)
    loaded.save_pretrained(path)
    return path


def school(
    folder: str | Path,
    conversations: Sequence[Sequence[dict[str, str]]],
    *,
    seed: int = 0,
    epochs: float = 1.0,
    batch: int = 16,
    learning_rate: float = 3e-3,
) -> dict[str, float]:
    """Teaches a model to speak as the agents of these conversations do, in place; gives the first and the last loss."""
    from tratree_data.models.chat_templates import training_template
    from tratree_data.models.loading import load_model, load_tokenizer
    from tratree_data.training.token_rows import Lengths
    from tratree_data.training.train import MESSAGES, prepare, settings_from
    from tratree_data.training.trainers import make_trainer

    model, tokenizer = load_model(str(folder), bf16=False), load_tokenizer(str(folder))
    template = training_template(tokenizer)
    messages = pa.table({"messages": pa.array(conversations, MESSAGES)})
    rows = prepare(messages, "demonstrations", tokenizer, template, Lengths(tokenizer.model_max_length))
    sizes = {"batch": batch, "device_batch": batch, "epochs": epochs, "learning_rate": learning_rate}
    settings = settings_from({**sizes, "full": True, "gradient_checkpointing": False, "bf16": False, "save_steps": 10**6, "seed": seed})
    with TemporaryDirectory() as scratch:
        trainer = make_trainer("sft", model, (tokenizer, template), rows, folder=Path(scratch), settings=settings)
        trainer.train()
        trainer.save_model(str(folder))
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    return {"first_loss": losses[0], "last_loss": losses[-1], "steps": trainer.state.global_step}
