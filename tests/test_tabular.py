"""The galley, its two implementations, and the experiment on hundreds of small networks."""

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pytest

from tratree_data.environments import make_environment
from tratree_data.environments.galley import ACTIONS, SPLITS, Galley
from tratree_data.errors import BadInputError, NotFoundError
from tratree_data.experiments.recipe import read_experiment
from tratree_data.experiments.reproduce import reproduce
from tratree_data.experiments.settings import parse_seeds
from tratree_data.experiments.tabular.batch import OF_INSTRUCTION, Kitchens, features_of_instruction, features_of_observation, text_of_code
from tratree_data.experiments.tabular.run import blocks_of, is_tabular
from tratree_data.store.checks import check
from tratree_data.store.reader import open_store
from tratree_data.tree_search.replay import replay

SEED = 7


# The galley


def test_the_expert_always_wins_in_about_ten_steps() -> None:
    galley = make_environment("galley", seeds=2)
    lengths = []
    for task in galley.tasks("train")[::97]:
        galley.reset(task)
        actions = galley.expert_actions(task)
        assert actions is not None
        outcomes = [galley.step(action) for action in actions]
        assert all(outcome.valid for outcome in outcomes)
        assert [outcome.done for outcome in outcomes] == [*[False] * (len(actions) - 1), True]
        assert (galley.success(), galley.score()) == (True, 1.0)
        assert sum(outcome.reward or 0.0 for outcome in outcomes) == pytest.approx(1)
        lengths.append(len(actions))
    assert 9 <= min(lengths) <= max(lengths) <= 13 < Galley.max_steps


def test_mistakes_last_and_serving_ends() -> None:
    galley = Galley()
    task = galley.tasks("train")[0]
    start = galley.reset(task)
    assert start == galley.reset(task, seed=5), "a task always starts the same"
    assert galley.step("dance").observation == f"That does not work. {start.observation}"
    right = galley.expert_actions(task) or []
    cut = next(action for action in right if action in ("chop", "dice", "slice"))
    wrong = next(action for action in ("chop", "dice", "slice") if action != cut)
    galley.reset(task)
    for action in right:
        galley.step(wrong if action == cut else action)
    assert galley.score() in (7 / 9, 6 / 9)
    assert not galley.success()
    galley.reset(task)
    for action in right[: right.index("plate") + 1]:
        galley.step(action)
    assert galley.step("serve").done
    assert galley.score() == pytest.approx(4 / 9)


def test_tasks_differ_and_belong_to_one_split() -> None:
    galley = Galley(seed=3)
    assert galley.splits() == {"test": 500, "dev": 144, "train": 700}
    starts = set()
    for split in SPLITS:
        for task in galley.tasks(split):
            start = galley.reset(task)
            places = tuple((item.name, item.place) for item in galley.state.ingredients)
            starts.add((start.instruction, places))
    assert len(starts) == 1344
    with pytest.raises(NotFoundError, match="0/train/0"):
        galley.reset("3/train/9999")
    with pytest.raises(BadInputError, match="at least one"):
        Galley(seeds=0)


@pytest.mark.parametrize("seed", [SEED, SEED + 1])
def test_arrays_and_texts_play_the_same_game(seed: int) -> None:
    """Random play, mostly of possible actions: observation, features, validity, score and end agree at every step."""
    draw = np.random.default_rng(seed)
    numbers = np.tile(np.asarray(SPLITS["dev"][:20]), (2, 1))
    seeds = (seed, seed + 100)
    batch = Kitchens(seeds, numbers)
    games = [[Galley() for _ in range(numbers.shape[1])] for _ in seeds]
    starts = [[game.reset(f"{own}/dev/{number}") for number, game in enumerate(row)] for own, row in zip(seeds, games, strict=True)]
    for i, row in enumerate(starts):
        assert [start.observation for start in row] == [text_of_code(int(code)) for code in batch.codes()[i]]
    for _ in range(60):
        possible = [[game.admissible_actions() for game in row] for row in games]
        actions = np.array(
            [[ACTIONS.index(draw.choice(some if draw.random() < 0.85 else list(ACTIONS))) for some in row] for row in possible]
        )
        accepted, over = batch.valid(actions), batch.served.copy()
        batch.step(actions)
        features, codes, scores = batch.features(), batch.codes(), batch.score()
        for i, row in enumerate(games):
            for j, game in enumerate(row):
                if over[i, j]:
                    continue
                outcome = game.step(ACTIONS[actions[i, j]])
                assert outcome.valid == accepted[i, j]
                assert outcome.done == batch.served[i, j]
                assert game.score() == pytest.approx(scores[i, j])
                assert outcome.observation == text_of_code(int(codes[i, j]))
                assert (features_of_instruction(starts[i][j].instruction) == features[i, j, :OF_INSTRUCTION]).all()
                assert (features_of_observation(outcome.observation) == features[i, j, OF_INSTRUCTION:]).all()
    assert batch.served.mean() > 0.2, "random play serves something"


