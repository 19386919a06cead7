"""Figures: their numbers are right, their files are what they say, and nothing in a text becomes markup."""

import itertools
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pyarrow as pa
import pytest
from helpers.viewing import toy_rollouts, toy_store, write_store
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import csv

from tratree_data import states
from tratree_data.cli import app
from tratree_data.errors import BadInputError, NotFoundError
from tratree_data.store.reader import open_store
from tratree_data.viewing.briefs import brief
from tratree_data.viewing.colours import SCALE, value_colour
from tratree_data.viewing.figures import attempt_table, best_of, figure, make_table, score_table, shown_by_figures
from tratree_data.viewing.shown_trees import find_tree, read_tree
from tratree_data.viewing.state_drawing import place_states, read_state_graph
from tratree_data.viewing.tree_drawing import HEIGHT, place_tree
from tratree_data.viewing.tree_shapes import draw_tree_svg

HOSTILE = "</text><script>alert(1)</script>\"'&amp;<![CDATA[ $\\frac{1}{0}$ \x00\x1b[31m\u202e\ufffe\nnext "


@pytest.fixture(scope="module")
def store_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_store(tmp_path_factory.mktemp("figures") / "toy", tasks=6, attempts=7, seed=3)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(st.floats(min_value=0, max_value=1), min_size=1, max_size=7), st.data())
def test_best_of_is_the_mean_over_all_choices(scores: list[float], data: st.DataObject) -> None:
    count = data.draw(st.integers(min_value=1, max_value=len(scores)))
    choices = list(itertools.combinations(scores, count))
    assert best_of(count, scores) == pytest.approx(sum(max(choice) for choice in choices) / len(choices))


def test_scores_over_steps_of_several_datasets_stand_beside_each_other(store_folder: Path, tmp_path: Path) -> None:
    other = toy_store(tmp_path / "other", tasks=2, attempts=1, seed=4)
    rows = make_table(f"{store_folder},{other}", "steps").to_pylist()
    assert {row["model"] for row in rows} == {"toy", "other"}
    ends = open_store(other).sql("SELECT avg(score) AS mean, max(step_count) AS steps FROM rollouts WHERE score IS NOT NULL").to_pylist()[0]
    own = [row for row in rows if row["model"] == "other"]
    assert [row["step"] for row in own] == list(range(ends["steps"] + 1))
    assert own[-1]["score"] == pytest.approx(ends["mean"]), "whoever has ended keeps the score"
    assert all(row["low"] <= row["score"] <= row["high"] and row["rollouts"] == own[0]["rollouts"] for row in own)
    text = figure(f"{store_folder},{other}", "steps", tmp_path / "steps.svg").read_text()
    assert ">toy (" in text
    assert ">other (" in text


def test_tables_add_up(store_folder: Path) -> None:
    store = open_store(store_folder)
    scored = store.sql("SELECT count(score) AS n, avg(score) AS mean FROM rollouts").to_pylist()[0]
    assert sum(score_table(store).column("rollouts").to_pylist()) == scored["n"]
    rows = attempt_table(store).to_pylist()
    assert [row["attempts"] for row in rows] == list(range(1, len(rows) + 1))
    assert rows[0]["best"] == pytest.approx(rows[0]["mean"])
    assert all(a["best"] <= b["best"] and a["solved"] <= b["solved"] for a, b in itertools.pairwise(rows))
    assert all(0 <= row["best_low"] <= row["best"] <= row["best_high"] <= 1 for row in rows)


