"""What a reader may rely on: bytes as they were published, trees that hold all rollouts, numbers that keep their promise."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from helpers.shop import build_all, import_rows, make_dataset, trajectories

from tratree_data.editing.derive import delete, filter, split
from tratree_data.errors import BadInputError, NotFoundError
from tratree_data.preferences.demonstrations import demonstrations
from tratree_data.preferences.pairs import pairs
from tratree_data.releases import publish as publishing
from tratree_data.releases.publish import publish
from tratree_data.releases.versions.version_numbers import compare_splits
from tratree_data.store.checks import check
from tratree_data.store.published.release import corrupt_files, open_dataset, open_release
from tratree_data.store.queries.named_queries import query
from tratree_data.tree_search.search import search
from tratree_data.trees.build import build
from tratree_data.trees.stats import stats
from tratree_data.viewing.show import show
from tratree_data.viewing.shown_trees import read_tasks


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_dataset(tmp_path_factory.mktemp("trust") / "shop")


@pytest.fixture(scope="module")
def release(dataset: Path) -> Path:
    publish(dataset, dataset.parent / "release", "0.1.0")
    return dataset.parent / "release"


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 4
    path.write_bytes(content)


# Bytes


def test_a_flipped_bit_is_found_by_check_and_by_publish(release, dataset, tmp_path):
    copy = shutil.copytree(release, tmp_path / "copy")
    assert corrupt_files(copy) == []
    shard = next((copy / "versions/0.1.0/data/steps").glob("*.parquet"))
    flip_a_bit(shard)
    rules = check(copy).to_pylist()
    assert [(row["check"], row["offending_rows"], row["example"]) for row in rules] == [("files", 1, f"{shard} is changed")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(publishing, "find_growth", lambda *_, **__: None)  # which would know that no row of the shard is needed
        with pytest.raises(BadInputError, match=r"is truncated or changed; nothing was published"):
            publish(dataset, copy, "0.2.0", license="mit")
    shard.write_bytes(shard.read_bytes()[:-1])
    with pytest.raises(BadInputError, match=r"is truncated or changed; nothing was published"):
        publish(dataset, copy, "0.2.0", license="mit")
    assert open_release(copy).label == "version 0.1.0"
    shard.unlink()
    assert corrupt_files(f"{copy}@0.1.0") == [f"{shard} is gone"]


def test_what_someone_changed_at_the_top_is_found(release, tmp_path):
    """Where `datasets` reads; files there may be links to those of the version, or copies."""
    copy = shutil.copytree(release, tmp_path / "copy")
    (copy / "README.md").write_text("mine")
    assert corrupt_files(copy) == [f"{copy / 'README.md'} is changed"]
    assert corrupt_files(f"{copy}@0.1.0") == []
    (copy / "versions/0.1.0/SHA256SUMS").unlink()
    assert corrupt_files(copy)[0].endswith("SHA256SUMS is gone")


def test_the_checksums_are_those_of_sha256sum(release):
    done = subprocess.run(["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=release, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    everything = {path.relative_to(release).as_posix() for path in release.rglob("*") if path.is_file()}
    named = {line.removesuffix(": OK") for line in done.stdout.splitlines()}
    assert named == {name for name in everything if not name.startswith("versions/")} - {"SHA256SUMS"}


# Trees


def test_a_dataset_whose_trees_are_out_of_date_is_not_published(tmp_path):
    folder = import_rows(make_dataset(tmp_path / "shop", range(4)), trajectories(range(6)))
    with pytest.raises(BadInputError, match=r"changed after build, so build, search, pairs, demonstrations would be.*\n.*tratree build"):
        publish(folder, tmp_path / "out", "0.1.0")
    build(folder, embedder="exact")
    with pytest.raises(BadInputError, match=r"changed after search, so search, pairs, demonstrations"):
        publish(folder, tmp_path / "out", "0.1.0")
    assert not (tmp_path / "out").exists()
    build_all(folder)
    delete(folder, ["task-1"])
    publish(folder, tmp_path / "out", "0.1.0")
    assert not [row for row in check(tmp_path / "out").to_pylist() if row["offending_rows"]]


def test_a_dataset_without_trees_is_published(tmp_path):
    assert publish(import_rows(tmp_path / "shop", trajectories([1])), tmp_path / "out", "0.1.0").changed


@pytest.mark.slow
def test_stages_that_were_left_out_or_set_otherwise_are_not_out_of_date(tmp_path):
    """Each dataset holds what its owner wanted of the stages; only what was made from older rows is refused."""
    folder = import_rows(tmp_path / "shop", trajectories(range(4)))
    build(folder, embedder="exact")
    assert publish(folder, tmp_path / "trees", "0.1.0").changed
    demonstrations(folder, kinds=("success",))
    assert publish(folder, tmp_path / "successes", "0.1.0").changed
    search(folder, simulations=7)
    pairs(folder, kinds=("step",), balance=True)
    demonstrations(folder, min_score=0.5)
    search(folder, simulations=7, exploration=0.5)
    with pytest.raises(BadInputError, match=r"changed after demonstrations, so demonstrations would"):
        publish(folder, tmp_path / "all", "0.1.0")
    demonstrations(folder, min_score=0.5)
    assert publish(folder, tmp_path / "all", "0.1.0").changed


# Numbers


@pytest.mark.slow
def test_one_point_zero_is_a_promise_and_needs_no_change_of_the_data(release, dataset, tmp_path):
    copy = shutil.copytree(release, tmp_path / "copy")
    assert not publish(dataset, copy, "0.2.0").changed
    report = publish(dataset, copy, "1.0.0")
    assert report.changed
    assert "the same data, with the promises of 1.0" in report.notes[1]
    assert open_release(copy).label == "version 1.0.0"
    assert not publish(dataset, copy, "1.0.0").changed
    assert not publish(dataset, copy, "2.0.0").changed
    shards = [sorted(path.name for path in (copy / "versions" / version / "data").rglob("*.parquet")) for version in ("0.1.0", "1.0.0")]
    assert shards[0] == shards[1]


@pytest.mark.slow
def test_a_split_that_vanishes_is_a_major_change(dataset, tmp_path):
    publish(dataset, tmp_path / "out", "1.0.0")
    split(dataset, tmp_path / "one", {"train": 1.0})
    with pytest.raises(BadInputError, match=r"split dev is gone from .*rollouts.*\n.*--version 2\.0\.0"):
        publish(tmp_path / "one", tmp_path / "out", "1.1.0")
    assert publish(tmp_path / "one", tmp_path / "out", "2.0.0").changed
    old = {"pairs": {"dev", "train"}, "steps": {"dev"}, "gone": {"x"}}
    assert compare_splits(old, {"pairs": {"train", "test"}, "steps": set(), "new": {"y"}}) == [
        ("major", "split dev is gone from pairs, steps")
    ]


def test_filtering_is_told_by_the_number(dataset, tmp_path):
    publish(dataset, tmp_path / "out", "1.0.0")
    filter(dataset, tmp_path / "strong", "score > 0.5")
    with pytest.raises(BadInputError, match=r"table nodes is gone.*\n.*--version 2\.0\.0"):
        publish(tmp_path / "strong", tmp_path / "out", "1.1.0")


# Names


def test_the_name_of_a_repository_without_hub_is_told_from_a_folder(dataset, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("lab/bash", "lab/bash@v1.0.0"):
        for ask in (open_dataset, corrupt_files):
            with pytest.raises(NotFoundError, match=rf"No such folder: {name}\.\nNext: hub:{name}"):
                ask(name)
    shutil.copytree(dataset, tmp_path / "lab" / "shop")
    assert open_dataset("lab/shop").count("rollouts")
    with pytest.raises(NotFoundError, match="No such folder: lab/bash\\.\nNext: tratree import"):
        open_dataset("lab/bash")


@pytest.mark.parametrize(
    ("address", "meant"),
    [
        ("https://huggingface.co/datasets/org/name", "hub:org/name"),
        ("https://huggingface.co/datasets/org/name/tree/main", "hub:org/name"),
        ("hf://datasets/org/name@v1.0.0", "hub:org/name"),
        ("ftp://bucket/name", "hub:org/name"),
    ],
)
def test_an_address_is_neither_a_folder_nor_a_name(dataset, tmp_path, monkeypatch, address, meant):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadInputError, match=rf"is a web address.*\nNext: {re.escape(meant)}$"):
        publish(dataset, address, "1.0.0")
    for opens in (open_dataset, open_release, check):
        with pytest.raises(BadInputError, match=r"is a web address"):
            opens(address)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_folder_may_have_any_name(dataset, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("we:ird/out", "it's [é] *x"):
        publish(dataset, name, "0.1.0")
        publish(dataset, name, "0.1.1", license="mit")
        assert not [row for row in check(name).to_pylist() if row["offending_rows"]]


# The card


def test_everything_that_counts_nodes_counts_the_rows_of_the_table(dataset):
    """Roots included; only what tells how many steps a node stands for leaves them out, because no step lands on one."""
    store = open_dataset(dataset)
    (quality,) = stats(dataset).to_pylist()
    assert quality["nodes"] == store.count("nodes") == sum(query(store, "tree_quality")["nodes"].to_pylist())
    assert quality["steps_per_node"] == pytest.approx(store.count("steps") / (store.count("nodes") - quality["trees"]))
    tasks = {row["task_id"]: row for row in read_tasks(store).to_pylist()}
    assert sum(row["nodes"] for row in tasks.values()) == store.count("nodes")
    assert f" · {tasks['task-1']['nodes']} nodes" in show(dataset, "task-1")


def test_the_card_counts_nodes_as_the_table_does_and_tells_where_rollouts_come_from(dataset, tmp_path):
    split(dataset, tmp_path / "divided", {"train": 0.5, "test": 0.5})
    publish(tmp_path / "divided", tmp_path / "out", "0.1.0")
    card = (tmp_path / "out/README.md").read_text(encoding="utf-8")
    store = open_release(tmp_path / "out")
    assert f"merged into 6 trees of {store.count('nodes'):,} nodes." in card
    assert f"| nodes | {store.count('nodes'):,} |" in card

    made = next(line for line in card.splitlines() if line.startswith("| rollouts, steps | split |"))
    assert made.endswith("from = shop, seed = 0 |")
    assert "| rollouts and steps of shop | import | clamp_scores = false |" in card
    pairs = next(line for line in card.splitlines() if line.startswith("| pairs, step_labels | pairs |"))
    assert "…" not in pairs
    assert "null" not in pairs
    settings = store.sources["pairs"].lineage.settings
    assert all(f"{name} = " in pairs for name, value in settings.items() if value not in (None, "", [], {}))
