"""The exploration driver against a corridor, a real plug-in: plans, commits, kills, failures."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from helpers import corridor

from tratree_data import build, explore, filter, open_store, pairs, search, verify
from tratree_data.agents import Request, Response, parse_response, parse_specification
from tratree_data.errors import BadInputError, NotFoundError, StoreBusyError, TratreeError
from tratree_data.exploration.branching import share_budget
from tratree_data.exploration.planning import Schedule, numbers
from tratree_data.exploration.pool import AgentBatches
from tratree_data.store.writing.writer import create_store, writing

KILLS = 30


@pytest.fixture(autouse=True)
def plug_in(tmp_path_factory: pytest.TempPathFactory) -> None:
    corridor.install(tmp_path_factory.getbasetemp() / "plug-in")


def rows(folder: Path, query: str) -> list[dict[str, Any]]:
    return list(open_store(folder).sql(query).to_pylist())


def assert_consistent(folder: Path) -> None:
    """No step without a rollout, no rollout without its steps, nothing twice."""
    assert rows(folder, "SELECT rollout_id FROM steps ANTI JOIN rollouts USING (rollout_id)") == []
    assert rows(folder, "SELECT rollout_id FROM rollouts GROUP BY rollout_id HAVING count(*) > 1") == []
    assert rows(folder, "SELECT rollout_id, step FROM steps GROUP BY ALL HAVING count(*) > 1") == []
    counted = "(SELECT count(*) FROM steps WHERE steps.rollout_id = rollouts.rollout_id)"
    assert rows(folder, f"SELECT rollout_id FROM rollouts WHERE step_count <> {counted}") == []


def ends(folder: Path) -> dict[str, int]:
    return {row["end_reason"]: row["n"] for row in rows(folder, "SELECT end_reason, count(*) AS n FROM rollouts GROUP BY ALL ORDER BY ALL")}


def test_a_run_is_stored_and_more_attempts_add_only_the_new_ones(tmp_path: Path) -> None:
    report = explore(tmp_path / "data", "corridor", "walker", attempts=3, tasks=5)
    assert report.counts["rollouts"] == 15
    first = open_store(tmp_path / "data")
    again = explore(tmp_path / "data", "corridor", "walker", attempts=3, tasks=5)
    assert not again.changed
    assert open_store(tmp_path / "data").version("rollouts") == first.version("rollouts")
    assert explore(tmp_path / "data", "corridor", "walker", attempts=5, tasks=5).counts["rollouts"] == 10
    counts = rows(tmp_path / "data", "SELECT list(attempt ORDER BY attempt) AS attempts FROM rollouts GROUP BY task_id")
    assert [row["attempts"] for row in counts] == [[0, 1, 2, 3, 4]] * 5
    assert_consistent(tmp_path / "data")


def test_rows_say_what_happened(tmp_path: Path) -> None:
    explore(tmp_path / "data", "corridor", "walker:slips=0", attempts=1, tasks=["train-3-4"], seed=5)
    (rollout,) = rows(tmp_path / "data", "SELECT * FROM rollouts")
    assert rollout["instruction"] == "Walk 4 steps to the right, then take the coin."
    assert (rollout["score"], rollout["success"], rollout["end_reason"], rollout["step_count"]) == (1.0, True, "done", 5)
    assert (rollout["prompt_tokens"], rollout["completion_tokens"], rollout["source"]) == (50, 25, "explore")
    assert json.loads(rollout["sampling"])["seed"] == 5
    assert rollout["environment_version"] == "corridor 1"
    steps = rows(tmp_path / "data", "SELECT * FROM steps ORDER BY step")
    assert [step["action"] for step in steps] == ["right"] * 4 + ["take"]
    assert steps[0]["observation"] == "You stand at 0 of 4."
    assert steps[0]["response"] == "Thought: On.\nAction: right"
    assert steps[4]["reward"] == 1.0


@pytest.mark.parametrize("agent", ["walker", "thinker"])
def test_the_same_seed_gives_the_same_steps_whoever_plays(tmp_path: Path, agent: str) -> None:
    explore(tmp_path / "one", "corridor", f"{agent}:name=w", attempts=3, tasks=12, processes=1, concurrent=1)
    explore(tmp_path / "two", "corridor", f"{agent}:name=w", attempts=3, tasks=12, processes=2, concurrent=7)
    query = "SELECT task_id, attempt, step, action, observation FROM steps JOIN rollouts USING (rollout_id) ORDER BY ALL"
    assert rows(tmp_path / "one", query) == rows(tmp_path / "two", query)
    explore(tmp_path / "three", "corridor", f"{agent}:name=w", attempts=3, tasks=12, seed=1)
    assert rows(tmp_path / "one", query) != rows(tmp_path / "three", query)


def test_several_agents_share_the_trees(tmp_path: Path) -> None:
    explore(tmp_path / "data", "corridor", ["walker:name=a", "walker:name=b,slips=0.5"], attempts=2, tasks=3)
    counts = rows(
        tmp_path / "data", "SELECT agent, count(*) AS n, count(DISTINCT tree_id) AS trees FROM rollouts GROUP BY agent ORDER BY agent"
    )
    assert counts == [{"agent": "a", "n": 6, "trees": 3}, {"agent": "b", "n": 6, "trees": 3}]


def test_batched_agents_answer_all_that_waits(tmp_path: Path) -> None:
    corridor.Thinker.sizes.clear()
    explore(tmp_path / "data", "corridor", "thinker", attempts=4, tasks=16, concurrent=16)
    sizes = corridor.Thinker.sizes
    assert sum(sizes) == open_store(tmp_path / "data").count("steps")
    assert max(sizes) == 16
    assert sum(sizes) / len(sizes) > 8


def test_a_batch_that_is_answered_incompletely_is_an_error_for_all_in_it() -> None:
    class Forgetful(corridor.Thinker):
        def act(self, requests: list[Request]) -> list[Response]:
            return super().act(requests)[1:]

    batches = AgentBatches(Forgetful(), most=2)
    asked = Request("corridor", "t", 0, "", "", (), "You stand at 0 of 1.", None, {"seed": 1})
    with ThreadPoolExecutor(2) as threads:
        answers = [threads.submit(batches.act, asked) for _ in range(2)]
        for waiting in answers:
            with pytest.raises(ValueError, match="answers to"):
                waiting.result(10)
    batches.close()


def test_the_environment_gets_the_attempt_as_its_seed(tmp_path: Path) -> None:
    explore(tmp_path / "data", "corridor", "walker", attempts=3, tasks=1, options={"noisy": True})
    seen = rows(
        tmp_path / "data", "SELECT attempt, observation FROM steps JOIN rollouts USING (rollout_id) WHERE step = 0 ORDER BY attempt"
    )
    assert [row["observation"].split("Clock: ")[1] for row in seen] == ["0.", "1.", "2."]


@pytest.mark.parametrize(
    ("text", "values"),
    [("0.7", [0.7]), ("0.2,0.7", [0.2, 0.7]), ("0.2..1.4/7", [0.2, 0.4, 0.6, 0.8, 1.0, 1.2, 1.4]), ("0,0.5..1/2", [0.0, 0.5, 1.0])],
)
def test_schedules_are_lists_and_ramps(text: str, values: list[float]) -> None:
    assert numbers("temperature", text, 0, 100) == values


@pytest.mark.parametrize("text", ["warm", "0.2..1.4", "0.2..1.4/1", "", "-1", "101", "nan"])
def test_a_bad_schedule_is_refused(text: str) -> None:
    with pytest.raises(BadInputError, match="temperature"):
        numbers("temperature", text, 0, 100)


def test_more_attempts_leave_earlier_samplings_alone() -> None:
    schedule = Schedule(parse_specification("walker:top_p=0.5"), "0.2..1.4/7", "1.0", 64, 3)
    samplings = [json.loads(schedule.sampling(attempt)) for attempt in range(10)]
    assert [s["temperature"] for s in samplings] == [0.2, 0.4, 0.6, 0.8, 1.0, 1.2, 1.4, 0.2, 0.4, 0.6]
    assert {s["top_p"] for s in samplings} == {0.5}
    assert {s["seed"] for s in samplings} == {3}


def test_an_expert_is_kept_where_it_wins_and_dropped_with_a_reason_elsewhere(tmp_path: Path) -> None:
    report = explore(tmp_path / "data", "corridor", "expert", attempts=7, tasks=12)
    assert report.counts["rollouts"] == 8  # lengths 1 to 4 twice; 5 has no expert, 6 has one that fails
    assert {row["score"] for row in rows(tmp_path / "data", "SELECT score FROM rollouts")} == {1.0}
    dropped = rows(tmp_path / "data", "SELECT reason, count(*) AS n FROM dropped GROUP BY reason ORDER BY reason")
    assert dropped == [{"reason": "expert_below_1", "n": 2}, {"reason": "no_expert", "n": 2}]
    assert not explore(tmp_path / "data", "corridor", "expert", attempts=7, tasks=12).changed


def test_a_transcript_is_replayed(tmp_path: Path) -> None:
    steps = [{"thought": "On.", "action": "right"}, {"action": "take"}]
    lines = [{"task_id": "train-0-1", "steps": steps}, {"task_id": "train-1-2", "attempt": 1, "steps": steps[:1]}]
    (tmp_path / "log.jsonl").write_text("\n".join(map(json.dumps, lines)))
    explore(tmp_path / "data", "corridor", f"transcript:file={tmp_path / 'log.jsonl'}", attempts=2, tasks=2)
    got = rows(tmp_path / "data", "SELECT task_id, attempt, score, end_reason FROM rollouts ORDER BY task_id")
    assert got == [
        {"task_id": "train-0-1", "attempt": 0, "score": 1.0, "end_reason": "done"},
        {"task_id": "train-1-2", "attempt": 1, "score": 0.0, "end_reason": "agent_stopped"},
    ]
    assert rows(tmp_path / "data", "SELECT DISTINCT reason FROM dropped") == [{"reason": "no_transcript"}]


def test_agents_that_misbehave_end_their_own_rollouts_only(tmp_path: Path) -> None:
    for way in ("mumbles", "stops", "raises", "halves"):
        explore(tmp_path / way, "corridor", f"odd:way={way},only=train-2-3", attempts=2, tasks=4, concurrent=4)
        assert_consistent(tmp_path / way)
    assert ends(tmp_path / "mumbles") == {"done": 6, "invalid_actions": 2}
    assert {row["step_count"] for row in rows(tmp_path / "mumbles", "SELECT step_count FROM rollouts WHERE task_id = 'train-2-3'")} == {10}
    assert ends(tmp_path / "halves") == {"done": 6, "invalid_actions": 2}
    replaced = [{"action": "\ufffd\ufffd", "thought": "\ufffd"}]
    assert rows(tmp_path / "halves", "SELECT DISTINCT action, thought FROM steps WHERE NOT valid") == replaced
    notes = rows(
        tmp_path / "halves", "SELECT r.end_reason, d.reason, d.detail FROM dropped AS d JOIN rollouts AS r ON r.rollout_id = subject"
    )
    detail = "40 NUL or lone surrogate characters became U+FFFD; the rollout was kept"
    assert notes == [{"end_reason": "invalid_actions", "reason": "replaced_characters", "detail": detail}] * 2
    again = explore(tmp_path / "halves", "corridor", "odd:way=halves,only=train-2-3", attempts=2, tasks=4, retry_failed=True)
    assert not again.changed, "a rollout that was kept is not played again"
    assert ends(tmp_path / "stops") == {"agent_stopped": 2, "done": 6}
    assert ends(tmp_path / "raises") == {"agent_error": 2, "done": 6}
    assert rows(tmp_path / "raises", "SELECT score FROM rollouts WHERE end_reason = 'agent_error'") == [{"score": None}] * 2


def test_a_score_out_of_range_is_the_environments_error(tmp_path: Path) -> None:
    explore(
        tmp_path / "data", "corridor", "walker:slips=0.3", attempts=1, tasks=["train-1-2", "train-5-6"], options={"pays": 100.0}, seed=1
    )
    got = rows(tmp_path / "data", "SELECT end_reason, score FROM rollouts ORDER BY ALL")
    assert {row["end_reason"] for row in got} <= {"done", "environment_error"}
    assert all(row["score"] in (None, 0.0) for row in got)
    assert got[-1] == {"end_reason": "environment_error", "score": None}


def test_max_steps_end_a_rollout(tmp_path: Path) -> None:
    explore(tmp_path / "data", "corridor", "walker:slips=0", attempts=1, tasks=["train-5-6"], max_steps=3)
    (rollout,) = rows(tmp_path / "data", "SELECT end_reason, step_count, score FROM rollouts")
    assert rollout == {"end_reason": "max_steps", "step_count": 3, "score": 0.0}


def test_a_run_in_which_everything_fails_is_stopped(tmp_path: Path) -> None:
    with pytest.raises(TratreeError, match=r"attempts all failed.*the agent has a bug"):
        explore(tmp_path / "data", "corridor", "odd:way=raises", attempts=7, tasks=40, concurrent=2)
    assert 6 <= ends(tmp_path / "data")["agent_error"] < 20


def test_a_server_that_stays_away_stops_the_run(tmp_path: Path) -> None:
    with pytest.raises(TratreeError, match="--retry-failed"):
        explore(tmp_path / "data", "corridor", "odd:way=away,only=train-9-4", attempts=2, tasks=40, concurrent=2)
    got = ends(tmp_path / "data")
    assert got["server_unavailable"] >= 1
    assert got["done"] < 60


def test_a_process_that_dies_costs_its_own_attempts_only(tmp_path: Path) -> None:
    data = tmp_path / "data"
    explore(data, "corridor", "walker:slips=0", attempts=2, tasks=6, options={"crash_at": 2, "only": "train-2-3"}, processes=2)
    assert ends(data) == {"done": 10, "environment_error": 2}
    assert not explore(data, "corridor", "walker:slips=0", attempts=2, tasks=6).changed
    report = explore(data, "corridor", "walker:slips=0", attempts=2, tasks=6, retry_failed=True)
    assert report.counts["rollouts"] == 2
    assert ends(data) == {"done": 12}
    assert_consistent(data)


@pytest.mark.parametrize(
    ("trouble", "reason"), [("crash_at", "environment_error"), ("fail_at", "environment_error"), ("hang_at", "time_out")]
)
def test_environments_in_workers_are_replaced(tmp_path: Path, trouble: str, reason: str) -> None:
    options = {trouble: 2, "only": "train-1-2"}
    explore(tmp_path / "data", "far-corridor", "thinker:slips=0", attempts=2, tasks=4, options=options, concurrent=2, time_out=2)
    assert ends(tmp_path / "data") == {"done": 6, reason: 2}
    assert_consistent(tmp_path / "data")


def test_many_small_commits_become_few_files(tmp_path: Path) -> None:
    explore(tmp_path / "data", "corridor", "walker", attempts=2, tasks=11, commit_rollouts=1)
    store = open_store(tmp_path / "data")
    assert store.count("rollouts") == 22
    assert len(store.sources["rollouts"].files) == len(store.sources["steps"].files) == 1
    assert store.version("rollouts") > 22
    assert_consistent(tmp_path / "data")


def test_mistakes_are_reported(tmp_path: Path) -> None:
    for problem, call in {
        "no split": {"split": "trian"},
        "no agent": {"agent": "scriptd"},
        "Did you mean 'slips'": {"agent": "walker:slip=1"},
        "needs way": {"agent": "odd"},
        "no agent to": {"agent": []},
        "from 0 to 2": {"temperature": 3},
        "does not accept its options": {"options": {"length": 3}},
        "key=value": {"agent": "walker:skill"},
        "command line": {"agent": "openai:model=m,api_key=sk-1"},
        "attempts must": {"attempts": 0},
        "tasks must": {"tasks": 0},
        "has no task": {"tasks": ["train-99"]},
        "engine must be one of local, ray": {"engine": "slurm"},
    }.items():
        with pytest.raises((BadInputError, NotFoundError), match=f"(?i){problem}|No agent"):
            explore(tmp_path / "data", "corridor", **{"agent": "walker", **call})  # type: ignore[arg-type]
    create_store(tmp_path / "busy")
    with writing(tmp_path / "busy"), pytest.raises(StoreBusyError):
        explore(tmp_path / "busy", "corridor", "walker")


def test_weak_and_strong_scripts_and_an_expert_shop(tmp_path: Path) -> None:
    agents = ["scripted:skill=0.2", "scripted:skill=0.9,temperature=0.3", "expert"]
    explore(tmp_path / "shop", "webshop", agents, attempts=2, tasks=10, temperature="0.5,1.5")
    got = rows(
        tmp_path / "shop", "SELECT agent, sampling, avg(score) AS score, count(*) AS n FROM rollouts GROUP BY ALL ORDER BY agent, sampling"
    )
    temperatures = [json.loads(row["sampling"]).get("temperature") for row in got]
    assert temperatures == [None, 0.3, 0.5, 1.5]
    assert [row["n"] for row in got] == [10, 20, 10, 10]
    assert got[0]["score"] == 1
    assert got[1]["score"] > (got[2]["score"] + got[3]["score"]) / 2
    assert rows(tmp_path / "shop", "SELECT rollout_id FROM rollouts WHERE end_reason = 'done' AND end_observation = ''") == []
    assert_consistent(tmp_path / "shop")


def test_a_dataset_is_explored_in_one_version_of_an_environment(tmp_path: Path) -> None:
    """With a banner that changes it is another shop: the same plan is not done already, and is not mixed in."""
    explore(tmp_path / "shop", "webshop", attempts=1, tasks=2)
    with pytest.raises(BadInputError, match=r"(?s)another version of webshop.*banner.*Next: use the same options"):
        explore(tmp_path / "shop", "webshop", attempts=1, tasks=2, options={"noise": True})
    assert not explore(tmp_path / "shop", "webshop", attempts=1, tasks=2).changed
    assert explore(tmp_path / "shop", "corridor", "walker", attempts=1, tasks=2).changed, "another environment is welcome"


def test_only_the_first_action_counts() -> None:
    assert parse_response("Thought: a\nAction: go\nAction: stop") == ("a", "go")
    assert parse_response("nothing of the kind") == ("nothing of the kind", "")


def command(folder: Path, **options: Any) -> list[str]:
    words = [sys.executable, "-m", "tratree_data.cli", "explore", "corridor", str(folder), "--agent", "walker", "--attempts", "30"]
    return words + [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", str(value))]


def start(folder: Path, diary: Path, **options: Any) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    words = [*command(folder, **options), "--option", f"diary={diary}", "--option", "slow=0.002"]
    return subprocess.Popen(words, env=environment, stderr=subprocess.PIPE, text=True)


def children(pid: int) -> list[int]:
    found: list[int] = []
    for thread in Path(f"/proc/{pid}/task").glob("*"):
        with suppress(FileNotFoundError, ProcessLookupError):  # a thread that has ended
            found += map(int, (thread / "children").read_text().split())
    return found


def wait_for_episodes(diary: Path, count: int) -> None:
    patience = time.monotonic() + 240
    while not diary.exists() or diary.stat().st_size < count:
        assert time.monotonic() < patience
        time.sleep(0.02)


def commits(folder: Path) -> int:
    return len(list((folder / "rollouts" / "_delta_log").glob("*.json")))


def wait_for_commits(folder: Path, count: int) -> None:
    patience = time.monotonic() + 240
    while commits(folder) < count:
        assert time.monotonic() < patience
        time.sleep(0.02)


@pytest.mark.slow
def test_killed_at_thirty_moments_nothing_is_lost_and_nothing_is_there_twice(tmp_path: Path) -> None:
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    moments = random.Random(seed)
    data, diary = tmp_path / "data", tmp_path / "diary"
    stored, seen = 0, set()
    for kill in range(KILLS):
        process = start(data, diary, commit_rollouts=8, commit_seconds=0.1)
        if kill % 3 == 1:  # while episodes are played; every third kill may come while the run starts
            wait_for_episodes(diary, 1 + (diary.stat().st_size if diary.exists() else 0))
        elif kill % 3 == 2:  # after some commits, or in the middle of one
            wait_for_commits(data, commits(data) + moments.randint(1, 3))
        time.sleep(moments.uniform(0, 0.6))
        helpers = children(process.pid)
        process.kill()
        process.communicate()
        now = committed_rollouts(data)
        assert seen <= now, "something that was committed is gone"
        seen, stored = now, len(now)
    assert 0 < stored < 1200, "the kills came too late, or too early, to prove anything"
    wait_until_gone(helpers)
    last = start(data, diary)
    assert last.wait(120) == 0, last.communicate()[1]
    last.communicate()
    assert_consistent(data)
    assert open_store(data).count("rollouts") == 1200
    assert rows(data, "SELECT task_id FROM rollouts GROUP BY task_id HAVING count(*) <> 30") == []
    played = diary.stat().st_size
    print(f"{stored} of 1200 stored after {KILLS} kills; {played - 1200} episodes were played again")
    assert played >= 1200
    assert played - 1200 <= KILLS * (8 + 4 * 16 * 2)


def committed_rollouts(data: Path) -> set[str]:
    """A kill before the first commit leaves a folder that is not a dataset yet."""
    try:
        store = open_store(data)
    except NotFoundError:
        return set()
    if not store.has("rollouts"):
        return set()
    assert_consistent(data)
    return {row["rollout_id"] for row in rows(data, "SELECT rollout_id FROM rollouts")}


def wait_until_gone(processes: list[int]) -> None:
    patience = time.monotonic() + 10
    while any(Path(f"/proc/{pid}").exists() for pid in processes):
        assert time.monotonic() < patience, "a child outlives its killed parent"
        time.sleep(0.1)


def test_a_terminal_shows_a_live_line(tmp_path: Path) -> None:
    ours, theirs = os.openpty()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path), "COLUMNS": "200", "TERM": "xterm"}
    words = [*command(tmp_path / "data"), "--option", "slow=0.003"]
    process = subprocess.Popen(words, env=environment, stderr=theirs)
    os.close(theirs)
    shown = b""
    with suppress(OSError):  # the other end is closed
        while part := os.read(ours, 65536):
            shown += part
    assert process.wait(120) == 0
    text = shown.decode()
    for words_shown in ("rollouts", "/1200", "% solved, mean score 0.", "tokens/s"):
        assert words_shown in text, words_shown


def test_ctrl_c_keeps_what_is_finished(tmp_path: Path) -> None:
    process = start(tmp_path / "data", tmp_path / "diary", commit_seconds=600)
    wait_for_episodes(tmp_path / "diary", 60)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    assert errors.count("resumes from there") == 1, errors
    kept = open_store(tmp_path / "data").count("rollouts")
    assert kept >= 20
    assert_consistent(tmp_path / "data")


@pytest.fixture(scope="module")
def local_ray() -> Iterator[None]:
    ray = pytest.importorskip("ray", reason="needs pip install 'tratree-data[ray]'")
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, configure_logging=False)
    yield
    ray.shutdown()


@pytest.mark.slow
@pytest.mark.parametrize("agent", ["walker:name=w", "thinker:name=w"])
def test_ray_gives_the_same_rollouts(tmp_path: Path, local_ray: None, agent: str) -> None:
    explore(tmp_path / "local", "corridor", agent, attempts=3, tasks=20)
    explore(tmp_path / "ray", "corridor", agent, attempts=3, tasks=20, engine="ray", processes=2, concurrent=8)
    query = "SELECT rollout_id, score, end_reason, step, action, observation FROM rollouts JOIN steps USING (rollout_id) ORDER BY ALL"
    assert rows(tmp_path / "local", query) == rows(tmp_path / "ray", query)
    assert_consistent(tmp_path / "ray")


@pytest.mark.slow
def test_a_dead_ray_worker_is_replaced(tmp_path: Path, local_ray: None) -> None:
    data = tmp_path / "data"
    options = {"crash_at": 2, "only": "train-2-3"}
    explore(data, "corridor", "walker:slips=0", attempts=2, tasks=8, options=options, engine="ray", processes=2)
    assert ends(data) == {"done": 14, "environment_error": 2}
    assert_consistent(data)


@pytest.mark.slow
def test_a_users_mistake_under_ray_is_told_as_everywhere(tmp_path: Path, local_ray: None) -> None:
    with pytest.raises(BadInputError, match="does not exist"):
        explore(tmp_path / "data", "corridor", f"transcript:file={tmp_path / 'none'}", engine="ray", tasks=1)


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve tasks, three attempts each by an agent that often gives up early, built and searched."""
    folder = tmp_path_factory.mktemp("searched")
    corridor.install(folder / "plug-in")
    explore(folder / "data", "corridor", "walker:slips=0.5", attempts=3, tasks=12)
    build(folder / "data", embedder="exact")
    search(folder / "data")
    return folder / "data"


