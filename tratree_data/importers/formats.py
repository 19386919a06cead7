"""The formats, and how to detect which one a file is in, including when the user named the wrong one."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path

from tratree_data.errors import BadInputError, quoted
from tratree_data.importers.files.foreign_files import foreign_file, foreign_record
from tratree_data.importers.files.log_files import READ_ERRORS, LogFile, json_records
from tratree_data.importers.log_records import PERCENT, Options, Problem, Record, Unusable
from tratree_data.importers.readers import (
    adp,
    agenttraj,
    atif,
    eto,
    fireact,
    frameworks,
    harbor,
    inspect_log,
    intercode,
    jsonl,
    knowagent,
    llm_logs,
    openai_messages,
    openhands,
    react,
    responses,
    scienceworld_history,
    sharegpt,
    spans,
    sts,
    sweagent,
    tau2,
    toolbench,
    verifiers,
)
from tratree_data.importers.sessions import (
    claude_code,
    cline,
    codex,
    continue_cli,
    copilot,
    gemini,
    hermes,
    opencode,
    pi,
    qwen,
    stream_json,
)
from tratree_data.importers.unknown import parquet_rows

Item = Record | Problem
Reader = Callable[[LogFile, Options], Iterator[Item]]

FORMATS: dict[str, Reader] = {
    "jsonl": jsonl.read,
    "eto": eto.read,
    "agenttraj": agenttraj.read,
    "harbor": harbor.read,
    "atif": atif.read,
    "adp": adp.read,
    "verifiers": verifiers.read,
    "inspect": inspect_log.read,
    "sts": sts.read,
    "fireact": fireact.read,
    "intercode": intercode.read,
    "knowagent": knowagent.read,
    "sweagent": sweagent.read,
    "openhands": openhands.read,
    "history": scienceworld_history.read,
    "tau2": tau2.read,
    "toolbench": toolbench.read,
    "spans": spans.read,
    "responses": responses.read,
    "frameworks": frameworks.read,
    "messages": openai_messages.read,
    "sharegpt": sharegpt.read,
    "claude-code": claude_code.read,
    "codex": codex.read,
    "gemini": gemini.read,
    "qwen": qwen.read,
    "copilot": copilot.read,
    "opencode": opencode.read,
    "pi": pi.read,
    "cline": cline.read,
    "continue": continue_cli.read,
    "hermes": hermes.read,
    "stream-json": stream_json.read,
    "llm": llm_logs.read,
    "react": react.read,
    "table": parquet_rows.read,
}
"""Also the order of detection: specific formats first."""
ENDINGS = {
    "table": (".parquet", ".csv", ".tsv", ".db", ".sqlite", ".sqlite3"),
    "llm": llm_logs.ENDINGS,
    "opencode": opencode.ENDINGS,
    "sweagent": sweagent.ENDINGS,
    "openhands": openhands.ENDINGS,
    "inspect": inspect_log.ENDINGS,
    "harbor": harbor.ENDINGS,
}
"""Endings of formats that have their own: other files in the folder (settings, patches, reports) are not logs."""
NAMELESS = "any"
MUST_SAY = {"no_environment": "--environment webshop, scienceworld or alfworld", "no_score_scale": "--score-scale low,high"}
MISSHAPEN = {"missing_field", "not_json", "other_format", "wrong_type"}
"""Reasons a reader gives for a file of another format; every other reason means the format fits but the record is bad."""
QUIET = ("harbor", "frameworks")
"""Formats with files that hold no trajectory, such as a job's result, or the later messages of a session."""
LOOK_AHEAD = 20
LOOK_AHEAD_BYTES = 4 * 2**20
"""For formats of lines, whose readers would otherwise read a whole file before they find that it is not theirs."""
MOST_SAMPLES, FEW_SAMPLES = 50, 12
MOST_NAMES, LONGEST_NAME = 8, 40
MOST = 0.5
GENERIC = ("messages", "sharegpt")
"""Layouts that many tools share: a more specific format that reads the same file wins."""
OWN_MARKS: dict[str, Callable[[Record], bool]] = {
    "eto": lambda record: bool(record.trajectory_id or record.prompt or "/" in record.task_id)
}
"""For formats with a shared layout: the check that a record is theirs."""
RECOGNISED = {*MUST_SAY, "only_examples", "truncated", "no_messages"}
"""Problems that only a reader of the right format can find."""
MARKED = ("inspect", "harbor", "claude-code", "codex", "copilot", "pi", "stream-json")
"""Formats whose reader looks for the tool's marks first: every problem but other_format is about a log of that tool."""


