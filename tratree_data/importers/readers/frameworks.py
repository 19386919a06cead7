"""Message histories as frameworks for agents serialise them: LangChain and LangGraph, Pydantic AI, AutoGen, Strands and Bedrock,
Google ADK, smolagents.

Each dialect becomes messages as OpenAI writes them, which `read_messages` reads; framework_messages.py has a function for each.
"""

import re
from collections.abc import Iterator
from itertools import chain, islice
from typing import Any

from tratree_data.importers import log_records
from tratree_data.importers.files.log_files import LogFile, json_records
from tratree_data.importers.log_records import Options, Problem, Record, Unusable
from tratree_data.importers.readers.framework_messages import DIALECTS
from tratree_data.importers.turns.chat import Message, record_of_chat
from tratree_data.importers.turns.dialects import read_messages

HISTORIES = ("messages", "events", "steps", "history")
BEGINNING = 20
PART = re.compile(r"message_\d{1,9}\.json")
IDS = ("session_id", "sessionId", "thread_id", "id")
JSON = dict[str, Any]


def read(file: LogFile, options: Options) -> Iterator[Record | Problem]:
    """A file with one message a line or in a list is one conversation; so is an object, or a list, with messages inside."""
    files = _files_of_session(file)
    records = chain.from_iterable(json_records(part) for part in files)
    beginning = list(islice(records, BEGINNING))
    if any(_dialects(value) for _, value in beginning):
        messages: list[Any] = []
        for _, value in chain(beginning, records):
            if isinstance(value, Problem):
                yield value
            else:
                messages.append(value)
        yield from log_records.each([(f"{file.name}:1", messages)], lambda where, value: _record(file, options, where, value, {}))
        return
    yield from log_records.each(chain(beginning, records), lambda where, value: _held(file, options, where, value))


def _files_of_session(file: LogFile) -> list[LogFile]:
    """Strands stores each message in a separate file: the first one is read as the session, the others are skipped."""
    if not (PART.fullmatch(file.path.name) and file.path.parent.name == "messages"):
        return [file]
    found = [part for part in file.path.parent.iterdir() if PART.fullmatch(part.name) and part.is_file() and not part.is_symlink()]
    parts = sorted(found, key=lambda part: int(part.stem.removeprefix("message_")))
    return [LogFile(part, file.name, end=file.end) for part in parts] if parts[:1] == [file.path] else []


def _dialects(message: Any) -> list[str]:
    return [name for name, (is_one, _) in DIALECTS.items() if isinstance(message, dict) and is_one(message)]


def _held(file: LogFile, options: Options, where: str, value: Any) -> Record:
    """The history in an object, or in one inside it (a state, a context); or a list of messages."""
    if isinstance(value, list):
        return _record(file, options, where, value, {})
    value = log_records.mapping(value, "the record")
    for owner in (value, *(item for item in value.values() if isinstance(item, dict))):
        for key in HISTORIES:
            if isinstance(owner.get(key), list) and any(_dialects(message) for message in owner[key]):
                about = {name: item for name, item in value.items() if name != key and item is not owner}
                return _record(file, options, where, owner[key], about)
    raise Unusable("other_format", "it contains no messages of a known framework")


def _name_of(file: LogFile) -> str:
    """The file's name, or of a session in many files its folders': session_1/agents/agent_a/messages/message_0.json."""
    folders = file.path.parts[-5:-1]
    is_session = len(folders) == 4 and PART.fullmatch(file.path.name) and (folders[1], folders[3]) == ("agents", "messages")
    return f"{folders[0]}/{folders[2]}" if is_session else file.stem


def _record(file: LogFile, options: Options, where: str, history: list[Any], about: JSON) -> Record:
    found = next((names[0] for message in history if (names := _dialects(message))), None)
    if found is None:
        raise Unusable("other_format", "it contains no messages of a known framework")
    said: list[Message] = []
    for i, message in enumerate(DIALECTS[found][1](history)):
        said += read_messages(message, f"messages[{i}]")
    models = [name for message in said for name in [log_records.at(message.get("metadata"), "model")] if isinstance(name, str)]
    name = next((about[key] for key in IDS if isinstance(about.get(key), str | int) and about[key]), None)
    return record_of_chat(
        said,
        source=where,
        environment=options.environment,
        trajectory_id=str(name or _name_of(file)),
        agent=found,
        model=next(iter(models), None),
        react=False,
        metadata={key: item for key, item in about.items() if item not in (None, {}, [])},
    )
