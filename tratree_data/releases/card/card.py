"""The card of a release: README.md, generated from the released data, so that nothing in it is out of date or reveals what was redacted."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, StrictUndefined

from tratree_data.files import read_text
from tratree_data.releases.card.about import About
from tratree_data.releases.card.card_facts import (
    actors,
    ask,
    citation,
    environments,
    example_pair,
    example_trajectory,
    imported,
    judges,
    leaks,
    limits,
    redacted,
    training_rows,
)
from tratree_data.releases.card.croissant import CROISSANT, croissant_text
from tratree_data.releases.card.front_matter import default_table, front_matter
from tratree_data.releases.card.markdown import bars, cell, plain, table
from tratree_data.store.published.manifest import MANIFEST, Manifest, read_manifest
from tratree_data.store.published.release import HUB
from tratree_data.store.queries.named_queries import query
from tratree_data.store.queries.views import hold_view
from tratree_data.store.reader import Store
from tratree_data.store.schemas import table_schema
from tratree_data.viewing.shown_trees import read_tasks, sample_tree
from tratree_data.viewing.tree_shapes import draw_tree_svg
from tratree_data.viewing.web_page import page_of_trees

QUESTIONS = {
    "question_agents": ("rollouts",),
    "question_first_actions": ("nodes", "rollouts"),
    "question_margins": ("pairs", "nodes"),
    "question_hard_tasks": ("rollouts",),
    "question_actions": ("steps",),
}
SHOWN_QUESTIONS = 3
IMAGE = "images/tree.svg"
PAGE = "reports/trees.html"
TREES_IN_THE_PAGE = 24
LONGEST_SETTINGS = 1_000
LAST_IMPORT = ("files", "first", "format")
ANYWHERE = "path/to/this/folder"
"""How a card refers to its own folder: folders are moved and copied."""


def write_card(folder: Path, title: str, license: str, report: dict[str, Any], place: str, about: About, store: Store) -> None:
    """README.md with its image and page, and croissant.json, from the data of the release; `place` is 'hub:org/name' or ANYWHERE."""
    manifest = read_manifest((folder / MANIFEST).read_text(encoding="utf-8"), str(folder))
    connection = store.connection  # which defines every table and view, so that threads may ask at the same time
    if store.has("nodes"):
        hold_view(connection, "tree_quality")
    tasks = read_tasks(store)
    pictured = sample_tree(tasks)
    if pictured is not None:
        (folder / IMAGE).parent.mkdir(exist_ok=True)
        (folder / IMAGE).write_text(draw_tree_svg(store, pictured), encoding="utf-8")
    environment = Environment(undefined=StrictUndefined, autoescape=False, keep_trailing_newline=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(plain=plain, cell=cell)
    template = environment.from_string(read_text("publish", "card.md.j2"))
    drawn = {"image": IMAGE if pictured else "", "page": f"{PAGE}#tree={quote(pictured or '', safe='')}"}
    with ThreadPoolExecutor(1) as beside:
        page = beside.submit(page_of_trees, store, title, address=place, trees=TREES_IN_THE_PAGE, tasks=tasks) if pictured else None
        facts = {**_facts(store, manifest, about), **drawn}
    if page is not None:
        (folder / PAGE).parent.mkdir(exist_ok=True)
        (folder / PAGE).write_text(page.result()[0], encoding="utf-8")
    facts |= {"redacted": redacted(report), "leaks": leaks(report, manifest.splits), **_addresses(manifest, place)}
    facts |= {"title": title, "license": license, "about": about, "manifest": manifest}
    facts["citation"] = citation(title, manifest.version, facts["address"] if place.startswith(HUB) else "", about)
    (folder / CROISSANT).write_text(croissant_text(facts), encoding="utf-8")
    head = front_matter(manifest, license, title, about.language)
    (folder / "README.md").write_text(template.render(front_matter=head, **facts), encoding="utf-8")


def _facts(store: Store, manifest: Manifest, about: About) -> dict[str, Any]:
    """The values for the template, as numbers and finished Markdown."""
    quality = query(store, "quality").to_pylist()[0] if store.has("nodes") else None
    acted, written = actors(store)
    return {
        "overview": query(store, "overview").to_pylist()[0],
        "acted": acted,
        "written": written,
        "judges": judges(store),
        "imported": imported(store),
        "environments": environments(store, about),
        "pair": example_pair(store),
        "trajectory": example_trajectory(store),
        "training": training_rows(store),
        "contents": _contents(manifest),
        "empty": [name for name, entry in manifest.tables.items() if not entry["shards"]],
        "agents": _table_of(ask(store, "card_agents")),
        "source_rows": ask(store, "card_sources"),
        "sources": _table_of(ask(store, "card_sources")),
        "sampling": _table_of(ask(store, "card_sampling")),
        "stages": _stages(manifest),
        "scores": _histogram(store),
        "ends": _ends(store),
        "splits": _table_of(
            [{"split": manifest.splits.get(row["split"], row["split"]), **_without(row, "split")} for row in ask(store, "card_splits")]
        ),
        "quality": quality,
        "limits": limits(store, manifest),
        "dropped": _dropped(store),
        "forms": _forms(store),
        "questions": _questions(store),
        "default": default_table(manifest),
        "has": {name: bool(entry["shards"]) for name, entry in manifest.tables.items()},
    }


def _addresses(manifest: Manifest, place: str) -> dict[str, str]:
    """What a reader types: the arguments of `load_dataset`, and the release for our own verbs."""
    split = "train" if "train" in manifest.splits.values() else min(manifest.splits.values())
    if not place.startswith(HUB):
        return {"load": f'"{place}", "{{}}", split="{split}"', "address": place, "files": place, "web": ""}
    name = place.removeprefix(HUB)
    load = f'"{name}", "{{}}", split="{split}", revision="v{manifest.version}"'
    web = f"https://huggingface.co/datasets/{name}"
    return {"load": load, "address": f"{place}@v{manifest.version}", "files": f"hf://datasets/{name}@v{manifest.version}", "web": web}


def _table_of(rows: list[dict[str, Any]]) -> str:
    return table(list(rows[0]), [list(row.values()) for row in rows]) if rows else ""


def _without(row: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in row.items() if key != name}


def _contents(manifest: Manifest) -> str:
    rows = []
    for name, entry in manifest.tables.items():
        if not entry["shards"]:
            continue
        by_split: dict[str, int] = {}
        for shard in entry["shards"]:
            by_split[shard["split"]] = by_split.get(shard["split"], 0) + shard["rows"]
        size = sum(shard["bytes"] for shard in entry["shards"])
        parts = ", ".join(f"{split} {count:,}" for split, count in sorted(by_split.items()))
        rows.append(
            (
                name,
                entry["rows"],
                parts,
                f"{size / 1e6:,.1f} MB" if size >= 1e6 else f"{size / 1e3:.0f} kB",
                table_schema(name).comment,
            )
        )
    return table(["configuration", "rows", "by split", "size", "a row is"], rows)


def _stages(manifest: Manifest) -> str:
    """What made the tables, with settings, and what made the rollouts in the datasets that they come from; each stage once."""
    stages: dict[str, tuple[str, dict[str, Any], list[str]]] = {}
    for name, entry in manifest.tables.items():
        made = entry["lineage"]
        if made:
            key = json.dumps([made["stage"], made["settings"]], sort_keys=True)
            stages.setdefault(key, (made["stage"], made["settings"], []))[2].append(name)
    rows = [(", ".join(tables), stage, _settings(settings)) for stage, settings, tables in stages.values()]
    origins = {row for stage, settings, _ in stages.values() for row in _origins(settings)}
    return table(["tables", "made by", "settings"], [*sorted(rows), *sorted(origins)], longest=LONGEST_SETTINGS)


def _origins(settings: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    for origin in settings.get("from", ()):
        made = origin["made"]
        if made:
            yield f"rollouts and steps of {origin['name']}", made["stage"], _settings(made["settings"])
            yield from _origins(made["settings"])


def _settings(settings: dict[str, Any]) -> str:
    """The stage's settings, except those of an import, of which only the last would be shown; a stage that combined datasets names them."""
    recorded = {name: value for name, value in settings.items() if value not in (None, "", [], {}) and name not in LAST_IMPORT}
    if "from" in recorded:
        recorded["from"] = ", ".join(origin["name"] for origin in recorded["from"])
    written = {
        name: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True) for name, value in recorded.items()
    }
    return ", ".join(f"{name} = {value}" for name, value in sorted(written.items()))


