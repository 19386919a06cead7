"""A block of seeds: their models, datasets and arms, each made when it is first asked for, and none made twice.

Seeds share a dataset, because a stage costs some seconds however few tasks it has; the seed is part of the task. Rollouts are played
on arrays, and from there on trees, search, states, pairs and demonstrations are the package's own stages.

    DIR/block-0/models/weak.npz          the networks of all seeds
    DIR/block-0/data/weak/               a dataset: explorations, trees, states, paths, pairs, demonstrations
    DIR/block-0/arms/tree_dpo/done.json  the scores, seed by seed
"""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tratree_data.environments.galley import SPLITS, Galley
from tratree_data.errors import BadInputError, suggest
from tratree_data.experiments.artifacts import finish, gather, is_done
from tratree_data.experiments.derive import derive
from tratree_data.experiments.recipe import Recipe
from tratree_data.experiments.tabular.batch import Kitchens
from tratree_data.experiments.tabular.examples import Imitation, Preferences, read_credits, read_demonstrations, read_pairs
from tratree_data.experiments.tabular.networks import (
    Dose,
    Loss,
    Preference,
    Weights,
    imitation_loss,
    load_weights,
    new_weights,
    preference_loss,
    save_weights,
    train,
)
from tratree_data.experiments.tabular.playing import Choose, following, greedily, play, sampling, store_rollouts
from tratree_data.experiments.tabular.verifying import verify_block
from tratree_data.preferences.settings import PAIR_KINDS
from tratree_data.store.reader import open_store
from tratree_data.store.writing.writer import writing

SHARED = ("environment", "models", "training", "data")
"""Sections of the recipe that everything in a block depends on."""
METHODS = {"sft": "expert", "path": "path", "best": "best", "success": "success"}
"""Which demonstrations are imitated."""
CREDITS = {"gigpo": "advantage", "gigpo-mean": "advantage", "hgpo": "advantage", "awr": "weight", "rwr": "weight"}


