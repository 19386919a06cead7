"""Datasets from datasets: merge, split, filter, delete; and datasets of older versions."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers.shop import build_all, import_rows, make_dataset, trajectories

from tratree_data.editing.derive import delete, filter, merge, parse_fractions, split
from tratree_data.errors import BadInputError, NotFoundError
from tratree_data.exploration.explore import explore
from tratree_data.preferences.demonstrations import demonstrations
from tratree_data.preferences.pairs import pairs
from tratree_data.releases.publish import publish
from tratree_data.store.checks import check
from tratree_data.store.freshness import last_lineage
from tratree_data.store.published.release import corrupt_files, open_release
from tratree_data.store.reader import open_store
from tratree_data.tree_search.search import search
from tratree_data.trees.build import build

STORES = Path(__file__).parent / "data/stores"
DERIVED = ("nodes", "edges", "step_nodes", "node_values", "paths", "pairs", "step_labels", "demonstrations")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_dataset(tmp_path_factory.mktemp("editing") / "shop")


def broken(folder: Path) -> list[str]:
    return [row["check"] for row in check(folder).to_pylist() if row["offending_rows"]]


def rows_of(folder: Path, table: str) -> pa.Table:
    order = ", ".join(str(i + 1) for i in range(len(open_store(folder).read(table).column_names)))
    return open_store(folder).sql(f"SELECT * FROM {table} ORDER BY {order}")


def stages_change(folder: Path) -> list[bool]:
    return [
        build(folder, embedder="exact").changed,
        search(folder, simulations=20).changed,
        pairs(folder).changed,
        demonstrations(folder).changed,
    ]


@pytest.mark.slow
def test_apart_and_together_again_is_the_same_dataset(dataset, tmp_path):
    filter(dataset, tmp_path / "train", "split = 'train'")
    filter(dataset, tmp_path / "dev", "split = 'dev'")
    report = merge(tmp_path / "train", tmp_path / "dev", tmp_path / "both")
    assert report.notes == ("reused, because it still holds: what build, search, pairs, demonstrations made",)
    for table in ("rollouts", "steps", *DERIVED):
        assert rows_of(tmp_path / "both", table).equals(rows_of(dataset, table)), table
    assert broken(tmp_path / "both") == []
    assert stages_change(tmp_path / "both") == [False] * 4
    lineage = last_lineage(open_store(tmp_path / "both"), "merge", "rollouts")
    assert [origin["name"] for origin in lineage.settings["from"]] == ["train", "dev"]
    assert lineage.settings["from"][0]["made"]["settings"]["where"] == "split = 'train'"


def test_what_no_longer_holds_is_left_out_and_named(dataset, tmp_path):
    report = filter(dataset, tmp_path / "out", "score = 1 OR attempt = 0")
    assert report.notes[0] == "6 of 24 rollouts left out"
    assert report.notes[1].startswith("to be run again: build, search, pairs, demonstrations, ")
    store = open_store(tmp_path / "out")
    assert not [table for table in DERIVED if store.has(table)]
    assert broken(tmp_path / "out") == []
    assert stages_change(tmp_path / "out") == [True] * 4
    assert broken(tmp_path / "out") == []


def test_rollouts_that_both_have_count_once_and_are_named(dataset, tmp_path):
    filter(dataset, tmp_path / "some", "task_id = 'task-1'")
    report = merge(dataset, tmp_path / "some", tmp_path / "out")
    assert report.counts["rollouts"] == 24
    assert report.notes[0] == "4 rollouts were in both"
    dropped = (
        open_store(tmp_path / "out").sql("SELECT reason, count(*) AS n FROM dropped WHERE stage = 'merge' GROUP BY reason").to_pylist()
    )
    assert dropped == [{"reason": "already_there", "n": 4}]
    assert stages_change(tmp_path / "out") == [False] * 4


def test_more_attempts_at_the_same_tasks_need_new_trees(dataset, tmp_path):
    rows = [row | {"trajectory_id": f"more-{row['trajectory_id']}"} for row in trajectories([1])]
    more = build_all(import_rows(tmp_path / "more", rows))
    report = merge(dataset, more, tmp_path / "out")
    assert report.counts == {"rollouts": 28, "steps": 84}
    assert any(note.startswith("to be run again: build") for note in report.notes)
    build_all(tmp_path / "out")
    assert broken(tmp_path / "out") == []


def test_a_task_in_two_splits_is_refused_by_merge(dataset, tmp_path):
    rows = [row | {"split": "test", "trajectory_id": f"x{row['trajectory_id']}"} for row in trajectories([1])]
    other = import_rows(tmp_path / "other", rows)
    with pytest.raises(BadInputError, match="'task-1', for example, in 'train' and 'test'"):
        merge(dataset, other, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_two_versions_of_an_environment_are_refused_by_merge(tmp_path):
    """Their attempts have the same names, so half of them would have gone as already there."""
    for name, options in (("quiet", {}), ("noisy", {"noise": True})):
        explore(tmp_path / name, "webshop", ["scripted"], attempts=2, tasks=2, options=options)
    with pytest.raises(BadInputError, match="different versions of webshop"):
        merge(tmp_path / "quiet", tmp_path / "noisy", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert merge(tmp_path / "quiet", tmp_path / "quiet", tmp_path / "same").counts["rollouts"] == 4


@pytest.mark.slow
def test_a_release_and_a_dataset_merge(dataset, tmp_path):
    publish(dataset, tmp_path / "release", "1.0.0")
    more = make_dataset(tmp_path / "more", range(6, 8))
    report = merge(f"{tmp_path / 'release'}@1.0.0", more, tmp_path / "out")
    assert report.counts["rollouts"] == 32
    assert broken(tmp_path / "out") == []
    assert stages_change(tmp_path / "out") == [False] * 4


def test_splits_are_by_task_seeded_and_stable_under_growth(dataset, tmp_path):
    fractions = {"train": 0.5, "validation": 0.25, "test": 0.25}
    split(dataset, tmp_path / "one", fractions, seed=3)
    grown = make_dataset(tmp_path / "grown", range(9))
    split(grown, tmp_path / "two", fractions, seed=3)
    split(dataset, tmp_path / "other", fractions, seed=4)

    def splits(folder: Path) -> dict[str, str]:
        rows = open_store(folder).sql("SELECT DISTINCT task_id, split FROM rollouts ORDER BY task_id").to_pylist()
        assert len({row["task_id"] for row in rows}) == len(rows)
        return {row["task_id"]: row["split"] for row in rows}

    one, two = splits(tmp_path / "one"), splits(tmp_path / "two")
    assert one.items() <= two.items()
    assert set(two.values()) <= set(fractions)
    assert splits(tmp_path / "other") != one
    assert broken(tmp_path / "one") == []
    assert stages_change(tmp_path / "one") == [False] * 4
    for table in ("pairs", "demonstrations", "step_labels"):
        assert all(
            one[row["task_id"]] == row["split"] for row in open_store(tmp_path / "one").read(table, ["task_id", "split"]).to_pylist()
        )


def test_tasks_with_one_instruction_stay_together(tmp_path):
    rows = [*trajectories(range(20), attempts=1, instruction="Find shoes!"), *trajectories(range(20, 30), attempts=1)]
    folder = import_rows(tmp_path / "shop", rows)
    split(folder, tmp_path / "out", {"train": 0.5, "test": 0.5}, by="instruction")
    question = "SELECT count(DISTINCT split) AS n FROM rollouts WHERE instruction = 'Find shoes!'"
    assert open_store(tmp_path / "out").sql(question)["n"][0].as_py() == 1


def files_that_name(folder, tree):
    """Parquet files of any version, or of none, that hold rows of the tree; their bytes are compressed, so they are read."""
    return [path for path in sorted(folder.rglob("*.parquet")) if tree in str(pq.read_table(path).to_pylist())]


def test_delete_takes_everything_of_a_task(dataset, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(dataset, copy)
    tree = open_store(copy).sql("SELECT DISTINCT tree_id FROM rollouts WHERE task_id = 'task-1'")["tree_id"][0].as_py()
    before = files_that_name(copy, tree)
    assert before
    shutil.copy(before[0], before[0].with_name("part-00000000000000000000000000000000.parquet"))
    report = delete(copy, ["task-1"], purge=True)
    assert report.notes[0] == "1 task with 4 rollouts deleted"
    store = open_store(copy)
    for table in store.sources:
        if "tree_id" in store.read(table).column_names:
            assert tree not in store.read(table)["tree_id"].to_pylist(), table
    assert broken(copy) == []
    assert stages_change(copy) == [False] * 4
    assert files_that_name(copy, tree) == [], "purged files are gone"
    with pytest.raises(NotFoundError, match="no task 'task-1'"):
        delete(copy, ["task-1"])
    publish(copy, tmp_path / "release", "1.0.0")
    assert open_release(tmp_path / "release").count("rollouts") == 20


def test_delete_from_a_dataset_whose_trees_are_out_of_date_leaves_nothing_behind(dataset, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(dataset, copy)
    import_rows(copy, [row | {"trajectory_id": f"new-{row['trajectory_id']}"} for row in trajectories([2])])
    report = delete(copy, ["task-1"])
    assert any(note.startswith("to be run again: build") for note in report.notes)
    assert open_store(copy).sql("SELECT count(*) AS n FROM pairs WHERE task_id = 'task-1'")["n"][0].as_py() == 0
    assert build(copy, embedder="exact").changed


BAD_CONDITIONS = {
    "true) UNION SELECT 1": "syntax error",
    "1 = 1 LIMIT 3": "modifiers",
    "true; DROP TABLE rollouts": "Parser Error",
    "nosuch = 3": "nosuch",
    "score >": "syntax error",
    "score > (SELECT count(*) FROM read_csv('/etc/passwd'))": "Permission",
    "score > 5": "No rollout",
}


@pytest.mark.parametrize("where", BAD_CONDITIONS)
def test_a_condition_is_only_a_condition(dataset, tmp_path, where):
    with pytest.raises(BadInputError, match=BAD_CONDITIONS[where]):
        filter(dataset, tmp_path / "out", where)
    assert list(tmp_path.iterdir()) == []


def test_bad_input_is_named(dataset, tmp_path):
    with pytest.raises(BadInputError, match="exists"):
        filter(dataset, dataset, "true")
    with pytest.raises(BadInputError, match="add up to 1"):
        split(dataset, tmp_path / "out", {"train": 0.5})
    with pytest.raises(BadInputError, match="by task or instruction"):
        split(dataset, tmp_path / "out", {"train": 1.0}, by="taks")
    with pytest.raises(BadInputError, match="name=share"):
        parse_fractions(["train"])
    with pytest.raises(NotFoundError, match="Did you mean 'task-1'"):
        delete(dataset, ["tsk-1"])
    with pytest.raises(NotFoundError, match="No such folder"):
        merge(tmp_path / "a", dataset, tmp_path / "out")
    with pytest.raises(BadInputError, match="every task"):
        delete(dataset, [f"task-{i}" for i in range(6)])


def test_the_verbs_of_the_command_line(dataset, tmp_path):
    lines = [
        ["filter", str(dataset), "a", "--where", "attempt < 2"],
        ["split", "a", "b", "--fraction", "train=1"],
        ["merge", "a", str(dataset), "c"],
        ["delete", "c", "--task", "task-0"],
    ]
    script = f"from tratree_data.cli import app\nfor line in {lines!r}:\n    app(line, standalone_mode=False)"
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert open_store(tmp_path / "b").count("rollouts") == 12
    assert open_store(tmp_path / "c").count("rollouts") == 20


# Older versions


def test_a_release_of_format_1_opens_loads_and_grows(tmp_path):
    import datasets

    release = STORES / "release-format-1"
    assert {Path(line.removesuffix(" is gone")).relative_to(release).parts[0] for line in corrupt_files(release)} == {"sql"}
    release = shutil.copytree(release, tmp_path / "release")
    sums = (release / "SHA256SUMS").read_text().splitlines(keepends=True)
    (release / "SHA256SUMS").write_text("".join(line for line in sums if "  sql/" not in line))
    assert open_release(release).sql("SELECT count(*) AS n FROM rollouts JOIN steps USING (rollout_id)")["n"][0].as_py() == 12
    assert broken(release) == []
    loaded = datasets.load_dataset(str(release), "pairs", cache_dir=str(tmp_path / "cache"))
    assert sum(len(part) for part in loaded.values()) == 2
    grown = merge(release, make_dataset(tmp_path / "more", [7]), tmp_path / "grown")
    assert grown.counts["rollouts"] == 8


def test_a_newer_dataset_is_refused_with_the_command_that_helps(tmp_path):
    copy = tmp_path / "newer"
    shutil.copytree(STORES / "format-1", copy)
    for log in copy.rglob("_delta_log/*.json"):
        log.write_text(log.read_text().replace('\\"format\\": 1', '\\"format\\": 99'))
    with pytest.raises(BadInputError, match=r"format 99.*\n?.*pip install --upgrade tratree-data"):
        open_store(copy)
    assert json.loads((STORES / "release-format-1/lineage.json").read_text())["format"] == 1


@pytest.mark.parametrize("texts", [["a=nan", "b=0.5"], ["=1"], [" =1"], ["a=0.5", "a=0.5"], ["a=inf"], ["a=-1", "b=2"], ["a=1=1"], ["a=."]])
def test_fractions_that_make_no_sense_are_refused(texts):
    with pytest.raises(BadInputError, match=r"Next: --fraction"):
        split("nowhere", "out", parse_fractions(texts))


def test_nothing_new_is_made_inside_the_dataset_that_it_comes_from(dataset, monkeypatch):
    monkeypatch.chdir(dataset.parent)
    inside = f"{dataset.name}/new"
    for make in (
        lambda: merge(dataset, dataset.name, inside),
        lambda: split(dataset, inside, {"train": 1.0}),
        lambda: filter(dataset, inside, "true"),
        lambda: publish(dataset, inside, "1.0.0"),
    ):
        with pytest.raises(BadInputError, match="beside it"):
            make()
    assert not Path(inside).exists()
