"""What coding agents print while they work without a terminal, one JSON object per line or one list of them.

`claude -p`, `qwen -p`, `cursor-agent -p` and `gemini -p` with `--output-format stream-json`, `codex exec --json`, `opencode run --format
json`. Subagents are rollouts of their own. Some programs do not print what they were asked: such a run is a task of its own.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tratree_data.importers import log_records
from tratree_data.importers.files.log_files import READ_ERRORS, LogFile, json_lines, json_records
from tratree_data.importers.log_records import Options, Problem, Record, Unusable
from tratree_data.importers.sessions.session import Session, parsed, usage_sum
from tratree_data.importers.sessions.stream_events import Line, Said, is_beginning, program, said_in, session_id
from tratree_data.importers.turns.chat import Message
from tratree_data.importers.turns.dialects import read_messages

PROGRESS = ("stream_event", "turn.started", "item.started", "item.updated", "step_start", "step_finish", "keep_alive")
PROGRESS_OF_SYSTEM = ("thinking_tokens", "status", "task_progress", "task_started", "task_updated", "task_notification")
"""Lines that repeat what other lines say, or count."""
LONGEST_BLANK = 1_000
LINES_BEFORE = 50
"""Other output may come first, where both streams were kept in one file."""
ENDS = {"error_max_turns": "max_steps", "error_during_execution": "agent_error"}
INPUTS = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")


@dataclass(slots=True)
class Thread:
    """A conversation in the order in which it was printed: the agent's own, or a subagent's."""

    said: list[Said] = field(default_factory=list)
    answers: dict[str, Said] = field(default_factory=dict)
    calls: set[str] = field(default_factory=set)

    def add(self, part: Said) -> None:
        part.blocks = [block for block in part.blocks if self._is_new(block)]
        if not part.blocks:
            return
        answer = self._answer(part) if part.role == "assistant" else None
        if answer is None:
            self.said.append(part)
            if part.role == "assistant" and part.answer:
                self.answers[part.answer] = part
        elif part.is_delta and answer.blocks[-1].get("type") == "text":
            answer.blocks[-1] = answer.blocks[-1] | {"text": answer.blocks[-1]["text"] + part.blocks[0]["text"]}
        else:
            answer.blocks += part.blocks
            answer.about |= part.about

    def _is_new(self, block: Any) -> bool:
        """A call is printed when it starts and again when it ends."""
        if not isinstance(block, dict) or block.get("type") != "tool_use":
            return True
        name = str(block.get("id"))
        is_new = name not in self.calls
        self.calls.add(name)
        return is_new

    def _answer(self, part: Said) -> Said | None:
        """The message that the part continues: the one with its id, else the one before it."""
        if part.answer in self.answers:
            return self.answers[part.answer]
        last = self.said[-1] if self.said else None
        return last if last is not None and last.role == "assistant" and not (last.answer and part.answer) else None


@dataclass(slots=True)
class Run:
    """One run of a program, or several under one session."""

    where: str
    agent: str
    facts: Line
    threads: dict[str, Thread] = field(default_factory=dict)
    ends: list[Line] = field(default_factory=list)
    events: list[Line] = field(default_factory=list)

    def add(self, line: Line) -> None:
        kind = line.get("type")
        parts = list(said_in(line))
        for part in parts:
            if self.agent == "qwen-code":
                part.answer = ""  # each block has an id of its own there
            self.threads.setdefault(part.thread, Thread()).add(part)
        if kind in ("tool_call", "tool_use") and self.agent == "agent":
            self.agent = "cursor" if "tool_call" in line else "droid"
        if kind in ("result", "turn.completed", "turn.failed", "completion"):
            self.ends.append({key: value for key, value in line.items() if key not in ("type", "result", "finalText", "session_id")})
        elif not parts and kind not in PROGRESS and not (kind == "system" and line.get("subtype") in PROGRESS_OF_SYSTEM):
            self.events.append(line)

    def sessions(self, name: str) -> Iterator[Session]:
        for thread, content in self.threads.items():
            session = Session(self.agent, name, _messages(content), project=str(self.facts.get("cwd") or ""), branch=thread)
            models = (part.about.get("model") for part in content.said if part.role == "assistant")
            found = next((model for model in models if isinstance(model, str)), self.facts.get("model"))
            session.model = found if isinstance(found, str) else None
            if not thread:
                self._add_end(session)
            yield session

    def _add_end(self, session: Session) -> None:
        facts = {key: value for key, value in self.facts.items() if key not in ("type", "subtype", "cwd", "model", "uuid", "part")}
        session.metadata = facts | ({"results": self.ends} if self.ends else {}) | ({"events": self.events} if self.events else {})
        usages = [usage for end in self.ends if isinstance(usage := end.get("usage") or end.get("stats"), dict)]
        session.prompt_tokens, session.completion_tokens = usage_sum(usages, INPUTS), usage_sum(usages, ("output_tokens",))
        if self.ends:
            last = self.ends[-1]
            failed = last.get("is_error") is True or last.get("status") == "error" or "error" in last
            session.end_reason = ENDS.get(str(last.get("subtype")), "agent_error" if failed else "done")


def read(file: LogFile, options: Options) -> Iterator[Record | Problem]:
    runs: dict[str, Run] = {}
    waiting: list[Problem] = []
    current = ""
    for where, line in json_records(file) if _is_list(file) else json_lines(file):
        if isinstance(line, Problem):
            waiting.append(line)
        elif isinstance(line, dict):
            if is_beginning(line):
                current = session_id(line)
                runs.setdefault(current, Run(where, program(line), line))
            if current:
                try:
                    runs[current].add(line)
                except Unusable as refusal:
                    waiting.append(Problem(where, refusal.reason, refusal.detail))
        else:
            waiting.append(Problem(where, "wrong_type", f"the line is {log_records.kind(line)}, but must be an object"))
        if not current and (int(where.rpartition(":")[2].partition("[")[0]) > LINES_BEFORE):
            break
    if not runs:
        yield Problem(f"{file.name}:1", "other_format", "the file's beginning has no line that a coding agent begins its output with")
        return
    yield from waiting
    for name, run in runs.items():
        try:
            sessions = list(run.sessions(name))
        except Unusable as refusal:
            yield Problem(run.where, refusal.reason, refusal.detail)
            continue
        for session in sessions:
            yield from parsed(run.where, session, options)
        if not sessions:
            yield Problem(run.where, "empty_steps", "the run has no action of the agent")


def _is_list(file: LogFile) -> bool:
    try:
        with file.open() as handle:
            return handle.read(LONGEST_BLANK).lstrip()[:1] == b"["
    except (Unusable, *READ_ERRORS):
        return False


def _messages(thread: Thread) -> list[Message]:
    messages: list[Message] = []
    for part in thread.said:
        content: Any = part.blocks
        if part.role == "assistant" and len(part.blocks) == 1 and log_records.at(part.blocks[0], "type") == "text":
            content = log_records.optional_text(part.blocks[0].get("text"), "text")
        said = read_messages({"role": part.role, "content": content}, "message")
        if part.role == "assistant" and not any(log_records.at(block, "type") == "text" for block in part.blocks):
            said[0]["content"] = said[0]["content"] or None
        if said and part.about:
            said[0]["metadata"] = part.about | said[0].get("metadata", {})
        messages += said
    return messages
