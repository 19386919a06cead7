"""Chat templates of today's families: our tokens are those of the log's own conversation, and what a template cannot express is refused."""

import json
from typing import Any

import pyarrow as pa
import pytest
from helpers.byte_tokenizer import byte_tokenizer, trl_template
from helpers.tool_chats import TOOLS, attempts

from tratree_data.errors import BadInputError
from tratree_data.messages import stored_row_message
from tratree_data.models.chat_templates import training_template
from tratree_data.models.template_limits import expressible_rows, find_limits
from tratree_data.training.token_rows import Lengths, demonstration_rows, labelled_rows, preference_rows

pytest.importorskip("trl", reason="trl is not installed")
STRICT = """
{%- for message in messages -%}
  {%- if message.role == 'assistant' -%}
    {%- if message.tool_calls -%}
      [TOOL_CALLS][
      {%- for call in message.tool_calls -%}
        {%- if call.id | length != 9 -%}{{ raise_exception('ids of calls must have 9 characters') }}{%- endif -%}
        {{ {'name': call.function.name, 'arguments': call.function.arguments, 'id': call.id} | tojson }}{{ ', ' if not loop.last }}
      {%- endfor -%}
      ]{{ eos_token }}
    {%- else -%}{{ ' ' + message.content + eos_token }}{%- endif -%}
  {%- elif message.role == 'tool' -%}
  [TOOL_RESULTS]{{ {'content': message.content, 'call_id': message.tool_call_id} | tojson }}[/TOOL_RESULTS]
  {%- elif message.role == 'system' -%}[SYSTEM_PROMPT]{{ message.content }}[/SYSTEM_PROMPT]
  {%- else -%}
    {%- if tools -%}[AVAILABLE_TOOLS]{{ tools | tojson }}[/AVAILABLE_TOOLS]{%- endif -%}[INST] {{ message.content }}[/INST]
  {%- endif -%}
{%- endfor -%}
"""
"""Without markers, in the manner of Mistral's: no generation prompt, ids of nine characters."""
MARKS = {
    "qwen2_5": ("<|im_end|>", None),
    "qwen3": ("<|im_end|>", None),
    "qwen3_instruct_2507": ("<|im_end|>", None),
    "qwen3_5_think": ("<|im_end|>", None),
    "llama3": ("<|eot_id|>", "<|begin_of_text|>"),
    "llama3_1": ("<|eot_id|>", "<|begin_of_text|>"),
    "llama3_2": ("<|eot_id|>", "<|begin_of_text|>"),
    "gemma3": ("<end_of_turn>", "<bos>"),
    "gemma4": ("<turn|>", "<bos>"),
    "gptoss": ("<|return|>", None),
    "lfm2_v2": ("<|im_end|>", "<|startoftext|>"),
    "phi3": ("<|end|>", None),
    "strict": ("</s>", "<s>"),
}
SINGLE = "cannot write parallel calls: This model only supports single tool-calls at once!"
REFUSED = {
    ("llama3", 0): "leaves out tools", ("llama3", 2): "leaves out tools", ("llama3_1", 2): SINGLE, ("llama3_2", 2): SINGLE,
    ("gemma3", 0): "leaves out tools", ("gemma3", 2): "leaves out tools", ("phi3", 0): "leaves out tools", ("phi3", 2): "leaves out tools",
    ("gptoss", 2): "leaves out parallel calls",
}  # fmt: skip


def tokenizer_of(family: str) -> Any:
    return byte_tokenizer(STRICT if family == "strict" else trl_template(family), *MARKS[family])


def logged(number: int) -> list[dict[str, Any]]:
    """An attempt as chat templates take it; number 2 has two calls in one turn."""
    messages = json.loads(json.dumps(attempts()[number]["messages"]))
    for call in [call for message in messages for call in message.get("tool_calls", ())]:
        call["function"]["arguments"] = json.loads(call["function"]["arguments"])
    return list(messages)


