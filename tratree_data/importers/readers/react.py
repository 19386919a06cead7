"""ReAct text logs (Reflexion, SALA, ADaPT, …): '> action' lines with the answers below them, or 'Act n:' and 'Obs n:'.

An episode begins with its opening observation, which states the task and therefore is its identity: logs number their tasks differently.
Few-shot episodes come first, before a line 'Here is the task', and are cut off. The outcome is a line 'Reward: …' or 'STATUS: …', as true,
1, 1.0 or OK, and ends the episode: a model may also write such a line, but then acts again. A last episode that ends without the outcome
that the others have is dropped, and so is one in which an action is missing.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from tratree_data import ids
from tratree_data.importers.files.json_stream import MAX_RECORD_BYTES
from tratree_data.importers.files.log_files import LogFile, byte_lines
from tratree_data.importers.log_records import Options, Problem, Record
from tratree_data.importers.readers.react_transcript import ACTION, OBSERVATION, Transcript
from tratree_data.importers.turns import conversations

TASK_HEADER = re.compile(r"\A(?:#+ ?)?(?:Environment|Env|Task|Game|Episode) ?#? ?\d+ ?:?\Z", re.IGNORECASE)
SEPARATOR = re.compile(r"\A(?:#{3,}|-{3,}|={3,}|\*{3,})\Z")
EXAMPLES_FOLLOW = re.compile(r"Here (?:is|are) (?:an|one|two|three|\d+|some) examples?", re.IGNORECASE)
TASK_FOLLOWS = re.compile(r"\A(?:Here is (?:the|your) task|Now,? it'?s your turn)", re.IGNORECASE)
OPENING = re.compile(r"\A(?:You are in the middle of a room|WebShop|Instruction:|Question(?: \d+)?:)")
TASK_LINE = re.compile(r"\AYour task is to:?")
OUTCOME = re.compile(r"\A(?:STATUS|(?:Final )?(?:Reward|Score)|Success|Done|Result) ?[:=] ?(?P<value>[\w.+-]+)\Z", re.IGNORECASE)
ASKS_FOR_TASK = ("task", "check task", "look")
WORDS = {"true": 1.0, "ok": 1.0, "success": 1.0, "false": 0.0, "fail": 0.0, "failed": 0.0, "failure": 0.0}


@dataclass
class Episode:
    """An episode that is being read."""

    line: str
    transcript: Transcript = field(default_factory=Transcript)
    characters: int = 0
    reward: float | None = None
    fault: tuple[str, str] | None = None
    verdicts: list[str] = field(default_factory=list)
    """Lines that look like the outcome, unless it turns out that the agent wrote them."""

    @property
    def played(self) -> bool:
        return bool(self.transcript.steps)

    def add(self, line: str) -> None:
        if self.verdicts and (ACTION.match(line) or OBSERVATION.match(line) or self.transcript.acknowledges(line)):
            for verdict in self.verdicts:  # the episode continues, so the environment had not ended it
                self.transcript.add(verdict)
            self.verdicts, self.reward, self.fault = [], None, None
        self.characters += len(line)
        if self.characters <= MAX_RECORD_BYTES:
            self.transcript.add(line)
        else:
            self.fault = ("too_long", f"the episode is longer than {MAX_RECORD_BYTES:,} characters")


def read(file: LogFile, options: Options) -> Iterator[Record | Problem]:
    """Yields each episode once the next one begins, so that the last is known to be the last."""
    had_outcomes = False
    previous: Episode | Problem | None = None
    for episode in _episodes(file):
        if isinstance(previous, Problem):
            yield previous
        elif previous is not None:
            had_outcomes = had_outcomes or previous.reward is not None
            yield _finish(file, previous, options)
        previous = episode
    if isinstance(previous, Episode) and previous.reward is None and had_outcomes and previous.fault is None:
        yield Problem(previous.line, "truncated", "the log ends in the middle of this episode: unlike those before, it has no outcome")
    elif previous is not None:
        yield previous if isinstance(previous, Problem) else _finish(file, previous, options)


def _episodes(file: LogFile) -> Iterator[Episode | Problem]:
    """The episodes that agents played, without the examples they were shown."""
    episode = Episode(f"{file.name}:1")
    examples = False
    for where, data in byte_lines(file):
        if isinstance(data, Problem):
            yield data
            continue
        line, broken = _decode(data)
        mark = line.strip()
        examples_follow = EXAMPLES_FOLLOW.search(line) is not None and not ACTION.match(line)
        if examples_follow or TASK_HEADER.match(mark) or SEPARATOR.match(mark):
            if episode.played:
                yield episode
            examples, episode = examples_follow, Episode(where)
        elif TASK_FOLLOWS.match(mark):
            examples, episode = False, Episode(where)
        elif outcome := OUTCOME.match(mark):
            episode.verdicts.append(line)
            _settle(episode, outcome["value"])
        else:
            if _begins(episode, line):
                if not examples:  # if examples come first, only the last episode can be the agent's own
                    yield episode
                episode = Episode(where)
            episode.add(line)
            episode.fault = episode.fault or broken
    if episode.played:
        yield episode


def _begins(episode: Episode, line: str) -> bool:
    """Whether the line opens another episode: an opening, a task, or anything that is not a step once there is an outcome."""
    if not episode.played:
        return False
    if OPENING.match(line):
        return True
    if episode.reward is not None:
        return bool(line.strip()) and not (ACTION.match(line) or OBSERVATION.match(line) or episode.transcript.acknowledges(line))
    return bool(TASK_LINE.match(line)) and episode.transcript.steps[-1].action not in ASKS_FOR_TASK


def _settle(episode: Episode, value: str) -> None:
    word = value.lower()
    if word in WORDS:
        episode.reward = WORDS[word]
        return
    try:
        episode.reward = float(value)
    except ValueError:
        episode.fault = ("wrong_type", f"the outcome {value[:40]!r} is neither a number nor true or false")


def _decode(data: bytes) -> tuple[str, tuple[str, str] | None]:
    line = data.rstrip(b"\r\n")
    try:
        return line.decode("utf-8"), None
    except UnicodeDecodeError:
        return line.decode("utf-8", "replace"), ("not_utf8", "a line of it is not UTF-8")


def _finish(file: LogFile, episode: Episode, options: Options) -> Record | Problem:
    transcript = episode.transcript
    if episode.fault is not None:
        return Problem(episode.line, *episode.fault)
    if transcript.restarted:
        number = transcript.restarted
        return Problem(episode.line, "several_episodes", f"turn {number} appears twice, so another episode begins at an unknown line")
    if transcript.unanswered:
        return Problem(episode.line, "empty_action", f"{transcript.unanswered} actions are empty, and no observation answers them")
    if episode.reward is not None and not math.isfinite(episode.reward):
        return Problem(episode.line, "score_not_finite", f"the outcome is {episode.reward}")
    opening = transcript.steps[0].observation
    instruction = conversations.instruction_in(opening)
    return Record(
        source=episode.line,
        environment=options.environment,
        task_id=ids.content_id(opening),
        trajectory_id=file.stem,
        instruction=instruction,
        reward=episode.reward,
        success=None if episode.reward is None else episode.reward == 1,
        steps=transcript.steps,
        end_observation=transcript.observation(),
        end_reason="unknown" if episode.reward is None else "done",
    )
