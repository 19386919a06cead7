"""No text makes a regular expression go back over it again and again: time grows with the length of the text, whatever a stranger wrote."""

import re
import time
from collections.abc import Callable

import pyarrow as pa
import pytest
from helpers.pumped_texts import pumped_texts

from tratree_data.agents import parse_response
from tratree_data.releases.redaction.redaction_rules import Rule, load_rules
from tratree_data.store.queries.named_queries import EXPLAIN, READS
from tratree_data.trees.rules.argument_order import sort_arguments
from tratree_data.trees.rules.list_order import sort_lists

SHORT, LONG = 600, 30_000
MOST_SECONDS = 3.0
"""For LONG characters; what grows with the square of the length took 10 to 1,000."""
RULES = load_rules()


def seconds(action: Callable[[], object]) -> float:
    start = time.process_time()
    action()
    return time.process_time() - start


@pytest.mark.parametrize("rule", RULES, ids=[f"{number}-{rule.kind}" for number, rule in enumerate(RULES)])
def test_a_rule_of_the_redaction_takes_time_that_grows_with_the_text(rule: Rule) -> None:
    attempts = [seconds(lambda text=text: list(rule.spans(text))) for text in pumped_texts(rule.pattern, SHORT)]
    slowest = max(range(len(attempts)), key=attempts.__getitem__, default=None)
    if slowest is not None:
        text = list(pumped_texts(rule.pattern, LONG))[slowest]
        assert seconds(lambda: list(rule.spans(text))) < MOST_SECONDS, text[:80]


@pytest.mark.parametrize(
    "piece", [" ", "\t", "a.", "a", "a, ", "a=", "f(", '"', "\\", "0", "x -a ", "Thought:\n", "Thought: Action", "a,", ". "]
)
@pytest.mark.parametrize("before", ["", "Thought:", "f(a = ", "x -a ", '"'])
def test_texts_of_strangers_are_normalised_and_parsed_in_time_that_grows_with_them(before: str, piece: str) -> None:
    text = before + piece * (LONG // len(piece)) + "\0"
    texts = pa.array([text])
    for action in (lambda: sort_arguments(texts), lambda: sort_lists(texts), lambda: parse_response(text)):
        assert seconds(action) < MOST_SECONDS


@pytest.mark.parametrize("piece", [" ", "/*", "/**/", "--", "-- a\n", "\n", "EXPLAIN ", "EXPLAIN (", "/* ", " --"])
@pytest.mark.parametrize("before", ["", "EXPLAIN ", "EXPLAIN ANALYZE", "EXPLAIN ("])
@pytest.mark.parametrize("pattern", [EXPLAIN, READS], ids=["EXPLAIN", "READS"])
def test_the_kind_of_a_query_is_seen_in_time_that_grows_with_it(pattern: re.Pattern[str], before: str, piece: str) -> None:
    assert seconds(lambda: pattern.match(before + piece * (LONG // len(piece)) + "\0")) < MOST_SECONDS
