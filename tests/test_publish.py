"""Releases in a folder: what they contain, that versions never change, that growing adds shards, and that nothing is lost."""

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from decimal import Decimal
from pathlib import Path

import datasets
import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from helpers.shop import build_all, import_rows, make_dataset, trajectories

from tratree_data.errors import BadInputError, NotFoundError, RefusedError, TratreeError
from tratree_data.experiments.small_models import make_model, make_tokenizer
from tratree_data.releases import draft
from tratree_data.releases.card.card import write_card
from tratree_data.releases.card.markdown import cell
from tratree_data.releases.publish import _explained, publish
from tratree_data.releases.shards import ordering
from tratree_data.releases.shards.ordering import split_names
from tratree_data.releases.targets.to_folder import FolderTarget
from tratree_data.releases.versions import diff
from tratree_data.releases.versions.version_numbers import Diff, check_level, check_version, compare_schemas
from tratree_data.stages import published_tables
from tratree_data.store.checks import check
from tratree_data.store.published.manifest import read_manifest
from tratree_data.store.published.release import local_versions, open_dataset, open_release
from tratree_data.store.queries.named_queries import query
from tratree_data.store.reader import open_store
from tratree_data.store.schemas import arrow_schema, released_schema, table_from_rows
from tratree_data.store.writing.writer import commit, writing
from tratree_data.tree_search.search import search

datasets.disable_progress_bars()


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_dataset(tmp_path_factory.mktemp("publish") / "shop")


@pytest.fixture(scope="module")
def release(dataset: Path) -> Path:
    target = dataset.parent / "release"
    report = publish(dataset, target, "1.0.0", license="cc-by-4.0")
    assert report.changed
    return target


def files_of(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith(".")
    }


def head_of(card: Path) -> dict:
    return yaml.safe_load(card.read_text(encoding="utf-8").split("\n---\n")[0].removeprefix("---\n"))


def load(release: Path, table: str, cache: Path, **options):
    return datasets.load_dataset(str(release), table, cache_dir=str(cache), **options)


# What a release contains


def test_every_configuration_loads_with_its_written_schema_and_all_rows(release, dataset, tmp_path):
    store = open_store(dataset)
    for table in [table for table in published_tables() if open_store(dataset).has(table)]:
        loaded = load(release, table, tmp_path)
        assert sum(len(part) for part in loaded.values()) == store.count(table), table
        assert set(loaded) == {"train", "dev"}
        for part in loaded.values():
            have = part.features
            assert have == datasets.Features.from_arrow_schema(released_schema(table)), table


def test_rows_of_a_task_stay_in_one_split_in_every_table(release, dataset, tmp_path):
    split_of = {row["tree_id"]: row["split"] for row in open_store(dataset).read("rollouts").to_pylist()}
    for table in [table for table in published_tables() if open_store(dataset).has(table)]:
        for split, part in load(release, table, tmp_path).items():
            if "tree_id" in part.column_names:
                assert {split_of[tree] for tree in part["tree_id"]} == {split}, table


def test_parquet_has_content_defined_chunks_and_a_page_index(release):
    for path in release.glob("data/*/*.parquet"):
        column = pq.ParquetFile(path).metadata.row_group(0).column(0)
        assert column.has_offset_index
        assert column.has_column_index
    shard = next(release.glob("data/steps/*.parquet"))
    assert hashlib.sha256(shard.read_bytes()).hexdigest()[:12] == shard.stem.rsplit("-", 1)[1]


