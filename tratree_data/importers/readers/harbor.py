"""Harbor's job folders: a job holds trials, and a trial `result.json` and what its agent did, in ATIF.

A trial's trajectory is `agent/trajectory.json`; trials with several steps or attempts have such a folder for each. Beside it are the
continuations of a conversation that was summarised, and subagents. Files that an agent leaves in its folders are not Harbor's results.
"""

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from tratree_data.importers import log_records
from tratree_data.importers.files.json_stream import MAX_RECORD_BYTES
from tratree_data.importers.files.log_files import LogFile, json_records
from tratree_data.importers.log_records import Options, Problem, Record, Unusable
from tratree_data.importers.readers import atif
from tratree_data.importers.turns.dialects import bytes_placeholder

RESULT = "result.json"
ENDINGS = (RESULT,)
TRIAL = ("task_name", "trial_name", "agent_info", "task_id", "task_checksum")
JOB = ("id", "n_total_trials", "stats")
ENVIRONMENT = "harbor"
DEEPEST = 6
"""The most folders between an agent's file and its trial."""
FEW = 6
EXCEPTIONS = (
    ("time_out", "AgentTimeout"), ("context_overflow", "ContextWindow|ContextLength|OutputToken|OutputLength"),
    ("unknown", "Cancelled"),
    ("environment_error", "Environment|Sandbox|Setup|Healthcheck|Memory|SSH|GKE|RuntimeRequest|AddTests|Download|Verifier|RewardFile"),
    ("server_unavailable", "A[pP][iI]|RateLimit|InternalServer|ServiceUnavailable|NetworkConnection|^Timeout$|Authentication"),
)  # fmt: skip
"""Harbor's exceptions by what went wrong; every other is the agent's."""
KEPT = (
    "trial_name", "source", "task_id", "task_checksum", "agent_info", "verifier_result", "exception_info", "started_at", "finished_at",
)  # fmt: skip
"""The trial's config is not kept, as it may hold keys."""
CONTINUED = "trajectory.cont-"
JSON = dict[str, Any]


@dataclass(frozen=True)
class Place:
    """A folder of the agent, and what is known about its attempt."""

    folder: Path
    name: str
    task: str
    result: JSON
    """With verifier_result, agent_result and exception_info."""


def read(file: LogFile, options: Options) -> Iterator[Record | Problem]:
    where = f"{file.name}:1"
    place, value = next(json_records(file), (where, None))
    if isinstance(value, Problem):
        yield Problem(where, "other_format", value.detail)
    elif place == where and is_job(value):
        yield from _left_out(file)
    elif place != where or not isinstance(value, dict) or not is_trial(value):
        yield Problem(where, "other_format", f"there is no {', '.join(TRIAL)}, as in a trial of Harbor")
    elif file.path.is_symlink():
        yield _link(where, RESULT)
    elif not _is_inside_a_trial(file.path):
        yield from _trial(file, value, options)


def is_trial(value: Any) -> bool:
    return isinstance(value, dict) and all(key in value for key in TRIAL) and all(isinstance(value[key], str) for key in TRIAL[:2])


def is_job(value: Any) -> bool:
    return isinstance(value, dict) and all(key in value for key in JOB) and isinstance(value["stats"], dict)


def job_files(files: Sequence[LogFile]) -> list[LogFile]:
    """The files in folders of jobs and trials, if one of the first results among them is Harbor's."""
    results = [file.path for file in files if file.path.name == RESULT]
    if not any(is_trial(value) or is_job(value) for value in map(_object, results[:FEW])):
        return []
    folders = {path.parent for path in results}
    return [file for file in files if not folders.isdisjoint(file.path.parents)]


def _object(path: Path) -> Any:
    with suppress(OSError, ValueError, RecursionError):
        if path.is_file() and not path.is_symlink() and path.stat().st_size <= MAX_RECORD_BYTES:
            return json.loads(path.read_bytes())
    return None


