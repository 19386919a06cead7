"""Logs on the Hub: hf://datasets/org/name/path for files as they are, hub:org/name for datasets of rows or of session files.

Files are fetched into the Hub client's own cache, at one commit, and read from there.
"""

import re
from pathlib import Path

from tratree_data.errors import BadInputError
from tratree_data.importers.files.log_files import LogFile
from tratree_data.importers.files.packed_files import plain_name

HF = re.compile(r"hf://(?:datasets/)?(?P<repository>[^/@]+/[^/@]+)(?:@(?P<revision>[^/]+))?(?:/(?P<path>.*))?")
HUB = re.compile(r"hub:(?P<repository>[^:@]+)(?::(?P<config>[^@]+))?(?:@(?P<revision>.+))?")
TABLES = (".parquet", ".arrow", ".csv", ".tsv", ".tar", ".zip", ".zst")
SESSIONS = (".json", ".jsonl", ".json.gz", ".jsonl.gz")


def files_of(name: str, endings: tuple[str, ...]) -> list[LogFile]:
    """The files that hf://… names."""
    match = HF.fullmatch(name)
    if match is None:
        raise BadInputError(f"{name} does not name files on the Hub.\nNext: hf://datasets/org/name, or hf://datasets/org/name/folder")
    path = (match["path"] or "").strip("/")
    listed = _list(name, match["repository"], match["revision"])
    chosen = [
        file for file in listed if file == path or (file.startswith(f"{path}/" if path else "") and plain_name(file).endswith(endings))
    ]
    if not chosen:
        raise BadInputError(f"{name} contains no log file ({', '.join(endings)}, or .gz).\nNext: name a folder of {match['repository']}")
    return _fetch(name, match["repository"], match["revision"], chosen)


def sessions_of(name: str) -> list[LogFile]:
    """The JSON files of a dataset that holds no tables; none if it is read row by row."""
    match = HUB.fullmatch(name)
    if match is None or match["config"]:
        return []
    listed = [file for file in _list(name, match["repository"], match["revision"]) if not Path(file).name.startswith(".")]
    if any(file.endswith(TABLES) for file in listed):
        return []
    return _fetch(name, match["repository"], match["revision"], [file for file in listed if file.endswith(SESSIONS)])


def _list(name: str, repository: str, revision: str | None) -> list[str]:
    from huggingface_hub import HfApi

    try:
        return sorted(HfApi().list_repo_files(repository, repo_type="dataset", revision=revision))
    except Exception as error:  # the network libraries below have no common base
        raise _unreadable(name, error) from error


def _fetch(name: str, repository: str, revision: str | None, files: list[str]) -> list[LogFile]:
    from huggingface_hub import snapshot_download

    if not files:
        return []
    try:
        folder = Path(
            snapshot_download(repository, repo_type="dataset", revision=revision, allow_patterns=[_literal(file) for file in files])
        )
    except Exception as error:  # the network libraries below have no common base
        raise _unreadable(name, error) from error
    return [LogFile(folder / file, f"{repository}/{file}") for file in files if (folder / file).is_file()]


def _literal(file: str) -> str:
    """A pattern that matches this name only."""
    return re.sub(r"([*?\[])", r"[\1]", file)


def _unreadable(name: str, error: Exception) -> BadInputError:
    first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return BadInputError(f"{name} cannot be read: {first}\nNext: check its name and revision, and your access")
