"""What the site adds to the pages: the README as its home, notebooks, links to the repository, and the reference made from the code."""

import inspect
import json
import re
from collections.abc import Iterator
from dataclasses import MISSING, fields
from os.path import relpath
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

import tratree_data
from tratree_data.results import StageResult
from tratree_data.store.reader import Store
from tratree_data.system.settings import field_kinds

ROOT = Path(__file__).parents[1]
REPOSITORY = "https://github.com/tratree-data/tratree-data/blob/main"
CLASSES = (Store, StageResult)
LINK = re.compile(r"\[([^\]]*)\]\(([^)#\s]+)(#[^)\s]*)?\)")


def on_files(files: Any, config: Any) -> Any:
    """Each notebook is a page too, with what it displays."""
    for path in sorted((ROOT / "docs/notebooks").glob("*.ipynb")):
        book = json.loads(path.read_text(encoding="utf-8"))
        text = "\n\n".join(part for cell in book["cells"] for part in notebook_parts(cell))
        more = f"\n\n[Download this notebook]({path.name})\n"
        files.append(File.generated(config, f"notebooks/{path.stem}.md", content=text + more))
    return files


def notebook_parts(cell: dict[str, Any]) -> Iterator[str]:
    source = "".join(cell["source"])
    yield source if cell["cell_type"] == "markdown" else f"```python\n{source}\n```"
    for output in cell.get("outputs", []):
        data = {kind: "".join(text) for kind, text in output["data"].items()}
        shown = data.get("text/html") or data.get("image/svg+xml")
        yield f'<div class="output">{shown}</div>' if shown else f"```text\n{data['text/plain']}\n```"


def on_page_read_source(page: Any, config: Any) -> str | None:
    if page.file.src_path == "index.md":
        return (ROOT / "README.md").read_text(encoding="utf-8").replace('="docs/', '="')
    if page.file.src_path == "reference.md":
        return (ROOT / "docs/reference.md").read_text(encoding="utf-8") + reference()
    return None


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Links are written for readers of the repository; on the site, those that leave docs/ lead back to it."""
    here = ROOT if page.file.src_path == "index.md" else (ROOT / "docs" / page.file.src_path).parent
    shown = (ROOT / "docs" / page.file.src_path).parent

    def follow(match: re.Match[str]) -> str:
        text, target, anchor = match[1], match[2], match[3] or ""
        path = (here / target).resolve()
        if "://" in target or not path.exists():
            return match[0]
        if path.is_relative_to(ROOT / "docs") and path.suffix != ".json":
            page_of = path.with_suffix(".md") if path.suffix == ".ipynb" and not text.startswith("Download") else path
            return f"[{text}]({relpath(page_of, shown)}{anchor})"
        return f"[{text}]({REPOSITORY}/{path.relative_to(ROOT).as_posix()}{anchor})"

    return LINK.sub(follow, markdown)


def reference() -> str:
    """Every public function with its signature, its docstring and its settings, then the classes that they return."""
    functions = [describe_function(name, getattr(tratree_data, name)) for name in tratree_data.__all__]
    return "\n".join([*functions, *map(describe_class, CLASSES)])


def describe_function(name: str, function: Any) -> str:
    settings = vars(function).get("settings")
    arguments = "directory, **settings" if settings else ", ".join(map(str, inspect.signature(function).parameters.values()))
    lines = [f"\n## {name}\n", f"```python\ntratree_data.{name}({arguments})\n```\n", inspect.getdoc(function) or ""]
    if settings:
        defaults = {field.name: field.default for field in fields(settings)}
        lines += ["", "| setting | type | default | |", "|---|---|---|---|"]
        for field, (kind, setting) in field_kinds(settings).items():
            default = "" if defaults[field] is MISSING else f"`{defaults[field]!r}`"
            lines.append(f"| `{field}` | `{type_name(kind)}` | {default} | {cell(setting.help)} |")
    return "\n".join(lines)


def describe_class(kind: type) -> str:
    lines = [f"\n## {kind.__name__}\n", inspect.getdoc(kind) or "", ""]
    for name, member in vars(kind).items():
        documented = inspect.getdoc(member) if callable(member) or isinstance(member, property) else None
        if documented and not name.startswith("_"):
            lines.append(f"- **`{name}`**: {cell(documented.splitlines()[0])}")
    return "\n".join(lines)


def type_name(kind: Any) -> str:
    """As it is written in code; a bar would end the table's cell."""
    return cell(inspect.formatannotation(kind).replace("collections.abc.", "").replace("typing.", ""))


def cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