@pytest.fixture
def trees(searched: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(searched, tmp_path / "data"))


@pytest.mark.parametrize("other", [{"max_steps": 5}, {"max_steps": 12}, {"max_invalid_actions": 3}])
def test_two_limits_are_not_mixed_in_one_folder(tmp_path: Path, other: dict[str, int]) -> None:
    """The limit is not part of a rollout's id, so only a refusal keeps the scores of two limits out of one tree."""
    folder = tmp_path / "data"
    explore(folder, "corridor", "walker", processes=1, attempts=1, tasks=2)
    for attempts in (1, 3):
        with pytest.raises(BadInputError, match=f"was explored with {next(iter(other))}.*\\nNext: .*another folder"):
            explore(folder, "corridor", "walker", processes=1, attempts=attempts, tasks=2, **other)
    assert rows(folder, "SELECT count(*) AS n FROM rollouts") == [{"n": 2}]
    explore(tmp_path / "limited", "corridor", "walker", processes=1, attempts=1, tasks=2, **other)
    with pytest.raises(BadInputError, match=f"Next: --{next(iter(other)).replace('_', '-')} {next(iter(other.values()))}, or"):
        explore(tmp_path / "limited", "corridor", "walker", processes=1, attempts=2, tasks=2, **dict.fromkeys(other, 11))
    filter(tmp_path / "limited", tmp_path / "filtered", "true")
    with pytest.raises(BadInputError, match="was explored with"):
        explore(tmp_path / "filtered", "corridor", "walker", processes=1, attempts=2, tasks=2)
    assert explore(tmp_path / "limited", "corridor", "walker", processes=1, attempts=2, tasks=2, **other).counts["rollouts"] == 2


