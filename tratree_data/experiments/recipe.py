"""The recipe of an experiment: [environment], [models], [training], [data], [arms], [compare], and [estimate] for machines."""

import tomllib
from pathlib import Path
from typing import Any

from tratree_data.errors import BadInputError, NotFoundError, suggest
from tratree_data.files import data_folder, file_names, read_text

Recipe = dict[str, Any]
SECTIONS = ("environment", "environments", "models", "vocabulary", "training", "data", "arms", "compare", "estimate", "protocol")


def read_experiment(name: str | Path) -> Recipe:
    """A recipe of pipelines/ by its name, or a .toml file, on top of the one that it extends; its references are checked at once."""
    if str(name) in file_names("pipelines", ".toml"):
        text = read_text("pipelines", f"{name}.toml")
    elif Path(name).is_file():
        text = Path(name).read_text(encoding="utf-8")
    else:
        raise NotFoundError(f"Unknown recipe {str(name)!r}.{suggest(str(name), file_names('pipelines', '.toml'))}")
    try:
        recipe = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadInputError(f"The recipe {name} is not valid TOML: {error}.\nNext: fix that line") from error
    if "extends" in recipe:
        base = read_experiment(recipe.pop("extends"))
        recipe = {**base, **{key: {**base.get(key, {}), **own} if isinstance(own, dict) else own for key, own in recipe.items()}}
    check_experiment(recipe, str(name))
    return recipe


def check_experiment(recipe: Recipe, name: str) -> None:
    """Every model, dataset and arm that is referred to must exist."""
    for section in ("environment", "models", "data", "arms"):
        if section not in recipe:
            raise BadInputError(f"The recipe {name} lacks [{section}], so it isn't an experiment.\nNext: see pipelines/weak_to_strong.toml")
    for section in recipe:
        if section not in (*SECTIONS, "description"):
            raise BadInputError(f"The recipe {name} has a section [{section}].{suggest(section, SECTIONS)}")
    models = {*recipe["models"], *recipe.get("training", {}), *recipe["arms"]}
    for kind in ("training", "arms"):
        for key, settings in recipe.get(kind, {}).items():
            for field, known in (("start", models), ("model", models), ("reference", models), ("data", set(recipe["data"]))):
                if field in settings and settings[field] not in (known | {"self"}):
                    raise BadInputError(f"[{kind}.{key}] in {name} refers to {field} {settings[field]!r}.{suggest(settings[field], known)}")
    for a, b in recipe.get("compare", {}).get("pairs", []):
        for arm in (a, b):
            if arm not in recipe["arms"]:
                raise BadInputError(f"[compare] in {name} names {arm!r}.{suggest(arm, recipe['arms'])}")


def launcher_of(recipe: Recipe) -> list[str]:
    """The command that trainings are started with; a --config_file that is not here is that of pipelines/accelerate."""
    words = list(recipe["environment"].get("launch", ()))
    if "--config_file" in words:
        place = words.index("--config_file") + 1
        included = data_folder("pipelines") / "accelerate" / words[place]
        if not Path(words[place]).is_file() and included.is_file():
            words[place] = str(included)
    return words


def in_environment(recipe: Recipe, name: str) -> Recipe:
    """The recipe for one of the environments that it has settings for."""
    if not name:
        return recipe
    known = recipe.get("environments", {recipe["environment"]["name"]: {}})
    if name not in known:
        raise BadInputError(f"The recipe has no environment {name!r}.{suggest(name, known)}")
    return {**recipe, "environment": {**recipe["environment"], "name": name, **known[name]}}
