"""vLLM, in process and as a server, with a tiny Llama made and trained here.

vLLM pins its own torch, so it lives in an environment of its own: docs/exploration.md, 'vLLM', has the three commands, and
`.venv-vllm/bin/pytest tests/test_vllm.py` runs this. Everywhere else it is skipped.
"""

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("vllm", reason="needs an environment with vLLM, see docs/exploration.md")

from helpers import corridor
from helpers.tiny_llama import make_tiny_llama

from tratree_data import explore, open_store
from tratree_data.agents import Agent, Request, Step, make_agent

WINDOW = 256


@pytest.fixture(scope="module", autouse=True)
def small_engine() -> Iterator[None]:
    """The engine in this process, with little memory: quick to start, and gone with it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
        patch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")
        patch.setenv("HF_HUB_OFFLINE", "1")
        yield


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    corridor.install(tmp_path_factory.getbasetemp() / "plug-in")
    return make_tiny_llama(tmp_path_factory.mktemp("llama") / "model")


@pytest.fixture(scope="module")
def adapter(llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    peft = pytest.importorskip("peft", reason="needs pip install peft")
    from transformers import AutoModelForCausalLM

    folder = tmp_path_factory.mktemp("adapter")
    config = peft.LoraConfig(r=8, lora_alpha=32, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
    peft.get_peft_model(AutoModelForCausalLM.from_pretrained(llama), config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def agent(llama: Path) -> Iterator[Agent]:
    made = make_agent(f"vllm:model={llama},window={WINDOW},enforce_eager=true,dtype=float32")
    yield made
    made.close()


def request(number: int = 0, *, turns: int = 0, **sampling: Any) -> Request:
    game = corridor.Corridor()
    start = game.reset("train-0-3")
    settings = {"temperature": 1.0, "top_p": 1.0, "max_tokens": 12, "seed": number, "environment_seed": 4, **sampling}
    history = (Step("You stand at 0 of 3.", "On.", "right"),) * turns
    return Request("corridor", "train-0-3", 0, game.prompt, start.instruction, history, start.observation, None, settings)


def test_a_batch_is_answered_with_a_seed_for_each_request(agent: Agent) -> None:
    requests = [request(number, turns=number % 4, temperature=2.0) for number in range(16)]
    first, again = agent.act(requests), agent.act(requests)
    assert [response.text for response in first] == [response.text for response in again]
    assert len({response.text for response in first}) > 1
    assert all(response.logprob is not None and response.logprob < 0 for response in first)
    assert all(0 < (response.completion_tokens or 0) <= 12 for response in first)


def test_it_says_what_transformers_says(agent: Agent, llama: Path) -> None:
    (ours,) = agent.act([request(temperature=0.0)])
    (theirs,) = make_agent("transformers", model=str(llama)).act([request(temperature=0.0)])
    assert (ours.thought, ours.action) == (theirs.thought, theirs.action) == ("On .", "right")
    assert (ours.prompt_tokens, ours.completion_tokens) == (theirs.prompt_tokens, theirs.completion_tokens)
    assert ours.logprob == pytest.approx(theirs.logprob, abs=1e-2)


def test_what_does_not_fit_ends_the_episode(agent: Agent) -> None:
    fits, overflows = agent.act([request(), request(turns=40)])
    assert fits.stop_reason is None
    assert overflows.stop_reason == "context_overflow"


def test_an_adapter_answers_as_under_transformers(agent: Agent, llama: Path, adapter: Path) -> None:
    (plain,) = agent.act([request(temperature=0.0)])
    agent.close()  # one engine at a time in a process; the next request to this agent would start it again
    adapted = make_agent(f"vllm:model={llama},lora={adapter},window={WINDOW},enforce_eager=true,dtype=float32")
    try:
        (ours,) = adapted.act([request(temperature=0.0)])
    finally:
        adapted.close()
    (theirs,) = make_agent(f"transformers:model={llama},lora={adapter}").act([request(temperature=0.0)])
    assert adapted.model == f"{llama}+{adapter}"
    assert ours.text.strip() == theirs.text.strip()
    assert ours.logprob == pytest.approx(theirs.logprob, abs=1e-2)
    assert ours.logprob != pytest.approx(plain.logprob, abs=1e-2)


def test_a_model_in_process_explores(llama: Path, tmp_path: Path) -> None:
    specification = f"vllm:model={llama},window={WINDOW},enforce_eager=true"
    explore(tmp_path / "data", "corridor", specification, attempts=2, tasks=12, temperature="0,0.5", max_tokens=12)
    store = open_store(tmp_path / "data")
    (row,) = store.sql(
        "SELECT avg(score) AS score, count(*) AS n, min(agent) AS agent, min(completion_tokens) AS tokens FROM rollouts"
    ).to_pylist()
    assert (row["n"], row["agent"]) == (24, "vllm")
    assert row["score"] > 0.9
    assert row["tokens"] > 0


def test_a_model_behind_its_server_explores(llama: Path, tmp_path: Path) -> None:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    words = ["-m", "vllm.entrypoints.openai.api_server", "--model", str(llama), "--port", str(port), "--host", "127.0.0.1"]
    log = tmp_path / "log"
    with log.open("wb") as output:
        command = [sys.executable, *words, "--max-model-len", str(WINDOW), "--enforce-eager"]
        server = subprocess.Popen(command, stdout=output, stderr=output, env=os.environ.copy())
    try:
        wait_for(f"http://127.0.0.1:{port}/health", server, log)
        specification = f"openai:model={llama},base_url=http://127.0.0.1:{port}/v1"
        explore(tmp_path / "data", "corridor", specification, attempts=2, tasks=12, temperature="0,0.5", max_tokens=12)
    finally:
        server.terminate()
        server.wait(60)
    store = open_store(tmp_path / "data")
    (row,) = store.sql("SELECT avg(score) AS score, count(*) AS n FROM rollouts").to_pylist()
    assert row["n"] == 24
    assert row["score"] > 0.9
    assert store.sql("SELECT count(*) AS n FROM steps WHERE logprob IS NULL OR logprob > 0").to_pylist() == [{"n": 0}]


def wait_for(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    patience = time.monotonic() + 400
    while time.monotonic() < patience:
        assert server.poll() is None, log.read_text()[-3000:]
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.5)
    pytest.fail(f"the server did not start: {log.read_text()[-3000:]}")
