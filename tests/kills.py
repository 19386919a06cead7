"""Kills every writing verb at each call that changes a file, runs it again, and compares with an undisturbed run.

    python tests/kills.py [--only split] [--sample 5] [--seed 0]

Without --sample: every call. A fault is printed with its verb and call; --at CALL repeats it (-1 is the last).
"""

import argparse
import os
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from helpers.file_calls import LOADED, Ended, forked, run_preloaded
from helpers.writing_verbs import CANARY, VERBS, broken, content, files_with, prepare

import tratree_data as td
from tratree_data.errors import TratreeError

CHECKED = 10
"""One in so many is also checked, which takes longer than the verbs; all are compared with a run that was."""


def kill_verb(verb: str, folder: Path, calls: list[int] | None, sample: int, dice: random.Random) -> tuple[int, int, list[str]]:
    """(calls that change files, kills, faults)"""
    kind, command = VERBS[verb]
    base = folder / kind
    if not base.exists():
        _need(forked(lambda: prepare(base, kind)))
    work = folder / "work"
    undisturbed = _start(base, work)
    calm = _need(forked(lambda: command(undisturbed), below=undisturbed))
    expected = _need(forked(lambda: (content(undisturbed), broken(undisturbed)))).value
    chosen = [call if call > 0 else calm.calls + 1 + call for call in calls or range(1, calm.calls + 1)]
    chosen = sorted(dice.sample(chosen, sample)) if 0 < sample < len(chosen) else chosen
    faults = []
    for call in chosen:
        root = _start(base, work)
        killed = forked(lambda root=root: command(root), below=root, kill_at=call)
        if not killed.killed:
            faults.append(f"{verb} at call {call}: not killed, {killed.trace or 'it ended before'}")
            continue
        again = forked(lambda root=root: command(root))
        fault = _fault(verb, root, again, expected, call == chosen[0] or call % CHECKED == 0)
        if fault:
            faults.append(f"{verb} killed at call {call}: {fault}")
    shutil.rmtree(work, ignore_errors=True)
    return calm.calls, len(chosen), faults


def _start(base: Path, work: Path) -> Path:
    shutil.rmtree(work, ignore_errors=True)
    return Path(shutil.copytree(base, work, symlinks=True))


def _need(ended: Ended) -> Ended:
    if ended.killed or ended.error:
        sys.exit(ended.trace or "killed")
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
    parser.add_argument("--sample", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tratree-kills-") as name:
        if LOADED not in os.environ:
            sys.exit(run_preloaded(Path(__file__), *sys.argv[1:], folder=Path(name)))
        for verb in td.__all__:  # once, rather than in each process that is forked
            getattr(td, verb)
        dice, faults = random.Random(arguments.seed), []
        for verb in arguments.only or VERBS:
            started = time.perf_counter()
            calls, kills, found = kill_verb(verb, Path(name).resolve(), arguments.at, arguments.sample, dice)
            faults += found
            print(f"{verb}: {calls} calls, {kills} kills, {len(found)} faults, {time.perf_counter() - started:.0f} s", flush=True)
            print("".join(f"  {fault}\n" for fault in found[:20]), end="", flush=True)
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
