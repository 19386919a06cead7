"""Data is never code: no name in rollouts, lineage or releases leads to an import, a process or an exec.

Python's own audit hook watches a process of its own while every verb that reads such names runs; a hook cannot be taken away again.
"""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from helpers import small

from tratree_data import build, explore, filter, open_store, replay, search
from tratree_data.environments.exploration_options import exploration_options
from tratree_data.errors import NotFoundError
from tratree_data.store.writing.writer import commit, create_store, writing

COUNTER = "helpers.plug_ins:Counter"
CANARY = "canary_module"
HOSTILE = ("subprocess:Popen", "mcp:touch owned", f"{CANARY}:run", f"{CANARY}.inner:run", "gymnasium:this:s", "builtins:eval")

VERBS = """
import json, sys
from pathlib import Path

import tratree_data
from tratree_data import build, check, demonstrations, filter, merge, pairs, replay, search, split, stats
from tratree_data.errors import TratreeError

root, canary = Path(sys.argv[1]), sys.argv[2]
seen, watching = [], False


def audit(event, arguments):
    if not watching:
        return
    if event in ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork", "os.forkpty"):
        seen.append(f"{event} {arguments!r}"[:300])
    if event == "import" and (arguments[0] == "this" or str(arguments[0]).startswith(canary)):
        seen.append(f"import {arguments[0]}")
    if event == "exec" and canary in repr(getattr(arguments[0], "co_filename", "")) + repr(getattr(arguments[0], "co_names", "")):
        seen.append(f"exec {arguments[0]!r}")
    if event == "compile" and canary in repr(arguments):
        seen.append(f"compile {arguments!r}"[:300])


def attempt(verb, *arguments, **settings):
    try:
        verb(*arguments, **settings)
    except TratreeError as error:
        print(f"{verb.__name__}: {error}", file=sys.stderr)


sys.addaudithook(audit)
watching = True
for folder in sorted(root.glob("data-?")):
    attempt(build, folder, embedder="exact", workers=1)
    attempt(search, folder, threads=1)
    attempt(replay, folder, workers=1)
    attempt(pairs, folder)
    attempt(demonstrations, folder)
    attempt(filter, folder, root / f"{folder.name}-filtered", "true")
    attempt(merge, folder, root / f"{folder.name}-filtered", root / f"{folder.name}-merged")
    attempt(split, folder, root / f"{folder.name}-divided", {"train": 0.5, "test": 0.5})
    for made in ("filtered", "merged", "divided"):
        attempt(build, root / f"{folder.name}-{made}", embedder="exact", workers=1)
        attempt(search, root / f"{folder.name}-{made}", threads=1)
        attempt(replay, root / f"{folder.name}-{made}", workers=1)
    attempt(check, folder)
    attempt(stats, folder)
watching = False
print(json.dumps(seen))
"""


def hostile_dataset(folder: Path, name: str) -> Path:
    """A dataset from somebody else: `name` is wherever a name can be written."""
    rollouts, steps = small.tables([("t", i, float(i), [("here", "", f"go {i}"), ("there", "", "stop")]) for i in (0, 1)])
    rows = [row | {"environment": name, "agent": name, "model": name, "environment_version": name} for row in rollouts.to_pylist()]
    settings: dict[str, Any] = {
        "environment": name,
        "environment_name": name,
        "environment_options": {"args": name, "data": name, name: name},
        "agents": [{"agent": name, "model": name, "sampling": {}}],
        "explored": [{"environment": name, "environment_options": {"args": ["touch", "owned"]}}],
    }
    create_store(folder)
    with writing(folder):
        tables = {"steps": steps, "rollouts": type(rollouts).from_pylist(rows, schema=rollouts.schema)}
        commit(folder, "explore", tables, settings=settings, reads={}, append=True)
    return folder


