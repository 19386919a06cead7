"""From weak to strong, as the paper's table 1: a recipe of models, data and arms → scores on held-out tasks, seed by seed.

Every step is a verb of this package on a folder of its own (explore, build, search, pairs, demonstrations, train, evaluate), and each of
those skips finished work; so a stopped experiment resumes, and its parts can be viewed with `tratree show`.

    DIR/seed-0/expert/                expert rollouts and demonstrations          [data.expert]
    DIR/seed-0/models/weak/           what each model is made of                  [models.…], [training.…], [arms.…]
    DIR/seed-0/data/weak/             a store: explorations, trees, pairs, paths  [data.…]
    DIR/seed-0/evaluations/tree-dpo/  a store: held-out episodes and scores       [arms.…]
    DIR/results.json                  every arm's scores, and the paired tests that the recipe asks for
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from tratree_data.environments import make_environment
from tratree_data.errors import BadInputError, suggest
from tratree_data.evaluation.evaluate import agent_specification, evaluate
from tratree_data.experiments.arm_results import collect
from tratree_data.experiments.artifacts import conversations_of, finish, gather, is_done
from tratree_data.experiments.derive import derive
from tratree_data.experiments.recipe import Recipe, in_environment, launcher_of, read_experiment
from tratree_data.exploration.explore import explore
from tratree_data.results import StageResult
from tratree_data.store.reader import open_store
from tratree_data.store.writing.writer import writing
from tratree_data.training.train import train


def run_experiment(
    recipe: str | Path,
    directory: str | Path,
    *,
    environment: str = "",
    seeds: tuple[int, ...] = (0,),
    processes: int = 1,
    arms: tuple[str, ...] = (),
) -> StageResult:
    """All arms (or those named) for all seeds; finished work is not repeated."""
    plan = in_environment(read_experiment(recipe), environment)
    for arm in arms:
        if arm not in plan["arms"]:
            raise BadInputError(f"The recipe has no arm {arm!r}.{suggest(arm, plan['arms'])}")
    folder = Path(directory)
    folder.mkdir(parents=True, exist_ok=True)
    requested = tuple(arms) or tuple(plan["arms"])
    started = time.monotonic()
    if processes > 1 and len(seeds) > 1:
        spawn = get_context("spawn")
        with ProcessPoolExecutor(min(processes, len(seeds)), spawn, initializer=end_with, initargs=(os.getpid(),)) as pool:
            for _ in pool.map(run_seed, [plan] * len(seeds), [folder] * len(seeds), seeds, [requested] * len(seeds)):
                write_results(plan, folder)
    else:
        for seed in seeds:
            run_seed(plan, folder, seed, requested)
            write_results(plan, folder)
    results = write_results(plan, folder)
    done = {"seeds": len(seeds), "arms": len(results["arms"])}
    return StageResult("experiment", True, done, (f"{time.monotonic() - started:.0f} s; the table is in {folder / 'results.json'}",))


def write_results(plan: Recipe, folder: Path) -> dict[str, Any]:
    """The table of what is finished, whole or not at all."""
    results = collect(plan, folder)
    whole = folder / "results.json.part"
    whole.write_text(json.dumps(results, indent=1), encoding="utf-8")
    whole.rename(folder / "results.json")
    return results


def run_seed(plan: Recipe, folder: Path, seed: int, arms: tuple[str, ...]) -> None:
    """Runs the seeds, each arm after arm; several seeds run in separate processes, each with its share of the cores."""
    import torch

    torch.set_num_threads(max(1, int(plan["environment"].get("threads", 1))))
    torch.set_float32_matmul_precision(plan["environment"].get("matmul_precision", "highest"))
    run = Run(plan, folder / f"seed-{seed}", seed)
    run.folder.mkdir(parents=True, exist_ok=True)
    with writing(run.folder):
        for arm in arms:
            run.arm(arm)


def end_with(parent: int) -> None:
    """Ends a seed's process when the experiment is killed; otherwise it would keep training next to the one that is started next."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()


