"""What a command leaves out when it starts, and what still works."""

import subprocess
import sys

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
