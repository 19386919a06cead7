"""Ranked search over the products' texts: BM25 with Lucene's defaults for English, so that queries rank as in the original shop.

Texts are cut into words, lower-cased, freed of possessives and stop words, and stemmed with Porter's algorithm. Each stem keeps the
documents that contain it and its share of their scores, so a query is a handful of array additions.
"""

import math
import re
import threading
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from tratree_data.errors import missing_package

try:
    import snowballstemmer
except ImportError as error:
    raise missing_package("snowballstemmer", "webshop") from error

K1 = 0.9
B = 0.4
QUERIES_KEPT = 20_000
WORDS_PER_QUERY = 256

# Lucene's English stop words.
_STOP_WORDS = """a an and are as at be but by for if in into is it no not of on or such that the their then there these they this to was
    will with"""
STOP_WORDS = frozenset(_STOP_WORDS.split())
WORD = re.compile(r"\w+(?:['’]\w+)*")

_porter = snowballstemmer.stemmer("porter")
_one_at_a_time = threading.Lock()


@lru_cache(maxsize=200_000)
def stem(word: str) -> str:
    # The stemmer keeps the current word in its own state.
    with _one_at_a_time:
        return str(_porter.stemWord(word))


def terms(text: str) -> list[str]:
    """The stems under which a text is found."""
    found = []
    for word in WORD.findall(text.lower()):
        bare = word[:-2] if word.endswith(("'s", "’s")) else word
        if bare not in STOP_WORDS:
            found.append(stem(bare))
    return found


class Index:
    """An inverted index: for each stem the documents (ascending) and the BM25 weight of the stem in them."""

    def __init__(self, texts: Sequence[str]) -> None:
        counts = [Counter(terms(text)) for text in texts]
        lengths = [sum(count.values()) for count in counts]
        mean_length = (sum(lengths) / len(lengths) if lengths else 0.0) or 1.0
        postings: dict[str, list[tuple[int, int]]] = {}
        for document, count in enumerate(counts):
            for term, frequency in count.items():
                postings.setdefault(term, []).append((document, frequency))
        self.size = len(texts)
        self._postings: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        for term, entries in postings.items():
            rarity = math.log(1 + (self.size - len(entries) + 0.5) / (len(entries) + 0.5))
            weights = [rarity * tf / (tf + K1 * (1 - B + B * lengths[document] / mean_length)) for document, tf in entries]
            self._postings[term] = (np.array([document for document, _ in entries], dtype=np.int64), np.array(weights))
        self._cached = lru_cache(maxsize=QUERIES_KEPT)(self._search)

    def search(self, query: str, limit: int) -> tuple[int, ...]:
        """The documents that share a stem with the query, best first; the earlier document wins a tie."""
        return self._cached(query, limit)

    def forget_queries(self) -> None:
        self._cached.cache_clear()

    def _search(self, query: str, limit: int) -> tuple[int, ...]:
        scores = np.zeros(self.size)
        for term in terms(query)[:WORDS_PER_QUERY]:
            posting = self._postings.get(term)
            if posting is not None:
                scores[posting[0]] += posting[1]
        ranked = np.argsort(-scores, kind="stable")[:limit]
        return tuple(ranked[scores[ranked] > 0].tolist())