class Block:
    """Some seeds of an experiment."""

    def __init__(self, plan: Recipe, folder: Path, seeds: Sequence[int]) -> None:
        self.plan, self.folder, self.seeds = plan, folder, tuple(seeds)
        self.environment: dict[str, Any] = plan["environment"]
        self.models: dict[str, Weights] = {}
        self.rows: dict[tuple[str, str, float, bool], Imitation | Preferences] = {}
        torch.set_num_threads(1)  # the matrix products are too small for more

    def run(self, arms: Sequence[str]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        with writing(self.folder):
            made = {section: self.plan.get(section, {}) for section in SHARED} | {"seeds": list(self.seeds)}
            if not is_done(self.folder, made):
                finish(self.folder, made, {})
            for arm in arms:
                self.arm(arm)

    def arm(self, name: str) -> None:
        """Plays every seed's held-out tasks with its network of this arm."""
        out, settings = self.folder / "arms" / name, self.plan["arms"][name]
        if is_done(out, settings):
            return
        started = time.process_time()
        weights = self.model(settings.get("model", name))
        trained = time.process_time()
        finish(out, settings, self.scores(weights, int(settings.get("best_of", 1)), name) | {
            "training_seconds": round(trained - started, 2), "playing_seconds": round(time.process_time() - trained, 2),
        })  # fmt: skip

    def scores(self, weights: Weights, best_of: int, name: str) -> dict[str, list[float]]:
        """Of each seed, over its held-out tasks; greedy, or the best of several sampled attempts."""
        split, tasks = self.environment["test_split"], int(self.environment["test_tasks"])
        numbers = np.tile(np.repeat(np.asarray(SPLITS[split][:tasks]), best_of), (len(self.seeds), 1))
        choose = greedily(weights) if best_of == 1 else sampling(weights, self.seeds, f"test/{name}")
        played = play(Kitchens(self.seeds, numbers), choose, record=False)
        best = played.scores.reshape(len(self.seeds), tasks, best_of).max(-1)
        values = {"reward": best.mean(1), "success": (best == 1).mean(1), "steps": played.lengths.mean(1)}
        return {metric: [round(float(value), 6) for value in seeds] for metric, seeds in values.items()}

    # Models

    def model(self, name: str) -> Weights:
        if name not in self.models:
            path = self.folder / "models" / f"{name}.npz"
            if path.is_file():
                self.models[name] = load_weights(path)
            else:
                self.models[name] = self.make(name)
                path.parent.mkdir(parents=True, exist_ok=True)
                save_weights(self.models[name], path)
        return self.models[name]

    def make(self, name: str) -> Weights:
        if name in self.plan["models"]:
            return new_weights(self.seeds, int(self.plan["models"][name]["units"]), name)
        settings = self.plan.get("training", {}).get("defaults", {}) | (self.plan.get("training", {}).get(name) or self.plan["arms"][name])
        dose = Dose(int(settings["steps"]), float(settings["learning_rate"]), int(settings["batch"]))
        start = self.model(settings["start"])
        return train(start, self._loss(name, settings, start, dose), dose)

    def _loss(self, name: str, settings: dict[str, Any], start: Weights, dose: Dose) -> Loss:
        rows = self._read(settings["data"], settings["method"], float(settings.get("min_score", 0.0)), bool(settings.get("verified_only")))
        if isinstance(rows, Preferences):
            reference = start if settings.get("reference", "self") == "self" else self.model(settings["reference"])
            terms = Preference(**{key: float(settings[key]) for key in Preference.__dataclass_fields__ if key in settings})
            return preference_loss(rows, reference, terms, self.seeds, name, dose)
        sources = [rows]
        if "mix" in settings:
            sources += [mixed for mixed in [self._read(settings["mix"], "sft", 0.0)] if isinstance(mixed, Imitation)]
        return imitation_loss(sources, self.seeds, name, dose)

    def _read(self, data: str, method: str, min_score: float, verified_only: bool = False) -> Imitation | Preferences:
        """The rows that a method trains on, read once for all arms."""
        key = (data, method, min_score, verified_only)
        if key not in self.rows:
            store = open_store(self.data(data))
            if method in PAIR_KINDS:
                self.rows[key] = read_pairs(store, self.seeds, method, verified_only)
            elif method in CREDITS:
                self.rows[key] = read_credits(store, self.seeds, method, CREDITS[method])
            elif method in METHODS:
                self.rows[key] = read_demonstrations(store, self.seeds, METHODS[method], min_score)
            else:
                raise BadInputError(f"{method!r} is not a method.{suggest(method, (*METHODS, *PAIR_KINDS, *CREDITS))}")
        return self.rows[key]

    # Datasets

    def data(self, name: str) -> Path:
        out, settings = self.folder / "data" / name, self.plan["data"][name]
        if is_done(out, settings):
            return out
        started = time.process_time()
        if "copy" in settings:
            gather([self.data(source) for source in settings["copy"]], out, settings.get("attempts"))
        else:
            self._explore(name, out, settings)
        if "verify" in settings:
            explorer = settings["verify"]["explorer"]
            built = settings.get("build", {"embedder": "exact"})
            verify_block(out, settings["verify"], self.seeds, explorer, self.model(explorer), built)
        explored = time.process_time()
        counts = [note.counts for note in derive(out, settings, self.environment["name"])]
        seconds = {"exploring_seconds": round(explored - started, 2), "stages_seconds": round(time.process_time() - explored, 2)}
        finish(out, settings, {"counts": counts, **seconds})
        return out

    def _explore(self, name: str, out: Path, settings: dict[str, Any]) -> None:
        """Attempts of a network at the first training tasks, or the expert's one each."""
        tasks, attempts = int(settings["tasks"]), int(settings.get("attempts", 1))
        first = int(settings.get("from_task", 0))
        numbers = np.tile(np.repeat(np.asarray(SPLITS["train"][first : first + tasks]), attempts), (len(self.seeds), 1))
        agent, model, choose = self._player(name, settings, first, tasks)
        played = play(Kitchens(self.seeds, numbers), choose)
        store_rollouts(out, played, self.seeds, range(first, first + tasks), attempts, agent, model, float(settings.get("noise", 0.0)))

    def _player(self, name: str, settings: dict[str, Any], first: int, tasks: int) -> tuple[str, str | None, Choose]:
        if "explorer" in settings:
            explorer = settings["explorer"]
            return "network", explorer, sampling(self.model(explorer), self.seeds, settings.get("draws", name))
        galley = Galley()
        plans = [[galley.expert_actions(f"{seed}/train/{task}") or [] for task in range(first, first + tasks)] for seed in self.seeds]
        return "expert", None, following(plans)
