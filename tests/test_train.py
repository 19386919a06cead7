"""Training: what is trained on token by token, the losses against plain torch, resuming, and bad input."""

import json
import math
import os
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest

pytest.importorskip("trl", reason="needs tratree-data[train]")

import pyarrow as pa
import torch
import torch.nn.functional as F

from tratree_data.errors import BadInputError, NotFoundError
from tratree_data.experiments.small_models import make_model, make_tokenizer
from tratree_data.ids import content_id, tree_id
from tratree_data.models.chat_templates import CHAT_TEMPLATE, render, training_template
from tratree_data.store.schemas import table_from_rows
from tratree_data.store.writing.writer import commit, writing
from tratree_data.training.token_rows import Lengths, demonstration_rows, fit, preference_rows, tokenize, turn_ends
from tratree_data.training.train import train

FAST = {"full": True, "batch": 4, "device_batch": 2, "learning_rate": 3e-3, "max_steps": 6, "log_steps": 1, "gradient_checkpointing": False}


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def agent(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


DEMONSTRATION = [
    user("Cook a meal. You are in the kitchen."),
    agent("Thought: the fridge\nAction: open fridge"),
    user("You open the fridge. It contains an egg."),
    agent("Action: take egg"),
]
PROMPT = DEMONSTRATION[:3]
CHOSEN = [agent("Action: take egg"), user("You take the egg."), agent("Action: eat egg")]
REJECTED = [agent("Action: close fridge"), user("You close the fridge."), agent("Action: eat fridge")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two models of two sizes with one tokenizer, and a dataset with a few rows of everything that can be trained on."""
    base = tmp_path_factory.mktemp("train")
    tokenizer = make_tokenizer(message["content"] for message in [*DEMONSTRATION, *CHOSEN, *REJECTED])
    make_model(base / "weak", tokenizer, width=32, layers=1, seed=1)
    make_model(base / "strong", tokenizer, width=64, layers=2, seed=2)
    other = make_tokenizer(["another vocabulary altogether " + " ".join(f"word{i}" for i in range(50))])
    make_model(base / "foreign", other, width=32, layers=1)
    data = base / "data"
    data.mkdir()
    with writing(data):
        commit(data, "test", tables(), settings={}, reads={})
    return base


def tables() -> dict[str, object]:
    tree = tree_id("kitchen", "1")
    shared = {"tree_id": tree, "environment": "kitchen", "task_id": "1", "split": "train"}
    demonstrations = [
        {**shared, "demonstration_id": content_id(kind, i), "kind": kind, "rollout_id": "r" if kind != "path" else None,
         "path_id": "p" if kind == "path" else None, "score": i / 8, "messages": DEMONSTRATION}
        for kind in ("expert", "path") for i in range(8)
    ]  # fmt: skip
    pairs = [
        {**shared, "pair_id": content_id(kind, i), "kind": kind, "node_id": "n", "chosen_node_id": "a", "rejected_node_id": "b",
         "chosen_rollout_id": "x", "rejected_rollout_id": "y", "chosen_score": 1.0, "rejected_score": 0.5, "margin": 0.5,
         "prompt": PROMPT, "chosen": CHOSEN, "rejected": REJECTED}
        for kind in ("divergence", "unstructured") for i in range(8)
    ]  # fmt: skip
    labels = [
        {**shared, "node_id": content_id("label", i), "prompt": PROMPT, "label": bool(i % 2),
         "completion": [CHOSEN[0] if i % 2 else REJECTED[0]], "value": 0.5, "advantage": 0.1, "low": 0.0, "high": 1.0}
        for i in range(8)
    ]  # fmt: skip
    rollout = {
        **shared,
        "rollout_id": "r",
        "environment_version": "",
        "attempt": 0,
        "prompt": "",
        "instruction": "cook",
        "agent": "scripted",
    }
    rollout |= {"end_reason": "done", "end_observation": "", "step_count": 1, "source": "test", "score": 1.0}
    step = {"rollout_id": "r", "step": 0, "observation": "a kitchen", "thought": "", "action": "open fridge"}
    return {
        "steps": table_from_rows("steps", [step]),
        "rollouts": table_from_rows("rollouts", [rollout]),
        "demonstrations": table_from_rows("demonstrations", demonstrations),
        "pairs": table_from_rows("pairs", pairs),
        "step_labels": table_from_rows("step_labels", labels),
    }


def load(path: Path) -> tuple[object, object]:
    from tratree_data.models.loading import load_model, load_tokenizer

    return load_model(str(path)), load_tokenizer(str(path))


# What is trained on


def test_imitation_learns_from_the_agents_words_only(folder: Path) -> None:
    from tratree_data.training.train import settings_from
    from tratree_data.training.trainers import make_trainer

    model, tokenizer = load(folder / "weak")
    rows = demonstration_rows(tokenizer, training_template(tokenizer), [(DEMONSTRATION,)] * 2, Lengths(None))
    trainer = make_trainer(
        "sft",
        model,
        (tokenizer, training_template(tokenizer)),
        pa.Table.from_pylist(rows),
        folder=folder / "unused",
        settings=settings_from(FAST),
    )
    batch = next(iter(trainer.get_train_dataloader()))
    learnt = [tokenizer.decode([token]) for token in batch["labels"][0] if token != -100]
    assert learnt == ["Thought:", "the", "fridge", "Action:", "open", "fridge", "<|end|>", "Action:", "take", "egg", "<|end|>"]


def test_preferences_learn_from_the_agents_words_only(folder: Path) -> None:
    from tratree_data.training.train import settings_from
    from tratree_data.training.trainers import make_trainer

    model, tokenizer = load(folder / "strong")
    template = training_template(tokenizer)
    rows = preference_rows(tokenizer, template, [(PROMPT, CHOSEN, REJECTED)] * 2, Lengths(None))
    trainer = make_trainer(
        "tree-dpo", model, (tokenizer, template), pa.Table.from_pylist(rows), folder=folder / "unused", settings=settings_from(FAST)
    )
    batch = next(iter(trainer.get_train_dataloader()))

    def learnt(row: int) -> list[str]:
        return [tokenizer.decode([token]) for token, on in zip(batch["input_ids"][row], batch["completion_mask"][row], strict=True) if on]

    assert learnt(0) == ["Action:", "take", "egg", "<|end|>", "Action:", "eat", "egg", "<|end|>"]
    assert learnt(2) == ["Action:", "close", "fridge", "<|end|>", "Action:", "eat", "fridge", "<|end|>"]


def test_token_rows_are_those_that_trl_makes_itself(folder: Path) -> None:
    from datasets import Dataset
    from trl import DPOConfig, DPOTrainer

    model, tokenizer = load(folder / "weak")
    row = {"prompt": PROMPT, "chosen": CHOSEN, "rejected": REJECTED}
    config = DPOConfig(output_dir=str(folder / "unused"), use_cpu=True, bf16=False, max_length=None, report_to="none")
    plain = DPOTrainer(
        model, ref_model=load(folder / "strong")[0], args=config, train_dataset=Dataset.from_list([row]), processing_class=tokenizer
    )
    ours = preference_rows(tokenizer, training_template(tokenizer), [(PROMPT, CHOSEN, REJECTED)], Lengths(None))[0]
    for column in ("prompt_ids", "chosen_ids", "rejected_ids"):
        assert ours[column] == plain.train_dataset[0][column]


# The losses


def plain_logps(model: object, ids: list[int], mask: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
    """(sum of log-probabilities, log-distributions at the masked tokens), one sequence at a time, no padding."""
    logits = model(input_ids=torch.tensor([ids])).logits[0, :-1]  # type: ignore[operator]
    where = torch.tensor(mask[1:]).bool()
    distributions = F.log_softmax(logits, -1)[where]
    return distributions.gather(1, torch.tensor(ids)[1:][where][:, None]).sum(), distributions


@pytest.mark.parametrize("lora", [False, True])
@pytest.mark.parametrize("reference", ["weak", "self"])
def test_tree_dpo_is_equation_six(folder: Path, tmp_path: Path, reference: str, lora: bool) -> None:
    from tratree_data.training.train import settings_from
    from tratree_data.training.trainers import make_trainer

    model, tokenizer = load(folder / "strong")
    plain, _ = load(folder / "strong")
    fixed, _ = load(folder / ("weak" if reference == "weak" else "strong"))
    template = training_template(tokenizer)
    short = (PROMPT[:1], [agent("Action: open fridge")], [agent("Action: take kitchen")])
    rows = preference_rows(tokenizer, template, [(PROMPT, CHOSEN, REJECTED), short], Lengths(None))
    beta, weight = 0.3, 0.7
    settings = settings_from(
        {**FAST, "full": not lora, "reference": str(folder / "weak") if reference == "weak" else "self", "beta": beta, "kl_weight": weight}
    )
    trainer = make_trainer("tree-dpo", model, (tokenizer, template), pa.Table.from_pylist(rows), folder=tmp_path, settings=settings)
    trainer.model.eval()
    loss = trainer.compute_loss(trainer.model, next(iter(trainer.get_train_dataloader())))

    preference, divergence = [], []
    for row in rows:
        rewards = {}
        for side in ("chosen", "rejected"):
            ids, mask = row["prompt_ids"] + row[f"{side}_ids"], [0] * len(row["prompt_ids"]) + row[f"{side}_mask"]
            strong_sum, strong = plain_logps(plain, ids, mask)
            weak_sum, weak = plain_logps(fixed, ids, mask)
            rewards[side] = beta * (strong_sum - weak_sum)
            divergence.append((strong.exp() * (strong - weak)).sum())
        preference.append(-F.logsigmoid(rewards["chosen"] - rewards["rejected"]))
    expected = torch.stack(preference).mean() + weight * torch.stack(divergence).mean()
    torch.testing.assert_close(loss.detach(), expected.detach(), rtol=1e-4, atol=1e-5)
    if reference == "self":
        assert abs(expected.item() - math.log(2)) < 1e-6


def test_equation_five_moves_away_from_the_previous_explorer(folder: Path, tmp_path: Path) -> None:
    from tratree_data.training.train import settings_from
    from tratree_data.training.trainers import make_trainer

    model, tokenizer = load(folder / "weak")
    previous_folder = make_model(tmp_path / "previous", tokenizer, width=48, layers=1, seed=9)
    previous, _ = load(previous_folder)
    plain, _ = load(folder / "weak")
    rows = demonstration_rows(tokenizer, training_template(tokenizer), [(DEMONSTRATION,), (DEMONSTRATION[:2],)], Lengths(None))
    settings = settings_from({**FAST, "previous": str(previous_folder), "divergence_weight": 0.4})
    trainer = make_trainer(
        "sft", model, (tokenizer, training_template(tokenizer)), pa.Table.from_pylist(rows), folder=tmp_path / "out", settings=settings
    )
    trainer.model.eval()
    loss = trainer.compute_loss(trainer.model, next(iter(trainer.get_train_dataloader())))
    likelihood, divergence, count = torch.zeros(()), torch.zeros(()), 0
    for row in rows:
        mask = [int(label != -100) for label in row["labels"]]
        total, now = plain_logps(plain, row["input_ids"], mask)
        before = plain_logps(previous, row["input_ids"], mask)[1]
        likelihood, divergence, count = likelihood + total, divergence + (now.exp() * (now - before)).sum(), count + len(now)
    torch.testing.assert_close(loss.detach(), ((-likelihood - 0.4 * divergence) / count).detach(), rtol=1e-4, atol=1e-5)


# Whole runs


@pytest.mark.parametrize("method", ["sft", "mcts-sft", "tree-dpo", "unstructured-dpo", "kto"])
def test_every_method_trains_and_says_what_it_did(folder: Path, tmp_path: Path, method: str) -> None:
    report = train(folder / "data", model=folder / "strong", method=method, out=tmp_path / "out", **FAST)
    record = json.loads((tmp_path / "out" / "training.json").read_text())
    assert report.changed
    assert report.counts["steps"] == 6
    assert report.counts["trained_rows"] == 8
    assert record["last_loss"] < record["first_loss"]
    assert f"**{method}**" in (tmp_path / "out" / "README.md").read_text()
    assert not train(folder / "data", model=folder / "strong", method=method, out=tmp_path / "out", **FAST).changed
    load(tmp_path / "out")


def test_weak_reference_and_lora_as_in_the_paper(folder: Path, tmp_path: Path) -> None:
    settings = {**FAST, "full": False, "lora_rank": 4, "lora_alpha": 8, "learning_rate": 3e-2, "reference": str(folder / "weak")}
    train(folder / "data", model=folder / "strong", method="tree-dpo", out=tmp_path / "out", **settings)
    record = json.loads((tmp_path / "out" / "training.json").read_text())
    assert record["settings"]["kl_weight"] == record["settings"]["beta"]
    assert all("kl" in entry for entry in record["log"] if "loss" in entry)
    assert (tmp_path / "out" / "adapter_config.json").is_file()
    model, _ = load(tmp_path / "out")
    start, _ = load(folder / "strong")
    differs = [not torch.equal(a, b) for a, b in zip(model.parameters(), start.parameters(), strict=True)]
    assert any(differs)


# Too long


def test_all_weights_keep_small_steps_when_computed_in_bfloat16(folder: Path, tmp_path: Path) -> None:
    train(
        folder / "data", method="sft", model=str(folder / "strong"), out=tmp_path / "m", full=True, bf16=True, max_steps=1, warmup_ratio=0.0
    )
    before, after = (load(path)[0].state_dict() for path in (folder / "strong", tmp_path / "m"))  # type: ignore[attr-defined]
    changed = [name for name in before if not torch.equal(before[name], after[name])]
    assert len(changed) == len(before)
    assert all(after[name].dtype == torch.float32 for name in changed)
    assert any(not torch.equal(after[name], after[name].bfloat16().float()) for name in changed)


def test_long_rows_are_cut_after_a_turn_or_dropped_and_counted(folder: Path) -> None:
    _, tokenizer = load(folder / "weak")
    template = training_template(tokenizer)
    ids, masks = tokenize(tokenizer, template, [DEMONSTRATION])
    first, second = turn_ends(masks[0])
    for limit in range(1, len(ids[0]) + 2):
        kept = fit(ids[0], masks[0], 0, limit)
        assert kept == (len(ids[0]) if limit >= len(ids[0]) else second if limit >= second else first if limit >= first else 0)
    lengths = Lengths(max_length=second - 1)
    rows = demonstration_rows(tokenizer, template, [(DEMONSTRATION,), (DEMONSTRATION[:2],)], lengths)
    assert [len(row["input_ids"]) for row in rows] == [first, first]
    assert (lengths.count("cut"), lengths.count("dropped")) == (1, 0)
    tight = Lengths(max_length=first - 1)
    assert demonstration_rows(tokenizer, template, [(DEMONSTRATION,)], tight) == []
    assert tight.rows == [{"row": 0, "part": "messages", "done": "dropped", "tokens": len(ids[0]), "kept_tokens": 0}]
    drop = Lengths(max_length=second - 1, too_long="drop")
    assert len(demonstration_rows(tokenizer, template, [(DEMONSTRATION,), (DEMONSTRATION[:2],)], drop)) == 1
    assert drop.count("dropped") == 1


def test_what_was_cut_is_reported(folder: Path, tmp_path: Path) -> None:
    report = train(folder / "data", model=folder / "weak", method="tree-dpo", out=tmp_path / "out", **{**FAST, "max_length": 42})
    record = json.loads((tmp_path / "out" / "training.json").read_text())
    assert report.counts["cut"] == 8
    assert any("cut after a turn" in note for note in report.notes)
    assert {row["done"] for row in record["too_long"]} == {"cut"}
    with pytest.raises(BadInputError, match="longer than 20 tokens"):
        train(folder / "data", model=folder / "weak", method="tree-dpo", out=tmp_path / "none", **{**FAST, "max_length": 20})


# Stopping and going on


@pytest.mark.slow
def test_a_killed_run_goes_on_and_ends_where_an_unbroken_one_does(folder: Path, tmp_path: Path) -> None:
    settings = {**FAST, "max_steps": 400, "save_steps": 10}
    arguments = f"{str(folder / 'data')!r}, model={str(folder / 'weak')!r}, out={str(tmp_path / 'out')!r}, **{settings!r}"
    script = f"from tratree_data.training.train import train; train({arguments})"
    process = subprocess.Popen(
        [sys.executable, "-c", script], env={**os.environ, "OMP_NUM_THREADS": "1"}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 120
    while not list((tmp_path / "out").glob("checkpoint-*/trainer_state.json")) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not json.loads((tmp_path / "out" / "training.json").read_text())["finished"]
    settings["max_steps"] = 400
    train(folder / "data", model=folder / "weak", out=tmp_path / "out", **settings)
    train(folder / "data", model=folder / "weak", out=tmp_path / "whole", **settings)
    resumed, whole = load(tmp_path / "out")[0], load(tmp_path / "whole")[0]
    for a, b in zip(resumed.parameters(), whole.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


# Templates and tokenizers of other families


def spaced_tokenizer(template: str, end: str = "<|end|>") -> object:
    """A WordPiece tokenizer, which drops all white space: also that before {% endgeneration %}."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.WordPiece(unk_token="<unk>"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    texts = [message["content"] for message in [*DEMONSTRATION, *CHOSEN, *REJECTED]] + ["assistant user first second observation probe"]
    trainer = trainers.WordPieceTrainer(vocab_size=400, special_tokens=["<unk>", "<pad>", "<|end|>", "</s>"], show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>", pad_token="<pad>", eos_token=end, chat_template=template)


LINES = (
    "{% for m in messages %}{{ m['role'] }}\n{% if m['role'] == 'assistant' %}"
    "{% generation %}{{ m['content'] }}<|end|>\n{% endgeneration %}"
    "{% else %}{{ m['content'] }}<|end|>\n{% endif %}{% endfor %}{% if add_generation_prompt %}assistant\n{% endif %}"
)


def runs(tokenizer: object, ids: list[int], mask: list[int]) -> list[str]:
    """What is learnt, turn by turn."""
    ends = [0, *turn_ends(mask)]
    return [tokenizer.decode([i for i, on in zip(ids[a:b], mask[a:b], strict=True) if on]) for a, b in pairwise(ends)]  # type: ignore[attr-defined]


def test_white_space_that_the_tokenizer_drops_does_not_let_observations_in() -> None:
    tokenizer = spaced_tokenizer(LINES)
    template = training_template(tokenizer)
    row = demonstration_rows(tokenizer, template, [(DEMONSTRATION,)], Lengths(None))[0]
    learnt = runs(tokenizer, row["input_ids"], [int(label != -100) for label in row["labels"]])
    assert learnt == ["thought : the fridge action : open fridge <|end|>", "action : take egg <|end|>"]
    pair = preference_rows(tokenizer, template, [(PROMPT, CHOSEN, REJECTED)], Lengths(None))[0]
    assert runs(tokenizer, pair["chosen_ids"], pair["chosen_mask"]) == ["action : take egg <|end|>", "action : eat egg <|end|>"]
    assert runs(tokenizer, pair["rejected_ids"], pair["rejected_mask"]) == ["action : close fridge <|end|>", "action : eat fridge <|end|>"]


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        ("<|end|>\n{% endgeneration %}", "{% endgeneration %}<|end|>\n", "end of turn outside"),
        (
            "{{ m['content'] }}<|end|>\n{% endif %}",
            "{% generation %}{{ m['content'] }}<|end|>\n{% endgeneration %}{% endif %}",
            "observations inside",
        ),
        ("{{ m['content'] }}<|end|>\n{% endif %}", "{{ m['content'][0]['text'] }}{% endif %}", "leaves out observations"),
        ("{% generation %}{{ m['content'] }}<|end|>", "{% generation %}{{ m['content'] }}END", "not a special token"),
        ("{{ m['role'] }}\n", "{{ messages | length }}{{ m['role'] }}\n", "changes earlier turns when more follow"),
        ("{{ m['role'] }}\n", "{{ raise_exception('only tools') }}", "only tools"),
    ],
)
def test_templates_by_which_training_would_not_be_exact_are_refused(old: str, new: str, match: str) -> None:
    assert old in LINES
    with pytest.raises(BadInputError, match=match) as caught:
        training_template(spaced_tokenizer(LINES.replace(old, new)))
    assert "Next:" in str(caught.value)


def test_llama_2_is_learnt_in_its_own_format() -> None:
    tokenizer = spaced_tokenizer("", end="</s>")
    tokenizer.bos_token = "<|end|>"  # type: ignore[attr-defined]
    template = training_template(tokenizer, "llama2")
    assert render(tokenizer, template, [PROMPT[:1]], to_answer=True)[0] == [f"<|end|>[INST] {PROMPT[0]['content']} [/INST]"]
    row = demonstration_rows(tokenizer, template, [(DEMONSTRATION,)], Lengths(None))[0]
    learnt = runs(tokenizer, row["input_ids"], [int(label != -100) for label in row["labels"]])
    assert learnt == ["thought : the fridge action : open fridge </s>", "action : take egg </s>"]


def test_pairs_with_equal_sides_are_dropped_and_counted(folder: Path) -> None:
    _, tokenizer = load(folder / "weak")
    lengths = Lengths(None)
    assert preference_rows(tokenizer, training_template(tokenizer), [(PROMPT, CHOSEN, CHOSEN)], lengths) == []
    assert lengths.count("dropped") == 1


def test_a_model_is_saved_with_the_template_and_the_end_that_it_was_trained_with(folder: Path, tmp_path: Path) -> None:
    train(folder / "data", model=folder / "weak", out=tmp_path / "own", **FAST)
    assert load(tmp_path / "own")[1].chat_template == load(folder / "weak")[1].chat_template
    marked = LINES.replace("<|end|>", "<|user|>")
    report = train(folder / "data", model=folder / "weak", out=tmp_path / "other", chat_template=marked, **FAST)
    assert report.counts["trained_rows"] == 8
    model, tokenizer = load(tmp_path / "other")
    assert tokenizer.chat_template == marked
    assert tokenizer.eos_token == "<|user|>"
    ends = model.generation_config.eos_token_id
    assert tokenizer.eos_token_id in (ends if isinstance(ends, list) else [ends])


def test_rows_fit_the_positions_and_the_embeddings_that_the_model_has(folder: Path, tmp_path: Path) -> None:
    from transformers import GPT2Config, GPT2LMHeadModel

    tokenizer = load(folder / "weak")[1]
    settings = {"n_positions": 32, "n_embd": 16, "n_layer": 1, "n_head": 2, "bos_token_id": None, "eos_token_id": tokenizer.eos_token_id}
    for name, size in (("short", len(tokenizer)), ("small", len(tokenizer) - 3)):
        GPT2LMHeadModel(GPT2Config(vocab_size=size, **settings)).save_pretrained(tmp_path / name)
        tokenizer.save_pretrained(tmp_path / name)
    train(folder / "data", model=tmp_path / "short", out=tmp_path / "a", **FAST)
    assert json.loads((tmp_path / "a" / "training.json").read_text())["longest_allowed"] == 32
    with pytest.raises(BadInputError, match="longer than 32 tokens"):
        train(folder / "data", model=tmp_path / "short", method="tree-dpo", out=tmp_path / "b", **FAST)
    with pytest.raises(BadInputError, match="embeddings"):
        train(folder / "data", model=tmp_path / "small", out=tmp_path / "c", **{**FAST, "max_length": 4096})


def test_the_divergence_is_refused_where_a_model_bends_its_logits(folder: Path) -> None:
    from tratree_data.training.losses import check_heads

    model, _ = load(folder / "weak")
    check_heads(model, model)
    model.config.logit_scale = 0.0625
    with pytest.raises(BadInputError, match="logit_scale"):
        check_heads(model)


# Several processes, and one folder


def test_a_batch_is_the_same_however_many_processes_share_it(monkeypatch: pytest.MonkeyPatch) -> None:
    from tratree_data.training.train import settings_from
    from tratree_data.training.trainers import accumulation

    for processes, passes in (("1", 8), ("2", 4), ("8", 1)):
        monkeypatch.setenv("WORLD_SIZE", processes)
        assert accumulation(settings_from({})) == passes
    monkeypatch.setenv("WORLD_SIZE", "16")
    with pytest.raises(BadInputError, match="--device-batch 2"):
        accumulation(settings_from({}))


@pytest.mark.slow
def test_two_processes_train_the_very_model_that_one_trains(folder: Path, tmp_path: Path) -> None:
    """Equation 5, whose term the trainer's averaging over processes must not weaken; one writer, one report."""
    settings = [
        "--set",
        f"previous={folder / 'weak'}",
        "--set",
        "divergence_weight=0.4",
        "--full",
        "--learning-rate",
        "0.003",
        "--max-steps",
        "3",
    ]
    settings += ["--set", "batch=4", "--device-batch", "1", "--set", "log_steps=1", "--set", "gradient_checkpointing=false"]
    command = ["tratree_data.cli", "train", str(folder / "data"), "--model", str(folder / "strong"), *settings]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    for name, start in (("one", ["-m"]), ("two", ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-m"])):
        out = ["--out", str(tmp_path / name)]
        done = subprocess.run([sys.executable, *start, *command, *out], env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert done.stderr.count("saved in") == 1
    records = [json.loads((tmp_path / name / "training.json").read_text()) for name in ("one", "two")]
    assert [record["processes"] for record in records] == [1, 2]
    assert [e["loss"] for e in records[0]["log"] if "loss" in e] == pytest.approx(
        [e["loss"] for e in records[1]["log"] if "loss" in e], abs=1e-3
    )
    one, two = load(tmp_path / "one")[0], load(tmp_path / "two")[0]
    for a, b in zip(one.parameters(), two.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-5)


def test_a_stopped_run_goes_on_with_less_memory_but_not_with_another_learning_rate(folder: Path, tmp_path: Path) -> None:
    from tratree_data.models.find import RECORD

    out = tmp_path / "out"
    train(folder / "data", model=folder / "weak", out=out, **{**FAST, "save_steps": 3})
    record = json.loads((out / RECORD).read_text())
    (out / RECORD).write_text(json.dumps({**record, "finished": False}))
    with pytest.raises(BadInputError, match="different learning_rate"):
        train(folder / "data", model=folder / "weak", out=out, **{**FAST, "learning_rate": 1e-5})
    assert train(folder / "data", model=folder / "weak", out=out, **{**FAST, "device_batch": 1}).changed


def test_a_folder_is_one_trainings_at_a_time(folder: Path, tmp_path: Path) -> None:
    from tratree_data.errors import StoreBusyError
    from tratree_data.training.runs import training_in

    with training_in(tmp_path / "out"), pytest.raises(StoreBusyError, match="Another process"):
        train(folder / "data", model=folder / "weak", out=tmp_path / "out", **FAST)


def test_a_broken_checkpoint_is_passed_over(tmp_path: Path) -> None:
    from tratree_data.training.runs import last_checkpoint

    for step, text in ((5, "{}"), (10, '{"global_st'), (15, None)):
        (tmp_path / f"checkpoint-{step}").mkdir()
        if text is not None:
            (tmp_path / f"checkpoint-{step}" / "trainer_state.json").write_text(text)
    assert last_checkpoint(tmp_path) == str(tmp_path / "checkpoint-5")


def test_a_model_names_the_sources_that_made_it(folder: Path, tmp_path: Path) -> None:
    from tratree_data.training.provenance import source_hash

    train(folder / "data", model=folder / "weak", out=tmp_path / "out", **FAST)
    code = json.loads((tmp_path / "out" / "training.json").read_text())["code"]
    assert code["source"] == source_hash()
    assert code["packages"]["torch"] == torch.__version__
    assert f"sources `{source_hash()}`" in (tmp_path / "out" / "README.md").read_text()


def test_a_finished_training_is_still_pushed(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first push may have failed: the same command then only pushes."""
    from tratree_data.training import model_cards

    pushed: list[object] = []
    monkeypatch.setattr(model_cards, "push_model", lambda *arguments: pushed.append(arguments))
    train(folder / "data", model=folder / "weak", out=tmp_path / "out", **FAST)
    assert not train(folder / "data", model=folder / "weak", out=tmp_path / "out", push="hub:lab/m", tag="v1", **FAST).changed
    assert pushed == [(tmp_path / "out", "hub:lab/m", "v1")]


# Bad input


def test_a_training_says_how_far_it_is_and_nothing_else(
    folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from tratree_data.training import reporting

    monkeypatch.setattr(reporting, "SECONDS_PER_LINE", 0.0)
    capfd.readouterr()
    train(folder / "data", model=folder / "weak", out=tmp_path / "out", **{**FAST, "max_steps": 3, "log_steps": 1})
    said = capfd.readouterr()
    assert said.out == ""
    lines = said.err.splitlines()
    assert [line.partition(", loss ")[0] for line in lines] == [f"train: step {n} of 3" for n in (1, 2, 3)], lines


def test_bad_input_is_refused_with_the_next_command(folder: Path, tmp_path: Path) -> None:
    def refused(error: type[Exception], match: str, **changes: object) -> None:
        arguments = {"model": folder / "weak", "out": tmp_path / "out", **FAST, **changes}
        with pytest.raises(error, match=match) as caught:
            train(arguments.pop("release", folder / "data"), **arguments)  # type: ignore[arg-type]
        assert "Next:" in str(caught.value) or "Did you mean" in str(caught.value)

    refused(NotFoundError, "tree-dpo", method="treedpo")
    refused(BadInputError, "Did you mean 'beta'", betta=0.2)
    refused(BadInputError, "beta must be above 0", beta=0.0)
    refused(BadInputError, "multiple of device_batch", batch=5)
    refused(BadInputError, "at least two", method="kto", device_batch=1)
    refused(BadInputError, "cannot go to 'charm'", report_to="charm")
    refused(BadInputError, "nothing to train on", kinds=("best",))
    refused(BadInputError, "nothing to train on", split="test")
    refused(BadInputError, "nothing to train on", min_score=2.0)
    refused(BadInputError, "with a margin of at least 2.0: there is nothing", method="tree-dpo", min_margin=2.0)
    refused(BadInputError, "pairs have no score", method="tree-dpo", min_score=0.5)
    refused(BadInputError, "demonstrations have no margin", min_margin=0.5)
    refused(NotFoundError, "No such folder", release=tmp_path / "nowhere")
    refused(NotFoundError, "No model", model=tmp_path)
    refused(BadInputError, "another vocabulary", method="tree-dpo", reference=str(folder / "foreign"))
    refused(NotFoundError, "no adapter_config", adapter=str(folder / "weak"))


def test_a_missing_table_names_the_verb_that_makes_it(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    with writing(tmp_path / "data"):
        commit(tmp_path / "data", "test", {"pairs": tables()["pairs"]}, settings={}, reads={})
    with pytest.raises(NotFoundError, match="tratree demonstrations"):
        train(tmp_path / "data", model=folder / "weak", out=tmp_path / "out", **FAST)


def test_a_release_trains_like_the_dataset_it_was_made_from(folder: Path, tmp_path: Path) -> None:
    from tratree_data.releases.publish import publish
    from tratree_data.training.training_data import read_table

    publish(folder / "data", tmp_path / "release", "1.0.0")
    report = train(tmp_path / "release", model=folder / "weak", out=tmp_path / "a", revision="1.0.0", **FAST)
    train(folder / "data", model=folder / "weak", out=tmp_path / "b", **FAST)
    assert report.counts["trained_rows"] == 8
    for one, other in zip(load(tmp_path / "a")[0].parameters(), load(tmp_path / "b")[0].parameters(), strict=True):
        assert torch.equal(one, other)
    record = json.loads((tmp_path / "a" / "training.json").read_text())
    assert record["data"]["revision"] == "version 1.0.0"
    with pytest.raises(NotFoundError, match=r"no version 2\.0\.0"):
        train(tmp_path / "release", model=folder / "weak", out=tmp_path / "c", revision="2.0.0", **FAST)
    assert read_table(f"{tmp_path / 'release'}@v1.0.0", "pairs")[1] == {"release": "release@v1.0.0", "revision": "version 1.0.0"}


def test_templates_without_markers_are_refused_and_one_is_offered(folder: Path) -> None:
    _, tokenizer = load(folder / "weak")
    tokenizer.chat_template = None
    with pytest.raises(BadInputError, match="--chat-template chatml"):
        training_template(tokenizer)
    assert training_template(tokenizer, "chatml") == CHAT_TEMPLATE
    tokenizer.chat_template = "{% for message in messages %}{{ message['content'] }}{% endfor %}"
    with pytest.raises(BadInputError, match="generation"):
        training_template(tokenizer)
    ids, mask = (part[0] for part in tokenize(tokenizer, CHAT_TEMPLATE, [DEMONSTRATION]))
    learnt = tokenizer.decode([token for token, on in zip(ids, mask, strict=True) if on])
    assert "open fridge" in learnt
    assert "kitchen" not in learnt


def test_an_adapter_of_another_model_is_refused(folder: Path, tmp_path: Path) -> None:
    settings = {**FAST, "full": False, "lora_rank": 4}
    train(folder / "data", model=folder / "strong", out=tmp_path / "adapter", **settings)
    with pytest.raises(BadInputError, match="does not fit"):
        train(folder / "data", model=folder / "weak", out=tmp_path / "out", adapter=str(tmp_path / "adapter"), **settings)


@pytest.mark.parametrize("method", ["sft", "tree-dpo"])
def test_a_second_training_goes_on_with_the_first_ones_adapter(folder: Path, tmp_path: Path, method: str) -> None:
    settings = {**FAST, "full": False, "lora_rank": 4, "learning_rate": 3e-2}
    train(folder / "data", model=folder / "strong", out=tmp_path / "first", **settings)
    train(folder / "data", model=tmp_path / "first", method=method, out=tmp_path / "second", **{**settings, "learning_rate": 1e-9})
    first, second, base = (load(path)[0].state_dict() for path in (tmp_path / "first", tmp_path / "second", folder / "strong"))
    assert any(not torch.allclose(first[name], base[name], atol=1e-4) for name in base)
    for name, weights in first.items():
        torch.testing.assert_close(second[name], weights, rtol=0, atol=1e-5)
    log = json.loads((tmp_path / "second" / "training.json").read_text())["log"]
    if method == "tree-dpo":
        assert log[0]["loss"] == pytest.approx(math.log(2), abs=1e-4)


def test_an_output_folder_is_never_overwritten(folder: Path, tmp_path: Path) -> None:
    train(folder / "data", model=folder / "weak", out=tmp_path / "out", **FAST)
    with pytest.raises(BadInputError, match="different seed"):
        train(folder / "data", model=folder / "weak", out=tmp_path / "out", **{**FAST, "seed": 7})
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear diary")
    with pytest.raises(BadInputError, match="contains other files"):
        train(folder / "data", model=folder / "weak", out=tmp_path / "mine", **FAST)


# To the Hub


def test_a_pushed_model_has_its_tag_last_and_a_tag_never_moves(folder: Path, tmp_path: Path) -> None:
    from helpers.loopback_hub import TOKEN, LoopbackHub

    train(folder / "data", model=folder / "weak", out=tmp_path / "model", **FAST)
    hub = LoopbackHub()
    environment = {
        **os.environ,
        "HF_ENDPOINT": hub.endpoint,
        "HF_TOKEN": TOKEN,
        "HF_HOME": str(tmp_path / "home"),
        "HF_HUB_DISABLE_XET": "1",
    }

    def push(tag: str) -> subprocess.CompletedProcess[str]:
        arguments = f"Path({str(tmp_path / 'model')!r}), 'hub:lab/strong', {tag!r}"
        script = f"from pathlib import Path; from tratree_data.training.model_cards import push_model; push_model({arguments})"
        return subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False)

    assert push("v1.0.0").returncode == 0
    repository = hub.repositories["lab/strong"]
    oid, files = repository.commits[-1]
    assert repository.tags == {"v1.0.0": oid}
    assert {"README.md", "training.json", "model.safetensors", "tokenizer.json"} <= set(files)
    assert not any(name.startswith("checkpoint") for name in files)
    assert b"**sft**" in files["README.md"]
    assert not any(str(tmp_path).encode() in content or str(folder).encode() in content for content in files.values())
    again = push("v1.0.0")
    assert again.returncode != 0
    assert "never move" in again.stderr
    assert repository.tags == {"v1.0.0": oid}


def test_full_memory_and_missing_packages_are_explained() -> None:
    from tratree_data.errors import MissingPackageError, TratreeError
    from tratree_data.training.train import explain_failures, settings_from

    for failure in (
        torch.OutOfMemoryError("CUDA out of memory"),
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: can't allocate memory"),
    ):
        with pytest.raises(TratreeError, match="--device-batch 2"), explain_failures(Path("out"), settings_from({})):
            raise failure
    with pytest.raises(MissingPackageError, match=r"tratree-data\[train\]"), explain_failures(Path("out"), settings_from({})):
        raise ModuleNotFoundError("No module named 'trl'", name="trl")
    with pytest.raises(RuntimeError, match="a bug"), explain_failures(Path("out"), settings_from({})):
        raise RuntimeError("a bug")
