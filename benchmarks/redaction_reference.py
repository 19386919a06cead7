"""Redaction without any first look: every rule, in Python, on every text. The oracle of its tests, and the other side of its benchmark."""

import polars as pl

from tratree_data.releases.redaction.redaction import Dirty, Redactor
from tratree_data.releases.redaction.redaction_rules import Rule, find_secrets, load_rules


class PlainRule(Rule):
    def choose(self, texts: pl.Series, lowered: pl.Series) -> range:
        return range(len(texts))


def apply_every_rule(texts: list[str]) -> list[str]:
    redactor = Redactor()
    rules = [PlainRule(**vars(rule) | {"across_lines": True}) for rule in load_rules()]
    found = [Dirty(text, find_secrets(pl.Series([text]), rules).get(text, ())) for text in texts]
    return [text.render(lambda kind, secret: redactor._name("", kind, secret, "")) for text in found]
