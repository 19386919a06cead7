"""Whether a model is there is found out at once, and the answer names what to do."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from helpers.loopback_hub import LoopbackHub

from tratree_data.errors import NotFoundError
from tratree_data.models.find import need_model

ASK = """
import sys
from tratree_data.errors import TratreeError
from tratree_data.models.find import need_model
for name in sys.argv[1:]:
    try:
        need_model(name)
    except TratreeError as error:
        print(str(error).replace("\\n", " | "))
"""


def ask(endpoint: str, home: Path, *names: str) -> list[str]:
    """What a process that talks to this Hub learns about each name."""
    environment = {**os.environ, "HF_ENDPOINT": endpoint, "HF_HOME": str(home), "HF_TOKEN": "", "HF_HUB_OFFLINE": "0"}
    command = [sys.executable, "-c", ASK, *names]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=True).stdout.splitlines()


def test_a_folder_must_hold_a_model(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"it has no config\.json"):
        need_model(str(tmp_path))
    (tmp_path / "config.json").write_text("{}")
    need_model(str(tmp_path))


def test_a_training_that_has_not_ended_is_no_model_yet(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "training.json").write_text(json.dumps({"finished": False}))
    with pytest.raises(NotFoundError, match="its training has not finished"):
        need_model(str(tmp_path))


def test_a_path_that_is_not_there_is_not_looked_for_on_the_hub(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="No such folder"):
        need_model(str(tmp_path / "a" / "b" / "c"))


def test_the_hub_is_asked_once(tmp_path: Path) -> None:
    hub = LoopbackHub()
    try:
        (answer,) = ask(hub.endpoint, tmp_path, "nobody/nothing")
        assert answer.startswith("nobody/nothing is neither a folder here nor in the Hub's cache, and it was not found on the Hub. | Next:")
        asked = [request.path for request in hub.requests if "nobody" in request.path]
    finally:
        hub.close()
    assert asked == ["/api/models/nobody/nothing"]
    started = time.monotonic()
    (answer,) = ask("http://127.0.0.1:1", tmp_path, "nobody/nothing")
    assert "the Hub cannot be reached (ConnectError). | Next: name a model's folder" in answer
    assert time.monotonic() - started < 60
