"""What is passed through to TRL, validation and early stopping, weighted imitation, and the probe of chat templates."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl", reason="needs tratree-data[train]")

import pyarrow as pa
import torch
import torch.nn.functional as F
import yaml

from tratree_data.errors import BadInputError
from tratree_data.experiments.small_models import make_model, make_tokenizer
from tratree_data.files import data_folder
from tratree_data.ids import content_id, tree_id
from tratree_data.models.chat_templates import supervised_extras, training_template
from tratree_data.models.loading import load_model, load_tokenizer
from tratree_data.store.schemas import table_from_rows
from tratree_data.store.writing.writer import commit, writing
from tratree_data.training.settings import parse_settings, settings_from
from tratree_data.training.step_weights import join_weights, token_weights
from tratree_data.training.token_rows import Lengths, demonstration_rows
from tratree_data.training.train import train
from tratree_data.training.trainers import make_trainer
from tratree_data.training.training_data import hold_out
from tratree_data.training.trl_options import adapter_options, check_trainer, loading_options

FAST = {"full": True, "batch": 4, "device_batch": 2, "learning_rate": 3e-3, "max_steps": 4, "log_steps": 1, "gradient_checkpointing": False}
TASKS = 16


def talk(task: int) -> list[dict[str, str]]:
    turns = [f"You are in kitchen {task}.", "Action: open fridge", "You open it.", "Action: take egg"]
    return [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(turns)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model, and a dataset in which every task has a demonstration of a rollout whose two steps have weights, and a pair."""
    base = tmp_path_factory.mktemp("options")
    tokenizer = make_tokenizer(message["content"] for task in range(TASKS) for message in talk(task))
    make_model(base / "model", tokenizer, width=32, layers=1)
    ids = {"environment": "kitchen", "split": "train"}
    shared = [{**ids, "tree_id": tree_id("kitchen", str(task)), "task_id": str(task)} for task in range(TASKS)]
    demonstrations = [
        {**own, "demonstration_id": content_id("success", i), "kind": "success", "rollout_id": f"r{i}", "score": 1.0, "messages": talk(i)}
        for i, own in enumerate(shared)
    ]
    pairs = [
        {**own, "pair_id": content_id("pair", i), "kind": "step", "node_id": "n", "chosen_node_id": "a", "rejected_node_id": "b",
         "chosen_rollout_id": "x", "rejected_rollout_id": "y", "chosen_score": 1.0, "rejected_score": 0.0, "margin": 1.0,
         "prompt": talk(i)[:1], "chosen": talk(i)[1:2], "rejected": talk(i)[3:]}
        for i, own in enumerate(shared)
    ]  # fmt: skip
    credits = [
        {"tree_id": shared[i]["tree_id"], "rollout_id": f"r{i}", "step": step, "method": "awr(beta=1)", "group_size": 1,
         "return_to_go": 1.0, "advantage": 0.0, "weight": (2.0, 0.5)[step]}
        for i in range(TASKS) for step in range(2)
    ]  # fmt: skip
    data = base / "data"
    data.mkdir()
    made = {"demonstrations": demonstrations, "pairs": pairs, "step_credits": credits}
    with writing(data):
        commit(data, "test", {name: table_from_rows(name, rows) for name, rows in made.items()}, settings={}, reads={})
    return base


def run(folder: Path, out: Path, method: str = "sft", **settings: Any) -> tuple[Any, dict[str, Any]]:
    kinds = {"kinds": ("success",)} if method == "sft" else {}
    report = train(folder / "data", model=folder / "model", method=method, out=out, **{**FAST, **kinds, **settings})
    return report, json.loads((out / "training.json").read_text())


# TRL's own options


def test_dotted_settings_are_trls() -> None:
    typed = ["seed=3", "trainer.packing=true", 'trainer.lora_target_modules=["q_proj"]', "trainer.optim=sgd"]
    assert parse_settings(typed) == {"seed": 3, "trainer": {"packing": True, "lora_target_modules": ["q_proj"], "optim": "sgd"}}
    assert parse_settings(['trainer={"packing": true}']) == {"trainer": {"packing": True}}
    with pytest.raises(BadInputError, match=r"--set trainer\.rank=4"):
        parse_settings(["lora.rank=4"])


