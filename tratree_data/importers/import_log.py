"""Logs that others wrote → rollouts and steps.

A format is a module with `read(file, options)`, a generator of Records and Problems (formats.py); this module finds the files and calls the
reader, and record_storage.py stores the records. Scores are never guessed: a reward outside 0–1 needs `score_scale`, or its record is
left out.
"""

import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from itertools import chain
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from tratree_data.errors import BadInputError, NotFoundError, TratreeError, quoted, wrong_order
from tratree_data.importers.beside import Beside
from tratree_data.importers.files import hub_files
from tratree_data.importers.files.archives import ARCHIVE_ENDINGS, unpacked_archive
from tratree_data.importers.files.links import leads_out, links_out
from tratree_data.importers.files.log_files import LogFile
from tratree_data.importers.files.packed_files import plain_name
from tratree_data.importers.files.tool_files import without_tool_files
from tratree_data.importers.formats import ENDINGS as FORMAT_ENDINGS
from tratree_data.importers.formats import GENERIC, first_record, fitting_formats, read_log
from tratree_data.importers.log_records import Options, Problem, Record, Unusable
from tratree_data.importers.parallel import BY_LINE, cut_parts, read_parts
from tratree_data.importers.record_rows import validate
from tratree_data.importers.record_storage import STAGE, Import
from tratree_data.importers.settings import AUTO, ImportSettings
from tratree_data.importers.unknown.unknown_logs import recognise
from tratree_data.results import StageResult
from tratree_data.store.locations import Place, place
from tratree_data.store.row_files import read_scores, read_tasks
from tratree_data.store.writing.storable_text import storable
from tratree_data.store.writing.writer import create_store, writing
from tratree_data.system.settings import takes

READS_AS = re.compile(r"it looks like (\w+)\Z")
ENDINGS = (".json", ".jsonl", ".ndjson", ".txt", ".log", ".traj")
REMEDIES = {
    "damaged_archive": "copy the file again from where it was written",
    "unsafe_archive": "find out who made the archive; import only what the tool itself wrote",
    "no_trajectory": "run the trials with an agent that writes a trajectory (ATIF)",
    "no_samples": "run the evaluation again with its samples logged",
}
EVERY_ENDING = tuple(dict.fromkeys([*ENDINGS, *chain.from_iterable(FORMAT_ENDINGS.values())]))


@takes(ImportSettings)
def import_log(directory: str | Path, path: str | Path, settings: ImportSettings) -> StageResult:
    """Adds the trajectories of a log to the dataset; `format` is detected unless named, `strict` stops at the first bad record."""
    if Path(directory).is_file() and not Path(path).is_file():
        python, command = f"import_log({str(path)!r}, {str(directory)!r})", f"tratree import {quoted(directory)} {quoted(path)}"
        raise wrong_order("the log", python, command)
    with unpacked_archive(path) as folder:
        return _import(directory, path, folder or path, settings)


def _import(directory: str | Path, path: str | Path, where: str | Path, settings: ImportSettings) -> StageResult:
    """`where` is what to read, `path` what the user named."""
    options = options_of(settings)
    beside = Beside(read_scores(settings.scores) if settings.scores else None, read_tasks(settings.tasks) if settings.tasks else None)
    files = find_files(where, settings.format, place(directory))
    format: str = settings.format
    understood = ""
    if format == AUTO:
        format, options, understood = recognise(path, directory, files, options)
    found = find_files(where, AUTO if options.columns else format, place(directory))
    read = {*without_tool_files(format, [file.name for file in found])}
    files = [file for file in found if file.name in read] or found
    first = first_record(format, directory, files, options)
    if first is not None and not first.environment:
        options = replace(options, log_name=log_name(path))
    if settings.strict:
        refuse_any_problem(format, files, options)
    store = create_store(directory)
    said = {name: value for name, value in asdict(options).items() if name != "only_columns"}
    lineage = settings.recorded() | {"format": format, "files": len(files), "first": files[0].name} | said | beside.recorded()
    links = list(links_out(Path(where))) if Path(where).is_dir() else []
    with writing(directory):
        run = Import(store.path, create_store(store.path), options, lineage, beside, format)
        run.summary.log_name, run.summary.is_of_sessions = options.log_name, format == "stream-json"
        for link in links:
            run.drop(link)
        with saying_what_stays(run):
            read_files(run, format, files, settings)
        run.finish({storable(file.name) for file in files} | {link.subject.removesuffix(":1") for link in links})
    if format not in FORMAT_ENDINGS:  # other files next to those are reports and settings
        run.summary.unread = without_tool_files(format, unread_files(where, found, place(directory)))
    refuse_nothing(run, format, Path(path), directory)
    return report(run, place(directory), format, settings.format == AUTO, understood)


