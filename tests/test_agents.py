"""Models that act: a tiny Llama, made and trained here, in process and behind `transformers serve`. Needs torch and transformers."""

import os
import shutil
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
from helpers import corridor

from tratree_data import explore, open_store
from tratree_data.agents import Request, Step, make_agent
from tratree_data.errors import BadInputError, NotFoundError
from tratree_data.messages import answer

torch = pytest.importorskip("torch", reason="needs pip install 'tratree-data[train]'")
pytest.importorskip("transformers", reason="needs pip install 'tratree-data[train]'")

from helpers.tiny_llama import make_tiny_llama  # noqa: E402 - it needs what is checked above


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    corridor.install(tmp_path_factory.getbasetemp() / "plug-in")
    return make_tiny_llama(tmp_path_factory.mktemp("llama") / "model")


def request(number: int = 0, *, history: tuple[Step, ...] = (), **sampling: Any) -> Request:
    game = corridor.Corridor()
    start = game.reset("train-0-3")
    settings = {"temperature": 1.0, "top_p": 1.0, "max_tokens": 12, "seed": number, **sampling}
    return Request("corridor", "train-0-3", 0, game.prompt, start.instruction, history, start.observation, None, settings)


def longer(number: int) -> Request:
    """A request further into an episode, so that prompts of a batch differ in length."""
    return request(number, history=(Step("You stand at 0 of 3.", "On.", "right"),) * (number % 5), temperature=2.0)


def test_a_request_gets_the_same_answer_alone_and_in_company(llama: Path) -> None:
    agent = make_agent("transformers", model=str(llama))
    together = agent.act([longer(number) for number in range(12)])
    alone = [agent.act([longer(number)])[0] for number in range(12)]
    assert [response.text for response in together] == [response.text for response in alone]
    assert len({response.text for response in together}) > 1
    for one, other in zip(together, alone, strict=True):
        assert one.logprob == pytest.approx(other.logprob, abs=1e-3)
        assert (one.prompt_tokens, one.completion_tokens) == (other.prompt_tokens, other.completion_tokens)


