"""What accompanies the conversations of an unknown log: the task, the run, the model and more, recognised by their names."""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any

from tratree_data.importers.unknown.conversation_places import DEEPEST, UNSPEAKABLE, request_in
from tratree_data.importers.unknown.histories import instruction_text
from tratree_data.importers.unknown.json_columns import ABSENT, MEMBERS, Path, path_text, unpacked

Names = dict[str, list[Any]]
"""By path, the value of each row."""
TASKS = (
    "task_id", "taskid", "instance_id", "problem_id", "question_id", "example_id", "scenario_id", "case_id", "test_id", "prompt_id",
    "item_id", "sample_id", "task_name", "task", "problem", "instance", "scenario", "question", "example",
)  # fmt: skip
TASK_OWNERS = ("task", "problem", "instance", "question", "example", "scenario", "case", "item", "sample")
RUNS = (
    "trajectory_id", "traj_id", "run_id", "rollout_id", "episode_id", "trial_id", "attempt_id", "session_id", "conversation_id", "chat_id",
    "thread_id", "trace_id", "dialogue_id", "dialog_id", "uuid", "uid", "attempt", "trial", "trial_num", "epoch", "sample_idx", "seed",
    "session", "conversation", "thread", "dialogue", "dialog", "chat", "trajectory", "traj", "rollout", "episode", "run",
)  # fmt: skip
MODELS = ("model", "model_name", "model_id", "model_name_or_path", "agent_model", "policy_model", "llm", "llm_model", "engine")
NOT_THE_AGENT = {"judge", "grader", "evaluator", "critic", "simulator", "user", "user_simulator", "verifier", "reward_model"}
ENVIRONMENTS = ("environment", "env", "env_name", "env_id", "benchmark", "dataset", "data_source", "domain")
PROMPTS = ("system", "system_prompt", "system_message", "system_instruction", "instructions")
TOOLS = ("tools", "functions", "available_tools", "tool_definitions", "tool_schemas")
SCORE_LISTS = ("feedback_scores", "scores")
LONGEST_NAME = 200


def facts_of(rows: list[list[Any]], best: Path, prefix: Path) -> Names:
    """The values at every path beside the messages, row by row (ABSENT where there is none)."""
    found: dict[Path, list[Any]] = {}
    on_the_way = {id(inner) for seen in rows for inner in seen}
    outer: dict[tuple[int, int], list[tuple[Path, Any]]] = {}
    for number, seen in enumerate(rows):
        for place, inner in enumerate(seen):
            if (place, id(inner)) not in outer:
                leaves = leaves_of(inner, prefix[:place], best[place : place + 1], place == len(prefix), on_the_way)
                outer[place, id(inner)] = list(leaves)
            for path, value in outer[place, id(inner)]:
                if path not in found:
                    found[path] = [ABSENT] * len(rows)
                found[path][number] = value
    return {path_text(path): values for path, values in found.items()}


def leaves_of(
    value: Any, path: Path, branch: Path, is_row: bool, on_the_way: Collection[int] = (), depth: int = 0
) -> Iterator[tuple[Path, Any]]:
    """Everything in an object and the objects inside it, but for lists of objects, and for objects that a row is in."""
    value = unpacked(value) if depth < DEEPEST else None
    if not isinstance(value, dict):
        return
    for name, item in value.items():
        if not name or UNSPEAKABLE & set(name) or (depth == 0 and not is_row and (name,) == branch):
            continue
        inner = unpacked(item)
        if depth == 0 and isinstance(inner, dict) and id(inner) in on_the_way:
            continue
        if isinstance(inner, dict) and depth < 4:
            yield from leaves_of(inner, (*path, name), branch, is_row, on_the_way, depth + 1)
        if name in SCORE_LISTS and isinstance(inner, list) and len(inner) == 1 and isinstance(inner[0], dict) and "value" in inner[0]:
            yield (*path, name, "[0]", "value"), inner[0]["value"]
        if (isinstance(inner, dict | list) and snake(name) in (*TOOLS, *PROMPTS)) or not isinstance(inner, dict | list):
            yield (*path, name), inner


def snake(name: str) -> str:
    spelled = "".join(f"_{letter.lower()}" if letter.isupper() and not name.isupper() else letter.lower() for letter in name)
    return spelled.strip("_ ").replace("-", "_").replace(" ", "_").replace("__", "_")


