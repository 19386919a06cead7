"""`tratree reproduce`: the experiment at six sizes, and for the large one a plan with its memory and hours before anything is spent.

    short      five minutes on two cores, for the tests
    tabular    hundreds of seeds of networks with 8 and 64 units, half an hour on two cores
    miniature  small models from scratch, an hour per seed on two cores
    pretrained SmolLM2-135M-Instruct, hours per seed on two cores
    paper      the paper's own models and environments, for those who have the machines (pipelines/paper/*.toml)
    RECIPE     any recipe of this form

A dry run checks everything that can be checked on this machine: the recipe, packages, environments and data, models, disk, GPUs, memory.
"""

import json
import shutil
from importlib.util import find_spec
from pathlib import Path
from statistics import mean
from typing import Any

from tratree_data.environments import environment_class
from tratree_data.environments.requirements import Requirement
from tratree_data.errors import BadInputError, TratreeError, quoted
from tratree_data.evaluation.settings import METRICS
from tratree_data.experiments.recipe import Recipe, launcher_of, read_experiment
from tratree_data.experiments.run_experiment import run_experiment
from tratree_data.experiments.settings import ReproduceSettings, parse_seeds
from tratree_data.experiments.tabular.results import table as tabular_table
from tratree_data.experiments.tabular.run import is_tabular, run_tabular
from tratree_data.experiments.training_costs import ADAPTER_GIB, flatten_trainings, hours, memory_gib
from tratree_data.files import data_folder
from tratree_data.results import StageResult
from tratree_data.system.safe_paths import need_local
from tratree_data.system.settings import takes

SCALES = {
    "short": "weak_to_strong_short",
    "miniature": "weak_to_strong",
    "tabular": "weak_to_strong_tabular",
    "pretrained": "weak_to_strong_pretrained",
}
PACKAGES = ("torch", "trl", "transformers", "peft", "accelerate")


@takes(ReproduceSettings)
def reproduce(directory: str | Path, settings: ReproduceSettings) -> tuple[StageResult, str]:
    """What was done, and the table or the plan as text."""
    folder = need_local(directory, "an experiment")
    if settings.scale == "paper":
        recipes = sorted(data_folder("pipelines").joinpath("paper").glob("*.toml"))
        if not settings.dry_run:
            raise BadInputError(
                f"The paper's scale is {len(recipes)} experiments on models of 7 to 70 billion parameters, run one at a time.\n"
                f"Next: tratree reproduce {quoted(directory)} --scale paper --dry-run, then --scale with the path of one recipe"
            )
        return _plan([read_experiment(path) for path in recipes], [path.stem for path in recipes], folder)
    name = SCALES.get(settings.scale, settings.scale)
    recipe = read_experiment(name)
    if settings.dry_run:
        return _plan([recipe], [Path(name).stem], folder)
    seeds = settings.seed_numbers or parse_seeds(str(recipe.get("protocol", {}).get("test_seeds", "0")))
    if is_tabular(recipe):
        done = run_tabular(recipe, folder, seeds, settings.processes, settings.arms)
        return done, tabular_table(json.loads((folder / "results.json").read_text(encoding="utf-8")))
    result = run_experiment(
        name,
        folder,
        environment=settings.environment,
        seeds=seeds,
        processes=settings.processes,
        arms=tuple(settings.arms),
    )
    return result, table(json.loads((folder / "results.json").read_text(encoding="utf-8")))