def _histogram(store: Store) -> str:
    counts = {row["bin"]: row["rollouts"] for row in ask(store, "card_scores")}
    labels = [(i, f"{i / 10:.1f} – {(i + 1) / 10:.1f}") for i in range(10)] + [(10, "1")]
    rows = [(label, counts.get(number, 0)) for number, label in labels]
    return bars([*rows, ("no score", counts[11])] if 11 in counts else rows)


def _ends(store: Store) -> str:
    """Nothing if no log says why its rollouts ended."""
    rows = ask(store, "card_ends")
    return "" if {row["end_reason"] for row in rows} == {"unknown"} else _table_of(rows)


def _dropped(store: Store) -> str:
    if not store.has("dropped") or not store.count("dropped"):
        return ""
    return _table_of(
        store.sql(
            "SELECT stage, reason, count(*) AS rows, min(detail) AS example FROM dropped "
            "GROUP BY ALL ORDER BY stage, rows DESC, reason LIMIT 20"
        ).to_pylist()
    )


def _forms(store: Store) -> str:
    """How many rows of each training table are in which form; older rows, which do not say, are react."""
    tables = [table for table in ("pairs", "step_labels", "demonstrations") if store.has(table) and store.count(table)]
    counted = [
        f"SELECT '{table}' AS configuration, coalesce(form, 'react') AS form, count(*) AS rows FROM {table} GROUP BY ALL"
        for table in tables
    ]
    return _table_of(store.sql(" UNION ALL ".join(counted) + " ORDER BY ALL").to_pylist()) if counted else ""


def _questions(store: Store) -> list[dict[str, str]]:
    """The first three questions that these tables can answer, with the answers."""
    shown: list[dict[str, str]] = []
    for name, tables in QUESTIONS.items():
        if len(shown) < SHOWN_QUESTIONS and all(store.has(table) and store.count(table) for table in tables):
            question, _, text = read_text("publish/queries", f"{name}.sql").partition("\n")
            answer = _table_of(ask(store, name))
            if answer:
                shown.append({"question": question.removeprefix("-- "), "sql": text.strip(), "answer": answer})
    return shown
