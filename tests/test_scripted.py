"""Scripted agents: deterministic, better with skill, more varied with temperature, and able to act anywhere."""

import json
import math
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from helpers.shared_data import SHARED, needs_shared

from tratree_data.agents import Request, Step, make_agent, parse_response
from tratree_data.agents.scripted import ScriptedAgent
from tratree_data.agents.scripted_choices import PHRASES, Choice, word_thought
from tratree_data.agents.webshop_reading import read_need, remember
from tratree_data.agents.webshop_script import shop
from tratree_data.environments.webshop import WebShop
from tratree_data.errors import BadInputError

SKILLS = (0.0, 0.25, 0.5, 0.75, 1.0)
TASKS = 60
ATTEMPTS = 4
Episode = tuple[float, tuple[Step, ...], list[bool]]
"""Score, steps, and whether each action was valid."""
Played = dict[float, list[list[Episode]]]
"""Per skill, per task, the attempts."""


def act(agent: ScriptedAgent, request: Request) -> Step:
    response = agent.act([request])[0]
    return Step(request.observation, response.thought, response.action)


def play(shop: WebShop, agent: ScriptedAgent, task: str, attempt: int, seed: int | None = None) -> Episode:
    start = shop.reset(task, attempt)
    history: tuple[Step, ...] = ()
    valid: list[bool] = []
    observation, done = start.observation, False
    while not done and len(history) < shop.max_steps:
        sampling = {} if seed is None else {"seed": seed}
        request = Request(shop.name, task, attempt, shop.prompt, start.instruction, history, observation, None, sampling)
        history = (*history, act(agent, request))
        outcome = shop.step(history[-1].action)
        valid.append(bool(outcome.valid))
        observation, done = outcome.observation, outcome.done
    return shop.score(), history, valid


