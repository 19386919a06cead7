"""Finds what the rules of the redaction find, in many texts at once.

Most text is clean, and the rules are many, so a piece of text is looked at once for the words (anchors) without which no rule can find
anything. Only where one occurs, the rules of that word are applied. A piece is a line, or a whole text for rules that cross lines; equal
pieces, of which sessions have many, are looked at once.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

import polars as pl
import pyarrow.compute as pc

from tratree_data.releases.redaction.redaction_rules import PLACEHOLDER, Rule, Span

MOST_ROUNDS = 8
"""Rules that find something only beside a placeholder are applied again; the first round without findings is the last, usually the second.
"""
LONG_TEXT = 1_024
"""From this length, most of a text is far from what was found in it, so the rules search line by line."""
LOOKED_FIRST, FEW_TEXTS = 4_096, 64
"""From so many bytes of text, or texts, looking for all anchors in Rust pays."""
PLACEHOLDER_BEGINS = "[redacted:"
STRING_IN_JSON = re.compile(r'"((?:[^"\\]|\\.)*)"|-?[0-9][0-9.eE+-]*')
ESCAPE = re.compile(r"\\(?:u[0-9A-Fa-f]{4}|.)")

Numbered = list[tuple[int, Rule]]
ANCHORS = {"anchor": pl.String, "rule": pl.Int64}


def find_secrets(texts: pl.Series, rules: Sequence[Rule]) -> dict[str, tuple[Span, ...]]:
    """What to replace in each text that contains a secret, in order and without overlap.

    Afterwards the rules find nothing in it any more, and JSON is still valid.
    """
    found: dict[str, list[Span]] = {}
    current, places = texts.drop_nulls().unique(), dict[str, list[tuple[int, int, int, int]]]()
    originals: Sequence[str] = current
    for round_number in range(MOST_ROUNDS):
        new = {originals[i]: spans for i, spans in _search(current, rules, again=round_number > 0).items()}
        if not new:
            break
        for text, spans in new.items():
            found[text] = _merge(found.get(text, []) + [_translate(span, places.get(text, ())) for span in spans])
        replaced = {text: _replaced(text, found[text]) for text in new}
        places = {text: there for text, (_, there) in replaced.items()}
        originals, current = list(replaced), pl.Series([done for done, _ in replaced.values()], dtype=pl.String)
    return {text: tuple(_fit_into_json(text, spans) if text.lstrip()[:1] in ("{", "[") else spans) for text, spans in found.items()}


def _search(texts: pl.Series, rules: Sequence[Rule], *, again: bool) -> dict[int, list[Span]]:
    """What the rules find in the texts as they are; if several rules find the same piece, the first names the kind.

    Pieces without a placeholder have not changed since they were searched before.
    """
    found: dict[int, list[tuple[int, Span]]] = {}
    for pieces, across_lines in zip(_pieces(texts), (True, False), strict=True):
        numbered = [(number, rule) for number, rule in enumerate(rules) if rule.across_lines == across_lines]
        distinct = pieces["piece"].unique()
        spans = _spans(distinct.filter(distinct.str.contains(PLACEHOLDER_BEGINS, literal=True)) if again else distinct, numbered)
        for owner, start, piece in _places(pieces, list(spans)):
            moved = [(number, span._replace(start=span.start + start, end=span.end + start)) for number, span in spans[piece]]
            found.setdefault(owner, []).extend(moved)
    outside = {i: _without_placeholders(texts[i], [span for _, span in sorted(spans)]) for i, spans in found.items()}
    return {i: spans for i, spans in outside.items() if spans}


def _pieces(texts: pl.Series) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Those in which to search across lines, and within a line, each with its text's number."""
    whole = pl.DataFrame({"piece": texts}).with_row_index("text")
    if texts.estimated_size() < LOOKED_FIRST and len(texts) < FEW_TEXTS:
        return whole, whole
    is_long = texts.str.len_bytes() > LONG_TEXT
    lines = whole.filter(is_long).with_columns(pl.col("piece").str.split("\n")).explode("piece")
    return whole, pl.concat([whole.filter(~is_long), lines])


def _places(pieces: pl.DataFrame, wanted: Sequence[str]) -> Iterator[tuple[int, int, str]]:
    """Where the wanted pieces are: the text's number and the start in it."""
    if not wanted:
        return
    is_wanted = pl.col("piece").is_in(pl.Series(wanted).implode())
    near = pieces.filter(pl.col("text").is_in(pieces.filter(is_wanted)["text"].unique().implode()))
    size = pl.col("piece").str.len_chars() + 1
    starts = near.with_columns(start=size.cum_sum().over("text") - size).filter(is_wanted)
    yield from starts.select("text", "start", "piece").iter_rows()


def _spans(pieces: pl.Series, rules: Numbered) -> Mapping[str, list[tuple[int, Span]]]:
    """What each rule finds in each piece."""
    found: dict[str, list[tuple[int, Span]]] = {}
    for number, rule, near in _near(pieces, rules) if pieces.str.len_bytes().sum() >= LOOKED_FIRST else _near_few(pieces, rules):
        for piece in near:
            for span in rule.spans(piece):
                found.setdefault(piece, []).append((number, span))
    return found


def _near_few(pieces: pl.Series, rules: Numbered) -> Iterator[tuple[int, Rule, list[str]]]:
    both = list(zip(pieces, _in_small_letters(pieces), strict=True))
    for number, rule in rules:
        yield number, rule, [piece for piece, lowered in both if rule.is_near(lowered)]


