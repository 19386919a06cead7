"""Trees against the plain reference: golden, oracle, property."""

import math
import random
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import xxhash
from helpers.small import Step, all_nodes, lookup_of, reference_trees, similarity_of, tables
from hypothesis import given, settings
from hypothesis import strategies as st

from tratree_data.errors import BadInputError
from tratree_data.system.compiling import compiled
from tratree_data.system.hashing import hash_texts, hex_column
from tratree_data.trees import comparing, merging
from tratree_data.trees.rules.normalise import normalise, parse_rules
from tratree_data.trees.tree import Trees, build_tree


def angle(text: str) -> tuple[float, float]:
    """'door 12' → the direction of 12 tenths: texts with near numbers are similar, whatever else they say."""
    number = int("".join(character for character in text if character.isdigit()) or 0)
    return math.cos(number / 10), math.sin(number / 10)


def paths_of(trees: Trees) -> dict[str, tuple[Any, ...]]:
    """node_id → (tree, (observation, action), …) from the root down."""
    nodes = {row["node_id"]: row for row in trees.nodes.to_pylist()}
    found: dict[str, tuple[Any, ...]] = {}
    for row in sorted(nodes.values(), key=lambda row: row["depth"]):
        if row["parent_id"] is None:
            found[row["node_id"]] = (row["tree_id"],)
        else:
            found[row["node_id"]] = (*found[row["parent_id"]], (row["observation"], row["action"]))
    return found


def assert_same(trees: Trees, roots: dict[str, Any], placed: dict[tuple[str, int], Any]) -> None:
    """Every node, number and placement is the reference's."""
    paths = paths_of(trees)
    ours = {paths[row["node_id"]]: row for row in trees.nodes.to_pylist()}
    theirs = {(tree, *node.path()): node for tree, root in roots.items() for node in all_nodes(root)}
    assert set(ours) == set(theirs)
    for path, node in theirs.items():
        row = ours[path]
        assert (row["depth"], row["state"], row["thought"]) == (node.depth, node.state, node.thought), path
        assert (row["visits"], row["scored_visits"], row["ends"], row["scored_ends"]) == (
            node.visits,
            node.scored_visits,
            node.ends,
            node.scored_ends,
        ), path
        assert row["score_sum"] == pytest.approx(node.score_sum)
        assert row["end_score_sum"] == pytest.approx(node.end_score_sum)
    assert len(trees.step_nodes) == len(placed)
    for row in trees.step_nodes.to_pylist():
        expected = placed[row["rollout_id"], row["step"]]
        assert paths[row["node_id"]][1:] == expected.node.path()
        assert row["similarity"] == pytest.approx(expected.similarity, abs=1e-6)


def assert_lossless(trees: Trees, steps: pa.Table) -> None:
    nodes = {row["node_id"]: row for row in trees.nodes.to_pylist()}
    rebuilt = {}
    for row in trees.step_nodes.to_pylist():
        node = nodes[row["node_id"]]
        texts = tuple(node[name] if row[name] is None else row[name] for name in ("observation", "thought"))
        rebuilt[row["rollout_id"], row["step"]] = (*texts, node["action"])
    assert rebuilt == {(r["rollout_id"], r["step"]): (r["observation"], r["thought"], r["action"]) for r in steps.to_pylist()}


GOLDEN = [
    ("tea", 0, 0.0, [("kitchen", "look", "open cupboard"), ("cup", "take it", "take cup"), ("cup in hand", "done", "leave")]),
    ("tea", 1, 1.0, [("kitchen", "hm", "open cupboard"), ("cup", "take it", "take cup"), ("cup in hand", "boil", "boil water")]),
    ("tea", 2, 0.5, [("kitchen", "hm", "open cupboard"), ("cup", "stop here", "take cup")]),
    ("tea", 3, None, [("kitchen", "", "wait")]),
]


