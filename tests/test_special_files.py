"""What a stranger's dataset may hold instead of files and columns: pipes, values of another kind, statements. All are refused."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers.small import make_store, tables

from tratree_data import delete, open_store, publish
from tratree_data.errors import BadInputError, TratreeError
from tratree_data.store.reader import Store

pytestmark = [pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes with names"), pytest.mark.timeout(60)]
ATTEMPTS = [("t", attempt, attempt / 2, [("a", "", f"go {attempt}")]) for attempt in range(3)]
BOMB = "CREATE TABLE rollouts AS SELECT * FROM range(1000000000000), range(1000000000000);"
BOMBS = (
    BOMB,
    f"COMMENT ON TABLE x IS $$'$$; {BOMB} COMMENT ON TABLE x IS $$'$$",
    f"COMMENT ON TABLE x IS E'\\''; {BOMB} --'",
    f"/* /* */ ' */ {BOMB} --'",
)


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("special")
    make_store(root / "d", *tables(ATTEMPTS))
    publish(root / "d", root / "release", "0.1.0")
    return root


def count(root: Path) -> Any:
    store: Store = open_store(root / "d")
    return store.count("rollouts")


def next_version(root: Path) -> Any:
    make_store(root / "grown", *tables([*ATTEMPTS, ("u", 0, 1.0, [("b", "", "stop")])]))
    return publish(root / "grown", root / "release", "0.2.0")


PLACES: list[tuple[str, Callable[[Path], Any]]] = [
    ("d/rollouts/part-*.parquet", count),
    ("d/rollouts/_delta_log/_last_checkpoint", count),
    ("d/.lock", lambda root: delete(root / "d", ["t"])),
    ("release/versions/0.1.0/schemas/rollouts.sql", next_version),
]


@pytest.mark.parametrize(("name", "verb"), PLACES, ids=[name for name, _ in PLACES])
def test_a_pipe_in_place_of_a_file_is_refused(published: Path, tmp_path: Path, name: str, verb: Callable[[Path], Any]) -> None:
    root = Path(shutil.copytree(published, tmp_path / "copy"))
    path = next(root.glob(name), root / name)
    path.unlink(missing_ok=True)
    os.mkfifo(path)
    with pytest.raises(TratreeError):
        verb(root)


@pytest.mark.parametrize("values", [["9" * 6000] * 3, [{"a": 1}] * 3], ids=["a text for a number", "a struct"])
def test_a_column_of_another_kind_is_refused(published: Path, tmp_path: Path, values: list[Any]) -> None:
    root = Path(shutil.copytree(published, tmp_path / "copy"))
    path = next(root.glob("d/rollouts/part-*.parquet"))
    rows = pq.read_table(path)
    pq.write_table(rows.set_column(rows.schema.get_field_index("attempt"), "attempt", pa.array(values)), path)
    with pytest.raises(BadInputError, match="does not hold what its columns say"):
        open_store(root / "d").read("rollouts")


@pytest.mark.parametrize("bomb", BOMBS)
def test_the_schemas_of_a_strangers_release_only_list_columns(published: Path, tmp_path: Path, bomb: str) -> None:
    root = Path(shutil.copytree(published, tmp_path / "copy"))
    (root / "release/versions/0.1.0/schemas/rollouts.sql").write_text(bomb)
    with pytest.raises(BadInputError, match="not only a list of columns"):
        next_version(root)
