"""Every writing verb as if killed before each call that changes a file, run again, and compared with an undisturbed run.

    python tests/kills.py [--only split] [--distinct] [--sample 5] [--seed 0] [--workers 2] [--done FILE --minutes 10]

A verb runs once and is stopped before each call; what is on the disk then is what a kill would have left, and is kept. From each of these
states the verb runs again. Without --sample: every call. With --distinct: of calls of one kind, for one kind of file in one folder,
the first and the last: `publish` makes a thousand, most of which copy one small file after the other. A fault is printed with its
verb and call; --at CALL repeats it (-1 is the last). With --done, the same command takes the calls that were not tried yet.
"""

import argparse
import importlib
import os
import random
import re
import shutil
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from multiprocessing import get_context
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from helpers.file_calls import LOADED, Ended, changes_in, forked, run_preloaded
from helpers.slices import Slice, add_slice_options, slice_of
from helpers.writing_verbs import CANARY, VERBS, broken, content, files_with, prepare

import tratree_data as td
from tratree_data.errors import TratreeError
from tratree_data.releases.redaction.redaction_rules import load_rules

CHECKED = 10
"""One in so many is also checked, which takes longer than the verbs; all are compared with a run that was."""
KEPT = 100
"""So many states are on the disk at once."""


def kill_verb(
    verb: str, folder: Path, calls: list[int] | None, distinct: bool, sample: int, seed: str, done: Slice, share: Any
) -> tuple[int, int, int, list[str]]:
    """(calls that change files, states that the verb was repeated from, states that are left, faults)"""
    kind, command = VERBS[verb]
    base, work = folder / kind, folder / "work"
    if not base.exists():
        _need(forked(lambda: prepare(base, kind)))
    _start(base, work)
    log = folder / "calls.log"
    log.unlink(missing_ok=True)
    calm = _need(forked(lambda: (command(work), set(sys.modules))[1], below=work, log=log))
    for module in sorted(calm.value - set(sys.modules)):  # once, rather than in each process that is forked
        with suppress(Exception):
            importlib.import_module(module)
    expected = _need(forked(lambda: (content(work), broken(work)))).value
    chosen = [call if call > 0 else calm.calls + 1 + call for call in calls or _numbers(log, calm.calls, distinct)]
    chosen = (sorted(random.Random(seed).sample(chosen, sample)) if 0 < sample < len(chosen) else chosen)[share]
    chosen = done.left(verb, chosen)
    faults, tried = [], 0
    for batch in (chosen[start : start + KEPT] for start in range(0, len(chosen), KEPT)):
        _start(base, work)
        _need(forked(lambda: command(work) and None, below=work, at_change=lambda call, kept=batch: _keep(work, folder, call, kept)))
        for call in batch:
            if done.is_over:
                break
            shutil.rmtree(work)
            tried += 1
            fault = "it ended before"
            if (state := folder / f"killed-{call}").exists():
                state.rename(work)
                again = forked(lambda: command(work) and None)
                fault = _fault(verb, work, again, expected, call == chosen[0] or call % CHECKED == 0)
            found = [f"{verb} killed at call {call}: {fault}"] * bool(fault)
            done.add(verb, call, found)
            faults += found
        if done.is_over:
            break
    for state in [work, *folder.glob("killed-*")]:
        shutil.rmtree(state)
    return calm.calls, tried, len(chosen) - tried, faults


def _numbers(log: Path, count: int, distinct: bool) -> list[int]:
    """Which calls to kill at."""
    if not distinct:
        return list(range(1, count + 1))
    alike: dict[tuple[str, str, str], list[int]] = {}
    made = [(call, Path(re.sub("#[0-9]+$", "", path))) for call, path in changes_in(log) if call != "rename to"]
    assert len(made) == count, "the log has other calls than were counted"
    for number, (call, path) in enumerate(made, 1):
        alike.setdefault((call, re.sub("[.-][a-z0-9_]{8}(?=/|$)|[0-9a-f]{8,}|[0-9]+", "*", str(path.parent)), path.suffix), []).append(
            number
        )
    return sorted({number for numbers in alike.values() for number in (numbers[0], numbers[-1])})


