"""SWE-agent's `*.traj` and mini-swe-agent's `*.traj.json`: one run a file.

SWE-agent lists its steps under "trajectory", each with the observation that came AFTER its action; what the agent saw first is the last
message of its first query, or of "history" before it acted. Demonstrations (`is_demo`) were shown to the agent and are not its own actions.
A hand-made demonstration is a "history" alone. mini-swe-agent writes a conversation ("messages") whose `extra` holds the commands. Where
the model called tools, the history or conversation is read as it is (sweagent_calls.py); attempts that SWE-agent refused are in the
trajectory only, and are metadata.
"""

import json
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any

from tratree_data.importers import log_records
from tratree_data.importers.files.log_files import LogFile, is_one_object, json_members, json_records
from tratree_data.importers.files.packed_files import plain_name
from tratree_data.importers.log_records import Item, LogStep, Options, Problem, Record, Unusable
from tratree_data.importers.readers.sweagent_calls import NamedMessage, has_calls, messages_with_calls
from tratree_data.importers.readers.swebench import reported_score
from tratree_data.importers.turns import conversations
from tratree_data.importers.turns.chat import first_request, record_of_chat
from tratree_data.importers.turns.conversations import Turn

MARKS = {"info", "history", "environment"}
ENDINGS = (".traj", ".traj.json")
LISTS = ("trajectory", "history", "messages", "attempts")
LARGE = ("query", "messages", "state")
"""Keys that every step repeats; only the query of the first is needed."""
MINI = "mini-swe-agent"
MOST_FIELDS = 1_000
FENCES = (
    ("```mswea_bash_command\n", "\n```"),
    ("```bash\n", "\n```"),
    ("<mswea_bash_command>", "</mswea_bash_command>"),
    ("<bash_code>", "</bash_code>"),
)
TASK_TEXTS = (("<pr_description>", "</pr_description>"), ("ISSUE:\n", "\nINSTRUCTIONS:"))
PREAMBLE = "Consider the following PR description:"
END_REASONS = {
    "context": "context_overflow",
    "cost": "max_steps",
    "ratelimit": "server_unavailable",
    "limit": "max_steps",
    "format": "invalid_actions",
    "timeout": "time_out",
    "timeexceeded": "time_out",
    "execution_time": "time_out",
    "environment": "environment_error",
    "api": "server_unavailable",
    "error": "agent_error",
    "forfeit": "agent_stopped",
    "submitted": "done",
}
"""By a part of the exit status; 'submitted (exit_cost)' means that the budget ran out before the submission."""


def read(file: LogFile, options: Options) -> Iterator[Record | Problem]:
    return log_records.each(_runs(file), lambda where, value: _parse(file, options, where, value))


def _runs(file: LogFile) -> Iterator[Item]:
    """Reads a file of one run step by step: with the queries it is often far larger than a record may be."""
    if not is_one_object(file):
        yield from json_records(file)
        return
    run: dict[str, Any] = {}
    for where, item in json_members(file, inside=LISTS):
        if isinstance(item, Problem):
            yield where, item
            return
        key, value = item
        if key in LISTS:
            seen = run.setdefault(key, [])
            large = LARGE if key == "trajectory" and seen else ()
            seen.append({name: part for name, part in value.items() if name not in large} if isinstance(value, dict) else value)
        elif key in run:
            yield where, log_records.repeated_key(where, key)
            return
        elif len(run) < MOST_FIELDS:
            run[key] = value
    yield f"{file.name}:1", run


