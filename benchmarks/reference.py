"""The plain reference implementation: naive loops over Python objects, to be checked by eye against docs/trees.md and docs/search.md.

It is the oracle of the tests and the other side of the benchmarks. Clear first; fast never.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

Similarity = Callable[[str, str], float]


@dataclass
class Node:
    observation: str
    thought: str
    action: str | None
    parent: "Node | None"
    state: int
    depth: int
    children: "list[Node]" = field(default_factory=list)
    visits: int = 0
    scored_visits: int = 0
    score_sum: float = 0.0
    ends: int = 0
    scored_ends: int = 0
    end_score_sum: float = 0.0
    founded: int = field(default_factory=count().__next__)
    """Nodes are numbered as they come into being."""

    def path(self) -> tuple[Any, ...]:
        """The founder's (observation, action) from the root down: what makes a node the node it is."""
        return () if self.parent is None else (*self.parent.path(), (self.observation, self.action))


@dataclass
class Placed:
    """Where a step landed."""

    node: Node
    similarity: float


@dataclass
class Rollout:
    task_id: str
    attempt: int
    rollout_id: str
    score: float | None
    steps: Sequence[tuple[str, str, str]]
    """(observation, thought, action) of each step."""


def build_tree(
    instruction: str, rollouts: Sequence[Rollout], similarity: Similarity, threshold: float
) -> tuple[Node, dict[tuple[str, int], Placed]]:
    """All rollouts of one task → the root, and where each step landed. `similarity` is asked only about unequal texts."""
    root = Node(instruction, "", None, None, 0, 0)
    placed: dict[tuple[str, int], Placed] = {}
    for rollout in sorted(rollouts, key=lambda r: (r.attempt, r.rollout_id)):
        node = root
        visit(node, rollout.score)
        for step, (observation, thought, action) in enumerate(rollout.steps):
            node, cosine = place(node, observation, thought, action, similarity, threshold)
            visit(node, rollout.score)
            placed[rollout.rollout_id, step] = Placed(node, cosine)
        node.ends += 1
        if rollout.score is not None:
            node.scored_ends += 1
            node.end_score_sum += rollout.score
    return root, placed


def place(parent: Node, observation: str, thought: str, action: str, similarity: Similarity, threshold: float) -> tuple[Node, float]:
    """Merge into the most similar child with exactly this action, the older on a tie; else found a new child."""
    best, cosine = nearest([child for child in parent.children if child.action == action], observation, similarity, threshold)
    if best is not None:
        return best, cosine
    elder, _ = nearest(parent.children, observation, similarity, threshold)
    state = elder.state if elder is not None else 1 + max((child.state for child in parent.children), default=-1)
    child = Node(observation, thought, action, parent, state, parent.depth + 1)
    parent.children.append(child)
    return child, 1.0


def nearest(children: Sequence[Node], observation: str, similarity: Similarity, threshold: float) -> tuple[Node | None, float]:
    """Equal text before similar text; the most similar one that reaches the threshold; the older on a tie."""
    for child in children:
        if child.observation == observation:
            return child, 1.0
    best, best_cosine = None, threshold
    for child in children:
        cosine = similarity(child.observation, observation)
        if cosine >= threshold and (best is None or cosine > best_cosine):
            best, best_cosine = child, cosine
    return best, best_cosine


def visit(node: Node, score: float | None) -> None:
    node.visits += 1
    if score is not None:
        node.scored_visits += 1
        node.score_sum += score


# Search: equation 7 over the tree, then greedy extraction (docs/search.md)


@dataclass
class Option:
    """One thing to try at a decision: a child, or None to stop."""

    child: Node | None
    visits: int = 0
    value_sum: float = 0.0


@dataclass
class Decision:
    """What the agent may choose among, and how many scored rollouts went on through it."""

    options: list[Option]
    weight: int


@dataclass
class Search:
    """Statistics c_M and r_M of every node, and the decisions at it."""

    visits: dict[int, int] = field(default_factory=dict)
    value_sum: dict[int, float] = field(default_factory=dict)
    decisions: dict[int, list[Decision]] = field(default_factory=dict)


