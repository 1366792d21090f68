"""`docs/engines.md` says what the suites test."""

import pytest
from engines_page import END, PAGE, SUITES, start_of, with_contracts

from session_store.testing.contract import contract


def test_the_page_has_the_sentences_of_the_suites() -> None:
    text = PAGE.read_text("utf-8")

    assert with_contracts(text) == text, "run: python tests/testing/engines_page.py"


@pytest.mark.parametrize("suite", SUITES)
def test_a_page_that_lags_behind_is_found(suite: type) -> None:
    text = PAGE.read_text("utf-8")
    sentence = next(iter(contract(suite)[0].tests.values()))

    lagging = text.replace(sentence, "Something else.")

    assert lagging != text
    assert with_contracts(lagging) == text
    assert text.count(start_of(suite)) == 1
    assert text.count(END) == len(SUITES)
