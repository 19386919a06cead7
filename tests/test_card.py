"""What a card and croissant.json tell whoever wants to use or cite a dataset, and that what they say is true."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from helpers.byte_tokenizer import byte_tokenizer, trl_template
from helpers.shop import import_rows, trajectories
from helpers.tool_chats import write_log

from tratree_data import build, demonstrations, import_log, pairs, publish, score, search
from tratree_data.errors import BadInputError
from tratree_data.experiments.small_models import make_model
from tratree_data.releases.card.about import About
from tratree_data.releases.card.card import write_card
from tratree_data.releases.card.card_facts import VIEWER_BYTES
from tratree_data.releases.card.markdown import preformatted
from tratree_data.store.published.manifest import read_manifest
from tratree_data.store.published.release import open_release

REQUIRED = (
    "rai:dataLimitations", "rai:dataBiases", "rai:personalSensitiveInformation", "rai:dataUseCases", "rai:dataSocialImpact",
    "rai:hasSyntheticData", "prov:wasDerivedFrom", "prov:wasGeneratedBy",
)  # fmt: skip
"""What NeurIPS 2026 requires of the datasets of its Evaluations and Datasets track."""
ABOUT = """
summary = "Shoes, bought by toys."
authors = ["Ada Lovelace", "Alan {Turing}"]
published = 2026-11-28
doi = "10.5072/toy"
language = ["en"]

[environments]
toyshop = "A shop for toys."

