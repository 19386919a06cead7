"""The tool calls in what a model wrote, in the formats of current families, as a message in OpenAI's form.

If a tokenizer says how its answers are parsed (`response_schema`), that is used; else the marks of Hermes and Qwen, Llama 3 and
Mistral are looked for. Text that looks like a call but cannot be parsed stays text, and the turn counts as one without a call.
"""

import json
import re
from typing import Any

from tratree_data.errors import BadInputError

REASONING = re.compile(r"\A\s*<think>(.*?)</think>\s*", re.DOTALL)
HERMES = re.compile(r"<tool_call>\s*(.*?)\s*(?:</tool_call>|\Z)", re.DOTALL)
QWEN_CODER = re.compile(r"<function=([\w.-]+)>\s*(.*?)\s*(?:</function>|\Z)", re.DOTALL)
QWEN_PARAMETER = re.compile(r"<parameter=([\w.-]+)>\n?(.*?)\n?(?:</parameter>|\Z)", re.DOTALL)
MISTRAL = re.compile(r"\[TOOL_CALLS\]\s*(\[.*\])", re.DOTALL)
MISTRAL_NAMED = re.compile(r"\[TOOL_CALLS\]([\w.-]+)\s*(?:\[ARGS\])?\s*(\{.*?\})(?=\[TOOL_CALLS\]|\Z)", re.DOTALL)
LLAMA = re.compile(r"\A\s*(?:<\|python_tag\|>)?\s*(\{.*\})\s*\Z", re.DOTALL)

PROBE = ({"type": "function", "function": {"name": "probe", "description": "d", "parameters": {"type": "object", "properties": {}}}},)


def need_tools(tokenizer: Any, template: str, model: str) -> None:
    """Refuses a chat template that does not show tools: such a model would never learn that it can call any."""
    asked = [{"role": "user", "content": "hello"}]

    def shown(**tools: Any) -> str:
        return str(tokenizer.apply_chat_template(asked, chat_template=template, tokenize=False, **tools))

    if shown(tools=list(PROBE)) == shown():
        raise BadInputError(f"The chat template of {model} does not support tools.\nNext: form=react, or a model whose template does")


def parse_message(text: str, tokenizer: Any = None) -> dict[str, Any]:
    """{"content", "reasoning_content"?, "tool_calls"?} of an answer, given with all special tokens except the one that ends it."""
    if getattr(tokenizer, "response_schema", None):
        parsed = tokenizer.parse_response(text)
        message = {key: parsed[key] for key in ("content", "tool_calls") if parsed.get(key)}
        reasoning = parsed.get("reasoning_content") or parsed.get("thinking")
        return {"content": None, **message, **({"reasoning_content": reasoning} if reasoning else {})}
    message = {}
    if thought := REASONING.match(text):
        message["reasoning_content"] = thought[1].strip()
        text = text[thought.end() :]
    for find in (_hermes, _mistral, _llama):
        calls, rest = find(text)
        if calls:
            return {**message, "content": rest.strip() or None, "tool_calls": calls}
    return {**message, "content": text.strip()}


def _hermes(text: str) -> tuple[list[dict[str, Any]], str]:
    calls = [call for match in HERMES.finditer(text) for call in (_json_call(match[1]) or _coder_call(match[1]))]
    return calls, HERMES.sub("", text)


def _coder_call(text: str) -> list[dict[str, Any]]:
    return [{"name": match[1], "arguments": dict(QWEN_PARAMETER.findall(match[2]))} for match in QWEN_CODER.finditer(text)]


def _mistral(text: str) -> tuple[list[dict[str, Any]], str]:
    if listed := MISTRAL.search(text):
        return _json_call(listed[1]), text[: listed.start()]
    named = list(MISTRAL_NAMED.finditer(text))
    calls = [call for match in named for call in _json_call(f'{{"name": {json.dumps(match[1])}, "arguments": {match[2]}}}')]
    return calls, text[: named[0].start()] if named else text


def _llama(text: str) -> tuple[list[dict[str, Any]], str]:
    match = LLAMA.match(text)
    return (_json_call(match[1]), "") if match else ([], text)


def _json_call(text: str) -> list[dict[str, Any]]:
    """The calls of a JSON object or list; none if one is not a call."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return []
    calls = []
    for item in value if isinstance(value, list) else [value]:
        arguments = item.get("arguments", item.get("parameters")) if isinstance(item, dict) else None
        if not isinstance(arguments, dict | str) or not isinstance(item.get("name"), str):
            return []
        calls.append({"name": item["name"], "arguments": arguments, **({"id": item["id"]} if item.get("id") else {})})
    return calls
