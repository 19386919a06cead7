"""The house: stages never import each other, imports have no circles, heavy libraries come in through a function."""

import ast
import re
from graphlib import TopologicalSorter
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "tratree_data"
HEAVY = {"torch", "trl", "transformers", "peft", "sentence_transformers", "faiss"}
HEAVY |= {"ray", "vllm", "matplotlib", "openai", "datasets", "scipy", "mcp"}


def name_of(path: Path) -> str:
    return ".".join(("tratree_data", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__")


def imports(tree: ast.AST) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


FILES = {name_of(path): ast.parse(path.read_text(encoding="utf-8")) for path in PACKAGE.rglob("*.py")}
GRAPH = {name: {other for other in imports(tree) if other in FILES and other != name} for name, tree in FILES.items()}


def top_level(tree: ast.Module) -> set[str]:
    """What importing the file imports, functions and TYPE_CHECKING left out."""
    return imports(ast.Module([node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)], []))


def test_importing_goes_in_no_circles() -> None:
    below = {}
    for name, tree in FILES.items():  # a package's face imports its rooms, and they its names: that is one place
        others = {other for other in top_level(tree) if other in FILES and other != name}
        below[name] = {other for other in others if not other.startswith(f"{name}.") and not name.startswith(f"{other}.")}
    assert list(TopologicalSorter(below).static_order())


def test_heavy_libraries_stay_behind_a_function() -> None:
    """A file may import them when it is imported only if it is itself imported inside functions."""
    heavy = {name for name, tree in FILES.items() if {module.split(".")[0] for module in top_level(tree)} & HEAVY}
    for name, tree in FILES.items():
        found = top_level(tree) & heavy
        assert name in heavy or not found, f"{name} imports {found}, and with it {HEAVY}, when it is imported"


LEVELS = (
    {"errors", "ids", "files", "messages", "stages", "results"},
    {"system"},
    {"store", "models"},
    {"environments", "agents"},
    {
        "exploration", "importers", "exporters", "scoring", "trees", "state_graphs", "tree_search", "preferences", "editing", "training",
        "evaluation",
    },
    {"viewing"},
    {"releases", "experiments"},
    {"pipelines", "verification"},
    {"cli"},
)  # fmt: skip
"""Modules of the root and folders, from the ground up. Those of one level do not know each other: stages meet in tables."""
ALLOWED = {
    ("agents", "environments"): "an expert asks its environment what to do",
    ("state_graphs", "trees"): "states compare steps as trees do",
    ("evaluation", "exploration"): "an evaluation is an exploration",
    ("exporters", "importers"): "an exporter writes the records that an importer reads",
    ("experiments", "cli"): "an experiment trains each model in a process of its own, started by its command",
}


def imports_in_strings(tree: ast.AST) -> set[str]:
    """Modules named in texts, for imports that happen when they are needed: "tratree_data.tree_search.mcts", also in front of ":Class"."""
    words = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    names = {name for text in words for name in re.findall(r"tratree_data(?:\.\w+)+", text)}
    return {name for name in names if name in FILES}


def place(name: str) -> str:
    return name.split(".")[1] if "." in name else ""


def test_every_folder_has_a_level() -> None:
    assert {place(name) for name in FILES} - {""} == set().union(*LEVELS)
    assert sum(path.suffix == ".py" for path in PACKAGE.iterdir()) < 10, "the root has fewer than ten modules"


def test_imports_point_down() -> None:
    level = {folder: number for number, folders in enumerate(LEVELS) for folder in folders}
    used = set()
    for name, others in GRAPH.items():
        for other in others | imports_in_strings(FILES[name]):
            pair = (place(name), place(other))
            if "" in pair or pair[0] == pair[1] or {*pair} <= LEVELS[0]:
                continue
            used |= {pair} & ALLOWED.keys()
            assert level[pair[1]] < level[pair[0]] or pair in ALLOWED, f"{name} imports {other}"
    assert used == ALLOWED.keys()


def test_no_folder_hides_a_verb() -> None:
    """`tratree_data.search` is the verb: a folder of that name would take its place as soon as something in it is imported."""
    import tratree_data

    assert not {place(name) for name in FILES} & set(tratree_data.__all__)
