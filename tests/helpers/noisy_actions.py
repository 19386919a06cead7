"""Logs in which noise is in the actions: what an agent does, in words that vary; and traps in which the variation matters.

The environment answers what is meant, not how it is worded. `DEVELOPED_ON` and `HELD_BACK` are split as in noisy_logs.
"""

import json
import random
from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa

from helpers.small import tables

Noise = Callable[[str, random.Random], str]
World = Callable[[random.Random], list[tuple[str, str]]]


def walk(rng: random.Random, start: str, actions: Sequence[str], describe: Callable[[str, str], str]) -> list[tuple[str, str]]:
    """(what is seen, action): each answer is a function of what was meant so far."""
    done, seen, taken = start, f"Ready at {start}.", []
    for _ in range(rng.randint(3, 6)):
        action = rng.choice(actions)
        taken.append((seen, action))
        seen, done = describe(done, action), f"{done}|{action}"
    return taken


def shell(rng: random.Random) -> list[tuple[str, str]]:
    commands = ["ls -l -a src", 'grep -n -r "TODO" src', "python /srv/check.py", "cat src/main.py", "git status"]
    return walk(rng, "/testbed", commands, lambda done, action: f"{action.split()[0]}: {sum(map(ord, done + action)) % 97} lines\nexit 0")


def tests(rng: random.Random) -> list[tuple[str, str]]:
    commands = ["pytest -q -x tests/test_a.py", "sed -n -e 3p lib/core.py", "git diff", "mkdir build", "make all"]

    def answer(done: str, action: str) -> str:
        return "" if action == "mkdir build" else f"{len(done) % 13} passed, {sum(map(ord, action + done)) % 7} failed"

    return walk(rng, "/repo", commands, answer)


def tools(rng: random.Random) -> list[tuple[str, str]]:
    calls = [
        'search {"limit": 5, "query": "red shoes"}',
        'open {"page": 2}',
        'search {"limit": 5, "query": "blue hat"}',
        'buy {"item": "B07"}',
    ]
    return walk(rng, "shop", calls, lambda done, action: json.dumps({"results": [sum(map(ord, done + action)) % 89, len(done) % 11]}))


def functions(rng: random.Random) -> list[tuple[str, str]]:
    calls = ["get_order(number=17, full=True)", "list_items(order=17, page=1)", "refund(order=17, amount=20.5)", "close()"]
    return walk(rng, "desk", calls, lambda done, action: f"Result: {sum(map(ord, done + action)) % 83} of {len(done)}")


def _prefix(text: str, rng: random.Random) -> str:
    return f"cd /testbed && {text}" if rng.random() < 0.5 else text


def _quotes(text: str, rng: random.Random) -> str:
    return text.replace('"', "'") if rng.random() < 0.5 else text


def _spaces(text: str, rng: random.Random) -> str:
    return text.replace(" ", "  ") if rng.random() < 0.3 else text


def _script(text: str, rng: random.Random) -> str:
    return text.replace("/srv/check.py", f"/srv/check_{rng.randint(1000, 9999)}.py")


def _redirect(text: str, rng: random.Random) -> str:
    return f"{text} 2>&1" if rng.random() < 0.5 else text


def _flags(text: str, rng: random.Random) -> str:
    words = text.split()
    flags = [word for word in words[1:] if word.startswith("-")]
    if len(flags) < 2 or rng.random() < 0.5:
        return text
    if words[0] == "sed":
        return text.replace("-n -e 3p", "-e 3p -n")
    return " ".join([words[0], *reversed(flags), *(word for word in words[1:] if word not in flags)])


def _comment(text: str, rng: random.Random) -> str:
    return f"{text}  # attempt {rng.randint(1, 40)}" if rng.random() < 0.5 else text


def _timeout(text: str, rng: random.Random) -> str:
    return f"timeout {rng.choice([30, 60, 120])} {text}" if rng.random() < 0.5 else text


def _temporary(text: str, rng: random.Random) -> str:
    name = "".join(rng.choices("abcdefghijklmnopqrstuvwxyz0123456789_", k=8))
    return text.replace("git diff", f"git diff --output /tmp/tmp{name}").replace("make all", f"make all BUILD=/tmp/tmp{name}")


def _request(text: str, rng: random.Random) -> str:
    name, _, arguments = text.partition(" ")
    given = {**json.loads(arguments), "request_id": f"{rng.getrandbits(48):012x}"}
    return f"{name} {json.dumps(given)}"


def _keys(text: str, rng: random.Random) -> str:
    name, _, arguments = text.partition(" ")
    items = list(json.loads(arguments).items())
    rng.shuffle(items)
    return f"{name} {json.dumps(dict(items))}"


def _time(text: str, rng: random.Random) -> str:
    name, _, arguments = text.partition(" ")
    given = {**json.loads(arguments), "at": f"2026-03-{rng.randint(1, 28):02}T{rng.randint(0, 23):02}:{rng.randint(0, 59):02}:00Z"}
    return f"{name} {json.dumps(given)}"


