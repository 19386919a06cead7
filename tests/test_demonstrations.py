"""Demonstrations: what is imitated, in whose words, and what is left out; and that trainers take all rows as they are."""

from collections import Counter

import pyarrow as pa
import pytest
from helpers.sample_trees import arrays_of, rollout, tasks
from helpers.tree_tables import make_tables
from hypothesis import given, settings

from benchmarks.reference import Rollout
from tratree_data.errors import BadInputError, NotFoundError
from tratree_data.messages import conversation, row_messages
from tratree_data.preferences.demonstrations import NO_NODES, demonstrate_trees, demonstrations
from tratree_data.preferences.pairs import pairs
from tratree_data.preferences.settings import DemonstrationSettings
from tratree_data.store.reader import open_store
from tratree_data.store.schemas import check, empty_table
from tratree_data.store.writing.writer import commit, create_store, writing
from tratree_data.tree_search.search import SearchSettings, search, search_trees

Rows = list[dict[str, object]]


def extract(tables: dict[str, pa.Table], refused: pa.ChunkedArray = NO_NODES, **options: object) -> tuple[Rows, Counter[str]]:
    tables = {"paths": search_trees(arrays_of(tables), SearchSettings(paths=9))["paths"], **tables}
    left_out: Counter[str] = Counter()
    found = {name: [empty_table(name)] for name in ("demonstrations", "dropped")}
    for name, table in demonstrate_trees(tables, DemonstrationSettings(**options), left_out, refused):
        found[name].append(table)
    assert pa.concat_tables(found["dropped"]).num_rows == left_out.total()
    return pa.concat_tables(found["demonstrations"]).to_pylist(), left_out


def whole(one: Rollout) -> list[dict[str, str]]:
    return conversation("You act in a test.", "Do it.", one.steps)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(rollouts=tasks())
def test_rollouts_are_shown_in_their_own_words(rollouts: list[Rollout]) -> None:
    solved = {one.rollout_id: one for one in rollouts if one.score == 1 and one.steps}
    scored = [one for one in rollouts if one.score is not None and one.steps]
    found, _ = extract(make_tables([rollouts]), kinds=("success", "best"), keep_duplicates=True)
    shown = [row for row in found if row["kind"] == "success"]
    assert {row["rollout_id"]: row_messages(row["messages"]) for row in shown} == {name: whole(one) for name, one in solved.items()}
    best = [min(scored, key=lambda one: (-one.score, len(one.steps), one.attempt)).rollout_id] if scored else []
    assert [row["rollout_id"] for row in found if row["kind"] == "best"] == best


def test_paths_are_shown_in_their_founders_words() -> None:
    attempts = [rollout("t", 0, "ab", 0.2), rollout("t", 1, "ac", 1.0), rollout("t", 2, "ac", 1.0)]
    found, _ = extract(make_tables([attempts]))
    assert row_messages(found[0]["messages"]) == conversation(
        "You act in a test.", "Do it.", [("after ", "thought 0", "a"), ("after a", "thought 1", "c")]
    )
    assert (found[0]["score"], found[0]["rollout_id"], found[0]["replayed"]) == (1.0, None, None)
    assert [row["score"] for row in found] == [1.0, 0.2]


def test_own_prompts_open_own_rollouts() -> None:
    attempts = [rollout("t", 0, "a", 1.0), rollout("t", 1, "b", 1.0)]
    tables = make_tables([attempts])
    prompts = pa.array(["You act in a test.", "Another prompt."])
    tables["rollouts"] = tables["rollouts"].set_column(tables["rollouts"].schema.get_field_index("prompt"), "prompt", prompts)
    found, _ = extract(tables, kinds=("success",))
    assert [row["messages"][0]["content"].split("\n")[0] for row in found] == ["You act in a test.", "Another prompt."]


def test_experts_are_no_agents() -> None:
    attempts = [rollout("t", 0, "a", 1.0), rollout("t", 1, "bc", 0.5)]
    agents = {"t-0": "expert"}
    found, _ = extract(make_tables([attempts], agents), kinds=("best", "success", "expert"))
    assert [(row["kind"], row["rollout_id"]) for row in found] == [("best", "t-1"), ("expert", "t-0")]


def test_replays_decide_which_paths_are_confirmed() -> None:
    attempts = [rollout("t", 0, "a", 1.0), rollout("t", 1, "b", 0.5), rollout("t", 2, "c", 0.0)]
    tables = make_tables([attempts])
    paths = search_trees(arrays_of(tables), SearchSettings(paths=9))["paths"]
    replays = pa.table({"path_id": paths["path_id"][1:], "tree_id": paths["tree_id"][1:], "replayed": [True, False]})
    found, left_out = extract({**tables, "paths": paths, "replays": replays}, replayed_only=True)
    assert [(row["path_id"], row["replayed"]) for row in found] == [(paths["path_id"][1].as_py(), True)]
    assert left_out == Counter({"not_replayed": 2})


@pytest.mark.parametrize(
    ("options", "kept", "left_out"),
    [
        ({"kinds": ("path",)}, 3, {}),
        ({"kinds": ("path",), "success_only": True}, 1, {"not_successful": 2}),
        ({"kinds": ("path",), "min_score": 0.5}, 2, {"low_score": 1}),
        ({"kinds": ("path",), "replayed_only": True}, 0, {"not_replayed": 3}),
        ({"kinds": ("best",), "replayed_only": True}, 1, {}),
        ({"kinds": ("expert",)}, 0, {}),
    ],
)
def test_thresholds_leave_out_with_a_reason(options: dict[str, object], kept: int, left_out: dict[str, int]) -> None:
    attempts = [rollout("t", 0, "a", 1.0), rollout("t", 1, "b", 0.5), rollout("t", 2, "c", 0.0)]
    found, counts = extract(make_tables([attempts]), **options)
    assert (len(found), counts) == (kept, Counter(left_out))


