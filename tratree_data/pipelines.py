"""A recipe (pipelines/*.toml, or any .toml file) → the stages it names, in the order of `stages.py`.

A recipe has one table per stage, holding that stage's own settings; `[[explore]]` and `[[import]]` may appear several times. Every
stage decides for itself whether it is out of date.
"""

import tomllib
from collections.abc import Callable, Iterator
from inspect import Parameter, signature
from pathlib import Path
from typing import Any

import tratree_data
from tratree_data.errors import BadInputError, NotFoundError, RefusedError, quoted, suggest, wrong_order
from tratree_data.files import file_names, read_text
from tratree_data.results import StageResult
from tratree_data.stages import Stage, stage, stages_of_recipes
from tratree_data.store.locations import place, replace_text

RECIPE_FILE = "recipe.toml"
CHECK = "check"
"""The one table of a recipe that is not a stage: it checks the dataset after all stages."""


def run(directory: str | Path, recipe: str | Path) -> list[StageResult]:
    """Runs what a recipe names, in order, and only what is out of date; a recipe is a name, such as `trees`, or a .toml file.

    The recipe stays in the dataset as recipe.toml, and goes into its releases.
    """
    return list(run_stages(directory, recipe))


def run_stages(directory: str | Path, recipe: str | Path) -> Iterator[StageResult]:
    """The same, yielding each stage's result as soon as it is done."""
    if _is_recipe(str(directory)) and not _is_recipe(str(recipe)):
        raise wrong_order("the recipe", f"run({str(recipe)!r}, {str(directory)!r})", f"tratree run {quoted(directory)} {quoted(recipe)}")
    text, stages = read_recipe(recipe)
    for name, settings in stages:
        yield _run_stage(name, directory, settings)
        replace_text(place(directory), RECIPE_FILE, text)
    if CHECK in tomllib.loads(text):
        yield from _check(directory)


def _check(directory: str | Path) -> Iterator[StageResult]:
    """The result of `tratree check` as the last line of a run; broken rules raise an error, as in the verb."""
    rules = tratree_data.check(directory).to_pylist()
    broken = [rule for rule in rules if rule["offending_rows"]]
    notes = tuple(f"{rule['check']}: {rule['offending_rows']:,} rows. {rule['rule']}" for rule in broken)
    yield StageResult(CHECK, True, {"rules": len(rules), "broken": len(broken)}, notes)
    if broken:
        raise RefusedError(
            f"{directory} breaks {len(broken)} rules, the first {broken[0]['check']}.\nNext: tratree check {quoted(directory)}"
        )


def read_recipe(recipe: str | Path) -> tuple[str, list[tuple[str, dict[str, Any]]]]:
    """The recipe's text, and its stages with their settings in the order in which they run."""
    text = _find(str(recipe))
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadInputError(f"The recipe {recipe} is not valid TOML: {error}.\nNext: fix that line") from error
    tables.pop("description", None)
    if tables.pop(CHECK, {}):
        raise BadInputError(f"[{CHECK}] in the recipe {recipe} has no settings.\nNext: leave it empty")
    if "arms" in tables:
        raise BadInputError(
            f"The recipe {recipe} describes an experiment, not a dataset.\nNext: tratree reproduce my-run --scale {quoted(recipe)}"
        )
    known = {stage.name: stage for stage in stages_of_recipes()}
    for name in tables:
        if name not in known:
            raise BadInputError(f"The recipe {recipe} names an unknown stage, {name!r}.{suggest(name, known)}")
    return text, [(name, settings) for name, stage in known.items() for settings in _runs(recipe, stage, tables.get(name, []))]


def _runs(recipe: str | Path, stage: Stage, given: Any) -> list[dict[str, Any]]:
    """The settings of each run of a stage, checked against its function's parameters."""
    runs = given if isinstance(given, list) else [given]
    if len(runs) > 1 and not stage.repeatable:
        raise BadInputError(f"The recipe {recipe} has several [[{stage.name}]] tables, but this stage runs only once.\nNext: keep one")
    return [_checked(recipe, stage, settings) for settings in runs]


def _checked(recipe: str | Path, stage: Stage, settings: Any) -> dict[str, Any]:
    name, parameters = stage.name, signature(_function(stage)).parameters
    allowed = set(parameters) - {"directory"}
    if not isinstance(settings, dict):
        raise BadInputError(f"{name} in the recipe {recipe} must be a table.\nNext: write [{name}]")
    unknown = sorted(set(settings) - allowed)
    if unknown and "VAR_KEYWORD" not in {parameter.kind.name for parameter in parameters.values()}:
        raise BadInputError(f"[{name}] in the recipe {recipe} has no setting {unknown[0]!r}.{suggest(unknown[0], allowed)}")
    for needed, parameter in parameters.items():
        if parameter.default is Parameter.empty and parameter.kind is not Parameter.VAR_KEYWORD and needed not in {"directory", *settings}:
            raise BadInputError(f"[{name}] in the recipe {recipe} lacks {needed!r}.\nNext: add {needed} = …")
    return settings


def _function(stage: Stage) -> Callable[..., StageResult]:
    function: Callable[..., StageResult] = getattr(tratree_data, stage.function)
    return function


def _is_recipe(name: str) -> bool:
    return name in file_names("pipelines", ".toml") or name.endswith(".toml")


def _find(recipe: str) -> str:
    bundled = file_names("pipelines", ".toml")
    if recipe in bundled:
        return read_text("pipelines", f"{recipe}.toml")
    path = Path(recipe)
    if not path.is_file():
        raise NotFoundError(f"Unknown recipe {recipe!r}.{suggest(recipe, bundled)}\nNext: name one of them, or a .toml file")
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInputError(f"The recipe {recipe} cannot be read: {error}.\nNext: fix the file") from error


def _run_stage(name: str, directory: str | Path, settings: dict[str, Any]) -> StageResult:
    """`{dataset}` in a publish target is replaced with the dataset's folder."""
    function = _function(stage(name))
    if name == "publish":
        settings = {**settings, "target": str(settings["target"]).replace("{dataset}", str(directory))}
    return function(directory, **settings)
