"""The texts of the four data folders (schemas, sql, pipelines, publish).

In a wheel they are inside the package, in a checkout or an editable install beside it; no other module knows where.
"""

from pathlib import Path

from tratree_data.errors import NotFoundError, suggest

PACKAGE = Path(__file__).parent
DATA_FOLDERS = ("schemas", "sql", "pipelines", "publish")


def data_folder(folder: str) -> Path:
    inside = PACKAGE / folder
    return inside if inside.is_dir() else PACKAGE.parent / folder


def file_names(folder: str, suffix: str) -> list[str]:
    """Names without suffix, sorted; `folder` may be nested ('sql/checks')."""
    top, *rest = folder.split("/")
    return sorted(path.stem for path in data_folder(top).joinpath(*rest).glob(f"*{suffix}"))


def read_text(folder: str, name: str) -> str:
    top, *rest = folder.split("/")
    path = data_folder(top).joinpath(*rest) / name
    if not path.is_file():
        raise NotFoundError(f"{folder}/ has no {name!r}.{suggest(name, (p.name for p in path.parent.glob('*.*')))}")
    return path.read_text(encoding="utf-8")