def _is_inside_a_trial(path: Path) -> bool:
    """Whether an agent or a verifier left this result; a trial's attempts have separate results."""
    above = list(path.parents)[1 : DEEPEST + 1]
    if path.parent.parent.name == "attempts":
        above = above[2:]
    return any(is_trial(_object(folder / RESULT)) for folder in above)


def _left_out(file: LogFile) -> Iterator[Problem]:
    """The job's folders that are not trials: links, and trials that were stopped before they had a result."""
    for folder in sorted(file.path.parent.iterdir()):
        where = f"{file.name}:1[{folder.name}]"
        if folder.is_symlink():
            yield _link(where, folder.name)
        elif (folder / "config.json").is_file() and not (folder / RESULT).exists():
            yield Problem(where, "no_result", f"the trial {folder.name!r:.80} has no {RESULT}: it was stopped, or is still running")


def _is_linked(path: Path, folder: Path) -> bool:
    """Whether the path leads through a link on its way from the folder."""
    return any(part.is_symlink() for part in (path, *path.parents) if part != folder and part.is_relative_to(folder))


def _link(where: str, name: str) -> Problem:
    return Problem(where, "symbolic_link", f"{name!r:.80} is a symbolic link, which is not followed")


def _trial(file: LogFile, trial: JSON, options: Options) -> Iterator[Record | Problem]:
    found = False
    for place in _places(file.path.parent, trial):
        for path in sorted(place.folder.glob("trajectory*.json"), key=lambda path: (path.name != "trajectory.json", path.name)):
            inside = path.relative_to(file.path.parent).as_posix()
            where = f"{file.name}:1[{inside}]"
            found = True
            if _is_linked(path, file.path.parent):
                yield _link(where, inside)
            else:
                yield from _records(where, path, place, trial, options)
    if not found:
        agent = log_records.at(trial, "agent_info", "name")
        ended = log_records.at(trial, "exception_info", "exception_type")
        why = f" (it ended with {ended})" if ended else ""
        detail = f"the trial {trial['trial_name']!r:.80} has no agent/trajectory.json{why}; the agent {agent!r:.40} did not write one"
        yield Problem(f"{file.name}:1", "no_trajectory", detail)


def _places(folder: Path, trial: JSON) -> Iterator[Place]:
    yield Place(folder / "agent", "", "", trial)
    for step in trial["step_results"] if isinstance(trial.get("step_results"), list) else ():
        name = log_records.at(step, "step_name")
        if isinstance(name, str) and name and "/" not in name and name not in (".", ".."):
            yield Place(folder / "steps" / name / "agent", name, f"/{name}", step)
    attempts = sorted((folder / "attempts").glob("*")) if (folder / "attempts").is_dir() else []
    for attempt in attempts:
        if not (attempt / RESULT).is_file():
            is_last = attempt == attempts[-1] and not (folder / "agent" / "trajectory.json").exists()
            rewards = _rewards_beside(attempt / "verifier")
            own = {"verifier_result": {"rewards": rewards}} if rewards else {}
            yield Place(attempt / "agent", f"attempts/{attempt.name}", "", trial | own if is_last else own)


def _rewards_beside(folder: Path) -> Any:
    """The verifier's reward: `reward.json`, or a number in `reward.txt`."""
    rewards = _object(folder / "reward.json")
    text = _object(folder / "reward.txt")
    return rewards if isinstance(rewards, dict) else {"reward": text} if isinstance(text, int | float) else None


def _records(where: str, path: Path, place: Place, trial: JSON, options: Options) -> Iterator[Record | Problem]:
    """The trajectory in a file, and those of subagents inside it."""
    named = replace(options, environment=options.environment or _text(trial.get("source")) or ENVIRONMENT)
    is_part = path.name == "trajectory.json" or path.name.startswith(CONTINUED)
    for _, value in json_records(LogFile(path, where)):
        if isinstance(value, Problem):
            yield Problem(where, value.reason, value.detail)
            continue
        _name_images(value, path.parent)
        for number, item in enumerate(atif.records(named, where, value)):
            try:
                if isinstance(item, Record):
                    _describe(item, place, trial, is_part and number == 0, _suffix(place, path, item, number))
                yield item
            except Unusable as refusal:
                yield Problem(where, refusal.reason, refusal.detail)


