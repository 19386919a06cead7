"""Changes the core in one small way at a time and runs its tests: a change that no test notices is printed.

    python tests/mutants.py --sample 40 [--seed 0] [--only tree_search/mcts.py]

A change is shown to the tests that call the changed function, quickest first. Where none does, or where compiled code may behave otherwise,
all tests of the module have the last word.
A survivor is either equivalent (the program still does the same) or a missing test.
"""

import argparse
import ast
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
COPIED = ("tratree_data", "tests", "schemas", "sql", "pipelines", "publish", "benchmarks", "docs")
"""Folders, with the project's files beside them: what the tests need."""
TESTS = {
    "trees/merging.py": ["test_tree.py"],
    "trees/kernels.py": ["test_tree.py"],
    "trees/comparing.py": ["test_tree.py", "test_build.py"],
    "tree_search/mcts.py": ["test_search.py"],
    "tree_search/values.py": ["test_search.py"],
    "preferences/candidates.py": ["test_pairs.py"],
    "preferences/pair_filters.py": ["test_pair_filters.py", "test_pairs.py"],
    "store/writing/writer.py": ["test_store.py"],
    "store/writing/delta_tables.py": ["test_store.py", "test_schema_changes.py"],
    "store/log.py": ["test_store.py"],
    "releases/versions/version_numbers.py": ["test_version_numbers.py", "test_publish.py"],
    "evaluation/significance.py": ["test_evaluate.py"],
    "system/intervals.py": ["test_search.py"],
}
COMPARISONS = {"<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "!=", "!=": "==", "is": "is not", "in": "not in"}
SIGNS = {ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!=", ast.Is: "is", ast.In: "in"}
ARITHMETIC = {ast.Add: ("+", "-"), ast.Sub: ("-", "+"), ast.Mult: ("*", "/"), ast.Div: ("/", "*")}
MINUTES_PER_MUTANT = 15
SECONDS_PER_TEST = 60
"""What takes longer without compiled kernels is left for the second round."""


@dataclass(frozen=True)
class Mutant:
    """One change: `old` at this place of the file becomes `new`."""

    file: str
    line: int
    start: int
    end: int
    old: str
    new: str


def find_mutants(file: str) -> list[Mutant]:
    """Every small change of a module, by its place in the text."""
    text = (ROOT / "tratree_data" / file).read_text(encoding="utf-8")
    starts = [0]
    for line in text.encode().splitlines(keepends=True):
        starts.append(starts[-1] + len(line))

    def place(line: int, column: int) -> int:
        return starts[line - 1] + column

    found = []
    for node in ast.walk(ast.parse(text)):
        for between, old, new in changes(node):
            low, high = (place(*position) for position in between)
            at = text.encode().find(old.encode(), low, high)
            if at >= 0:
                found.append(Mutant(file, between[0][0], at, at + len(old.encode()), old, new))
    return sorted(set(found), key=lambda mutant: (mutant.start, mutant.new))


Place = tuple[tuple[int, int], tuple[int, int]]


def changes(node: ast.AST) -> Iterator[tuple[Place, str, str]]:
    """(where to look, what to find there, what to put in its place)."""
    if isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in SIGNS:
        sign = SIGNS[type(node.ops[0])]
        yield between(node.left, node.comparators[0]), sign, COMPARISONS[sign]
    elif isinstance(node, ast.BinOp) and type(node.op) in ARITHMETIC:
        yield between(node.left, node.right), *ARITHMETIC[type(node.op)]
    elif isinstance(node, ast.BoolOp):
        word = "and" if isinstance(node.op, ast.And) else "or"
        yield between(node.values[0], node.values[1]), word, "or" if word == "and" else "and"
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield whole(node), "not ", ""
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield whole(node), str(node.value), str(not node.value)
    elif isinstance(node, ast.Constant) and isinstance(node.value, int):
        yield whole(node), str(node.value), str(node.value + 1)


def between(left: ast.expr, right: ast.expr) -> Place:
    return (left.end_lineno or 0, left.end_col_offset or 0), (right.lineno, right.col_offset)


def whole(node: ast.expr) -> Place:
    return (node.lineno, node.col_offset), (node.end_lineno or 0, node.end_col_offset or 0)


def command(tests: Iterable[str], *options: str) -> list[str]:
    files = sorted({str(Path("tests", test.partition("::")[0].removeprefix("tests/"))) for test in tests})
    return [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-p", "helpers.touched", *options, *files]


def environment(copy: Path, **more: str) -> dict[str, str]:
    path = os.pathsep.join((str(copy), str(copy / "tests")))
    return {**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1", "NUMBA_CACHE_DIR": str(copy / ".numba"), **more}


def tests_that_call(files: Iterable[str], copy: Path) -> dict[tuple[str, int], list[str]]:
    """(file, first line of a function) → the tests that call it, quickest first. Kernels are not compiled, so that they count too."""
    tests = sorted({test for file in files for test in TESTS[file]})
    touched = copy.parent / "touched.json"
    traced = os.pathsep.join(str(copy / "tratree_data" / file) for file in files)
    settings = environment(copy, NUMBA_DISABLE_JIT="1", MUTANTS_TOUCHED=str(touched), MUTANTS_FILES=traced)
    options = ("--maxfail=1000", "-m", "not slow", f"--timeout={SECONDS_PER_TEST}")
    subprocess.run(command(tests, *options), cwd=copy, env=settings, check=False, stdout=subprocess.DEVNULL)
    found: dict[tuple[str, int], list[tuple[float, str]]] = defaultdict(list)
    for test, (seconds, calls) in json.loads(touched.read_text(encoding="utf-8")).items():
        for path, line in calls:
            found[str(Path(path).relative_to(copy / "tratree_data")), line].append((seconds, test))
    return {place: [test for _, test in sorted(tests)] for place, tests in found.items()}


def function_around(mutant: Mutant, copy: Path) -> int:
    """The first line of the innermost function that contains the change, its decorators included; 0 at the top of the module."""
    tree = ast.parse((copy / "tratree_data" / mutant.file).read_text(encoding="utf-8"))
    around = [
        min(part.lineno for part in (node, *node.decorator_list))
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and node.lineno <= mutant.line <= (node.end_lineno or 0)
    ]
    return max(around, default=0)


def survives(mutant: Mutant, copy: Path, tests: list[str]) -> bool:
    """Whether the tests that call the function pass with the change; of compiled code, and of what no test calls, all of the module's."""
    path = copy / "tratree_data" / mutant.file
    before = path.read_bytes()
    path.write_bytes(before[: mutant.start] + mutant.new.encode() + before[mutant.end :])
    chosen = copy.parent / "tests.json"
    chosen.write_text(json.dumps(tests), encoding="utf-8")
    try:
        if tests and not passes(command(tests), environment(copy, NUMBA_DISABLE_JIT="1", MUTANTS_TESTS=str(chosen)), copy):
            return False
        if tests and b"@compiled" not in before:
            return True
        shutil.rmtree(copy / ".numba", ignore_errors=True)
        return passes(command(TESTS[mutant.file]), environment(copy), copy)
    finally:
        path.write_bytes(before)


def passes(command: list[str], environment: dict[str, str], copy: Path) -> bool:
    try:
        done = subprocess.run(command, cwd=copy, env=environment, capture_output=True, check=False, timeout=60 * MINUTES_PER_MUTANT)
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--sample", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=sorted(TESTS))
    arguments = parser.parse_args()
    mutants = [mutant for file in ([arguments.only] if arguments.only else TESTS) for mutant in find_mutants(file)]
    sample = random.Random(arguments.seed).sample(mutants, min(arguments.sample, len(mutants)))
    print(f"seed {arguments.seed}: {len(sample)} of {len(mutants)} mutants", flush=True)
    survivors = []
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "checkout"
        copy.mkdir()
        for name in COPIED:
            shutil.copytree(ROOT / name, copy / name)
        for file in (*ROOT.glob("*.toml"), *ROOT.glob("*.md")):
            shutil.copy(file, copy)
        if (ROOT.parent / "shared").is_dir():
            (Path(folder) / "shared").symlink_to((ROOT.parent / "shared").resolve())
        began = time.monotonic()
        tests = tests_that_call(sorted({mutant.file for mutant in sample}), copy)
        print(f"{len(tests)} functions are called by tests  {time.monotonic() - began:.0f} s", flush=True)
        for number, mutant in enumerate(sample, 1):
            began = time.monotonic()
            survived = survives(mutant, copy, tests.get((mutant.file, function_around(mutant, copy)), []))
            survivors += [mutant] * survived
            state = "SURVIVED" if survived else "noticed"
            place = f"{mutant.file}:{mutant.line}"
            print(f"{number:4} {state:8} {place}  {mutant.old!r} → {mutant.new!r}  {time.monotonic() - began:.0f} s", flush=True)
    print(json.dumps({"seed": arguments.seed, "mutants": len(sample), "survivors": [vars(mutant) for mutant in survivors]}))


if __name__ == "__main__":
    main()