@pytest.fixture(autouse=True, scope="module")
def bundled_catalogue() -> Iterator[None]:
    """Whoever runs the tests may have the standard data configured."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("TRATREE_WEBSHOP_DATA", raising=False)
        yield


@pytest.fixture(scope="module")
def webshop() -> WebShop:
    return WebShop()


@pytest.fixture(scope="module")
def played(webshop: WebShop) -> Played:
    tasks = webshop.tasks("train")[:TASKS]
    return {
        skill: [[play(webshop, ScriptedAgent(skill), task, attempt) for attempt in range(ATTEMPTS)] for task in tasks] for skill in SKILLS
    }


def interval(values: list[float], seed: int = 0) -> tuple[float, float]:
    """95 % bootstrap interval of the mean over tasks."""
    draw = random.Random(seed)
    means = sorted(statistics.mean(draw.choices(values, k=len(values))) for _ in range(500))
    return means[12], means[487]


def test_more_skill_scores_more(played: Played) -> None:
    by_task = {skill: [statistics.mean(score for score, _, _ in attempts) for attempts in tasks] for skill, tasks in played.items()}
    intervals = {skill: interval(values) for skill, values in by_task.items()}
    print({skill: (round(statistics.mean(values), 3), intervals[skill]) for skill, values in by_task.items()}, "bootstrap seed 0")
    for low, high in pairwise(SKILLS):
        assert statistics.mean(by_task[low]) < statistics.mean(by_task[high])
    assert intervals[0.0][1] < intervals[0.5][0] < intervals[0.5][1] < intervals[1.0][0]


def test_there_are_successes_failures_and_everything_between(
    played: Played,
) -> None:
    scores = [score for tasks in (played[0.25], played[0.5], played[0.75]) for attempts in tasks for score, _, _ in attempts]
    share = {"0": scores.count(0.0), "1": scores.count(1.0), "between": sum(0 < score < 1 for score in scores)}
    assert all(count > 0.15 * len(scores) for count in share.values()), share
    assert len(set(scores)) > 6
    validity = [flag for attempts in played[0.25] for _, _, flags in attempts for flag in flags]
    assert 0.7 < statistics.mean(validity) < 0.99, "weak agents also do what a page does not offer"


def test_attempts_share_beginnings_and_part(played: Played) -> None:
    """What trees are made for."""
    for skill in (0.25, 0.5, 0.75):
        shared, parted, mixed = 0, 0, 0
        for attempts in played[skill]:
            actions = [tuple(step.action for step in steps) for _, steps, _ in attempts]
            pairs = [(left, right) for place, left in enumerate(actions) for right in actions[:place]]
            shared += any(left[:2] == right[:2] for left, right in pairs)
            parted += len(set(actions)) > 1
            mixed += len({score for score, _, _ in attempts}) > 1
        assert shared > 0.5 * TASKS
        assert parted > 0.8 * TASKS
        assert mixed > 0.2 * TASKS, "one task's attempts end differently"


def test_temperature_zero_repeats_itself(webshop: WebShop) -> None:
    cold, hot = ScriptedAgent(0.5, 0.0), ScriptedAgent(0.5, 2.0)
    different = 0
    for task in webshop.tasks("train")[:20]:
        assert len({tuple(step.action for step in play(webshop, cold, task, attempt)[1]) for attempt in range(3)}) == 1
        different += len({tuple(step.action for step in play(webshop, hot, task, attempt)[1]) for attempt in range(3)}) > 1
    assert different >= 18


def test_the_same_request_gets_the_same_answer(webshop: WebShop) -> None:
    task = webshop.tasks("train")[3]
    runs = [play(webshop, ScriptedAgent(0.4, 1.5, seed=7), task, 2, seed=11) for _ in range(2)]
    assert runs[0] == runs[1]
    others = [play(webshop, ScriptedAgent(0.4, 1.5, seed=seed), task, 2, seed=11)[1] for seed in range(8)]
    assert len(set(others)) > 1
    others = [play(webshop, ScriptedAgent(0.4, 1.5), task, 2, seed=seed)[1] for seed in range(8)]
    assert len(set(others)) > 1


def test_a_requests_temperature_goes_first(webshop: WebShop) -> None:
    task = webshop.tasks("train")[0]
    start = webshop.reset(task)

    def first(agent: ScriptedAgent, attempt: int, **sampling: float) -> str:
        return act(agent, Request("webshop", task, attempt, "", start.instruction, (), start.observation, None, sampling)).action

    assert len({first(ScriptedAgent(0.2, 5.0), attempt, temperature=0.0) for attempt in range(10)}) == 1
    assert len({first(ScriptedAgent(0.2, 0.0), attempt, temperature=5.0) for attempt in range(10)}) > 1


def test_names_and_options() -> None:
    agent = make_agent("scripted:skill=0.4")
    assert (agent.name, agent.model, agent.batched) == ("scripted", "scripted-skill0.4-t1", False)
    assert ScriptedAgent(skill=1, temperature=0.25).model == "scripted-skill1-t0.25"
    for options in ({"skill": 1.2}, {"skill": -0.1}, {"skill": "high"}, {"temperature": -1}, {"temperature": math.nan}, {"skill": True}):
        with pytest.raises(BadInputError, match="must be a number from 0"):
            ScriptedAgent(**options)  # type: ignore[arg-type]
    agent.close()


def test_thoughts_fit_and_vary(played: Played) -> None:
    steps = [step for tasks in played.values() for attempts in tasks for _, history, _ in attempts for step in history]
    assert all(step.thought and "{" not in step.thought for step in steps)
    buying = {step.thought for step in steps if step.action == "click[Buy Now]"}
    assert len(buying) > 10
    assert all(words & set(thought.lower().replace(",", "").replace(".", "").split()) for thought in buying for words in ({"buy", "take"},))
    for step in steps:
        if "too expensive" in step.thought.lower():
            assert step.action == "click[< Prev]"


def test_text_holds_thought_and_action(webshop: WebShop) -> None:
    task = webshop.tasks("train")[0]
    start = webshop.reset(task)
    response = ScriptedAgent().act([Request("webshop", task, 0, "", start.instruction, (), start.observation)])[0]
    assert parse_response(response.text) == (response.thought, response.action)


def test_facts_are_never_templates() -> None:
    for kind in PHRASES:
        text = word_thought(Choice("{kind}", kind, 1.0, {"title": "{price}", "query": "{0.__class__}", "missing": "{"}), random.Random(0))
        assert text


@pytest.mark.parametrize(
    ("instruction", "thing", "attributes", "options", "limit"),
    [
        (
            "Find me a dimmable, energy efficient desk lamp with usb port for home office with color: matte black, and size: 10 inch"
            ", and price lower than 60.00 dollars",
            "desk lamp",
            ("dimmable", "energy efficient", "usb port", "home office"),
            {"color": "matte black", "size": "10 inch"},
            60.0,
        ),
        ("I need cruelty free shampoo with coconut oil", "shampoo", ("cruelty free", "coconut oil"), {}, None),
        ("I need a slim fit men's dress shirt", "men's dress shirt", ("slim fit",), {}, None),
        ("I need caffeine free herbal tea", "herbal tea", ("caffeine free",), {}, None),
        (
            "Find me slim fit men's henleys with short sleeve with fit type: men, and size: 2x, and price lower than 1,000.00 dollars",
            "men's henleys",
            ("slim fit", "short sleeve"),
            {"fit type": "men", "size": "2x, and price lower than 1,000.00 dollars"},
            None,
        ),
        ("", "", (), {}, None),
    ],
)
def test_reading_an_instruction(
    instruction: str, thing: str, attributes: tuple[str, ...], options: dict[str, str], limit: float | None
) -> None:
    need = read_need(instruction)
    assert (need.thing, need.attributes, need.options, need.limit) == (thing, attributes, options, limit)


def test_every_instruction_of_the_catalogue_is_understood(webshop: WebShop) -> None:
    for split in webshop.splits():
        for task in webshop.tasks(split):
            goal = webshop.goal(task)
            need = read_need(goal.instruction)
            assert (need.options, need.limit) == (goal.options, goal.price_limit)
            assert set(need.attributes) == set(goal.attributes)
            assert need.thing == webshop.shop.by_asin[goal.asin].query


STRANGE_PAGES = [
    "",
    " [SEP] ",
    "Search",
    "Buy Now",
    "Price: ",
    "Price:  [SEP] Buy Now",
    "< Prev [SEP] Buy Now [SEP] Price: $",
    "Instruction:",
    "Page 1 (Total results: 5)",
    "Page 1 (Total results: 1) [SEP] B000000001",
    "B000000001 [SEP] [SEP] $ [SEP] Page 1 (Total results: 1)",
    "nonsense " * 1000,
]


@pytest.mark.parametrize("observation", STRANGE_PAGES, ids=range(len(STRANGE_PAGES)))
def test_strange_pages_get_an_answer(observation: str) -> None:
    history = (Step(observation, "", "click[B000000001]"), Step(observation, "", "search["), Step(observation, "", ""))
    request = Request("webshop", "t", 0, "", "", history, observation)
    assert shop(request)
    assert act(ScriptedAgent(), request).action
    assert remember(history, observation).product in ("", "B000000001")


def test_the_banner_changes_nothing_of_what_is_understood() -> None:
    quiet, noisy = WebShop(), WebShop(noise=True)
    cold = ScriptedAgent(1.0, 0.0)
    for task in quiet.tasks("train")[:10]:
        plain = [step.action for step in play(quiet, cold, task, 0)[1]]
        assert [step.action for step in play(noisy, cold, task, 5)[1]] == plain


def test_anywhere_else_it_follows_the_instruction() -> None:
    actions = ["go to shelf 1", "take mug 1 from shelf 1", "open drawer 2", "look"]
    request = Request("alfworld", "task", 0, "", "put a mug in the coffee machine", (), "You see a shelf.", actions)
    assert act(ScriptedAgent(1.0, 0.0), request).action == "take mug 1 from shelf 1"
    chosen = {act(ScriptedAgent(0.0, 2.0, seed), request).action for seed in range(60)}
    assert chosen == set(actions), "without skill anything goes"
    again = Request(
        "alfworld", "task", 0, "", "put a mug away", tuple(Step("o", "t", "take mug 1 from shelf 1") for _ in range(3)), "o", actions
    )
    assert act(ScriptedAgent(1.0, 0.0), again).action != "take mug 1 from shelf 1", "it does not repeat itself for ever"
    for unsaid in (None, []):
        silent = Request("scienceworld", "task", 0, "", "boil water", (), "A room.", unsaid)
        assert act(ScriptedAgent(), silent).action in ("look", "look around", "inventory")


def test_ten_thousand_steps_a_second(webshop: WebShop, played: Played) -> None:
    """The environment alone replays what agents did, searches included. A busy machine does not matter: the process's own time counts."""
    scripts = [
        (task, attempt, [step.action for step in steps])
        for skill in (0.25, 0.75)
        for task, attempts in zip(webshop.tasks("train"), played[skill], strict=False)
        for attempt, (_, steps, _) in enumerate(attempts)
    ]
    webshop.shop.forget_queries()
    start = time.process_time()
    for task, attempt, actions in scripts:
        webshop.reset(task, attempt)
        for action in actions:
            webshop.step(action)
    rate = sum(len(actions) for _, _, actions in scripts) / (time.process_time() - start)
    print(f"{rate:.0f} steps a second")
    assert rate > 10_000


def test_the_benchmark_runs() -> None:
    script = Path(__file__).parents[1] / "benchmarks" / "webshop.py"
    command = [sys.executable, str(script), "--tasks", "4", "--attempts", "2", "--repetitions", "1"]
    result = json.loads(subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout)
    assert [run["seed"] for run in result["runs"]] == [0, 1, 2]
    assert 0.05 < result["share_of_searches"] < 0.4
    assert result["median_steps_per_second"]["every_search_new"] > 0


@needs_shared
def test_on_the_standard_products() -> None:
    standard = WebShop(Path(SHARED) / "webshop")
    tasks = standard.tasks("train")[:40]
    means = [statistics.mean(play(standard, ScriptedAgent(skill), task, 0)[0] for task in tasks) for skill in (0.0, 0.5, 1.0)]
    print(means)
    assert means[0] + 0.1 < means[1]
    assert means[1] + 0.05 < means[2]
