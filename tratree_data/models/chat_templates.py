"""Chat templates: which characters of a conversation the agent wrote, and what a template must do for that to be exact.

A template's `{% generation %}` markers are trusted only after a probe: they must contain all that the agent says and the token that ends
its turn, nothing of the observations, and earlier turns must read the same when more follow. The mask is made from the markers' characters,
without the white space at their ends; transformers' own mask runs on to the end of the conversation where a tokenizer drops the white space
before `{% endgeneration %}`. Without markers, `spans_of_turns` finds the same characters.
"""

import re
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from tratree_data.errors import BadInputError
from tratree_data.messages import Message

CHAT_TEMPLATE = (
    "{%- for message in messages -%}"
    "{%- if message['role'] == 'assistant' -%}"
    "<|im_start|>assistant\n{% generation %}{{ message['content'] }}{{ eos_token }}{% endgeneration %}\n"
    "{%- else -%}"
    "<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n"
    "{%- endif -%}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}<|im_start|>assistant\n{% endif -%}"
)
"""ChatML with markers, for a tokenizer that has no template of its own. The agent's turn ends with the tokenizer's own end, so that
generation stops there."""

LLAMA2_TEMPLATE = (
    "{%- for message in messages -%}"
    "{%- if message['role'] == 'assistant' -%}"
    "{{ ' ' }}{% generation %}{{ message['content'] | trim }}{{ ' ' + eos_token }}{% endgeneration %}"
    "{%- else -%}{{ bos_token + '[INST] ' + message['content'] | trim + ' [/INST]' }}{%- endif -%}"
    "{%- endfor -%}"
)
"""Llama-2-chat's own format with markers, which the paper's models use and TRL has no marked version of."""
TEMPLATES = {"chatml": CHAT_TEMPLATE, "llama2": LLAMA2_TEMPLATE}

PROBE: list[Message] = [
    {"role": "user", "content": "first observation"},
    {"role": "assistant", "content": "Action: first probe"},
    {"role": "user", "content": "second observation"},
    {"role": "assistant", "content": "Action: second probe"},
]
NEXT = "Next: add --chat-template FILE with a template that does, or --chat-template chatml"
UNSTABLE = "changes earlier turns when more follow, so prompts would not match their answers"
EMPTY_THOUGHT = re.compile(r"<think>\s*</think>")
Spans = list[tuple[int, int]]
Tools = list[Any] | None


def training_template(tokenizer: Any, chat_template: str | None = None) -> str:
    """The chat template to train with: the given one, TRL's marked version of a well-known one, or the tokenizer's own.

    Without markers, what the agent wrote is found turn by turn (`spans_of_turns`), if the template never changes earlier turns.
    """
    template = _find_template(tokenizer, chat_template)
    end_of_turn(tokenizer, template)
    return template


def _find_template(tokenizer: Any, chat_template: str | None) -> str:
    from trl.chat_template_utils import get_training_chat_template, has_generation_markers

    name = name_of(tokenizer)
    if chat_template in TEMPLATES:
        return TEMPLATES[chat_template]
    if chat_template is not None:
        return chat_template
    if not tokenizer.chat_template:
        raise BadInputError(f"{name} has no chat template.\nNext: add --chat-template chatml, or --chat-template FILE with one of your own")
    if has_generation_markers(tokenizer.chat_template):
        return str(tokenizer.chat_template)
    try:
        return str(get_training_chat_template(tokenizer))
    except ValueError:  # TRL knows no marked version of it
        return str(tokenizer.chat_template)


def name_of(tokenizer: Any) -> str:
    return str(tokenizer.name_or_path or "the tokenizer")


