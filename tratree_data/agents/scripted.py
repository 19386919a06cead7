"""Agents that are scripts: honest substitutes for weak models that need neither a GPU nor a key.

A script knows what would be sensible on a page and how sensible. Each possible action gets a score: skill times its quality, a task's
own confusion that grows as skill falls and is the same in every attempt (what a weak model gets wrong, it gets wrong again), and chance
that grows with temperature. The highest score wins. So skill 1 at temperature 0 does the most sensible thing, skill 0 does anything, and
the attempts at a task share their beginnings and diverge where the decision was close.
"""

import math
import random

from tratree_data.agents import Request, Response
from tratree_data.agents.scripted_choices import Choice, word_thought
from tratree_data.agents.webshop_reading import words
from tratree_data.agents.webshop_script import shop
from tratree_data.errors import BadInputError
from tratree_data.ids import content_id
from tratree_data.messages import answer

QUALITY_WEIGHT = 5.0
CONFUSION_WEIGHT = 1.2
CHANCE_WEIGHT = 0.35


class ScriptedAgent:
    name = "scripted"
    batched = False
    computed = True

    def __init__(self, skill: float = 0.6, temperature: float = 1.0, seed: int = 0) -> None:
        """`skill` from 0 (does anything) to 1; `temperature` from 0 (all attempts are the same), unless the request has its own."""
        self.skill = _number("skill", skill, 1.0)
        self.temperature = _number("temperature", temperature, math.inf)
        self.seed = seed
        self.model: str | None = f"scripted-skill{self.skill:g}-t{self.temperature:g}"

    def act(self, requests: list[Request]) -> list[Response]:
        return [self._answer(request) for request in requests]

    def close(self) -> None:
        """Does nothing: there is nothing to close."""

    def _answer(self, request: Request) -> Response:
        choices = shop(request) if request.environment == "webshop" else explore_around(request)
        history = [part for step in request.history for part in (step.observation, step.action)]
        place = content_id(request.environment, request.task_id, len(request.history))
        chance = random.Random(content_id(self.seed, request.sampling.get("seed"), request.attempt, place, *history))
        temperature = _number("temperature", request.sampling.get("temperature", self.temperature), math.inf)
        done = [step.action for step in request.history]
        chosen = max(choices, key=lambda choice: self._score(choice, place, chance, temperature, done))
        thought = word_thought(chosen, chance)
        return Response(answer(thought, chosen.action), thought, chosen.action)

    def _score(self, choice: Choice, place: str, chance: random.Random, temperature: float, done: list[str]) -> float:
        confusion = gumbel(random.Random(content_id(self.seed, place, choice.kind)))
        tired = 0.25 * max(0, done.count(choice.action) - 1)
        sense = QUALITY_WEIGHT * self.skill * (choice.quality - tired)
        return sense + CONFUSION_WEIGHT * (1 - self.skill) * confusion + CHANCE_WEIGHT * temperature * gumbel(chance)


def gumbel(draw: random.Random) -> float:
    """Noise under which the highest score wins with the probabilities of a softmax."""
    return -math.log(-math.log(draw.uniform(1e-12, 1 - 1e-12)))


def explore_around(request: Request) -> list[Choice]:
    """For any environment that lists admissible actions: prefers what the instruction mentions and what was not done before."""
    actions = list(dict.fromkeys(request.admissible_actions or ()))
    if not actions:
        return [Choice("look", "look", 0.5), Choice("look around", "look", 0.4), Choice("inventory", "try", 0.2)]
    wish = words(request.instruction)
    done = [step.action for step in request.history]
    choices = []
    for action in actions:
        mentioned = len(words(action) & wish) / max(1, len(words(action)))
        choices.append(Choice(action, "try_again" if action in done else "try", 0.3 + 0.7 * mentioned - 0.4 * min(2, done.count(action))))
    return choices


def _number(name: str, value: object, high: float) -> float:
    """A number from 0 to `high`."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= high or math.isnan(value):
        rule = f"from 0 to {high:g}" if math.isfinite(high) else "from 0"
        raise BadInputError(f"The scripted agent's {name} is {value!r}, but must be a number {rule}.\nNext: --agent scripted:skill=0.6")
    return float(value)
