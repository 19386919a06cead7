"""Where the conversations are in a record of an unknown tool.

A list is a conversation if every element can be read as a message and an assistant is among the speakers.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, pairwise
from typing import Any

from tratree_data.importers.log_records import Unusable
from tratree_data.importers.unknown.histories import answers_in, read_history, speaker_of, step_keys
from tratree_data.importers.unknown.json_columns import ABSENT, EACH, MEMBERS, Path, rows_of, step, unpacked
from tratree_data.importers.unknown.message_graphs import branches_of, is_graph
from tratree_data.importers.unknown.step_parts import numbered_steps
from tratree_data.importers.unknown.transcripts import read_transcript

DEEPEST = 8
LOOKED_AT = 4
"""Elements of a list, members of an object, in which conversations are looked for."""
MESSAGES_READ = 60
MOST_PLACES = 200
ENOUGH = 0.5
ANSWERS = ("completion", "response", "output", "generation", "model_output", "model_response", "assistant", "reply", "output_text")
REQUESTS = ("prompt", "input", "query", "request", "user", "input_text")
INSTRUCTING = ("system", "system_prompt", "instruction", "instructions", "examples", "few_shot", "demonstrations", "description", "readme")
TRANSCRIPTS = ("transcript", "log", "history", "trajectory", "episode", "game_log", "conversation", "dialogue", "dialog", "playthrough")
UNSPEAKABLE = set(".[]*")
"""Characters that a path cannot name."""


def conversations_in(
    records: Sequence[Any], is_whole: bool, fits: Callable[[list[Any]], bool] | None = None
) -> dict[Path, list[list[Any]]]:
    """Places of lists, else of texts, that read as conversations in most records that have them, with their messages."""
    fits = fits or _is_conversation
    return _places(records, is_whole, fits, _lists) or _places(records, is_whole, fits, _texts)


def _places(
    records: Sequence[Any], is_whole: bool, fits: Callable[[list[Any]], bool], look: Callable[..., Iterator[tuple[Path, list[Any]]]]
) -> dict[Path, list[list[Any]]]:
    found: dict[Path, list[list[Any]]] = defaultdict(list)
    misread: Counter[Path] = Counter()
    for record in records:
        for path, value in look(record, (), is_whole):
            if len(found) + len(misread) > MOST_PLACES:
                break
            if fits(value):
                found[path].append(value)
            else:
                misread[path] += 1
    return {path: lists for path, lists in found.items() if len(lists) > misread[path]}


def _lists(value: Any, path: Path, is_whole: bool) -> Iterator[tuple[Path, list[Any]]]:
    value = unpacked(value)
    if len(path) > DEEPEST:
        return
    if isinstance(value, list):
        if value and sum(isinstance(unpacked(item), dict) for item in value) == len(value):
            yield path, value
        nested = [found for item in value[:LOOKED_AT] for found in _lists(item, (*path, EACH), False)]
        yield from _last_of_growing(value, path, nested)
    elif is_graph(value):
        yield path, branches_of(value)[-1][1]
    elif isinstance(value, dict) and path and (steps := numbered_steps(value)):
        yield path, steps
    elif isinstance(value, dict):
        for name, item, is_inner in members_of(value, is_whole):
            yield from _lists(item, (*path, name), is_inner)


def members_of(value: dict[str, Any], is_whole: bool) -> Iterator[tuple[str, Any, bool]]:
    """(part of a path, value, whether it may be a map) of what is in an object; a few records of a map stand for all."""
    if is_whole and _is_map(value):
        yield from ((MEMBERS, item, False) for item in list(value.values())[:LOOKED_AT])
        return
    yield from ((name, item, is_whole) for name, item in value.items() if name and not UNSPEAKABLE & set(name))


def _texts(value: Any, path: Path, is_whole: bool) -> Iterator[tuple[Path, list[Any]]]:
    """Texts that are a conversation. A prompt may hold examples, and a line that quotes is not a command."""
    value = unpacked(value)
    if len(path) > DEEPEST:
        return
    if isinstance(value, str) and path and path[-1].lower() not in (*REQUESTS, *INSTRUCTING):
        found = read_transcript(value, has_commands=path[-1].lower() in TRANSCRIPTS)
        if found:
            yield path, found
    elif isinstance(value, list):
        for item in value[:LOOKED_AT]:
            yield from _texts(item, (*path, EACH), False)
    elif isinstance(value, dict):
        for name, item, is_inner in members_of(value, is_whole):
            yield from _texts(item, (*path, name), is_inner)


def _is_map(value: dict[str, Any]) -> bool:
    """Whether an object's members are records under their ids, as their equal keys show."""
    if len(value) > 2 and all(isinstance(member, list) and member and isinstance(member[0], dict) for member in value.values()):
        return all(map(_is_conversation, list(value.values())[:LOOKED_AT]))
    members = [set(member) for member in value.values() if isinstance(member, dict)]
    if len(members) <= 2 or len(members) < len(value):
        return False
    shared = set.intersection(*members)
    return len(set.union(*members)) <= 2 * len(shared)


def _last_of_growing(value: list[Any], path: Path, nested: list[tuple[Path, list[Any]]]) -> Iterator[tuple[Path, list[Any]]]:
    """If each call repeats the conversation so far, keeps only the last."""
    by_path: dict[Path, list[list[Any]]] = defaultdict(list)
    for place, found in nested:
        by_path[place].append(found)
    for place, lists in by_path.items():
        grows = len(lists) > 1 and all(a == b[: len(a)] and len(a) < len(b) for a, b in pairwise(lists))
        if not grows:
            yield from ((place, found) for found in lists)
        elif rows_of(place) == (*path, EACH):
            last = (*path, "[-1]", *place[len(path) + 1 :])
            yield from ((last, found) for _, found in walk(value, last[len(path) :]))