@pytest.mark.parametrize(
    ("method", "trainer", "match"),
    [
        ("sft", {"packin": True}, "SFTConfig has no option 'packin'. Did you mean 'packing'"),
        ("tree-dpo", {"desirable_weight": 2.0}, "DPOConfig has no option 'desirable_weight'"),
        ("sft", {"learning_rate": 1.0}, "--learning-rate instead"),
        ("sft", {"neftune_noise_alpha": 5, "push_to_hub": True}, "--push"),
    ],
)
def test_unknown_and_decided_options_are_refused_before_anything_is_loaded(
    folder: Path, tmp_path: Path, method: str, trainer: dict[str, Any], match: str
) -> None:
    with pytest.raises(BadInputError, match=match):
        train(folder / "data", model="no such model", method=method, out=tmp_path / "out", **FAST, trainer=trainer)
    assert not (tmp_path / "out").exists()


def test_options_reach_the_trainer_the_model_and_the_adapter(folder: Path, tmp_path: Path) -> None:
    check_trainer("kto", {"desirable_weight": 2.0})
    model, tokenizer = load_model(str(folder / "model")), load_tokenizer(str(folder / "model"))
    template = training_template(tokenizer)
    rows = pa.Table.from_pylist(demonstration_rows(tokenizer, template, [(talk(0),)] * 2, Lengths(None)))
    trainer = {"optim": "sgd", "max_grad_norm": 0.5, "lora_target_modules": ["q_proj"], "use_rslora": True}
    settings = settings_from({**FAST, "full": False, "trainer": trainer})
    made = make_trainer("sft", model, (tokenizer, template), rows, folder=tmp_path, settings=settings)
    assert (made.args.optim, made.args.max_grad_norm) == ("sgd", 0.5)
    adapted = {name.split(".lora_")[0].rpartition(".")[2] for name, _ in made.model.named_parameters() if ".lora_" in name}
    assert adapted == {"q_proj"}
    assert adapter_options({"use_dora": True, "lora_modules_to_save": ["norm"]}) == {"use_dora": True, "modules_to_save": ["norm"]}
    found = loading_options({"load_in_4bit": True, "attn_implementation": "sdpa", "model_init_kwargs": {"use_kernels": True}}, None)
    assert found.pop("quantization_config").load_in_4bit
    assert found == {"attn_implementation": "sdpa", "use_kernels": True}
    with pytest.raises(BadInputError, match="drop full"):
        settings_from({**FAST, "trainer": {"load_in_4bit": True}})


def test_packed_rows_hold_several_demonstrations(folder: Path, tmp_path: Path) -> None:
    _, plain = run(folder, tmp_path / "plain", max_steps=None, epochs=1.0)
    _, packed = run(folder, tmp_path / "packed", max_steps=None, epochs=1.0, max_length=256, trainer={"packing": True})
    assert plain["counts"]["steps"] == TASKS / FAST["batch"]
    assert packed["counts"]["steps"] < plain["counts"]["steps"]
    assert packed["counts"]["trained_rows"] == TASKS
    assert packed["settings"]["trainer"] == {"packing": True}


def test_values_that_trl_refuses_are_reported_as_its_own(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="SFTConfig refuses these options") as caught:
        run(folder, tmp_path / "out", trainer={"optim": "no_such_optimiser"})
    assert "Next: change --set trainer.optim" in str(caught.value)


# Validation


