"""The first look of the redaction sees every text in which a rule finds something."""

import pytest
from helpers.anchors import needs_one_of

from tratree_data.releases.redaction.redaction_rules import Rule, load_rules

RULES = [(number, rule) for number, rule in enumerate(load_rules()) if rule.anchors]


@pytest.mark.parametrize("rule", [rule for _, rule in RULES], ids=[f"{number}-{rule.kind}" for number, rule in RULES])
def test_whatever_a_rule_matches_has_one_of_its_anchors(rule: Rule) -> None:
    assert needs_one_of(rule.pattern.pattern, rule.anchors)
    assert not rule.across_lines
    assert list(rule.anchors) == [anchor.lower() if anchor.isascii() else anchor for anchor in rule.anchors]


@pytest.mark.parametrize(("pattern", "anchor"), [("(a|b)x", "ax"), ("(ab)?c", "ab"), ("a+b", "aab"), ("[ab]c", "ac"), ("a.b", "ab")])
def test_a_word_that_only_some_matches_have_is_no_anchor(pattern: str, anchor: str) -> None:
    assert not needs_one_of(pattern, [anchor])
