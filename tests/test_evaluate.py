"""Statistics against closed forms, and evaluations of models that really act in an environment."""

import json
from pathlib import Path

import numpy as np
import pytest

from tratree_data.errors import BadInputError, NotFoundError
from tratree_data.evaluation import significance
from tratree_data.evaluation.compare import compare, describe
from tratree_data.evaluation.evaluate import agent_specification, evaluate, summarise
from tratree_data.evaluation.significance import (
    Spread,
    bootstrap,
    effect_size,
    holm,
    over_runs,
    over_tasks,
    p_over_runs,
    runs_needed,
    sign_flip,
    spread_of,
)
from tratree_data.ids import rollout_id, tree_id
from tratree_data.store.queries.named_queries import query
from tratree_data.store.reader import open_store
from tratree_data.store.schemas import table_from_rows
from tratree_data.store.writing.writer import commit, create_store, writing


def played(folder: Path, scores: dict[tuple[str, int, int], float | None], model: str = "m") -> Path:
    """A store of episodes: {(task, seed, attempt): score}; each takes one valid and one refused step."""
    rollouts, steps = [], []
    for (task, seed, attempt), score in scores.items():
        identity = rollout_id("kitchen", task, model, seed, attempt)
        rollouts.append(
            {
                "rollout_id": identity,
                "tree_id": tree_id("kitchen", task),
                "environment": "kitchen",
                "environment_version": "",
                "split": "test",
                "task_id": task,
                "attempt": attempt,
                "prompt": "",
                "instruction": "cook",
                "agent": "cached",
                "model": model,
                "sampling": json.dumps({"seed": seed, "temperature": 1.0}),
                "score": score,
                "success": None if score is None else score == 1.0,
                "end_reason": "done",
                "end_observation": "",
                "step_count": 2,
                "source": "explore",
            }
        )
        for step in range(2):
            words = {"observation": "a kitchen", "thought": "", "action": f"act {step}", "reward": (score or 0) / 2, "valid": step == 0}
            steps.append({"rollout_id": identity, "step": step, **words})
    create_store(folder)
    with writing(folder):
        tables = {"steps": table_from_rows("steps", steps), "rollouts": table_from_rows("rollouts", rollouts)}
        commit(folder, "explore", tables, settings={}, reads={})
    return folder


def test_intervals_over_many_tasks_are_that_of_the_mean() -> None:
    print("seed 3")
    values = np.random.default_rng(3).normal(0.5, 0.1, 400)
    half = 1.96 * values.std() / np.sqrt(len(values))
    for interval in (bootstrap(values, (0, 1)), over_tasks(values, None)):
        assert interval.value == pytest.approx(values.mean())
        assert interval.low == pytest.approx(values.mean() - half, abs=0.003)
        assert interval.high == pytest.approx(values.mean() + half, abs=0.003)
    assert bootstrap(values, (0, 1)) == bootstrap(values, (0, 1))


def test_coins_get_jeffreys_interval_which_always_has_a_width() -> None:
    from scipy import stats

    for solved, tasks in ((0, 40), (5, 5), (13, 40), (1, 1)):
        interval = bootstrap(np.array([1.0] * solved + [0.0] * (tasks - solved)), (0, 1), resamples=200_000)
        low, high = stats.beta.ppf([0.025, 0.975], solved + 0.5, tasks - solved + 0.5)
        assert interval.low == pytest.approx(low if solved else 0, abs=0.004)
        assert interval.high == pytest.approx(high if solved < tasks else 1, abs=0.004)
        assert interval.high - interval.low > 0.05


def test_the_sign_flip_test_agrees_with_all_sign_patterns() -> None:
    print("seed 4")
    values = np.random.default_rng(4).normal(0.1, 0.3, 12)
    patterns = np.array([[1 if number >> i & 1 else -1 for i in range(12)] for number in range(2**12)])
    exact = np.mean(np.abs(patterns @ values) >= abs(values.sum()) - 1e-12)
    assert sign_flip(values, flips=40_000) == pytest.approx(exact, abs=0.01)
    assert sign_flip(np.zeros(10)) == 1.0


