"""What CONTRIBUTING says about where things go: the places exist, and what was added is listed wherever people look for it."""

import re
import tomllib
from collections.abc import Collection
from pathlib import Path

import pytest

from tratree_data.importers.formats import FORMATS
from tratree_data.preferences.settings import DEMONSTRATION_KINDS, PAIR_KINDS
from tratree_data.store.buckets.bucket_providers import PROVIDERS
from tratree_data.store.schemas import table_schema
from tratree_data.trees.settings import EMBEDDERS
from tratree_data.viewing.figures import shown_by_figures

ROOT = Path(__file__).parents[1]


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def environments() -> Collection[str]:
    return tomllib.loads(read("pyproject.toml"))["project"]["entry-points"]["tratree.environments"]


def test_the_places_that_contributing_names_exist() -> None:
    table = read("CONTRIBUTING.md").partition("## Where things go")[2].partition("## ")[0]
    named = [word for word in re.findall(r"`([\w/.-]+)`|(docs/\w+\.md)", table) for word in word if "/" in word or "." in word]
    places = [word for word in named if word not in {"tratree.agents", "tratree.environments"}]
    assert len(places) > 20
    folders = (ROOT, ROOT / "tratree_data", ROOT / "tratree_data/environments")
    assert [word for word in places if not any((folder / word).exists() for folder in folders)] == ["settings.py"], "a stage's own"


@pytest.mark.parametrize(
    ("page", "names"),
    [
        ("docs/importing.md", FORMATS),
        ("docs/environments.md", environments()),
        ("docs/trees.md", EMBEDDERS),
        ("docs/pairs.md", (*PAIR_KINDS, *DEMONSTRATION_KINDS)),
        ("docs/viewing.md", shown_by_figures()),
        ("docs/store.md", [f"{scheme}://" for scheme in PROVIDERS]),
    ],
)
def test_a_page_lists_all_that_there_is(page: str, names: Collection[str]) -> None:
    text = read(page)
    assert [name for name in names if f"`{name}" not in text] == []


def test_the_card_can_describe_every_environment() -> None:
    assert set(environments()) <= set(tomllib.loads(read("publish/environments.toml")))


@pytest.mark.parametrize(("table", "kinds"), [("pairs", PAIR_KINDS), ("demonstrations", DEMONSTRATION_KINDS)])
def test_the_schema_allows_and_explains_every_kind(table: str, kinds: tuple[str, ...]) -> None:
    (allowed,) = [rule for rule in table_schema(table).checks.values() if "kind IN" in rule]
    assert re.findall(r"'(\w+)'", allowed) == list(kinds)
    explained = table_schema(table).comments["kind"]
    assert [kind for kind in kinds if f"{kind}:" not in explained] == []