def test_the_release_carries_schemas_queries_lineage_and_checksums(release):
    manifest = json.loads((release / "lineage.json").read_text())
    assert manifest["tables"]["nodes"]["lineage"]["settings"]["embedder"] == "exact"
    assert "COMMENT ON COLUMN nodes.state" in (release / "schemas/nodes.sql").read_text()
    assert (release / "sql/quality.sql").is_file()
    assert next((release / "sql/checks").glob("*.sql"))
    done = subprocess.run(["sha256sum", "-c", "--quiet", "SHA256SUMS"], cwd=release, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    named = {line.split("  ")[1] for line in (release / "SHA256SUMS").read_text().splitlines()}
    assert named == {name for name in files_of(release) if not name.startswith("versions/")} - {"SHA256SUMS"}


def test_a_recipe_travels_with_the_release_without_its_secrets(dataset, tmp_path):
    copy = tmp_path / "shop"
    shutil.copytree(dataset, copy)
    (copy / "recipe.toml").write_text('[explore]\napi_key = "sk-abcdefghijklmnop1234567890"\n')
    publish(copy, tmp_path / "out", "0.1.0")
    assert (tmp_path / "out/recipe.toml").read_text() == '[explore]\napi_key = "[redacted:openai-key:1]"\n'


def test_shards_are_cut_by_size_and_load_as_one(dataset, tmp_path):
    publish(dataset, tmp_path / "small", "1.0.0", shard_bytes=1)
    store = open_store(dataset)
    assert len(list((tmp_path / "small/data/steps").glob("train-*.parquet"))) == 1  # a row group is never cut
    assert sum(len(part) for part in load(tmp_path / "small", "steps", tmp_path / "cache").values()) == store.count("steps")


def test_the_same_dataset_gives_the_same_bytes(dataset, release, tmp_path):
    again = tmp_path / "release"
    publish(dataset, again, "1.0.0", license="cc-by-4.0")
    assert files_of(again) == files_of(release)


def test_a_table_larger_than_memory_allows_gives_the_same_bytes(dataset, release, tmp_path, monkeypatch):
    monkeypatch.setattr(ordering, "CHUNK_BYTES", 1)
    monkeypatch.setattr(ordering, "SPILL_BYTES", 1)
    publish(dataset, tmp_path / "release", "1.0.0", license="cc-by-4.0")
    assert files_of(tmp_path / "release") == files_of(release)


def test_names_of_splits_fit_the_hub():
    assert split_names(["train", "dev-seen", "", "all"]) == {"train": "train", "dev-seen": "dev_seen", "": "unknown", "all": "all_tasks"}
    with pytest.raises(BadInputError, match=r"Two splits"):
        split_names(["dev-seen", "dev_seen"])


def test_a_table_without_rows_has_no_configuration_and_breaks_nothing(tmp_path):
    rows = [row | {"reward": 1.0} for row in trajectories(range(2))]
    folder = build_all(import_rows(tmp_path / "even", rows))
    assert open_store(folder).count("pairs") == 0
    publish(folder, tmp_path / "out", "1.0.0")
    assert "pairs" not in {config["config_name"] for config in head_of(tmp_path / "out/README.md")["configs"]}
    assert len(load(tmp_path / "out", "nodes", tmp_path / "cache")) == 2
    assert open_release(tmp_path / "out").count("pairs") == 0


def test_a_task_in_two_splits_goes_to_the_held_out_one_and_is_reported(tmp_path):
    rows = trajectories(range(3))
    rows[4]["split"] = "dev"  # task-1 is in train otherwise
    folder = tmp_path / "mixed"
    import_rows(folder, rows)
    report = publish(folder, tmp_path / "out", "0.1.0")
    assert any("leak" in note and "task-1" in note for note in report.notes)
    leaks = json.loads((tmp_path / "out/reports/release.json").read_text())["leaks"]
    assert leaks[0] == {
        "kind": "task", "environment": "toyshop", "task_id": "task-1", "split": "dev", "other_task_id": "task-1", "other_split": "train",
        "similarity": 1.0,
    }  # fmt: skip


# Versions


def test_card_and_page_are_rendered_once_beside_an_earlier_version(tmp_path, monkeypatch):
    folder, target, rendered = import_rows(tmp_path / "shop", trajectories([1])), tmp_path / "out", []
    monkeypatch.setattr(draft, "write_card", lambda *arguments: (rendered.append(1), write_card(*arguments)))
    publish(folder, target, "0.1.0")
    import_rows(folder, trajectories([2]))
    assert publish(folder, target, "0.2.0").changed
    assert len(rendered) == 2, "once per version"
    assert "Version 0.2.0" in (target / "README.md").read_text(encoding="utf-8")


def test_versions_never_move(release, dataset, tmp_path):
    before = files_of(release)
    same = publish(dataset, release, "1.0.0", license="cc-by-4.0")
    assert not same.changed
    assert "same as version 1.0.0" in same.notes[0]
    assert not publish(dataset, release, "1.0.1", license="cc-by-4.0").changed
    other = make_dataset(tmp_path / "other", range(7))
    with pytest.raises(BadInputError, match=r"Version 1\.0\.0 is already published and cannot change.*\n?.*--version 1\.1\.0"):
        publish(other, release, "1.0.0", license="cc-by-4.0")
    with pytest.raises(BadInputError, match=r"not above 1\.0\.0"):
        publish(other, release, "0.9.0")
    assert files_of(release) == before


def test_growth_adds_shards_and_keeps_the_old_ones(tmp_path):
    folder = make_dataset(tmp_path / "shop", range(4))
    target = tmp_path / "release"
    publish(folder, target, "1.0.0")
    build_all(import_rows(folder, trajectories(range(4, 8))))
    with pytest.raises(BadInputError, match=r"minor change"):
        publish(folder, target, "1.0.1")
    report = publish(folder, target, "1.1.0")
    assert "rollouts 16 added" in report.notes[1]
    old, new = ({path.name for path in (target / "versions" / name / "data").rglob("*.parquet")} for name in ("1.0.0", "1.1.0"))
    assert old < new
    for table in [table for table in published_tables() if open_store(folder).has(table)]:
        first = next((target / "versions/1.0.0/data" / table).glob("*.parquet"))
        assert first.samefile(target / "versions/1.1.0/data" / table / first.name), "a kept shard takes no second place"
    cache = tmp_path / "cache"
    assert sum(len(part) for part in load(target, "rollouts", cache).values()) == 32
    assert sum(len(part) for part in load(target / "versions/1.0.0", "rollouts", cache).values()) == 16
    assert {row["task_id"] for row in open_release(f"{target}@1.0.0").read("rollouts").to_pylist()} == {f"task-{i}" for i in range(4)}
    assert len(load(target, "pairs", cache, split="train")) == len(set(load(target, "pairs", cache, split="train")["pair_id"]))


@pytest.mark.slow
def test_many_small_shards_are_written_anew_as_one(tmp_path, monkeypatch):
    monkeypatch.setattr(diff, "SMALL_SHARDS", 2)
    folder, target = tmp_path / "shop", tmp_path / "release"
    shards, rows = [], []
    for number in range(4):
        import_rows(folder, trajectories([3 * number + 1]))
        publish(folder, target, f"1.{number}.0")
        assert not publish(folder, target, f"1.{number}.0").changed, "the same dataset is the same release, however many shards it has"
        manifest = read_manifest((target / "lineage.json").read_text(), "")
        shards.append(manifest.shards("steps"))
        rows.append(sorted((row["rollout_id"], row["step"]) for row in load(target, "steps", tmp_path / "cache", split="train")))
    assert [len(found) for found in shards] == [1, 2, 1, 2]
    assert set(shards[0]) < set(shards[1])
    assert set(shards[2]) < set(shards[3])
    wanted = open_store(folder).read("steps")
    assert rows[3] == sorted(zip(wanted["rollout_id"].to_pylist(), wanted["step"].to_pylist(), strict=True))
    for number in range(4):
        version = target / f"versions/1.{number}.0"
        done = subprocess.run(["sha256sum", "-c", "--quiet", "SHA256SUMS"], cwd=version, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout
        then = load(version, "steps", tmp_path / "cache", split="train")
        assert sorted((row["rollout_id"], row["step"]) for row in then) == rows[number], "versions before stay as they were"


def test_a_changed_row_rewrites_its_shard_only_and_is_a_patch(tmp_path):
    folder = import_rows(tmp_path / "shop", trajectories(range(6)))
    target = tmp_path / "release"
    publish(folder, target, "1.0.0")
    rows = open_store(folder).read("rollouts").to_pylist()
    next(row for row in rows if row["split"] == "dev")["seconds"] = 1.5
    with writing(folder):
        commit(folder, "correct", {"rollouts": table_from_rows("rollouts", rows)}, settings={}, reads={})
    assert publish(folder, target, "1.0.1").changed
    changes = json.loads((target / "reports/changes.json").read_text())
    assert changes["tables"] == {"rollouts": {"added": 0, "removed": 0, "changed": 1, "moved": 0}}
    old, new = (set((target / "versions" / name / "data/rollouts").iterdir()) for name in ("1.0.0", "1.0.1"))
    assert {path.name for path in old} & {path.name for path in new} == {path.name for path in old if path.name.startswith("train")}


def test_another_licence_is_a_patch(release, dataset, tmp_path):
    shutil.copytree(release, tmp_path / "out")
    assert publish(dataset, tmp_path / "out", "1.0.1", license="mit").changed
    assert head_of(tmp_path / "out/README.md")["license"] == "mit"
    assert head_of(tmp_path / "out/versions/1.0.0/README.md")["license"] == "cc-by-4.0"


@pytest.mark.parametrize(
    ("version", "meant"), [("v1.0.0", "1.0.0"), ("1.2", "1.2.0"), ("01.0.0", "1.0.0"), ("2.0.0-rc1", "2.0.0"), ("new", "0.1.0")]
)
def test_a_version_written_otherwise_is_understood_in_the_advice(version, meant):
    with pytest.raises(BadInputError, match=rf"Next: --version {meant}$"):
        check_version(version)


@pytest.mark.parametrize("version", ["1", "1.0", "v1.0.0", "1.0.0-rc1", "01.0.0", "1.0.0 ", "latest", ""])
def test_a_version_is_three_plain_numbers(version):
    with pytest.raises(BadInputError, match=r"X\.Y\.Z"):
        check_version(version)


@pytest.mark.parametrize(
    ("since", "schema", "enough", "too_little"),
    [
        ("1.2.3", [("major", "column steps.x is gone")], "2.0.0", "1.3.0"),
        ("1.2.3", [("minor", "column steps.x is new")], "1.3.0", "1.2.4"),
        ("1.2.3", [], "1.2.4", "1.2.3"),
        ("0.2.3", [("major", "column steps.x is gone")], "0.3.0", "0.2.4"),
        ("0.2.3", [("major", "table steps is gone")], "1.0.0", "0.2.9"),
    ],
)
def test_a_number_must_not_promise_less_than_changed(since, schema, enough, too_little):
    change = Diff(since, schema=schema)
    check_level(enough, change)
    if too_little != since:
        with pytest.raises(BadInputError, match=re.escape(change.next_version())):
            check_level(too_little, change)


def test_columns_of_two_releases_are_compared_by_their_schemas(release, tmp_path):
    before = tmp_path / "before"
    shutil.copytree(release / "schemas", before / "schemas")
    nodes = (before / "schemas/nodes.sql").read_text()
    nodes = nodes.replace(
        "    state         INTEGER NOT NULL CHECK (state >= 0),\n", "    old_state INTEGER,\n    state BIGINT NOT NULL,\n", 1
    )
    nodes = nodes.replace("    action        VARCHAR,\n", "", 1).replace("COMMENT ON COLUMN nodes.action", "-- ")
    (before / "schemas/nodes.sql").write_text(nodes)
    changes = compare_schemas(before, {"nodes": {}, "paths": {}}, {"nodes": [], "pairs": []})
    assert changes == [
        ("major", "column nodes.old_state is gone"),
        ("minor", "column nodes.action is new"),
        ("major", "column nodes.state was BIGINT and is INTEGER"),
        ("minor", "table pairs is new"),
        ("major", "table paths is gone"),
    ]


def test_a_hostile_schema_of_an_older_release_can_do_nothing(tmp_path):
    before = tmp_path / "before/schemas"
    before.mkdir(parents=True)
    before.joinpath("nodes.sql").write_text(f"CREATE TABLE nodes (a INT); COPY nodes TO '{tmp_path}/written.csv'")
    with pytest.raises(TratreeError, match=r"nodes\.sql"):
        compare_schemas(before.parent, {"nodes": {}}, {"nodes": []})
    assert not (tmp_path / "written.csv").exists()


# The card


def test_the_card_tells_what_is_in_it_with_real_answers(release):
    text = (release / "README.md").read_text(encoding="utf-8")
    head = head_of(release / "README.md")
    assert head["license"] == "cc-by-4.0"
    assert [config["config_name"] for config in head["configs"] if config.get("default")] == ["pairs"]
    info = {entry["config_name"]: entry for entry in head["dataset_info"]}
    assert sum(split["num_examples"] for split in info["rollouts"]["splits"]) == 24
    assert "24 attempts of agents at 6 tasks" in text
    for part in ("## Load it", "## Scores", "## Quality of the trees", "## Questions in SQL", "## Train on it", "## Licence", "2507.18858"):
        assert part in text
    assert text.count("```sql") == 3
    assert "| toyshop |" in text
    assert (release / "images/tree.svg").read_text().startswith("<svg")


def test_numbers_on_a_card_are_shown_for_people(release):
    assert [cell(value) for value in (Decimal(2946), 2946, 0.5, "", None, True)] == ["2,946", "2,946", "0.50", "–", "–", "yes"]
    card = (release / "README.md").read_text()
    assert " 0.0 MB" not in card
    assert "works too.\n\nAs a store of tables" in card


def test_questions_on_the_card_answer_as_shown(release):
    text = (release / "README.md").read_text(encoding="utf-8")
    store = open_release(release)
    for sql, answer in re.findall(r"```sql\n(.*?)```\n\n(\|.*?)\n\n", text, re.DOTALL):
        rows = store.sql(sql).to_pylist()
        shown = answer.splitlines()[2:]
        assert len(shown) == len(rows)
        for line, row in zip(shown, rows, strict=True):
            first = next(iter(row.values()))
            assert line.startswith(f"| {first} |")


MODEL = '"Qwen/Qwen2.5-0.5B-Instruct"'


@pytest.fixture(scope="module")
def tiny_model(dataset: Path) -> Path:
    """Stands in for the model that the card names, which cannot be had offline."""
    texts = [text for table in ("steps", "rollouts") for text in open_store(dataset).read(table).column(OWN_TEXT[table]).to_pylist()]
    return make_model(dataset.parent / "tiny", make_tokenizer(texts), width=32, layers=1)


OWN_TEXT = {"steps": "observation", "rollouts": "instruction"}


def snippets_of(card: Path) -> list[str]:
    return re.findall(r"```python\n(.*?)```", card.read_text(encoding="utf-8"), re.DOTALL)


def run_snippet(code: str, folder: Path) -> str:
    """As a reader runs it, in a folder of his own."""
    folder.mkdir(exist_ok=True)
    environment = {**os.environ, "HF_DATASETS_CACHE": str(folder / "cache"), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_python_on_the_card_runs(release, tiny_model, tmp_path):
    """Every snippet as it is written, but for the folder's name and a model of this machine."""
    snippets = snippets_of(release / "README.md")
    assert [MODEL in code for code in snippets] == [False, False, True]
    said = [
        run_snippet(code.replace("path/to/this/folder", str(release)).replace(MODEL, f'"{tiny_model}"'), tmp_path / "reader")
        for code in snippets
    ]
    assert "rollouts: int64" in said[1]
    assert all("train_loss" in text for text in said[2:])


HOSTILE = (
    "x</td><script>alert(1)</script> | `code` [link](javascript:1) ![i](http://e.vil/p.png) **b** {{ 7*7 }} \u202e\n---\nlicense: evil"
)


def test_texts_of_strangers_are_never_markup(tmp_path):
    rows = trajectories(range(2), instruction=HOSTILE, observation=HOSTILE, action=HOSTILE)
    for row in rows:
        row["env"], row["agent"], row["model"] = HOSTILE, HOSTILE, HOSTILE
    folder = build_all(import_rows(tmp_path / "hostile", rows))
    publish(folder, tmp_path / "out", "1.0.0", title=HOSTILE)
    text = (tmp_path / "out/README.md").read_text(encoding="utf-8")
    body = text.split("\n---\n", 1)[1]
    for raw in ("<script>", "</td>", "[link](", "![i](", "**b**", "`code`", "http://e.vil", "\u202e", "\n---"):
        assert raw not in body, raw
    assert "49" not in re.findall(r"# .*", body)[0]
    head = head_of(tmp_path / "out/README.md")
    assert head["license"] == "unknown"
    assert head["pretty_name"].startswith("x</td>")
    picture = (tmp_path / "out/images/tree.svg").read_text()
    assert "<script" not in picture
    assert len(load(tmp_path / "out", "rollouts", tmp_path / "cache")) == 2


# Loading back


def test_verbs_that_write_say_that_a_release_never_changes(release):
    for name in (release, f"{release}@{local_versions(release)[0]}"):
        with pytest.raises(BadInputError, match=r"is a release, and releases never change\.\nNext: tratree filter"):
            search(name)
    with pytest.raises(BadInputError, match=r"README\.md is a file, but a dataset is a folder\.\nNext: tratree import "):
        search(release / "README.md")


def test_a_release_is_the_same_store_as_the_dataset(release, dataset):
    store, opened = open_store(dataset), open_release(release)
    for table in [table for table in published_tables() if open_store(dataset).has(table)]:
        order = ", ".join(str(i + 1) for i in range(len(arrow_schema(table).names)))
        question = f"SELECT * FROM {table} ORDER BY {order}"
        assert opened.sql(question).equals(store.sql(question)), table
    assert query(opened, "tree_quality").equals(query(store, "tree_quality"))
    assert opened.sources["nodes"].lineage.settings == store.sources["nodes"].lineage.settings
    assert not [row for row in check(release).to_pylist() if row["offending_rows"]]
    assert open_dataset(str(dataset)).count("nodes") == open_dataset(f"{release}@v1.0.0").count("nodes")


def test_a_file_that_could_not_be_opened_is_tried_again(release, tmp_path):
    copy = shutil.copytree(release, tmp_path / "copy")
    store = open_release(copy)
    shard = next(Path(file) for file in store.sources["paths"].files)
    whole = shard.read_bytes()
    shard.unlink()
    shard.write_bytes(b"PAR1" + b"x" * len(whole) + b"PAR1")
    for _ in range(2):
        with pytest.raises(BadInputError, match="is truncated or not a Parquet file"):
            store.sql("SELECT count(*) FROM paths")
    shard.write_bytes(whole)
    assert store.sql("SELECT count(*) AS n FROM paths")["n"][0].as_py() > 0
    assert store.sql("SELECT count(*) AS n FROM duckdb_columns() WHERE table_name = 'paths' AND comment IS NULL")["n"][0].as_py() == 0


def test_a_corrupt_release_is_named_and_nothing_is_published_beside_it(release, dataset, tmp_path):
    copy = shutil.copytree(release, tmp_path / "copy")
    published = sorted(path.name for path in (copy / "versions").iterdir())
    shard = next((copy / "versions" / open_release(copy).label.removeprefix("version ")).glob("data/pairs/*.parquet"))
    whole = shard.read_bytes()
    for harm, said in ((lambda: shard.write_bytes(whole[: len(whole) // 2]), "truncated"), (shard.unlink, "is gone")):
        harm()
        with pytest.raises(BadInputError, match=said) as error:
            open_release(copy).need("pairs")
        assert "copy of the release" in str(error.value)
        assert "tratree pairs" not in str(error.value)
        with pytest.raises(BadInputError, match=said):
            publish(dataset, copy, "9.0.0", license="mit")
    assert sorted(path.name for path in (copy / "versions").iterdir() if not path.name.startswith(".")) == [
        name for name in published if not name.startswith(".")
    ]


def test_what_is_no_release_is_named(tmp_path, release):
    with pytest.raises(NotFoundError, match=r"No release in"):
        open_release(tmp_path / "nothing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(NotFoundError, match=r"is not a release: it has no lineage\.json"):
        open_release(tmp_path / "empty")
    with pytest.raises(NotFoundError, match=r"no version 3\.0\.0"):
        open_release(f"{release}@3.0.0")
    with pytest.raises(BadInputError, match=r"read_csv|Permission|disabled"):
        open_release(release).sql("SELECT * FROM read_csv('/etc/passwd')")


def test_a_newer_format_and_paths_out_of_the_release_are_refused(release, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(release / "versions/1.0.0", copy)
    manifest = json.loads((copy / "lineage.json").read_text())
    (copy / "lineage.json").write_text(json.dumps({**manifest, "format": 99}))
    with pytest.raises(BadInputError, match=r"format 99.*\n?.*pip install --upgrade tratree-data"):
        open_release(copy)
    manifest["tables"]["steps"]["shards"][0]["path"] = "../../../etc/passwd"
    (copy / "lineage.json").write_text(json.dumps(manifest))
    with pytest.raises(BadInputError, match=r"outside itself"):
        open_release(copy)
    (copy / "lineage.json").write_text("{}")
    with pytest.raises(BadInputError, match=r"cannot be read"):
        open_release(copy)


# Interruptions and bad input


def run_publish(dataset: Path, target: Path, before: str = "") -> subprocess.CompletedProcess[str]:
    return run_cli("publish", str(dataset), str(target), "--version", "1.0.0", before=before)


def run_cli(*arguments: str, before: str = "") -> subprocess.CompletedProcess[str]:
    code = f"{before}\nimport sys\nfrom tratree_data.cli import main\nsys.argv = ['tratree', *{list(arguments)!r}]\nmain()"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_a_full_disk_is_said_and_leaves_nothing_half(dataset, tmp_path):
    target = tmp_path / "out"
    limit = (
        "import resource, signal\nsignal.signal(signal.SIGXFSZ, signal.SIG_IGN)\nresource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))"
    )
    done = run_publish(dataset, target, limit)
    assert done.returncode == 2, done.stderr
    assert "could not be written" in done.stderr
    assert "Traceback" not in done.stderr
    assert [path.name for path in (target / "versions").iterdir()] == [".lock"]
    assert run_publish(dataset, target).returncode == 0
    assert open_release(target).count("rollouts") == 24


@pytest.mark.slow
def test_killed_at_any_moment_the_same_command_finishes(dataset, tmp_path):
    target = tmp_path / "out"
    whole = tmp_path / "whole"
    started = time.perf_counter()
    assert run_publish(dataset, whole).returncode == 0
    seconds = time.perf_counter() - started
    command = [
        sys.executable,
        "-c",
        f"from tratree_data.releases.publish import publish\npublish({str(dataset)!r}, {str(target)!r}, '1.0.0')",
    ]
    for part in (0.7, 0.9):
        process = subprocess.Popen(command)
        time.sleep(seconds * part)
        process.send_signal(signal.SIGKILL)
        process.wait()
    done = run_publish(dataset, target)
    assert done.returncode == 0, done.stderr
    assert {name: digest for name, digest in files_of(target).items() if "/" not in name or not name.startswith("versions")}.keys() == {
        name for name in files_of(whole) if not name.startswith("versions")
    }
    assert [path.name for path in (target / "versions").iterdir() if path.name != ".lock"] == ["1.0.0"]


def test_a_publish_cut_off_before_the_top_was_shown_is_finished_by_the_next(release, dataset, tmp_path):
    copy = tmp_path / "out"
    shutil.copytree(release, copy)
    (copy / "README.md").unlink()
    shutil.rmtree(copy / "data/pairs")
    (copy / "notes.txt").write_text("mine")
    assert open_release(copy).count("pairs") == open_release(release).count("pairs")
    assert not publish(dataset, copy, "1.0.0", license="cc-by-4.0").changed
    assert files_of(copy).keys() == files_of(release).keys() | {"notes.txt"}


def test_a_folder_that_no_publish_wrote_is_left_alone(dataset, tmp_path):
    """`versions/` is a common name: an application's folder is not a release."""
    app = tmp_path / "app"
    (app / "versions").mkdir(parents=True)
    (app / "models.py").write_text("x")
    for made in ((), ("versions/0001_initial.py",), ("versions/1.0.0/notes.md",), ("versions/1.0.0/lineage.json",)):
        for name in made:
            (app / name).parent.mkdir(exist_ok=True)
            (app / name).write_text("{}")
        before = files_of(app)
        with pytest.raises(BadInputError, match=r"is not a release"):
            publish(dataset, app, "1.0.0")
        assert files_of(app) == before


@pytest.mark.slow
def test_notes_inside_a_release_stay(dataset, tmp_path):
    target = tmp_path / "out"
    publish(dataset, target, "1.0.0", license="cc-by-4.0")
    before = {path.name for path in (target / "data/pairs").glob("*.parquet")}
    for name in ("notes.md", "data/notes.md", "data/pairs/mine.parquet", "versions/README.txt"):
        (target / name).write_text("mine")
    assert not publish(dataset, target, "1.0.0", license="cc-by-4.0").changed
    copy = Path(shutil.copytree(dataset, tmp_path / "grown"))
    with writing(copy):
        commit(copy, "pairs", {"pairs": open_store(copy).read("pairs").slice(1)}, settings={}, reads={})
    assert publish(copy, target, "1.1.0", license="cc-by-4.0").changed
    stale = before - {path.name for path in (target / "versions/1.1.0/data/pairs").iterdir()}
    assert stale, "the shard with the removed pair is not in the new version"
    assert not [name for name in stale if (target / "data/pairs" / name).exists()], "nor at the top"
    for name in ("notes.md", "data/notes.md", "data/pairs/mine.parquet", "versions/README.txt"):
        assert (target / name).read_text() == "mine"


def test_a_version_without_its_checksums_stays_published_and_is_reported(release, dataset, tmp_path):
    target = Path(shutil.copytree(release, tmp_path / "out"))
    (target / "versions/1.0.0/SHA256SUMS").unlink()
    before = files_of(target)
    assert local_versions(target) == ["1.0.0"]
    for version in ("0.9.0", "1.0.0", "2.0.0"):
        with pytest.raises(BadInputError, match=r"versions/1\.0\.0 has no SHA256SUMS.*\nNext: restore"):
            publish(dataset, target, version, license="mit")
    assert files_of(target) == before


@pytest.mark.parametrize("name", ["versions", "data", "data/pairs"])
def test_links_inside_a_release_are_not_followed(release, dataset, tmp_path, name):
    target, elsewhere = Path(shutil.copytree(release, tmp_path / "out")), tmp_path / "elsewhere"
    (target / name).rename(elsewhere)
    (target / name).symlink_to(elsewhere)
    before = files_of(elsewhere)
    with pytest.raises(BadInputError, match=r"is a link"):
        publish(dataset, target, "1.0.1", license="mit")
    assert files_of(elsewhere) == before


def test_a_recipe_that_is_a_link_or_not_a_recipe_is_not_published(dataset, tmp_path):
    copy = Path(shutil.copytree(dataset, tmp_path / "copy"))
    (tmp_path / "users").write_text("root:x:0:0")
    (copy / "recipe.toml").unlink(missing_ok=True)
    (copy / "recipe.toml").symlink_to(tmp_path / "users")
    publish(copy, tmp_path / "linked", "1.0.0")
    assert not (tmp_path / "linked/recipe.toml").exists()
    (copy / "recipe.toml").unlink()
    (copy / "recipe.toml").write_text("root:x:0:0")
    publish(copy, tmp_path / "text", "1.0.0")
    assert not (tmp_path / "text/recipe.toml").exists()


def test_bad_input_is_named(dataset, tmp_path):
    with pytest.raises(NotFoundError, match=r"No such folder"):
        publish(tmp_path / "nothing", tmp_path / "out", "1.0.0")
    (tmp_path / "file").write_text("x")
    with pytest.raises(BadInputError, match=r"is a file"):
        publish(dataset, tmp_path / "file", "1.0.0")
    (tmp_path / "full").mkdir()
    (tmp_path / "full/thesis.tex").write_text("x")
    with pytest.raises(BadInputError, match=r"other files"):
        publish(dataset, tmp_path / "full", "1.0.0")
    with pytest.raises(BadInputError, match=r"only a Hub repository can be private"):
        publish(dataset, tmp_path / "out", "1.0.0", private=True)
    with pytest.raises(BadInputError, match=r"other files"):
        publish(dataset, dataset, "1.0.0")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_an_unwritable_folder_is_named(dataset, tmp_path):
    (tmp_path / "locked").mkdir(mode=0o500)
    with pytest.raises(TratreeError, match=r"could not be written"):
        publish(dataset, tmp_path / "locked/out", "1.0.0")


def test_refuse_stops_with_the_findings_and_publishes_nothing(tmp_path):
    folder = import_rows(tmp_path / "shop", trajectories(range(2), observation="Write to eve@evil-corp.io", instruction="the same"))
    with pytest.raises(RefusedError, match=r"8 × email in steps\.observation: rollout_id=\w+ step=1") as found:
        publish(folder, tmp_path / "out", "1.0.0", fail_on_findings=True)
    assert "instruction leak: task-0 (dev) and task-1 (train)" in str(found.value)
    assert "eve@" not in str(found.value)
    assert FolderTarget(tmp_path / "out").versions() == []
    assert run_cli("publish", str(folder), str(tmp_path / "out"), "--version", "1.0.0", "--fail-on-findings").returncode == 1


@pytest.mark.parametrize("all_of_them", [False, True])
def test_rows_of_a_split_that_no_rollout_has_are_refused(dataset: Path, tmp_path: Path, all_of_them: bool) -> None:
    shutil.copytree(dataset, tmp_path / "d")
    found = open_store(tmp_path / "d").read("demonstrations")
    foreign = len(found) if all_of_them else 1
    splits = pa.array(["elsewhere"] * foreign + found["split"].to_pylist()[foreign:])
    with writing(tmp_path / "d"):
        changed = found.set_column(found.column_names.index("split"), found.schema.field("split"), splits)
        commit(tmp_path / "d", "break", {"demonstrations": changed}, settings={}, reads={})
    with pytest.raises(BadInputError, match=f"{foreign} of {len(found)} rows of demonstrations have a split"):
        publish(tmp_path / "d", tmp_path / "release", "0.1.0")
    assert not (tmp_path / "release/versions/0.1.0").exists()


def test_a_mistake_in_our_sql_is_not_reported_as_a_full_disk() -> None:
    with pytest.raises(duckdb.BinderException), _explained("releases/shop"):
        duckdb.sql("SELECT missing FROM (SELECT 1 AS there)")
