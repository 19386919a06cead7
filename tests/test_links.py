"""Links below a dataset or a release are never followed: not to read, not to write, not to remove."""

import json
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from helpers.small import make_store, tables

from tratree_data import build, check, delete, export, open_release, open_store, publish, run, split, vacuum
from tratree_data.errors import BadInputError
from tratree_data.store.schemas import empty_table
from tratree_data.store.writing.writer import create_store, new_file, write_parquet, writing


def make_dataset(folder: Path, word: str = "open") -> Path:
    """Two tasks of two attempts each; the word is in every row."""
    attempts = [(f"{word}-{task}", attempt, float(attempt), [(f"{word} hall", "", f"{word} door")]) for task in "ab" for attempt in (0, 1)]
    make_store(folder, *tables(attempts))
    build(folder, embedder="exact")
    return folder


def snapshot(folder: Path) -> dict[str, bytes | str]:
    """Every file and link below the folder, as it is."""
    return {
        str(path.relative_to(folder)): f"link to {path.readlink()}" if path.is_symlink() else path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_symlink() or path.is_file()
    }


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """Somebody's Parquet files, at the top and nested."""
    folder = tmp_path / "models"
    for place in (folder, folder / "nested"):
        place.mkdir(parents=True)
        write_parquet(empty_table("nodes"), "nodes", place / "weights.parquet")
    return folder


