"""The rule of duplicates: who is one group, who survives, and by which tier the others are found."""

from __future__ import annotations

import networkx
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twigma_spark.estimators import duplicates
from twigma_spark.estimators.duplicates import TIERS, survivors
from twigma_spark.io import arrow

COLUMNS = ["image_id", "corpus", "media_key", "sha256", "vector_key", "created_at", "pixels"]


def frame(*rows: tuple[object, ...]) -> pd.DataFrame:
    return pd.DataFrame(list(rows), columns=COLUMNS)


def found(*rows: tuple[object, ...]) -> dict[str, tuple[str, str]]:
    result = survivors(frame(*rows))
    return {r.image_id: (r.canonical_id, r.tier) for r in result.itertuples()}


@pytest.mark.parametrize(
    ("one", "other", "survivor"),
    [
        ((5, 10), (3, 10), "b"),  # earliest
        ((None, 99), (3, 10), "b"),  # a known time before an unknown one
        ((3, 10), (3, 40), "b"),  # then largest
        ((None, 10), (None, 40), "b"),
        ((3, None), (3, 40), "b"),  # a known size before an unknown one
        ((3, 10), (3, 10), "a"),  # then least id
    ],
)
def test_who_survives(one: tuple[object, object], other: tuple[object, object], survivor: str) -> None:
    rows = [("a", "c", "m", "1", "v", *one), ("b", "c", "m", "2", "w", *other)]
    loser = {"a": "b", "b": "a"}[survivor]
    assert found(*rows) == found(*rows[::-1]) == {loser: (survivor, "media")}


def test_tiers_from_strict_to_loose() -> None:
    assert found(
        ("a", "c", "m", "s", "v", 1, 1),
        ("b", "c", "m", "s", "v", 2, 1),
        ("c", "c", None, "s", "v", 3, 1),
        ("d", "c", None, "t", "v", 4, 1),
        ("e", "c", None, "u", "w", 5, 1),
    ) == {"b": ("a", "media"), "c": ("a", "bytes"), "d": ("a", "embedding")}


def test_the_tier_of_an_image_is_the_strictest_that_leads_to_a_better_one() -> None:
    """c shares its media with b and only its bytes with a; b reaches a by bytes alone."""
    assert found(("a", "c", "m", "s", "v", 1, 1), ("b", "c", "n", "s", "v", 2, 1), ("c", "c", "n", "s", "v", 3, 1)) == {
        "b": ("a", "bytes"),
        "c": ("a", "media"),
    }


def test_images_are_joined_through_others() -> None:
    rows = [("a", "c", "m", "1", "x", 1, 1), ("b", "c", "m", "2", "y", 2, 1), ("c", "c", None, "2", "z", 3, 1)]
    assert found(*rows) == {"b": ("a", "media"), "c": ("a", "bytes")}


def test_corpora_are_apart_and_missing_keys_join_nothing() -> None:
    assert found(("a", "c", "m", "s", "v", 1, 1), ("b", "d", "m", "s", "v", 2, 1)) == {}
    assert found(("a", "c", None, None, None, 1, 1), ("b", "c", None, float("nan"), None, 2, 1)) == {}


def test_no_images_have_no_duplicates() -> None:
    empty = survivors(frame())
    assert list(empty.columns) == ["image_id", "canonical_id", "tier"] and empty.empty


key = st.one_of(st.none(), st.integers(0, 6).map(str))
image = st.tuples(st.sampled_from("pq"), key, key, key, st.one_of(st.none(), st.integers(0, 3)), st.integers(1, 3))


@settings(max_examples=150, deadline=None)
@given(images=st.lists(image, max_size=25), seed=st.integers(0, 99))
def test_groups_are_the_connected_components(images: list[tuple[object, ...]], seed: int) -> None:
    rows = [(f"{n:02d}", *image) for n, image in enumerate(images)]
    shuffled = [rows[n] for n in np.random.default_rng(seed).permutation(len(rows))]
    result = found(*shuffled)
    seen: set[str] = set()
    for tier in ("media", "bytes", "embedding"):
        graph = networkx.Graph()
        graph.add_nodes_from(r[0] for r in rows)
        columns = range(2, 3 + list(TIERS).index(tier))
        graph.add_edges_from(
            (a[0], b[0]) for a in rows for b in rows for c in columns if a[1] == b[1] and a[c] == b[c] is not None
        )
        of = {r[0]: r for r in rows}
        for group in networkx.connected_components(graph):
            best = min(group, key=lambda i: (of[i][5] is None, of[i][5] or 0, -of[i][6], i))
            lost = group - {best}
            assert lost <= result.keys()
            assert {i for i in lost if result[i][1] == tier} == lost - seen
            seen |= lost
            if tier == "embedding":
                assert {result[i][0] for i in lost} <= {best}
    assert result.keys() == seen


def digests(vectors: list[list[float]], decimals: int) -> list[str]:
    rows = np.array(vectors, np.float32)
    batch = pa.record_batch([pa.array(map(str, range(len(rows)))), arrow.lists(rows)], ["image_id", "embedding"])
    (answer,) = duplicates._digests([batch], decimals)
    return answer.column(1).to_pylist()


def test_digests_are_of_the_rounded_vector() -> None:
    a, b, c, d = digests([[0.12344, -0.00001], [0.12341, 0.0], [0.1235, 0.0], [0.0, 0.12341]], 4)
    assert a == b and len({a, c, d}) == 3
    e, f = digests([[0.12344, -0.00001], [0.12341, 0.0]], 5)
    assert e != f and len(e) == 64


def test_the_similarity_is_the_cosine() -> None:
    a, b = np.array([[3, 0], [1, 1]], np.float32), np.array([[5, 0], [1, 0]], np.float32)
    names = [pa.array(["x", "y"])] * 3
    batch = pa.record_batch([*names, arrow.lists(a), arrow.lists(b)], ["image_id", "canonical_id", "tier", "a", "b"])
    (answer,) = duplicates._similar([batch])
    np.testing.assert_allclose(answer.column(3).to_numpy(), [1, 0.5**0.5], atol=1e-7)
