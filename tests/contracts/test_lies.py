"""The table of ways to make a load generator lie agrees with the tests and the trust rules."""

import re

from tests.contracts.test_docs import ROOT

MEASURING = (ROOT / "docs" / "measuring.md").read_text(encoding="utf-8")
OUTCOMES = {"not trustworthy", "failed", "no data", "interrupted", "as judged", "refused"}
NONE_YET = ["not noticed", "-", "none yet"]


def rows() -> list[list[str]]:
    """The cells of each row."""
    section = MEASURING.split("## Ways to make a load generator lie\n", 1)[1].split("\n## ", 1)[0]
    lines = [line for line in section.splitlines() if re.match(r"\| \d", line)]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_every_lie_is_listed_once() -> None:
    """The numbers have no gap."""
    assert [int(row[0]) for row in rows()] == list(range(1, len(rows()) + 1))


def test_every_lie_has_a_test_that_exists_and_an_outcome_or_says_that_it_has_none() -> None:
    """A row names the file and the function; a row without them says that the lie is not noticed."""
    for number, _, outcome, named_by, test in rows():
        if [outcome, named_by, test] == NONE_YET:
            continue
        assert set(re.split(r", or |, ", outcome)) <= OUTCOMES, number
        file, functions = re.fullmatch(r"\[.*\]\(\.\./(tests/.*\.py)\): (`\w+`(?:, `\w+`)*)", test).groups()
        for function in re.findall(r"\w+", functions):
            assert f"\ndef {function}(" in (ROOT / file).read_text(encoding="utf-8"), number


def test_the_tests_of_lies_assert_the_rules_that_the_table_names() -> None:
    """Each trust rule in backticks is in the test's file."""
    rules = set(re.findall(r"^\| `(\w+)` \| ", MEASURING, re.MULTILINE))
    for number, _, _, named_by, test in rows():
        for rule in rules & set(re.findall(r"`(\w+)`", named_by)):
            file = re.search(r"\(\.\./(tests/.*\.py)\)", test)[1]
            assert f'"{rule}"' in (ROOT / file).read_text(encoding="utf-8"), (number, rule)