def replace_by_link(path: Path, target: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    path.symlink_to(target)


WRITERS: dict[str, Callable[[Path], object]] = {
    "vacuum": lambda folder: vacuum(folder, keep_days=0),
    "dry run": lambda folder: vacuum(folder, keep_days=0, dry_run=True),
    "purge": lambda folder: delete(folder, ["open-a"], purge=True),
    "build": lambda folder: build(folder, embedder="exact", chunk_steps=1, normalise_actions=("quoting",)),
}


@pytest.mark.parametrize("place", [".building", ".lock", "pairs", "pairs/_delta_log", "nodes", "nodes/_delta_log", "steps"])
@pytest.mark.parametrize("verb", WRITERS)
def test_a_writing_verb_refuses_a_link_and_touches_nothing_behind_it(tmp_path: Path, models: Path, verb: str, place: str) -> None:
    folder = make_dataset(tmp_path / "d")
    (folder / place).parent.mkdir(exist_ok=True)
    replace_by_link(folder / place, models)
    before = snapshot(models)
    with pytest.raises(BadInputError, match=r"is a link.*\nNext: "):
        WRITERS[verb](folder)
    assert snapshot(models) == before
    assert (folder / place).is_symlink()


@pytest.mark.parametrize("name", ["recipe.toml", "recipe.toml-new"])
def test_a_recipe_is_not_kept_behind_a_link(tmp_path: Path, name: str) -> None:
    folder = make_dataset(tmp_path / "d")
    recipe, mine = tmp_path / "mine.toml", tmp_path / "profile"
    recipe.write_text("[search]\nsimulations = 3\n", encoding="utf-8")
    for there in (True, False):
        if there:
            mine.write_text("my own", encoding="utf-8")
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to(mine)
        with suppress(BadInputError):
            run(folder, recipe)
        if there:
            assert mine.read_text(encoding="utf-8") == "my own"
        else:
            assert not mine.exists()
        mine.unlink(missing_ok=True)


def test_a_lock_that_is_a_dangling_link_makes_no_file(tmp_path: Path) -> None:
    folder = make_dataset(tmp_path / "d")
    replace_by_link(folder / ".lock", tmp_path / "made")
    with pytest.raises(BadInputError, match="is a link"):
        vacuum(folder)
    assert not (tmp_path / "made").exists()


def test_a_link_inside_scratch_goes_and_what_it_names_stays(tmp_path: Path, models: Path) -> None:
    folder = make_dataset(tmp_path / "d")
    write_parquet(empty_table("nodes"), "nodes", new_file(folder / ".building", "nodes"))
    (folder / ".building" / "more").symlink_to(models)
    (folder / ".building" / "one.parquet").symlink_to(models / "weights.parquet")
    before = snapshot(models)
    assert vacuum(folder).counts["files"] == 1
    assert snapshot(models) == before
    assert not (folder / ".building").exists()


def test_a_new_dataset_is_not_begun_behind_a_link(tmp_path: Path, models: Path) -> None:
    folder = tmp_path / "d"
    folder.mkdir()
    (folder / "steps").symlink_to(models)
    before = snapshot(models)
    with pytest.raises(BadInputError, match="is a link"):
        create_store(folder)
    with pytest.raises(BadInputError, match="is a link"), writing(folder):
        pass
    assert snapshot(models) == before


@pytest.mark.parametrize("place", ["steps", "steps/_delta_log", "log entry", "file"])
def test_rows_of_another_dataset_are_not_read_through_a_link(tmp_path: Path, place: str) -> None:
    folder, private = make_dataset(tmp_path / "d"), make_dataset(tmp_path / "private", "secret")
    if place == "log entry":
        place = "steps/_delta_log/00000000000000000001.json"
    if place == "file":
        there, target = next((folder / "steps").glob("*.parquet")), next((private / "steps").glob("*.parquet"))
    else:
        there, target = folder / place, private / place
    replace_by_link(there, target)
    for verb in (
        lambda: open_store(folder).read("steps"),
        lambda: open_store(folder).sql("SELECT * FROM steps"),
        lambda: check(folder),
        lambda: export(folder, tmp_path / "out", "sts"),
        lambda: split(folder, tmp_path / "out", {"train": 1.0}),
        lambda: publish(folder, tmp_path / "release", "1.0.0"),
    ):
        with pytest.raises(BadInputError, match="is a link"):
            verb()
    assert not (tmp_path / "out").exists()
    assert not list((tmp_path / "release").rglob("*.parquet"))


@pytest.mark.parametrize("path", ["../../private/steps/{}", "file://{}", "{}"])
def test_a_log_that_names_a_file_outside_its_table_is_refused(tmp_path: Path, path: str) -> None:
    """As a path that leads out, as an address, and absolute."""
    folder, private = make_dataset(tmp_path / "d"), make_dataset(tmp_path / "private", "secret")
    secret = next((private / "steps").glob("*.parquet"))
    named = path.format(secret.name if path.startswith("..") else secret)
    for log in sorted((folder / "steps" / "_delta_log").glob("*.json")):
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        for action in lines:
            if "add" in action:
                action["add"]["path"] = named
        log.write_text("\n".join(json.dumps(action, separators=(",", ":")) for action in lines) + "\n")
    before = snapshot(private)
    for verb in (
        lambda: open_store(folder).read("steps"),
        lambda: vacuum(folder, keep_days=0),
        lambda: delete(folder, ["open-a"], purge=True),
    ):
        with pytest.raises(BadInputError, match="outside"):
            verb()
    assert snapshot(private) == before


@pytest.fixture
def releases(tmp_path: Path) -> tuple[Path, Path]:
    """One to attack, and one whose rows are private."""
    for name, word in (("d", "open"), ("private", "secret")):
        publish(make_dataset(tmp_path / name, word), tmp_path / f"{name}-release", "1.0.0")
    return tmp_path / "d-release", tmp_path / "private-release"


@pytest.mark.parametrize("place", ["versions", "versions/1.0.0", "versions/1.0.0/data", "shard", "versions/1.0.0/lineage.json"])
def test_a_release_is_not_read_through_a_link(releases: tuple[Path, Path], place: str) -> None:
    release, private = releases
    if place == "shard":
        place = str(next((release / "versions/1.0.0/data").rglob("*.parquet")).relative_to(release))
    replace_by_link(release / place, private / place)
    before = snapshot(private)
    for verb in (lambda: open_release(release).read("rollouts"), lambda: open_release(f"{release}@1.0.0").read("rollouts")):
        with pytest.raises((BadInputError), match="is a link"):
            verb()
    with pytest.raises(BadInputError, match="is a link"):
        publish(release.parent / "d", release, "1.0.1")
    assert snapshot(private) == before


def test_a_lock_of_a_release_that_is_a_link_makes_no_file(releases: tuple[Path, Path], tmp_path: Path) -> None:
    release, _ = releases
    replace_by_link(release / "versions" / ".lock", tmp_path / "made")
    with pytest.raises(BadInputError, match="is a link"):
        publish(tmp_path / "d", release, "1.0.1")
    assert not (tmp_path / "made").exists()
