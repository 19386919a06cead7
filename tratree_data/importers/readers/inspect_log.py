"""Inspect logs: `.eval`, a zip with a member per sample, and `.json`, which holds the samples in a list.

A sample and epoch is an attempt at a task; samples are read one at a time. A log whose run was killed has no header: the beginning of its
journal names what was run.
"""

import re
import sys
import zipfile
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

from tratree_data.importers import log_records
from tratree_data.importers.files.json_stream import JsonStream
from tratree_data.importers.files.log_files import READ_ERRORS, LogFile
from tratree_data.importers.files.quick_json import quick_value
from tratree_data.importers.files.zip_members import ZIP_MAGICS, open_archive, open_member, refusal
from tratree_data.importers.log_records import LONGEST_KEY, Options, Problem, Record, Unusable
from tratree_data.importers.readers.inspect_agents import subagents_of
from tratree_data.importers.readers.inspect_attachments import attached_text
from tratree_data.importers.readers.inspect_samples import (
    JSON,
    Sample,
    eval_of,
    note_event,
    read_sample,
    record_of,
    take_members,
)

ENDING = ".eval"
ENDINGS = (ENDING, ".json")
FAULTS = (Unusable, UnicodeDecodeError, RecursionError, *READ_ERRORS)
FEW_MESSAGES = 200
MOST_AT_ONCE = 4 * 2**20
"""Bytes of a sample that is parsed as one value; longer ones are read member by member."""
HEADER, START = "header.json", "_journal/start.json"
SAMPLE = re.compile(r"samples/(?P<sample>.+_epoch_(?P<epoch>\d+))(?P<cut>/sample)?\.json", re.DOTALL)
MEMBERS = {
    "version", "status", "invalidated", "log_updates", "config_updates", "eval", "plan", "results", "stats", "error", "samples",
    "reductions", "location", "etag", "tags", "metadata",
}  # fmt: skip
"""Keys of an EvalLog, with those that only appear if a program writes it."""


def read(file: LogFile, options: Options) -> Iterator[Record | Problem]:
    where = f"{file.name}:1"
    try:
        if not _is_archive(file):
            yield from _read_json(file, options)
            return
        with file.open() as handle:
            yield from _read_archive(file, _opened(file, handle), options)
    except FAULTS as error:
        yield _problem(where, error)


def _is_archive(file: LogFile) -> bool:
    try:
        with file.open() as handle:
            return handle.read(4) in ZIP_MAGICS
    except FAULTS as error:
        raise Unusable("other_format", _problem("", error).detail) from error


def _problem(where: str, error: Exception) -> Problem:
    if isinstance(error, Unusable):
        return Problem(where, error.reason, error.detail)
    if isinstance(error, UnicodeDecodeError):
        return Problem(where, "not_utf8", f"a byte is not UTF-8 ({error.reason})")
    if isinstance(error, RecursionError):
        return Problem(where, "not_json", "nested too deeply")
    return Problem(where, "unreadable", f"the file is unreadable: {error}")


def _opened(file: LogFile, handle: BinaryIO) -> zipfile.ZipFile:
    """The archive; problems with a file of another name do not concern Inspect."""
    try:
        return open_archive(handle)
    except Unusable as error:
        raise error if file.path.name.endswith(ENDING) else Unusable("other_format", error.detail) from error


def _read_archive(file: LogFile, archive: zipfile.ZipFile, options: Options) -> Iterator[Record | Problem]:
    members = {
        member.orig_filename: member for member in archive.filelist
    }  # a sample that was run again is in the log twice; the last one counts
    if HEADER not in members and START not in members:
        raise Unusable("other_format", f"a zip archive, but not an Inspect log: {HEADER} and {START} are missing")
    refused = {name: why for name, member in members.items() if (why := refusal(member))}
    for name, why in refused.items():
        yield Problem(f"{file.name}:1[{name}]", "unsafe_archive", f"the member {name[:LONGEST_KEY]!r} is not read: {why}")
    header = HEADER if HEADER in members else START
    if header in refused:
        raise Unusable("unsafe_archive", f"without {header} it is unknown what was run")
    log = _value(archive, members[header])
    eval_of(log)
    found = [(int(match["epoch"][:9]), name, match) for name in members if name not in refused and (match := SAMPLE.fullmatch(name))]
    for _, name, match in sorted(found, key=lambda item: item[0]):
        where = f"{file.name}:1[{name}]"
        try:
            is_cut = match["cut"] is not None
            sample = _cut_sample(archive, members, match["sample"]) if is_cut else _whole_sample(archive, members[name], _most(file))
            record = record_of(sample, log, where, options)
            yield record
            yield from subagents_of(sample, log, record, where, options)
        except FAULTS as error:
            yield _problem(where, error)
    if not found and not refused:
        yield _without_samples(file, log)


def _without_samples(file: LogFile, log: JSON) -> Problem:
    logged = log_records.at(log, "eval", "config", "log_samples")
    why = "it was run with --no-log-samples" if logged is False else f"its status is {log.get('status') or 'started'!r:.20}"
    return Problem(f"{file.name}:1", "no_samples", f"the Inspect log contains no samples: {why}; run the evaluation again, or retry it")