def _parse(file: LogFile, options: Options, where: str, value: Any) -> Record:
    run = log_records.mapping(value, "the run")
    info = log_records.mapping(run.get("info") or {}, "info")
    mini = log_records.optional_text(run.get("trajectory_format"), "trajectory_format").startswith(MINI)
    if not (mini or run.keys() & MARKS or plain_name(file.path.name).endswith(ENDINGS)):
        raise Unusable("other_format", f"the run has none of {', '.join(sorted(MARKS))}, which SWE-agent writes")
    spoken = _messages(run, "messages" if mini else "history")
    settings = _settings(run)
    task = _task(file, run, settings)
    score = reported_score(file, task)
    facts: dict[str, Any] = {
        "source": where,
        "environment": options.environment,
        "task_id": task,
        "agent": MINI if mini else "swe-agent",
        "model": _text_at(info, "config", "model", "model_name") or _text_at(settings, "agent", "model", "name") or None,
        "reward": score,
        "success": None if score is None else score == 1,
        "end_reason": _end_reason(log_records.optional_text(info.get("exit_status"), "exit_status")),
        "prompt_tokens": log_records.count(log_records.at(info, "model_stats", "tokens_sent"), "tokens_sent"),
        "completion_tokens": log_records.count(log_records.at(info, "model_stats", "tokens_received"), "tokens_received"),
        "metadata": {key: value for key, value in info.items() if value not in (None, "")},
    }
    asked = _text_at(settings, "problem_statement", "text").strip()
    if has_calls(message for _, message in spoken):
        messages = messages_with_calls(spoken, _last_observation(run))
        facts["metadata"] |= _not_in_history(run, spoken)
        return record_of_chat(messages, react=False, instruction=asked or asked_in(first_request(messages)), **facts)
    happened = _conversation(spoken) if mini or not run.get("trajectory") else _trajectory(run, spoken)
    steps, end_observation = conversations.alternate(happened)
    return Record(
        prompt="\n\n".join(_content(message, name) for name, message in spoken if message.get("role") == "system"),
        instruction=asked or asked_in(steps[0].observation),
        steps=steps,
        end_observation=end_observation,
        **facts,
    )


def _not_in_history(run: dict[str, Any], spoken: list[NamedMessage]) -> dict[str, Any]:
    """Steps of the trajectory that the history lacks: answers that were refused, and SWE-agent's own note on why it stops."""
    kept = [(message.get("thought"), message.get("action")) for _, message in spoken if message.get("role") == "assistant"]
    steps = run.get("trajectory")
    all_steps = [step for step in steps if isinstance(step, dict)] if isinstance(steps, list) else []
    left = [step for step in all_steps if (step.get("thought"), step.get("action")) not in kept]
    return {"not_in_history": [{key: value for key, value in step.items() if key not in LARGE} for step in left]} if left else {}


def _last_observation(run: dict[str, Any]) -> str:
    """What came after SWE-agent's last step, which its history may lack."""
    steps = run.get("trajectory")
    found = log_records.at(steps[-1], "observation") if isinstance(steps, list) and steps else None
    return found if isinstance(found, str) else ""


def _messages(run: dict[str, Any], key: str) -> list[NamedMessage]:
    """The messages without demonstrations, each with its name for error messages."""
    log = log_records.items_of(run.get(key) or [], key)
    named = [(f"{key}[{i}]", log_records.mapping(message, f"{key}[{i}]")) for i, message in enumerate(log)]
    if not run.get("trajectory") and key == "history" and not any("agent" in message for _, message in named):
        raise Unusable("missing_field", "no 'trajectory', 'history' or 'messages' of SWE-agent")
    if named and all(message.get("is_demo") for _, message in named):
        raise Unusable("only_examples", f"{key} contains demonstrations only")
    return [(name, message) for name, message in named if not message.get("is_demo")]


def _trajectory(run: dict[str, Any], spoken: list[NamedMessage]) -> Iterator[LogStep | str]:
    """The steps of an agent. Those without any answer are SWE-agent's own note on why it stops."""
    log = [log_records.mapping(step, f"trajectory[{i}]") for i, step in enumerate(log_records.items_of(run["trajectory"], "trajectory"))]
    query = log_records.items_of(log[0].get("query") or log[0].get("messages") or [], "query")
    asked = [(f"query[{i}]", log_records.mapping(message, f"query[{i}]")) for i, message in enumerate(query)]
    yield _opening(asked) or _opening(spoken)
    for i, step in enumerate(log):
        name = f"trajectory[{i}]"
        action = log_records.optional_text(log_records.need(step, "action", f"{name}.action"), f"{name}.action").strip()
        response = log_records.optional_text(step.get("response"), f"{name}.response")
        if action or response.strip():
            thought = log_records.optional_text(step.get("thought"), f"{name}.thought").strip()
            yield LogStep("", thought, action, response if action in response else None)
        yield log_records.optional_text(log_records.need(step, "observation", f"{name}.observation"), f"{name}.observation")