def test_refused_actions_leave_out_paths_and_rollouts() -> None:
    attempts = [rollout("t", 0, "ab", 1.0), rollout("t", 1, "ac", 1.0), rollout("t", 2, "d", 1.0)]
    tables = make_tables([attempts])
    nodes = {row["action"]: row["node_id"] for row in tables["nodes"].to_pylist()}
    refused = pa.chunked_array([pa.array([nodes["a"], nodes["c"]])])
    for most, kept in ((0, ["d"]), (1, ["ab", "d"]), (2, ["ab", "ac", "d"])):
        for kind in ("path", "success"):
            found, counts = extract(tables, refused=refused, kinds=(kind,), max_refused=most)
            assert (
                sorted("".join(part["content"][-1] for part in row["messages"] if part["role"] == "assistant") for row in found) == kept
            ), (most, kind)
            assert counts == Counter({"refused_actions": 3 - len(kept)} if len(kept) < 3 else {})


def test_success_is_the_environments_word() -> None:
    tables = make_tables([[rollout("t", 0, "a", 1.0), rollout("t", 1, "b", 0.3)]])
    word = tables["rollouts"].schema.get_field_index("success")
    tables["rollouts"] = tables["rollouts"].set_column(word, "success", pa.array([False, True]))
    assert [row["rollout_id"] for row in extract(tables, kinds=("success",))[0]] == ["t-1"]
    tables["rollouts"] = tables["rollouts"].set_column(word, "success", pa.nulls(2, pa.bool_()))
    assert [row["rollout_id"] for row in extract(tables, kinds=("success",))[0]] == ["t-0"], "where it gave none, a full score is meant"


def test_the_same_words_are_imitated_once() -> None:
    attempts = [Rollout("t", i, f"t-{i}", 1.0, [("here", "", "a")]) for i in range(3)]
    assert extract(make_tables([attempts]), kinds=("success",))[1] == Counter({"duplicate": 2})
    assert len(extract(make_tables([attempts]), kinds=("success",), keep_duplicates=True)[0]) == 3


@pytest.mark.parametrize("wrong", [{"kinds": ("paths",)}, {"kinds": ()}, {"min_score": float("nan")}, {"min_score": 2.0}])
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(BadInputError, match="Next:"):
        DemonstrationSettings(**wrong)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demonstrations") / "data"
    trees = [[rollout(f"t{t}", i, "abc"[i % 3] + "xyz"[i % 2] * (i % 4), (i * 7 + t) % 5 / 4) for i in range(7)] for t in range(6)]
    tables = make_tables(trees)
    create_store(folder)
    with writing(folder):
        commit(folder, "build", {name: tables[name] for name in ("rollouts", "step_nodes", "nodes")}, settings={}, reads={})
    return folder


def test_demonstrations_verb(dataset) -> None:
    with pytest.raises(NotFoundError, match="tratree search"):
        demonstrations(dataset)
    search(dataset)
    report = demonstrations(dataset, kinds=("path", "best"), success_only=True)
    assert report.changed
    assert not demonstrations(dataset, kinds=("path", "best"), success_only=True).changed
    store = open_store(dataset)
    rows = check("demonstrations", store.read("demonstrations")).to_pylist()
    assert len(rows) == report.counts["demonstrations"] > 0
    assert all(row["score"] == 1 for row in rows)
    assert all([message["role"] for message in row["messages"]] == ["user", "assistant"] * (len(row["messages"]) // 2) for row in rows)


@pytest.mark.slow
def test_trainers_take_the_rows_as_they_are(dataset, tmp_path, monkeypatch) -> None:
    """TRL's DPO, reward, SFT and KTO trainers prepare the Parquet files and take a step, on a tiny random model."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    trl = pytest.importorskip("trl", reason="trl is not installed")
    from datasets import load_dataset

    from tratree_data.experiments.small_models import make_model, make_tokenizer

    search(dataset)
    pairs(dataset)
    demonstrations(dataset)
    store = open_store(dataset)
    texts = [message["content"] for row in store.read("demonstrations").to_pylist() for message in row["messages"]]
    tokenizer = make_tokenizer(texts)
    model = str(make_model(tmp_path / "model", tokenizer, width=32, layers=1))
    shared = {
        "output_dir": str(tmp_path),
        "max_steps": 1,
        "use_cpu": True,
        "report_to": [],
        "bf16": False,
        "per_device_train_batch_size": 2,
    }
    columns = {"pairs": ("prompt", "chosen", "rejected"), "demonstrations": ("messages",), "step_labels": ("prompt", "completion", "label")}
    trainers = [
        ("pairs", trl.DPOTrainer, trl.DPOConfig),
        ("pairs", trl.RewardTrainer, trl.RewardConfig),
        ("demonstrations", trl.SFTTrainer, trl.SFTConfig),
        ("step_labels", trl.KTOTrainer, trl.KTOConfig),
    ]
    for table, trainer, config in trainers:
        rows = load_dataset("parquet", data_files=list(store.sources[table].files), split="train", cache_dir=str(tmp_path / "cache"))
        assert set(columns[table]) <= set(rows.column_names)
        result = trainer(model=model, args=config(**shared), train_dataset=rows, processing_class=tokenizer).train()
        assert result.training_loss > 0
