"""Compiled matching blocks are difflib's."""

from difflib import SequenceMatcher

from hypothesis import given, settings
from hypothesis import strategies as st

from tratree_data.trees.rules.matching import opcodes

WORDS = st.lists(st.sampled_from(["a", "b", " ", "\n", "c"]), max_size=40)


@settings(max_examples=500, deadline=None)
@given(WORDS, WORDS)
def test_opcodes_are_those_of_difflib(left: list[str], right: list[str]) -> None:
    assert list(opcodes(left, right)) == SequenceMatcher(None, left, right, autojunk=False).get_opcodes()
