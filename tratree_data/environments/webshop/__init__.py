"""WebShop rewritten: an online shop as text, with the original's pages, actions and score, but without HTML, Java or a server.

An agent is asked for a product, searches, reads, chooses options and buys; the score is paid at Buy Now. The same goal and the same
actions always give the same observations. A synthetic catalogue is bundled; a folder with the standard 1,000 products can replace it.
"""

import os
import re
import warnings
from functools import lru_cache
from pathlib import Path

from tratree_data.environments import Outcome, Start
from tratree_data.environments.tools import Tool
from tratree_data.environments.webshop.catalogue_data import BUNDLED, INSTRUCTIONS, PRODUCTS, Catalogue, read_catalogue
from tratree_data.environments.webshop.engine import Shop, Visit
from tratree_data.environments.webshop.goals import Goal, make_goals
from tratree_data.environments.webshop.pages import RESULTS_PER_PAGE
from tratree_data.environments.webshop.score import Score
from tratree_data.errors import BadInputError, NotFoundError, suggest

RULES = "text shop 1"
"""Changes whenever pages, actions, goals or score change."""
DATA_VARIABLE = "TRATREE_WEBSHOP_DATA"

PROMPT = """\
You are web shopping. I will give you instructions about what to do. You have to follow the instructions. Every round I will give you an \
observation and a list of available actions, you have to respond an action based on the state and instruction. You can use search action \
if search is available. You can click one of the buttons in clickables. An action should be of the following structure:

search[keywords]
click[value]

If the action is not valid, perform nothing. Keywords in search are up to you, but the value in click must be a value in the list of \
available actions. Remember that your keywords in search should be carefully designed.

Your response should use the following format:

Thought: I think ...

Action: click[something]"""


TOOL_PROMPT = """\
You are web shopping. I will give you an instruction, and after every action the page that you see. Search on the search page, and \
click the buttons that a page shows. A call that is not valid does nothing. Choose your keywords carefully, and buy what fits the \
instruction best."""

TOOLS = (
    Tool("search", "Searches for products.", {"keywords": "What to search for."}, "search[{keywords}]"),
    Tool("click", "Clicks a button, link or option of the page.", {"value": "Its text, as the page shows it."}, "click[{value}]"),
)


@lru_cache(maxsize=4)
def _load(folder: Path, _stamp: tuple[tuple[int, int], ...]) -> tuple[Catalogue, Shop]:
    catalogue = read_catalogue(folder)
    return catalogue, Shop(catalogue)


def load_shop(folder: Path) -> tuple[Catalogue, Shop]:
    """A catalogue and its index, read once per process as long as its files stay the same."""
    paths = [path for path in (folder / PRODUCTS, folder / INSTRUCTIONS) if path.is_file()]
    return _load(folder, tuple((path.stat().st_mtime_ns, path.stat().st_size) for path in paths))


