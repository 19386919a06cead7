"""Writes a module's name wherever a dataset or release holds a text, runs every verb, and prints what was imported, started or executed.

    python tests/names.py [--sample 10] [--seed 0] [--done FILE --minutes 10]

A text is a value in the lineage of a dataset or a release, or a whole column. Several are replaced together; if a verb then
refuses what it did before, which could hide the others, each half of them is tried again, down to single texts. Without --sample:
all of them; with --done, the same command takes those that were not tried yet.
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
from helpers.slices import add_slice_options, slice_of
from helpers.writing_verbs import prepare

import tratree_data as td
from tratree_data.errors import TratreeError
from tratree_data.exploration.explore import explore
from tratree_data.releases.redaction.redaction_rules import load_rules

CANARY = "canary_module"
NAMES = (f"{CANARY}:run", f"{CANARY}.inner:run", f"subprocess:{CANARY}", f"__import__('{CANARY}')", f"{{{{ cycler.__init__.{CANARY} }}}}")
PROCESSES = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork", "os.forkpty", "pty.spawn")
TOGETHER = 8
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


def watch(root: Path) -> tuple[list[str], set[str]]:
    """What the verbs imported, started or executed, with tracebacks; which verbs refused."""
    seen: list[str] = []
    refused: set[str] = set()

    def audit(event: str, arguments: tuple[Any, ...]) -> None:
        named = event in ("import", "compile", "exec") and CANARY in repr(arguments[:2])[:10_000]
        if named or event in PROCESSES:
            seen.append(f"{event} {arguments!r}"[:300])

    sys.addaudithook(audit)
    for verb, command in commands(root).items():
        try:
            command()
        except TratreeError:
            refused.add(verb)
        except Exception as error:
            seen.append(f"{verb}: {type(error).__name__}: {error}"[:300])
    return seen, refused


def attack(base: Path, work: Path, named: Sequence[tuple[Place, str]]) -> tuple[list[str], set[str]]:
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(base, work)
    for place, name in named:
        write_name(work, *place, name)
    ended: Ended = forked(lambda: watch(work))
    return ([ended.trace], set()) if ended.error or ended.killed else ended.value


def attack_each(base: Path, work: Path, named: Sequence[tuple[Place, str]], calm: set[str]) -> list[str]:
    """The faults of these texts, tried together where no verb refuses more than it does of the unchanged dataset."""
    seen, refused = attack(base, work, named)
    if len(named) > 1 and (seen or not refused <= calm):
        half = len(named) // 2
        return attack_each(base, work, named[:half], calm) + attack_each(base, work, named[half:], calm)
    return [f"{named[0][0]} = {named[0][1]}: {fault}" for fault in seen]


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sample", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    add_slice_options(parser)
    arguments = parser.parse_args(words)
    done = slice_of(arguments)
    dice = random.Random(arguments.seed)
    for verb in td.__all__:
        getattr(td, verb)
    load_rules()
    with tempfile.TemporaryDirectory(prefix="names-") as folder:
        base, work = Path(folder) / "base", Path(folder) / "work"
        os.environ["TRATREE_CACHE"] = "off"
        (Path(folder) / "modules").mkdir()
        (Path(folder) / "modules" / f"{CANARY}.py").write_text("def run(*a, **k): ...\n")
        sys.path.insert(0, str(Path(folder) / "modules"))
        ended = forked(lambda: prepare(base, "released"))
        assert not ended.error, ended.trace
        every = places(base)
        names = [dice.choice(NAMES) for _ in every]
        chosen = sorted(dice.sample(range(len(every)), arguments.sample)) if arguments.sample else range(len(every))
        left, tried, faults = done.left("name", chosen), 0, 0
        calm = attack(base, work, [])[1]
        for numbers in (left[start : start + TOGETHER] for start in range(0, len(left), TOGETHER)):
            if done.is_over:
                break
            found = attack_each(base, work, [(every[number], names[number]) for number in numbers], calm)
            for number in numbers:
                done.add("name", number, [fault for fault in found if fault.startswith(f"{every[number]} = ")])
            tried, faults = tried + len(numbers), faults + len(found)
            print("".join(f"{fault}\n" for fault in found), end="", flush=True)
    of_all = f" ({len(done.faults('name'))} in all)" if done.file else ""
    print(f"{tried}{of_all} of {len(every)} texts, {faults} faults")
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