def test_golden_tree() -> None:
    rollouts, steps = tables(GOLDEN)  # type: ignore[arg-type]
    trees = build_tree(rollouts, steps)
    rows = [
        (r["depth"], r["action"], r["visits"], r["scored_visits"], r["score_sum"], r["ends"], r["end_score_sum"])
        for r in trees.nodes.to_pylist()
    ]
    assert rows == [
        (0, None, 4, 3, 1.5, 0, 0.0),
        (1, "open cupboard", 3, 3, 1.5, 0, 0.0),
        (1, "wait", 1, 0, 0.0, 1, 0.0),
        (2, "take cup", 3, 3, 1.5, 1, 0.5),
        (3, "leave", 1, 1, 0.0, 1, 0.0),
        (3, "boil water", 1, 1, 1.0, 1, 1.0),
    ]
    assert trees.edges.num_rows == 5
    assert trees.edges["traversals"].to_pylist() == [3, 1, 3, 1, 1]
    assert trees.step_nodes["thought"].to_pylist() == [None, None, None, "hm", None, None, "hm", "stop here", None]
    assert_lossless(trees, steps)


def test_node_ids_are_documented_hashes() -> None:
    rollouts, steps = tables(GOLDEN[:1])  # type: ignore[arg-type]
    root, first, *_ = build_tree(rollouts, steps).nodes.to_pylist()
    assert root["node_id"] == xxhash.xxh64_hexdigest(root["tree_id"].encode())
    packed = int(root["node_id"], 16).to_bytes(8, "little") + xxhash.xxh64_intdigest(b"kitchen").to_bytes(8, "little")
    packed += xxhash.xxh64_intdigest(b"open cupboard").to_bytes(8, "little")
    assert first["node_id"] == xxhash.xxh64_hexdigest(packed)


def test_texts_made_to_have_one_hash_are_refused_not_confused() -> None:
    left, right = (f"{'x' * 24}".join((*parts, "")) for parts in (("k gihagn", "jnabwjmz"), ("kvsybqbr", "n`&hx<+j")))
    assert xxhash.xxh64_hexdigest(left.encode()) == xxhash.xxh64_hexdigest(right.encode())
    alone, steps = tables([("t", 0, 0.0, [(left, "", "a")]), ("u", 0, 0.0, [(right, "", "a")])])
    assert_lossless(build_tree(alone, steps), steps)  # in two trees nothing is confused
    for attempts in ([(left, "", "a")], [(right, "", "a")]), ([("o", "", left)], [("o", "", right)]):
        with pytest.raises(BadInputError, match="one node_id"):
            build_tree(*tables([("t", i, 0.0, taken) for i, taken in enumerate(attempts)]))


