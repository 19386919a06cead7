"""Which code made a model: the package's version, a hash of its sources, and the versions of its dependencies.

A version alone does not identify a checkout between releases, and a wheel does not know its commit. The hash is the same in a wheel, an
editable install and a checkout of one commit, so that anyone who doubts a number can find the code that made it.
"""

import hashlib
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from tratree_data import __version__
from tratree_data.files import DATA_FOLDERS, PACKAGE, data_folder

STACK = ("torch", "transformers", "trl", "peft", "accelerate")


def provenance() -> dict[str, Any]:
    return {"version": __version__, "source": source_hash(), "packages": {name: _version(name) for name in STACK}}


@cache
def source_hash() -> str:
    """SHA-256 over the names and bytes of all Python files and data files of the package, shortened."""
    files = {f"tratree_data/{path.relative_to(PACKAGE).as_posix()}": path for path in PACKAGE.rglob("*.py")}
    for folder in DATA_FOLDERS:
        root = data_folder(folder)
        found = (path for path in root.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
        files |= {f"{folder}/{path.relative_to(root).as_posix()}": path for path in found}
    digest = hashlib.sha256()
    for name in sorted(files):
        digest.update(f"{name}\0{hashlib.sha256(files[name].read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()[:16]


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
