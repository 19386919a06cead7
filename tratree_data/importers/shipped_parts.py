"""Parts of a log for workers on other machines, sent with their bytes, because only the driver sees the files."""

from dataclasses import dataclass, replace

from tratree_data.importers.parts import Part, PartRead, Slice, read_part
from tratree_data.store.chunks.by_chunk import need_reachable
from tratree_data.system.scratch import scratch_folder


@dataclass(frozen=True)
class ShippedPart:
    part: Part
    contents: tuple[bytes, ...]
    """Of each slice."""


def ship(part: Part) -> ShippedPart:
    return ShippedPart(part, tuple(map(_bytes_of, part.slices)))


def _bytes_of(piece: Slice) -> bytes:
    with piece.path.open("rb") as handle:
        handle.seek(piece.start)
        return handle.read(-1 if piece.end is None else piece.end - piece.start)


def read_shipped(shipped: ShippedPart) -> PartRead:
    """The result of `read_part` for a copy of the part's bytes."""
    part = shipped.part
    need_reachable(part.directory)
    with scratch_folder("tratree-part-") as scratch:
        copies = []
        for number, (piece, content) in enumerate(zip(part.slices, shipped.contents, strict=True)):
            path = scratch / str(number) / piece.path.name  # readers name rollouts after their file
            path.parent.mkdir()
            path.write_bytes(content)
            copies.append(Slice(path, piece.name, 0, None if piece.end is None else len(content)))
        return replace(read_part(replace(part, slices=tuple(copies))), part=part)
