"""Logs whose true trees are known: small worlds seen through noise, and with traps that look like noise.

`WORLDS` and `NOISES` are split: rules were developed on one half, recall and precision are reported on the other (`HELD_BACK`).
"""

import json
import random
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa

from helpers.small import tables
from tratree_data.trees.rules.normalise import parse_rules
from tratree_data.trees.tree import build_tree

Noise = Callable[[str, random.Random, random.Random], str]
"""(text, what varies at every step, what varies per rollout) → what the agent sees."""


def world_house(rng: random.Random) -> list[tuple[str, str]]:
    """(what is seen, action): a walk through rooms with drawers, without noise; equal walks see equal texts."""
    room, taken = "hall", []
    for _ in range(rng.randint(3, 6)):
        action = rng.choice(["go north", "go south", f"open drawer {rng.randint(1, 2)}", "look"])
        number = sum(map(ord, room)) % 7 + 1
        taken.append(
            (f"You are in the {room}. The drawer {number} is closed.\nYou see a Knife {number}, a Cup {number + 1}, and a Fork 2.", action)
        )
        room = f"{room}-{action.split()[-1]}"[-20:]
    return taken


def world_shell(rng: random.Random) -> list[tuple[str, str]]:
    folder, taken = "/srv", []
    for _ in range(rng.randint(3, 6)):
        action = rng.choice(["ls", "cat notes.txt", "cd data", "grep -c ERROR app.log"])
        size = sum(map(ord, folder + action)) % 90 + 10
        taken.append((f"Output of the last command in {folder}:\nnotes.txt {size} bytes\napp.log {size * 3} bytes", action))
        folder = f"{folder}/{action.split()[0]}"
    return taken


def world_desk(rng: random.Random) -> list[tuple[str, str]]:
    """A support desk: orders with prices that matter."""
    topic, taken = "refund", []
    for _ in range(rng.randint(3, 6)):
        action = rng.choice(["ask the customer", "search policy", "open order", "escalate"])
        price = sum(map(ord, topic)) % 400 + 20
        taken.append((f"The customer asks about {topic}. The order costs {price}.50 euros and has {price % 5 + 1} items in it.", action))
        topic = f"{topic} {action.split()[0]}"[-30:]
    return taken


def world_browser(rng: random.Random) -> list[tuple[str, str]]:
    page, taken = "home", []
    for _ in range(rng.randint(3, 6)):
        action = rng.choice(["click[next]", "click[back]", "search[shoes]", "click[buy]"])
        rank = sum(map(ord, page)) % 50
        taken.append(
            (
                f"Page {page} [SEP] Results 1 to {rank} [SEP] Boots size {rank % 9 + 35} [SEP] Price ${rank}.99 [SEP] Rating {rank % 5}.5",
                action,
            )
        )
        page = f"{page}/{action[6:10]}"[-24:]
    return taken


def _line(text: str, rng: random.Random, _: random.Random) -> str:
    return f"INFO: loaded {rng.randint(3, 40)} tools in {rng.random():.2f} s\n{text}" if rng.random() < 0.5 else text


def _last_line(text: str, rng: random.Random, _: random.Random) -> str:
    return f"{text}\n(cache miss on shard {rng.randint(0, 9999)}, retry {rng.randint(1, 3)})" if rng.random() < 0.5 else text


def _ids(text: str, rng: random.Random, _: random.Random) -> str:
    return f"Request {rng.getrandbits(48):012x} done. {text}"


def _ticket(text: str, _: random.Random, per_rollout: random.Random) -> str:
    return f"Ticket {per_rollout.randint(100, 999)} is yours. {text}"


def _time(text: str, rng: random.Random, _: random.Random) -> str:
    return f"{text} [{rng.randint(0, 23):02}:{rng.randint(0, 59):02}:{rng.randint(0, 59):02}]"


def _price(text: str, rng: random.Random, _: random.Random) -> str:
    return f"{text}\nSponsored: a blanket for ${rng.randint(5, 99)}.{rng.randint(10, 99)} today"


def _case(text: str, rng: random.Random, _: random.Random) -> str:
    return text.upper() if rng.random() < 0.3 else text


def _order(text: str, rng: random.Random, _: random.Random) -> str:
    lines = text.split("\n")
    rng.shuffle(lines)
    return "\n".join(lines)


def _host(text: str, _: random.Random, per_rollout: random.Random) -> str:
    return f"worker@node-{per_rollout.randint(1, 400)}.cluster.internal> {text}"


def _date(text: str, rng: random.Random, _: random.Random) -> str:
    return f"As of 2026-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}T{rng.randint(0, 23):02}:{rng.randint(0, 59):02}:00Z:\n{text}"