[statements]
dataSocialImpact = "None to speak of, says ada.lovelace@engines.net."
"""


def make_all(folder: Path) -> Path:
    build(folder, embedder="exact")
    search(folder, simulations=20)
    pairs(folder, kinds=["divergence", "step"])
    demonstrations(folder, kinds=["path", "best", "success"])
    return folder


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("card")
    rows = trajectories([1, 2])
    rows += [row | {"agent": "transcript", "model": "gpt-toy"} for row in trajectories([4])]
    dataset = make_all(import_rows(folder / "shop", rows))
    (folder / "about.toml").write_text(ABOUT)
    publish(dataset, folder / "release", version="1.0.0", license="cc-by-4.0", about=str(folder / "about.toml"))
    return folder / "release"


@pytest.fixture(scope="module")
def chats(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("chats")
    write_log(folder)
    import_log(folder / "chats", folder / "chats.jsonl", environment="cities", license="mit", source_url="https://example.org/logs")
    make_all(folder / "chats")
    publish(folder / "chats", folder / "release", version="0.1.0", traces=10)
    return folder / "release"


def card_of(release: Path) -> str:
    return (release / "README.md").read_text(encoding="utf-8")


def croissant_of(release: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((release / "croissant.json").read_text(encoding="utf-8"))
    return content


# Croissant


@pytest.mark.parametrize(("name", "read"), [("release", ["pairs"]), ("chats", ["steps", "traces"])])
def test_croissant_is_valid_and_its_records_are_the_rows(request: pytest.FixtureRequest, name: str, read: list[str]) -> None:
    mlcroissant = pytest.importorskip("mlcroissant", reason="needs the extra 'dev'")
    folder: Path = request.getfixturevalue(name)
    dataset = mlcroissant.Dataset(str(folder / "croissant.json"))
    assert not dataset.metadata.ctx.issues.errors
    assert str(dataset.metadata.ctx.conforms_to.value).endswith("/1.1")
    manifest = read_manifest((folder / "lineage.json").read_text(), "")
    sets = {records.id: records for records in dataset.metadata.record_sets}
    assert sets.keys() == {table for table, entry in manifest.tables.items() if entry["shards"]}
    assert all(field.description for records in sets.values() for field in records.fields)
    rows = {table: list(dataset.records(table)) for table in read}
    assert {table: len(found) for table, found in rows.items()} == {table: manifest.tables[table]["rows"] for table in read}
    for pair in rows.get("pairs", ()):
        assert pair["pairs/prompt"][0]["pairs/prompt/role"] == b"user"


def test_croissant_says_what_neurips_requires(release: Path, chats: Path) -> None:
    for folder in (release, chats):
        content = croissant_of(folder)
        assert all(content[name] for name in REQUIRED)
        assert {"build", "search", "pairs", "demonstrations", "import"} <= {one["prov:label"] for one in content["prov:wasGeneratedBy"]}
    said = croissant_of(release)
    assert said["rai:dataSocialImpact"] == "None to speak of, says [redacted:email:1]."
    assert (said["datePublished"], said["inLanguage"], said["version"]) == ("2026-11-28", ["en"], "1.0.0")
    assert said["license"] == "https://spdx.org/licenses/CC-BY-4.0.html"
    imported = croissant_of(chats)
    assert imported["prov:wasDerivedFrom"][0] == {"@type": "prov:Entity", "prov:label": "https://example.org/logs", "sc:license": "mit"}
    assert imported["rai:dataCollectionType"] == ["Secondary Data Analysis"]


# The card


def test_the_card_says_what_acted_where_and_whom_to_cite(release: Path) -> None:
    text = card_of(release)
    head = yaml.safe_load(text.split("\n---\n")[0].removeprefix("---\n"))
    assert head["language"] == ["en"]
    assert "arxiv:2507.18858" in head["tags"]
    assert "What acted: 8 rollouts by agents whose models the logs do not name; 4 rollouts by models (gpt-toy)." in text
    assert "**toyshop**. A shop for toys." in text
    assert "Shoes, bought by toys." in text
    cited = re.search(r"```bibtex\n(@misc.*?)```", text, re.DOTALL)
    assert cited
    values = dict(re.findall(r"(\w+) += \{(.*)\}", cited[1]))
    assert {name: values[name] for name in ("author", "version", "year", "doi")} == {
        "author": "Ada Lovelace and Alan Turing",
        "version": "1.0.0",
        "year": "2026",
        "doi": "10.5072/toy",
    }


def test_a_publisher_who_says_nothing_gets_gaps_and_no_inventions(chats: Path) -> None:
    text = card_of(chats)
    assert "doi          = {to be assigned}" in text
    assert "The publisher has not described this environment." in text
    assert "language:" not in text.split("\n---\n")[0]
    assert "| https&#58;//example.org/logs | mit |" in text


def test_scripts_are_called_scripts(tmp_path: Path) -> None:
    rows = [row | {"agent": "scripted", "model": "scripted-skill0.3"} for row in trajectories([1])]
    publish(import_rows(tmp_path / "shop", rows), tmp_path / "release", version="0.1.0")
    text = card_of(tmp_path / "release")
    assert "4 rollouts by scripts (scripted-skill0.3), which are not language models" in text
    assert "Scripts wrote the thoughts and actions from templates" in text
    assert "Agents wrote" not in text


def test_scores_given_later_name_who_gave_them(tmp_path: Path) -> None:
    dataset = import_rows(tmp_path / "shop", [row | {"reward": None, "success": None} for row in trajectories([1])])
    (tmp_path / "judges.csv").write_text("trajectory_id,score\n1-0,1\n1-1,0.5\n")
    score(dataset, str(tmp_path / "judges.csv"))
    publish(dataset, tmp_path / "release", version="0.1.0")
    text = card_of(tmp_path / "release")
    assert "Scores were given afterwards by judges.csv (2 rollouts); a mean over few" in text
    assert "come from the environment" not in text
    assert "Imported from logs of these formats: jsonl (4 rollouts)." in text
    assert "files =" not in text


def test_an_example_of_a_pair_and_of_a_rollout_are_from_the_data(release: Path) -> None:
    text = card_of(release)
    store = open_release(release)
    boxes = re.findall(r"<pre>\n(.*?)\n</pre>", text, re.DOTALL)
    assert boxes[1:3] == ["Action: click item 1", "Action: click item 0"]
    assert store.sql("SELECT count(*) AS n FROM steps WHERE action = 'click item 1'").to_pylist()[0]["n"]
    assert re.search(r"<details><summary>A whole rollout of 3 steps, score 1\.00</summary>.*did     search", text, re.DOTALL)
    assert re.search(r"<details><summary>Settings</summary>.*\| edges, nodes, step_nodes \| build \|.*</details>", text, re.DOTALL)


def test_boxes_show_texts_of_strangers_and_nothing_else() -> None:
    box = preformatted("a</pre><script>x</script>\n\n```\n[l](javascript:1)\u202e", 100)
    assert box == ("<pre>\na&#60;/pre&#62;&#60;script&#62;x&#60;/script&#62;\n \n&#96;&#96;&#96;\n&#91;l&#93;(javascript:1)\n</pre>")


@pytest.mark.parametrize(("tasks", "leaks"), [([1, 2], 0), ([0, 1], 1)])
def test_leaks_are_only_counted_where_there_are_splits(tmp_path: Path, tasks: list[int], leaks: int) -> None:
    publish(import_rows(tmp_path / "shop", trajectories(tasks)), tmp_path / "release", version="0.1.0")
    text = card_of(tmp_path / "release")
    assert "Leaks" not in text
    assert text.count("All tasks of the splits dev, train were compared: no task and no instruction is in two of them") == leaks


def test_rows_longer_than_the_viewer_shows_are_named(tmp_path: Path) -> None:
    rows = trajectories([1], attempts=2, observation="x" * (VIEWER_BYTES + 1))
    publish(import_rows(tmp_path / "shop", rows), tmp_path / "release", version="0.1.0")
    text = card_of(tmp_path / "release").replace("&#95;", "_")
    assert "2 rows of steps are longer than 1 MB: the Hub's viewer cuts them, load_dataset does not." in text


def test_the_hubs_command_answers_what_the_card_asks(release: Path) -> None:
    asked = re.findall(r'hf datasets sql "(.*?)"\n', card_of(release))
    assert len(asked) == 2
    for query in asked:
        command = [str(Path(sys.executable).with_name("hf")), "datasets", "sql", query.replace("path/to/this/folder", str(release))]
        done = subprocess.run([*command, "--format", "json"], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)


def snippet(release: Path, trainer: str) -> str:
    """The snippet up to its model: what it trains on."""
    found = [code for code in re.findall(r"```python\n(.*?)```", card_of(release), re.DOTALL) if f"import {trainer}" in code]
    (code,) = found
    return code.split("settings =")[0].replace("path/to/this/folder", str(release))


def test_plain_trl_learns_answers_only_and_each_conversation_once(release: Path, tmp_path: Path) -> None:
    code = snippet(release, "DPOConfig, DPOTrainer") + snippet(release, "SFTConfig, SFTTrainer")
    code = re.sub(r"^(import torch|from trl .*)\n", "", code, flags=re.MULTILINE)
    names: dict[str, Any] = {}
    exec(code, names)
    compared = names["pairs"]
    assert set(compared["kind"]) == {"step"}
    assert all(len(row[side]) == 1 for row in compared for side in ("chosen", "rejected"))
    imitated = [str(row["messages"]) for row in names["demonstrations"]]
    assert len(imitated) == len(set(imitated)) > 0
    counted = open_release(release).sql("SELECT count(*) AS n, count(DISTINCT messages) AS different FROM demonstrations").to_pylist()[0]
    assert counted["n"] > counted["different"]
    assert f"; {counted['different']} of all are different conversations." in card_of(release)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["release", "chats"])
def test_the_cards_imitation_trains_on_what_the_agent_wrote_and_nothing_else(
    request: pytest.FixtureRequest, name: str, tmp_path: Path
) -> None:
    """The snippet as it is, with a model of random weights that has the named model's own chat template."""
    pytest.importorskip("trl", reason="needs tratree-data[train]")
    folder = request.getfixturevalue(name)
    tokenizer = byte_tokenizer(trl_template("qwen2_5"), "<|im_end|>")
    model = make_model(tmp_path / "model", tokenizer, width=32, layers=1)
    (code,) = [code for code in re.findall(r"```python\n(.*?)```", card_of(folder), re.DOTALL) if "import SFTConfig" in code]
    options = f"max_length=2048, max_steps=1, use_cpu=True, report_to='none', output_dir={str(tmp_path / 'out')!r}"
    code = code.replace("path/to/this/folder", str(folder)).replace("max_length=4096", options)
    code = code.replace('"Qwen/Qwen2.5-0.5B-Instruct"', repr(str(model)))
    names: dict[str, Any] = {}
    exec(code, names)
    for row, trained in zip(names["demonstrations"], names["trainer"].train_dataset, strict=True):
        learned = tokenizer.decode([token for token, label in zip(trained["input_ids"], trained["labels"], strict=True) if label != -100])
        said = [message for message in row["messages"] if message["role"] == "assistant"]
        turns = learned.split("<|im_end|>")[:-1]
        assert len(turns) == len(said) > 0
        for turn, message in zip(turns, said, strict=True):
            text, *calls = turn.split("<tool_call>")
            assert text.strip() == (message["content"] or "").strip()
            assert [json.loads(call.partition("</tool_call>")[0])["name"] for call in calls] == [
                call["function"]["name"] for call in message.get("tool_calls") or []
            ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("autors = []", "unknown entry 'autors'. Did you mean 'authors'"),
        ("authors = 'Ada'", "authors must be text"),
        ("[statements]\nbiases = 'x'", "unknown statement 'biases'"),
        ("a b", "not valid TOML"),
    ],
)
def test_mistakes_in_what_a_publisher_says_are_explained(tmp_path: Path, text: str, said: str) -> None:
    dataset = import_rows(tmp_path / "shop", trajectories([1], attempts=1))
    (tmp_path / "about.toml").write_text(text)
    with pytest.raises(BadInputError, match=re.escape(said)):
        publish(dataset, tmp_path / "release", version="0.1.0", about=str(tmp_path / "about.toml"))
    assert not list((tmp_path / "release/versions").glob("0*"))