def test_order_of_storage_does_not_matter() -> None:
    rollouts, steps = tables(
        [(f"task {i % 5}", i // 5, 0.5, [(f"door {j * 3 % 7}", "", "ab"[i * j % 2]) for j in range(i % 6)]) for i in range(60)]
    )
    rng = random.Random(7)
    shuffled_rows = rng.sample(range(steps.num_rows), steps.num_rows)
    straight, shuffled = build_tree(rollouts, steps), build_tree(rollouts.take(list(range(59, -1, -1))), steps.take(shuffled_rows))
    for name in ("nodes", "edges", "step_nodes"):
        a, b = getattr(straight, name), getattr(shuffled, name)
        keys = [(column, "ascending") for column in ("tree_id", "node_id", "child_id", "rollout_id", "step") if column in a.column_names]
        assert a.sort_by(keys).equals(b.sort_by(keys)), name


TEXTS = st.sampled_from(
    ["", "\n", "door 0", "door 1", "door 2", "room 3", "room 30", "a door  1", "tür 2", "门 1", "x" * 300 + " 4", "door 1 "]
)
ACTIONS = st.sampled_from(["a", "b", "b ", "", "öffne", "go 🚪"])
STEPS = st.lists(st.tuples(TEXTS, st.sampled_from(["", "why"]), ACTIONS), max_size=6)
SCORES = st.sampled_from([None, 0.0, 0.25, 1.0])
ATTEMPTS = st.lists(st.tuples(st.sampled_from(["one", "two"]), st.integers(0, 3), SCORES, STEPS), min_size=1, max_size=9)


@settings(max_examples=300, deadline=None)
@given(ATTEMPTS, st.sampled_from([0.3, 0.9, 0.95, 0.99, 0.995, 1.0]))
def test_every_tree_is_the_references(attempts: list[tuple[str, int, float | None, list[Step]]], threshold: float) -> None:
    rollouts, steps = tables(attempts)
    trees = build_tree(rollouts, steps, lookup=lookup_of(angle), min_similarity=threshold)
    assert_same(trees, *reference_trees(rollouts, steps, similarity_of(angle), threshold))
    assert_lossless(trees, steps)


@settings(max_examples=200, deadline=None)
@given(ATTEMPTS)
def test_every_exact_tree_is_the_references(attempts: list[tuple[str, int, float | None, list[Step]]]) -> None:
    rollouts, steps = tables(attempts)
    trees = build_tree(rollouts, steps)
    assert_same(trees, *reference_trees(rollouts, steps, lambda left, right: -1.0, 1.0))
    assert_lossless(trees, steps)


def noisy_attempts(rng: random.Random, tasks: int) -> list[tuple[str, int, float | None, list[Step]]]:
    attempts = []
    for i in range(400):
        length = rng.randint(0, 9)
        texts = [f"{rng.choice('xyz')}{rng.choice(['', ' '])}{rng.randint(0, 14)}" for _ in range(length)]
        taken = [(text, rng.choice(["", "t"]), rng.choice("abc")) for text in texts]
        attempts.append((f"task {i % tasks}", i // tasks, rng.choice([None, 0.0, 0.5, 1.0]), taken))
    return attempts


@pytest.mark.parametrize("seed", range(6))
def test_many_noisy_rollouts(seed: int) -> None:
    print(f"seed {seed}")
    rng = random.Random(seed)
    rollouts, steps = tables(noisy_attempts(rng, tasks=17))
    threshold = rng.choice([0.9, 0.97, 0.99])
    trees = build_tree(rollouts, steps, lookup=lookup_of(angle), min_similarity=threshold)
    assert_same(trees, *reference_trees(rollouts, steps, similarity_of(angle), threshold))
    assert_lossless(trees, steps)


@pytest.mark.parametrize("seed", range(12))
def test_crowds_in_blocks_of_any_size_are_the_references(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is compared at once, and whatever a block finds founded before it; small groups in chunks beside them."""
    print(f"seed {seed}")
    rng = random.Random(seed)
    rollouts, steps = tables(noisy_attempts(rng, tasks=rng.choice([1, 3, 17])))
    threshold = rng.choice([0.0, 0.9, 0.97, 0.99])
    whole = build_tree(rollouts, steps, lookup=lookup_of(angle), min_similarity=threshold)
    for name, sizes in (("CROWD", [1, 3, 8]), ("BLOCK", [1, 2, 7]), ("PAIRS", [1, 10, 50])):
        monkeypatch.setattr(comparing, name, rng.choice(sizes))
    trees = build_tree(rollouts, steps, lookup=lookup_of(angle), min_similarity=threshold)
    assert_same(trees, *reference_trees(rollouts, steps, similarity_of(angle), threshold))
    assert [trees.nodes, trees.edges, trees.step_nodes] == [whole.nodes, whole.edges, whole.step_nodes]


@pytest.mark.parametrize("distinct", [comparing.CROWD - 1, comparing.CROWD + 80])
def test_many_attempts_at_one_decision_with_and_without_an_index(distinct: int) -> None:
    """From CROWD distinct texts on, FAISS finds the candidates; the tree stays the reference's."""
    rng = random.Random(distinct)
    attempts = [("crowd", i, 1.0, [(f"door {rng.randint(0, 40)} seen by {'i' * i}", "", rng.choice("ab"))]) for i in range(distinct)]
    rollouts, steps = tables(attempts)
    trees = build_tree(rollouts, steps, lookup=lookup_of(angle), min_similarity=0.999)
    assert_same(trees, *reference_trees(rollouts, steps, similarity_of(angle), 0.999))


@pytest.mark.parametrize("actions", [1, 3_000])
def test_a_crowd_of_like_texts_holds_few_pairs_at_once(actions: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """All 4.5 million pairs are similar; they merge into one child, or found a child each in one state."""
    monkeypatch.setattr(comparing, "PAIRS", 100_000)
    held = []
    real = merging.insert_level

    def insert(table: Any, current: Any, rollouts: Any, at: Any, compared: comparing.Comparisons) -> None:
        held.append(len(compared.neighbour))
        real(table, current, rollouts, at, compared)

    monkeypatch.setattr(merging, "insert_level", insert)
    attempts = [("crowd", i, 1.0, [(f"door seen by {i}", "", f"go {i % actions}")]) for i in range(3_000)]
    rollouts, steps = tables(attempts)
    trees = build_tree(rollouts, steps, lookup=lookup_of(lambda text: (1.0, 0.0)), min_similarity=0.9)
    assert trees.nodes.num_rows == 1 + actions
    assert set(trees.nodes["state"].to_pylist()) == {0}
    assert max(held) <= 100_000 + comparing.BLOCK**2


def test_the_most_similar_wins_and_the_older_on_a_tie() -> None:
    first, second, between = ("s 0", "", "a"), ("s 8", "", "a"), ("s 4", "", "a")
    rollouts, steps = tables([("t", 0, 0.0, [first]), ("t", 1, 1.0, [second]), ("t", 2, 0.5, [between]), ("t", 3, 0.5, [("s 5", "", "a")])])
    rows = build_tree(rollouts, steps, lookup=lookup_of(angle), min_similarity=0.9).step_nodes.to_pylist()
    assert rows[2]["node_id"] == rows[0]["node_id"]  # as near to both: the older
    assert rows[3]["node_id"] == rows[1]["node_id"]  # nearer to the second
    assert [row["observation"] for row in rows] == [None, None, "s 4", "s 5"]


def test_siblings_of_unlike_observations_stand_in_different_states() -> None:
    seen = [("s 0", "", "a"), ("s 0", "", "b"), ("s 9", "", "c"), ("s 1", "", "d")]
    rollouts, steps = tables([("t", i, 0.0, [step]) for i, step in enumerate(seen)])
    states = build_tree(rollouts, steps, lookup=lookup_of(angle), min_similarity=0.95).nodes["state"].to_pylist()
    assert states == [0, 0, 0, 1, 0]


def test_steps_must_be_numbered_without_gaps() -> None:
    rollouts, steps = tables([("t", 0, 0.0, [("a", "", "b"), ("c", "", "d")])])
    with pytest.raises(BadInputError, match="rollout-00000"):
        build_tree(rollouts, steps.slice(1))
    with pytest.raises(BadInputError, match="numbered"):
        build_tree(rollouts, pa.concat_tables([steps, steps]))


def test_deep_and_empty_rollouts() -> None:
    rollouts, steps = tables([("t", 0, 1.0, [("here", "", "on")] * 2_000), ("t", 1, 0.0, []), ("empty", 0, None, [])])
    trees = build_tree(rollouts, steps)
    depth = dict(zip(trees.nodes["tree_id"].to_pylist(), trees.nodes["depth"].to_pylist(), strict=True))
    assert sorted(depth.values()) == [0, 2_000]
    roots = trees.nodes.filter(pa.compute.is_null(trees.nodes["parent_id"]))
    assert sorted(zip(roots["visits"].to_pylist(), roots["ends"].to_pylist(), strict=True)) == [(1, 1), (2, 1)]


def test_hashes_are_xxh64() -> None:
    texts = ["", "a", "é漢字🙂", *("x" * n for n in range(70))]
    expected = [xxhash.xxh64_hexdigest(text.encode()) for text in texts]
    assert hex_column(hash_texts(pa.array(texts))).to_pylist() == expected
    assert hex_column(hash_texts(pa.chunked_array([texts[:5], texts[5:]]))).to_pylist() == expected
    assert hex_column(hash_texts(pa.array(texts).slice(2, 3))).to_pylist() == expected[2:5]


@pytest.mark.parametrize(
    ("preset", "left", "right"),
    [
        ("timestamps", "saved at 2024-01-02 10:11:12", "saved at 2025-11-20 09:00:00"),
        ("timestamps", "-rw-r--r-- 1 root Jan 12 10:22 a.txt", "-rw-r--r-- 1 root Nov  3 07:45 a.txt"),
        ("numbers", "price lower than 40.00 dollars", "price lower than 50.00 dollars"),
        ("identifiers", "id 123e4567-e89b-12d3-a456-426614174000", "id 00000000-e89b-12d3-a456-426614174999"),
        ("host-names", "root@a1b2c3:/# ls at 10.0.0.1:80", "root@f9e8d7:/# ls at 10.0.0.2:81"),
        ("log-lines", "INFO: loaded 5 tools\nThe door is open.", "WARNING: slow\nThe door is open."),
        ("log-lines", "The door is open.\n2024-01-02T10:00:00 my.module - ERROR - lost\nDEBUG: 3", "The door is open."),
        (
            "result-headers",
            "Chunk ID: 730018\nWall time: 0.0000 seconds\nProcess exited with code 0\nOutput:\nteh cat",
            "Chunk ID: 4f541b\nWall time: 1.2500 seconds\nProcess exited with code 0\nOutput:\nteh cat",
        ),
        (
            "result-headers",
            "Output: teh cat\nExit Code: 1\nProcess Group PGID: 3962",
            "Output: teh cat\nExit Code: 1\nProcess Group PGID: 41",
        ),
        ("result-headers", "ok\n<shellId: 1 completed with exit code 0>", "ok\n<shellId: 7 completed with exit code 0>"),
        ("typography", 'I\'m "here" - look...', "I\u2019m \u201chere\u201d \u2013 look\u2026"),
        ("typography", "10 km to Besan\u00e7on", "10\u00a0km to Besanc\u0327on"),
        ("white-space", "a  b\n\nc", "a b c"),
        ("letter-case", "You open the Door.", "you open the door."),
        (
            "list-order",
            "On the table 1, you see a knife 3, a fork 1, and a cup 2.",
            "On the table 1, you see a cup 2, a knife 3, and a fork 1.",
        ),
        ("list-order", "b.txt\na.txt\nc", "a.txt\nc\nb.txt"),
        ("list-order", "Available: look, go north, take", "Available: go north, take, look"),
        ("list-order", "ok\nFiles: README.md, src, setup.py", "ok\nFiles: setup.py, README.md, src"),
    ],
)
def test_presets_see_through(preset: str, left: str, right: str) -> None:
    assert normalise(pa.array([left]), parse_rules([preset])).to_pylist() == normalise(pa.array([right]), parse_rules([preset])).to_pylist()
    rollouts, steps = tables([("t", 0, 0.0, [(left, "", "a")]), ("t", 1, 1.0, [(right, "", "a")])])
    trees = build_tree(rollouts, steps, rules=parse_rules([preset]))
    assert trees.nodes.num_rows == 2
    assert_lossless(trees, steps)


def test_presets_leave_words_alone() -> None:
    text = "You open the drawer 3. The drawer 3 is open. In it, you see nothing."
    for preset in ("timestamps", "identifiers", "host-names", "log-lines", "result-headers", "white-space"):
        assert normalise(pa.array([text]), parse_rules([preset])).to_pylist() == [text], preset


def test_result_headers_keep_what_the_command_did() -> None:
    texts = [f"Chunk ID: a1\nProcess exited with code {code}\nOutput:\n{said}" for code, said in ((0, "a"), (1, "a"), (0, "b"))]
    texts.append("We say Chunk ID: a1 and Wall time: 3 seconds in a sentence.")
    assert len(set(normalise(pa.array(texts), parse_rules(["result-headers"])).to_pylist())) == len(texts)
    assert normalise(pa.array(texts[3:]), parse_rules(["result-headers"])).to_pylist() == texts[3:]


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("you see a knife 3, a fork 1", "you see a knife 1, a fork 3"),
        ("In the drawer 3 you see a cup, and a fork", "In the drawer 4 you see a cup, and a fork"),
        ("Price: $12.50, $9.99 with tax", "Price: $12.99, $9.50 with tax"),
        ("the cup is on the table, and a fork is here", "the table is on the cup, and a fork is here"),
    ],
)
def test_list_order_never_mixes_items(left: str, right: str) -> None:
    a, b = normalise(pa.array([left, right]), parse_rules(["list-order"])).to_pylist()
    assert a != b


@pytest.mark.parametrize(("rule", "message"), [("nubmers", "Did you mean 'numbers'"), ("(=>x", "not a valid pattern")])
def test_bad_rules_are_named(rule: str, message: str) -> None:
    with pytest.raises(BadInputError, match=message):
        parse_rules([rule])


def test_kernels_run_where_compiled_code_can_be_kept_nowhere() -> None:
    """Numba has no folder for a function without a file, as for any function in a container that may write nowhere."""
    place: dict[str, Any] = {}
    exec("def double(x):\n    return 2 * x", place)
    assert compiled()(place["double"])(21) == 42


def test_how_each_step_was_merged_is_recorded() -> None:
    seen = ["the red door", "the red door", "the red door 12:30", "the blue door"]
    rollouts, steps = tables([("t", number, 0.0, [(text, "", "open")]) for number, text in enumerate(seen)])
    alike = lookup_of(lambda text: (1.0, 0.0))
    trees = build_tree(rollouts, steps, lookup=alike, min_similarity=0.9, rules=parse_rules([r" \d+:\d+=>"]))
    assert trees.step_nodes["merged_by"].to_pylist() == ["verbatim", "verbatim", "normalised", "similarity"]
    assert trees.step_nodes["similarity"].to_pylist() == [1.0] * 4, "a cosine of 1 between different texts is still reported"
    assert build_tree(rollouts, steps).step_nodes["merged_by"].to_pylist() == ["verbatim"] * 4


def test_nothing_is_looked_up_below_parents_whose_steps_all_saw_one_text() -> None:
    looked: list[str] = []

    def lookup(texts: pa.Array) -> Any:
        looked.extend(texts.to_pylist())
        return lookup_of(angle)(texts)

    same = [("door 1", "", "open"), ("hall 5", "", "go")]
    other = [("door 1", "", "open"), ("hall 6", "", "go")]
    build_tree(*tables([("t", attempt, 0.0, same) for attempt in range(3)]), lookup=lookup, min_similarity=0.9)
    assert looked == []
    build_tree(*tables([("t", 0, 0.0, same), ("t", 1, 0.0, other)]), lookup=lookup, min_similarity=0.9)
    assert sorted(looked) == ["hall 5", "hall 6"]


@pytest.mark.parametrize("steps_below", [0, 1])
def test_in_a_crowd_a_cosine_at_the_threshold_merges_and_one_below_does_not(steps_below: int) -> None:
    """FAISS finds the candidates of a crowd; its rounding must not decide."""
    threshold = float(np.float32(0.9))
    cosine = np.float32(0.9) if not steps_below else np.float32(0.9) - steps_below * 20 * np.float32(comparing.SIMILARITY_STEP)

    def vector(text: str) -> tuple[float, float]:
        return (1.0, 0.0) if text == "first" else (float(cosine), math.sqrt(1 - float(cosine) ** 2))

    texts = ["first", *(f"other {'i' * i}" for i in range(comparing.CROWD + 20))]
    rollouts, steps = tables([("crowd", i, 1.0, [(text, "", "go")]) for i, text in enumerate(texts)])
    trees = build_tree(rollouts, steps, lookup=lookup_of(vector), min_similarity=threshold)
    assert trees.nodes.num_rows == 2 + steps_below
    assert_same(trees, *reference_trees(rollouts, steps, similarity_of(vector), threshold))
