"""The settings of a training: the paper's where it gives them, and which of them may change when a stopped run resumes."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Literal

from tratree_data.errors import BadInputError, suggest
from tratree_data.system.settings import PYTHON_ONLY, Setting, Settings, field_kinds

ROWS, LOSS, ADAPTER, OPTIMISER, RUNNING = "Rows", "Loss", "Adapter", "Optimiser", "Running"


@dataclass(frozen=True, kw_only=True)
class TrainSettings(Settings):
    """Everything that decides the result, and how it is computed (`recorded=False`). Names and order are those of training.json."""

    kinds: Annotated[Sequence[str], Setting("Kind of rows to train on, instead of the method's own.", option="kind", panel=ROWS)] = ()
    split: Annotated[str, Setting("Split of the rows.", panel=ROWS)] = "train"
    min_score: Annotated[float | None, Setting("Minimum score of demonstrations.", panel=ROWS)] = None
    min_margin: Annotated[float | None, Setting("Minimum margin of pairs.", panel=ROWS)] = None
    adapter: Annotated[str | None, Setting("LoRA adapter to merge into the model first.", panel=ADAPTER)] = None
    chat_template: Annotated[str | None, Setting("A .jinja file, chatml or llama2.", panel=ROWS)] = None
    reference: Annotated[str, Setting("Reference of equation 6: the weak model, or self (plain DPO).", panel=LOSS)] = "self"
    beta: Annotated[float, Setting("β of DPO, KTO and equation 6, above 0.", panel=LOSS)] = 0.1
    kl_weight: Annotated[
        float | None, Setting("Weight of the explicit KL term; β if --reference names a model, else 0.", minimum=0, panel=LOSS)
    ] = None
    likelihood_weight: Annotated[float, Setting("Weight of the chosen side's likelihood, for preferences.", panel=LOSS)] = 0.0
    previous: Annotated[str | None, Setting("Previous explorer of equation 5.", panel=LOSS)] = None
    divergence_weight: Annotated[float, Setting("λ of equation 5; needs --previous.", panel=LOSS)] = 0.0
    full: Annotated[bool, Setting("Train all weights instead of a LoRA adapter.", panel=ADAPTER)] = False
    lora_rank: Annotated[int, Setting("Rank of the adapter.", panel=ADAPTER)] = 64
    lora_alpha: Annotated[int, Setting("Scale of the adapter.", panel=ADAPTER)] = 128
    lora_dropout: Annotated[float, Setting("Dropout of the adapter.", minimum=0, maximum=1, panel=ADAPTER)] = 0.0
    learning_rate: Annotated[float | None, Setting("1e-5 to imitate, 2e-5 for preferences, as in the paper.", panel=OPTIMISER)] = None
    schedule: Annotated[str, Setting("Schedule of the learning rate.", panel=OPTIMISER)] = "cosine"
    warmup_ratio: Annotated[float, Setting("Share of the steps used for warm-up.", minimum=0, maximum=1, panel=OPTIMISER)] = 0.03
    weight_decay: Annotated[float, Setting("Weight decay of AdamW.", minimum=0, panel=OPTIMISER)] = 0.0
    epochs: Annotated[float, Setting("Passes over the rows, more than 0.", panel=OPTIMISER)] = 3.0
    max_steps: Annotated[int | None, Setting("Stop after this many steps.", minimum=1, panel=OPTIMISER)] = None
    batch: Annotated[int, Setting("Rows per step, over all devices.", minimum=1, panel=OPTIMISER)] = 32
    device_batch: Annotated[
        int, Setting("Rows per device at once; gradients accumulate up to the batch.", minimum=1, recorded=False, panel=RUNNING)
    ] = 4
    max_length: Annotated[int, Setting("Maximum length of a row, in tokens.", minimum=8, panel=ROWS)] = 4096
    too_long: Annotated[Literal["cut", "drop"], Setting("Cut longer rows after a turn, or drop them; counted.", panel=ROWS)] = "cut"
    gradient_checkpointing: Annotated[bool, Setting("Save memory by recomputing activations.", recorded=False, panel=RUNNING)] = True
    bf16: Annotated[bool | None, Setting("Train in bfloat16; by default where the device has it.", panel=RUNNING)] = None
    save_steps: Annotated[int, Setting("Steps between checkpoints.", minimum=1, recorded=False, panel=RUNNING)] = 500
    log_steps: Annotated[int, Setting("Steps between entries of the log.", minimum=1, recorded=False, panel=RUNNING)] = 10
    seed: Annotated[int, Setting("Random seed.", panel=RUNNING)] = 0
    validation: Annotated[str | None, Setting("Split to validate on, or a share of the tasks to hold out, such as 0.1.", panel=ROWS)] = None
    patience: Annotated[
        int | None, Setting("Stop after this many validations without a lower loss; keep the best.", minimum=1, panel=OPTIMISER)
    ] = None
    weights: Annotated[str | None, Setting("Method of step_credits whose weights scale each step's loss.", panel=LOSS)] = None
    trainer: Annotated[Mapping[str, Any] | None, Setting("Options of TRL's own config.", option=PYTHON_ONLY, panel=RUNNING)] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        rules = {
            "beta must be above 0": self.beta > 0,
            "batch must be a multiple of device_batch": self.batch % self.device_batch == 0,
            "epochs must be above 0": self.epochs > 0,
            "lora_rank must be above 0": self.full or self.lora_rank > 0,
            "divergence_weight needs previous, the earlier exploration policy": not self.divergence_weight or self.previous is not None,
            "weights are for sft and mcts-sft": self.weights is None or getattr(self, "method", "sft") in ("sft", "mcts-sft"),
            "trainer.eval_steps needs validation, the rows to evaluate": self.validation is not None
            or "eval_steps" not in (self.trainer or {}),
            "patience needs validation, the rows whose loss decides": self.patience is None or self.validation is not None,
            "weights and divergence_weight cannot be combined": self.weights is None or not self.divergence_weight,
            "weights need rows that are not packed, and TRL's usual loss": self.weights is None
            or not {"packing", "loss_type"} & {*(self.trainer or {})},
            "divergence_weight needs rows that are not packed": not self.divergence_weight or not (self.trainer or {}).get("packing"),
            "4-bit and 8-bit weights cannot be trained, only adapters can: drop full": not (self.full and self.quantised),
        }
        for rule, holds in rules.items():
            if not holds:
                raise BadInputError(f"{rule}.\nNext: change that setting")

    @property
    def quantised(self) -> bool:
        return any((self.trainer or {}).get(key) for key in ("load_in_4bit", "load_in_8bit"))

    def deciding(self) -> dict[str, Any]:
        """All settings of the training, as training.json keeps them: without those of `TrainOptions`."""
        return {field.name: getattr(self, field.name) for field in fields(TrainSettings)}


@dataclass(frozen=True, kw_only=True)
class TrainOptions(TrainSettings):
    """What `tratree train` takes besides a release: the model, where it goes, and all settings."""

    model: Annotated[str | Path, Setting("The model to start from: a folder or a Hub id.", recorded=False)]
    out: Annotated[str | Path, Setting("The new model's folder; a stopped run resumes from its last checkpoint.", recorded=False)]
    method: Annotated[str, Setting("sft, mcts-sft, tree-dpo, unstructured-dpo, eto or kto.", recorded=False)] = "sft"
    revision: Annotated[str | None, Setting("The release's version, if RELEASE does not name it.", recorded=False, panel=ROWS)] = None
    report_to: Annotated[str, Setting("Where to send the training curves: none, trackio or wandb.", recorded=False, panel=RUNNING)] = "none"
    push: Annotated[str | None, Setting("Upload the model to hub:org/name.", recorded=False, panel=RUNNING)] = None
    tag: Annotated[str | None, Setting("Version tag of the upload, created last.", recorded=False, panel=RUNNING)] = None


HOW_ONLY = tuple(name for name, (_, setting) in field_kinds(TrainSettings).items() if not setting.recorded)
"""Settings that do not change the result: a run that ran out of memory can resume with other values."""


def settings_from(values: dict[str, Any]) -> TrainSettings:
    """Named values → settings; an unknown name is refused."""
    known = {field.name for field in fields(TrainSettings)}
    for name in values:
        if name not in known:
            raise BadInputError(f"train has no setting {name!r}.{suggest(name, known)}")
    return TrainSettings(**values)


def parse_settings(texts: Sequence[str]) -> dict[str, Any]:
    """['seed=3', 'too_long=drop', 'trainer.packing=true'] → {'seed': 3, 'too_long': 'drop', 'trainer': {'packing': True}}."""
    values: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise BadInputError(f"{text!r} is not a setting.\nNext: write name=value, such as --set seed=3")
        group, dot, key = name.partition(".")
        if dot and group != "trainer":
            raise BadInputError(f"train has no settings {group}.….\nNext: --set trainer.{key}={value} for an option of TRL's own config")
        place = values.setdefault(group, {}) if dot else values
        try:
            place[key or name] = json.loads(value)
        except ValueError:
            place[key or name] = value
    return values


def check_report(report_to: str) -> None:
    """Refuses unknown reporters and those that are not installed, before anything is loaded."""
    if report_to not in ("none", "trackio", "wandb"):
        raise BadInputError(f"Curves cannot go to {report_to!r}.\nNext: --report-to none, trackio or wandb")
    if report_to != "none" and find_spec(report_to) is None:
        raise BadInputError(f"{report_to} is not installed.\nNext: pip install {report_to}, or --report-to none")
