"""Results of tau2. data/logs/tau2/results.json was written by `tau2 run` 1.0.1 (domain mock, a scripted model); texts were replaced."""

import json
from pathlib import Path

import pytest
from helpers.read_logs import read_log, said

from tratree_data import import_log, open_store
from tratree_data.importers.files.log_files import LogFile
from tratree_data.importers.formats import fitting_formats
from tratree_data.importers.log_records import Options

RESULTS = Path(__file__).parent / "data/logs/tau2/results.json"


def original(run: dict) -> list[tuple]:
    """What the agent saw and said, as the file has it."""
    return [
        (
            m["role"],
            m["content"],
            [(c["id"], c["name"], c["arguments"]) for c in m.get("tool_calls") or []] or (m["id"] if m["role"] == "tool" else None),
        )
        for m in run["messages"]
        if not (m["role"] == "user" and m["tool_calls"]) and m.get("requestor") != "user"
    ]


def test_simulations_turn_by_turn_with_what_the_agent_could_not_see_aside():
    results = json.loads(RESULTS.read_text())
    records, problems = read_log("tau2", RESULTS)
    assert problems == []
    for record, run in zip(records, results["simulations"], strict=True):
        (system, *spoken) = said(record)
        assert system == ("system", "Every task has a title.", None)
        decoded = [
            (role, text, [(*call[:2], json.loads(call[2])) for call in calls] if isinstance(calls, list) else calls)
            for role, text, calls in spoken
        ]
        assert decoded == original(run)
        assert (record.trajectory_id, record.task_id, record.reward) == (run["id"], run["task_id"], run["reward_info"]["reward"])
    first, history, second = records
    assert first.task_id == second.task_id
    assert [record.metadata["trial"] for record in records] == [0, 0, 1]
    assert [record.instruction for record in records] == [
        "You want a task for the dentist.",
        "You check the plants.\nSay thanks.",
        first.instruction,
    ]
    assert (first.environment, first.agent, first.model, first.end_reason) == ("mock", "llm_agent", "openai/gpt-mini", "done")
    assert (first.prompt_tokens, first.completion_tokens) == (100, 20), "of the agent, not of the simulated user"
    assert [tool["function"]["name"] for tool in first.tools] == ["create_task"]
    assert [step.metadata.get("in_prompt", False) for step in first.steps] == [True, False, False], "nobody sampled the greeting"
    assert [step.metadata["in_prompt"] for step in history.steps] == [True, True], "the task's history"
    unseen = first.steps[1].metadata["input_messages"][0]["unseen"]
    assert [message["role"] for message in unseen] == ["user", "tool"]
    assert unseen[0]["tool_calls"][0]["name"] == "check_notifications"


def test_arguments_and_thoughts_are_those_of_the_raw_answer(tmp_path):
    results = json.loads(RESULTS.read_text())
    answer = results["simulations"][0]["messages"][4]["raw_data"]["choices"][0]["message"]
    answer["tool_calls"][0]["function"]["arguments"] = '{"title":"Dentist","user_id":"user_1"}'
    answer["reasoning_content"] = "A task, then."
    (tmp_path / "results.json").write_text(json.dumps(results))
    record = read_log("tau2", tmp_path / "results.json")[0][0]
    assert said(record)[3][2][0][2] == '{"title":"Dentist","user_id":"user_1"}'
    assert record.steps[1].thought == "A task, then.\nI create it."


def test_a_folder_with_a_file_for_each_simulation_is_the_same(tmp_path):
    results = json.loads(RESULTS.read_text())
    runs = results.pop("simulations")
    (tmp_path / "run/simulations").mkdir(parents=True)
    index = [{"id": run["id"], "task_id": run["task_id"], "trial": run["trial"]} for run in runs]
    (tmp_path / "run/results.json").write_text(json.dumps(results | {"simulation_index": index}, indent=2))
    for run in runs:
        (tmp_path / "run/simulations" / f"{run['id']}.json").write_text(json.dumps(run, indent=2))
    import_log(tmp_path / "whole", RESULTS)
    import_log(tmp_path / "parts", tmp_path / "run")
    query = "SELECT rollout_id, environment, task_id, score FROM rollouts ORDER BY rollout_id"
    rows = open_store(tmp_path / "parts").sql(query).to_pylist()
    assert rows == open_store(tmp_path / "whole").sql(query).to_pylist()
    assert len(rows) == len(runs)


@pytest.mark.parametrize(("change", "reason"), [
    ({"messages": None, "ticks": [{"tick_id": 0}]}, "no_messages"),
    ({"messages": []}, "empty_steps"),
    ({"reward_info": {"reward": "1"}}, "wrong_type"),
    ({"task_id": None}, "wrong_type"),
])  # fmt: skip
def test_what_cannot_be_used_is_named_by_its_place(tmp_path, change, reason):
    results = json.loads(RESULTS.read_text())
    results["simulations"][1] |= change
    (tmp_path / "results.json").write_text(json.dumps(results))
    records, (problem,) = read_log("tau2", tmp_path / "results.json")
    assert (len(records), problem.reason, problem.subject) == (2, reason, "results.json:1[1]")


def test_detection_is_not_fooled_by_messages_with_rewards(tmp_path):
    assert fitting_formats(LogFile(RESULTS, "results.json"), Options()) == ["tau2"]
    plain = {
        "task_id": 1,
        "trial": 0,
        "reward": 1.0,
        "messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}],
    }
    (tmp_path / "plain.json").write_text(json.dumps(plain))
    assert fitting_formats(LogFile(tmp_path / "plain.json", "plain.json"), Options()) == ["messages"]
    (tmp_path / "run.jsonl").write_text(json.dumps(plain | {"termination_reason": "user_stop", "reward_info": {"reward": 1.0}}))
    assert fitting_formats(LogFile(tmp_path / "run.jsonl", "run.jsonl"), Options()) == ["tau2"]