def search_tree(root: Node, rollouts: int, exploration: float, chance: str, random_state: int) -> Search:
    search = Search()
    if root.scored_visits == 0:
        return search
    for _ in range(rollouts):
        node, path, taken = root, [root], []
        while True:
            decisions = search.decisions.setdefault(id(node), decisions_at(node, chance))
            if not decisions:
                break
            decision = decisions[0]
            if len(decisions) > 1:
                random_state, decision = draw(random_state, decisions)
            option = select(decision, exploration)
            taken.append(option)
            if option.child is None:
                break
            node = option.child
            path.append(node)
        score = node.end_score_sum / node.scored_ends
        for option in taken:
            option.visits += 1
            option.value_sum += score
        for node in path:
            search.visits[id(node)] = search.visits.get(id(node), 0) + 1
            search.value_sum[id(node)] = search.value_sum.get(id(node), 0.0) + score
    return search


def decisions_at(node: Node, chance: str) -> list[Decision]:
    """To stop where scored rollouts did, then the children with a score; with "expected", apart for each state."""
    children = [child for child in node.children if child.scored_visits]
    states = sorted({child.state for child in children}) if chance == "expected" else [None]
    decisions = []
    for state in states:
        mine = [child for child in children if state is None or child.state == state]
        if mine:
            stop = [Option(None)] if node.scored_ends else []
            decisions.append(Decision(stop + [Option(child) for child in mine], sum(child.scored_visits for child in mine)))
    return decisions


def select(decision: Decision, exploration: float) -> Option:
    """The first unvisited option, else the highest UCB = r/c + γ √(log C / c), the first on a tie."""
    for option in decision.options:
        if option.visits == 0:
            return option
    total = sum(option.visits for option in decision.options)
    return max(decision.options, key=lambda o: o.value_sum / o.visits + exploration * math.sqrt(math.log(total) / o.visits))


def draw(random_state: int, decisions: list[Decision]) -> tuple[int, Decision]:
    """A state, each as likely as it is heavy; SplitMix64."""
    random_state = (random_state + 0x9E3779B97F4A7C15) % 2**64
    mixed = random_state
    mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EB % 2**64
    left = (mixed ^ (mixed >> 31)) % sum(decision.weight for decision in decisions)
    for decision in decisions:
        left -= decision.weight
        if left < 0:
            return random_state, decision
    raise AssertionError("the weights add up to more than the draw")


def best_path(root: Node, search: Search, chance: str, min_support: int = 1, extract: str = "mean") -> list[Node]:
    """e*: greedy descent decides its value; of the ends with that value, the best supported, then the shortest, then the oldest."""

    def may_stop(node: Node) -> bool:
        return node.scored_ends >= max(min_support, 1)

    def allowed(option: Option, node: Node) -> bool:
        return may_stop(node) if option.child is None else any(may_stop(inner) for inner in subtree(option.child))

    def followed(node: Node) -> list[Option]:
        """The options of the most frequent state."""
        decisions = []
        for decision in search.decisions.get(id(node)) or decisions_at(node, chance):
            options = [option for option in decision.options if allowed(option, node)]
            if options:
                decisions.append(Decision(options, decision.weight))
        return max(decisions, key=lambda d: d.weight).options if decisions else []

    def worth(option: Option, node: Node) -> float:
        if not option.visits:
            return -1.0
        refined = option.value_sum / option.visits
        if extract == "lower":
            refined, _ = wilson(refined, node.scored_ends if option.child is None else option.child.scored_visits)
        return round(refined, 9)

    def value(end: Node) -> float:
        return round(end.end_score_sum / end.scored_ends, 9)

    found = root
    while options := followed(found):
        option = max(options, key=lambda o: worth(o, found))
        if option.child is None:
            break
        found = option.child
    inside = [root]
    for node in inside:
        inside.extend(option.child for option in followed(node) if option.child is not None)
    equals = [node for node in inside if may_stop(node) and value(node) == value(found)]
    return nodes_to(min(equals, key=lambda node: (-node.scored_ends, node.depth, node.founded)))


def nodes_to(end: Node) -> list[Node]:
    return [] if end.parent is None else [*nodes_to(end.parent), end]


def subtree(node: Node) -> list[Node]:
    found = [node]
    for inner in found:
        found.extend(inner.children)
    return found


def best_end(node: Node) -> float | None:
    """The highest mean score of any place to end in the subtree."""
    means = [inner.end_score_sum / inner.scored_ends for inner in subtree(node) if inner.scored_ends]
    return max(means, default=None)