@pytest.mark.parametrize("branch_from", ["divergences", "uncertain", "unsolved"])
def test_branches_start_where_it_teaches_most(trees: Path, branch_from: str) -> None:
    report = explore(trees, "corridor", "walker:slips=0.2", attempts=4, branch_from=branch_from, budget=10)
    assert report.counts["rollouts"] == 10
    assert_consistent(trees)
    branches = rows(trees, "SELECT * FROM rollouts WHERE branch_node_id IS NOT NULL ORDER BY rollout_id")
    assert len(branches) == 10
    assert min(row["attempt"] for row in branches) == 3
    if branch_from == "unsolved":
        solved = {row["task_id"] for row in rows(trees, "SELECT task_id FROM rollouts WHERE success AND branch_node_id IS NULL")}
        assert not solved & {row["task_id"] for row in branches}
    grown = open_store(trees)
    nodes = {node["node_id"]: node for node in grown.read("nodes").to_pylist()}
    taken = grown.read("steps").sort_by([("rollout_id", "ascending"), ("step", "ascending")]).to_pylist()
    for row in branches:
        path, node = [], nodes[row["branch_node_id"]]
        while node["parent_id"]:
            path.insert(0, (node["observation"], node["action"]))
            node = nodes[node["parent_id"]]
        steps = [step for step in taken if step["rollout_id"] == row["rollout_id"]]
        assert [(step["observation"], step["action"]) for step in steps[: len(path)]] == path
        assert len(steps) > len(path)
    assert not explore(trees, "corridor", "walker:slips=0.2", attempts=4, branch_from=branch_from, budget=10).changed
    build(trees, embedder="exact")
    search(trees)
    assert explore(trees, "corridor", "walker:slips=0.2", attempts=4, branch_from=branch_from, budget=10).changed


