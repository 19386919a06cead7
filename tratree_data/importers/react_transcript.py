"""ReAct transcripts, as text: '> action' lines with what the environment answered below, or 'Act n:' and 'Obs n:'.

Thoughts are actions that the environment answers with 'OK.' ('> think: …'); they become the thought of the next action.
"""

import re
from dataclasses import dataclass, field

from tratree_data.importers.log_records import LogStep

ACTION = re.compile(r"\A(?:>[ \t]?|Act(?:ion)?[ \t]?\d{0,6}[ \t]?:[ \t]?(?:>[ \t]?)?)(?P<action>.*)\Z")
OBSERVATION = re.compile(r"\AObs(?:ervation)?[ \t]?\d{0,6}[ \t]?:[ \t]?(?P<text>.*)\Z")
THINK = re.compile(r"\Athink(?:\[|[ \t]?\d{0,6}:)\s*(?P<thought>.*?)\]?\Z", re.IGNORECASE)
NO_ACTION = re.compile(r"\AActionPath:", re.IGNORECASE)
ACKNOWLEDGED = "OK."


@dataclass
class Transcript:
    """One episode while its lines come in."""

    opening: list[str] = field(default_factory=list)
    steps: list[LogStep] = field(default_factory=list)
    answer: list[str] = field(default_factory=list)
    thoughts: list[str] = field(default_factory=list)
    after_thought: bool = False
    answered: int = 0

    def add(self, line: str) -> None:
        match = ACTION.match(line)
        if match is not None:
            self._act(match["action"].strip())
            return
        observed = OBSERVATION.match(line)
        text = observed["text"] if observed else line
        if self.after_thought and text.strip() == ACKNOWLEDGED:
            if self.thoughts:  # text between the thought and its 'OK.' is the rest of the thought
                self.thoughts[-1] = "\n".join([self.thoughts[-1], *self.answer[self.answered :]])
                del self.answer[self.answered :]
            return
        (self.answer if self.steps or self.after_thought else self.opening).append(text)

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