def table(results: dict[str, Any]) -> str:
    """Arms with their scores seed by seed, and the paired tests, as Markdown; rewards and success × 100."""
    recipe = results["recipe"]["arms"]
    lines = [
        "| arm | reward | seed by seed, 95 % interval over tasks | success | steps | refused actions | in the paper |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, arm in sorted(results["arms"].items(), key=lambda item: list(recipe).index(item[0])):
        reward, success, steps, refused = (mean(run["value"] for run in arm[metric]) for metric in METRICS)
        seeds = " / ".join(f"{run['value']:.1%} [{run['low']:.0%}, {run['high']:.0%}]".replace("%", "") for run in arm["reward"])
        row = (f"`{name}`", f"{100 * reward:.1f}", seeds, f"{100 * success:.1f}", f"{steps:.1f}", f"{refused:.1f}")
        lines.append(f"| {' | '.join(row)} | {recipe[name].get('paper', '–')} |")
    return "\n".join([*lines, *_comparison_lines(results["comparisons"])])


def _comparison_lines(comparisons: list[dict[str, Any]]) -> list[str]:
    """The paired differences; a row of one run says so, because its interval covers tasks only."""
    if not comparisons:
        return []
    lines = [
        "",
        "| difference | reward | 95 % interval over runs and tasks | seed by seed | effect size | p over runs | Holm | p, these models |",
    ]
    lines.append("|---|---|---|---|---|---|---|---|")
    for pair in comparisons:
        value, low, high = (f"{100 * pair['difference'][key]:+.1f}" for key in ("value", "low", "high"))
        seeds = " / ".join(f"{100 * run:+.1f}" for run in pair["runs"])
        over = "" if len(pair["runs"]) > 1 else " (one run: over tasks only)"
        size = "∞" if pair["effect_size"] is None else f"{pair['effect_size']:+.2f}"
        over_runs = "–" if pair["p_over_runs"] is None else f"{pair['p_over_runs']:.4f}"
        numbers = f"{value} | {low} … {high}{over} | {seeds} | {size} | {over_runs} | {pair['p_holm']:.4f} | {pair['p_these_models']:.4f}"
        lines.append(f"| `{pair['arm']}` − `{pair['against']}` | {numbers} |")
    return [*lines, "", f"Holm: p-values that hold for all {len(comparisons)} comparisons together."]


def _plan(recipes: list[Recipe], names: list[str], directory: Path) -> tuple[StageResult, str]:
    """Checks and estimates of every recipe."""
    lines: list[str] = []
    missing = 0
    for name, recipe in zip(names, recipes, strict=True):
        lines += [f"# {name}: {recipe.get('description', '')}", ""]
        found = checks(recipe, directory)
        missing += sum(not good for good, _ in found)
        lines += [f"{'ok     ' if good else 'missing'}  {text}" for good, text in found]
        if "estimate" in recipe:
            lines += ["", *_estimates(recipe)]
        lines.append("")
    summary = (f"{missing} requirements are missing here" if missing else "everything that can be checked here is in place",)
    return StageResult("reproduce", False, {"recipes": len(recipes), "missing": missing}, summary), "\n".join(lines)


def _estimates(recipe: Recipe) -> list[str]:
    """Memory and hours of every training, and the hours of each environment."""
    machine = recipe["estimate"]
    lines = [
        f"Estimates for {machine['gpus']} × {machine['gpu_memory_gib']} GiB, {machine['tflops']} TFLOP/s each, "
        f"{machine['utilisation']:.0%} in use:",
        "",
        f"{'training':<24}{'model':>7}{'reference':>11}{'GiB per GPU':>11}{'fits':>6}"
        + "".join(f"{name + ', h':>17}" for name in machine["rows"]),
    ]
    totals = dict.fromkeys(machine["rows"], 0.0)
    for training in flatten_trainings(recipe):
        memory = memory_gib(training)
        times = {name: hours(training, machine, rows) for name, rows in machine["rows"].items()}
        totals = {name: totals[name] + times[name] for name in totals}
        reference = f"{training.reference_billions:g}B" if training.reference_billions else "-"
        fits = "yes" if memory <= machine["gpu_memory_gib"] else "no"
        columns = "".join(f"{time:>17.1f}" for time in times.values())
        lines.append(f"{training.name:<24}{training.billions:>6g}B{reference:>11}{memory:>11.0f}{fits:>6}{columns}")
    lines.append(f"{'all trainings':<59}" + "".join(f"{total:>17.1f}" for total in totals.values()))
    lines.append("Hours are upper bounds: one demonstration per task, and for preferences the recipe's max_pairs_per_task.")
    return [*lines, f"Disk: {machine['disk_gib']} GiB with the base models; an adapter takes about {ADAPTER_GIB:g} GiB."]


def checks(recipe: Recipe, directory: Path) -> list[tuple[bool, str]]:
    """(whether it is available, what it is, and what to do if not) for all that the recipe needs."""
    found = [(find_spec(package) is not None, f"package {package}: pip install 'tratree-data[train]'") for package in PACKAGES]
    if recipe["environment"].get("agent") == "vllm":
        found.append((find_spec("vllm") is not None, "package vllm: pip install 'tratree-data[vllm]' in an environment of its own"))
    for name in recipe.get("environments", [recipe["environment"]["name"]]):
        found += _check_environment(name)
    paths = {str(model["path"]): model for model in recipe["models"].values() if "path" in model}
    found += [_check_model(path, model) for path, model in sorted(paths.items())]
    found += _check_launch(recipe) + _check_machine(recipe, directory)
    return found


def _check_environment(name: str) -> list[tuple[bool, str]]:
    try:
        requirements: list[Requirement] = getattr(environment_class(name), "requirements", list)()
    except TratreeError as error:
        return [(False, f"environment {name}: {str(error).splitlines()[0]}")]
    return [
        (bool(needed.found) or needed.optional, f"environment {name}: {needed.what} {needed.found or ': ' + needed.command}")
        for needed in requirements
    ]


def _check_model(path: str, settings: dict[str, Any]) -> tuple[bool, str]:
    """In a folder or in the Hub's cache; nothing is downloaded by a check."""
    if (Path(path) / "config.json").is_file():
        return True, f"model {path}"
    from huggingface_hub import try_to_load_from_cache

    cached = isinstance(try_to_load_from_cache(path, "config.json"), str)
    gated = " after accepting its licence on the Hub (hf auth login)" if settings.get("gated") else ""
    return cached, f"model {path}: hf download {path}{gated}" if not cached else f"model {path}"


def _check_launch(recipe: Recipe) -> list[tuple[bool, str]]:
    """The launcher's own file, and whether the batch can be shared by all GPUs."""
    machine, launch = recipe.get("estimate"), launcher_of(recipe)
    found = []
    if "--config_file" in launch:
        file = launch[launch.index("--config_file") + 1]
        found.append((Path(file).is_file(), f"launch: {file}: accelerate config --config_file {file}"))
    if machine is not None:
        settings = recipe.get("training", {}).get("defaults", {})
        batch, at_once = int(settings.get("batch", 32)), int(settings.get("device_batch", 4)) * int(machine["gpus"])
        found.append((batch % at_once == 0, f"batch: {batch} rows for {machine['gpus']} GPUs of {at_once // machine['gpus']} at once"))
    return found


def _check_machine(recipe: Recipe, directory: Path) -> list[tuple[bool, str]]:
    machine = recipe.get("estimate")
    if machine is None:
        return []
    existing = next(folder for folder in (directory.resolve(), *directory.resolve().parents) if folder.exists())
    free = shutil.disk_usage(existing).free / 2**30
    needed = float(machine["disk_gib"])
    found = [(free >= needed, f"disk: {needed:.0f} GiB needed, {free:.0f} free at {existing}")]
    gpus, memory = 0, 0.0
    if find_spec("torch") is not None:
        import torch

        gpus = torch.cuda.device_count()
        memory = min((torch.cuda.get_device_properties(i).total_memory / 2**30 for i in range(gpus)), default=0.0)
    planned = f"{machine['gpus']} of {machine['gpu_memory_gib']} GiB"
    enough = gpus >= machine["gpus"] and memory >= 0.95 * machine["gpu_memory_gib"]
    found.append((enough, f"GPUs: {planned} planned, {gpus} here" + (f" of {memory:.0f} GiB" if gpus else "")))
    return found