def test_on_the_hub_card_and_croissant_name_the_version(release: Path, tmp_path: Path) -> None:
    mlcroissant = pytest.importorskip("mlcroissant", reason="needs the extra 'dev'")
    folder = tmp_path / "release"
    shutil.copytree(release, folder, ignore=shutil.ignore_patterns("versions"))
    write_card(folder, "Toys", "mit", {"redacted": [], "leaks": []}, "hub:org/toys", About(), open_release(folder))
    text = card_of(folder)
    assert 'load_dataset("org/toys", "pairs", split="train", revision="v1.0.0")' in text
    assert "FROM 'hf://datasets/org/toys@v1.0.0/data/pairs/*.parquet'" in text
    assert "howpublished = {hub:org/toys@v1.0.0}" in text
    metadata = mlcroissant.Dataset(str(folder / "croissant.json")).metadata
    assert not metadata.ctx.issues.errors
    assert metadata.url == "https://huggingface.co/datasets/org/toys"
    assert metadata.file_objects[0].content_url == "https://huggingface.co/datasets/org/toys/tree/v1.0.0"
    assert {files.contained_in[0] for files in metadata.file_sets} == {"repository"}


def test_a_card_without_scores_claims_neither_successes_nor_failures(tmp_path: Path) -> None:
    row = {"task_id": "t", "env": "e", "instruction": "Go.", "steps": [{"observation": "o", "action": "a"}]}
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(row | {"trajectory_id": name}) + "\n" for name in "ab"))
    import_log(tmp_path / "d", tmp_path / "log.jsonl")
    build(tmp_path / "d", embedder="exact")
    publish(tmp_path / "d", tmp_path / "r", version="1.0.0")
    text = card_of(tmp_path / "r")
    assert "2 attempts of agents at 1 task, merged into 1 tree of" in text
    assert "by agents whose models the logs do not name. Version" in text
    assert "No rollout has a score" in text
    assert "never solved?" not in text
    assert "successes and failures alike" not in text
    assert "by imported" not in text


def test_the_card_shows_a_pair_that_differs_in_more_than_punctuation(tmp_path: Path) -> None:
    actions = {"a": ("I'm sorry.", 1.0), "b": ("I’m sorry!", 0.0), "c": ("Done.", 0.9)}
    rows = [
        {"task_id": task, "env": "e", "instruction": "Go.", "reward": reward, "steps": [{"observation": "o", "action": action}]}
        for task, names in (("one", "ab"), ("two", "bc"))
        for action, reward in (actions[name] for name in names)
    ]
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    import_log(tmp_path / "d", tmp_path / "log.jsonl")
    build(tmp_path / "d", embedder="exact")
    pairs(tmp_path / "d", kinds=["step"])
    publish(tmp_path / "d", tmp_path / "r", version="1.0.0")
    assert "A preference pair of kind `step`, from e, task two" in card_of(tmp_path / "r")
