"""The experiment from demonstrations to the table, its recipes, and the plan for the paper's scale."""

import json
import shutil
import subprocess
import sys
import time
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from tratree_data.errors import BadInputError, NotFoundError, StoreBusyError
from tratree_data.experiments.artifacts import finish, gather, is_done
from tratree_data.experiments.recipe import check_experiment, in_environment, launcher_of, read_experiment
from tratree_data.experiments.reproduce import reproduce, table
from tratree_data.experiments.run_experiment import Run, run_experiment
from tratree_data.experiments.settings import parse_seeds
from tratree_data.experiments.training_costs import flatten_trainings, hours, memory_gib
from tratree_data.exploration.explore import explore
from tratree_data.files import data_folder, read_text
from tratree_data.store.reader import open_store
from tratree_data.store.writing.writer import writing

PAPER = sorted(data_folder("pipelines").joinpath("paper").glob("*.toml"))


def needs_the_real_thing() -> None:
    pytest.importorskip("trl", reason="needs tratree-data[train]")
    pytest.importorskip("textworld_express", reason="needs tratree-data[environments]")
    if shutil.which("java") is None:
        pytest.skip("needs Java: apt-get install default-jre-headless")


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The short version, run once."""
    needs_the_real_thing()
    folder = tmp_path_factory.mktemp("experiment")
    report, text = reproduce(folder, scale="short")
    print(text)
    assert report.counts == {"seeds": 1, "arms": 6}
    return folder


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_the_short_version_shows_what_always_holds(experiment: Path) -> None:
    """Counts, falling losses, episodes that were really played; which arm wins is reported, not asserted."""
    results = json.loads((experiment / "results.json").read_text())
    arms = results["arms"]
    assert set(arms) == {"sft_weak", "sft_strong", "control", "mcts_sft_all", "tree_dpo", "tree_dpo_step"}
    assert all(arm["tasks"] == [40] for arm in arms.values())
    assert all(0 <= run["low"] <= run["value"] <= run["high"] <= 1 for arm in arms.values() for run in arm["reward"])
    assert len(results["comparisons"]) == 3
    for name in ("weak", "strong", "control", "mcts_sft_all", "tree_dpo", "tree_dpo_step"):
        trained = json.loads((experiment / "seed-0" / "models" / name / "training.json").read_text())
        assert trained["finished"]
        if name in ("weak", "strong"):  # the others start where these ended, and a few steps more need not show in a batch's loss
            assert trained["last_loss"] < trained["first_loss"] / 2
    for base in ("weak_base", "strong_base"):
        losses = json.loads((experiment / "seed-0" / "models" / base / "schooled.json").read_text())
        assert losses["last_loss"] < losses["first_loss"] * 0.8
    assert arms["sft_strong"]["steps"][0]["value"] > 1


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_finished_experiment_is_not_run_again(experiment: Path) -> None:
    before = (experiment / "seed-0" / "log.txt").read_text()
    results = (experiment / "results.json").read_text()
    started = time.monotonic()
    reproduce(experiment, scale="short")
    assert (experiment / "seed-0" / "log.txt").read_text() == before
    assert (experiment / "results.json").read_text() == results
    assert time.monotonic() - started < 60


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_the_experiments_stores_are_ordinary_datasets(experiment: Path) -> None:
    from tratree_data.store.reader import open_store

    store = open_store(experiment / "seed-0" / "data" / "weak")
    assert store.count("rollouts") == 40 * 5
    assert store.count("paths") == 40
    rebuilt = store.sql("SELECT count(*) AS n FROM steps JOIN step_nodes USING (rollout_id, step)")["n"][0].as_py()
    assert rebuilt == store.count("steps")


# Recipes


@pytest.mark.parametrize(
    "name", ["weak_to_strong", "weak_to_strong_short", "weak_to_strong_pretrained", "weak_to_strong_gpu", "weak_to_strong_drawn"]
)
def test_recipes_refer_only_to_what_is_there(name: str) -> None:
    recipe = read_experiment(name)
    assert {"sft_weak", "sft_strong", "control"} < set(recipe["arms"])


def test_ablations_add_to_the_main_recipe() -> None:
    main, ablations = read_experiment("weak_to_strong"), read_experiment("weak_to_strong_ablations")
    assert ablations["models"] == main["models"]
    assert set(main["arms"]) < set(ablations["arms"])
    assert ablations["compare"] != main["compare"]


def test_the_full_recipe_has_every_row_of_the_papers_table_one() -> None:
    recipe = read_experiment("weak_to_strong")
    rows = {arm["paper"] for arm in recipe["arms"].values() if "paper" in arm}
    assert len(rows) == 7


def test_mistakes_in_a_recipe_are_named() -> None:
    def refused(match: str, **changes: object) -> None:
        recipe = {**tomllib.loads(read_text("pipelines", "weak_to_strong_short.toml")), **changes}
        with pytest.raises(BadInputError, match=match):
            check_experiment(recipe, "mine")

    refused("section", armz={})
    refused("refers to start 'stong'", arms={"a": {"start": "stong", "data": "weak", "method": "sft"}})
    refused("refers to data 'week'", arms={"a": {"start": "strong", "data": "week", "method": "sft"}})
    refused("names 'b'", arms={"a": {"model": "weak"}}, compare={"pairs": [["a", "b"]]})
    with pytest.raises(NotFoundError, match="Did you mean 'weak_to_strong"):
        read_experiment("weak_to_stron")
    with pytest.raises(BadInputError, match="not a list of seeds"):
        parse_seeds("0;1")


def test_a_weak_model_can_be_the_first_layers_of_another(tmp_path: Path) -> None:
    pytest.importorskip("trl", reason="needs tratree-data[train]")
    import torch

    from tratree_data.experiments.small_models import keep_first_layers, make_model, make_tokenizer
    from tratree_data.models.loading import load_model, load_tokenizer

    make_model(tmp_path / "strong", make_tokenizer(["open the fridge"]), width=32, layers=3)
    keep_first_layers(str(tmp_path / "strong"), tmp_path / "weak", 1)
    strong, weak = (load_model(str(tmp_path / name)) for name in ("strong", "weak"))
    words = load_tokenizer(str(tmp_path / "weak"))("open the fridge", return_tensors="pt")
    after_one = strong(**words, output_hidden_states=True).hidden_states[1]
    torch.testing.assert_close(weak(**words).logits, strong.lm_head(strong.get_decoder().norm(after_one)))
    with pytest.raises(BadInputError, match="has 3 layers"):
        keep_first_layers(str(tmp_path / "strong"), tmp_path / "none", 3)


def test_each_seed_draws_tasks_and_explores_others_than_the_expert_showed(tmp_path: Path) -> None:
    def tasks(seed: int, **settings: int) -> list[str]:
        found = Run({"environment": {"name": "galley", "drawn": True}}, tmp_path, seed)._tasks(settings)
        assert isinstance(found, list)
        return found

    shown, explored = tasks(3, tasks=20), tasks(3, from_task=20, tasks=30)
    assert (len(shown), len(explored)) == (20, 30)
    assert not {*shown} & {*explored}
    assert shown == tasks(3, tasks=20) != tasks(4, tasks=20)
    plain = Run({"environment": {"name": "galley"}}, tmp_path, 3)
    assert plain._tasks({"tasks": 5}) == 5
    assert plain._tasks({"from_task": 5, "tasks": 2}) == ["0/train/5", "0/train/6"]
    with pytest.raises(BadInputError, match="700 tasks"):
        tasks(3, from_task=690, tasks=20)


# The paper's scale


@pytest.mark.parametrize("path", PAPER, ids=lambda path: path.stem)
def test_paper_recipes_are_whole_and_fit_their_machines(path: Path) -> None:
    recipe = read_experiment(path)
    for environment in ("webshop", "scienceworld", "alfworld"):
        assert in_environment(recipe, environment)["environment"]["name"] == environment
    trainings = flatten_trainings(recipe)
    assert {"weak", "strong", "tree_dpo", "mcts_sft"} <= {training.name for training in trainings}
    for training in trainings:
        assert memory_gib(training) < recipe["estimate"]["gpu_memory_gib"]
        assert 0 < hours(training, recipe["estimate"], 1824) < 100


def test_the_recipe_for_one_gpu_fits_it_and_its_hour() -> None:
    recipe = read_experiment("weak_to_strong_gpu")
    trainings = flatten_trainings(recipe)
    assert max(memory_gib(training) for training in trainings) < recipe["estimate"]["gpu_memory_gib"]
    assert sum(hours(training, recipe["estimate"], recipe["estimate"]["rows"]["alfworld"]) for training in trainings) < 0.5


def test_a_recipe_finds_the_included_config_of_accelerate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = read_experiment(next(path for path in PAPER if path.stem == "llama2_70b"))
    assert Path(launcher_of(recipe)[-1]) == data_folder("pipelines") / "accelerate" / "fsdp.yaml"
    (tmp_path / "fsdp.yaml").touch()
    monkeypatch.chdir(tmp_path)
    assert launcher_of(recipe) == recipe["environment"]["launch"]


def test_estimates_grow_as_they_must() -> None:
    small, large = (flatten_trainings(read_experiment(path)) for path in PAPER if path.stem in ("llama2", "qwen2_5"))
    by_name = {training.name: training for training in small}
    machine = read_experiment(PAPER[0])["estimate"]
    assert memory_gib(by_name["tree_dpo"]) > memory_gib(by_name["unstructured_dpo"]) > memory_gib(by_name["strong"])
    assert hours(by_name["strong"], machine, 2000) == pytest.approx(2 * hours(by_name["strong"], machine, 1000))
    assert len(large) == len(small)
    limited = replace(by_name["strong"], most_rows=by_name["strong"].epochs * 500)
    assert hours(limited, machine, 2000) == pytest.approx(hours(by_name["strong"], machine, 500))
    recipe = read_experiment(PAPER[0])
    recipe["arms"]["mcts_sft"] |= {"max_steps": 10, "batch": 8}
    assert {training.name: training.most_rows for training in flatten_trainings(recipe)}["mcts_sft"] == 80


def test_the_dry_run_names_what_is_missing(tmp_path: Path) -> None:
    report, text = reproduce(tmp_path, scale="paper", dry_run=True)
    assert report.counts["recipes"] == len(PAPER) == 4
    for word in ("Llama-2-7b", "Qwen2.5-14B", "GiB per GPU", "GPUs: 8 of 80 GiB planned", "alfworld, h"):
        assert word in text
    with pytest.raises(BadInputError, match="--dry-run"):
        reproduce(tmp_path, scale="paper")


def test_the_table_shows_means_over_seeds() -> None:
    run = {"value": 0.25, "low": 0.2, "high": 0.3}
    other = {"value": 0.75, "low": 0.7, "high": 0.8}
    arm = {
        "seeds": [0, 1],
        "best_of": 1,
        "tasks": [10, 10],
        "reward": [run, other],
        "success": [run, other],
        "steps": [run, other],
        "invalid_actions": [run, other],
    }
    pair = {
        "arm": "a",
        "against": "b",
        "difference": run,
        "effect_size": None,
        "p_over_runs": 0.2,
        "p_holm": 0.4,
        "p_these_models": 0.01,
        "runs": [0.2, 0.3],
    }
    single = {**pair, "p_over_runs": None, "runs": [0.2]}
    recipe = {"arms": {"b": {}, "a": {"paper": "Ours: 1 / 2 / 3"}}}
    text = table({"recipe": recipe, "arms": {"a": arm, "b": arm}, "comparisons": [pair, single]})
    assert "| `a` | 50.0 | 25.0 [20, 30] / 75.0 [70, 80] | 50.0 | 0.5 | 0.5 | Ours: 1 / 2 / 3 |" in text
    assert "| `a` − `b` | +25.0 | +20.0 … +30.0 | +20.0 / +30.0 | ∞ | 0.2000 | 0.4000 | 0.0100 |" in text
    assert "+20.0 … +30.0 (one run: over tasks only) | +20.0 | ∞ | – | 0.4000 | 0.0100 |" in text
    assert text.index("`b` |") < text.index("`a` |"), "in the recipe's order"


PARENT = """
import os, sys, time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from tratree_data.experiments.run_experiment import end_with

