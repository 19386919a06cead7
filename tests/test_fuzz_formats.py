"""Damaged manifests, checksums and Delta logs are refused plainly: a part of what `python tests/fuzz_formats.py` runs."""

from pathlib import Path

from fuzz_formats import fuzz, prepare


def test_damaged_manifests_checksums_and_logs_are_read_or_refused_plainly(tmp_path: Path) -> None:
    prepare(tmp_path)
    total, faults, slowest = fuzz(tmp_path, 500, seed=1)
    assert faults == [], faults[:5]
    assert slowest < 30
    for damaged in ("damage_manifest", "damage_checksums", "damage_log"):
        assert total[f"{damaged}: refused"] > 50, total
