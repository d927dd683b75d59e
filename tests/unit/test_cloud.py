"""Words placed in a picture: all of them, inside, none over another, the most frequent in the middle."""

from __future__ import annotations

from itertools import combinations

from hypothesis import given, settings
from hypothesis import strategies as st

from twigma_spark.report.cloud import LETTER, LINE, PlacedWord, cloud, place

WIDTH, HEIGHT = 592.0, 270.0


def ends(one: PlacedWord) -> tuple[float, float, float, float]:
    across, up = LETTER * one.size * len(one.word) / 2, LINE * one.size / 2
    return one.x - across, one.x + across, one.y - up, one.y + up


@settings(max_examples=15, deadline=None)
@given(st.dictionaries(st.text("abcdefgh", min_size=1, max_size=14), st.floats(0.001, 1), min_size=1, max_size=40))
def test_all_words_have_a_place_of_their_own(weights: dict[str, float]) -> None:
    placed = place(cloud(weights.items()), WIDTH, HEIGHT)
    assert sorted(p.word for p in placed) == sorted(weights)
    for left, right, below, above in map(ends, placed):
        assert min(left, below) >= -1 and right <= WIDTH + 1 and above <= HEIGHT + 1  # sizes are rounded
    for a, b in combinations(map(ends, placed), 2):
        assert min(a[1], b[1]) - max(a[0], b[0]) < 1 or min(a[3], b[3]) - max(a[2], b[2]) < 1


def test_the_most_frequent_word_is_the_largest_and_in_the_middle() -> None:
    first, *others = place(cloud([("new", 0.4), ("art", 0.1), ("dream", 0.05)]), WIDTH, HEIGHT)
    assert (first.word, first.x, first.y) == ("new", WIDTH / 2, HEIGHT / 2)
    assert [p.word for p in others] == ["art", "dream"] and first.size > others[0].size > others[1].size
