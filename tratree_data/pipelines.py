"""A recipe (pipelines/*.toml, or any .toml file) → stages in order. The only module that knows the order.

A recipe has a table for each stage that it wants, holding that stage's own settings; `[[explore]]` and `[[import]]` may stand several
times. Every stage decides for itself whether it is out of date.
"""

import tomllib
from collections.abc import Callable, Iterator
from inspect import Parameter, signature
from pathlib import Path
from typing import Any

from tratree_data.errors import BadInputError, NotFoundError, suggest
from tratree_data.exploration.explore import explore
from tratree_data.files import file_names, read_text
from tratree_data.importers import import_log
from tratree_data.preferences.demonstrations import demonstrations
from tratree_data.preferences.pairs import pairs
from tratree_data.releases.publish import publish
from tratree_data.results import StageResult
from tratree_data.tree_search.replay import replay
from tratree_data.tree_search.search import search
from tratree_data.trees.build import build

RECIPE_FILE = "recipe.toml"
STAGES: dict[str, Callable[..., StageResult]] = {
    "import": import_log,
    "explore": explore,
    "build": build,
    "search": search,
    "replay": replay,
    "pairs": pairs,
    "demonstrations": demonstrations,
    "publish": publish,
}
REPEATABLE = ("import", "explore")


def run(recipe: str | Path, directory: str | Path) -> Iterator[StageResult]:
    """Runs the recipe's stages one after the other and gives each one's report as soon as it is there.

    The recipe stays in the dataset as recipe.toml, and goes into its releases.
    """
    text, stages = read_recipe(recipe)
    for name, settings in stages:
        yield _run_stage(name, directory, settings)
        Path(directory, RECIPE_FILE).write_text(text, encoding="utf-8")


def read_recipe(recipe: str | Path) -> tuple[str, list[tuple[str, dict[str, Any]]]]:
    """The recipe's text, and its stages with their settings in the order in which they run."""
    text = _find(str(recipe))
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadInputError(f"The recipe {recipe} is no TOML: {error}.\nNext: mend that line") from error
    tables.pop("description", None)
    stages = []
    if "arms" in tables:
        raise BadInputError(f"The recipe {recipe} is an experiment, not a dataset.\nNext: tratree reproduce my-run --scale {recipe}")
    for name in tables:
        if name not in STAGES:
            raise BadInputError(f"The recipe {recipe} names a stage {name!r}.{suggest(name, STAGES)}")
    for name in STAGES:
        given = tables.get(name, [])
        runs = given if isinstance(given, list) else [given]
        if len(runs) > 1 and name not in REPEATABLE:
            raise BadInputError(f"The recipe {recipe} has several [[{name}]], and that stage runs once.\nNext: keep one")
        stages += [(name, _known(recipe, name, settings)) for settings in runs]
    return text, stages


def _known(recipe: str | Path, name: str, settings: Any) -> dict[str, Any]:
    parameters = signature(STAGES[name]).parameters
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


def _find(recipe: str) -> str:
    if recipe in file_names("pipelines", ".toml"):
        return read_text("pipelines", f"{recipe}.toml")
    path = Path(recipe)
    if not path.is_file():
        raise NotFoundError(
            f"There is no recipe {recipe!r}.{suggest(recipe, file_names('pipelines', '.toml'))}\nNext: name one of them, or a .toml file"
        )
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInputError(f"The recipe {recipe} cannot be read: {error}.\nNext: mend the file") from error


def _run_stage(name: str, directory: str | Path, settings: dict[str, Any]) -> StageResult:
    """`{dataset}` in a publish target stands for the dataset's folder."""
    if name == "import":
        return import_log(
            settings["format"], settings["path"], directory, **{k: v for k, v in settings.items() if k not in ("format", "path")}
        )
    if name == "publish":
        settings = {**settings, "target": str(settings["target"]).replace("{dataset}", str(directory))}
    return STAGES[name](directory, **settings)