def _suffix(place: Place, path: Path, record: Record, number: int) -> str:
    """Which of a trial's trajectories it is; '' of the first."""
    part = path.name.removeprefix("trajectory").removesuffix(".json").lstrip(".")
    return "/".join(text for text in (place.name, part, record.trajectory_id if number else "") if text)


def _describe(record: Record, place: Place, trial: JSON, is_attempt: bool, suffix: str) -> None:
    """What the trial says about it. Subagents have tasks of their own, and no reward."""
    agent = log_records.mapping(trial["agent_info"], "agent_info")
    exception = log_records.at(place.result, "exception_info")
    own = {"trajectory_id": record.trajectory_id} if record.trajectory_id else {}
    record.trajectory_id = "/".join(part for part in (str(trial.get("id") or trial["trial_name"]), suffix) if part)
    record.metadata |= own | {key: trial[key] for key in KEPT if trial.get(key) is not None}
    record.metadata |= {key: place.result[key] for key in ("verifier_result", "exception_info") if place.result.get(key) is not None}
    if not is_attempt:
        return
    record.task_id = f"{trial['task_name']}{place.task}"
    record.reward = reward_of(place.result)
    record.end_reason = _end_reason(log_records.at(exception, "exception_type"))
    record.agent = _text(agent.get("name")) or record.agent
    model = agent.get("model_info")
    record.model = "/".join(filter(None, (_text(log_records.at(model, "provider")), _text(log_records.at(model, "name"))))) or record.model
    record.seconds = _seconds(place.result.get("agent_execution"))
    for ours, theirs in (("prompt_tokens", "n_input_tokens"), ("completion_tokens", "n_output_tokens")):
        if getattr(record, ours) is None:
            setattr(record, ours, log_records.count(log_records.at(place.result, "agent_result", theirs), theirs))


def reward_of(result: JSON) -> float | None:
    """The verifier's `reward`, else its only one. None if Harbor itself does not count it, or if there are several without that name."""
    rewards = log_records.mapping(log_records.at(result, "verifier_result", "rewards") or {}, "verifier_result.rewards")
    if result.get("reward_valid") is False or ("reward" not in rewards and len(rewards) != 1):
        return None
    return log_records.truth_or_number(rewards.get("reward", next(iter(rewards.values()))), "reward")


def _end_reason(exception: Any) -> str:
    if not isinstance(exception, str):
        return "done"
    return next((reason for reason, names in EXCEPTIONS if re.search(names, exception)), "agent_error")


def _seconds(span: Any) -> float | None:
    with suppress(ValueError, TypeError):
        start, end = (datetime.fromisoformat(log_records.at(span, key)) for key in ("started_at", "finished_at"))
        return max(0.0, (end - start).total_seconds())
    return None


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _name_images(value: Any, folder: Path) -> None:
    """Images and audio that are files beside the trajectory get the hash of their bytes."""
    steps = log_records.at(value, "steps")
    for step in steps if isinstance(steps, list) else ():
        results = log_records.at(step, "observation", "results")
        owners = [step, *(results if isinstance(results, list) else ())]
        for owner, key in ((owner, key) for owner in owners if isinstance(owner, dict) for key in ("message", "content")):
            if isinstance(owner.get(key), list):
                owner[key] = [_named_part(part, folder) for part in owner[key]]


def _named_part(part: Any, folder: Path) -> Any:
    path, media = log_records.at(part, "source", "path"), log_records.at(part, "source", "media_type")
    if not (isinstance(path, str) and isinstance(media, str)) or "\0" in path or Path(path).is_absolute() or ".." in Path(path).parts:
        return part
    with suppress(OSError):
        target = folder / path
        if target.is_file() and not _is_linked(target, folder) and target.stat().st_size <= MAX_RECORD_BYTES:
            return {"type": "text", "text": bytes_placeholder(str(part.get("type")), media, target.read_bytes())}
    return part
