"""What DuckDB neither interrupts nor counts, the operating system ends: a query's time and memory have limits whatever it calls."""

import subprocess
import sys
from pathlib import Path

import pytest
from helpers.small import make_store, tables

from tratree_data.system.limits import memory_limited, spill_folder

ENDLESS = "SELECT jaro_similarity(repeat('a', 3000000), repeat('ba', 3000000))"
HUGE = "SELECT sum(length(x)) FROM (SELECT unnest([repeat(i::VARCHAR, 4000000000) FOR i IN [1, 2, 3, 4, 5, 6, 7, 8, 9]]) AS x)"


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("limits") / "d"
    make_store(path, *tables([("t", 0, 1.0, [("a", "", "go")])]))
    return path


def test_the_command_ends_a_query_that_cannot_be_interrupted(dataset: Path) -> None:
    words = ["tratree", "sql", str(dataset), ENDLESS, "--time-limit", "0.5"]
    program = (
        "import sys\nfrom tratree_data.cli import main\nfrom tratree_data.system import limits\n"
        f"limits.GRACE = 1.0\nsys.argv = {words!r}\nmain()"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert done.stderr.startswith("tratree: The query took longer than 0.5 s")
    assert done.stdout == ""


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not limit a process's memory")
def test_texts_that_duckdb_does_not_count_stay_within_the_limit(dataset: Path) -> None:
    program = (
        "import sys\nfrom tratree_data.errors import TratreeError\nfrom tratree_data.store.reader import open_store\n"
        "from tratree_data.system.limits import limit_memory\nlimit_memory(2**30)\n"
        "try:\n    open_store(sys.argv[1]).sql(sys.argv[2])\nexcept TratreeError as error:\n    print(error)"
    )
    done = subprocess.run([sys.executable, "-c", program, str(dataset), HUGE], check=False, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "memory" in done.stdout


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not limit a process's memory")
def test_the_limit_ends_with_its_block() -> None:
    import resource

    before = resource.getrlimit(resource.RLIMIT_AS)
    with memory_limited(2**30):
        assert resource.getrlimit(resource.RLIMIT_AS) != before
    assert resource.getrlimit(resource.RLIMIT_AS) == before


def test_nobody_can_prepare_the_folder_that_a_query_spills_to() -> None:
    assert spill_folder("/tmp") != spill_folder("/tmp")