# The experiment

TINY = """
extends = "weak_to_strong_tabular"
environment = { test_tasks = 20, block = 2 }

[training.strong]
method = "sft"
start = "strong_base"
data = "expert"
steps = 30

[data.weak]
explorer = "strong"
from_task = 60
tasks = 20
attempts = 4
search = { simulations = 20 }
states = { method = ["gigpo"] }
pairs = { kinds = ["divergence"], max_pairs_per_task = 4, labels = "none" }
demonstrations = { kinds = ["path"] }

[data.weak_verified]
copy = ["weak"]
verify = { explorer = "strong", rounds = 2, sides = 6, attempts = 3 }
pairs = { kinds = ["divergence"], labels = "none" }

[arms]
control = { method = "sft", start = "strong", data = "expert", steps = 30, learning_rate = 1e-2 }
mcts_sft_all = { method = "path", start = "strong", data = "weak", steps = 10, group = "imitation", label = "all paths" }
gigpo_weighted = { method = "gigpo", start = "strong", data = "weak", steps = 10 }
tree_dpo = { method = "divergence", start = "strong", data = "weak", steps = 10, batch = 8, likelihood_weight = 0.2 }
"""
ARMS = ("sft_strong", "control", "mcts_sft_all", "gigpo_weighted", "tree_dpo")


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recipe") / "tiny.toml"
    path.write_text(TINY)
    return path


@pytest.fixture(scope="module")
def whole(recipe: Path) -> Path:
    """The tiny experiment, not interrupted."""
    pytest.importorskip("torch", reason="needs tratree-data[train]")
    folder = recipe.parent / "whole"
    result, text = reproduce(folder, scale=str(recipe), seeds="4..5", arms=ARMS)
    assert result.counts == {"seeds": 2, "arms": 5}
    assert "`tree_dpo`" in text
    return folder


def test_the_dose_file_names_its_protocol() -> None:
    plan = read_experiment("weak_to_strong_tabular")
    assert is_tabular(plan)
    assert {"sft_weak", "sft_strong", "control", "mcts_sft_all", "mcts_sft", "tree_dpo", "unstructured_dpo"} <= set(plan["arms"])
    assert parse_seeds("3,7..9") == (3, 7, 8, 9)
    assert blocks_of((19, 20, 21, 45), 20) == [(0, (19,)), (1, (20, 21)), (2, (45,))]


def test_a_block_goes_through_the_products_own_stages(whole: Path) -> None:
    store = open_store(whole / "block-2" / "data" / "weak")
    assert store.count("rollouts") == 2 * 20 * 4
    assert store.count("paths") == 2 * 20
    stages = set(store.sql("SELECT DISTINCT stage FROM lineage")["stage"].to_pylist())
    assert {"explore", "build", "search", "states", "pairs", "demonstrations"} <= stages
    assert check(store.path).filter(pc.field("offending_rows") > 0).num_rows == 0
    played = replay(store.path, workers=1)
    assert played.counts["replayed"] == 40, "what was played on arrays holds in the text game"


def test_decisions_are_verified_on_arrays_as_in_the_text_game(whole: Path, recipe: Path) -> None:
    """Each round the doubtful sides get attempts that repeat what led to them, and hold when they are played again."""
    from tratree_data.experiments.tabular.block import Block

    block = Block(read_experiment(recipe), whole / "block-2", (4, 5))
    store = open_store(block.data("weak_verified"))
    branches = store.sql(
        "SELECT split_part(task_id, '/', 1) AS seed, branch_node_id AS node, sampling ->> 'round' AS round, count(*) AS attempts, "
        "count(*) FILTER (EXISTS (FROM step_nodes s WHERE s.rollout_id = r.rollout_id AND s.node_id = branch_node_id)) AS through "
        "FROM rollouts r WHERE branch_node_id IS NOT NULL GROUP BY ALL"
    ).to_pylist()
    assert {(row["seed"], row["round"]) for row in branches} == {(seed, number) for seed in "45" for number in "01"}
    assert all(row["attempts"] == row["through"] == 3 for row in branches), "every attempt passes through the side that it starts from"
    assert len(branches) <= 2 * 2 * 6
    assert check(store.path).filter(pc.field("offending_rows") > 0).num_rows == 0
    mistakes = 0
    for row in store.sql("SELECT rollout_id, task_id, score FROM rollouts WHERE branch_node_id IS NOT NULL LIMIT 20").to_pylist():
        game = Galley()
        seen = [game.reset(row["task_id"]).observation]
        steps = store.sql("SELECT observation, action FROM steps WHERE rollout_id = $id ORDER BY step", {"id": row["rollout_id"]})
        for action in steps["action"].to_pylist():
            seen.append(game.step(action).observation)
        mistakes += seen[:-1] != steps["observation"].to_pylist() or game.score() != pytest.approx(row["score"])
    assert mistakes == 0
    pairs = [len(block._read("weak_verified", "divergence", 0.0, only).states) for only in (False, True)]
    assert pairs[1] == store.sql("SELECT count(*) AS n FROM pairs WHERE verified")["n"][0].as_py() < pairs[0]


