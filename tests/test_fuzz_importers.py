"""Seeded mutations of tests/helpers/fuzz_importers.py; in full: `python tests/helpers/fuzz_importers.py --mutations 100000`."""

from helpers.fuzz_importers import fuzz, seeds

from tratree_data.importers.formats import FORMATS

SEED = 3
MUTATIONS = 2_000


def test_mutated_logs_give_records_and_problems_and_nothing_else():
    print(f"seed {SEED}")
    assert {seed.format for seed in seeds()} == set(FORMATS)
    total, faults, _ = fuzz(MUTATIONS, SEED)
    assert faults == []
    assert total["rollouts"] > MUTATIONS
    assert total["dropped"] > MUTATIONS / 2