def test_whole_tasks_are_held_out_and_always_the_same_ones() -> None:
    rows = pa.table({"tree_id": [tree_id("kitchen", str(task // 2)) for task in range(400)], "row": range(400)})
    trained, held = hold_out(rows, 0.2)
    assert trained.num_rows + held.num_rows == 400
    assert not {*trained["tree_id"].to_pylist()} & {*held["tree_id"].to_pylist()}
    assert 40 < held.num_rows < 120
    smaller = hold_out(rows.slice(0, 200), 0.2)[1]
    assert {*smaller["row"].to_pylist()} == {row for row in held["row"].to_pylist() if row < 200}
    with pytest.raises(BadInputError, match="leaves nothing to validate"):
        hold_out(rows.slice(0, 2), 1e-9)


@pytest.mark.parametrize("method", ["sft", "tree-dpo"])
def test_the_loss_on_held_out_tasks_is_recorded_as_a_curve(folder: Path, tmp_path: Path, method: str) -> None:
    report, record = run(folder, tmp_path / "out", method, validation="0.3", trainer={"eval_steps": 2})
    assert 0 < record["data"]["validation_rows"] < TASKS
    assert record["counts"]["trained_rows"] + record["data"]["validation_rows"] == TASKS
    curve = record["validation"]["curve"]
    assert [point["step"] for point in curve] == [2, 4]
    assert curve[1]["loss"] < curve[0]["loss"]
    assert any("not kept" in note for note in report.notes)
    assert "| step | loss trained | loss held out |" in (tmp_path / "out" / "README.md").read_text()


def test_training_stops_when_the_validation_loss_rises_and_keeps_the_best(folder: Path, tmp_path: Path) -> None:
    settings = {"validation": "train", "patience": 1, "learning_rate": 3.0, "max_steps": 40, "trainer": {"eval_steps": 1}}
    report, record = run(folder, tmp_path / "out", **settings)
    found = record["validation"]
    assert record["counts"]["steps"] < 40
    assert found["best_was_kept"]
    assert found["best"]["step"] < found["curve"][-1]["step"]
    assert any("stopped before 40" in note for note in report.notes)
    model, tokenizer = load_model(str(tmp_path / "out")), load_tokenizer(str(tmp_path / "out"))
    losses = []
    for task in range(TASKS):
        row = demonstration_rows(tokenizer, training_template(tokenizer), [(talk(task),)], Lengths(None))[0]
        losses.append(model(input_ids=torch.tensor([row["input_ids"]]), labels=torch.tensor([row["labels"]])).loss.item())
    assert sum(losses) / TASKS == pytest.approx(found["best"]["loss"], rel=1e-3)
    (tmp_path / "out" / "training.json").write_text(json.dumps({**record, "finished": False}))
    resumed = run(folder, tmp_path / "out", **settings)[1]["validation"]
    assert resumed["best"] == found["best"]
    for alone in ({"patience": 2}, {"trainer": {"eval_steps": 5}}):
        with pytest.raises(BadInputError, match="needs validation"):
            settings_from(alone)


# Weighted imitation


def test_each_steps_loss_is_multiplied_by_its_weight(folder: Path, tmp_path: Path) -> None:
    model, tokenizer = load_model(str(folder / "model")), load_tokenizer(str(folder / "model"))
    template = training_template(tokenizer)
    plain = demonstration_rows(tokenizer, template, [(talk(0),), (talk(1)[:2],)], Lengths(None))
    rows = demonstration_rows(tokenizer, template, [(talk(0),), (talk(1)[:2],)], Lengths(None), weights=[[2.0, 0.5], [3.0]])
    assert [row["labels"] for row in rows] == [row["labels"] for row in plain]
    trainer = make_trainer(
        "sft", model, (tokenizer, template), pa.Table.from_pylist(rows), folder=tmp_path, settings=settings_from({**FAST, "weights": "awr"})
    )
    trainer.model.eval()
    loss = trainer.compute_loss(trainer.model, next(iter(trainer.get_train_dataloader())))
    total, learnt = 0.0, 0
    for row in rows:
        labels, weights = torch.tensor(row["labels"])[1:], torch.tensor(row["weights"])[1:]
        logits = model(input_ids=torch.tensor([row["input_ids"]])).logits[0, :-1]
        total += (F.cross_entropy(logits, labels, ignore_index=-100, reduction="none") * weights).sum().item()
        learnt += int((labels != -100).sum())
    assert {*rows[0]["weights"]} == {0.0, 2.0, 0.5}
    assert loss.item() == pytest.approx(total / learnt, rel=1e-4)


def test_weights_come_from_the_credits_of_the_rollouts_steps(folder: Path, tmp_path: Path) -> None:
    _, record = run(folder, tmp_path / "out", weights="awr", full=False, lora_rank=4, learning_rate=3e-2)
    assert record["data"]["without_weights"] == 0
    assert record["last_loss"] < record["first_loss"]
    with pytest.raises(BadInputError, match="no weights of 'rwr'"):
        run(folder, tmp_path / "none", weights="rwr")
    with pytest.raises(BadInputError, match="weights are for sft"):
        run(folder, tmp_path / "none", "tree-dpo", weights="awr")


@pytest.mark.slow
def test_two_processes_weigh_and_validate_as_one_does(folder: Path, tmp_path: Path) -> None:
    settings = [
        "weights=awr",
        "validation=0.3",
        "patience=2",
        "trainer.eval_steps=1",
        "batch=4",
        "log_steps=1",
        "gradient_checkpointing=false",
    ]
    words = [part for setting in settings for part in ("--set", setting)]
    words += ["--kind", "success", "--full", "--learning-rate", "0.003", "--max-steps", "3", "--device-batch", "1"]
    command = ["-m", "tratree_data.cli", "train", str(folder / "data"), "--model", str(folder / "model"), *words]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    records = []
    for name, launcher in (("one", []), ("two", ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"])):
        run = [sys.executable, *launcher, *command, "--out", str(tmp_path / name)]
        done = subprocess.run(run, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        records.append(json.loads((tmp_path / name / "training.json").read_text()))
    losses = [[entry["loss"] for entry in record["log"] if "loss" in entry] for record in records]
    curves = [[point["loss"] for point in record["validation"]["curve"]] for record in records]
    assert len(curves[0]) == 3
    assert losses[0] == pytest.approx(losses[1], abs=1e-3)
    assert curves[0] == pytest.approx(curves[1], abs=1e-3)


def test_rows_without_weights_are_left_out_and_counted() -> None:
    credits = pa.table({"rollout_id": ["a", "a", "b"], "step": [1, 0, 0], "method": ["awr(x)"] * 3, "weight": [0.5, 2.0, None]})
    found, left_out = join_weights(pa.table({"rollout_id": ["a", None, "b"]}), credits, "awr")
    assert (found["weights"].to_pylist(), left_out) == ([[2.0, 0.5]], 2)
    both = credits.set_column(2, "method", pa.array(["awr(x)", "awr(y)", "awr(x)"]))
    with pytest.raises(BadInputError, match="several methods"):
        join_weights(found, both, "awr")
    assert token_weights([0, 1, 1, 0, 1, 0], [3, 5], [2.0, 0.5]) == [0.0, 2.0, 2.0, 0.0, 0.5, 0.0]
    lengths = Lengths(None)
    tokenizer = make_tokenizer(["open fridge take egg"])
    assert demonstration_rows(tokenizer, training_template(tokenizer), [(talk(0),)], lengths, weights=[[1.0]]) == []
    assert lengths.rows[0]["part"] == "turns and weighted steps differ in number"


# The probe of chat templates

TEMPLATE = (
    "{% for m in messages %}{% if m['role'] == 'assistant' %}HEAD{% generation %}THOUGHT{{ m['content'] }}<|end|>{% endgeneration %}"
    "{% else %}<|user|>{{ m['content'] }}{% endif %}{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def test_the_probe_reports_headers_and_empty_thoughts(folder: Path, tmp_path: Path) -> None:
    def probe(text: str) -> list[str]:
        tokenizer = load_tokenizer(str(folder / "model"))
        return supervised_extras(tokenizer, training_template(tokenizer, text))

    exact = TEMPLATE.replace("HEAD", "<|assistant|>").replace("THOUGHT", "")
    header = TEMPLATE.replace("HEAD", "").replace("THOUGHT", "<|assistant|>")
    thought = TEMPLATE.replace("HEAD", "<|assistant|>").replace("THOUGHT", "<think>\n\n</think>\n\n")
    assert probe(exact) == []
    assert len(probe(header)) == 1
    assert "<|assistant|>" in probe(header)[0]
    assert len(probe(thought)) == 1
    assert "an empty thought" in probe(thought)[0]
    report, record = run(folder, tmp_path / "out", chat_template=header)
    assert record["supervised_by_template"] == probe(header)
    assert any("header of its role" in note for note in report.notes)


# Files for several GPUs


@pytest.mark.parametrize("name", ["fsdp", "deepspeed_zero2", "deepspeed_zero3"])
def test_configs_for_several_gpus_are_accelerates_own(name: str) -> None:
    from accelerate.commands.config.config_args import load_config_from_file

    path = data_folder("pipelines") / "accelerate" / f"{name}.yaml"
    assert "distributed_type" in yaml.safe_load(path.read_text())
    loaded = load_config_from_file(str(path))
    assert loaded.mixed_precision == "bf16"
    assert loaded.distributed_type == ("FSDP" if name == "fsdp" else "DEEPSPEED")