def discounted_value(node: Node, chance: str, discount: float) -> float | None:
    """q: in each decision the better of stopping and discount × the best child; decisions weighted by how often they occurred."""
    stop = node.end_score_sum / node.scored_ends if node.scored_ends else None
    decisions = decisions_at(node, chance)
    if not decisions:
        return stop
    total = 0.0
    for decision in decisions:
        values = [
            stop if option.child is None else discount * discounted_value(option.child, chance, discount) for option in decision.options
        ]
        total += decision.weight * max(values)
    return total / sum(decision.weight for decision in decisions)


def wilson(mean: float, visits: int, z: float = 1.959963984540054) -> tuple[float, float]:
    shift = z * z / visits
    half = z * math.sqrt(max(mean * (1 - mean), 0) / visits + shift / (4 * visits))
    return max(0.0, (mean + shift / 2 - half) / (1 + shift)), min(1.0, (mean + shift / 2 + half) / (1 + shift))


def advantage_in_state(node: Node, scores_through: dict[int, list[float]]) -> tuple[float, float] | None:
    """(advantage, relative advantage) against all siblings of the same state, itself included, from the scores of each node's rollouts."""
    if node.parent is None or not scores_through.get(id(node)):
        return None
    siblings = [child for child in node.parent.children if child.state == node.state]
    scores = [score for child in siblings for score in scores_through.get(id(child), [])]
    if min(scores) == max(scores):
        return 0.0, 0.0
    mean = sum(scores) / len(scores)
    mine = scores_through[id(node)]
    advantage = sum(mine) / len(mine) - mean
    return advantage, advantage / math.sqrt(sum((score - mean) ** 2 for score in scores) / len(scores))


# Pairs: for each state of each node, the best child against each worse one (docs/pairs.md)


@dataclass
class Pair:
    better: Node
    worse: Node
    chosen: Rollout
    rejected: Rollout
    prompt: list[str]
    chosen_texts: list[str]
    rejected_texts: list[str]


def divergence_pairs(
    root: Node, placed: dict[tuple[str, int], Placed], rollouts: Sequence[Rollout], siblings: str = "", one_step: bool = False
) -> list[Pair]:
    """All pairs of children of one state that differ in action and mean; `siblings` is '', 'adjacent' or 'all'."""
    pairs = []
    for node in subtree(root):
        for state in sorted({child.state for child in node.children}):
            members = [child for child in node.children if child.state == state]
            ranked = sorted((child for child in members if child.scored_visits), key=lambda child: (-mean(child), -child.scored_visits))
            for i, j in couples(len(ranked), siblings):
                better, worse = ranked[i], ranked[j]
                if mean(better) - mean(worse) > 1e-9 and better.action != worse.action:
                    through = {
                        id(child): [r for r in rollouts if r.score is not None and passes(r, child, placed)] for child in (better, worse)
                    }
                    chosen = min(through[id(better)], key=lambda r: (-r.score, len(r.steps), r.attempt, r.rollout_id))
                    rejected = min(through[id(worse)], key=lambda r: (r.score, len(r.steps), r.attempt, r.rollout_id))
                    texts = [continuation(r, node.depth, one_step) for r in (chosen, rejected)]
                    pairs.append(Pair(better, worse, chosen, rejected, [*words_to(node), members[0].observation], *texts))
    return pairs


def couples(count: int, siblings: str) -> list[tuple[int, int]]:
    if siblings == "all":
        return [(i, j) for i in range(count) for j in range(i + 1, count)]
    return [(i if siblings == "adjacent" else 0, i + 1) for i in range(count - 1)]


def mean(node: Node) -> float:
    return node.score_sum / node.scored_visits


def passes(rollout: Rollout, node: Node, placed: dict[tuple[str, int], Placed]) -> bool:
    step = node.depth - 1
    return step < len(rollout.steps) and placed[rollout.rollout_id, step].node is node


def words_to(node: Node) -> list[str]:
    """What is said on the path to a node, in its founders' words."""
    return [] if node.parent is None else [*words_to(node.parent), node.observation, said(node.thought, node.action)]


def continuation(rollout: Rollout, depth: int, one_step: bool) -> list[str]:
    """A rollout's own words from its answer at this depth on."""
    words = [text for observation, thought, action in rollout.steps[depth:] for text in (observation, said(thought, action))]
    return words[1:2] if one_step else words[1:]


