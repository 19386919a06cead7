"""Chat rows: what the log said is what trainers read, token by token; only the agent's turns are learnt; react stays the paper's form."""

import json
from pathlib import Path
from typing import Any

import pytest
from helpers.byte_tokenizer import byte_tokenizer, trl_template
from helpers.tool_chats import TOOLS, attempts, write_log

from tratree_data import build, check, demonstrations, import_log, open_store, pairs, publish, search
from tratree_data.messages import row_messages, row_tools
from tratree_data.preferences.forms import meaning, stored_message

KINDS = ("divergence", "step", "siblings", "unstructured")
Rows = list[dict[str, Any]]


def decoded(messages: Rows) -> Rows:
    """The log's messages as chat templates take them."""
    return row_messages(
        {
            **message,
            "tool_calls": [
                json.dumps({**call, "function": {**call["function"], "arguments": json.loads(call["function"]["arguments"])}})
                for call in message["tool_calls"]
            ],
        }
        if message.get("tool_calls")
        else message
        for message in messages
    )


LOGGED = {(row["task_id"], n % 4): decoded(row["messages"]) for n, row in enumerate(attempts())}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("forms")
    import_log(folder / "data", write_log(folder), environment="weather")
    build(folder / "data", embedder="exact")
    search(folder / "data")
    pairs(folder / "data", kinds=KINDS)
    demonstrations(folder / "data", kinds=("path", "best", "success"), keep_duplicates=True)
    publish(folder / "data", folder / "release", version="1.0.0", license="mit")
    return folder


def test_demonstrations_are_the_logs_messages(dataset: Path) -> None:
    store = open_store(dataset / "data")
    rows = store.sql("SELECT d.*, attempt FROM demonstrations AS d JOIN rollouts USING (rollout_id)").to_pylist()
    assert {row["kind"] for row in rows} == {"best", "success"}
    for row in rows:
        assert (row["form"], row_tools(row["tools"])) == ("chat", TOOLS)
        assert row_messages(row["messages"]) == LOGGED[row["task_id"], row["attempt"]]
    paths = store.sql("SELECT * FROM demonstrations WHERE kind = 'path'").to_pylist()
    assert paths
    assert all(row_messages(row["messages"]) in LOGGED.values() for row in paths)


def test_both_sides_of_a_pair_are_a_rollouts_own_words(dataset: Path) -> None:
    """The prompt is one rollout's, so each result answers a call that is in the prompt."""
    store = open_store(dataset / "data")
    attempt = {row["rollout_id"]: row["attempt"] for row in store.read("rollouts").to_pylist()}
    rows = store.read("pairs").to_pylist()
    assert {row["kind"] for row in rows} == set(KINDS)
    for row in rows:
        prompt = row_messages(row["prompt"])
        assert any(prompt == logged[: len(prompt)] for logged in LOGGED.values())
        for side in ("chosen", "rejected"):
            logged = LOGGED[row["task_id"], attempt[row[f"{side}_rollout_id"]]]
            said = row_messages(row[side])
            assert said == (logged[len(prompt) :] if row["kind"] != "step" else logged[len(prompt) : len(prompt) + 1])
    for row in store.read("step_labels").to_pylist():
        assert row_messages(row["completion"])[0]["role"] == "assistant"
        assert row["form"] == "chat"
    assert sum(check(dataset / "data")["offending_rows"].to_pylist()) == 0


@pytest.mark.parametrize(
    ("arguments", "stored"),
    [('{"b": 1.0, "a": "é"}', {"b": 1.0, "a": "é"}), ("", {}), ("ls -l", "ls -l"), ("[1]", "[1]"), ('{"a": NaN}', '{"a": NaN}')],
)
def test_arguments_are_objects_wherever_they_are_json_objects(arguments: str, stored: Any) -> None:
    message = {"role": "assistant", "content": None, "tool_calls": [{"id": None, "name": "f", "arguments": arguments}]}
    (call,) = stored_message(message)["tool_calls"]
    assert json.loads(call) == {"id": None, "type": "function", "function": {"name": "f", "arguments": stored}}


def test_calls_that_differ_in_their_ids_only_say_the_same() -> None:
    first, second = attempts()[0]["messages"][2], attempts()[3]["messages"][2]
    one, other = (
        {**m, "content": None, "tool_calls": [{"id": c["id"], **c["function"]} for c in m["tool_calls"]]} for m in (first, second)
    )
    assert one["tool_calls"] != other["tool_calls"]
    assert meaning([one]) == meaning([other])
    assert meaning([one]) != meaning([{**one, "reasoning_content": "Hm."}])


def test_react_can_be_asked_for(dataset: Path, tmp_path: Path) -> None:
    import_log(tmp_path, dataset / "chats.jsonl", environment="weather")
    build(tmp_path, embedder="exact")
    pairs(tmp_path, form="react")
    row = open_store(tmp_path).read("pairs").to_pylist()[0]
    assert (row["form"], row["tools"]) == ("react", None)
    assert row_messages(row["chosen"])[0] == {"role": "assistant", "content": 'Action: look {"city": "Rome"}'}
    assert pairs(tmp_path).changed
    assert open_store(tmp_path).sql("SELECT DISTINCT form FROM pairs").to_pylist() == [{"form": "chat"}]


