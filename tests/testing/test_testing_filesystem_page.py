"""`docs/engines.md` says what the suite tests."""

from filesystem_page import END, PAGE, START, with_contract

from session_store.testing.filesystem_suite import FileSystemSuite, contract


def test_the_page_has_the_sentences_of_the_suite() -> None:
    text = PAGE.read_text("utf-8")

    assert with_contract(text) == text, "run: python tests/testing/filesystem_page.py"


def test_a_page_that_lags_behind_is_found() -> None:
    text = PAGE.read_text("utf-8")
    sentence = next(iter(contract(FileSystemSuite)[0].tests.values()))

    lagging = text.replace(sentence, "Something else.")

    assert lagging != text
    assert with_contract(lagging) == text
    assert text.count(START) == text.count(END) == 1