def said(thought: str, action: str | None) -> str:
    return f"Thought: {thought}\nAction: {action}" if thought else f"Action: {action}"


# ---- states and credit: docs/states.md


@dataclass
class Attempt:
    """A rollout: its steps are (observation, action)."""

    steps: list[tuple[str, str]]
    score: float | None
    solved: bool


Place = tuple[int, int]
"""(attempt, step)."""


def state_of(attempt: Attempt, step: int, history: float) -> tuple[Any, ...]:
    """What must be the same: the observation, and the steps before, as far back as asked."""
    first = max(0, step - history) if history != math.inf else 0
    return (*attempt.steps[int(first) : step], attempt.steps[step][0])


def states_of(attempts: Sequence[Attempt], history: float, silent: Callable[[str], bool]) -> dict[tuple[Any, ...], list[Place]]:
    """The steps in each state of a task; a step in which the observation says nothing is in none, but for the first of an attempt."""
    states: dict[tuple[Any, ...], list[Place]] = {}
    for number, attempt in enumerate(attempts):
        for step, (observation, _) in enumerate(attempt.steps):
            if step == 0 or not silent(observation):
                states.setdefault(state_of(attempt, step, history), []).append((number, step))
    return states


def join_similar(
    attempts: Sequence[Attempt], silent: Callable[[str], bool], similarity: Similarity, threshold: float
) -> tuple[list[Attempt], dict[str, str]]:
    """The attempts with each observation replaced by the one that it counts as, and {observation: what it counts as} where they differ.

    Each joins the most similar of those before it that joined none, the older on a tie; one that says nothing counts as itself.
    """
    counts_as: dict[str, str] = {}
    for observation in dict.fromkeys(seen for attempt in attempts for seen, _ in attempt.steps if not silent(seen)):
        older = [other for other, joined in counts_as.items() if other == joined]
        similar = [other for other in older if similarity(observation, other) >= threshold]
        counts_as[observation] = max(similar, key=lambda other: similarity(observation, other), default=observation)
    replaced = [
        Attempt([(counts_as.get(seen, seen), did) for seen, did in attempt.steps], attempt.score, attempt.solved) for attempt in attempts
    ]
    return replaced, {seen: joined for seen, joined in counts_as.items() if seen != joined}


def returns_of(attempts: Sequence[Attempt], discount: float) -> dict[Place, float]:
    """The discounted return of every step of a scored attempt."""
    return {
        (number, step): attempt.score * discount ** (len(attempt.steps) - 1 - step)
        for number, attempt in enumerate(attempts)
        if attempt.score is not None
        for step in range(len(attempt.steps))
    }


def standardised(value: float, values: Sequence[float], scale: bool) -> float:
    if len(values) < 2:
        return 0.0
    mean = sum(values) / len(values)
    spread = math.sqrt(sum((other - mean) ** 2 for other in values) / (len(values) - 1))
    return (value - mean) / (spread + 1e-6) if scale else value - mean


def step_advantages(
    attempts: Sequence[Attempt], history: float, silent: Callable[[str], bool], discount: float, scale: bool
) -> dict[Place, tuple[float, int]]:
    """(GiGPO's step advantage, size of the group) of every scored step; (0, 0) for one in no state."""
    returns = returns_of(attempts, discount)
    found = dict.fromkeys(returns, (0.0, 0))
    for places in states_of(attempts, history, silent).values():
        scored = [place for place in places if place in returns]
        for place in scored:
            found[place] = (standardised(returns[place], [returns[other] for other in scored], scale), len(scored))
    return found


def gigpo(
    attempts: Sequence[Attempt], history: float, silent: Callable[[str], bool], discount: float, omega: float, scale: bool = True
) -> dict[Place, float]:
    """Episode advantage plus ω times the step advantage."""
    scores = [attempt.score for attempt in attempts if attempt.score is not None and attempt.steps]
    step = step_advantages(attempts, history, silent, discount, scale)
    return {place: standardised(attempts[place[0]].score or 0.0, scores, scale) + omega * step[place][0] for place in step}