def test_the_log_probability_is_the_models_own(llama: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    agent = make_agent("transformers", model=str(llama))
    (response,) = agent.act([request(3, temperature=0.7)])
    assert (response.thought, response.action) == ("On .", "right")
    tokenizer, model = AutoTokenizer.from_pretrained(llama), AutoModelForCausalLM.from_pretrained(llama)
    turns = [{"role": "user", "content": f"{corridor.Corridor.prompt}\n\n{request().instruction}\n\n{request().observation}"}]
    prompt = tokenizer.apply_chat_template(turns, add_generation_prompt=True)["input_ids"]
    turns.append({"role": "assistant", "content": answer("On.", "right")})
    whole = tokenizer.apply_chat_template(turns)["input_ids"]
    assert (response.prompt_tokens, response.completion_tokens) == (len(prompt), len(whole) - len(prompt))
    logits = torch.log_softmax(model(torch.tensor([whole])).logits[0].detach().float(), -1)
    expected = sum(float(logits[i - 1, whole[i]]) for i in range(len(prompt), len(whole)))
    assert response.logprob == pytest.approx(expected, abs=1e-3)


def test_temperature_0_is_greedy_and_seeds_part_the_rest(llama: Path) -> None:
    agent = make_agent("transformers", model=str(llama))
    assert len({response.text for response in agent.act([request(seed, temperature=0.0) for seed in range(5)])}) == 1
    assert len({response.text for response in agent.act([request(seed, temperature=3.0) for seed in range(5)])}) > 1
    assert len({response.text for response in agent.act([request(seed, temperature=3.0, top_k=1) for seed in range(5)])}) == 1
    assert len({response.text for response in agent.act([request(seed, temperature=3.0, top_p=0.0) for seed in range(5)])}) == 1
    first, again = agent.act([request(9, temperature=3.0)]), agent.act([request(9, temperature=3.0)])
    assert first == again


def test_every_row_keeps_its_own_limit(llama: Path) -> None:
    agent = make_agent("transformers", model=str(llama))
    short, long = agent.act([request(0, max_tokens=2), request(0, max_tokens=12)])
    assert short.completion_tokens == 2
    assert long.text.startswith(short.text)


def test_what_does_not_fit_ends_the_episode_before_anything_is_generated(llama: Path, tmp_path: Path) -> None:
    agent = make_agent("transformers", model=str(llama), window=60)
    fits, overflows = agent.act([request(0), request(1, history=(Step("You stand at 0 of 3.", "On.", "right"),) * 5)])
    assert fits.stop_reason is None
    assert overflows.stop_reason == "context_overflow"
    explore(tmp_path / "data", "corridor", f"transformers:model={llama},window=80", attempts=1, tasks=6, temperature=0, max_tokens=12)
    got = (
        open_store(tmp_path / "data")
        .sql("SELECT end_reason, count(*) AS n, min(score) AS low FROM rollouts GROUP BY ALL ORDER BY ALL")
        .to_pylist()
    )
    assert [row["end_reason"] for row in got] == ["context_overflow", "done"]


def test_a_model_plays(llama: Path, tmp_path: Path) -> None:
    report = explore(tmp_path / "data", "corridor", f"transformers:model={llama}", attempts=2, tasks=12, temperature="0,0.5", max_tokens=12)
    assert report.counts["rollouts"] == 24
    store = open_store(tmp_path / "data")
    (row,) = store.sql(
        "SELECT avg(score) AS score, min(completion_tokens) AS tokens, min(agent) AS agent, min(model) AS model FROM rollouts"
    ).to_pylist()
    assert row["score"] > 0.9
    assert row["tokens"] > 0
    assert (row["agent"], row["model"]) == ("transformers", str(llama))
    assert store.sql("SELECT count(*) AS n FROM steps WHERE logprob IS NULL OR logprob > 0").to_pylist() == [{"n": 0}]


def test_a_model_without_a_chat_template_is_refused_or_given_one(llama: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    shutil.copytree(llama, bare)
    (bare / "chat_template.jinja").unlink()
    with pytest.raises(BadInputError, match="chat_template=chatml"):
        make_agent(f"transformers:model={bare}").act([request()])
    (response,) = make_agent(f"transformers:model={bare},chat_template=chatml").act([request()])
    assert response.completion_tokens
    with pytest.raises(BadInputError, match="must be chatml"):
        make_agent(f"transformers:model={llama},chat_template=mine").act([request()])


TOOL_TEMPLATE = (
    "{% if tools %}{{ tools | tojson }}{% endif %}{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content or '' }}"
    "{% for call in m.tool_calls or [] %}<tool_call>{{ call.function | tojson }}</tool_call>{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@pytest.mark.parametrize("name", ["transformers", "cached"])
def test_a_model_is_shown_tools_if_its_template_can(llama: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(BadInputError, match="does not support tools"):
        make_agent(f"{name}:form=chat,model={llama}").act([request()])
    shutil.copytree(llama, tmp_path / "model")
    (tmp_path / "model" / "chat_template.jinja").write_text(TOOL_TEMPLATE)
    explore(tmp_path / "data", "corridor", f"{name}:form=chat,model={tmp_path / 'model'},max_tokens=8", attempts=1, tasks=2, max_steps=2)
    steps = open_store(tmp_path / "data").read("steps").to_pylist()
    assert [step["output_message"]["tool_calls"] for step in steps] == [None] * 4, "an untaught model calls nothing"
    assert [step["observation"].startswith("No tool was called") for step in steps] == [False, True, False, True]


def test_an_adapter_changes_the_answers(llama: Path, tmp_path: Path) -> None:
    pytest.importorskip("peft", reason="needs pip install 'tratree-data[train]'")
    make_adapter(llama, tmp_path / "adapter")
    plain, adapted = make_agent(f"transformers:model={llama}"), make_agent(f"transformers:model={llama},lora={tmp_path / 'adapter'}")
    assert adapted.model == f"{llama}+{tmp_path / 'adapter'}"
    assert plain.act([request()])[0].logprob != pytest.approx(adapted.act([request()])[0].logprob, abs=1e-3)


def make_adapter(model: Path, folder: Path) -> None:
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(0)
    adapted = get_peft_model(
        AutoModelForCausalLM.from_pretrained(model), LoraConfig(r=4, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
    )
    adapted.save_pretrained(folder)


def test_a_folder_without_a_model_is_reported(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"it has no config\.json"):
        make_agent(f"transformers:model={tmp_path}").act([request()])
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(BadInputError, match="is not a model that transformers can load"):
        make_agent(f"transformers:model={tmp_path}").act([request()])
    with pytest.raises(NotFoundError, match="Did you mean 'transformers'"):
        make_agent("transformer:model=x")


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.fixture(scope="module")
def transformers_serve(llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """`transformers serve MODEL` on loopback; needs fastapi and uvicorn (pip install 'tratree-data[dev]')."""
    for package in ("fastapi", "uvicorn"):
        pytest.importorskip(package, reason="needs pip install 'transformers[serving]'")
    port, log = free_port(), tmp_path_factory.mktemp("serve") / "log"
    command = [str(Path(sys.executable).with_name("transformers")), "serve", str(llama), "--device", "cpu", "--port", str(port)]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    with log.open("wb") as output:
        server = subprocess.Popen(command, stdout=output, stderr=output, env=environment)
    try:
        wait_for(f"http://127.0.0.1:{port}/health", server, log)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        server.terminate()
        server.wait(30)


def wait_for(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    patience = time.monotonic() + 300
    while time.monotonic() < patience:
        assert server.poll() is None, log.read_text()[-2000:]
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.5)
    pytest.fail(f"the server did not start: {log.read_text()[-2000:]}")


@pytest.mark.slow
def test_a_model_behind_transformers_serve_plays(llama: Path, transformers_serve: str, tmp_path: Path) -> None:
    agent = f"openai:model={llama},base_url={transformers_serve}"
    explore(tmp_path / "data", "corridor", agent, attempts=1, tasks=6, temperature=0.2, max_tokens=12, concurrent=4)
    store = open_store(tmp_path / "data")
    (row,) = store.sql("SELECT avg(score) AS score, count(*) AS n, min(completion_tokens) AS tokens FROM rollouts").to_pylist()
    assert row["n"] == 6
    assert row["score"] > 0.9
    assert row["tokens"] > 0