def _value(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Any:
    with open_member(archive, member) as handle:
        return JsonStream(handle).value()


def _whole_sample(archive: zipfile.ZipFile, member: zipfile.ZipInfo, most_messages: int) -> Sample:
    sample = Sample()
    if member.file_size <= MOST_AT_ONCE and most_messages == sys.maxsize:
        with open_member(archive, member) as handle:
            value = quick_value(handle.read())
        if type(value) is dict:
            take_members(value, sample)
            return sample
    with open_member(archive, member) as handle:
        read_sample(JsonStream(handle), sample, most_messages)
    return sample


def _most(file: LogFile) -> int:
    """How many messages of a sample are read; only a few while the file's format is being detected."""
    return sys.maxsize if file.end is None else FEW_MESSAGES


def _cut_sample(archive: zipfile.ZipFile, members: Mapping[str, zipfile.ZipInfo], name: str) -> Sample:
    """A sample in pieces: lists of messages, events and attachments, each piece named after the place of its first item."""
    sample = Sample(log_records.mapping(_value(archive, members[f"samples/{name}/sample.json"]), "the sample"))
    if (about := members.get(f"samples/{name}/metadata.json")) is not None:
        sample.facts["metadata"] = _value(archive, about)
    pool = list(_pieces(archive, members, f"samples/{name}/messages/"))
    sample.facts["events_data"] = {"messages": pool}
    for span in log_records.items_of(sample.facts.get("message_refs") or [], "message_refs"):
        start, end = log_records.items_of(span, "message_refs")[:2] or (0, 0)
        if not (isinstance(start, int) and isinstance(end, int) and 0 <= start <= end <= len(pool)):
            raise Unusable("wrong_type", f"message_refs points to {span!r:.40}, and there are {len(pool):,} messages")
        for message in pool[start:end]:
            sample.messages.append(message)
    for event in _pieces(archive, members, f"samples/{name}/events/"):
        note_event(sample, event)
    for i, text in enumerate(_pieces(archive, members, f"samples/{name}/attachments/")):
        sample.attachments[str(i)] = attached_text(log_records.text(text, "the attachment"))
    return sample


def _pieces(archive: zipfile.ZipFile, members: Mapping[str, zipfile.ZipInfo], folder: str) -> Iterator[Any]:
    starts = [name for name in members if name.startswith(folder) and name[len(folder) :].removesuffix(".json").isdigit()]
    for name in sorted(starts, key=lambda name: int(name[len(folder) :].removesuffix(".json")[:18])):
        if why := refusal(members[name]):
            raise Unusable("unsafe_archive", f"the member {name[:LONGEST_KEY]!r} is not read: {why}")
        with open_member(archive, members[name]) as handle:
            stream = JsonStream(handle)
            yield from (stream.value() for _ in stream.elements())


def _read_json(file: LogFile, options: Options) -> Iterator[Record | Problem]:
    try:
        log = _header(file)
        eval_of(log)
    except FAULTS as error:
        raise Unusable("other_format", _problem("", error).detail) from error
    count = 0
    for where, sample in _samples(file):
        count += 1
        try:
            if isinstance(sample, Problem):
                yield sample
                continue
            record = record_of(sample, log, where, options)
            yield record
            yield from subagents_of(sample, log, record, where, options)
        except (Unusable, RecursionError) as error:
            yield _problem(where, error)
    if not count:
        yield _without_samples(file, log)


def _samples(file: LogFile) -> Iterator[tuple[str, Sample | Problem]]:
    """The samples of a JSON log, up to the first fault in its JSON."""
    where = f"{file.name}:1"
    try:
        with file.open() as handle:
            stream = JsonStream(handle)
            for key in stream.names():
                if key != "samples" or stream.next() != "[":
                    stream.value()
                    continue
                for index in stream.elements():
                    where = f"{file.name}:{stream.line_here()}[{index}]"
                    if stream.next() != "{":
                        kind = log_records.kind(stream.value())
                        yield where, Problem(where, "wrong_type", f"the sample is {kind}, but must be an object")
                        continue
                    sample = Sample()
                    is_whole = read_sample(stream, sample, _most(file))
                    yield where, sample
                    if not is_whole:
                        return
    except FAULTS as error:
        found = _problem(where, error)
        yield where, Problem(where, found.reason, f"{found.detail}; the rest of the file was not read")


def _header(file: LogFile) -> JSON:
    """The log's other members; its samples come last unless another program wrote it."""
    log: JSON = {}
    with file.open() as handle:
        stream = JsonStream(handle)
        if stream.next() != "{":
            raise Unusable("other_format", "the file does not begin with an object")
        for key in stream.names():
            if key not in MEMBERS:
                raise Unusable("other_format", f"an Inspect log has no {key[:40]!r}")
            if key == "samples" and "eval" in log:
                break
            log[key] = [stream.value() for _ in stream.elements()][:0] if key == "samples" and stream.next() == "[" else stream.value()
    return log
