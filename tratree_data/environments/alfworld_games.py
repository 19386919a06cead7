"""ALFWorld's games on disk: the release's own folders (what `alfworld-download` makes), or all of them packed in one games.jsonl.xz.

The packed file: a first line {"domains": […], "grammars": […]}, then one game per line with split, id, goal, the numbers of its domain and
grammar, problem and, for training, the expert's actions. It unpacks to 200 MB, so the lines are kept compressed one by one.
"""

import json
import lzma
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from tratree_data.environments.requirements import unknown_task
from tratree_data.errors import BadInputError, NotFoundError
from tratree_data.ids import content_id

VARIABLE = "TRATREE_ALFWORLD_DATA"
WHERE_FROM = "alfworld-download --data-dir FOLDER fetches them (github.com/alfworld/alfworld, releases)"
PACKED = "games.jsonl.xz"
SPLITS = ("train", "valid_seen", "valid_unseen")
UNSUPPORTED = ("movable", "Sliced")
EXAMPLE = "pick_and_place_simple-Kettle-None-Shelf-1/trial_T20190907_011711_519188"
HEAD = re.compile(rb'\{"split": "(?P<split>\w+)", "id": "(?P<id>[^"\\]+)"')


class Games(Protocol):
    tasks: dict[str, list[str]]
    """Split → ids, in the order of their hashes, so that the first ten cover all kinds."""
    put: str
    """The grammar's wording: 'put X in/on Y' or 'move X to Y'."""
    fingerprint: str

    def game(self, task_id: str) -> dict[str, Any]: ...

    def expert(self, task_id: str) -> list[str] | None: ...


def open_games(folder: Path) -> Games:
    if (folder / PACKED).is_file():
        return PackedGames(folder / PACKED)
    for root in (folder, folder / "json_2.1.1", folder / "json_2.1.2"):
        if any((root / split).is_dir() for split in SPLITS):
            return ReleasedGames(root)
    raise NotFoundError(f"{folder} has neither {PACKED} nor the folders {', '.join(SPLITS)}.\nNext: {WHERE_FROM}")


class PackedGames:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines: dict[str, bytes] = {}
        self.tasks: dict[str, list[str]] = {split: [] for split in SPLITS}
        try:
            with lzma.open(path, "rb") as file:
                head = json.loads(file.readline())
                self.domains, self.grammars = list(head["domains"]), list(head["grammars"])
                for line in file:
                    self._keep(line)
        except (OSError, EOFError, lzma.LZMAError, ValueError, KeyError, TypeError) as error:
            raise BadInputError(f"{path} is not a file of ALFWorld games: {error}.\nNext: download it again; {WHERE_FROM}") from error
        self.tasks = {split: sorted(ids, key=content_id) for split, ids in self.tasks.items() if ids}
        self.put = spoken_put(self.grammars[0])
        self.fingerprint = content_id(*sorted(self.lines))[:8]

    def game(self, task_id: str) -> dict[str, Any]:
        record = self._record(task_id)
        grammar = self.grammars[record["grammar"]].replace("@@GOAL@@", record["goal"])
        return {"pddl_domain": self.domains[record["domain"]], "grammar": grammar, "pddl_problem": record["problem"], "solvable": True}

    def expert(self, task_id: str) -> list[str] | None:
        return self._record(task_id).get("expert") or None

    def _keep(self, line: bytes) -> None:
        match = HEAD.match(line)
        record = match.groupdict() if match else {key: str(value).encode() for key, value in json.loads(line).items()}
        task_id = record["id"].decode()
        self.lines[task_id] = zlib.compress(line, 1)
        self.tasks.setdefault(record["split"].decode(), []).append(task_id)

    def _record(self, task_id: str) -> dict[str, Any]:
        if task_id not in self.lines:
            raise unknown_task("ALFWorld", task_id, EXAMPLE)
        record: dict[str, Any] = json.loads(zlib.decompress(self.lines[task_id]))
        return record


class ReleasedGames:
    """SPLIT/TASK/TRIAL/game.tw-pddl, as released. Games with movable receptacles or slicing are left out, as ALFWorld itself does."""

    def __init__(self, root: Path) -> None:
        self.files: dict[str, Path] = {}
        self.tasks: dict[str, list[str]] = {}
        for split in SPLITS:
            found = dict(_solvable(root / split))
            if found:
                self.files |= found
                self.tasks[split] = sorted(found, key=content_id)
        if not self.files:
            raise NotFoundError(f"{root} has no solvable game.tw-pddl.\nNext: {WHERE_FROM}")
        self.put = spoken_put(self.game(min(self.files))["grammar"])
        self.fingerprint = content_id(*sorted(self.files))[:8]

    def game(self, task_id: str) -> dict[str, Any]:
        if task_id not in self.files:
            raise unknown_task("ALFWorld", task_id, EXAMPLE)
        return _read_game(self.files[task_id])

    def expert(self, task_id: str) -> list[str] | None:
        return self.game(task_id).get("walkthrough") if task_id in self.tasks.get("train", []) else None


def spoken_put(grammar: str) -> str:
    return "put X in/on Y" if "in/on" in grammar else "move X to Y"


def _solvable(folder: Path) -> Iterator[tuple[str, Path]]:
    for path in sorted(folder.glob("*/*/game.tw-pddl")):
        task_id = f"{path.parent.parent.name}/{path.parent.name}"
        if not any(word in task_id for word in UNSUPPORTED) and _read_game(path).get("solvable"):
            yield task_id, path


def _read_game(path: Path) -> dict[str, Any]:
    try:
        game: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadInputError(f"{path} is not an ALFWorld game: {error}.\nNext: download it again; {WHERE_FROM}") from error
    return game