def _opening(messages: list[NamedMessage]) -> str:
    """The last message to the agent before it acted."""
    opening = ""
    for name, message in messages:
        if message.get("role") == "assistant" and not message.get("is_demo"):
            break
        if message.get("role") in ("user", "tool") and not message.get("is_demo"):
            opening = _content(message, name)
    return opening


def _conversation(messages: Iterable[NamedMessage]) -> Iterator[LogStep | str]:
    for name, message in messages:
        if message.get("role") == "exit":
            yield _content(message, name)
        else:
            turn = conversations.read_turn(message, name)
            if turn.role == "assistant":
                yield _step(message, turn, name)
            elif turn.role == "user":
                yield turn.content


def _step(message: dict[str, Any], turn: Turn, name: str) -> LogStep:
    """The commands in an answer: as the log lists them, or as the one fenced block of a text."""
    extra = log_records.mapping(message.get("extra") or {}, f"{name}.extra")
    commands = [
        _command(action, f"{name}.extra.actions") for action in log_records.items_of(extra.get("actions") or [], f"{name}.extra.actions")
    ]
    said: Any
    said, block = _fenced(turn.content)
    if "action" in message:  # SWE-agent's history
        commands, said = [log_records.optional_text(message["action"], f"{name}.action").strip()], message.get("thought")
    elif not commands:
        commands = [block]
    spoken = (turn.thought, log_records.optional_text(said, f"{name}.thought").strip().removeprefix("THOUGHT:").strip())
    action = "\n".join(commands)
    return LogStep("", "\n".join(part for part in spoken if part), action, turn.content if action in turn.content else None)


def _command(action: Any, name: str) -> str:
    return action if isinstance(action, str) else log_records.text(log_records.mapping(action, name).get("command"), f"{name}.command")


def _fenced(content: str) -> tuple[str, str]:
    """The text before the single block of commands, and the block; without exactly one block the whole answer is the action."""
    for start, end in FENCES:
        said, mark, rest = content.partition(start)
        block, closed, after = rest.partition(end)
        if mark and closed and start not in after:
            return said, block.strip()
    return "", content.strip()


def _content(message: dict[str, Any], name: str) -> str:
    return conversations.content_text(message.get("content"), f"{name}.content")


def _settings(run: dict[str, Any]) -> dict[str, Any]:
    """The settings with which SWE-agent was started: an object, or its JSON."""
    settings = run.get("replay_config")
    if isinstance(settings, str):
        with suppress(ValueError, RecursionError):
            settings = json.loads(settings)
    return settings if isinstance(settings, dict) else {}


def _task(file: LogFile, run: dict[str, Any], settings: dict[str, Any]) -> str:
    for named in (run.get("instance_id"), log_records.at(settings, "problem_statement", "id")):
        if named is not None:
            return log_records.identifier(named, "instance_id")
    name = plain_name(file.path.name)
    return next((name.removesuffix(ending) for ending in reversed(ENDINGS) if name.endswith(ending)), file.stem)


def asked_in(opening: str) -> str:
    """The issue itself, if the first message frames it in a known way; else the whole message."""
    for start, end in TASK_TEXTS:
        _, found, rest = opening.partition(start)
        issue, closed, _ = rest.partition(end)
        if found and closed:
            return issue.strip().removeprefix(PREAMBLE).strip()
    return opening.strip()


def _end_reason(status: str) -> str:
    return next((reason for word, reason in END_REASONS.items() if word in status.lower()), "unknown")


def _text_at(entry: Any, *keys: str) -> str:
    found = log_records.at(entry, *keys)
    return found if isinstance(found, str) else ""