def _uuid(text: str, rng: random.Random, _: random.Random) -> str:
    digits = f"{rng.getrandbits(128):032x}"
    return f"{text}\ntrace-id: {digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def _warning(text: str, rng: random.Random, _: random.Random) -> str:
    return f"{text}\n/usr/lib/net.py:{rng.randint(10, 900)}: DeprecationWarning: old call" if rng.random() < 0.4 else text


def _polite(text: str, rng: random.Random, _: random.Random) -> str:
    return rng.choice(["Certainly. ", "Of course! ", "", "No problem: "]) + text


def _latency(text: str, rng: random.Random, _: random.Random) -> str:
    return f"{text} (took {rng.randint(20, 900)} ms)" if rng.random() < 0.6 else text


def _ago(text: str, rng: random.Random, _: random.Random) -> str:
    times = ["just now", "a minute ago", f"{rng.randint(2, 59)} minutes ago", f"{rng.randint(2, 23)} hours ago", "yesterday"]
    return f"{text}\n(updated {rng.choice(times)})"


def _login(text: str, rng: random.Random, _: random.Random) -> str:
    day, month = rng.choice(["Mon", "Tue", "Wed", "Thu", "Fri"]), rng.choice(["Jan", "Mar", "May", "Oct", "Dec"])
    when = f"{day} {month} {rng.randint(1, 28):>2} {rng.randint(10, 23)}:{rng.randint(10, 59)}:{rng.randint(10, 59)} 2026"
    return f"Last login: {when} on pts/{rng.randint(0, 9)}\n{text}" if rng.random() < 0.6 else text


def _colours(text: str, _: random.Random, per_rollout: random.Random) -> str:
    colour = per_rollout.choice([0, 31, 32])
    return "\n".join(f"\x1b[1;{colour}m{line}\x1b[0m\x1b[K" for line in text.split("\n")) if colour else text


def _bars(text: str, rng: random.Random, _: random.Random) -> str:
    done = sorted(rng.sample(range(1, 20), rng.randint(0, 3)))
    return "\n".join([*(f"[{'=' * n}>{' ' * (20 - n)}] {n * 5}%" for n in done), text])


def _json(text: str, rng: random.Random, _: random.Random) -> str:
    items = [("output", text), ("request", rng.getrandbits(32)), ("elapsed", round(rng.random(), 3))]
    rng.shuffle(items)
    return json.dumps(dict(items))


def _typography(text: str, rng: random.Random, _: random.Random) -> str:
    """The same words from another keyboard, half of the time."""
    plain = f"{text}\nThat's all - you're done."
    return plain.translate({ord("'"): "\u2019", ord("-"): "\u2013", ord(" "): rng.choice(" \u00a0")}) if rng.random() < 0.5 else plain


FOUND_LATER: dict[str, Noise] = {
    "ago": _ago, "login": _login, "colours": _colours, "bars": _bars, "json": _json, "typography": _typography,
}  # fmt: skip
"""Kinds that were missed in logs held back from all development; the rules have seen them since."""

DEVELOPED_ON: dict[str, tuple[Callable[[random.Random], list[tuple[str, str]]], dict[str, Noise]]] = {
    "house": (world_house, {"line": _line, "ids": _ids, "time": _time, "ticket": _ticket, "case": _case}),
    "shell": (world_shell, {"line": _line, "last line": _last_line, "ids": _ids, "order": _order}),
}
HELD_BACK: dict[str, tuple[Callable[[random.Random], list[tuple[str, str]]], dict[str, Noise]]] = {
    "desk": (
        world_desk,
        {"host": _host, "date": _date, "polite": _polite, "latency": _latency, "warning": _warning, "price": _price, "uuid": _uuid},
    ),
    "browser": (world_browser, {"host": _host, "date": _date, "latency": _latency, "warning": _warning, "price": _price, "uuid": _uuid}),
}


def make_log(
    world: Callable[[random.Random], list[tuple[str, str]]], noises: Sequence[Noise], *, seed: int, tasks: int = 12, attempts: int = 8
) -> tuple[pa.Table, pa.Table, pa.Table]:
    """(rollouts, steps without noise, steps as seen)."""
    true: list[Any] = []
    seen: list[Any] = []
    for task in range(tasks):
        for attempt in range(attempts):
            rng = random.Random(f"{seed} {task} {attempt}")
            taken = world(rng)
            score = float(sum(map(ord, "".join(action for _, action in taken))) % 3) / 2
            true.append((f"task {task}", attempt, score, [(f"Task {task}. {text}", "", action) for text, action in taken]))
            steps = []
            for step, (clean, action) in enumerate(taken):
                seen_text = clean
                for number, noise in enumerate(noises):
                    once = f"{seed} {task} {attempt} {number}"
                    seen_text = noise(seen_text, random.Random(f"{once} {step}"), random.Random(once))
                steps.append((f"Task {task}. {seen_text}" if not noises else seen_text, "", action))
            seen.append((f"task {task}", attempt, score, steps))
    rollouts, clean = tables(true)
    return rollouts, clean, tables(seen)[1]