def hgpo(
    attempts: Sequence[Attempt], histories: Sequence[int], silent: Callable[[str], bool], discount: float, alpha: float
) -> dict[Place, float]:
    """The step advantages of several histories, weighted by (k + 1)^α over those in which the step is not alone; no episode advantage.

    A step takes part in history k only if k steps came before it.
    """
    returns = returns_of(attempts, discount)
    weighted: dict[Place, list[tuple[float, float]]] = {place: [] for place in returns}
    for k in histories:
        for places in states_of(attempts, k, silent).values():
            scored = [place for place in places if place in returns and place[1] >= k]
            mean = sum(returns[place] for place in scored) / max(len(scored), 1)
            spread = math.sqrt(sum((returns[place] - mean) ** 2 for place in scored) / max(len(scored), 1))
            for place in scored if len(scored) > 1 else ():
                weighted[place].append(((k + 1) ** alpha, (returns[place] - mean) / (spread + 1e-6)))
    return {place: sum(w * a for w, a in parts) / sum(w for w, _ in parts) if parts else 0.0 for place, parts in weighted.items()}


def leave_one_out(attempts: Sequence[Attempt], history: float, silent: Callable[[str], bool], discount: float) -> dict[Place, float]:
    returns = returns_of(attempts, discount)
    found = dict.fromkeys(returns, 0.0)
    for places in states_of(attempts, history, silent).values():
        scored = [place for place in places if place in returns]
        for place in scored:
            others = [returns[other] for other in scored if other != place]
            found[place] = returns[place] - sum(others) / len(others) if others else 0.0
    return found


def graph_of(attempts: Sequence[Attempt], history: float, silent: Callable[[str], bool]) -> tuple[dict[Place, Any], dict[Any, float]]:
    """(state of each step that is in one, distance of each state to a solved end)."""
    state = {place: key for key, places in states_of(attempts, history, silent).items() for place in places}
    distance: dict[Any, float] = dict.fromkeys(state.values(), math.inf)
    for _ in range(len(distance) + 1):
        for (number, step), key in state.items():
            is_end = step == len(attempts[number].steps) - 1
            beyond = distance[state[number, step + 1]] if (number, step + 1) in state else math.inf
            reached = 0.0 if is_end and attempts[number].solved else math.inf if is_end else beyond
            distance[key] = min(distance[key], reached + 1)
    return state, distance


def progress(attempts: Sequence[Attempt], history: float, silent: Callable[[str], bool]) -> dict[Place, float | None]:
    """How much nearer to a solved end each scored step led; None where that is not known."""
    state, distance = graph_of(attempts, history, silent)
    found: dict[Place, float | None] = {}
    for number, attempt in enumerate(attempts):
        for step in range(len(attempt.steps)) if attempt.score is not None else ():
            here = distance.get(state.get((number, step)), math.inf)
            at_end = step == len(attempt.steps) - 1
            there = (0.0 if attempt.solved else math.inf) if at_end else distance.get(state.get((number, step + 1)), math.inf)
            found[number, step] = here - there if math.isfinite(here) and math.isfinite(there) else None
    return found


def temporal_difference(attempts: Sequence[Attempt], history: float, silent: Callable[[str], bool]) -> dict[Place, float | None]:
    """The mean score of the next state, or the score at an end, minus that of this one."""
    mean: dict[Any, float] = {}
    state: dict[Place, Any] = {}
    for key, places in states_of(attempts, history, silent).items():
        scores = [score for number, _ in places if (score := attempts[number].score) is not None]
        state |= dict.fromkeys(places, key)
        if scores:
            mean[key] = sum(scores) / len(scores)
    found: dict[Place, float | None] = {}
    for number, attempt in enumerate(attempts):
        for step in range(len(attempt.steps)) if attempt.score is not None else ():
            here = mean.get(state.get((number, step)))
            there = attempt.score if step == len(attempt.steps) - 1 else mean.get(state.get((number, step + 1)))
            found[number, step] = None if here is None or there is None else there - here
    return found


def episode_advantages(attempts: Sequence[Attempt]) -> dict[int, float]:
    """The score of every scored attempt relative to those at its task: GRPO's, and Tree-GRPO's inter-tree advantage."""
    scores = {number: attempt.score for number, attempt in enumerate(attempts) if attempt.score is not None}
    return {number: standardised(score, list(scores.values()), True) for number, score in scores.items()}


