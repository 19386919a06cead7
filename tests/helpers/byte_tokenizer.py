"""A tokenizer of bytes that any family's chat template can be given to: every text comes back from its tokens exactly."""

import re
from pathlib import Path
from typing import Any

SPECIAL = re.compile(r"<\|?[a-z_]+(?:\|[a-z_]+)*\|?>|\[/?[A-Z_]+\]|</s>")


def trl_template(name: str) -> str:
    """A chat template that TRL ships."""
    import trl

    return (Path(trl.__file__).parent / "chat_templates" / f"{name}.jinja").read_text(encoding="utf-8")


def byte_tokenizer(template: str, end: str, start: str | None = None) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={letter: i for i, letter in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = sorted(
        {end, *([start] if start else []), *SPECIAL.findall(template)}
        - {"<think>", "</think>", "<tool_call>", "<tool_response>", "<tools>"}
    )
    tokenizer.add_special_tokens(["<pad>", *special])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        eos_token=end,
        bos_token=start,
        clean_up_tokenization_spaces=False,
        chat_template=template,
        model_max_length=8192,
    )