def test_the_card_says_which_form_and_what_plain_trl_learns_from(dataset: Path) -> None:
    card = (dataset / "release" / "README.md").read_text(encoding="utf-8")
    assert "| pairs | chat | 16 |" in card
    assert "pairs of kinds `step` and `anchor` have none and are exact" in card


@pytest.mark.slow
def test_trl_takes_a_release_as_it_is(dataset: Path, tmp_path: Path) -> None:
    """SFT, DPO, KTO and reward trainers learn from the very tokens of the log's conversations, with tools."""
    trl = pytest.importorskip("trl", reason="trl is not installed")
    from datasets import load_dataset

    from tratree_data.experiments.small_models import make_model

    tokenizer = byte_tokenizer(trl_template("qwen3"), "<|im_end|>")
    model = str(make_model(tmp_path / "model", tokenizer, width=32, layers=1))
    common = {
        "output_dir": str(tmp_path / "out"),
        "report_to": "none",
        "use_cpu": True,
        "bf16": False,
        "max_steps": 1,
        "max_length": 4096,
        "save_strategy": "no",
    }

    def rows(table: str) -> Any:
        return load_dataset(str(dataset / "release"), table, split="train", cache_dir=str(tmp_path / "cache"))

    def tokens(messages: Rows) -> list[int]:
        return list(tokenizer.apply_chat_template(messages, tools=TOOLS, return_dict=False))

    sft = trl.SFTTrainer(
        model, trl.SFTConfig(**common, assistant_only_loss=True), train_dataset=rows("demonstrations"), processing_class=tokenizer
    )
    sft.train()
    for ours, row in zip(rows("demonstrations"), sft.train_dataset, strict=True):
        logged = next(
            messages
            for messages in LOGGED.values()
            if messages
            == row_messages([{**m, "tool_calls": m["tool_calls"] and list(map(json.dumps, m["tool_calls"]))} for m in ours["messages"]])
        )
        written = tokenizer.decode(row["input_ids"])
        assert written == tokenizer.apply_chat_template(logged, tools=TOOLS, tokenize=False, chat_template=trl_template("qwen3_training"))
        learnt = tokenizer.decode([token for token, on in zip(row["input_ids"], row["labels"], strict=True) if on != -100])
        assert learnt.count("<|im_end|>") == 2
        assert "look" in learnt
        assert "20 degrees" not in learnt
        assert "You help" not in learnt
    tokenizer.chat_template = trl_template("qwen3")
    for name, config in (("DPOTrainer", trl.DPOConfig), ("RewardTrainer", trl.RewardConfig)):
        trainer = getattr(trl, name)(model, args=config(**common), train_dataset=rows("pairs"), processing_class=tokenizer)
        trainer.train()
        if name == "DPOTrainer":
            logged = {tuple(tokens(messages)) for messages in LOGGED.values()}
            whole = [row for row, source in zip(trainer.train_dataset, rows("pairs"), strict=True) if source["kind"] == "unstructured"]
            assert whole
            assert all(tuple(row["prompt_ids"] + row[side]) in logged for row in whole for side in ("chosen_ids", "rejected_ids"))
    kto = trl.KTOTrainer(
        model, args=trl.KTOConfig(**common, per_device_train_batch_size=2), train_dataset=rows("step_labels"), processing_class=tokenizer
    )
    kto.train()


@pytest.mark.slow
@pytest.mark.parametrize(("method", "template", "refused"), [("mcts-sft", "qwen3", 0), ("tree-dpo", "llama3_1", 2), ("kto", "qwen3", 0)])
def test_our_training_takes_chat_rows(dataset: Path, tmp_path: Path, method: str, template: str, refused: int) -> None:
    """Rows that the template cannot express are left out, and the record says why."""
    pytest.importorskip("trl", reason="trl is not installed")
    from tratree_data import train
    from tratree_data.experiments.small_models import make_model

    tokenizer = byte_tokenizer(trl_template(template), {"qwen3": "<|im_end|>", "llama3_1": "<|eot_id|>"}[template], None)
    model = make_model(tmp_path / "model", tokenizer, width=32, layers=1)
    sizes: dict[str, Any] = {
        "batch": 2,
        "device_batch": 2,
        "max_steps": 1,
        "full": True,
        "kinds": ("step",) if method == "tree-dpo" else (),
    }
    report = train(dataset / "release", model=model, out=tmp_path / "out", method=method, **sizes)
    record = json.loads((tmp_path / "out" / "training.json").read_text(encoding="utf-8"))
    assert sum(record["refused"].values()) == refused
    assert any("single tool-calls" in note for note in report.notes) == bool(refused)
    assert (
        report.counts["trained_rows"] + refused
        == open_store(dataset / "data")
        .sql(
            {
                "mcts-sft": "SELECT count(*) AS n FROM demonstrations WHERE kind = 'path'",
                "tree-dpo": "SELECT count(*) AS n FROM pairs WHERE kind = 'step'",
                "kto": "SELECT count(*) AS n FROM step_labels",
            }[method]
        )
        .to_pylist()[0]["n"]
    )