class Unrecognised(BadInputError):
    """No reader recognises the log."""


def first_record(format: str, directory: str | Path, files: list[LogFile], options: Options) -> Record | None:
    """Checks the beginnings of the logs: refuses a format that fits none, and asks for what only the user knows."""
    problems: list[Problem] = []
    for file in files:
        beginning = _beginning(format, file, options)
        usable = next((item for item in beginning if isinstance(item, Record)), None)
        if usable is not None:
            return usable
        problems += [item for item in beginning if isinstance(item, Problem)]
    for reason, option in MUST_SAY.items():
        unsaid = next((problem for problem in problems if problem.reason == reason), None)
        if unsaid is not None:
            scale = _scale_in(format, files, options) if reason == "no_score_scale" else None
            raise _must_say(unsaid.subject, *(scale or (unsaid.detail, option)))
    fitting = _fitting_format(format, files[0], options)
    if fitting is not None:
        why = f" ({problems[0].subject}: {problems[0].detail})" if problems else ""
        wrong = f"{files[0].path} is not in the format {format}{why}; it looks like {fitting}."
        raise BadInputError(f"{wrong}\nNext: tratree import {quoted(files[0].path)} {quoted(directory)} --format {fitting}")
    if not problems:
        raise BadInputError(f"{files[0].path} contains no {format} trajectory.\nNext: check how the file was written")
    return None


def _scale_in(format: str, files: list[LogFile], options: Options) -> tuple[str, str]:
    """The scale that the rewards of the whole log suggest, and the option that fits them."""
    items = chain.from_iterable(FORMATS[format](file, replace(options, score_scale=PERCENT)) for file in files)
    rewards = [item.reward for item in items if isinstance(item, Record) and item.reward is not None]
    highest = max(rewards, default=0.0)
    found = f"the log does not say on which scale its scores are; the highest of {len(rewards):,} is {highest:g}"
    return found, "--score-scale 0,1" if highest <= 1 else "--score-scale 0,100" if highest <= 100 else "--score-scale low,high"


