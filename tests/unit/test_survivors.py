"""The rule of duplicates: who is one group, who survives, and by which tier the others are found."""

from __future__ import annotations

import itertools

import networkx
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twigma_spark.estimators import duplicates
from twigma_spark.estimators.duplicates import survivors
from twigma_spark.io import arrow

KEYS = {"media": 2, "bytes": 3, "embedding": 4}


def edges(*rows: tuple[object, ...]) -> pd.DataFrame:
    """Join images (id, corpus, three keys, time, pixels) of a corpus that have a key in common."""
    joined = [
        (a[0], b[0], tier)
        for tier, column in KEYS.items()
        for a in rows
        for b in rows
        if a[0] > b[0] and a[1] == b[1] and a[column] == b[column] is not None  # type: ignore[operator]
    ]
    return pd.DataFrame(joined, columns=["a", "b", "tier"])


def found(*rows: tuple[object, ...]) -> dict[str, tuple[str, str]]:
    facts = pd.DataFrame([(r[0], r[5], r[6]) for r in rows], columns=["image_id", "created_at", "pixels"])
    result = survivors(facts, edges(*rows))
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
    assert found(("a", "c", None, None, None, 1, 1), ("b", "c", None, None, None, 2, 1)) == {}


def test_no_images_have_no_duplicates() -> None:
    empty = survivors(pd.DataFrame(columns=["image_id", "created_at", "pixels"]), edges())
    assert list(empty.columns) == ["image_id", "canonical_id", "tier"] and empty.empty


def test_near_images_are_the_loosest_tier_and_join_groups() -> None:
    facts = pd.DataFrame([(n, t, 1) for t, n in enumerate("abcd")], columns=["image_id", "created_at", "pixels"])
    joined = pd.DataFrame([("b", "a", "bytes"), ("d", "c", "media"), ("d", "b", "near")], columns=["a", "b", "tier"])
    result = {r.image_id: (r.canonical_id, r.tier) for r in survivors(facts, joined).itertuples()}
    assert result == {"b": ("a", "bytes"), "c": ("a", "near"), "d": ("a", "media")}


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
        columns = range(2, KEYS[tier] + 1)
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


@pytest.mark.parametrize("cuts", [(), (1,), (2,), (3,), (1, 2, 3, 4, 5)])
def test_the_similarity_is_the_cosine_with_the_canonical_image(cuts: tuple[int, ...]) -> None:
    """Of groups in order, each led by its canonical image, in one batch or several; that of q has no vector."""
    rows = [
        ("p", "p", None, [3, 0]), ("x", "p", "near", [5, 0]), ("y", "p", "bytes", [1, 1]),
        ("z", "q", "near", [1, 0]), ("r", "r", None, [0, 2]), ("w", "r", "near", [1, 1]),
    ]  # fmt: skip
    ends = [0, *cuts, len(rows)]
    batches = [_batch(rows[start:end]) for start, end in itertools.pairwise(ends)]
    answers = pa.Table.from_batches(list(duplicates._similar([_batch([]), *batches]))).to_pylist()
    assert [tuple(answer.values())[:3] for answer in answers] == [
        ("x", "p", "near"), ("y", "p", "bytes"), ("w", "r", "near"),
    ]  # fmt: skip
    np.testing.assert_allclose([answer["similarity"] for answer in answers], [1, 0.5**0.5, 0.5**0.5], atol=1e-7)


def _batch(rows: list[tuple[str, str, str | None, list[int]]]) -> pa.RecordBatch:
    names, tiers = [pa.array([row[n] for row in rows], pa.string()) for n in (0, 1)], [row[2] for row in rows]
    vectors = arrow.lists(np.array([row[3] for row in rows], np.float32).reshape(-1, 2))
    return pa.record_batch([*names, pa.array(tiers, pa.string()), vectors], ["image_id", "canonical_id", "tier", "v"])
