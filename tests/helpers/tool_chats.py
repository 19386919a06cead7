"""Attempts of a tool-calling agent at two tasks, as OpenAI messages: what the tests of forms, templates and exporters share."""

import json
from pathlib import Path
from typing import Any

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": name,
            "description": f"Tool to {name} a city.",
            "parameters": {"type": "object", "properties": {"city": {"type": "string", "description": "Where."}}, "required": ["city"]},
        },
    }
    for name in ("look", "report")
]


def call(number: int, name: str, **arguments: Any) -> dict[str, Any]:
    return {"id": f"abcdefg{number:02}", "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}


def says(content: str | None, *calls: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": content, **more, **({"tool_calls": list(calls)} if calls else {})}


def result(number: int, text: str) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": f"abcdefg{number:02}", "content": text}


def attempts(parallel: bool = True) -> list[dict[str, Any]]:
    """Lines of a log: the first calls diverge, the last answers too; ids differ from attempt to attempt."""
    rows = []
    for task in ("Rome", "Oslo"):
        asked = [{"role": "system", "content": "You help."}, {"role": "user", "content": f"Weather in {task}?"}]
        for n, (city, answer, score) in enumerate(
            [(task, "Sun today.", 1.0), (task, "Rain today.", 0.0), ("Paris", "Wind today.", 0.0), (task, "Sun today.", 1.0)]
        ):
            first, second = 10 * n, 10 * n + 1
            looks = [call(first, "look", city=city)] + ([call(second, "report", city=city)] if parallel and n == 2 else [])
            results = [result(first, f"{city}: 20 degrees")] + ([result(second, "reported")] if len(looks) > 1 else [])
            messages = [*asked, says("" if n else None, *looks), *results, says(answer)]
            rows.append({"messages": messages, "tools": TOOLS, "task_id": task, "score": score, "id": f"{task}-{n}"})
    return rows


def write_log(folder: Path, parallel: bool = True) -> Path:
    path = folder / "chats.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in attempts(parallel)), encoding="utf-8")
    return path
