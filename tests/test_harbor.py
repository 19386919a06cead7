"""Harbor's job folders: trials with their rewards and trajectories, and what in them is not Harbor's."""

import json
import shutil
from pathlib import Path

import pytest

from tratree_data import import_log, open_store
from tratree_data.errors import BadInputError
from tratree_data.importers.files.log_files import LogFile
from tratree_data.importers.formats import fitting_formats
from tratree_data.importers.import_log import find_files
from tratree_data.importers.log_records import Options, Problem, Record
from tratree_data.importers.readers import harbor

JOB = Path(__file__).parent / "data/logs/harbor"
TRIAL = json.loads((JOB / "hello__0000001/result.json").read_text())
TRAJECTORY = json.loads((JOB / "hello__0000001/agent/trajectory.json").read_text())


def read(folder: Path) -> tuple[list[Record], list[Problem]]:
    items = [item for file in find_files(folder, "harbor") for item in harbor.read(file, Options())]
    return [item for item in items if isinstance(item, Record)], [item for item in items if isinstance(item, Problem)]


def trial(folder: Path, *agents: str, **facts: object) -> Path:
    """A trial with a trajectory in each of the agent's folders."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "result.json").write_text(json.dumps(TRIAL | {"trial_name": folder.name, "id": folder.name} | facts))
    for agent in agents or ("agent",):
        trajectory(folder / agent / "trajectory.json")
    return folder


def trajectory(path: Path, **facts: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({key: value for key, value in TRAJECTORY.items() if key != "subagent_trajectories"} | facts))


def test_a_trial_is_an_attempt_at_its_task_with_reward_end_and_subagents():
    (record, helper), problems = read(JOB)
    assert problems == []
    assert (record.environment, record.task_id, record.reward, record.end_reason) == ("terminal-bench", "hello", 1.0, "time_out")
    assert (record.agent, record.model, record.seconds, record.prompt_tokens) == ("terminus-2", "openai/gpt", 60.0, 100)
    assert record.metadata["exception_info"]["exception_type"] == "AgentTimeoutError"
    assert "config" not in record.metadata, "it may hold keys"
    assert [step.action for step in record.steps][1:] == ['bash {"cmd": "ls 1 0"}\nbash {"cmd": "ls 1 1"}', "Turn 2."]
    assert record.steps[1].observation.endswith("[image image/png sha256:3e02e79d7ed7cf58 5 B]"), "the file beside the trajectory"
    assert (helper.trajectory_id, helper.reward, helper.agent) == (f"{record.trajectory_id}/sub1", None, "helper")
    assert helper.task_id != record.task_id


@pytest.mark.parametrize(("facts", "reward", "ended"), [
    ({}, 1.0, "time_out"),
    ({"exception_info": None}, 1.0, "done"),
    ({"verifier_result": {"rewards": {"tests": 0.5}}}, 0.5, "time_out"),
    ({"verifier_result": {"rewards": {"tests": 0.5, "style": 1}}}, None, "time_out"),
    ({"verifier_result": {"rewards": {"tests": 0.5, "reward": 0}}}, 0.0, "time_out"),
    ({"verifier_result": None, "exception_info": {"exception_type": "DownloadVerifierDirError"}}, None, "environment_error"),
    ({"reward_valid": False, "exception_info": {"exception_type": "ApiRateLimitError"}}, None, "server_unavailable"),
    ({"exception_info": {"exception_type": "ContextWindowExceededError"}}, 1.0, "context_overflow"),
    ({"exception_info": {"exception_type": "AgentSetupTimeoutError"}}, 1.0, "environment_error"),
    ({"exception_info": {"exception_type": "NonZeroAgentExitCodeError"}}, 1.0, "agent_error"),
])  # fmt: skip
def test_rewards_and_failures(tmp_path, facts, reward, ended):
    (record,), _ = read(trial(tmp_path / "t", **facts))
    assert (record.reward, record.end_reason) == (reward, ended)


def test_steps_attempts_and_continuations_of_a_trial(tmp_path):
    two = [{"step_name": "one", "verifier_result": {"rewards": {"reward": 0.4}}}, {"step_name": "two"}, {"step_name": "../up"}]
    trial(tmp_path / "a", "steps/one/agent", "steps/two/agent", "up/agent", step_results=two)
    trial(tmp_path / "b", "attempts/000/agent", "attempts/001/agent")
    (tmp_path / "b/attempts/000/verifier").mkdir()
    (tmp_path / "b/attempts/000/verifier/reward.txt").write_text("0.25\n")
    trial(tmp_path / "c")
    trajectory(tmp_path / "c/agent/trajectory.cont-1.json", trajectory_id="own")
    trajectory(tmp_path / "c/agent/trajectory.summarization-1-summary.json")
    records, problems = read(tmp_path)
    assert problems == []
    assert [(record.trajectory_id, record.task_id, record.reward) for record in records[:-1]] == [
        ("a/one", "hello/one", 0.4), ("a/two", "hello/two", None),
        ("b/attempts/000", "hello", 0.25), ("b/attempts/001", "hello", 1.0),
        ("c", "hello", 1.0), ("c/cont-1", "hello", 1.0),
    ]  # fmt: skip
    assert (records[-1].trajectory_id, records[-1].reward) == ("c/summarization-1-summary", None)
    assert (records[-2].metadata["trajectory_id"], records[-1].task_id) != ("own", "hello")


def test_trials_without_a_trajectory_are_named(tmp_path):
    trial(tmp_path / "job/ran")
    shutil.rmtree(trial(tmp_path / "job/silent") / "agent")
    (tmp_path / "job/stopped").mkdir()
    (tmp_path / "job/stopped/config.json").write_text("{}")
    (tmp_path / "job/result.json").write_bytes((JOB / "result.json").read_bytes())
    result = import_log(tmp_path / "d", tmp_path / "job")
    assert (result.counts["rollouts"], result.counts["dropped"], result.notes[0]) == (1, 2, "Format: harbor (detected)")
    rows = open_store(tmp_path / "d").read("dropped").to_pylist()
    assert {(row["subject"], row["reason"]) for row in rows} == {
        ("job/silent/result.json:1", "no_trajectory"), ("job/result.json:1[stopped]", "no_result"),
    }  # fmt: skip
    assert any("'silent' has no agent/trajectory.json (it ended with AgentTimeoutError)" in row["detail"] for row in rows)
    assert import_log(tmp_path / "d", tmp_path / "job").counts["already_there"] == 1
    assert len(open_store(tmp_path / "d").read("dropped")) == 2
    with pytest.raises(BadInputError, match=r"as harbor: no_trajectory, .*\nNext: "):
        import_log(tmp_path / "e", tmp_path / "job/silent")


@pytest.mark.parametrize("linked", ["agent", "agent/trajectory.json", "agent/trajectory.cont-1.json"])
def test_links_in_a_trial_are_refused_by_name(tmp_path, linked):
    outside = trial(tmp_path / "outside")
    inside = trial(tmp_path / "job/t")
    target = inside / linked
    if target.exists():
        shutil.rmtree(target) if target.is_dir() else target.unlink()
    target.symlink_to(outside / linked if "cont" not in linked else outside / "agent/trajectory.json")
    records, (problem,) = read(tmp_path / "job")
    assert (problem.reason, len(records)) == ("symbolic_link", int("cont" in linked))
    name = "agent/trajectory" + (".cont-1.json" if "cont" in linked else ".json")
    assert repr(name) in problem.detail


def test_a_trial_whose_result_is_a_link_is_no_trial_and_the_link_is_named(tmp_path):
    outside = trial(tmp_path / "outside")
    trial(tmp_path / "job/whole")
    inside = trial(tmp_path / "job/t")
    (inside / "result.json").unlink()
    (inside / "result.json").symlink_to(outside / "result.json")
    import_log(tmp_path / "d", tmp_path / "job", "harbor")
    store = open_store(tmp_path / "d")
    assert store.count("rollouts") == 1
    assert [(row["reason"], row["subject"]) for row in store.read("dropped").to_pylist()] == [("symbolic_link", "job/t/result.json:1")]


def test_links_to_trials_and_images_outside_are_not_followed(tmp_path):
    shutil.copytree(JOB, tmp_path / "job")
    (tmp_path / "job/linked").symlink_to(tmp_path / "job/hello__0000001")
    image = tmp_path / "job/hello__0000001/agent/images/a.png"
    image.rename(tmp_path / "secret")
    image.symlink_to(tmp_path / "secret")
    (record, _), (problem,) = read(tmp_path / "job")
    assert (problem.reason, problem.subject) == ("symbolic_link", "job/result.json:1[linked]")
    assert "sha256:3e02e79d7ed7cf58" not in record.steps[1].observation


def test_what_an_agent_left_in_its_folders_is_no_result_of_harbor(tmp_path):
    folder = trial(tmp_path / "t")
    trial(folder / "artifacts/app/fake", verifier_result={"rewards": {"reward": 1.0}})
    trial(folder / "agent/fake")
    trial(folder / "attempts/000", verifier_result={"rewards": {"reward": 0.5}})
    records, problems = read(tmp_path / "t")
    assert (sorted(record.trajectory_id for record in records), problems) == (["000", "t"], [])


@pytest.mark.parametrize("value", [
    {"task_name": "x", "reward": 1}, {"id": 1, "n_total_trials": 2}, [TRIAL], TRIAL | {"task_name": 3}, {"stats": []}, 3,
])  # fmt: skip
def test_results_of_other_tools_are_not_harbors(tmp_path, value):
    path = tmp_path / "result.json"
    path.write_text(json.dumps(value))
    assert harbor.job_files([LogFile(path, "result.json")]) == []
    assert "harbor" not in fitting_formats(LogFile(path, "result.json"), Options())


def test_a_trajectory_alone_is_atif_and_a_log_beside_a_job_is_not_overlooked(tmp_path):
    path = JOB / "hello__0000001/agent/trajectory.json"
    assert fitting_formats(LogFile(path, path.name), Options()) == ["atif"]
    shutil.copytree(JOB, tmp_path / "all/job")
    shutil.copy(path, tmp_path / "all/other.json")
    with pytest.raises(BadInputError, match=r"several formats \(harbor: 4 files.*atif: 1 file"):
        import_log(tmp_path / "d", tmp_path / "all")