@pytest.mark.parametrize("name", ["scores", "attempts", "quality", "tree"])
def test_each_figure_is_a_file_of_its_kind(store_folder: Path, tmp_path: Path, name: str) -> None:
    svg = figure(store_folder, name, tmp_path / f"{name}.svg")
    root = ElementTree.fromstring(svg.read_text(encoding="utf-8"))
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert len(list(root.iter())) > 20
    assert figure(store_folder, name, tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_the_same_figure_has_the_same_bytes(store_folder: Path, tmp_path: Path) -> None:
    for name in ("attempts", "tree"):
        first, second = (figure(store_folder, name, tmp_path / f"{name}{i}.svg").read_bytes() for i in range(2))
        assert first == second


def test_the_state_graph_places_every_state_by_its_distance(store_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="tratree states"):
        figure(store_folder, "states", tmp_path / "x.svg")
    copied = toy_store(tmp_path / "toy", tasks=2, attempts=7, seed=3)
    states(copied)
    store = open_store(copied)
    graph = read_state_graph(store, find_tree(store, "task_001"))
    places = place_states(graph)
    assert set(graph.states) <= set(places)
    assert len(set(places.values())) == len(places), "nothing is drawn over something else"
    solvable = {name: row["distance"] for name, row in graph.states.items() if row["distance"]}
    assert solvable
    assert {places[name][0] + distance for name, distance in solvable.items()} == {places["solved"][0]}, "columns are distances"
    assert all((places[name][1] > 0) == (name in solvable) for name in graph.states)
    counted = store.sql("SELECT sum(ends) AS n FROM states WHERE tree_id = $id", {"id": find_tree(store, "task_001")}).to_pylist()[0]["n"]
    assert sum(visits for _, end, visits, _ in graph.arrows if end in ("solved", "failed")) == counted
    text = figure(copied, "states", tmp_path / "states.svg", task="task_001").read_text(encoding="utf-8")
    assert text.count(" visit") == len(graph.states)
    assert read_state_graph(store, find_tree(store, "task_001"), most=2).left_out == len(graph.states) - 2


def test_without_a_name_the_figures_are_listed(store_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    app(["figure", str(store_folder)], standalone_mode=False)
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(shown_by_figures())


def test_a_table_from_a_file_is_drawn(store_folder: Path, tmp_path: Path) -> None:
    sweep = {"min_similarity": [1.0, 0.9, 0.8], "nodes": [30, 20, 12], "merged_by_similarity": [0, 10, 18]}
    csv.write_csv(pa.table(sweep | {"divergences": [4, 5, 3], "other_states": [3, 2, 0]}), tmp_path / "sweep.csv")
    text = figure(store_folder, "sweep", tmp_path / "sweep.svg", table=tmp_path / "sweep.csv").read_text()
    assert "minimum similarity of a merge" in text
    csv.write_csv(pa.table({"min_similarity": [1.0]}), tmp_path / "poor.csv")
    with pytest.raises(BadInputError, match="lacks nodes"):
        figure(store_folder, "sweep", tmp_path / "x.svg", table=tmp_path / "poor.csv")
    with pytest.raises(BadInputError, match="cannot be read"):
        figure(store_folder, "sweep", tmp_path / "x.svg", table=tmp_path / "absent.csv")


def test_wrong_names_and_places(store_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="Did you mean 'scores'"):
        figure(store_folder, "score", tmp_path / "x.svg")
    with pytest.raises(BadInputError, match="must end in"):
        figure(store_folder, "scores", tmp_path / "x.gif")
    rollouts, steps = toy_rollouts()
    imported = write_store(tmp_path / "imported", {"rollouts": rollouts, "steps": steps})
    with pytest.raises(NotFoundError, match="tratree build"):
        figure(imported, "tree", tmp_path / "x.svg")
    unscored = write_store(tmp_path / "unscored", {"rollouts": [row | {"score": None} for row in rollouts], "steps": steps})
    with pytest.raises(BadInputError, match="no rollout with a score"):
        figure(unscored, "attempts", tmp_path / "x.svg")


def test_the_drawn_tree_says_what_the_tree_says(store_folder: Path) -> None:
    store = open_store(store_folder)
    for task in range(6):
        tree = read_tree(store, find_tree(store, f"task_{task:03d}"))
        for rows in (1000, 6):
            drawing = place_tree(tree, rows)
            nodes = [box for box in drawing.boxes if box.kind == "node"]
            steps = sum(1 + int(re.search(r"(\d+) more", box.more)[1]) if box.more else 1 for box in nodes)  # type: ignore[index]
            assert steps + sum(box.hidden for box in nodes) == len(tree.nodes)
            assert {box.node.node_id for box in nodes if box.on_path} <= {tree.root.node_id, *tree.best_path}
            assert not _overlapping([(box.x, box.y, box.width) for box in drawing.boxes])
    assert draw_tree_svg(store, tree.task["tree_id"]).count("<rect") >= len(nodes)


def _overlapping(boxes: list[tuple[float, float, float]]) -> bool:
    pairs = itertools.combinations(boxes, 2)
    return any(abs(a[1] - b[1]) < HEIGHT and a[0] < b[0] + b[2] and b[0] < a[0] + a[2] for a, b in pairs)


def test_hostile_text_stays_text_in_figures(tmp_path: Path) -> None:
    folder = toy_store(tmp_path / "toy", tasks=2, text=lambda text: HOSTILE + text)
    for name in ("tree", "scores"):
        text = figure(folder, name, tmp_path / f"{name}.svg").read_text(encoding="utf-8")
        root = ElementTree.fromstring(text)
        tags = {element.tag.rpartition("}")[2] for element in root.iter()}
        assert not tags & {"script", "foreignObject", "image", "a", "iframe"}
        assert not set(text) & set("\x00\x1b\u202e")
    assert "<script>" in "".join(root.itertext()) or "&lt;script" in (tmp_path / "tree.svg").read_text()
    figure(folder, "tree", tmp_path / "tree.png")


def test_the_scale_runs_from_orange_to_blue_and_knows_no_value() -> None:
    assert value_colour(None) == ""
    ends = [value_colour(value) for value in (-1, 0, 1, 2)]
    assert ends[0] == ends[1] == "#" + "".join(f"{part:02x}" for part in SCALE[0][1])
    assert ends[2] == ends[3] == "#" + "".join(f"{part:02x}" for part in SCALE[-1][1])


def test_without_matplotlib_the_tree_is_drawn_and_the_rest_names_the_command(store_folder: Path, tmp_path: Path) -> None:
    program = (
        "import sys; sys.modules['matplotlib'] = None\n"
        "from tratree_data.viewing.figures import figure\n"
        "from tratree_data.errors import MissingPackageError\n"
        "figure(sys.argv[1], 'tree', sys.argv[2] + '/tree.svg')\n"
        "try:\n    figure(sys.argv[1], 'scores', sys.argv[2] + '/scores.svg')\n"
        "except MissingPackageError as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(store_folder), str(tmp_path)], capture_output=True, text=True, check=True)
    assert "pip install 'tratree-data[view]'" in done.stdout
    assert (tmp_path / "tree.svg").is_file()


def test_the_tree_says_the_same_in_every_format(store_folder: Path, tmp_path: Path) -> None:
    pdf, svg = (figure(store_folder, "tree", tmp_path / f"tree.{kind}", task="task_001") for kind in ("pdf", "svg"))
    assert pdf.stat().st_size > 0
    drawn = ElementTree.parse(figure(store_folder, "tree", tmp_path / "plot.svg", task="task_001", style="paper")).getroot()
    own = ElementTree.parse(svg).getroot()

    def words(root: ElementTree.Element) -> list[str]:
        texts = [" ".join("".join(element.itertext()).split()) for element in root.iter() if element.tag.endswith("text")]
        return sorted(text for text in texts if text)

    assert words(drawn) == words(own)
    assert any("e*, the best path" in text for text in words(own))
    assert float(drawn.attrib["width"].removesuffix("pt")) <= 6.9 * 72 + 20


def test_a_call_is_named_by_the_arguments_in_which_it_differs() -> None:
    old = 'edit_file {"count": 1, "new": "    return values + rest", "path": "a.py"}'
    new = old.replace("values + rest", "[]")
    assert brief(old) == "edit_file return values + rest, a.py, count: 1"
    assert [brief(old, [new]), brief(new, [old])] == ["edit_file new: …values + rest", "edit_file new: …[]"]
    assert brief('look {"city": "Rome"}\nreport') == "look Rome + report"
    assert brief("click[Buy Now]", ["click[Back]"]) == "click[Buy Now]"
    assert brief('{"not": "a call"}') == '{"not": "a call"}'


@pytest.mark.parametrize("name", ["scores", "attempts", "steps"])
def test_a_figure_for_a_paper_fits_its_column(store_folder: Path, tmp_path: Path, name: str) -> None:
    drawn = ElementTree.parse(figure(store_folder, name, tmp_path / "figure.svg", style="paper")).getroot()
    assert float(drawn.attrib["width"].removesuffix("pt")) <= 3.5 * 72
