"""Strange folder names either work or are refused before anything is written."""

from pathlib import Path

import pytest
from helpers.small import make_store, tables

from tratree_data import build, check, filter, open_store, publish
from tratree_data.errors import BadInputError
from tratree_data.store.writing.writer import create_store

ATTEMPTS = [("task", attempt, float(attempt), [("hall", "", "door")]) for attempt in (0, 1)]


def test_names_that_look_like_an_address_a_home_or_a_pattern_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Named relative to the current folder, as people type them."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(tmp_path)
    names = ["a:b", "s3:x", "~", "a*b", "[ab]", "{a,b}", "'q' é"]
    for name in names:
        make_store(name, *tables(ATTEMPTS))
        build(name, embedder="exact")
        assert open_store(name).sql("SELECT count(*) AS n FROM rollouts").to_pylist() == [{"n": 2}], name
    for name in ("a:b", "~"):
        filter(name, f"{name}-out", "true")
        assert not [row for row in check(f"{name}-out").to_pylist() if row["offending_rows"]], name
        publish(name, f"{name}-release", "1.0.0")
        assert (tmp_path / f"{name}-release" / "versions/1.0.0").is_dir()
    made = {*names, "home", "a:b-out", "~-out", "a:b-release", "~-release"}
    assert {path.name for path in tmp_path.iterdir()} == made
    assert not list(home.rglob("*.parquet"))
    assert not (home / "steps").exists()


UNUSABLE = ["a?b", "a#b", "a%20b", "a\\b", "a\nb", "a\x1b[31m", "a\udcffb", "hub:x", "hub:org/name", "ftp:/host/x"]


@pytest.mark.parametrize("name", UNUSABLE, ids=ascii)
def test_names_that_delta_cannot_hold_are_refused_before_anything_is_written(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    source = tmp_path_factory.mktemp("source") / "d"
    make_store(source, *tables(ATTEMPTS))
    monkeypatch.chdir(tmp_path)
    for verb in (lambda: create_store(name), lambda: filter(source, name, "true")):
        with pytest.raises(BadInputError, match=r"\nNext: name another") as refused:
            verb()
        assert str(refused.value).count("\n") == 1
        assert list(tmp_path.iterdir()) == []
