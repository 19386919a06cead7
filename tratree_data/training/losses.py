"""The paper's losses on top of TRL's trainers (imported lazily: torch and trl cost seconds).

`TreeDPOTrainer` is equation 6: DPO over implicit rewards plus weight · KL(π_s ‖ π_w^SFT); without the second term it is DPO.
`ExplorerSFTTrainer` is equation 5: imitation minus λ · KL(π ‖ π') against the previous exploration policy.
`WeightedSFTTrainer` imitates each step in proportion to its credit.

TRL neither masks observations inside a completion of a preference nor has the KL term. Both are added where it allows: the mask in
the collator (its loss and its reference pass honour `completion_mask`), the term on the hidden states of the very forward passes that
its loss makes, so that it costs two projections and no extra pass. The KL is exact over the vocabulary at every token that the agent
wrote, along the trajectories of the data: by the chain rule their sum is the KL between policies, but for the states being the
data's rather than π_s's own.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from datasets import Dataset
from trl import DPOTrainer, SFTTrainer
from trl.trainer.dpo_trainer import DataCollatorForPreference
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling
from trl.trainer.utils import pad

from tratree_data.errors import BadInputError


def token_divergence(policy_logits: torch.Tensor, reference_logits: torch.Tensor) -> torch.Tensor:
    """KL(policy ‖ reference) over the vocabulary, for each row of [n, vocabulary]."""
    policy = F.log_softmax(policy_logits.float(), dim=-1)
    reference = F.log_softmax(reference_logits.float(), dim=-1)
    return (policy.exp() * (policy - reference)).sum(-1)


@dataclass
class AgentPreferenceCollator(DataCollatorForPreference):  # type: ignore[misc]
    """TRL's batch with observation turns taken out of `completion_mask`."""

    def torch_call(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
        batch: dict[str, Any] = super().torch_call(examples)
        masks = [
            torch.tensor([0] * len(example["prompt_ids"]) + list(example[f"{side}_mask"]))
            for side in ("chosen", "rejected")
            for example in examples
        ]
        agent = pad(masks, padding_value=0, padding_side="right", pad_to_multiple_of=self.pad_to_multiple_of)
        batch["completion_mask"] = batch["completion_mask"] * agent
        return batch


class TreeDPOTrainer(DPOTrainer):  # type: ignore[misc]
    """DPO on rows that `conversations.preference_rows` made, with an optional explicit KL to the reference."""

    def __init__(self, *args: Any, kl_weight: float = 0.0, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.kl_weight = kl_weight
        if kl_weight:
            check_heads(*filter(None, (self.model, self.ref_model)))
        if kl_weight and self.precompute_ref_logps:
            raise BadInputError(
                "The explicit KL term needs the reference's whole distribution, and precomputed log-probabilities do not contain it.\n"
                "Next: drop precompute_ref_log_probs, or set --kl-weight 0"
            )

    def _prepare_dataset(self, dataset: Dataset, *_: Any, **__: Any) -> Dataset:
        return dataset

    def _set_signature_columns_if_needed(self) -> None:
        super()._set_signature_columns_if_needed()
        self._signature_columns += ["chosen_mask", "rejected_mask"]

    def _compute_loss(self, model: Any, inputs: dict[str, Any], return_outputs: bool) -> Any:
        if not self.kl_weight:
            return super()._compute_loss(model, inputs, return_outputs)
        policy = self.accelerator.unwrap_model(self.model)
        reference = policy if self.ref_model is None else self.accelerator.unwrap_model(self.ref_model)
        with hidden_states(policy) as policy_states, hidden_states(reference) as reference_states:
            result = super()._compute_loss(model, inputs, return_outputs)
        states = policy_states if reference is policy else [policy_states[0], reference_states[0]]
        mask = inputs["completion_mask"][:, 1:].bool()
        tokens = token_divergence(_logits(policy, states[0], mask), _logits(reference, states[1], mask).detach())
        divergence = tokens.sum() / mask.size(0)
        self._metrics["train" if self.model.training else "eval"]["kl"].append(divergence.item())
        if return_outputs:
            return result[0] + self.kl_weight * divergence, result[1]
        return result + self.kl_weight * divergence


@dataclass
class WeightedCollator(DataCollatorForLanguageModeling):  # type: ignore[misc]
    """TRL's batch with the weight of each token."""

    def torch_call(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
        batch: dict[str, Any] = super().torch_call(examples)
        weights = [torch.tensor(example["weights"], dtype=torch.float32) for example in examples]
        batch["weights"] = pad(weights, padding_value=0.0, padding_side="right", pad_to_multiple_of=self.pad_to_multiple_of)
        return batch


class WeightedSFTTrainer(SFTTrainer):  # type: ignore[misc]
    """Imitation in which each token's loss is multiplied by its step's weight; weights of 1 are plain imitation."""

    def _set_signature_columns_if_needed(self) -> None:
        super()._set_signature_columns_if_needed()
        self._signature_columns += ["weights"]

    def compute_loss(self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None) -> Any:
        weights = inputs.pop("weights")[:, 1:]
        with returned_by(self.accelerator.unwrap_model(self.model)) as outputs:
            result = super().compute_loss(model, inputs, return_outputs=return_outputs, num_items_in_batch=num_items_in_batch)
        learnt = outputs[0].label_mask.sum() if num_items_in_batch is None else num_items_in_batch / shares(self)
        loss = -(outputs[0].log_probs * weights).sum() / learnt
        return (loss, result[1]) if return_outputs else loss


class ExplorerSFTTrainer(SFTTrainer):  # type: ignore[misc]
    """Imitation that moves away from how the model explored before."""

    def __init__(self, *args: Any, previous: Any, divergence_weight: float, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        check_heads(self.model, previous)
        self.previous = self.accelerator.prepare_model(previous, evaluation_mode=True)
        self.divergence_weight = divergence_weight

    def compute_loss(self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None) -> Any:
        policy = self.accelerator.unwrap_model(self.model)
        previous = self.accelerator.unwrap_model(self.previous)
        with hidden_states(policy) as states:
            result = super().compute_loss(model, inputs, return_outputs=return_outputs, num_items_in_batch=num_items_in_batch)
        with torch.no_grad(), hidden_states(previous) as previous_states:
            self.previous(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"], use_cache=False)
        mask = inputs["labels"][:, 1:] != -100
        tokens = token_divergence(_logits(policy, states[0], mask), _logits(previous, previous_states[0], mask).detach())
        self._metrics["train" if self.model.training else "eval"]["kl"].append(tokens.mean().item())
        divergence = tokens.mean() if num_items_in_batch is None else tokens.sum() / num_items_in_batch * shares(self)
        if return_outputs:
            return result[0] - self.divergence_weight * divergence, result[1]
        return result - self.divergence_weight * divergence


def shares(trainer: Any) -> int:
    """Weights each process's sum: the trainer counts the tokens of all processes and then averages over the processes."""
    return int(trainer.accelerator.num_processes) if trainer.args.average_tokens_across_devices else 1


@contextmanager
def hidden_states(model: Any) -> Iterator[list[torch.Tensor]]:
    """What the model's backbone returns while the block runs, pass by pass."""
    states: list[torch.Tensor] = []
    with returned_by(_causal_model(model).base_model, lambda output: states.append(output.last_hidden_state)):
        yield states


@contextmanager
def returned_by(module: Any, see: Callable[[Any], None] | None = None) -> Iterator[list[Any]]:
    """What a module returns while the block runs, pass by pass; or each is shown to `see`, and the rest of it is not kept."""
    outputs: list[Any] = []
    handle = module.register_forward_hook(lambda _module, _inputs, output: (see or outputs.append)(output))
    try:
        yield outputs
    finally:
        handle.remove()


def _causal_model(model: Any) -> Any:
    return model.get_base_model() if hasattr(model, "peft_config") else model


def _logits(model: Any, states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Logits [n, vocabulary] that predict the masked tokens."""
    return _causal_model(model).get_output_embeddings()(states[:, :-1][mask])


def check_reference(tokenizer: Any, model: Any, reference_tokenizer: Any, reference: Any) -> None:
    """Requires the same vocabulary: otherwise rewards would compare different tokens, and torch would not notice."""
    if tokenizer.get_vocab() != reference_tokenizer.get_vocab():
        raise BadInputError(
            f"The reference {reference.name_or_path} has another vocabulary ({len(reference_tokenizer):,} tokens) than "
            f"{model.name_or_path} ({len(tokenizer):,} tokens), so their probabilities cannot be compared.\n"
            "Next: name a reference of the same family, or --reference self for the strong model's own start"
        )
    sizes = [m.get_input_embeddings().weight.shape[0] for m in (model, reference)]
    if sizes[0] != sizes[1]:
        raise BadInputError(
            f"The reference {reference.name_or_path} has {sizes[1]:,} embeddings and {model.name_or_path} has {sizes[0]:,}: "
            "with one vocabulary, one of them is padded, and their softmaxes differ.\n"
            f"Next: resize both to {len(tokenizer):,} tokens (model.resize_token_embeddings), or --reference self"
        )


BENT = ("final_logit_softcapping", "logits_scaling", "logit_scale", "lm_head_multiplier", "output_multiplier")
"""Settings of models that change the logits after the head."""


def check_heads(*models: Any) -> None:
    """Refuses models that change the head's output: the KL terms read it, and would train towards another distribution than the model's."""
    for model in models:
        config = model.config.get_text_config()
        bent = next((name for name in BENT if getattr(config, name, None) not in (None, 0, 1)), None)
        if bent is not None:
            raise BadInputError(
                f"{model.name_or_path} changes its logits after the head ({bent}), which the explicit KL term does not follow.\n"
                "Next: add --kl-weight 0 (equation 6), or --set divergence_weight=0 (equation 5)"
            )