def detect_format(path: str | Path, directory: str | Path, files: list[LogFile], options: Options) -> str:
    """The one format that the files are written in, by their contents; refuses to guess between two."""
    if str(files[0].path).startswith("hub:") or options.columns:
        return "table"
    jobs = harbor.job_files(files)
    found: dict[str, list[str]] = {"harbor": [file.name for file in jobs]} if jobs else {}
    others = [file for file in files if file not in jobs]
    for file in others[:: -(-len(others) // MOST_SAMPLES) or 1]:
        for format in fitting_formats(file, options):
            found.setdefault(format, []).append(file.name)
    known = foreign_file(files[0].path) if {*found} <= {"react"} else None  # lines that quote look like actions, too
    if len(found) == 1 and not known:
        return next(iter(found))
    if not found and all(map(_is_blank, files[:MOST_SAMPLES])):
        raise BadInputError(f"{path} begins with nothing but blank lines.\nNext: check how the file was written")
    if not found or known:
        some = files[:: -(-len(files) // FEW_SAMPLES) or 1]
        firsts = [next(json_records(replace(file, end=LOOK_AHEAD_BYTES)), ("", None))[1] for file in some]
        first = firsts[0]
        named = next(filter(None, map(foreign_record, firsts)), None)
        if named:
            raise BadInputError(f"{path} cannot be imported: {named[0]}.\nNext: {named[1]}")
        if known:
            raise Unrecognised(f"{path} cannot be imported: {known[0]}.\nNext: {known[1]}")
        why = f": {first.detail}" if isinstance(first, Problem) else _seen_in(first)
        command = f"tratree import {quoted(path)} {quoted(directory)}"
        other = f"\nor: {command} --column messages=PATH if the messages are there" if isinstance(first, dict) else ""
        raise Unrecognised(
            f"The format of {path} was not recognised{why}.\nAvailable: {', '.join(FORMATS)}.\nNext: {command} --format NAME{other}"
        )
    candidates = "; ".join(f"{format}: {len(names)} file{'s'[: len(names) != 1]}, e.g. {names[0]}" for format, names in found.items())
    raise BadInputError(
        f"{path} could be several formats ({candidates}).\n"
        f"Next: tratree import {quoted(path)} {quoted(directory)} --format {next(iter(found))}, "
        "or import its files one by one"
    )


def _seen_in(record: object) -> str:
    """What the first record of an unknown log contains, as far as a line can show."""
    names = [str(name)[:LONGEST_NAME] for name in record][:MOST_NAMES] if isinstance(record, dict) else []
    return f": its first record has {', '.join(map(repr, names))}, and nothing in it reads as messages or steps" if names else ""


def fitting_formats(file: LogFile, options: Options, min_share: float = 0.0) -> list[str]:
    """The formats in which most of the file's beginning makes sense; formats with a shared layout yield to more specific ones."""
    if _is_blank(file):
        return []
    guess = replace(options, environment=options.environment or NAMELESS, score_scale=options.score_scale or PERCENT)
    shares = {format: _understood_share(format, file, guess) for format in FORMATS}
    best = max(shares.values())
    fitting = [format for format, share in shares.items() if share == best and share > 0 and share >= min_share]
    return [format for format in fitting if format not in GENERIC] or fitting


def _is_blank(file: LogFile) -> bool:
    """Whether the file's beginning holds nothing but white space, which every reader would otherwise skip once."""
    with suppress(Unusable, *READ_ERRORS), file.open() as handle:
        return handle.read(LOOK_AHEAD_BYTES).isspace()
    return False


def _understood_share(format: str, file: LogFile, guess: Options) -> float:
    if format == "table" and not file.path.name.endswith(".parquet"):
        return 0.0
    beginning = _beginning(format, file, guess)
    return sum(_is_theirs(format, item) for item in beginning) / max(len(beginning), 1)


def _beginning(format: str, file: LogFile, options: Options) -> list[Item]:
    return list(islice(FORMATS[format](replace(file, end=LOOK_AHEAD_BYTES), options), LOOK_AHEAD))


def read_log(format: str, file: LogFile, options: Options) -> Iterator[Item]:
    """The file's records and problems; a single Problem if it contains nothing, or a log of another format."""
    items = FORMATS[format](file, options)
    beginning = list(islice(items, LOOK_AHEAD))
    if not beginning and format in QUIET:
        return
    foreign = _is_misshapen(beginning) and _fitting_format(format, file, options)
    if foreign and not any(isinstance(item, Record) for item in items):
        seen = f" ({beginning[0].detail})" if beginning and isinstance(beginning[0], Problem) else ""
        yield Problem(f"{file.name}:1", "other_format", f"the file is not in the format {format}{seen}; it looks like {foreign}")
    elif foreign:  # it began with a long run of bad records
        yield from FORMATS[format](file, options)
    elif beginning:
        yield from chain(beginning, items)
    else:
        yield Problem(f"{file.name}:1", "no_episode", "the file contains no trajectory")


def _is_misshapen(items: list[Item]) -> bool:
    return all(isinstance(item, Problem) and item.reason in MISSHAPEN for item in items)


def _is_theirs(format: str, item: Item) -> bool:
    """Whether this is the specific format; an expert record of ETO has ShareGPT's layout, but begins with OK or names its game."""
    if isinstance(item, Problem):
        return item.reason in RECOGNISED or (format in MARKED and item.reason != "other_format")
    return format != "eto" or bool(item.trajectory_id or item.prompt or "/" in item.task_id)


def _fitting_format(named: str, file: LogFile, options: Options) -> str | None:
    """The other format that the file is written in."""
    return next((format for format in fitting_formats(file, options, MOST) if format != named), None)


def _must_say(where: str, what: str, option: str) -> BadInputError:
    return BadInputError(f"{where}: {what}.\nNext: add {option}")
