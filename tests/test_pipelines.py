"""Recipes: what runs, what is left alone, and what people get wrong in them."""

import json
from pathlib import Path

import pyarrow as pa
import pytest
from helpers.small import make_store, tables

from tratree_data.errors import RefusedError, TratreeError
from tratree_data.files import file_names
from tratree_data.pipelines import read_recipe, run
from tratree_data.stages import stages_of_recipes
from tratree_data.store.reader import open_store
from tratree_data.store.writing.writer import commit, writing

RECIPE = """
description = "A small one."
[[import]]
format = "jsonl"
path = "{log}"
[build]
embedder = "exact"
[search]
simulations = {simulations}
[pairs]
min_margin = {margin}
[demonstrations]
kinds = ["best"]
"""


def write_recipe(folder: Path, simulations: int = 20, margin: float = 0.0) -> Path:
    log = folder / "log.jsonl"
    ways = [("hall", "go"), ("room", "stop")], [("hall", "sit")]
    rows = [
        {
            "task_id": f"t{t}",
            "env": "house",
            "instruction": "Leave.",
            "reward": float(a == 0),
            "steps": [{"observation": o, "action": x} for o, x in ways[a]],
        }
        for t in range(3)
        for a in range(2)
    ]
    log.write_text("".join(json.dumps(row) + "\n" for row in rows))
    recipe = folder / "recipe.toml"
    recipe.write_text(RECIPE.format(log=log, simulations=simulations, margin=margin))
    return recipe


def changed(recipe: Path, directory: Path) -> list[str]:
    return [report.stage for report in run(directory, recipe) if report.changed]


def test_only_what_is_out_of_date_runs_again(tmp_path: Path) -> None:
    directory = tmp_path / "d"
    assert changed(write_recipe(tmp_path), directory) == ["import", "build", "search", "pairs", "demonstrations"]
    assert open_store(directory).count("pairs") == 3
    assert (directory / "recipe.toml").read_text() == (tmp_path / "recipe.toml").read_text()
    assert changed(write_recipe(tmp_path), directory) == []
    assert changed(write_recipe(tmp_path, margin=0.5), directory) == ["pairs"]
    assert "build" not in changed(write_recipe(tmp_path, margin=0.5, simulations=30), directory)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[biuld]", "Did you mean 'build'"),
        ("[build]\nembeder = 'exact'", "Did you mean 'embedder'"),
        ("build = 3", "must be a table"),
        ("[build", "is not valid TOML"),
        ("[[build]]\n[[build]]", "runs only once"),
    ],
)
def test_mistakes_in_a_recipe_are_named(tmp_path: Path, text: str, message: str) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(text)
    with pytest.raises(TratreeError, match=message):
        read_recipe(recipe)


def test_an_unknown_recipe_is_named() -> None:
    with pytest.raises(TratreeError, match="Did you mean 'demo'"):
        read_recipe("dmo")


def test_a_stage_that_lacks_its_settings_says_which(tmp_path: Path) -> None:
    make_store(tmp_path / "d", *tables([("t", 0, 1.0, [("a", "", "b")])]))
    (tmp_path / "recipe.toml").write_text("[publish]\nversion = '1.0.0'")
    with pytest.raises(TratreeError, match="target"):
        run(tmp_path / "d", tmp_path / "recipe.toml")


@pytest.mark.parametrize("name", [name for name in file_names("pipelines", ".toml") if "weak_to_strong" not in name])
def test_every_recipe_that_we_ship_is_readable(name: str) -> None:
    _, stages = read_recipe(name)
    assert [stage for stage, _ in stages] == sorted((stage for stage, _ in stages), key=[stage.name for stage in stages_of_recipes()].index)


@pytest.mark.slow
def test_the_demo_keeps_every_rule_and_ends_with_what_to_do(demo_run: Path) -> None:
    from tratree_data.store.checks import check
    from tratree_data.store.reader import open_store
    from tratree_data.viewing.run_summary import summarise_run

    for dataset in (demo_run / "demo", demo_run / "demo-release"):
        assert [row["check"] for row in check(dataset).to_pylist() if row["offending_rows"]] == []
    store = open_store(demo_run / "demo")
    assert store.sql("SELECT count(*) AS n FROM step_nodes WHERE similarity < 1")["n"][0].as_py() > 100
    text = summarise_run(demo_run / "demo").plain
    assert "A preference pair" in text
    assert text.count("\n  tratree ") == 3


def test_trees_is_the_second_command_for_logs_without_scores(tmp_path: Path) -> None:
    """Sessions of a coding agent: trees and values of nothing, no pairs, and every rule holds."""
    from tratree_data import import_log
    from tratree_data.viewing.run_summary import summarise_run

    session = next((Path(__file__).parent / "data/logs/claude-code").glob("*.jsonl"))
    result = import_log(tmp_path / "d", session)
    assert any(note.startswith("Warning: no rollout has a score") for note in result.notes)
    results = {result.stage: result for result in run(tmp_path / "d", "trees")}
    assert list(results) == ["build", "search", "states", "pairs", "demonstrations", "check"]
    assert results["build"].counts["trees"] > 0
    assert (results["pairs"].counts["pairs"], results["check"].counts["broken"]) == (0, 0)
    assert [result.stage for result in run(tmp_path / "d", "trees") if result.changed] == ["check"]
    assert summarise_run(tmp_path / "d").plain.splitlines()[-1].startswith(f"  tratree score {tmp_path / 'd'} --with ")


def test_a_recipe_that_ends_with_a_broken_rule_fails(tmp_path: Path) -> None:
    make_store(tmp_path / "d", *tables([("t", 0, 1.0, [("o", "", "a")])]))
    recipe = tmp_path / "own.toml"
    recipe.write_text("[check]\n")
    store = open_store(tmp_path / "d")
    with writing(tmp_path / "d"):
        rows = store.read("rollouts")
        more = rows.set_column(rows.schema.get_field_index("step_count"), rows.schema.field("step_count"), pa.array([2], pa.int32()))
        commit(tmp_path / "d", "test", {"rollouts": more}, settings={}, reads={})
    with pytest.raises(RefusedError, match=r"breaks 1 rules, the first step_counts\.\nNext: tratree check"):
        run(tmp_path / "d", recipe)
    recipe.write_text("[check]\nstrict = true\n")
    with pytest.raises(TratreeError, match="has no settings"):
        run(tmp_path / "d", recipe)


def test_the_dataset_comes_first_in_python_and_a_swap_is_named(tmp_path: Path) -> None:
    from tratree_data import explore, import_log

    log = tmp_path / "log.jsonl"
    log.write_text("{}")
    with pytest.raises(TratreeError, match=r"wrong order\.\nNext: import_log\(.*log\.jsonl'\) in Python, tratree import"):
        import_log(log, tmp_path / "d")
    with pytest.raises(TratreeError, match=r"wrong order\.\nNext: explore\('shop', 'webshop', …\) in Python, tratree explore webshop shop"):
        explore("webshop", "shop")
    with pytest.raises(TratreeError, match=r"wrong order\.\nNext: run\('mine', 'trees'\) in Python, tratree run trees mine"):
        run("trees", "mine")