def test_false_alarms_are_as_rare_as_promised() -> None:
    print("seed 5")
    generator = np.random.default_rng(5)
    alarms = [sign_flip(generator.choice([-0.5, 0.0, 0.5], 40), flips=400) < 0.05 for _ in range(400)]
    assert 0.02 < np.mean(alarms) < 0.09


def test_runs_that_disagree_widen_the_interval() -> None:
    same = over_runs([{"a": 0.1, "b": 0.1}, {"a": 0.1, "b": 0.1}], (-1, 1))
    apart = over_runs([{"a": 0.3, "b": 0.3}, {"a": -0.1, "b": -0.1}])
    assert same == over_tasks(np.array([0.1, 0.1]), (-1, 1)), "equal differences do not prove that there is no spread"
    assert apart.value == pytest.approx(0.1)
    assert apart.high - apart.value == pytest.approx(12.706 * 0.2, rel=0.001), "Student's t of one degree of freedom"
    assert p_over_runs([{"a": 0.3, "b": 0.3}, {"a": -0.1, "b": -0.1}]) == pytest.approx(0.7048, abs=0.001)


def test_runs_on_different_tasks_are_compared_by_the_runs_alone() -> None:
    from scipy import stats

    print("seed 12")
    generator = np.random.default_rng(12)
    runs = [{(run, task): float(generator.normal(0.1, 0.3)) for task in range(20)} for run in range(6)]
    means = [np.mean(list(run.values())) for run in runs]
    assert spread_of(runs).between_tasks == 0
    assert p_over_runs(runs) == pytest.approx(stats.ttest_1samp(means, 0).pvalue)


WORLDS = [(1.0, 0.0), (0.0, 1.0), (0.3, 1.0)]


@pytest.mark.parametrize("runs", [1, 2, 3, 5, 20])
@pytest.mark.parametrize(("between_runs", "between_tasks"), WORLDS)
def test_intervals_and_tests_are_right_as_often_as_they_say(runs: int, between_runs: float, between_tasks: float) -> None:
    """Nineteen times in twenty, within what 200 simulations can tell; more often with two runs, whose spread is hardly known.

    A single run's interval is over tasks: it must hold what this run's models would score on all tasks, not what another run would.
    """
    print("seed 11")
    generator = np.random.default_rng(11)
    held, alarms = [], []
    for _ in range(200):
        of_runs, of_tasks = generator.normal(0, between_runs, (runs, 1)), generator.normal(0, between_tasks, 40)
        values = of_runs + of_tasks + generator.normal(0, 1, (runs, 40))
        if runs == 1:
            found, truth = over_tasks(values[0] / 20, (-1, 1)), float(of_runs[0, 0]) / 20
        else:
            played = [dict(enumerate(run)) for run in values.tolist()]
            found, truth = over_runs(played), 0.0
            alarms.append(p_over_runs(played) < 0.05)
            assert (p_over_runs(played) < 0.05) != (found.low <= 0 <= found.high), "the test and the interval agree"
        held.append(found.low <= truth <= found.high)
    assert np.mean(held) > 0.91
    assert np.mean(alarms or [0]) < 0.09


def test_the_runs_that_a_difference_needs() -> None:
    """A standard deviation of 7.5 points between runs takes about 50 runs to find 3 points; simulated, that many find it in 80 of 100."""
    spread = Spread(0.075**2 / 5, 0.0, 5, 400)
    needed = runs_needed(spread, 0.03)
    assert needed is not None
    assert 49 <= needed <= 55
    print("seed 13")
    generator = np.random.default_rng(13)
    found = [p_over_runs([{run: value} for run, value in enumerate(generator.normal(0.03, 0.075, needed))]) < 0.05 for _ in range(400)]
    assert 0.72 < np.mean(found) < 0.88
    assert runs_needed(Spread(1e-6, 0.02**2, 5, 40), 0.03) is None, "the tasks alone are too few"
    assert runs_needed(Spread(1e-12, 0.0, 5, 400), 0.03) == 2, "two runs can be enough"


