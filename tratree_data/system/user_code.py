"""Code that the user named in a command: a class or function in an installed module or in a file. Names found in data never come here."""

import os
import sys
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

from tratree_data.errors import NotFoundError
from tratree_data.ids import content_id


def load_named(name: str, kind: str) -> Any:
    """What "module:Name" or "folder/file.py:Name" names, also in the current folder; `kind` is the caller's word for it."""
    where, _, attribute = name.rpartition(":")
    advice = f"Next: write module:Name with the module in this folder or on PYTHONPATH, or {kind}.py:Name"
    is_file = where.endswith(".py")
    if not attribute.isidentifier() or not (is_file or all(part.isidentifier() for part in where.split("."))):
        raise NotFoundError(f"{name!r} does not name a class or function.\n{advice}")
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    try:
        return getattr(_load_file(Path(where)) if is_file else import_module(where), attribute)
    except (ImportError, AttributeError, OSError, SyntaxError) as error:
        raise NotFoundError(f"No {kind} was found at {name!r}: {error}.\n{advice}") from error


def _load_file(path: Path) -> ModuleType:
    """Imports a file once, under a name that hides no installed module; it can import modules beside it."""
    resolved = path.resolve(strict=True)
    name = f"{resolved.stem}_{content_id(str(resolved))}"
    if name in sys.modules:
        return sys.modules[name]
    spec = spec_from_file_location(name, resolved)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is not a Python file")
    module = module_from_spec(spec)
    sys.modules[name] = module
    if str(resolved.parent) not in sys.path:
        sys.path.append(str(resolved.parent))
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