def test_a_remark_changes_words_and_merges_but_not_what_networks_read(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="needs tratree-data[train]")
    from tratree_data.experiments.tabular.networks import new_weights
    from tratree_data.experiments.tabular.playing import play, sampling, store_rollouts
    from tratree_data.trees.build import build

    numbers = np.repeat(np.asarray(SPLITS["train"][:3]), 6)[None]
    played = play(Kitchens((SEED,), numbers), sampling(new_weights((SEED,), 4, "weak"), (SEED,), "weak"))
    nodes = {}
    for name, noise, embedder in (("plain", 0.0, "exact"), ("exact", 0.5, "exact"), ("lexical", 0.5, "lexical")):
        store_rollouts(tmp_path / name, played, (SEED,), range(3), 6, "network", "weak", noise)
        nodes[name] = build(tmp_path / name, embedder=embedder, min_similarity=0.9 if embedder == "lexical" else None).counts["nodes"]
    assert nodes["plain"] == nodes["lexical"] < nodes["exact"]
    plain, noisy = (
        open_store(tmp_path / name).sql("SELECT observation, action FROM steps ORDER BY rollout_id, step") for name in ("plain", "exact")
    )
    assert plain["action"] == noisy["action"]
    said = list(zip(plain["observation"].to_pylist(), noisy["observation"].to_pylist(), strict=True))
    assert 0.4 < np.mean([before != after for before, after in said]) < 0.6
    assert all((features_of_observation(before) == features_of_observation(after)).all() for before, after in said)


def test_the_results_are_paired_by_seed(whole: Path) -> None:
    results = json.loads((whole / "results.json").read_text())
    assert results["rewards"]["control"].keys() == {"4", "5"}
    assert 0 < results["arms"]["sft_strong"]["reward"]["mean"] < 1
    assert results["rewards"]["control"] != results["rewards"]["sft_strong"]
    assert results["seconds"]["stages_seconds"] > 0
    assert [(row["arm"], row["runs"]) for row in results["comparisons"] if row["against"] == "control"] == [
        ("mcts_sft_all", 2), ("gigpo_weighted", 2), ("tree_dpo", 2)
    ]  # fmt: skip
    assert all(row["low"] <= row["value"] <= row["high"] and row["p"] <= row["p_holm"] for row in results["comparisons"])
    pytest.importorskip("matplotlib")
    assert "all paths" in (whole / "differences.svg").read_text()


@pytest.mark.timeout(120)
@pytest.mark.slow
def test_a_killed_run_resumes_with_the_same_command(whole: Path, recipe: Path) -> None:
    """Killed once the first arm is finished; what it had made is kept, and the results are those of an uninterrupted run."""
    folder = recipe.parent / "killed"
    arms = [part for arm in ARMS for part in ("--arm", arm)]
    command = [sys.executable, "-m", "tratree_data.cli", "reproduce", str(folder), "--scale", str(recipe), "--seeds", "4..5", *arms]
    run = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    first = folder / "block-2" / "arms" / ARMS[0] / "done.json"
    while not first.is_file():
        assert run.poll() is None, "ended before its first arm"
        time.sleep(0.01)
    run.kill()
    run.wait()
    made = first.stat().st_mtime_ns
    assert not (folder / "block-2" / "arms" / ARMS[-1] / "done.json").is_file()
    reproduce(folder, scale=str(recipe), seeds="4..5", arms=ARMS)
    assert first.stat().st_mtime_ns == made
    again, before = (json.loads((path / "results.json").read_text())["rewards"] for path in (folder, whole))
    assert again == before


def test_a_seed_does_not_depend_on_its_neighbours(whole: Path, recipe: Path) -> None:
    from tratree_data.experiments.tabular.block import Block

    alone = Block(read_experiment(recipe), recipe.parent / "alone", (5,))
    alone.run(("control",))
    score = json.loads((alone.folder / "arms" / "control" / "done.json").read_text())["reward"][0]
    assert score == pytest.approx(json.loads((whole / "results.json").read_text())["rewards"]["control"]["5"], abs=0.05)


def test_another_recipe_is_refused_in_the_same_folder(whole: Path, recipe: Path) -> None:
    from tratree_data.experiments.tabular.block import Block

    plan = read_experiment(recipe)
    with pytest.raises(BadInputError, match="different settings"):
        Block(plan | {"training": {}}, whole / "block-2", (4, 5)).run(("control",))