def test_as_many_runs_as_are_tried_can_be_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    spread = Spread(0.075**2 / 5, 0.0, 5, 400)
    needed = runs_needed(spread, 0.03)
    monkeypatch.setattr(significance, "MOST_RUNS", needed)
    assert runs_needed(spread, 0.03) == needed
    monkeypatch.setattr(significance, "MOST_RUNS", (needed or 0) - 1)
    assert runs_needed(spread, 0.03) is None


def test_holm_multiplies_the_smallest_by_the_number_of_comparisons() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])
    assert holm([]) == []


def test_the_same_difference_everywhere_is_an_infinite_effect() -> None:
    assert effect_size(np.full(5, 0.1)) == np.inf
    assert effect_size(np.full(5, -0.1)) == -np.inf
    assert effect_size(np.zeros(5)) == 0.0
    assert effect_size(np.array([0.1])) == np.inf, "one task has no deviation"
    assert effect_size(np.array([0.0, 0.2])) == pytest.approx(0.1 / np.std([0.0, 0.2], ddof=1))


def test_one_run_says_that_it_is_about_its_own_models(tmp_path: Path) -> None:
    ours, theirs = {(f"t{task}", 0, 0): 1.0 for task in range(5)}, {(f"t{task}", 0, 0): 0.0 for task in range(5)}
    a, b = played(tmp_path / "a", ours), played(tmp_path / "b", theirs)
    result = compare(a, b)
    assert result.difference.value == 1.0
    assert result.difference.low < 0.9
    assert result.p_over_runs is None
    text = describe(result)
    assert "over tasks, for these trained models" in text
    assert "infinite" in text
    assert "over runs" not in text
    assert json.loads(describe(result, as_json=True))["effect_size"] is None
    with pytest.raises(BadInputError, match="One run per side does not show"):
        compare(a, b, power=0.1)


def test_several_runs_are_tested_over_runs(tmp_path: Path) -> None:
    """Three runs that all play 200 tasks alike, and disagree: certain for these models, not for the next ones."""
    sides = []
    for side, gains in (("a", (0.3, 0.02, 0.01)), ("b", (0.0, 0.0, 0.0))):
        scores = [{(f"t{task}", 0, 0): 0.2 + gain + 0.01 * (task % 7) for task in range(200)} for gain in gains]
        sides.append([played(tmp_path / f"{side}{run}", values) for run, values in enumerate(scores)])
    result = compare(*sides, power=0.11)
    assert result.p_these_models < 0.001
    assert result.p_over_runs is not None
    assert result.p_over_runs > 0.2
    assert result.power is not None
    assert result.power[1] is not None
    assert result.power[1] > 10
    text = describe(result)
    assert "over runs and tasks (two-sided, Student's t)" in text
    assert "runs per side find a difference of 0.11" in text


def test_a_run_counts_once(tmp_path: Path) -> None:
    a, b = played(tmp_path / "a", {("t1", 0, 0): 1.0}), played(tmp_path / "b", {("t1", 0, 0): 0.0})
    c = played(tmp_path / "c", {("t1", 0, 0): 0.0})
    with pytest.raises(BadInputError, match=r"A names .* twice"):
        compare([a, tmp_path / "b" / ".." / "a"], [b, c])


def test_attempts_are_compared_as_they_were_evaluated(tmp_path: Path) -> None:
    a = played(tmp_path / "a", {("t1", 0, 0): 0.2, ("t1", 0, 1): 0.9})
    b = played(tmp_path / "b", {("t1", 0, 0): 0.5})
    summarise(a, 2)
    summarise(b, 1)
    result = compare(a, b)
    assert (result.a, result.b, result.best_of) == (pytest.approx(0.9), pytest.approx(0.5), (2, 1))
    assert "best of 2 against best of 1" in describe(result)
    assert compare(a, b, best_of=(1, 1)).a == pytest.approx(0.2)
    with pytest.raises(BadInputError, match="evaluated with different --best-of"):
        compare([a, b], [b, a])