def rows_of(*conversations: list[dict[str, Any]]) -> pa.Table:
    return pa.table(
        {
            "messages": [list(map(stored_row_message, messages)) for messages in conversations],
            "form": ["chat"] * len(conversations),
            "tools": [[json.dumps(tool) for tool in TOOLS]] * len(conversations),
        }
    )


@pytest.mark.parametrize("family", MARKS)
@pytest.mark.parametrize("number", [0, 2])
def test_tokens_are_those_of_the_conversation_or_the_template_is_refused(family: str, number: int) -> None:
    tokenizer = tokenizer_of(family)
    template = training_template(tokenizer)
    messages = logged(number)
    if (family, number) in REFUSED:
        with pytest.raises(BadInputError) as caught:
            expressible_rows(rows_of(messages), ["messages"], tokenizer, template)
        assert REFUSED[family, number] in str(caught.value)
        assert "--form react" in str(caught.value)
        return
    assert expressible_rows(rows_of(messages), ["messages"], tokenizer, template)[0].num_rows == 1
    (row,) = demonstration_rows(tokenizer, template, [(messages,)], Lengths(None), [TOOLS])
    own = None if family != "qwen3" else template  # its own leaves out the empty thoughts that the model wrote in earlier turns
    assert row["input_ids"] == tokenizer.apply_chat_template(messages, tools=TOOLS, return_dict=False, chat_template=own)
    learnt = tokenizer.decode([token for token, label in zip(row["input_ids"], row["labels"], strict=True) if label != -100])
    answer, city = messages[-1]["content"], "Paris" if number else "Rome"
    assert all(word in learnt for word in ("look", city, answer, *(["report"] if number else [])))
    assert not any(word in learnt for word in ("degrees", "reported", "You help", "Weather", "Tool to"))


@pytest.mark.parametrize("family", ["qwen3", "llama3_1", "gemma4", "gptoss", "strict"])
def test_preferences_mask_results(family: str) -> None:
    tokenizer = tokenizer_of(family)
    template = training_template(tokenizer)
    better, worse = logged(0), logged(1)
    (row,) = preference_rows(tokenizer, template, [(better[:2], better[2:], worse[2:])], Lengths(None), [TOOLS])
    for side, messages in (("chosen", better), ("rejected", worse)):
        whole = tokenizer.apply_chat_template(messages, tools=TOOLS, return_dict=False, chat_template=template)
        assert row["prompt_ids"] + row[f"{side}_ids"] == whole
        learnt = tokenizer.decode([token for token, on in zip(row[f"{side}_ids"], row[f"{side}_mask"], strict=True) if on])
        assert messages[-1]["content"] in learnt
        assert "look" in learnt
        assert "degrees" not in learnt
    (step,) = labelled_rows(tokenizer, template, [(better[:2], better[2:3], True)], Lengths(None), [TOOLS])
    assert json.loads(step["tools"]) == TOOLS
    assert json.loads(step["completion"][0]["tool_calls"][0])["function"]["arguments"] == {"city": "Rome"}


def test_only_rows_that_need_more_are_left_out() -> None:
    tokenizer = tokenizer_of("llama3_1")
    template = training_template(tokenizer)
    kept, refused = expressible_rows(rows_of(logged(0), logged(2), logged(1)), ["messages"], tokenizer, template)
    assert (kept.num_rows, refused) == (2, {SINGLE: 1})
    strict = tokenizer_of("strict")
    other = logged(0)
    other[2]["tool_calls"][0]["id"] = other[3]["tool_call_id"] = "call_1"
    kept, refused = expressible_rows(rows_of(logged(0), other), ["messages"], strict, training_template(strict))
    assert (kept.num_rows, refused) == (1, {"cannot write it: ids of calls must have 9 characters": 1})


def test_what_the_families_can_express() -> None:
    everything = [name for name in MARKS if not find_limits(tokenizer_of(name), training_template(tokenizer_of(name)))]
    assert everything == ["qwen2_5", "qwen3", "qwen3_instruct_2507", "qwen3_5_think", "gemma4", "lfm2_v2", "strict"]