def precision_and_recall(
    rollouts: pa.Table, clean: pa.Table, seen: pa.Table, rules: Sequence[str], action_rules: Sequence[str] = ()
) -> tuple[float, float]:
    """Of pairs of steps at one node: the share that are true, and the share of true ones that were found."""
    truth, found = (
        [
            row["node_id"]
            for row in build_tree(rollouts, steps, rules=parse_rules(given), action_rules=parse_rules(done))
            .step_nodes.sort_by([("rollout_id", "ascending"), ("step", "ascending")])
            .to_pylist()
        ]
        for steps, given, done in ((clean, (), ()), (seen, rules, action_rules))
    )

    def pairs(keys: Sequence[Any]) -> int:
        return sum(count * (count - 1) // 2 for count in Counter(keys).values())

    both = pairs(list(zip(truth, found, strict=True)))
    return both / max(1, pairs(found)), both / max(1, pairs(truth))


def trap_drawer(rng: random.Random, task: int) -> tuple[float, list[tuple[str, str]]]:
    """The environment puts the agent before one of four drawers, whose contents differ."""
    drawer = rng.randint(1, 4)
    thing = ("knife", "fork", "cup", "key")[drawer - 1]
    seen = [(f"You stand before drawer {drawer} in room {task}. It is closed.", "open it"), (f"Inside you see a {thing}.", f"take {thing}")]
    return float(thing == "key"), [*seen, (f"You hold the {thing}.", "stop")]


def trap_user(rng: random.Random, task: int) -> tuple[float, list[tuple[str, str]]]:
    """Another customer at every attempt, whose id the agent looks up."""
    user = f"{rng.choice(['mia_li', 'omar_davis', 'yara_ito', 'noah_khan'])}_{rng.randint(1000, 9999)}"
    seen = [(f"Hello, my user id is {user} and I want to change order {task}.", "respond: One moment."), ("Thanks.", f"get_user({user})")]
    return float(rng.random() < 0.5), [*seen, ("The profile is open.", "stop")]


def trap_count(rng: random.Random, task: int) -> tuple[float, list[tuple[str, str]]]:
    """How many attempts are left decides what the agent does."""
    left = rng.randint(1, 4)
    seen = [
        (f"The safe {task} is locked. You have {left} attempts left.", "look"),
        ("The safe has a dial.", "turn dial" if left > 2 else "call help"),
    ]
    return float(left > 2), [*seen, ("Done.", "stop")]


def trap_door(rng: random.Random, task: int) -> tuple[float, list[tuple[str, str]]]:
    """A line that is present or absent, and matters."""
    is_locked = rng.random() < 0.5
    seen = f"You are in room {task}, before a door." + ("\nThe door is locked by a chain." if is_locked else "")
    return float(not is_locked), [
        (seen, "wait"),
        ("Nothing happens.", "force it" if is_locked else "go through"),
        ("You are outside.", "stop"),
    ]


def trap_amount(rng: random.Random, task: int) -> tuple[float, list[tuple[str, str]]]:
    """One of two amounts, which the agent writes in another way, and which decides."""
    amount = rng.choice([40, 400])
    asked = [(f"Question about transfer {task}.", "ask"), (f"{amount}.00 euros are missing.", rng.choice(["look", f"refund({amount})"]))]
    return float(amount == 40), [*asked, ("Accepted." if amount == 40 else "Not accepted.", "stop")]


TRAPS = {"amount": trap_amount, "drawer": trap_drawer, "user": trap_user, "count": trap_count, "door": trap_door}


def make_trap(trap: Callable[[random.Random, int], tuple[float, list[tuple[str, str]]]], *, seed: int, attempts: int = 10) -> Any:
    """(rollouts, steps): 15 tasks in which what looks like noise is the state."""
    rows: list[Any] = []
    for task in range(15):
        for attempt in range(attempts):
            score, taken = trap(random.Random(f"{seed} {task} {attempt}"), task)
            rows.append((f"task {task}", attempt, score, [(text, "", action) for text, action in taken]))
    return tables(rows)
