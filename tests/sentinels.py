"""Runs every writing verb among things that are not its own, and prints each change that it makes to them.

    python tests/sentinels.py [--only publish]

Two witnesses: the calls that change files, wherever they are (file_calls.c), and every file, link and folder before and after.
"""

import argparse
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from helpers.file_calls import LOADED, changes_in, forked, run_preloaded
from helpers.writing_verbs import VERBS, prepare, written_by

import tratree_data as td


def place_sentinels(root: Path) -> None:
    """Beside and below what the verbs are given: files, folders, a dataset's look-alike, links at every level that a verb may follow."""
    elsewhere = root.parent / "elsewhere"
    for folder in (elsewhere, root, *(root / name for name in ("d", "release") if (root / name).is_dir())):
        (folder / "notes").mkdir(parents=True)
        (folder / "notes" / "mine.txt").write_text("mine")
    for table in ("steps", "annotations", "dropped"):  # with a Delta table, and without
        if (root / "d").is_dir():
            (root / "d" / table).mkdir(exist_ok=True)
            (root / "d" / table / "mine.parquet").write_bytes(b"PAR1")
    (elsewhere / "part-00000.parquet").write_bytes(b"PAR1")
    (root / "mine.txt").write_text("mine")
    (root / ".new-notes").mkdir()
    (root / ".d-abcdefgh").mkdir()
    (root / ".d-abcdefgh" / "mine.txt").write_text("mine")
    for link, target in (("link", elsewhere), (".new-link", elsewhere), ("dangling", elsewhere / "none")):
        (root / link).symlink_to(target)
    (root.parent / "d").symlink_to(elsewhere)


def snapshot(root: Path, own: Sequence[str]) -> dict[str, tuple[int, int, bytes | str]]:
    """What is not the verb's own: inode, time of change, content."""
    found = {}
    for path in sorted(root.parent.rglob("*")):
        name = path.relative_to(root).as_posix() if path.is_relative_to(root) else f"../{path.relative_to(root.parent)}"
        if not re.match(r"\.\./(temp|cache)\b", name) and not _is_own(path, root, own) and path != root:
            state = path.lstat()
            said = str(path.readlink()) if path.is_symlink() else path.read_bytes() if path.is_file() else ""
            found[name] = (state.st_ino, 0 if path.is_dir() else state.st_mtime_ns, said)
    return found


def _is_own(path: Path, root: Path, own: Sequence[str]) -> bool:
    if "notes" in path.parts or path.name.startswith("mine.") or not path.is_relative_to(root):
        return False
    first = path.relative_to(root).parts[:1]
    return bool(first) and (first[0] in own or any(re.fullmatch(rf"\.{re.escape(name)}-[a-z0-9_]{{8}}", first[0]) for name in own))


def run_verb(verb: str, folder: Path) -> list[str]:
    """Faults."""
    kind, command = VERBS[verb]
    root, own = folder / "place" / "root", written_by(verb)
    shutil.rmtree(root.parent, ignore_errors=True)
    for name in ("temp", "cache", "home"):
        (root.parent / name).mkdir(parents=True)
    if not (folder / kind).exists():
        forked(lambda: prepare(folder / kind, kind))
    shutil.copytree(folder / kind, root)
    place_sentinels(root)
    before, log = snapshot(root, own), folder / f"{verb}.log"
    ended = forked(lambda: command(root), below=Path("/"), log=log)
    faults = [ended.trace] if ended.error else []
    changes = changes_in(log)
    faults += ["it changed nothing of its own"] * (not any(_is_own(Path(path), root, own) for _, path in changes))
    for call, path in changes:
        allowed = ("/dev/", f"{root.parent}/temp/", f"{root.parent}/cache/", str(log))
        if "/tratree_data/" in path and "__pycache__" in path:  # what Python and Numba compile, once
            continue
        if not path.startswith(allowed) and not _is_own(Path(path), root, own) and not (call == "mkdir" and Path(path).is_dir()):
            faults.append(f"{call} {path}")
    after = snapshot(root, own)
    return faults + [f"changed: {name}" for name in sorted({*before, *after}) if before.get(name) != after.get(name)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", action="append", choices=VERBS)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="sentinels-") as name:
        folder = Path(name).resolve()
        if LOADED not in os.environ:
            sys.exit(run_preloaded(Path(__file__), *sys.argv[1:], folder=folder))
        for verb in td.__all__:
            getattr(td, verb)
        place = folder / "place"
        tempfile.tempdir = os.environ["TMPDIR"] = str(place / "temp")
        os.environ |= {"HOME": str(place / "home"), "XDG_CACHE_HOME": str(place / "cache"), "TRATREE_CACHE": str(place / "cache/tratree")}
        faults = {verb: run_verb(verb, folder) for verb in arguments.only or VERBS}
    for verb, found in faults.items():
        print(f"{verb}: {len(found)} faults")
        print("".join(f"  {fault}\n" for fault in found[:20]), end="")
    sys.exit(any(faults.values()))


if __name__ == "__main__":
    main()
