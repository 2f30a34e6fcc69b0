"""The line that a message names."""

from __future__ import annotations

import re

import pytest

from tasks.remote.source_lines import line_at, line_of, split_lines

TEXT = '{\n "x": {"b": 1},\n\n "a": {\n  "b": "x"\n }\n}'


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["x"], 2),
        (["a"], 4),
        (["b"], 2),
        (["a", "b"], 5),  # the one below "a"
        (["x", "x"], 5),
        (["a", "c"], 4),  # not there
        (["a", "c", "b"], 4),
        (["q"], 1),
        ([], 1),
    ],
)
def test_the_line_of_words_behind_each_other(words: list[str], line: int) -> None:
    assert line_of(TEXT, *(f'"{word}"' for word in words)) == line


def test_a_word_is_no_pattern_and_a_pattern_is_one() -> None:
    assert line_of("a\na.c\nabc", "a.c") == 2
    assert line_of("xabc\nabc\n", re.compile(r"^a.c", re.MULTILINE)) == 2
    assert line_of("[[r]]\nk = 1\n[[r]]\nk = 2\n", "[[r]]", "[[r]]", re.compile(r"k\s*=")) == 4


def test_the_line_of_an_offset() -> None:
    assert [line_at("a\nb\n", offset) for offset in range(5)] == [1, 1, 2, 2, 3]


def test_lines_keep_their_ends_and_end_at_line_feeds_alone() -> None:
    text = "a\r\nb\u2028c\x0cd\n\ne"
    assert split_lines(text) == ["a\r\n", "b\u2028c\x0cd\n", "\n", "e"]
    assert split_lines("") == []