class WebShop:
    name = "webshop"
    prompt = PROMPT
    tools = TOOLS
    tool_prompt = TOOL_PROMPT
    max_steps = 10
    in_process = True
    """Cheap and safe: explore needs no child process for it."""

    def __init__(self, data: str | Path | None = None, goals_per_product: int = 6, noise: bool = False) -> None:
        """`data`: a folder of products; without it, TRATREE_WEBSHOP_DATA, else the bundled catalogue.

        `noise` heads every page with a line that differs between episodes ("Deal ends in 47 minutes"), as real shops have; `reset`'s seed
        decides what it says. It says nothing about the task, and is there for merging to see through.
        """
        if isinstance(goals_per_product, bool) or not isinstance(goals_per_product, int) or goals_per_product < 1:
            raise BadInputError(f"goals_per_product is {goals_per_product!r}, but must be a whole number from 1.")
        if not isinstance(noise, bool):
            raise BadInputError(f"noise is {noise!r}, but must be true or false.")
        if not isinstance(data, str | Path | None):
            raise BadInputError(f"data is {data!r}, but must be a folder's name.")
        folder = Path(data or os.environ.get(DATA_VARIABLE) or BUNDLED)
        catalogue, self.shop = load_shop(folder)
        self.dropped = catalogue.dropped
        if self.dropped:
            where, why = self.dropped[0]
            warnings.warn(f"{len(self.dropped)} product rows of {folder} were left out; the first is {where}: {why}.", stacklevel=2)
        banner = "; banner" if noise else ""
        data_name = f"{catalogue.name} ({len(self.shop.products)} products) {catalogue.content_hash}"
        self.version = f"{RULES}; data {data_name}; {goals_per_product} goals a product{banner}"
        self._noise = noise
        self._goals = make_goals(self.shop.products, goals_per_product)
        self._by_id = {goal.task_id: goal for goals in self._goals.values() for goal in goals}
        self._visit: Visit | None = None

    def splits(self) -> dict[str, int]:
        return {split: len(goals) for split, goals in self._goals.items()}

    def tasks(self, split: str) -> list[str]:
        if split not in self._goals:
            raise NotFoundError(f"WebShop has no split {split!r}.{suggest(split, self._goals)}")
        return [goal.task_id for goal in self._goals[split]]

    def goal(self, task_id: str) -> Goal:
        if task_id not in self._by_id:
            raise NotFoundError(
                f"WebShop has no task {task_id!r} in this catalogue.{suggest(task_id, self._by_id)}\n"
                "Next: take a task id from tasks(split), made with the same data and goals_per_product."
            )
        return self._by_id[task_id]

    def reset(self, task_id: str, seed: int = 0) -> Start:
        goal = self.goal(task_id)
        self._visit = Visit(self.shop, goal, f"{task_id}:{seed}" if self._noise else None)
        return Start(goal.instruction, self._visit.observation())

    def step(self, action: str) -> Outcome:
        visit = self._current()
        if visit.score is not None:
            raise BadInputError("The episode is over: something was bought.\nNext: reset(task_id) starts another one.")
        valid = visit.act(action)
        bought = visit.score
        reward = bought.total if bought is not None else 0.0
        return Outcome(visit.observation(), bought is not None, reward, valid)

    def score(self) -> float:
        bought = self._current().score
        return bought.total if bought is not None else 0.0

    def success(self) -> bool:
        return self.score() == 1.0

    def explain_score(self) -> Score | None:
        """The terms that the score is made of; None before anything was bought."""
        return self._current().score

    def admissible_actions(self) -> list[str]:
        """Every click that the page offers; on the search page, where any keywords do, a search for the instruction's own words."""
        visit = self._current()
        if visit.page.kind == "search":
            return [f"search[{visit.goal.instruction}]"]
        return [f"click[{button}]" for button in visit.buttons()]

    def expert_actions(self, task_id: str) -> list[str] | None:
        """Search, open the goal's product, choose its options, buy; None where that takes too many steps or does not score 1."""
        goal = self.goal(task_id)
        target = self.shop.by_asin[goal.asin]
        plans = [self._plan(goal, keywords) for keywords in (plain_words(goal.instruction), target.title)]
        found = [plan for plan in plans if plan is not None and len(plan) <= self.max_steps]
        best = min(found, key=len, default=None)
        if best is None:
            return None
        trial = Visit(self.shop, goal)
        for action in best:
            trial.act(action)
        return best if trial.score is not None and trial.score.total == 1.0 else None

    def _plan(self, goal: Goal, keywords: str) -> list[str] | None:
        place = next((rank for rank, product in enumerate(self.shop.search(keywords)) if product.asin == goal.asin), None)
        if place is None:
            return None
        turns = ["click[Next >]"] * (place // RESULTS_PER_PAGE)
        choices = [f"click[{value}]" for value in dict.fromkeys(goal.options.values())]
        return [f"search[{keywords}]", *turns, f"click[{goal.asin}]", *choices, "click[Buy Now]"]

    def _current(self) -> Visit:
        if self._visit is None:
            raise BadInputError("No episode has been started.\nNext: reset(task_id) starts one.")
        return self._visit

    def close(self) -> None:
        self._visit = None


def plain_words(instruction: str) -> str:
    """An instruction as keywords: without the price, the opening phrase and punctuation that search ignores anyway."""
    without_price = re.sub(r",? and price lower than [\d.]+ dollars$", "", instruction)
    without_opening = re.sub(
        r"^(?:please )?(?:find me|i am looking for|i need|i want)\s+(?:an?\s+)?", "", without_price, flags=re.IGNORECASE
    )
    return " ".join(re.findall(r"[\w'’.&-]+", without_opening))
