"""What a version number promises, case by case: no dataset, no release."""

import pytest

from tratree_data.errors import BadInputError
from tratree_data.releases.versions.diff import Change
from tratree_data.releases.versions.version_numbers import (
    Diff,
    bump,
    check_newer,
    check_not_withdrawn,
    check_version,
    compare_splits,
    promises,
)
from tratree_data.store.published.withdrawals import Withdrawal


@pytest.mark.parametrize(
    ("version", "level", "following"),
    [
        ("1.2.3", "patch", "1.2.4"),
        ("1.2.3", "minor", "1.3.0"),
        ("1.2.3", "major", "2.0.0"),
        ("0.2.3", "major", "0.3.0"),
        ("0.2.3", "minor", "0.3.0"),
        ("0.2.3", "patch", "0.2.4"),
    ],
)
def test_the_next_number_of_each_level(version: str, level: str, following: str) -> None:
    assert bump(version, level) == following


@pytest.mark.parametrize(
    ("change", "level"),
    [
        (Change(added=1), "minor"),
        (Change(removed=1), "minor"),
        (Change(moved=1), "minor"),
        (Change(changed=1), "patch"),
        (Change(), "patch"),
    ],
)
def test_rows_that_come_go_or_move_are_a_minor_change(change: Change, level: str) -> None:
    assert Diff("1.0.0", {"steps": change}).level() == level


def test_the_largest_change_decides() -> None:
    assert Diff("1.0.0", {"steps": Change(added=1)}, [("major", "table nodes is gone")]).level() == "major"


def test_a_summary_names_three_files_and_counts_rows() -> None:
    assert Diff("1.0.0").summary() == "nothing; the same data, with the promises of 1.0"
    assert Diff("1.0.0", files=["a", "b", "c"]).summary() == "no row, but a, b, c"
    assert Diff("1.0.0", files=["a", "b", "c", "d"]).summary() == "no row, but a, b, c …"
    found = Diff("1.0.0", {"steps": Change(added=1_000, moved=2)}, [("minor", "table pairs is new")], ["x"]).summary()
    assert found == "table pairs is new; steps 1,000 added, 2 moved to another split"


@pytest.mark.parametrize(
    ("version", "since", "says_something"), [("1.0.0", "0.9.0", True), ("0.9.0", "0.8.0", False), ("2.0.0", "1.0.0", False)]
)
def test_the_first_number_from_one_on_is_a_promise(version: str, since: str, says_something: bool) -> None:
    assert promises(version, since) is says_something


def test_a_number_below_the_latest_is_refused_and_the_same_one_is_not() -> None:
    check_newer("1.0.0", [])
    check_newer("1.10.0", ["1.9.0", "1.10.0"])
    with pytest.raises(BadInputError, match=r"1\.9\.1 is not above 1\.10\.0.*\nNext: --version 1\.10\.1 or higher"):
        check_newer("1.9.1", ["1.9.0", "1.10.0"])


def test_a_withdrawn_number_is_never_used_again() -> None:
    withdrawn = {"1.1.0": Withdrawal("a leak"), "1.0.0": Withdrawal("")}
    check_not_withdrawn("1.2.0", withdrawn)
    with pytest.raises(BadInputError, match=r"1\.0\.0 was withdrawn \(no reason given\).*\nNext: --version 1\.1\.1"):
        check_not_withdrawn("1.0.0", withdrawn)


@pytest.mark.parametrize(("version", "meant"), [("1.2.3.4", "1.2.3"), ("7", "7.0.0"), ("1.02.3", "1.2.3")])
def test_the_number_that_was_meant(version: str, meant: str) -> None:
    assert check_version(meant) == meant
    with pytest.raises(BadInputError, match=rf"Next: --version {meant}$"):
        check_version(version)


def test_a_split_that_is_gone_names_its_tables() -> None:
    old = {"steps": {"train", "test"}, "pairs": {"train", "test"}, "paths": {"dev"}}
    assert compare_splits(old, {"steps": {"train"}, "pairs": {"train"}}) == [("major", "split test is gone from pairs, steps")]
    assert compare_splits(old, {"steps": {"train", "test", "dev"}}) == []