def _start(base: Path, work: Path) -> None:
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(base, work, symlinks=True)


def _keep(work: Path, folder: Path, call: int, kept: list[int]) -> None:
    """A copy whose files changed in the same order, which is how a verb knows that nobody touched what it left behind."""
    if call not in kept:
        return
    copy = folder / f"killed-{call}"
    files = {path for path in work.rglob("*") if path.is_file() and not path.is_symlink()}
    shutil.copytree(work, copy, symlinks=True, ignore=lambda at, names: [name for name in names if Path(at) / name in files])
    for file in sorted(files, key=lambda path: path.stat().st_ctime_ns):
        shutil.copy2(file, copy / file.relative_to(work))


def _need(ended: Ended) -> Ended:
    if ended.killed or ended.error:
        raise RuntimeError(ended.trace)
    return ended


def _fault(verb: str, root: Path, again: Ended, expected: tuple[dict[str, Any], list[str]], checked: bool) -> str:
    """What is wrong after the repetition. It may refuse where the killed command had done everything; its own check says so."""
    if again.killed or (again.error and not isinstance(again.error, TratreeError)):
        return f"repeating it ended with {again.trace}"
    purged = verb == "purge"
    state = forked(lambda: (content(root), broken(root) if checked else expected[1], files_with(root / "d", CANARY) if purged else []))
    if state.error:
        return f"afterwards, {state.trace.splitlines()[-1] if again.error else state.trace}; it said {again.error}"
    found, rules, left = state.value
    differ = sorted(name for name in {*found, *expected[0]} if found.get(name) != expected[0].get(name))
    said = f" (it said: {again.error})" if again.error else ""
    faults = [f"{', '.join(differ[:6])} differ{said}"] * bool(differ) + [f"broken: {rules}"] * (rules != expected[1])
    return "; ".join(faults + [f"left: {left}"] * bool(left))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", action="append", choices=VERBS)
    parser.add_argument("--at", type=int, action="append")
    parser.add_argument("--distinct", action="store_true")
    parser.add_argument("--sample", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1)
    add_slice_options(parser)
    arguments = parser.parse_args()
    done = slice_of(arguments)
    with tempfile.TemporaryDirectory(prefix="tratree-kills-") as name:
        if LOADED not in os.environ:
            sys.exit(run_preloaded(Path(__file__), *sys.argv[1:], folder=Path(name)))
        load_rules()
        for verb in td.__all__:
            getattr(td, verb)
        faulty, workers = False, arguments.workers
        with ProcessPoolExecutor(workers, get_context("fork")) as pool:
            for verb in arguments.only or VERBS:
                if done.is_over:
                    break
                started = time.perf_counter()
                of_verb = (arguments.at, arguments.distinct, arguments.sample, f"{arguments.seed} {verb}", done)
                folders = [Path(name).resolve() / str(worker) for worker in range(workers)]
                jobs = [pool.submit(kill_verb, verb, folder, *of_verb, slice(i, None, workers)) for i, folder in enumerate(folders)]
                results = [job.result() for job in jobs]
                found = [fault for result in results for fault in result[3]]
                faulty |= bool(found)
                kills, left, seconds = sum(one[1] for one in results), sum(one[2] for one in results), time.perf_counter() - started
                of_all = f" ({len(done.faults(verb))} in all, {left} left)" if done.file else ""
                print(f"{verb}: {results[0][0]} calls, {kills} kills{of_all}, {len(found)} faults, {seconds:.0f} s", flush=True)
                print("".join(f"  {fault}\n" for fault in found[:20]), end="", flush=True)
    sys.exit(faulty)


if __name__ == "__main__":
    main()