class Run:
    """One seed's models, data and evaluations, each made when it is first asked for."""

    def __init__(self, plan: Recipe, folder: Path, seed: int) -> None:
        self.plan, self.folder, self.seed = plan, folder, seed
        self.environment: dict[str, Any] = plan["environment"]
        self.ready: set[Path] = set()

    def say(self, text: str) -> None:
        with open(self.folder / "log.txt", "a", encoding="utf-8") as log:
            log.write(f"{time.strftime('%H:%M:%S')} {text}\n")
        if sys.stderr.isatty():
            print(f"seed {self.seed}: {text}", file=sys.stderr)

    def arm(self, name: str) -> None:
        """Plays the held-out tasks with the arm's model."""
        settings = self.plan["arms"][name]
        out = self.folder / "evaluations" / name
        if is_done(out, settings):
            return
        started = time.monotonic()
        best_of = int(settings.get("best_of", 1))
        model = self.model(settings.get("model", name))
        report = evaluate(
            model,
            self.environment["name"],
            out,
            split=self.environment.get("test_split", "test"),
            tasks=self.environment.get("test_tasks"),
            seeds=int(settings.get("seeds", self.environment.get("test_seeds", 1))),
            best_of=best_of,
            agent=self.environment.get("agent", "transformers"),
            temperature=settings.get("temperature", 1.0 if best_of > 1 else self.environment.get("test_temperature", 0.0)),
            **self._exploration(),
        )
        finish(out, settings, {"seconds": round(time.monotonic() - started, 1)})
        self.say(f"{name}: {'; '.join(report.notes)} ({time.monotonic() - started:.0f} s)")

    def model(self, name: str) -> str:
        """The folder (or Hub id) of a model, made or trained if it is not there."""
        if name in self.plan["models"]:
            settings = self.plan["models"][name]
            if "first_layers" in settings:
                return str(self._first_layers(name, settings))
            return str(settings["path"]) if "path" in settings else str(self._small_model(name, settings))
        folder = self.folder / "models" / name
        if folder not in self.ready:
            self._train(name, folder)
            self.ready.add(folder)
        return str(folder)

    def _train(self, name: str, folder: Path) -> None:
        own = self.plan.get("training", {}).get(name) or self.plan["arms"][name]
        settings = {**self.plan.get("training", {}).get("defaults", {}), **own, "seed": self.seed}
        start, data, method = self.model(settings.pop("start")), self.data(settings.pop("data")), settings.pop("method")
        for unrelated in ("best_of", "temperature", "seeds", "model", "paper"):
            settings.pop(unrelated, None)
        if settings.get("reference", "self") != "self":
            settings["reference"] = self.model(settings["reference"])
        launcher = launcher_of(self.plan)
        if launcher:
            _launch(launcher, data, {"model": start, "method": method, "out": str(folder), **settings})
            return
        report = train(data, model=start, method=method, out=folder, **settings)
        if report.changed:
            self.say(f"trained {name}: {report.counts} {'; '.join(report.notes)}")

    def _first_layers(self, name: str, settings: dict[str, Any]) -> Path:
        """The first layers of a pretrained model, which are a weaker one with the same tokenizer."""
        from tratree_data.experiments.small_models import keep_first_layers

        folder = self.folder / "models" / name
        if not is_done(folder, settings):
            keep_first_layers(settings["path"], folder, settings["first_layers"])
            finish(folder, settings, {})
        return folder

    def _small_model(self, name: str, settings: dict[str, Any]) -> Path:
        """A model from scratch, trained on random play: it replaces a pretrained one."""
        from tratree_data.experiments.small_models import make_model, make_tokenizer, school

        folder = self.folder / "models" / name
        if (folder / "schooled.json").is_file():
            return folder
        play = self._play()
        store = open_store(play)
        texts = store.sql(
            "SELECT DISTINCT observation AS t FROM steps UNION SELECT action FROM steps UNION SELECT instruction FROM rollouts"
        )
        expert = open_store(self.data("expert")).sql("SELECT DISTINCT observation AS t FROM steps UNION SELECT action FROM steps")
        tokenizer = make_tokenizer([*texts["t"].to_pylist(), *expert["t"].to_pylist()])
        make_model(folder, tokenizer, **settings, seed=self.seed)
        losses = school(folder, conversations_of(play), seed=self.seed, **self.plan["vocabulary"].get("schooling", {}))
        (folder / "schooled.json").write_text(json.dumps(losses), encoding="utf-8")
        self.say(f"schooled {name}: {losses}")
        return folder

    def _play(self) -> str:
        """Random play, for words and grammar only: its scores are not used."""
        settings = self.plan["vocabulary"]
        out = self.folder / "data" / "play"
        explore(
            out,
            self.environment["name"],
            settings["agent"],
            settings.get("attempts", 1),
            tasks=settings["tasks"],
            seed=self.seed,
            processes=1,
        )
        return str(out)

    def data(self, name: str) -> str:
        """A store with explorations and everything derived from them."""
        out = self.folder / "data" / name
        settings = self.plan["data"][name]
        if is_done(out, settings):
            return str(out)
        started = time.monotonic()
        if "copy" in settings:
            gather([Path(self.data(source)) for source in settings["copy"]], out, settings.get("attempts"), settings.get("tasks"))
        if "explorer" in settings or "agent" in settings:  # after a copy, only the missing attempts
            self._explore(out, settings)
        notes = derive(out, settings, self.environment["name"])
        seconds = round(time.monotonic() - started, 1)
        finish(out, settings, {"seconds": seconds, "counts": [note.counts for note in notes]})
        self.say(f"data {name}: {[note.counts for note in notes]} ({seconds} s)")
        return str(out)

    def _explore(self, out: Path, settings: dict[str, Any]) -> None:
        if "explorer" in settings:
            agent = agent_specification(self.environment.get("agent", "transformers"), self.model(settings["explorer"]))
        else:
            agent = settings["agent"]
        sampling = {key: settings[key] for key in ("temperature", "top_p") if key in settings}
        explore(
            out,
            self.environment["name"],
            agent,
            settings.get("attempts", 1),
            tasks=self._tasks(settings),
            split=settings.get("split", "train"),
            seed=self.seed,
            processes=1,
            **(self._exploration() | sampling),
        )

    def _tasks(self, settings: dict[str, Any]) -> int | list[str] | None:
        """The first tasks of the split, or those from `from_task` on; where the recipe says `drawn`, in an order of the seed's own."""
        count = settings.get("tasks")
        if not (self.environment.get("drawn") or "from_task" in settings):
            return count
        options = {**self.environment.get("options", {}), **{key: self.environment[key] for key in ("data",) if key in self.environment}}
        split = settings.get("split", "train")
        names = make_environment(self.environment["name"], **options).tasks(split)
        if self.environment.get("drawn"):
            names = [names[place] for place in np.random.default_rng([self.seed, 17]).permutation(len(names))]
        first = int(settings.get("from_task", 0))
        if count is not None and first + count > len(names):
            raise BadInputError(f"{split} has {len(names)} tasks, and the recipe wants {count} from {first} on.\nNext: fewer tasks")
        return names[first:] if count is None else names[first : first + count]

    def _exploration(self) -> dict[str, Any]:
        return {
            key: self.environment[key] for key in ("max_tokens", "concurrent", "max_steps", "data", "options") if key in self.environment
        }


def _launch(launcher: list[str], release: str, settings: dict[str, Any]) -> None:
    """Training in processes of their own, e.g. under accelerate; the settings travel as the command line's."""
    flags = [f"--{key}={settings.pop(key)}" for key in ("model", "method", "out")]
    options = [part for key, value in settings.items() for part in ("--set", f"{key}={json.dumps(value)}")]
    command = [*launcher, "-m", "tratree_data.cli", "train", release, *flags, *options]
    if subprocess.run(command, check=False, env={**os.environ}).returncode:
        raise BadInputError(f"Training stopped: {' '.join(command)}\nNext: see its messages above, then run the same experiment again")