def read_files(run: Import, format: str, files: list[LogFile], settings: ImportSettings) -> None:
    """Commits what they contain, as it is read."""
    parts = cut_parts(format, files, run.options) if not (settings.scores or settings.tasks) else []
    if parts:
        read_parts(run, parts, settings.workers, settings.engine if format in BY_LINE else "local")
        return
    with progress(files) as advance:
        for file in files:
            for _ in run.take(read_log(format, file, run.options)):
                advance(file)


@contextmanager
def saying_what_stays(run: Import) -> Iterator[None]:
    """Adds to a refusal in the middle of a log what was committed before it, which the same command would not import twice."""
    try:
        yield
    except TratreeError as error:
        store = create_store(run.directory)
        kept = store.count("rollouts") - len(run.known) if store.has("rollouts") else 0
        if not kept:
            raise
        what, _, advice = str(error).partition("\nNext: ")
        raise type(error)(
            f"{what.rstrip('.')}. The {kept:,} rollouts before it were imported and stay; the same command never imports a rollout twice.\n"
            f"Next: {advice}"
        ) from error


def options_of(settings: ImportSettings) -> Options:
    """The options of readers and storage, with every value parsed."""
    return Options(
        settings.environment, settings.split, settings.agent, settings.model, settings.scale(), settings.column_names(),
        settings.mapped_rewards(), settings.clamp_scores, settings.license, settings.source_url, settings.attribution,
    )  # fmt: skip


def log_name(path: str | Path) -> str:
    """The log's name: that of its file or folder, without the ending."""
    name = plain_name(Path(path).resolve().name)
    return (
        storable(next((name.removesuffix(ending) for ending in (*EVERY_ENDING, *ARCHIVE_ENDINGS) if name.endswith(ending)), name)) or "log"
    )


def find_files(name: str | Path, format: str, directory: Place | None = None) -> list[LogFile]:
    """The file itself, or the folder's files in the order of their names; named by folder and name, never by a machine's path."""
    path = Path(name)
    suffixes = FORMAT_ENDINGS.get(format, ENDINGS) if format != AUTO else EVERY_ENDING
    if str(name).startswith("hf://"):
        return hub_files.files_of(str(name), suffixes)
    if str(name).startswith("hub:"):
        sessions = hub_files.sessions_of(str(name)) if format != "table" else []
        if sessions and (format != AUTO or not set(fitting_formats(sessions[0], Options())) <= {*GENERIC}):
            return sessions
        return [LogFile(path, str(name))]
    if not path.exists():
        raise NotFoundError(f"No such file or folder: {path}.\nNext: check the path")
    if not os.access(path, os.R_OK):
        raise BadInputError(f"{path} is not readable.\nNext: check its permissions")
    if path.is_file():
        if path.stat().st_size == 0:
            raise BadInputError(f"{path} is empty, and an import needs at least one trajectory.\nNext: check how the file was written")
        return [LogFile(path, f"{path.resolve().parent.name}/{path.name}".lstrip("/"))]
    if not path.is_dir():
        raise BadInputError(f"{path} is neither a file nor a folder.\nNext: name a log file, or a folder of them")
    return _files_below(path, suffixes, directory)


def _visible_files(path: Path, directory: Place | None) -> list[Path]:
    """In the order of their names; not hidden ones, nor behind links that lead out, nor the dataset's own, if it is among the logs."""
    own = directory.resolve() if isinstance(directory, Path) else None
    shown = sorted(file for file in path.rglob("*") if not any(part.startswith(".") for part in file.relative_to(path).parts))
    return [file for file in shown if file.is_file() and own not in file.resolve().parents and not leads_out(file, path)]


def unread_files(name: str | Path, files: list[LogFile], directory: Place) -> list[str]:
    """The folder's files that no reader was given, because their names do not end like a log's."""
    path = Path(name)
    read = {file.path for file in files}
    unread = [file for file in _visible_files(path, directory) if file not in read] if path.is_dir() else []
    return [file.relative_to(path).as_posix() for file in unread if not plain_name(file.name).endswith(ENDINGS)]


