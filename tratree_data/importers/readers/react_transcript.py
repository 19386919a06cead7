"""ReAct transcripts, as text: '> action' lines with what the environment answered below, or 'Act n:' and 'Obs n:'.

Thoughts are actions that the environment answers with 'OK.' ('> think: …'), or lines 'Thought n: …'; they become the thought of the next
action. A model that is not stopped after its action writes the answer itself, and further turns. Where turns have numbers, that shows: the
environment's own 'Obs 1:' comes after the model's 'Obs 1:' or 'Act 2:'. What the model invented is then cut off, and kept as `response`.
"""

import re
from dataclasses import dataclass, field

from tratree_data.importers.log_records import LogStep

ACTION = re.compile(r"\A(?:>[ \t]?|Act(?:ion)?[ \t]?(?P<number>\d{0,6})[ \t]?:[ \t]?(?:>[ \t]?)?)(?P<action>.*)\Z")
OBSERVATION = re.compile(r"\AObs(?:ervation)?[ \t]?(?P<number>\d{0,6})[ \t]?:[ \t]?(?P<text>.*)\Z")
THOUGHT = re.compile(r"\AThought[ \t]?\d{0,6}[ \t]?:[ \t]?(?P<thought>.*)\Z")
THINK = re.compile(r"\Athink(?:\[|[ \t]?\d{0,6}:)\s*(?P<thought>.*?)\]?\Z", re.IGNORECASE)
NO_ACTION = re.compile(r"\AActionPath:", re.IGNORECASE)
ACKNOWLEDGED = "OK."


@dataclass
class Numbered:
    """A numbered action, and what is needed to return to the moment after it."""

    steps: int
    lines: int
    answered: bool = False


@dataclass
class Transcript:
    """An episode that is being read."""

    opening: list[str] = field(default_factory=list)
    steps: list[LogStep] = field(default_factory=list)
    answer: list[str] = field(default_factory=list)
    thoughts: list[str] = field(default_factory=list)
    after_thought: bool = False
    answered: int = 0
    lines: list[str] = field(default_factory=list)
    numbered: dict[str, Numbered] = field(default_factory=dict)
    restarted: str = ""
    """The first number that two actions have, which means that another episode began unnoticed."""

    def add(self, line: str) -> None:
        self.lines.append(line)
        match = ACTION.match(line)
        if match is not None:
            self._act(match["action"].strip())
            if match["number"]:
                self.restarted = self.restarted or (match["number"] if match["number"] in self.numbered else "")
                self.numbered.setdefault(match["number"], Numbered(len(self.steps), len(self.lines)))
            return
        thought = THOUGHT.match(line)
        if thought is not None:
            self.thoughts.append(thought["thought"].strip())
            return
        observed = OBSERVATION.match(line)
        if observed is not None and observed["number"]:
            self._forget_what_was_made_up(observed["number"])
        text = observed["text"] if observed else line
        if self.acknowledges(text):
            if self.thoughts:  # text between the thought and its 'OK.' is the rest of the thought
                self.thoughts[-1] = "\n".join([self.thoughts[-1], *self.answer[self.answered :]])
                del self.answer[self.answered :]
            return
        (self.answer if self.steps or self.after_thought else self.opening).append(text)

    def acknowledges(self, line: str) -> bool:
        """Whether the line is what the environment answers to a thought."""
        return self.after_thought and line.strip() == ACKNOWLEDGED

    @property
    def unanswered(self) -> int:
        """Empty actions that no environment reacted to: the agent did not act there, or its action was lost."""
        following = [*(step.observation for step in self.steps[1:]), self.observation()]
        return sum(not step.action and not answer for step, answer in zip(self.steps, following, strict=True))

    def _forget_what_was_made_up(self, number: str) -> None:
        """An observation whose number was answered before, or whose action is not the last, is the first that the environment gave."""
        then = self.numbered.get(number)
        if then is None or self.restarted:
            return
        if then.answered or len(self.steps) > then.steps:
            del self.steps[then.steps :]
            made_up = "\n".join(self.lines[then.lines : -1])
            if self.steps:
                self.steps[-1].response = "\n".join(part for part in (self.steps[-1].response or self.steps[-1].action, made_up) if part)
            self.answer, self.thoughts, self.after_thought = [], [], False
            self.numbered = {name: at for name, at in self.numbered.items() if at.lines <= then.lines}
            then.lines = len(self.lines)
        then.answered = True

    def _act(self, action: str) -> None:
        if NO_ACTION.match(action):
            self.after_thought = True
            return
        thought = THINK.match(action)
        if thought is not None:
            self.thoughts.append(thought["thought"].strip())
            self.after_thought, self.answered = True, len(self.answer)
            return
        self.steps.append(LogStep(self.observation(), "\n".join(self.thoughts), action))
        self.answer, self.thoughts, self.after_thought = [], [], False

    def observation(self) -> str:
        """What the agent has seen since its last action."""
        return "\n".join(self.answer if self.steps else [*self.opening, *self.answer]).strip()