def names_in(path: str) -> list[str]:
    """The names on the way, without marks of rows."""
    return [snake(part) for part in path.replace("[]", "").replace("[-1]", "").split(".") if part not in ("", MEMBERS)]


def columns_beside(facts: Names, histories: list[Any], messages: str) -> dict[str, str]:
    """Our columns and the paths to them, of conversations at the path `messages`."""
    task = _task(facts, list(map(request_in, histories)), messages)
    runs = ((name, path) for name in RUNS for path in facts if names_in(path)[-1:] == [name] and path != task)
    run = next((path for _, path in runs if _tells_apart(facts, path, task)), "")
    others = {
        "model": nearest(facts, MODELS, is_name, has_name_inside=True), "env": nearest(facts, ENVIRONMENTS, is_name),
        "prompt": nearest(facts, PROMPTS, lambda value: bool(instruction_text(value))),
        "tools": nearest(facts, TOOLS, lambda value: isinstance(value, list)),
    }  # fmt: skip
    return {ours: path for ours, path in ({"task_id": task, "trajectory_id": run} | others).items() if path}


def is_name(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value.strip()) <= LONGEST_NAME and "\n" not in value


def nearest(facts: Names, names: Iterable[str], fits: Callable[[Any], bool], has_name_inside: bool = False) -> str:
    """The topmost path with such a name; '' if two different ones are equally near."""
    found = []
    for path, values in facts.items():
        on_the_way = names_in(path)
        last = on_the_way[-1] if on_the_way else ""
        is_owned = has_name_inside and last in ("name", "id") and on_the_way[-2:-1] and on_the_way[-2] in names
        if (last in names or is_owned) and not NOT_THE_AGENT & {word for name in on_the_way for word in (name, name.split("_")[0])}:
            present = [value for value in values if value is not ABSENT and value is not None]
            if present and all(map(fits, present)):
                found.append((len(on_the_way), path, present))
    found.sort(key=lambda item: (item[0], item[1]))
    clash = [other for other in found[1:] if other[0] == found[0][0] and other[2] != found[0][2]]
    return found[0][1] if found and not clash else ""


def _task(facts: Names, requests: list[str], messages: str) -> str:
    """The task's own id, else the record's id if attempts at one request share it."""
    for name in TASKS:
        for path, values in sorted(facts.items(), key=lambda item: (len(names_in(item[0])), item[0])):
            on_the_way = names_in(path)
            is_owned = on_the_way[-1:] in (["id"], ["name"], ["uid"]) and on_the_way[-2:-1] == [name] and name in TASK_OWNERS
            if (on_the_way[-1:] == [name] or is_owned) and all(map(is_id, values)):
                return path
    if messages.startswith(f"{MEMBERS}.") or f".{MEMBERS}." in messages or messages == MEMBERS:
        return messages[: messages.index(MEMBERS) + 1]
    for path, values in facts.items():
        if names_in(path) in (["id"], ["uid"], ["idx"], ["index"], ["name"]) or names_in(path)[-1:] in (["id"], ["uid"]):
            row = len(names_in(path)) == len(names_in(rows_text(messages))) + 1
            if row and all(map(is_id, values)) and len(set(map(str, values))) > 1 and _is_finer(requests, values):
                return path
    return ""


def rows_text(path: str) -> str:
    """The part of a path that leads to the rows."""
    end = max(path.rfind("[]") + 2 if "[]" in path else 0, path.rfind(MEMBERS) + 1)
    return path[:end]


def _is_finer(requests: list[str], values: list[Any]) -> bool:
    """Whether equal requests have one id, so that the id is the task's."""
    of_request: dict[str, set[str]] = defaultdict(set)
    for request, value in zip(requests, values, strict=False):
        of_request[request].add(str(value))
    return len(requests) == len(values) and all(len(ids) == 1 for ids in of_request.values())


def is_id(value: Any) -> bool:
    return (isinstance(value, int) and not isinstance(value, bool)) or is_name(value)


def _tells_apart(facts: Names, path: str, task: str) -> bool:
    """Whether no two rows have the same id, or the same within their task."""
    values = facts[path]
    tasks = facts[task] if task in facts else [""] * len(values)
    return all(map(is_id, values)) and len(set(zip(map(str, values), map(str, tasks), strict=True))) == len(values) > 0