def work(_):
    print(os.getpid(), flush=True)
    time.sleep(600)

if __name__ == "__main__":
    with ProcessPoolExecutor(2, get_context("spawn"), initializer=end_with, initargs=(os.getpid(),)) as pool:
        list(pool.map(work, range(2)))
"""


def test_a_killed_experiment_leaves_no_process_behind(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        children = [int(parent.stdout.readline()) for _ in range(2)]
        parent.kill()
    deadline = time.monotonic() + 30
    while any(Path(f"/proc/{child}").exists() for child in children) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not [child for child in children if Path(f"/proc/{child}").exists()]


def test_an_experiment_that_another_process_runs_is_refused(tmp_path: Path) -> None:
    seed = tmp_path / "seed-0"
    seed.mkdir()
    with writing(seed), pytest.raises(StoreBusyError, match="Another process"):
        run_experiment("weak_to_strong_short", tmp_path)


def test_what_another_recipe_made_is_not_taken_for_this_ones(tmp_path: Path) -> None:
    finish(tmp_path, {"tasks": 5, "attempts": 2, "paper": "a row"}, {"seconds": 1.0})
    assert is_done(tmp_path, {"tasks": 5, "attempts": 2, "paper": "the row"})
    assert not is_done(tmp_path / "other", {})
    with pytest.raises(BadInputError, match="made with different settings \\(attempts, temperature\\)"):
        is_done(tmp_path, {"tasks": 5, "attempts": 3, "temperature": "1.0"})


def test_a_copy_gets_the_attempts_that_it_lacks(tmp_path: Path) -> None:
    def play(folder: Path, attempts: int) -> dict[str, int]:
        return explore(folder, "helpers.plug_ins:Counter", "scripted", attempts, tasks=2, concurrent=1, processes=1).counts

    play(tmp_path / "two", 2)
    gather([tmp_path / "two"], tmp_path / "three")
    before = set(open_store(tmp_path / "two").read("rollouts", ["rollout_id"])["rollout_id"].to_pylist())
    assert play(tmp_path / "three", 3)["rollouts"] == 2
    after = set(open_store(tmp_path / "three").read("rollouts", ["rollout_id"])["rollout_id"].to_pylist())
    assert before < after
    assert len(after) == 6
    gather([tmp_path / "three"], tmp_path / "one", attempts=1)
    assert open_store(tmp_path / "one").count("rollouts") == 2


def test_a_copy_that_was_killed_between_two_sources_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tratree_data.experiments import artifacts
    from tratree_data.store.freshness import last_lineage

    sources = [tmp_path / "first", tmp_path / "second"]
    for number, source in enumerate(sources):
        explore(source, "helpers.plug_ins:Counter", "scripted", 1, tasks=2, seed=number, concurrent=1, processes=1)

    def killed(path: Path) -> object:
        if Path(path).name == "second":
            raise KeyboardInterrupt
        return open_store(path)

    monkeypatch.setattr(artifacts, "open_store", killed)
    with pytest.raises(KeyboardInterrupt):
        gather(sources, tmp_path / "both")
    monkeypatch.undo()
    gather(sources, tmp_path / "both")
    store = open_store(tmp_path / "both")
    assert store.count("rollouts") == 4
    assert last_lineage(store, "explore", "rollouts") is None, "nothing was explored here"
    lineage = last_lineage(store, "merge", "rollouts")
    assert lineage is not None
    assert lineage.settings["from"] == ["first", "second"]
