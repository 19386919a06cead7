"""Policies: networks with one hidden layer, one for each seed, trained side by side in the same matrix products.

A policy's weights are four arrays whose first axis is the seed, so that each seed's network sees only its own rows and its own chance.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import torch
import torch.nn.functional as F

from tratree_data.environments.galley import ACTIONS
from tratree_data.experiments.tabular.batch import FEATURES
from tratree_data.experiments.tabular.examples import Imitation, Preferences

Weights = list[torch.Tensor]
"""[S, FEATURES, units], [S, 1, units], [S, units, actions], [S, 1, actions]"""
Loss = Callable[[Weights], torch.Tensor]
"""Of all networks on their next batches, summed over the seeds."""


@dataclass(frozen=True)
class Dose:
    """How long and how strongly a network is trained; the learning rate falls to zero."""

    steps: int
    learning_rate: float
    batch: int


def chance(seed: int, name: str) -> np.random.Generator:
    """A generator of a seed's own for one purpose, whatever other seeds are trained beside it."""
    return np.random.default_rng([seed, crc32(name.encode())])


def new_weights(seeds: Sequence[int], units: int, name: str) -> Weights:
    """Random networks, each seed's its own."""
    shapes = ((FEATURES, units, 6**-0.5), (1, units, 0.0), (units, len(ACTIONS), units**-0.5), (1, len(ACTIONS), 0.0))
    draws = [chance(seed, name) for seed in seeds]
    return [
        torch.tensor(np.stack([draw.normal(0.0, spread, (rows, columns)) for draw in draws]), dtype=torch.float32)
        for rows, columns, spread in shapes
    ]


def save_weights(weights: Weights, path: Path) -> None:
    whole = path.with_name(f"{path.name}.part")
    with open(whole, "wb") as file:
        np.savez(file, *(tensor.numpy() for tensor in weights))
    whole.rename(path)


def load_weights(path: Path) -> Weights:
    with np.load(path) as file:
        return [torch.from_numpy(file[name]) for name in file.files]


def log_policy(weights: Weights, x: torch.Tensor) -> torch.Tensor:
    """Log-probabilities [S, n, actions] of states [S, n, FEATURES]."""
    hidden = torch.relu(torch.baddbmm(weights[1], x, weights[0]))
    return F.log_softmax(torch.baddbmm(weights[3], hidden, weights[2]), -1)


def train(start: Weights, loss: Loss, dose: Dose) -> Weights:
    """Adam, network by network."""
    weights = [tensor.clone().requires_grad_() for tensor in start]
    optimiser = torch.optim.Adam(weights, lr=dose.learning_rate)
    for step in range(dose.steps):
        for group in optimiser.param_groups:
            group["lr"] = dose.learning_rate * (1 - step / dose.steps)
        optimiser.zero_grad()
        loss(weights).backward()
        optimiser.step()
    return [tensor.detach() for tensor in weights]


def draw_rows(
    seeds: Sequence[int], name: str, starts: np.ndarray[Any, Any], counts: np.ndarray[Any, Any], dose: Dose
) -> Iterator[torch.Tensor]:
    """Row numbers [S, batch] for every step; those of a seed without rows count as nothing (`known`)."""
    draws = [chance(seed, name) for seed in seeds]
    for _ in range(dose.steps):
        rows = [start + draw.integers(0, max(int(count), 1), dose.batch) for draw, start, count in zip(draws, starts, counts, strict=True)]
        yield torch.from_numpy(np.stack(rows))


def imitation_loss(sources: Sequence[Imitation], seeds: Sequence[int], name: str, dose: Dose) -> Loss:
    """Likelihood of what was done, each source with an equal share of every batch."""
    share = Dose(dose.steps, dose.learning_rate, dose.batch // len(sources))
    drawn = [
        (draw_rows(seeds, f"{name}/{number}", source.starts, source.counts, share), *source.tensors())
        for number, source in enumerate(sources)
    ]

    def loss(weights: Weights) -> torch.Tensor:
        parts = []
        for rows, x, action, weight, known in drawn:
            index = next(rows)
            logs = log_policy(weights, x[index].float())
            taken = logs.gather(-1, action[index].unsqueeze(-1)).squeeze(-1)
            parts.append(weight[index] * taken * known.unsqueeze(-1))
        return -torch.cat(parts, 1).mean(1).sum()

    return loss


@dataclass(frozen=True)
class Preference:
    """The terms of a preference loss: equation 6 with `kl_weight`, DPO without, and how much of the chosen side's likelihood is added."""

    beta: float
    preference_weight: float = 1.0
    likelihood_weight: float = 0.0
    kl_weight: float = 0.0


def preference_loss(pairs: Preferences, reference: Weights, terms: Preference, seeds: Sequence[int], name: str, dose: Dose) -> Loss:
    """-log σ(β · difference of the sides' log-ratios), over whole continuations; observations have no part in it."""
    rows = draw_rows(seeds, name, pairs.starts, pairs.counts, dose)
    states, actions, masks, known = pairs.tensors()

    def loss(weights: Weights) -> torch.Tensor:
        index = next(rows)
        x, action, mask = states[index], actions[index], masks[index].float()
        shape = mask.shape
        flat = x.reshape(shape[0], -1, FEATURES).float()
        logs = log_policy(weights, flat)
        with torch.no_grad():
            reference_logs = log_policy(reference, flat)
        chosen = action.reshape(shape[0], -1, 1)
        taken = logs.gather(-1, chosen).reshape(shape)
        ratios = ((taken - reference_logs.gather(-1, chosen).reshape(shape)) * mask).sum(-1)
        parts = -terms.preference_weight * F.logsigmoid(terms.beta * (ratios[..., 0] - ratios[..., 1]))
        if terms.likelihood_weight:
            likelihood = (taken[:, :, 0] * mask[:, :, 0]).sum(-1) / mask[:, :, 0].sum(-1).clamp(min=1)
            parts = parts - terms.likelihood_weight * likelihood
        if terms.kl_weight:
            divergence = (logs.exp() * (logs - reference_logs)).sum(-1).reshape(shape) * mask
            parts = parts + terms.kl_weight * divergence.sum((-1, -2))
        return (parts.mean(1) * known).sum()

    return loss