@pytest.mark.slow
def test_both_sides_of_a_decision_get_attempts_until_their_difference_is_certain(trees: Path) -> None:
    """Going right at the first fork pays with a walker that seldom slips, so enough attempts must confirm it."""
    doubted = rows(trees, "SELECT best_id, worst_id FROM decisions WHERE is_divergence AND margin_z < 1.96")
    result = verify(trees, "corridor", "walker:slips=0.2", attempts=6, budget=120)
    counts = result.counts
    assert counts["decisions"] == len(doubted) == counts["confirmed"] + counts["reversed"] + counts["open"]
    assert 0 < counts["rollouts"] <= 120
    sides = {side for row in doubted for side in row.values()}
    branched = {row["branch_node_id"] for row in rows(trees, "SELECT branch_node_id FROM rollouts WHERE branch_node_id IS NOT NULL")}
    assert sides & branched
    certain = rows(trees, "SELECT count(*) AS n FROM decisions WHERE margin_z >= 1.96")
    assert certain[0]["n"] >= counts["confirmed"] > 0
    pairs(trees)
    verified = rows(trees, "SELECT verified, margin_z, chosen_visits + rejected_visits AS visits FROM pairs ORDER BY margin_z")
    assert [row["verified"] for row in verified] == [row["margin_z"] >= 1.96 for row in verified]
    assert max(row["visits"] for row in verified) > 4
    forced = "SELECT scored_visits - free_visits AS n FROM nodes WHERE depth = 0"
    deeper = "SELECT count(*) AS n FROM rollouts JOIN nodes ON branch_node_id = node_id WHERE depth > 0 GROUP BY rollouts.tree_id"
    assert sum(row["n"] for row in rows(trees, forced)) == sum(row["n"] for row in rows(trees, deeper)) > 0, "they did not choose there"
    free = "SELECT count(*) AS n FROM nodes WHERE free_visits > scored_visits OR free_score_squares > free_score_sum + 1e-9"
    assert rows(trees, free) == [{"n": 0}]