def _files_below(path: Path, suffixes: tuple[str, ...], directory: Place | None) -> list[LogFile]:
    """Those with a log's ending."""
    found = [file for file in _visible_files(path, directory) if plain_name(file.name).endswith(suffixes)]
    if not found:
        endings, links = ", ".join(suffixes), " except links that lead out of it" * any(links_out(path))
        raise BadInputError(f"The folder {path} contains no log file ({endings}, or .gz){links}.\nNext: name a file, or a folder of logs")
    top = path.resolve().name
    return [LogFile(file, f"{top}/{file.relative_to(path).as_posix()}") for file in found]


def refuse_any_problem(format: str, files: list[LogFile], options: Options) -> None:
    """The strict pass: reads everything, writes nothing."""
    for item in chain.from_iterable(read_log(format, file, options) for file in files):
        problem = item if isinstance(item, Problem) else None
        if isinstance(item, Record):
            try:
                validate(item, options)
                options.score(item.reward)
            except Unusable as refusal:
                problem = Problem(item.source, refusal.reason, refusal.detail)
        if problem is not None:
            message = f"{problem.subject}: {problem.detail} ({problem.reason}). Nothing was imported."
            raise BadInputError(f"{message}\nNext: fix the record, or import without --strict")


def refuse_nothing(run: Import, format: str, path: Path, directory: str | Path) -> None:
    """Reports an import without anything usable as an error; what it found stays in `dropped`."""
    if run.counts["rollouts"] or run.counts["already_there"] or not run.reasons:
        return
    reason, times = max(run.reasons.items(), key=lambda item: (item[1], item[0]))
    first = run.first[reason]
    often = f"{reason} {times:,} times, the first:" if times > 1 else f"{reason},"
    message = f"Nothing in {path} could be imported as {format}: {often} {first.subject}: {first.detail}."
    raise BadInputError(f"{message}\nNext: {_remedy(reason, first, format, path, directory)}")


def _remedy(reason: str, first: Problem, format: str, path: Path, directory: str | Path) -> str:
    """The command that helps with the most frequent reason, else the one that lists the problems."""
    if reason == "score_out_of_range":
        return f"tratree import {quoted(path)} {quoted(directory)} --format {format} --score-scale low,high"
    if reason == "other_format" and (fits := READS_AS.search(first.detail)):
        return f"tratree import {quoted(path)} {quoted(directory)} --format {fits[1]}"
    if reason in REMEDIES:
        return REMEDIES[reason]
    if reason == "not_utf8" and path.is_file():
        return f"iconv -f {'UTF-16' if 'UTF-16' in first.detail else 'ITS-ENCODING'} -t UTF-8 {path} > utf8{path.suffix}, and import that"
    return f"tratree sql {quoted(directory)} \"SELECT * FROM dropped WHERE stage = 'import'\""


@contextmanager
def progress(files: list[LogFile]) -> Iterator[Callable[[LogFile], None]]:
    """A progress bar by bytes on stderr, in a terminal."""
    before: dict[str, int] = {}
    total = 0
    for file in files:
        before[file.name] = total
        total += file.path.stat().st_size if file.path.exists() else 0
    columns = (TextColumn("import"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty(), transient=True) as bar:
        task = bar.add_task("import", total=total)
        yield lambda file: bar.update(task, completed=before[file.name] + file.position)


def report(run: Import, directory: Place, format: str, detected: bool, understood: str = "") -> StageResult:
    counts = {name: run.counts[name] for name in ("rollouts", "steps", "already_there", "dropped")}
    if run.summary.skipped:
        counts["skipped_files"] = len(run.summary.skipped)
    notes = [f"Format: {format} (detected)"] if detected else []
    notes += [understood] if understood else []
    notes += [
        f"{reason}: {run.reasons[reason]:,} (the first: {problem.subject}: {problem.detail})"
        for reason, problem in sorted(run.first.items())
    ]
    notes += run.summary.notes(run.counts["dropped"])
    notes += run.beside.notes()
    if run.rescored:
        notes.append(f"{len(run.rescored):,} existing rollouts have new scores")
    if run.reasons:
        notes.append(f"Next: tratree sql {quoted(directory)} \"SELECT * FROM dropped WHERE stage = 'import'\"")
    return StageResult(STAGE, bool(run.counts["rollouts"] or run.counts["changed"]), counts, tuple(notes))
