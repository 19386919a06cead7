"""A conversation that is one text → messages: a chat template's marks, speakers' names at the beginning of lines, or ReAct's labels.

Nothing is guessed: the whole text has to be in the form, speakers have to alternate, and observations have to follow their actions.
"""

import re
from itertools import pairwise
from typing import Any

from tratree_data.importers.turns.conversations import ROLES

Message = dict[str, Any]
TEMPLATES = tuple(
    (re.compile(rf"\s*(?:{before})?{start}\s*", re.DOTALL), re.compile(end))
    for before, start, end in (
        ("", r"<\|im_start\|>(?P<role>\w+)\n", r"<\|im_end\|>"),
        (r"<\|begin_of_text\|>", r"<\|start_header_id\|>(?P<role>\w+)<\|end_header_id\|>\n", r"<\|eot_id\|>|<\|eom_id\|>"),
        ("<bos>", r"<start_of_turn>(?P<role>\w+)\n", "<end_of_turn>"),
        ("<s>", r"<\|(?P<role>system|user|assistant)\|>\n", r"<\|end\|>|</s>|<\|endoftext\|>"),
    )
)
AFTER = re.compile(r"(?:\s|<\|end_of_text\|>|<\|endoftext\|>|<eos>|</s>)*")
MARK = re.compile(r"<\|(?:im_start|start_header_id|user|assistant|system)\|?>|<start_of_turn>")
SPEAKERS = {
    name: role
    for role, names in {
        "system": ("System",),
        "user": ("User", "Human", "Environment", "Env", "Customer", "USER", "HUMAN"),
        "assistant": ("Assistant", "AI", "Agent", "Bot", "Model", "ASSISTANT", "AGENT"),
    }.items()
    for name in names
}
LABEL = re.compile(rf"^(?:#{{2,4}} |\*\*|\[)?(?P<name>{'|'.join(SPEAKERS)})(?:\*\*:|:\*\*|\]:|:)[ \t]*\n?", re.MULTILINE)
PART = re.compile(r"^[ \t]*(?P<name>Thought|Action|Observation|Final Answer)(?:[ \t]?(?P<number>\d{1,4}))?[ \t]?:[ \t]*", re.MULTILINE)
COMMAND = re.compile(r"^> ?(?P<command>[^\n>]{1,200})$", re.MULTILINE)
LONGEST_OPENING_LINE = 4_000


def read_transcript(text: str, has_commands: bool = True) -> list[Message]:
    """The messages; none if the text is not in one of the forms."""
    return read_template(text) or _read_parts(text) or _read_speakers(text) or (_read_commands(text) if has_commands else [])


def read_exchange(asked: str, answer: Any) -> tuple[list[Message], Any]:
    """A request that is a text, and its answer: of a chat template one text, which the answer continues, perhaps for several turns."""
    messages = read_template(asked + answer) if isinstance(answer, str) and is_template(asked) else []
    return (messages, None) if messages else (read_template(asked) or [{"role": "user", "content": asked}], answer)


def is_template(text: str) -> bool:
    return MARK.search(text[:LONGEST_OPENING_LINE]) is not None


def read_template(text: str) -> list[Message]:
    """Marks of a chat template; an answer that is only begun, as in a prompt, is none."""
    for start, end in TEMPLATES:
        messages: list[Message] = []
        at = 0
        while (begin := start.match(text, at)) is not None:
            role = ROLES.get(begin["role"].lower())
            role = "tool" if begin["role"].lower() in ("tool", "ipython") else role
            over = end.search(text, begin.end())
            content = text[begin.end() : over.start() if over else len(text)]
            at = over.end() if over else len(text)
            if role is None or start.search(content) is not None:
                break
            messages.append({"role": role, "content": content.removesuffix("\n")})
        if messages and AFTER.fullmatch(text, at):
            is_begun = messages[-1] == {"role": "assistant", "content": ""}
            return messages[:-1] if is_begun else messages
    return []


def _read_speakers(text: str) -> list[Message]:
    """'Human: …' and 'Assistant: …', in turns, from the beginning to the end."""
    found = list(LABEL.finditer(text))
    if len(found) < 2 or text[: found[0].start()].strip():
        return []
    ends = [*(match.start() for match in found[1:]), len(text)]
    said = [{"role": SPEAKERS[match["name"]], "content": text[match.end() : end].strip()} for match, end in zip(found, ends, strict=True)]
    said = said[:-1] if said[-1] == {"role": "assistant", "content": ""} else said
    turns = [message["role"] for message in said if message["role"] != "system"]
    in_turn = all(a != b for a, b in pairwise(turns)) and "system" not in [message["role"] for message in said[1:]]
    return said if in_turn and {*turns} == {"user", "assistant"} and turns[0] == "user" else []


def _read_parts(text: str) -> list[Message]:
    """'Thought:', 'Action:' and 'Observation:', each action with the thought before it and the observation behind it."""
    found = list(PART.finditer(text))
    names = [match["name"] for match in found]
    if names.count("Action") < 1 or "Observation" not in names:
        return []
    opening = text[: found[0].start()].strip()
    messages: list[Message] = [{"role": "user", "content": opening}] if opening else []
    ends = [*(match.start() for match in found[1:]), len(text)]
    before = ""
    seen: set[tuple[str, str]] = set()
    said: list[str] = []
    for match, end in zip(found, ends, strict=True):
        name, number = match["name"], match["number"]
        is_first_look = name == "Observation" and not before
        if (number and (name, number) in seen) or (name in ("Action", "Final Answer") and before in ("Action", "Final Answer")):
            return []  # the agent made up what follows, or it was cut together
        if name == "Observation" and not is_first_look and before != "Action":
            return []
        if number:
            seen.add((name, number))
        if name == "Observation":
            messages.append({"role": "user", "content": text[match.end() : end].strip()})
        else:
            said.append(text[match.start() : end].strip())
        if name in ("Action", "Final Answer"):
            messages.append({"role": "assistant", "content": "\n".join(said)})
            said = []
        before = name
    return messages if not any(said) else []


def _read_commands(text: str) -> list[Message]:
    """A text game's '> command' lines, each with the answer below it."""
    found = list(COMMAND.finditer(text))
    opening = text[: found[0].start()].strip() if found else ""
    if len(found) < 2 or not opening:
        return []
    messages: list[Message] = [{"role": "user", "content": opening}]
    ends = [*(match.start() for match in found[1:]), len(text)]
    for i, (match, end) in enumerate(zip(found, ends, strict=True)):
        answer = text[match.end() : end].strip()
        if not answer and i + 1 < len(found):
            return []  # lines that quote
        messages.append({"role": "assistant", "content": match["command"].strip()})
        messages += [{"role": "user", "content": answer}] if answer else []
    return messages
