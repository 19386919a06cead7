"""The current folder may be somebody's dataset: no library of ours takes settings, code or pickles from it."""

import os
import subprocess
import sys
from pathlib import Path

from helpers.small import make_store, tables

from tratree_data import build

AUDITED = """
import os, sys

here, seen = os.getcwd(), []
hook = lambda event, arguments: seen.append(arguments[0]) if event == "open" and isinstance(arguments[0], str) else None
sys.addaudithook(hook)
from tratree_data.cli import main

try:
    main()
except SystemExit as ended:
    assert not ended.code, ended.code
import numba

assert not numba.config.CACHE_DIR, numba.config.CACHE_DIR
opened = sorted({name for name in seen if os.path.realpath(name).startswith(here)})
print([name for name in opened if "_delta_log" not in name and ".lock" not in name and not name.endswith(".parquet")], file=sys.stderr)
"""
SETTINGS = {
    ".numba_config.yaml": "cache_dir: pickles\ncache_locator_classes: planted.Locator\n",
    "planted.py": "raise SystemExit('code of the current folder was imported')\n",
    "pandas.py": "raise SystemExit('code of the current folder was imported')\n",
    "sitecustomize.py": "raise SystemExit('code of the current folder was imported')\n",
}


def test_verbs_take_no_settings_and_no_code_from_the_current_folder(tmp_path: Path) -> None:
    folder = tmp_path / "hostile"
    make_store(
        folder, *tables([("t", attempt, attempt / 1.0, [("hall", "", f"go {attempt}"), ("room", "", "open")]) for attempt in (0, 1)])
    )
    build(folder, embedder="exact")
    for name, text in SETTINGS.items():
        (folder / name).write_text(text, encoding="utf-8")
    for words in (["build", ".", "--embedder", "lexical", "--workers", "2"], ["search", "."], ["states", "."], ["pairs", "."]):
        done = subprocess.run(
            [sys.executable, "-P", "-c", AUDITED, *words],
            check=False,
            capture_output=True,
            text=True,
            cwd=folder,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        assert done.returncode == 0, done.stderr
        assert done.stderr.splitlines()[-1] == "[]", done.stderr
    assert not (folder / "pickles").exists()
    assert "Numba" not in done.stderr
