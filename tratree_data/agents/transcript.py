"""Replays recorded actions: one JSON object per line, {"task_id": …, "attempt": 0, "steps": [{"thought": …, "action": …}]}.

`attempt` may be left out if a task has only one transcript; attempts beyond those in the file have nothing to replay and are dropped.
"""

import json
from pathlib import Path
from typing import Any

from tratree_data.agents import Request, Response
from tratree_data.environments import Environment
from tratree_data.errors import BadInputError
from tratree_data.messages import answer

Actions = list[tuple[str, str]]
"""(thought, action) of each step."""


def replayed(actions: Actions, request: Request) -> Response:
    """The next action; the agent stops when none is left."""
    if len(request.history) >= len(actions):
        return Response("", "", "", stop_reason="agent_stopped")
    thought, action = actions[len(request.history)]
    return Response(answer(thought, action), thought, action)


class TranscriptAgent:
    name = "transcript"
    batched = False
    computed = True
    wants_actions = False

    def __init__(self, file: str, model: str | None = None) -> None:
        self.model = model
        self.transcripts = read_transcripts(Path(file))

    def begin(self, environment: Environment, task_id: str, attempt: int) -> tuple[str, str] | None:
        """A reason not to play, and its detail."""
        if (task_id, attempt) in self.transcripts:
            return None
        return "no_transcript", f"the file has no attempt {attempt} at {task_id}"

    def act(self, requests: list[Request]) -> list[Response]:
        return [replayed(self.transcripts[request.task_id, request.attempt], request) for request in requests]

    def close(self) -> None:
        pass


def read_transcripts(path: Path) -> dict[tuple[str, int], Actions]:
    """(task, attempt) → its steps."""
    if not path.is_file():
        raise BadInputError(f"The transcript {path} does not exist.\nNext: --agent transcript:file=PATH")
    transcripts: dict[tuple[str, int], Actions] = {}
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                record: dict[str, Any] = json.loads(line)
                key = (str(record["task_id"]), int(record.get("attempt", 0)))
                actions = [(str(step.get("thought") or ""), str(step["action"])) for step in record["steps"]]
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise BadInputError(
                    f"{path}, line {number} is not a transcript: {type(error).__name__} {error}.\n"
                    'Next: write {"task_id": "…", "attempt": 0, "steps": [{"thought": "…", "action": "…"}]}'
                ) from error
            if key in transcripts:
                raise BadInputError(f"{path}, line {number}: attempt {key[1]} at {key[0]} occurs twice.\nNext: number the attempts")
            transcripts[key] = actions
    return transcripts
