"""The tool that changes the core finds changes everywhere, and each leaves a module that parses."""

import ast

from mutants import ROOT, TESTS, find_mutants


def test_every_module_of_the_core_has_mutants_that_parse() -> None:
    for file, tests in TESTS.items():
        text = (ROOT / "tratree_data" / file).read_bytes()
        mutants = find_mutants(file)
        assert len(mutants) >= 5, file
        for mutant in mutants:
            assert text[mutant.start : mutant.end].decode() == mutant.old
            ast.parse(text[: mutant.start] + mutant.new.encode() + text[mutant.end :])
        assert all((ROOT / "tests" / test).is_file() for test in tests)
