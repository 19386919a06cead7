"""Training against plain TRL on the same rows: the share of its speed that ours has; and the time to load and format 100,000 pairs.

    python -m benchmarks.train [--rows 256] [--rounds 5] [--pairs 100000] [--out FILE]

Both sides train the same small Llama with the same settings on the same conversations, in turns, and the median of each counts. TRL's
side masks observations in imitation, as it can, and not in preferences, where it cannot. Prints one JSON object.
"""

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
from datasets import Dataset
from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer

from tratree_data import __version__
from tratree_data.experiments.small_models import make_model, make_tokenizer
from tratree_data.models.chat_templates import training_template
from tratree_data.models.loading import load_model, load_tokenizer
from tratree_data.store.schemas import table_from_rows
from tratree_data.store.writing.writer import commit, create_store, writing
from tratree_data.training.token_rows import Lengths
from tratree_data.training.train import prepare, settings_from
from tratree_data.training.trainers import make_trainer
from tratree_data.training.training_data import training_rows

BATCH = 8
WORDS = [f"word{i}" for i in range(500)]


def say(role: str, length: int, seed: int) -> dict[str, str]:
    return {"role": role, "content": " ".join(WORDS[(seed * 7919 + i * 104729) % len(WORDS)] for i in range(length))}


def conversation(turns: int, seed: int, observation: int = 40, action: int = 8) -> list[dict[str, str]]:
    return [
        say(role, length, seed * 31 + 2 * turn + part)
        for turn in range(turns)
        for part, (role, length) in enumerate((("user", observation), ("assistant", action)))
    ]


def preference(seed: int) -> dict[str, Any]:
    whole = conversation(5, seed)
    other = conversation(5, seed + 1)
    return {"prompt": whole[:3], "chosen": whole[3:], "rejected": other[3:]}


def settings(steps: int) -> Any:
    sizes = {"batch": BATCH, "device_batch": BATCH, "max_steps": steps, "log_steps": 10}
    return settings_from(
        {**sizes, "full": True, "bf16": False, "gradient_checkpointing": False, "learning_rate": 1e-4, "save_steps": 10**6}
    )


def plain_arguments(folder: Path, steps: int) -> dict[str, Any]:
    batch = {"per_device_train_batch_size": BATCH, "max_steps": steps, "max_length": None, "learning_rate": 1e-4, "warmup_steps": 0.03}
    rest = {"lr_scheduler_type": "cosine", "gradient_checkpointing": False, "bf16": False, "use_cpu": True, "dataloader_pin_memory": False}
    return {
        "output_dir": str(folder),
        **batch,
        **rest,
        "report_to": "none",
        "save_strategy": "no",
        "disable_tqdm": True,
        "logging_steps": 10,
    }


def trainers(method: str, base: Path, scratch: Path, rows: int) -> dict[str, Any]:
    """{'ours': …, 'plain': …}, each ready to train for one pass over the rows."""
    tokenizer, steps = load_tokenizer(str(base)), rows // BATCH
    template = training_template(tokenizer)
    if method == "sft":
        data = [{"messages": conversation(6, seed)} for seed in range(rows)]
        table = "demonstrations"
        plain = SFTTrainer(
            load_model(str(base)),
            SFTConfig(**plain_arguments(scratch, steps), assistant_only_loss=True),
            train_dataset=Dataset.from_list(data),
            processing_class=tokenizer,
        )
    else:
        data = [preference(seed) for seed in range(rows)]
        table = "pairs"
        plain = DPOTrainer(
            load_model(str(base)),
            ref_model=load_model(str(base)),
            args=DPOConfig(**plain_arguments(scratch, steps)),
            train_dataset=Dataset.from_list(data),
            processing_class=tokenizer,
        )
    prepared = prepare(pa.Table.from_pylist(data), table, tokenizer, template, Lengths(None))
    ours = make_trainer(method, load_model(str(base)), (tokenizer, template), prepared, folder=scratch, settings=settings(steps))
    return {"ours": ours, "plain": plain}


def speed(method: str, base: Path, scratch: Path, rows: int, rounds: int) -> dict[str, Any]:
    seconds: dict[str, list[float]] = {"ours": [], "plain": []}
    for number in range(rounds):
        pair = trainers(method, base, scratch, rows)
        for name in ("ours", "plain") if number % 2 else ("plain", "ours"):
            started = time.process_time()
            pair[name].train()
            seconds[name].append(time.process_time() - started)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    return {
        "rows": rows,
        "rounds": rounds,
        "rows_a_second": {name: round(rows / median, 1) for name, median in medians.items()},
        "share_of_plain_trl": round(medians["plain"] / medians["ours"], 3),
        "seconds": {name: [round(value, 2) for value in values] for name, values in seconds.items()},
    }


def loading(base: Path, scratch: Path, pairs: int) -> dict[str, Any]:
    """Seconds from a dataset on disk to token rows, ours for all pairs; TRL's own preparation for a tenth of them."""
    shared = {"tree_id": "t", "environment": "e", "task_id": "t", "split": "train", "kind": "divergence", "node_id": "n"}
    shared |= {"chosen_node_id": "a", "rejected_node_id": "b", "chosen_rollout_id": "x", "rejected_rollout_id": "y"}
    rows = [
        {**shared, "pair_id": f"{seed:08d}", "chosen_score": 1.0, "rejected_score": 0.0, "margin": 1.0, **preference(seed)}
        for seed in range(pairs)
    ]
    create_store(scratch / "data")
    with writing(scratch / "data"):
        commit(scratch / "data", "benchmark", {"pairs": table_from_rows("pairs", rows)}, settings={}, reads={})
    del rows
    tokenizer = load_tokenizer(str(base))
    started = time.perf_counter()
    table, _ = training_rows(scratch / "data", "tree-dpo")
    loaded = time.perf_counter() - started
    prepare(table, "pairs", tokenizer, training_template(tokenizer), Lengths(4096))
    formatted = time.perf_counter() - started - loaded
    some = Dataset.from_list([preference(seed) for seed in range(pairs // 10)])
    started = time.perf_counter()
    DPOTrainer(
        load_model(str(base)),
        load_model(str(base)),
        DPOConfig(**plain_arguments(scratch, 1)),
        train_dataset=some,
        processing_class=tokenizer,
    )
    plain = (time.perf_counter() - started) * 10
    return {
        "pairs": pairs,
        "load_seconds": round(loaded, 1),
        "format_seconds": round(formatted, 1),
        "plain_trl_format_seconds_for_as_many": round(plain, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--pairs", type=int, default=100_000)
    parser.add_argument("--out")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        base = make_model(scratch / "base", make_tokenizer(WORDS), width=128, layers=3)
        results: dict[str, Any] = {"code": __version__}
        for name, method in (("sft", "sft"), ("tree-dpo", "tree-dpo")):
            results[name] = speed(method, base, scratch / name, arguments.rows, arguments.rounds)
        results["loading"] = loading(base, scratch, arguments.pairs)
    text = json.dumps(results, indent=2)
    print(text)
    if arguments.out:
        Path(arguments.out).write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