def _is_conversation(value: list[Any]) -> bool:
    """Whether an agent and somebody else speak in it, or it is a list of steps."""
    roles = roles_in(value)
    is_spoken = bool({*roles} & {"user", "system", "developer"})
    return "assistant" in roles and (is_spoken or all(isinstance(item, dict) and step_keys(item) for item in value))


def is_spoken(history: Any) -> bool:
    """Whether somebody speaks in it, unlike in a list of steps."""
    return isinstance(history, list) and any(isinstance(item, dict) and speaker_of(item)[1] == "user" for item in history[:LOOKED_AT])


def is_request(value: list[Any]) -> bool:
    """Whether these are messages that an agent has not answered."""
    roles = roles_in(value)
    return "user" in roles and roles[-1] != "assistant"


def is_answer(value: Any) -> bool:
    """A message, or messages, of the assistant, with results of its calls."""
    roles = roles_in(value if isinstance(value, list) else [value])
    return bool(roles) and roles[0] == "assistant" and not {*roles} & {"user", "system", "developer"}


def roles_in(value: Sequence[Any]) -> list[str]:
    """Who speaks in the list; nobody if it is not a list of messages, or most of what the agent said is somewhere else."""
    try:
        said = read_history([unpacked(item) for item in value[:MESSAGES_READ]], "it")
    except (Unusable, RecursionError):
        return []
    turns = [message for message in said if message["role"] == "assistant"]
    empty = sum(not (message["content"] or message.get("tool_calls") or message.get("reasoning_content")) for message in turns)
    return [message["role"] for message in said] if empty <= len(turns) / 2 else []


def choose_place(places: dict[Path, list[list[Any]]]) -> tuple[Path, list[Path]]:
    """The place with the most messages, and others with as many different ones."""
    size = {path: sum(map(len, lists)) for path, lists in places.items()}
    best = min(places, key=lambda path: (-size[path], len(path), path))
    rivals = [path for path in places if path != best and size[path] > ENOUGH * size[best] and not _is_within(places[path], places[best])]
    return best, sorted(rivals)


def _is_within(some: list[list[Any]], others: list[list[Any]]) -> bool:
    """Whether everything that is said in some conversations is also said in the others."""
    texts = [
        {repr(sorted(map(str, message.values()))) for message in found if isinstance(message, dict)}
        for found in (chain.from_iterable(some), chain.from_iterable(others))
    ]
    return texts[0] <= texts[1]


def walk(value: Any, path: Path) -> Iterator[tuple[Any, Any]]:
    """(the row, the value) at the path, row by row."""
    for row in around(value, rows_of(path)):
        below = row[-1]
        for part in path[len(rows_of(path)) :]:
            below = step(below, part)
        if below is not ABSENT:
            found = unpacked(below)
            yield row, (read_transcript(found) or found) if isinstance(found, str) else found


def around(record: Any, rows: Path) -> list[list[Any]]:
    """For each row the values on the way down to it, one more than the parts of the path."""
    found: list[list[Any]] = [[record]]
    for part in rows:
        below: list[list[Any]] = []
        for seen in found:
            value = unpacked(seen[-1])
            if part == EACH:
                below += [[*seen, item] for item in value] if isinstance(value, list) else []
            elif part == MEMBERS:
                below += [[*seen, item] for item in value.values()] if isinstance(value, dict) else []
            elif (inner := step(value, part)) is not ABSENT:
                below.append([*seen, inner])
        found = below
    return found


def request_in(history: Any) -> str:
    """What the user asked first."""
    while isinstance(history, list) and history and isinstance(history[0], str | list):
        history = history[0]  # steps without names
    if not isinstance(history, list):
        return history if isinstance(history, str) else ""
    try:
        said = read_history(history[:LOOKED_AT], "it")
    except (Unusable, RecursionError):
        return ""
    return next((message["content"] or "" for message in said if message["role"] == "user"), "")


def answer_places(rows: Sequence[Any]) -> list[Path]:
    """Where in the rows the answer to a request may be: nowhere, in one place, or in several that differ."""
    found: dict[Path, list[Any]] = defaultdict(list)
    for row in rows:
        for path, value in _answers(row, ()):
            found[path].append(value)
    whole = {path: values for path, values in found.items() if len(values) == len(rows)}
    calling = [path for path, values in found.items() if path not in whole and any(map(_calls_in, values))]
    for kind in (list, dict, str):
        of_kind = {path: values for path, values in whole.items() if all(isinstance(value, kind) for value in values)}
        if of_kind:
            first, *others = sorted(of_kind, key=lambda path: (len(path), path))
            rivals = [path for path in others if of_kind[path] != of_kind[first]]
            return [first, *rivals, *(calling if kind is str else ())]  # a text leaves calls out
    return []


def _calls_in(answer: Any) -> bool:
    return not isinstance(answer, str) and any(message.get("tool_calls") for message in read_history(answers_in(answer), "it"))


def _answers(value: Any, path: Path) -> Iterator[tuple[Path, Any]]:
    value = unpacked(value)
    for name, item in value.items() if isinstance(value, dict) and len(path) < LOOKED_AT else ():
        inner, place = unpacked(item), (*path, name)
        if not name or UNSPEAKABLE & set(name):
            continue
        is_text = name.lower() in ANSWERS and isinstance(inner, str) and inner != ""
        if is_text or (isinstance(inner, list | dict) and inner and is_answer(inner)):
            yield place, inner
        elif name in ("choices", "candidates") and isinstance(inner, list) and len(inner) == 1:
            yield from _answers(inner[0], (*place, "[0]"))
        else:
            yield from _answers(inner, place)