def render(
    tokenizer: Any,
    template: str,
    conversations: Sequence[Sequence[Mapping[str, Any]]],
    *,
    to_answer: bool = False,
    tools: Sequence[Tools] | None = None,
) -> tuple[list[str], list[Spans]]:
    """(text, spans of what the agent wrote) of each conversation; `to_answer` ends the text where the agent's next turn begins.

    `tools` are those of each conversation. The spans are those between a template's markers; where it has none, they are found by
    writing each conversation up to every turn (`spans_of_turns`).
    """
    from trl.chat_template_utils import has_generation_markers

    marked = has_generation_markers(template)
    texts: list[str] = []
    spans: list[Spans] = []
    owned = tools if tools is not None else [None] * len(conversations)
    for tool_set, group in groupby(zip(owned, conversations, strict=True), key=lambda pair: pair[0]):
        spoken = [template_messages(messages) for _, messages in group]
        written, found = _write(tokenizer, template, spoken, to_answer, tool_set, marked)
        if not marked:
            found = [spans_of_turns(tokenizer, template, *one, tool_set) for one in zip(spoken, written, strict=True)]
        texts += written
        spans += found
    return texts, spans


def template_messages(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Messages as transformers passes them to a template: without None, and with reasoning also under the name that GPT-OSS reads."""
    spoken = [{name: value for name, value in message.items() if value is not None} for message in messages]
    return [{"thinking": said["reasoning_content"], **said} if "reasoning_content" in said else said for said in spoken]


def _write(
    tokenizer: Any, template: str, conversations: list[list[dict[str, Any]]], to_answer: bool, tools: Tools, marked: bool
) -> tuple[list[str], list[Spans]]:
    from jinja2 import TemplateError
    from transformers.utils.chat_template_utils import render_jinja_template

    try:
        texts, spans = render_jinja_template(
            conversations=conversations,
            tools=tools,
            chat_template=template,
            return_assistant_tokens_mask=marked,
            add_generation_prompt=to_answer,
            **tokenizer.special_tokens_map,
        )
    except (TemplateError, TypeError, IndexError) as error:
        raise BadInputError(
            f"The chat template of {name_of(tokenizer)} cannot write a conversation of user and assistant turns: {error}.\n"
            "Next: fix it, or add --chat-template FILE, or --chat-template chatml"
        ) from error
    return texts, spans


def spans_of_turns(tokenizer: Any, template: str, messages: list[dict[str, Any]], text: str, tools: Tools) -> Spans:
    """What the agent wrote, without markers: what each of its turns adds to the conversation before it."""

    def write(count: int, to_answer: bool) -> str:
        return _write(tokenizer, template, [messages[:count]], to_answer, tools, False)[0][0]

    spans = []
    for i in [i for i, message in enumerate(messages) if message["role"] == "assistant"]:
        start = common_length(write(i, True), text) if i else 0
        after = write(i + 1, False).rstrip()
        if not text.startswith(after) or (i and start < len(write(i, False).rstrip())):
            raise BadInputError(f"The chat template of {name_of(tokenizer)} {UNSTABLE}.\n{NEXT}")
        spans.append((start, len(after)))
    return spans


def common_length(left: str, right: str) -> int:
    """The length of the common beginning."""
    return next((i for i, (one, other) in enumerate(zip(left, right, strict=False)) if one != other), min(len(left), len(right)))


def end_of_turn(tokenizer: Any, template: str) -> int:
    """The token with which the agent ends its turn. A template with which training would not be exact is refused."""
    name = f"The chat template of {name_of(tokenizer)}"
    if not tokenizer.is_fast:
        raise BadInputError(
            f"{name_of(tokenizer)} is a tokenizer that does not map tokens to characters.\nNext: save it as a fast tokenizer"
        )
    (text,), (spans,) = render(tokenizer, template, [PROBE])
    written = "\n".join(text[start:end] for start, end in spans)
    seen, said = ([message["content"] for message in PROBE if message["role"] == role] for role in ("user", "assistant"))
    if not all(words in text for words in seen) or not all(words in written for words in said):
        raise BadInputError(f"{name} leaves out observations, or leaves what the agent wrote outside its markers.\n{NEXT}")
    if any(words in written for words in seen):
        raise BadInputError(f"{name} has observations inside its {{% generation %}} markers, so they would be trained on.\n{NEXT}")
    for messages in (PROBE[:1], PROBE[:3]):
        prompt = render(tokenizer, template, [messages], to_answer=True)[0][0]
        if not text.startswith(prompt[: prompt.index(messages[-1]["content"])]):
            raise BadInputError(f"{name} {UNSTABLE}.\n{NEXT}")
    return _end_token(tokenizer, text, text.index(said[0]) + len(said[0]), spans)


def _end_token(tokenizer: Any, text: str, after: int, spans: Spans) -> int:
    """The first token behind what the agent said; it must be one of the tokenizer's special ones, and inside the markers."""
    end = next(end for start, end in spans if start < after <= end)
    tail = text[after:end].strip()
    if not tail:
        raise BadInputError(
            f"The chat template of {name_of(tokenizer)} has the agent's end of turn outside its {{% generation %}} markers, so the model "
            "would never learn to stop.\nNext: move {% endgeneration %} behind it, or add --chat-template chatml"
        )
    encoded = tokenizer([text], add_special_tokens=False)
    token = encoded.char_to_token(0, after + len(text[after:end]) - len(text[after:end].lstrip()))
    found = encoded["input_ids"][0][token] if token is not None else None
    if found is None or found not in {*tokenizer.all_special_ids, *tokenizer.added_tokens_decoder}:
        raise BadInputError(
            f"The chat template of {name_of(tokenizer)} ends the agent's turn with {tail[:40]!r}, which is not a special token of this "
            "tokenizer, so nothing that runs the model would stop there.\n"
            "Next: add --chat-template chatml, which ends a turn with the tokenizer's own eos_token, or give the tokenizer that token"
        )
    return int(found)


def supervised_extras(tokenizer: Any, template: str) -> list[str]:
    """What training teaches beyond the agent's words: the header of its role, which prompts already contain, or an empty thought."""
    (text,), (spans,) = render(tokenizer, template, [PROBE])
    prompt = render(tokenizer, template, [PROBE[:1]], to_answer=True)[0][0]
    found = []
    if text.startswith(prompt) and text[spans[0][0] : len(prompt)].strip():
        found.append(f"the header of its role, {text[spans[0][0] : len(prompt)].strip()!r}, although every prompt ends with it")
    empty = [match for start, end in spans for match in EMPTY_THOUGHT.findall(text[start:end])]
    if empty:
        found.append(f"an empty thought, {empty[0]!r}, in turns without thoughts")
    return found


def spoken_template(tokenizer: Any, template: str) -> str:
    """The template to save with the trained model: its own if that gives the same prompts as in training, else the one used in training."""
    own = tokenizer.chat_template
    if not own or own == template:
        return template
    prompts = [PROBE[:1], PROBE[:3]]
    try:
        same = render(tokenizer, own, prompts, to_answer=True)[0] == render(tokenizer, template, prompts, to_answer=True)[0]
    except BadInputError:
        return template
    return own if same else template


def agent_mask(encoded: Any, row: int, text: str, spans: Spans) -> list[int]:
    """1 on every token between the markers, except white space at either end."""
    mask = [0] * len(encoded["input_ids"][row])
    for start, end in spans:
        tokens = [encoded.char_to_token(row, place) for place in _edges(encoded, row, text, start, end)]
        if len(tokens) == 2:
            first, last = tokens
            before = text[encoded.token_to_chars(row, first).start : start]
            if before.strip():
                others, own = before.strip()[-20:], text[start : start + 20]
                raise BadInputError(
                    f"The tokenizer joins {others!r}, which the agent did not write, with {own!r}, which it did, in one token.\n{NEXT}"
                )
            mask[first : last + 1] = [1] * (last + 1 - first)
    return mask


def _edges(encoded: Any, row: int, text: str, start: int, end: int) -> list[int]:
    """The first and the last character of a span that are part of a token; none if all of it is white space or dropped."""
    places = range(start, end)
    kept = (place for place in places if not text[place].isspace() and encoded.char_to_token(row, place) is not None)
    first = next(kept, None)
    if first is None:
        return []
    back = (place for place in reversed(places) if not text[place].isspace() and encoded.char_to_token(row, place) is not None)
    return [first, next(back)]
