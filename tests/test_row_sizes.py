"""The bound on a row's length as JSON is one."""

import json

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from tratree_data.system.row_sizes import longest_row

CALL = pa.struct([("name", pa.string()), ("arguments", pa.string())])
MESSAGE = pa.struct([("content", pa.string()), ("calls", pa.list_(CALL))])
SCHEMA = pa.schema([("key", pa.string()), ("count", pa.int64()), ("said", pa.list_(MESSAGE))])
TEXT = st.none() | st.text(max_size=9) | st.just("\x01" * 500)
CALLS = st.lists(st.fixed_dictionaries({"name": TEXT, "arguments": TEXT}), max_size=3)
SAID = st.lists(st.fixed_dictionaries({"content": TEXT, "calls": st.none() | CALLS}), max_size=3)
ROW = {"key": TEXT, "count": st.none() | st.integers(-9, 2**62), "said": st.none() | SAID}


@given(st.lists(st.fixed_dictionaries(ROW), max_size=4), st.integers(0, 3))
@settings(max_examples=100, deadline=None)
def test_no_row_is_longer_than_the_bound(rows, start):
    table = pa.Table.from_pylist(rows, SCHEMA).slice(start)
    longest = max((len(json.dumps(row).encode()) for row in rows[start:]), default=0)
    assert longest <= longest_row(table) <= 6 * longest + 20_000