def _named(text: str, rng: random.Random) -> str:
    name, _, arguments = text[:-1].partition("(")
    items = arguments.split(", ")
    rng.shuffle(items)
    return f"{name}({', '.join(items)})"


def _trace(text: str, rng: random.Random) -> str:
    return f"[call {rng.randint(10_000, 99_999)}] {text}"


DEVELOPED_ON: dict[str, tuple[World, dict[str, Noise]]] = {
    "shell": (shell, {"prefix": _prefix, "quotes": _quotes, "spaces": _spaces, "script": _script, "redirect": _redirect}),
    "tools": (tools, {"request": _request, "time": _time}),
}
HELD_BACK: dict[str, tuple[World, dict[str, Noise]]] = {
    "tests": (tests, {"flags": _flags, "comment": _comment, "timeout": _timeout, "temporary": _temporary}),
    "functions": (functions, {"named": _named, "trace": _trace}),
    "tools": (tools, {"keys": _keys}),
}


def make_log(
    world: World, noises: Sequence[Noise], *, seed: int, tasks: int = 12, attempts: int = 8
) -> tuple[pa.Table, pa.Table, pa.Table]:
    """(rollouts, steps without noise, steps as done)."""
    true: list[Any] = []
    done: list[Any] = []
    for task in range(tasks):
        for attempt in range(8):
            taken = world(random.Random(f"{seed} {task} {attempt}"))
            score = float(sum(map(ord, "".join(action for _, action in taken))) % 3) / 2
            steps = []
            for step, (seen, action) in enumerate(taken):
                worded = action
                for number, noise in enumerate(noises):
                    worded = noise(worded, random.Random(f"{seed} {task} {attempt} {number} {step}"))
                steps.append((seen, "", worded))
            true.append((f"task {task}", attempt, score, [(seen, "", action) for seen, action in taken]))
            done.append((f"task {task}", attempt, score, steps))
    rollouts, clean = tables(true)
    return rollouts, clean, tables(done)[1]


def trap_file(rng: random.Random, task: int) -> tuple[float, list[tuple[str, str]]]:
    """Removing says nothing; only the listing afterwards shows which file is gone."""
    number = rng.randint(1, 60)
    rest = " ".join(f"part_{n}.log" for n in range(1, 61) if n != number and n % 5 == number % 5)
    return float(number % 5 == 0), [(f"Task {task}: disk full.", f"rm part_{number}.log"), ("", "ls"), (rest, "stop")]


def trap_read(rng: random.Random, task: int) -> tuple[float, list[tuple[str, str]]]:
    number = rng.randint(1, 90)
    return float(number > 60), [
        (f"Task {task}: 90 pages.", f"cat page_{number}.txt"),
        (f"It says {number * 7 % 10}.", "stop"),
        ("Bye.", "end"),
    ]


def trap_user(rng: random.Random, task: int) -> tuple[float, list[tuple[str, str]]]:
    """Which user of a list is opened decides everything, and the answer does not say so."""
    users = [f"user_{task}{n:02}" for n in range(40)]
    user = rng.choice(users)
    last = "refund" if user[-1] in "02468" else "refuse"
    return float(user[-1] in "02468"), [(f"Users: {', '.join(users)}.", f"open({user})"), ("The profile is open.", last), ("Done.", "stop")]


def trap_guess(rng: random.Random, task: int) -> tuple[float, list[tuple[str, str]]]:
    """A number that is rarely right."""
    number = rng.randint(100, 999)
    right = number % 9 == task % 9
    return float(right), [(f"Lock {task}.", f"dial {number}"), ("It opens." if right else "It stays shut.", "stop"), ("Bye.", "end")]


def trap_flag(rng: random.Random, task: int) -> tuple[float, list[tuple[str, str]]]:
    forced = rng.random() < 0.5
    return float(not forced), [
        (f"Branch {task} is behind.", "git push --force" if forced else "git push"),
        ("Forced update." if forced else "Rejected.", "stop"),
        ("Bye.", "end"),
    ]


def trap_answer(rng: random.Random, task: int) -> tuple[float, list[tuple[str, str]]]:
    """The last action holds the answer, nothing follows it, and all fail."""
    return 0.0, [(f"How many in {task}?", "count"), ("There are many.", f"answer[{rng.randint(1, 5000)}]")]


def trap_folder(rng: random.Random, task: int) -> tuple[float, list[tuple[str, str]]]:
    """`cd … &&` into another folder."""
    folder = rng.choice(["a", "b"])
    return float(folder == "a"), [(f"Task {task}.", f"cd {folder} && make"), (f"Built {folder}.", "stop"), ("Bye.", "end")]


TRAPS = {
    "file": trap_file, "read": trap_read, "user": trap_user, "guess": trap_guess, "flag": trap_flag, "answer": trap_answer,
    "folder": trap_folder,
}  # fmt: skip