def test_a_query_chooses_the_nodes(trees: Path) -> None:
    chosen = "SELECT node_id FROM nodes WHERE depth = 1 AND action = 'right' ORDER BY node_id"
    explore(trees, "corridor", "walker:slips=0", attempts=2, branch_from=chosen, budget=6)
    got = rows(trees, "SELECT depth, action, score FROM rollouts JOIN nodes ON branch_node_id = node_id")
    assert got == [{"depth": 1, "action": "right", "score": 1.0}] * 6
    with pytest.raises(BadInputError, match="needs node_id"):
        explore(trees, "corridor", "walker", branch_from="SELECT depth FROM nodes")


@pytest.mark.parametrize("priority", ["-depth", "'inf'::DOUBLE", "'nan'::DOUBLE"])
def test_a_priority_that_cannot_share_a_budget_is_refused(trees: Path, priority: str) -> None:
    before = rows(trees, "SELECT count(*) AS n FROM rollouts")
    with pytest.raises(BadInputError, match="has priority"):
        explore(trees, "corridor", "walker", branch_from=f"SELECT node_id, {priority} AS priority FROM nodes WHERE depth = 1", budget=5)
    assert rows(trees, "SELECT count(*) AS n FROM rollouts") == before


def test_a_prefix_that_does_not_come_back_is_dropped(trees: Path) -> None:
    report = explore(trees, "corridor", "walker", attempts=1, branch_from="divergences", budget=5, options={"noisy": True})
    assert report.counts["rollouts"] == 0
    got = rows(trees, "SELECT reason, count(*) AS n FROM dropped WHERE stage = 'explore' GROUP BY reason")
    assert got == [{"reason": "prefix_changed", "n": 5}]
    assert "the tree says" in rows(trees, "SELECT detail FROM dropped WHERE stage = 'explore'")[0]["detail"]


def test_a_noisy_prefix_comes_back_under_its_seed(tmp_path: Path) -> None:
    explore(tmp_path / "data", "corridor", "walker:slips=0.5", attempts=3, tasks=6, options={"noisy": True})
    build(tmp_path / "data", embedder="exact")
    chosen = "SELECT node_id FROM nodes WHERE depth = 1 AND action = 'right' ORDER BY node_id"
    explore(tmp_path / "data", "corridor", "walker", attempts=1, branch_from=chosen, budget=5, options={"noisy": True})
    assert open_store(tmp_path / "data").count("dropped") == 0
    assert len(rows(tmp_path / "data", "SELECT * FROM rollouts WHERE branch_node_id IS NOT NULL")) == 5


def test_a_budget_is_shared_by_priority() -> None:
    assert share_budget([3, 1], 8, 10) == [6, 2]
    assert share_budget([3, 1], 8, 5) == [5, 3]
    assert share_budget([1, 1, 1], 2, 5) == [1, 1, 0]
    assert share_budget([0, 0], 3, 5) == [2, 1]
    assert share_budget([1], 100, 7) == [7]
    assert share_budget([], 5, 7) == []
    assert share_budget([1e308, 1e308], 1000, 600) == [500, 500]