def test_metrics_average_seeds_first_and_failures_count_as_zero(tmp_path: Path) -> None:
    store = played(tmp_path / "a", {("t1", 0, 0): 1.0, ("t1", 1, 0): 0.0, ("t2", 0, 0): 0.5, ("t2", 1, 0): None})
    rows = {row["metric"]: row for row in summarise(store)}
    assert rows["reward"]["value"] == pytest.approx((0.5 + 0.25) / 2)
    assert rows["success"]["value"] == pytest.approx(0.25)
    assert rows["steps"]["value"] == 2
    assert rows["invalid_actions"]["value"] == 1
    assert (rows["reward"]["tasks"], rows["reward"]["seeds"]) == (2, 2)
    table = open_store(store).read("evaluations").to_pylist()
    assert [row["metric"] for row in table] == list(rows)
    version = open_store(store).version("evaluations")
    summarise(store)
    assert open_store(store).version("evaluations") == version


def test_best_of_takes_the_best_attempt(tmp_path: Path) -> None:
    store = played(tmp_path / "a", {("t1", 0, 0): 0.2, ("t1", 0, 1): 0.9, ("t1", 0, 2): 1.0})
    values = {n: {row["metric"]: row["value"] for row in summarise(store, n)}["reward"] for n in (1, 2, 3)}
    assert values == {1: pytest.approx(0.2), 2: pytest.approx(0.9), 3: pytest.approx(1.0)}


def test_score_over_steps_ends_at_the_score(tmp_path: Path) -> None:
    store = played(tmp_path / "a", {("t1", 0, 0): 0.8, ("t1", 1, 0): 0.4})
    rows = query(open_store(store), "score_over_steps", tasks=5).to_pylist()
    assert [(row["step"], round(row["score"], 6), row["rollouts"]) for row in rows] == [(1, 0.3, 2), (2, 0.6, 2)]


def test_compare_pairs_tasks_and_seeds(tmp_path: Path) -> None:
    print("seed 6")
    generator = np.random.default_rng(6)
    base = {(f"t{task}", seed, 0): float(generator.uniform(0, 0.6)) for task in range(60) for seed in range(2)}
    better = {key: value + 0.2 + float(generator.normal(0, 0.02)) for key, value in base.items()}
    a, b = played(tmp_path / "a", better, "a"), played(tmp_path / "b", base, "b")
    result = compare(a, b)
    assert result.difference.value == pytest.approx(0.2, abs=0.01)
    assert result.difference.low > 0.15
    assert result.p_these_models < 0.001
    assert result.effect_size > 5
    assert (result.tasks, result.episodes) == (60, 120)
    assert compare(b, a).difference.value == pytest.approx(-result.difference.value)
    assert compare(a, a).p_these_models == 1.0
    both = compare([a, b], [b, a])
    assert both.difference.value == pytest.approx(0)
    assert len(both.runs) == 2


def test_comparisons_that_make_no_sense_are_refused(tmp_path: Path) -> None:
    a = played(tmp_path / "a", {("t1", 0, 0): 1.0})
    b = played(tmp_path / "b", {("t2", 0, 0): 1.0})
    with pytest.raises(BadInputError, match="have no task and seed in common"):
        compare(a, b)
    with pytest.raises(BadInputError, match="each run of A needs one of B"):
        compare([a, b], a)
    with pytest.raises(BadInputError, match="metric must be one of"):
        compare(a, a, metric="charm")
    with pytest.raises(NotFoundError, match="No such folder"):
        compare(a, tmp_path / "c")


