"""What a command costs: wall and processor seconds, and the peak memory, of it and of every process that it starts (Linux)."""

import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

SAMPLE_SECONDS = 0.1
KIBIBYTE = 1024


def measured(command: Sequence[str], environment: dict[str, str] | None = None) -> dict[str, float]:
    """Runs the command to its end. Memory that processes share counts once (Pss), sampled ten times a second."""
    load, start = os.getloadavg()[0], time.perf_counter()
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    peak = [0]
    ended = threading.Event()
    sampler = threading.Thread(target=_sample, args=(process.pid, peak, ended), daemon=True)
    sampler.start()
    assert process.stderr is not None
    said = process.stderr.read()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    wall = time.perf_counter() - start
    ended.set()
    sampler.join()
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{said.decode()}")
    return {"wall": wall, "cpu": used.ru_utime + used.ru_stime, "memory": peak[0], "load": load}


def run(package: Path, *arguments: str) -> dict[str, float]:
    """A command of ours, with the package of that checkout and compiled modules, as after an installation."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment |= {"PYTHONSAFEPATH": "1"}  # or a checkout in the current folder would be the one that is measured
    environment |= {"PYTHONPATH": str(package), "PYTHONPYCACHEPREFIX": str(Path(tempfile.gettempdir()) / "benchmark-pycache")}
    return measured([sys.executable, "-m", "tratree_data.cli", *arguments], environment)


def medians(runs: Sequence[dict[str, float]]) -> dict[str, float]:
    return {name: round(statistics.median(one[name] for one in runs), 3) for name in runs[0]}


def _sample(pid: int, peak: list[int], ended: threading.Event) -> None:
    while not ended.wait(SAMPLE_SECONDS):
        peak[0] = max(peak[0], sum(map(_memory, _tree(pid))))


def _tree(pid: int) -> list[int]:
    """The process and its descendants."""
    found = [pid]
    for one in found:
        for children in Path(f"/proc/{one}/task").glob("*/children"):
            try:
                found += map(int, children.read_text().split())
            except OSError:  # it has just ended
                continue
    return found


def _memory(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * KIBIBYTE for line in lines if line.startswith("Pss:")), 0)
