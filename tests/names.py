"""Writes a module's name wherever a dataset or release holds a text, runs every verb, and prints what was imported, started or executed.

    python tests/names.py [--sample 10] [--seed 0]

One text at a time: a value in the lineage of a dataset or a release, or a whole column. Without --sample: all of them.
"""

import argparse
import json
import os
import random
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import pyarrow as pa
import pyarrow.parquet as pq
from helpers.file_calls import Ended, forked
from helpers.writing_verbs import prepare

import tratree_data as td
from tratree_data.errors import TratreeError
from tratree_data.exploration.explore import explore

CANARY = "canary_module"
NAMES = (f"{CANARY}:run", f"{CANARY}.inner:run", f"subprocess:{CANARY}", f"__import__('{CANARY}')", f"{{{{ cycler.__init__.{CANARY} }}}}")
PROCESSES = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork", "os.forkpty", "pty.spawn")
Place = tuple[Any, ...]


def leaves(value: Any, at: Place = ()) -> Iterator[Place]:
    if isinstance(value, str):
        yield at
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from leaves(inner, (*at, key))


def changed(value: Any, at: Place, name: str) -> Any:
    holder = value
    for key in at[:-1]:
        holder = holder[key]
    holder[at[-1]] = name
    return value


def places(root: Path) -> list[Place]:
    """Every text, as (kind, file, where in it)."""
    found: list[Place] = []
    for log in sorted((root / "d").glob("*/_delta_log/*.json")):
        for number, action in enumerate(map(json.loads, log.read_text().splitlines())):
            lineage = action.get("commitInfo", {}).get("tratree")
            found += [("log", str(log.relative_to(root)), (number, *at)) for at in leaves(json.loads(lineage or "{}"))]
    manifest = root / "release/versions/0.1.0/lineage.json"
    found += [("manifest", str(manifest.relative_to(root)), at) for at in leaves(json.loads(manifest.read_text()))]
    for table in sorted((root / "d").glob("*/_delta_log")):
        files = sorted(table.parent.glob("*.parquet"))
        schema = pq.read_schema(files[0]) if files else ()
        found += [("column", table.parent.name, field.name) for field in schema if pa.types.is_string(field.type)]
    return found


def write_name(root: Path, kind: str, file: str, where: Any, name: str) -> None:
    if kind == "log":
        path, (number, *at) = root / file, where
        lines = path.read_text().splitlines()
        action = json.loads(lines[number])
        action["commitInfo"]["tratree"] = json.dumps(changed(json.loads(action["commitInfo"]["tratree"]), tuple(at), name))
        lines[number] = json.dumps(action, separators=(",", ":"))
        path.write_text("\n".join(lines) + "\n")
    elif kind == "manifest":
        (root / file).write_text(json.dumps(changed(json.loads((root / file).read_text()), where, name)))
    else:
        for path in (root / "d" / file).glob("*.parquet"):
            table = pq.read_table(path)
            column = pa.array([name] * table.num_rows, table.schema.field(where).type)
            pq.write_table(table.set_column(table.schema.get_field_index(where), table.schema.field(where), column), path)
            for log in (root / "d" / file / "_delta_log").glob("*.json"):
                lines = [json.loads(line) for line in log.read_text().splitlines()]
                for add in (line["add"] for line in lines if line.get("add", {}).get("path") == path.name):
                    add |= {"size": path.stat().st_size, "stats": None}
                log.write_text("\n".join(json.dumps(line, separators=(",", ":")) for line in lines) + "\n")


def commands(root: Path) -> dict[str, Callable[[], Any]]:
    d, release = root / "d", root / "release"
    return {
        "replay": lambda: td.replay(d, workers=1),
        "check": lambda: td.check(d),
        "stats": lambda: td.stats(d),
        "show": lambda: td.show(d),
        "view": lambda: td.view(d, out=root / "page.html"),
        "figure": lambda: td.figure(d, "tree", root / "tree.svg"),
        "explore": lambda: explore(d, "toyshop", "scripted", 1, tasks=1),
        "export": lambda: [td.export(d, root / f"export-{kind}", kind) for kind in ("trl", "adp", "atif", "verifiers")],
        "filter": lambda: td.filter(d, root / "filtered", "true"),
        "split": lambda: td.split(d, root / "divided", {"train": 0.5, "test": 0.5}),
        "merge": lambda: td.merge(d, release, root / "merged"),
        "publish": lambda: td.publish(d, root / "release", "0.2.0"),
        "from release": lambda: (td.check(release), td.filter(release, root / "again", "true")),
        "build": lambda: td.build(d, embedder="exact", workers=1, min_similarity=0.5),
        "search": lambda: td.search(d, threads=1, simulations=3),
        "states": lambda: td.states(d),
        "pairs": lambda: td.pairs(d),
        "demonstrations": lambda: td.demonstrations(d),
        "vacuum": lambda: td.vacuum(d, keep_days=0),
    }


def watch(root: Path) -> list[str]:
    """What the verbs imported, started or executed; tracebacks too."""
    seen: list[str] = []

    def audit(event: str, arguments: tuple[Any, ...]) -> None:
        named = event in ("import", "compile", "exec") and CANARY in repr(arguments[:2])[:10_000]
        if named or event in PROCESSES:
            seen.append(f"{event} {arguments!r}"[:300])

    sys.addaudithook(audit)
    for verb, command in commands(root).items():
        try:
            command()
        except TratreeError:
            continue
        except Exception as error:
            seen.append(f"{verb}: {type(error).__name__}: {error}"[:300])
    return seen


def attack(base: Path, work: Path, place: Place, name: str) -> list[str]:
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(base, work)
    write_name(work, *place, name)
    ended: Ended = forked(lambda: watch(work))
    return [ended.trace] if ended.error or ended.killed else list(ended.value)


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sample", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args(words)
    dice = random.Random(arguments.seed)
    for verb in td.__all__:
        getattr(td, verb)
    with tempfile.TemporaryDirectory(prefix="names-") as folder:
        base = Path(folder) / "base"
        os.environ["TRATREE_CACHE"] = "off"
        (Path(folder) / "modules").mkdir()
        (Path(folder) / "modules" / f"{CANARY}.py").write_text("def run(*a, **k): ...\n")
        sys.path.insert(0, str(Path(folder) / "modules"))
        ended = forked(lambda: prepare(base, "released"))
        assert not ended.error, ended.trace
        every = places(base)
        chosen = dice.sample(every, arguments.sample) if arguments.sample else every
        faults = 0
        for place in chosen:
            name = dice.choice(NAMES)
            for fault in attack(base, Path(folder) / "work", place, name):
                faults += 1
                print(f"{place} = {name}: {fault}", flush=True)
    print(f"{len(chosen)} of {len(every)} texts, {faults} faults")
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
