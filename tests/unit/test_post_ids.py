"""Ids of posts that went through numbers are seen, and whole ones are left alone."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest

from tests import corpora as made
from twigma_spark.config.data import Corpus
from twigma_spark.errors import CorpusError
from twigma_spark.io.post_ids import DAMAGED, ENOUGH, find_rounding
from twigma_spark.stages.readers import twigma


@pytest.mark.parametrize("text", ["1.6e+18", "1.23E18", "1600000000000000000.0", "1600000000000000001.", "1e+18"])
def test_a_number_with_a_point_or_an_exponent_is_damaged(text: str) -> None:
    assert re.match(DAMAGED, text)


@pytest.mark.parametrize("text", ["1600000000000000001", "3_1600", "12345678901234567890123456789e12", "abc", ""])
def test_whole_ids_and_hex_digits_are_not(text: str) -> None:
    assert not re.match(DAMAGED, text)


def test_rounding_to_floats_or_by_a_spreadsheet_is_seen_in_many_ids() -> None:
    rng = random.Random(1)
    whole = [rng.randrange(10**18, 2 * 10**18) for _ in range(ENOUGH)]
    assert find_rounding([str(number) for number in whole]) is None
    assert "floats" in str(find_rounding([str(int(float(number))) for number in whole]))
    assert "spreadsheet" in str(find_rounding([str(number // 10**4 * 10**4) for number in whole]))
    assert find_rounding([str(int(float(number))) for number in whole[: ENOUGH - 1]]) is None


def test_the_reader_refuses_and_says_the_way_out(tmp_path: Path) -> None:
    made.twigma(tmp_path, ("1.6e+18", "1600000000000000002"))
    corpus = Corpus(name="own", role="posts", reader="twigma", path=str(tmp_path))
    with pytest.raises(
        CorpusError, match=r"whole ids for the reader twigma. Got '1.6e\+18' in twigma.csv: .*dtype=str"
    ):
        twigma.check(corpus)
