"""What a command leaves out when it starts, and what still works."""

import subprocess
import sys
from pathlib import Path

import pytest

COMMAND = """
import sys
from tratree_data.system.arrow_start import spare_pandas
spare_pandas()
import pyarrow as pa
table = pa.table({"a": [1, None], "b": ["x", "y"]})
assert "pandas" not in sys.modules
frame = table.to_pandas()
import pandas
assert type(frame) is pandas.DataFrame
assert pa.Table.from_pandas(frame[["b"]]).to_pydict() == {"b": ["x", "y"]}
"""


def test_arrow_does_without_pandas_until_somebody_asks_for_it() -> None:
    subprocess.run([sys.executable, "-c", COMMAND], check=True)


def test_a_verb_that_reads_texts_does_without_pydantic(capfd: pytest.CaptureFixture[str]) -> None:
    """Typer needs it only to convert what was typed; numbers and choices are still refused as ever."""
    command = "import sys\nfrom tratree_data.cli import main\ntry:\n    main()\nfinally:\n    print('pydantic' in sys.modules)"
    subprocess.run([sys.executable, "-c", command, "sql", "nowhere", "select 1"], check=False)
    out, err = capfd.readouterr()
    assert out == "False\n"
    assert "No such folder: nowhere" in err
    subprocess.run([sys.executable, "-c", command, "sql", "nowhere", "select 1", "--time-limit", "soon"], check=False)
    out, err = capfd.readouterr()
    assert out == "True\n"
    assert "Invalid value for '--time-limit'" in err


KERNEL = """
import sys
import numba, numpy as np, pyarrow as pa
from tratree_data.system.hashing import hash_texts
assert len(hash_texts(pa.array(["a", "b"]))) == 2
assert "scipy.linalg" not in sys.modules
square = np.array([[1.0, 2.0], [3.0, 4.0]])
assert numba.njit(lambda a: np.dot(a, a))(square).tolist() == (square @ square).tolist()
assert "scipy.linalg" in sys.modules
"""


def test_kernels_do_without_scipy_until_somebody_multiplies() -> None:
    subprocess.run([sys.executable, "-c", KERNEL], check=True)


COMPILATION = """
import sys
sys.stderr.isatty = lambda: {terminal}
from tratree_data.system.compiling import compiled
@compiled()
def double(number):
    return 2 * number
assert double(1) == 2 and double(1.5) == 3
"""


@pytest.mark.parametrize("terminal", [True, False])
def test_the_first_compilation_says_once_what_takes_so_long(terminal: bool, tmp_path: Path) -> None:
    (tmp_path / "first.py").write_text(COMPILATION.format(terminal=terminal))
    again = [subprocess.run([sys.executable, tmp_path / "first.py"], capture_output=True, text=True, check=True).stderr for _ in range(2)]
    assert again == ["Compiling the loops of trees and search: half a minute, once per installation …\n" if terminal else "", ""]
