"""Estimates of a training's memory and hours before it is run, by rules of thumb.

Memory on each GPU, data parallel with LoRA: the frozen weights of policy and reference in bfloat16 (split over `shards` GPUs where the
weights are sharded), adapters with gradients and Adam's two moments in 32 bits, the activations that gradient checkpointing keeps (one
hidden state a layer) and one layer's recomputation, and the logits. A tenth is added for the allocator.

Hours: 6 floating-point operations a parameter and token (2 forward, 4 backward; with LoRA the weights' own gradients are not needed, and
the recomputation of checkpointing takes that saving again), 2 more for a reference's forward pass. Preferences have two sides.
"""

from dataclasses import dataclass
from math import inf
from typing import Any

from tratree_data.training.settings import TrainSettings

PREFERENCES = ("tree-dpo", "unstructured-dpo", "eto")
ADAPTER_PARAMETERS = 20 * 64
"""A unit of width and layer: rank 64 on every linear layer is 19 to 20 times rank × width × layers in Llama-2 and 3, and Qwen2.5."""
ADAPTER_GIB = 1.0
SUPERVISED_TOKENS = 512
"""Tokens of a row whose logits are needed: TRL's fused head skips all others."""
SLACK = 1.1


@dataclass(frozen=True)
class Training:
    """One training of a recipe, as far as its costs go."""

    name: str
    billions: float
    layers: int
    width: int
    vocabulary: int
    epochs: float
    tokens_a_row: float
    sides: int
    reference_billions: float
    device_batch: int
    length: int
    rows_a_task: int
    full: bool
    shards: int
    most_rows: float
    """All steps together, where the recipe limits their number; else infinite."""

    @property
    def shares_base(self) -> bool:
        """With LoRA, a reference of the same model is that model without its adapter."""
        return self.reference_billions == self.billions and not self.full


def flatten_trainings(recipe: dict[str, Any]) -> list[Training]:
    """Every training of the recipe with the shape of its model and reference."""
    machine = recipe["estimate"]
    named = {**recipe.get("training", {}), **{name: arm for name, arm in recipe["arms"].items() if "method" in arm}}
    defaults = named.pop("defaults", {})
    found = []
    for name, own in named.items():
        settings = {**defaults, **own}
        model = _base(recipe, settings["start"])
        preference = settings["method"] in PREFERENCES
        reference = model if settings.get("reference", "self") == "self" else _base(recipe, settings["reference"])
        found.append(
            Training(
                name=name,
                billions=model["billions"],
                layers=model["layers"],
                width=model["width"],
                vocabulary=model["vocabulary"],
                epochs=float(settings.get("epochs", 3.0)),
                tokens_a_row=float(machine["tokens_a_row"]),
                sides=2 if preference else 1,
                reference_billions=reference["billions"] if preference else 0.0,
                device_batch=int(settings.get("device_batch", 4)),
                length=int(settings.get("max_length", 4096)),
                rows_a_task=_rows_a_task(recipe, settings["data"]) if preference else 1,
                full=bool(settings.get("full", False)),
                shards=int(machine.get("shards", 1)),
                most_rows=settings["max_steps"] * int(settings.get("batch", TrainSettings.batch)) if "max_steps" in settings else inf,
            )
        )
    return found


def _rows_a_task(recipe: dict[str, Any], data: str) -> int:
    """The maximum pairs per task; 1 for a dataset without such a limit."""
    return int(recipe.get("data", {}).get(data, {}).get("pairs", {}).get("max_pairs_per_task", 1))


def _base(recipe: dict[str, Any], name: str) -> dict[str, Any]:
    """The model of [models] that a chain of trainings starts from."""
    while name not in recipe["models"]:
        name = (recipe.get("training", {}).get(name) or recipe["arms"][name])["start"]
    model: dict[str, Any] = recipe["models"][name]
    return model


def memory_gib(training: Training) -> float:
    """Memory on each GPU."""
    frozen = training.billions + (0 if training.shares_base else training.reference_billions)
    weights = 2e9 * frozen / training.shards
    trained = (16e9 * training.billions if training.full else 16 * ADAPTER_PARAMETERS * training.width * training.layers) / training.shards
    rows = training.device_batch * training.sides
    states = 2 * rows * training.length * training.width * training.layers
    one_layer = 34 * rows * training.length * training.width
    logits = 12 * rows * SUPERVISED_TOKENS * training.vocabulary
    return SLACK * (weights + trained + states + one_layer + logits) / 2**30


def hours(training: Training, machine: dict[str, Any], tasks: int) -> float:
    """Hours on all GPUs together: one demonstration a task, or as many pairs as the recipe takes at most."""
    rows = min(tasks * training.rows_a_task * training.epochs, training.most_rows)
    tokens = rows * training.tokens_a_row * training.sides
    operations = tokens * 1e9 * (6 * training.billions + 2 * training.reference_billions)
    speed = float(machine["gpus"] * machine["tflops"] * 1e12 * machine["utilisation"])
    return operations / speed / 3600
