"""What an environment needs beyond this package, and the command that installs it.

An environment class may have a class method `requirements()` that returns these; `tratree environments` shows them.
"""

import os
import shutil
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from tratree_data.errors import BadInputError, MissingPackageError, NotFoundError, missing_package

JAVA_COMMAND = "apt-get install default-jre-headless"


@dataclass(frozen=True)
class Requirement:
    """A requirement: `found` is what was found ('' if nothing), `command` installs it."""

    what: str
    found: str
    command: str
    optional: bool = False


def package_version(package: str) -> str:
    """The installed version, '' if it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def package_requirement(package: str) -> Requirement:
    return Requirement(package, package_version(package), "pip install 'tratree-data[environments]'")


def java_path() -> str | None:
    """The java that would be started: JAVA_HOME's, or the one on the PATH."""
    home = os.environ.get("JAVA_HOME")
    if home and os.access(Path(home, "bin", "java"), os.X_OK):
        return str(Path(home, "bin", "java"))
    return shutil.which("java")


def java_requirement() -> Requirement:
    return Requirement("Java", java_path() or "", JAVA_COMMAND)


def data_requirement(variable: str, files: tuple[str, ...], command: str, optional: bool = False) -> Requirement:
    """A folder of data named by an environment variable, which must hold one of `files`."""
    folder = os.environ.get(variable, "")
    there = bool(folder) and any(Path(folder, file).exists() for file in files)
    return Requirement(f"data in ${variable}", folder if there else "", command, optional)


def need_package(package: str) -> str:
    """The installed version, or the error that says how to install it."""
    found = package_version(package)
    if not found:
        raise missing_package(package, "environments")
    return found


def met(requirement: Requirement) -> str:
    """The installed version of a package that an adapter needs; these are not extras, because some of them exclude each other."""
    if not requirement.found:
        raise MissingPackageError(f"{requirement.what} is needed here, but not installed.\nNext: {requirement.command}")
    return requirement.found


def need_java() -> str:
    found = java_path()
    if found is None:
        raise MissingPackageError(f"Java is not installed, and this environment runs in it.\nNext: {JAVA_COMMAND}")
    return found


def chosen_folder(environment: str, data: str | Path | None, variable: str, where_from: str) -> Path | None:
    """The folder that the option or the environment variable names; None if neither does."""
    chosen = data or os.environ.get(variable)
    if not chosen:
        return None
    folder = Path(chosen).expanduser()
    if not folder.is_dir():
        raise NotFoundError(
            f"{environment}'s data folder {str(folder)!r} does not exist; {where_from}.\nNext: pass data=…, or set {variable}"
        )
    return folder


def split_tasks(environment: str, split: str, tasks: dict[str, list[str]]) -> list[str]:
    """The split's tasks, or the error that names the available splits."""
    if split not in tasks:
        raise BadInputError(f"{environment} has no split {split!r}. Available: {', '.join(tasks)}.\nNext: name one of them")
    return list(tasks[split])


def unknown_task(environment: str, task_id: str, example: str) -> NotFoundError:
    return NotFoundError(f"{environment} has no task {task_id!r}; a task looks like {example!r}.\nNext: list them with tasks(split)")


def seed_splits(seeds: int) -> dict[str, int]:
    """Tasks that differ only in their seed: as many for training as for tests."""
    return {"train": seeds, "test": seeds}


def seed_tasks(environment: str, split: str, seeds: int) -> list[str]:
    firsts = {"train": 0, "test": seeds}
    return split_tasks(environment, split, {name: [f"seed-{first + i}" for i in range(seeds)] for name, first in firsts.items()})


def seed_of_task(environment: str, task_id: str) -> int:
    number = task_id.removeprefix("seed-")
    if number == task_id or not number.isdecimal():
        raise unknown_task(environment, task_id, "seed-0")
    return int(number)