def test_other_environments_and_unpaired_episodes_are_not_compared_in_silence(tmp_path: Path) -> None:
    a = played(tmp_path / "a", {("t1", 0, 0): 0.5, ("t2", 0, 0): 1.0, ("t3", 0, 0): 1.0})
    b = played(tmp_path / "b", {("t1", 0, 0): 0.2, ("t2", 0, 0): 0.5}, "b")
    result = compare(a, b)
    assert (result.tasks, result.unpaired) == (2, 1)
    assert "1 episodes have no counterpart" in describe(result)
    store = open_store(b)
    rollouts = [
        {**row, "environment": "another", "tree_id": tree_id("another", row["task_id"])} for row in store.read("rollouts").to_pylist()
    ]
    with writing(b):
        tables = {"steps": store.read("steps"), "rollouts": table_from_rows("rollouts", rollouts)}
        commit(b, "explore", tables, settings={}, reads={})
    with pytest.raises(BadInputError, match="have no task and seed in common"):
        compare(a, b)


def test_two_temperatures_in_one_folder_are_no_best_of_two(tmp_path: Path) -> None:
    a = played(tmp_path / "a", {("t1", 0, 0): 0.2})
    assert summarise(a)[0]["value"] == pytest.approx(0.2)
    store = open_store(a)
    (row,), steps = store.read("rollouts").to_pylist(), store.read("steps").to_pylist()
    identity = rollout_id("kitchen", "t1", "m", 0, "cooler")
    again = {**row, "rollout_id": identity, "sampling": json.dumps({"seed": 0, "temperature": 0.5}), "score": 0.9}
    tables = {
        "steps": table_from_rows("steps", [{**step, "rollout_id": identity} for step in steps]),
        "rollouts": table_from_rows("rollouts", [again]),
    }
    with writing(a):
        commit(a, "explore", tables, settings={}, reads={}, append=True)
    with pytest.raises(BadInputError, match="2 episodes of m at task t1 with seed 0"):
        summarise(a)
    b = played(tmp_path / "b", {("t1", 0, 0): 0.2})
    with pytest.raises(BadInputError, match="too few for a best of 8"):
        compare(b, b, best_of=(8, 1))


def test_seeds_at_temperature_zero_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="temperature 0"):
        evaluate("expert", "webshop", tmp_path / "a", seeds=3, temperature=0.0)


# Models that act


def test_vllm_reads_an_adapter_with_the_tokenizer_it_was_trained_with(tmp_path: Path) -> None:
    from tratree_data.agents import parse_specification

    (tmp_path / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "base"}))
    assert agent_specification("vllm", str(tmp_path)) == f"vllm:model=base,lora={tmp_path}"
    (tmp_path / "tokenizer_config.json").write_text("{}")
    assert parse_specification(agent_specification("vllm", str(tmp_path)))
    assert agent_specification("vllm", str(tmp_path)).endswith(f",tokenizer={tmp_path}")
    assert agent_specification("transformers", str(tmp_path)) == f"transformers:model={tmp_path}"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("trl", reason="needs tratree-data[train]")
    from tratree_data.experiments.small_models import make_model, make_tokenizer

    tokenizer = make_tokenizer(
        ["Cook a meal. You see a stove, a fridge and a knife.", "open fridge", "look around", "take knife", "eat meal"]
    )
    return make_model(tmp_path_factory.mktemp("model") / "m", tokenizer, width=64, layers=2, seed=5)