def _near(pieces: pl.Series, rules: Numbered) -> Iterator[tuple[int, Rule, list[str]]]:
    """The pieces in which a rule may find something, by one look at all of them."""
    lowered = _in_small_letters(pieces)
    yield from _near_anchors(pieces, lowered, [(number, rule) for number, rule in rules if rule.anchors])
    for any_case, looked_at in ((False, pieces), (True, lowered)):
        yield from _near_patterns(pieces, looked_at, [(i, rule) for i, rule in rules if not rule.anchors and rule.any_case == any_case])


def _near_anchors(pieces: pl.Series, lowered: pl.Series, rules: Numbered) -> Iterator[tuple[int, Rule, list[str]]]:
    if not rules:
        return
    anchors = pl.DataFrame([(anchor, number) for number, rule in rules for anchor in rule.anchors], schema=ANCHORS, orient="row")
    words = anchors["anchor"].unique().sort().to_list()
    near = lowered.str.contains(_any_of(map(re.escape, words)))
    pieces, lowered = pieces.filter(near), lowered.filter(near)
    there = pl.DataFrame({"anchor": lowered.str.extract_many(words, overlapping=True), "size": pieces.str.len_bytes()})
    of_rules = there.with_row_index("piece").explode("anchor").join(anchors, on="anchor").unique(["rule", "piece"]).sort("rule", "piece")
    by_number = dict(rules)
    for number, places, size in of_rules.group_by("rule", maintain_order=True).agg("piece", pl.sum("size")).iter_rows():
        rule = by_number[number]
        yield number, rule, rule.choose(pieces.gather(places), size).to_list()


def _near_patterns(pieces: pl.Series, looked_at: pl.Series, rules: Numbered) -> Iterator[tuple[int, Rule, list[str]]]:
    """One expression that covers all of the rules is fastest."""
    if not rules:
        return
    near = looked_at.str.contains(_any_of(rule.near for _, rule in rules))
    pieces, looked_at = pieces.filter(near), looked_at.filter(near)
    for number, rule in rules if len(pieces) else ():
        chosen = pieces.filter(looked_at.str.contains(rule.near))
        yield number, rule, rule.choose(chosen, chosen.str.len_bytes().sum()).to_list()


def _any_of(patterns: Iterable[str]) -> str:
    return "|".join(f"(?:{pattern})" for pattern in patterns)


def _in_small_letters(texts: pl.Series) -> pl.Series:
    """Lower case of ASCII letters, which is what the rules need; for all alphabets, Polars takes fifteen times as long."""
    return pl.Series(pl.from_arrow(pc.ascii_lower(texts.to_arrow(compat_level=pl.CompatLevel.oldest()))), dtype=pl.String)


def _without_placeholders(text: str, spans: list[Span]) -> list[Span]:
    for placeholder in PLACEHOLDER.finditer(text) if spans else ():
        spans = [piece for span in spans for piece in _outside(span, *placeholder.span(), text)]
    return spans


def _outside(span: Span, start: int, end: int, text: str) -> Iterator[Span]:
    if span.end <= start or end <= span.start:
        yield span
        return
    for piece in (Span(span.start, start, span.kind), Span(end, span.end, span.kind)):
        if piece.start < piece.end and re.search(r"[A-Za-z0-9]{3}", text[piece.start : piece.end]):
            yield piece


def _merge(spans: Sequence[Span]) -> list[Span]:
    """Overlapping pieces become one, of the kind that came first in `spans`."""
    ranked = sorted(enumerate(spans), key=lambda item: (item[1].start, item[0]))
    merged: list[tuple[int, Span]] = []
    for rank, span in ranked:
        if merged and span.start < merged[-1][1].end:
            before_rank, before = merged[-1]
            kind = before.kind if before_rank < rank else span.kind
            merged[-1] = min(before_rank, rank), Span(before.start, max(before.end, span.end), kind)
        else:
            merged.append((rank, span))
    return [span for _, span in merged]


def _replaced(text: str, spans: Sequence[Span]) -> tuple[str, list[tuple[int, int, int, int]]]:
    """The text with placeholders, and (start, end, start in the original, end in the original) of each."""
    pieces, places, at, size = list[str](), list[tuple[int, int, int, int]](), 0, 0
    for span in spans:
        name = f"[redacted:{span.kind}:1]"
        size += span.start - at
        pieces += [text[at : span.start], name]
        places.append((size, size + len(name), span.start, span.end))
        size, at = size + len(name), span.end
    return "".join([*pieces, text[at:]]), places


def _translate(span: Span, places: Sequence[tuple[int, int, int, int]]) -> Span:
    """The piece of the original text that corresponds to a piece of the replaced one; never splits a placeholder."""
    shift = 0
    for _, end, _, original_end in places:
        if end <= span.start:
            shift = original_end - end
    return Span(span.start + shift, span.end + shift, span.kind)


def _fit_into_json(text: str, spans: list[Span]) -> list[Span]:
    """Pieces of JSON text end where its strings end and never cut an escape; a number is replaced as a whole."""
    try:
        json.loads(text)
    except ValueError:
        return spans
    fitted: list[Span] = []
    tokens = list(STRING_IN_JSON.finditer(text))
    at = 0
    for span in spans:
        while at < len(tokens) and tokens[at].end() <= span.start:
            at += 1
        for token in tokens[at:]:
            if token.start() >= span.end:
                break
            if token[1] is None:
                fitted.append(Span(*token.span(), span.kind, quoted=True))
            else:
                fitted += _inside(token, span, text)
    return fitted


def _inside(token: re.Match[str], span: Span, text: str) -> Iterator[Span]:
    start, end = max(span.start, token.start(1)), min(span.end, token.end(1))
    for escape in ESCAPE.finditer(text, token.start(1), token.end(1)):
        if escape.start() < start < escape.end():
            start = escape.start()
        if escape.start() < end < escape.end():
            end = escape.end()
    if start < end:
        yield Span(start, end, span.kind)
