"""Parts of messages as some programs keep them → parts as the APIs write them: Goose, Crush, and the Vercel AI SDK."""

from typing import Any, TypeGuard

Block = dict[str, Any]
BOOKKEEPING = ("finish", "step-start", "step_start")


def is_blocks(value: Any) -> TypeGuard[list[Any]]:
    """Whether it is a list of parts that name their types."""
    return isinstance(value, list) and bool(value) and all(isinstance(part, dict) and isinstance(part.get("type"), str) for part in value)


def plain_blocks(blocks: list[Any]) -> list[Any]:
    """The parts as Anthropic's API has them; parts of which nothing is known stay as they are."""
    return [plain for block in blocks for plain in (_plain(block) if isinstance(block, dict) else [block])]


def _plain(block: Block) -> list[Block]:
    kind = block.get("type")
    if kind in BOOKKEEPING:
        return []
    if isinstance(block.get("data"), dict) and len(block) == 2:  # Crush
        return _plain({**block["data"], "type": kind})
    if kind == "toolRequest":  # Goose
        call = _value(block.get("toolCall"))
        return [{"type": "tool_use", "id": block.get("id"), "name": call.get("name"), "input": call.get("arguments")}] if call else [block]
    if kind == "toolResponse":
        result = block.get("toolResult")
        failed = isinstance(result, dict) and result.get("status") == "error"
        content = _content(result.get("error") if failed else result.get("value", result)) if isinstance(result, dict) else result
        return [{"type": "tool_result", "tool_use_id": block.get("id"), "content": content} | ({"is_error": True} if failed else {})]
    if kind == "tool-call":  # the AI SDK
        return [{"type": "tool_use", "id": block.get("toolCallId"), "name": block.get("toolName"), "input": _first(block, "input", "args")}]
    if kind == "tool-result":
        return [_result(block, _first(block, "output", "result"))]
    if isinstance(kind, str) and (kind.startswith("tool-") or kind == "dynamic-tool") and "toolCallId" in block:
        name = block.get("toolName") or kind.removeprefix("tool-")
        call = {"type": "tool_use", "id": block["toolCallId"], "name": name, "input": block.get("input")}
        output = _first(block, "output", "errorText")
        return [call, *([_result(block, output)] if output is not None else [])]
    if kind == "tool-invocation" and isinstance(block.get("toolInvocation"), dict):
        inner = block["toolInvocation"]
        call = {"type": "tool_use", "id": inner.get("toolCallId"), "name": inner.get("toolName"), "input": inner.get("args")}
        return [call, *([_result(inner, inner["result"])] if "result" in inner else [])]
    return [block]


def _value(wrapped: Any) -> Block:
    """What Goose wraps in {'status': 'success', 'value': …}."""
    inner = wrapped.get("value", wrapped) if isinstance(wrapped, dict) else None
    return inner if isinstance(inner, dict) and "name" in inner else {}


def _first(block: Block, *names: str) -> Any:
    return next((block[name] for name in names if block.get(name) is not None), None)


def _result(block: Block, output: Any) -> Block:
    inner = output.get("value") if isinstance(output, dict) and {*output} == {"type", "value"} else output
    return {"type": "tool_result", "tool_use_id": block.get("toolCallId"), "content": _content(inner)}


def _content(value: Any) -> Any:
    """Texts, and parts that name their types, as they are; of MCP's results their content."""
    inner = value.get("content") if isinstance(value, dict) and isinstance(value.get("content"), list) else value
    return inner if isinstance(inner, str) or is_blocks(inner) or inner is None else [inner]


def answered_turns(blocks: list[Any]) -> list[list[Any]]:
    """What an agent said and the results that it got, in turns: the AI SDK keeps them in one message."""
    turns: list[list[Any]] = []
    for block in blocks:
        if turns and is_results([block]) == is_results(turns[-1]):
            turns[-1].append(block)
        else:
            turns.append([block])
    return turns or [[]]


def is_results(blocks: list[Any]) -> bool:
    return bool(blocks) and all(isinstance(block, dict) and block.get("type") == "tool_result" for block in blocks)


def with_invocations(message: Block, key: str) -> Block:
    """A message of the AI SDK until version 4, whose calls are beside its text, with the calls as parts."""
    text = [{"type": "text", "text": message[key]}] if isinstance(message.get(key), str) and message[key] else []
    calls = [{"type": "tool-invocation", "toolInvocation": call} for call in message["toolInvocations"]]
    return {name: item for name, item in message.items() if name not in ("toolInvocations", key)} | {key: [*text, *calls]}