def test_the_cached_agent_says_what_the_model_says(model: Path) -> None:
    """At temperature 0, step by step with its cache, and from nothing with transformers' own generate, the same words."""
    import torch

    from tratree_data.agents import Request, Step, chat
    from tratree_data.agents.cached import CachedAgent
    from tratree_data.models.loading import load_model, load_tokenizer

    agent = CachedAgent(str(model), batch=3)
    plain, tokenizer = load_model(str(model)).eval(), load_tokenizer(str(model))
    sights = ["You see a stove.", "You see a fridge and a knife, a knife, a knife.", "a stove", "Cook a meal."]
    histories: dict[int, tuple[Step, ...]] = dict.fromkeys(range(5), ())
    for turn in range(4):
        requests = [
            Request(
                "kitchen",
                "t",
                attempt,
                "",
                "Cook a meal.",
                histories[attempt],
                sights[(turn + attempt) % 4],
                None,
                {"temperature": 0, "max_tokens": 6},
            )
            for attempt in histories
            if attempt != 3 or turn < 2  # one episode ends early
        ]
        for request, response in zip(requests, agent.act(requests), strict=True):
            ids = torch.tensor([tokenizer.apply_chat_template(chat(request), add_generation_prompt=True, return_dict=True)["input_ids"]])
            written = plain.generate(ids, max_new_tokens=6, do_sample=False)[0, ids.shape[1] :]
            assert response.text == tokenizer.decode(written, skip_special_tokens=True)
            assert response.prompt_tokens == ids.shape[1]
            logits = torch.log_softmax(plain(torch.cat([ids[0], written])[None]).logits[0, ids.shape[1] - 1 : -1], -1)
            assert response.logprob == pytest.approx(logits.gather(1, written[:, None]).sum().item(), abs=1e-3)
            histories[request.attempt] = (*request.history, Step(request.observation, "", ["look around", "take knife"][turn % 2]))


def test_sampling_depends_on_the_seed_and_not_on_the_batch(model: Path) -> None:
    from tratree_data.agents import Request
    from tratree_data.agents.cached import CachedAgent

    def request(seed: int) -> Request:
        return Request(
            "kitchen", "t", seed, "", "Cook a meal.", (), "You see a stove.", None, {"temperature": 1.0, "seed": seed, "max_tokens": 5}
        )

    alone = [CachedAgent(str(model)).act([request(seed)])[0].text for seed in range(6)]
    together = [response.text for response in CachedAgent(str(model)).act([request(seed) for seed in range(6)])]
    assert alone == together
    assert len(set(alone)) > 1


def test_choosing_follows_temperature_top_k_and_top_p() -> None:
    from tratree_data.agents.cached import choose

    print("seed 7")
    scores = np.log(np.array([0.1, 0.6, 0.3]))
    generator = np.random.default_rng(7)
    drawn = np.bincount([choose(scores, {}, generator) for _ in range(6000)], minlength=3) / 6000
    assert drawn == pytest.approx([0.1, 0.6, 0.3], abs=0.03)
    assert {choose(scores, {"top_p": 0.7}, generator) for _ in range(300)} == {1, 2}
    assert {choose(scores, {"top_p": 0.5}, generator) for _ in range(100)} == {1}
    assert {choose(scores, {"top_k": 1}, generator) for _ in range(100)} == {1}
    assert choose(scores, {"temperature": 0}, generator) == 1


def test_an_expert_and_a_model_are_evaluated_in_webshop(model: Path, tmp_path: Path) -> None:
    tasks = {"tasks": 6, "split": "test"}
    assert evaluate("expert", "webshop", tmp_path / "expert", **tasks).changed
    report = evaluate(model, "webshop", tmp_path / "model", agent="cached", max_tokens=6, seeds=2, **tasks)
    assert report.counts == {"tasks": 6, "seeds": 2}
    assert not evaluate(model, "webshop", tmp_path / "model", agent="cached", max_tokens=6, seeds=2, **tasks).changed
    rows = {row["metric"]: row["value"] for row in open_store(tmp_path / "expert").read("evaluations").to_pylist()}
    assert rows["reward"] == 1.0
    with pytest.raises(BadInputError, match="each run of A needs one of B"):
        compare([tmp_path / "expert"], [tmp_path / "model", tmp_path / "expert"])


def test_the_spread_is_that_of_a_two_way_layout() -> None:
    """By hand: run means .5, .55 and .45; task means 1/30 and 29/30; an interaction of 1/600 per cell."""
    spread = spread_of([{"a": 0.0, "b": 1.0}, {"a": 0.1, "b": 1.0}, {"a": 0.0, "b": 0.9}])
    assert (spread.between_runs, spread.runs, spread.tasks) == (pytest.approx(0.0025 / 3), 3, 2)
    assert spread.between_tasks == pytest.approx((28 / 30) ** 2 / 2 / 2 - 1 / 600 / 6)
