"""Redaction without any first look: every rule, in Python, on every text. The oracle of its tests, and the other side of its benchmark."""

import polars as pl

from tratree_data.releases.redaction.redaction import Dirty, Redactor
from tratree_data.releases.redaction.redaction_rules import Rule, load_rules
from tratree_data.releases.redaction.secret_search import find_secrets


class PlainRule(Rule):
    def choose(self, near: pl.Series, size: int) -> pl.Series:
        return near


def apply_every_rule(texts: list[str]) -> list[str]:
    redactor = Redactor()
    rules = [PlainRule(**vars(rule) | {"anchors": (), "near": "", "across_lines": True}) for rule in load_rules()]
    found = [Dirty(text, find_secrets(pl.Series([text]), rules).get(text, ())) for text in texts]
    return [text.render(lambda kind, secret: redactor._name("", kind, secret, "")) for text in found]