@pytest.mark.slow
def test_no_name_in_a_dataset_imports_a_module_or_starts_a_process(tmp_path: Path) -> None:
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / f"{CANARY}.py").write_text("print('imported')\ndef run(*a, **k): print('run')\n", encoding="utf-8")
    for number, name in enumerate(HOSTILE):
        hostile_dataset(tmp_path / f"data-{number}", name)
    before = {path.name for path in tmp_path.iterdir()}
    program = f"import sys; sys.path[:0] = {[str(tmp_path / 'modules'), *sys.path]!r}\n{VERBS}"
    command = [sys.executable, "-c", program, str(tmp_path), CANARY]
    result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout.splitlines()[-1]) == [], result.stderr
    assert result.stdout.count("\n") == 1, result.stdout
    assert result.stderr.count("replay: The dataset names the class") == 4 * len(HOSTILE), result.stderr
    made = {f"data-{number}-{verb}" for number in range(len(HOSTILE)) for verb in ("divided", "filtered", "merged")}
    assert {path.name for path in tmp_path.iterdir()} == before | made


@pytest.mark.slow
def test_no_text_of_a_dataset_or_release_is_code() -> None:
    """Three of the texts that `python tests/names.py` replaces."""
    command = [sys.executable, str(Path(__file__).with_name("names.py")), "--sample", "3"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " texts, 0 faults" in done.stdout


def test_a_class_is_replayed_only_if_the_command_names_it(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    explore(folder, COUNTER, "scripted", 2, tasks=2, concurrent=1, processes=1, options={"goal": 2})
    build(folder, embedder="exact")
    search(folder)
    with pytest.raises(NotFoundError, match=f"--environment {COUNTER}"):
        replay(folder, workers=1)
    filter(folder, tmp_path / "up", "task_id = 'up'")
    assert replay(folder, workers=1, environments=[COUNTER]).counts["replayed"] == 2
    assert replay(tmp_path / "up", workers=1, environments=[COUNTER]).counts["replayed"] == 1


def test_options_found_in_data_name_no_folder(tmp_path: Path) -> None:
    """Explore does not record the data folder, so one that is recorded was put there by somebody else."""
    folder = hostile_dataset(tmp_path / "data", "webshop")
    assert exploration_options(open_store(folder))["webshop"].options == {"args": "webshop", "webshop": "webshop"}


@pytest.mark.slow
def test_a_model_that_only_the_dataset_names_is_not_downloaded(tmp_path: Path) -> None:
    """The Hub is a socket that nobody should reach; a model that the command names is asked for."""
    folder = tmp_path / "data"
    small.make_store(folder, *small.tables([("t", attempt, float(attempt), [("hall", "", f"go {attempt}")]) for attempt in (0, 1)]))
    build(folder, embedder="lexical")
    for log in folder.glob("*/_delta_log/*.json"):
        log.write_text(log.read_text(encoding="utf-8").replace("lexical-1", "nobody/nothing-1"), encoding="utf-8")
    with socket.create_server(("127.0.0.1", 0)) as hub:
        hub.settimeout(0.1)
        hosts = {"HF_ENDPOINT": f"http://127.0.0.1:{hub.getsockname()[1]}", "HF_HOME": str(tmp_path / "hub")}
        for verb in (["audit"], ["states", "--min-similarity", "0.9"], ["stats", "--attempts", "1-2"]):
            command = [sys.executable, "-m", "tratree_data.cli", verb[0], str(folder), *verb[1:]]
            done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **hosts})
            assert done.returncode == 2, done.stderr
            assert "only the dataset names it, so it is not downloaded" in done.stderr
            with pytest.raises(TimeoutError):
                hub.accept()
        command = [sys.executable, "-m", "tratree_data.cli", "audit", str(folder), "--embedder", "nobody/nothing"]
        with subprocess.Popen(command, stderr=subprocess.DEVNULL, env={**os.environ, **hosts}) as asking:
            hub.settimeout(60)
            hub.accept()[0].close()
            asking.kill()