def tree_grpo(attempts: Sequence[Attempt]) -> dict[Place, float]:
    """The episode advantage plus the same among the attempts that began with the same observation and action."""
    whole = episode_advantages(attempts)
    found: dict[Place, float] = {}
    for number in whole:
        same = {other: attempts[other].score or 0.0 for other in whole if attempts[other].steps[0] == attempts[number].steps[0]}
        advantage = whole[number] + standardised(same[number], list(same.values()), True)
        found |= {(number, step): advantage for step in range(len(attempts[number].steps))}
    return found


def g2po(attempts: Sequence[Attempt], history: float, silent: Callable[[str], bool], discount: float, omega: float) -> dict[Place, float]:
    """Episode advantage + ω (value that the step led to, standardised in its state + gain in value, standardised in the task)."""
    returns = returns_of(attempts, discount)
    state: dict[Place, Any] = {}
    value: dict[Any, float] = {}
    for key, places in states_of(attempts, history, silent).items():
        state |= dict.fromkeys(places, key)
        if worth := [discount * returns[place] for place in places if place in returns]:
            value[key] = sum(worth) / len(worth)
    led_to: dict[Place, float] = {}
    for number, step in returns:
        at_end = step == len(attempts[number].steps) - 1
        there = attempts[number].score if at_end else value.get(state.get((number, step + 1)))
        if (number, step) in state and there is not None:
            led_to[number, step] = there
    gains = {place: there - value[state[place]] for place, there in led_to.items()}
    episode = episode_advantages(attempts)
    found = {}
    for place in returns:
        step_advantage = 0.0
        if place in led_to:
            alike = [there for other, there in led_to.items() if state[other] == state[place]]
            step_advantage = standardised(led_to[place], alike, True) + standardised(gains[place], list(gains.values()), True)
        found[place] = episode[place[0]] + omega * step_advantage
    return found


def graphgpo(attempts: Sequence[Attempt], history: float, silent: Callable[[str], bool], decay: float, omega: float) -> dict[Place, float]:
    """Episode advantage + ω (decay to the power of the distance after the step, standardised in the step's state)."""
    state, distance = graph_of(attempts, history, silent)
    largest = max((far for far in distance.values() if math.isfinite(far)), default=0.0)
    near: dict[Place, float] = {}
    for number, step in returns_of(attempts, 1.0) if largest else ():
        at_end = step == len(attempts[number].steps) - 1
        if (number, step) in state and (at_end or (number, step + 1) in state):
            after = (0.0 if attempts[number].solved else math.inf) if at_end else distance[state[number, step + 1]]
            near[number, step] = decay ** min(after, largest + 1)
    episode = episode_advantages(attempts)
    found = {}
    for place in returns_of(attempts, 1.0):
        alike = [value for other, value in near.items() if place in near and state[other] == state[place]]
        found[place] = episode[place[0]] + (omega * standardised(near[place], alike, True) if place in near else 0.0)
    return found


def anchor_pairs(attempts: Sequence[Attempt], history: float, silent: Callable[[str], bool]) -> dict[tuple[Place, Place], tuple[Any, ...]]:
    """{(chosen, rejected): (mean, mean, rollouts, rollouts)}: a state's best action against each worse one after another history."""
    found: dict[tuple[Place, Place], tuple[Any, ...]] = {}
    for places in states_of(attempts, history, silent).values():
        takers: dict[str, dict[int, int]] = {}
        for number, step in sorted(places):
            if attempts[number].score is not None:
                takers.setdefault(attempts[number].steps[step][1], {}).setdefault(number, step)
        means = {action: sum(attempts[n].score or 0.0 for n in those) / len(those) for action, those in takers.items()}
        ranked = sorted(takers, key=lambda action: (-means[action], -len(takers[action]), min(takers[action].items())))
        for worse in ranked[1:]:
            sides = []
            for action, sign in ((ranked[0], -1), (worse, 1)):
                number = min(takers[action], key=lambda n, sign=sign: (sign * (attempts[n].score or 0.0), len(attempts[n].steps), n))
                sides.append((number, takers[action][number]))
            (a, i), (b, j) = sides
            if means[ranked[0]] - means[worse] > 1e-9 and state_of(attempts[a], i, math.inf) != state_of(attempts[b], j, math.inf):
                found[sides[0], sides[1]] = (means[ranked[0]], means[worse], len(takers[ranked[0]]), len(takers[worse]))
    return found
