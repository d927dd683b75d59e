"""Training of the reward head: losses as their papers write them, splits that do not leak, planted tastes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twigma_spark.errors import ModelError
from twigma_spark.estimators import reward_folds
from twigma_spark.estimators.pair_table import PairTable, split
from twigma_spark.estimators.reward import HeadTrainer
from twigma_spark.estimators.reward_data import RewardData
from twigma_spark.estimators.reward_folds import ALL, ENCODER, ENGAGEMENT, MATCHED, WITHOUT_NSFW, cross_validate
from twigma_spark.estimators.vector_file import VectorFile
from twigma_spark.models.pair_losses import TrainingSpec, pair_losses
from twigma_spark.models.reward_head import SHARPNESS, Head, new_network
from twigma_spark.stats.reward import Resampling, hits, mean_value

DIM = 12


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Train with one thread: batches are small, and another process tests beside this one."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def world(seed: int, prompts: int, taste: float, follows: float = 0.0) -> tuple[np.ndarray, np.ndarray, PairTable]:
    """Return vectors and pairs of prompts with four images each, by authors of their own.

    The first coordinate is what is liked, by `taste`; the second goes with followers, which bring likes by `follows`.
    """
    rng = np.random.default_rng(seed)
    texts = unit(rng.normal(size=(prompts, DIM)))
    images = unit(0.5 * np.repeat(texts, 4, axis=0) + rng.normal(size=(4 * prompts, DIM)))
    large = (images[:, 1] + 0.1 * rng.normal(size=len(images)) > 0).astype(float)
    liked = taste * images[:, 0] + follows * large + rng.gumbel(size=len(images))
    one, other = (np.concatenate([np.arange(0, 4 * prompts, 4) + i for i in side]) for side in ((0, 2), (1, 3)))
    flip = liked[one] < liked[other]
    one, other = np.where(flip, other, one), np.where(flip, one, other)
    prompt = one // 4
    table = PairTable(
        prompt,
        np.stack([one, other], axis=1),
        prompt,
        rng.integers(0, 5, prompts)[prompt],
        np.stack([one, other], axis=1),
        np.zeros(len(one), np.int64),
        large[one] == large[other],
        np.zeros(len(one), bool),
        (large[one] - large[other])[:, None],
    )
    return images, texts, table


QUICK = TrainingSpec(epochs=25, patience=25, batch_size=128)


def losses(spec: TrainingSpec) -> tuple[np.ndarray, np.ndarray]:
    """Return the losses of pairs as the code and as NumPy have them, with a head that is not the identity."""
    import torch

    torch.manual_seed(1)
    images, texts, table = world(3, 6, 1.0)
    network = new_network(DIM)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    network.log_sharpness.data.fill_(np.log(7.0))
    t, p, o = texts[table.text], *(images[rows] for rows in table.images.T)
    mapped = network.text_vectors(torch.from_numpy(t)), *(network.image_vectors(torch.from_numpy(r)) for r in (p, o))
    found = pair_losses(*mapped, network.sharpness(), spec).detach().numpy()
    head = Head.of_network(network)

    t = unit(t @ head.text.T + head.text_offset)
    p, o = (unit(rows @ head.image.T + head.image_offset) for rows in (p, o))
    near, far = (t * p).sum(1), (t * o).sum(1)
    if spec.loss == "triplet":
        each = np.maximum(((t - p) ** 2).sum(1) - ((t - o) ** 2).sum(1) + spec.margin, 0)
    elif spec.loss == "soft_label":
        odds = np.exp(7 * np.stack([near, far]))
        each = -np.log(odds[0] / odds.sum(0))
    else:
        odds = np.exp(7 * np.concatenate([t @ p.T, far[:, None]], axis=1))
        each = -np.log(np.diag(odds) / odds.sum(1))
    return found, each


@pytest.mark.parametrize("loss", ["triplet", "soft_label", "info_nce"])
def test_losses_are_those_of_the_papers(loss: str) -> None:
    found, expected = losses(TrainingSpec(loss=loss))  # type: ignore[arg-type]
    assert found == pytest.approx(expected, rel=1e-4)


def test_an_untrained_head_is_the_cosine() -> None:
    images, texts, _ = world(0, 5, 0.0)
    prompts = texts[np.arange(20) // 4]
    cosine = (images * prompts).sum(axis=1)
    assert Head.identity(DIM).scores(images, prompts) == pytest.approx(cosine, abs=1e-6)
    assert Head.of_network(new_network(DIM)).scores(images, prompts) == pytest.approx(cosine, abs=1e-6)
    assert Head.of_network(new_network(DIM)).sharpness == pytest.approx(SHARPNESS)


# InfoNCE tells prompts apart before it tells images of one prompt apart: with four pairs a batch it comes to that.
@pytest.mark.parametrize(
    ("loss", "batch_size", "epochs", "least"),
    [("triplet", 128, 60, 0.75), ("soft_label", 128, 60, 0.75), ("info_nce", 4, 3, 0.65)],
)
def test_a_planted_taste_is_learnt(loss: str, batch_size: int, epochs: int, least: float) -> None:
    images, texts, table = world(1, 500, 8.0)
    spec = replace(QUICK, loss=loss, epochs=epochs, batch_size=batch_size, patience=99)  # type: ignore[arg-type]
    held = cross_validate(HeadTrainer(images, texts, spec), table, 5, [0, 1])
    accuracy = {name: hits(held.margins[name]).mean() for name in (MATCHED, ALL, ENCODER)}
    best = hits(np.subtract(*images[table.images[held.rows], 0].T)).mean()
    assert accuracy[MATCHED] > least and accuracy[ALL] > least
    assert best - accuracy[MATCHED] < 0.85 - least
    assert abs(accuracy[ENCODER] - 0.5) < 0.1


def test_a_model_without_nsfw_learns_from_no_such_pair_and_is_tested_on_none() -> None:
    images, texts, table = world(5, 150, 8.0)
    quick = replace(QUICK, epochs=4)
    every = cross_validate(HeadTrainer(images, texts, quick), table, 5, [0])
    np.testing.assert_array_equal(every.margins[WITHOUT_NSFW], every.margins[MATCHED])  # nothing was left out
    nsfw = table.prompt % 3 == 0
    marked = replace(table, nsfw=nsfw)
    turned = replace(marked, images=np.where(nsfw[:, None], table.images[:, ::-1], table.images))
    one, two = (cross_validate(HeadTrainer(images, texts, quick), pairs, 5, [0]) for pairs in (marked, turned))
    rows = one.rows
    assert np.isnan(one.margins[WITHOUT_NSFW][nsfw[rows]]).all()
    safe = ~nsfw[rows]
    np.testing.assert_array_equal(one.margins[WITHOUT_NSFW][safe], two.margins[WITHOUT_NSFW][safe])
    assert np.abs(one.margins[MATCHED][safe] - two.margins[MATCHED][safe]).max() > 1e-3
    (counts,) = one.trained
    assert 0 < counts[2] < counts[0] <= counts[1]


def test_what_goes_with_followers_is_learnt_without_matching_only() -> None:
    images, texts, table = world(2, 600, 4.0, follows=6.0)
    held = cross_validate(HeadTrainer(images, texts, QUICK), table, 5, range(5))
    side = table.engagement[held.rows, 0]
    prefers = {name: hits((held.margins[name] * side)[side != 0]).mean() for name in (MATCHED, ALL)}
    assert prefers[ALL] > 0.75
    assert prefers[MATCHED] < 0.6
    matched = table.matched[held.rows]
    assert hits(held.margins[MATCHED][matched]).mean() > hits(held.margins[ALL][matched]).mean()
    assert hits(held.margins[ENGAGEMENT][side != 0]).mean() > 0.9
    assert hits(held.margins[ENGAGEMENT][matched]).mean() == 0.5  # nothing is left to tell them apart by


def test_an_author_whose_followers_are_not_known_does_not_hide_those_of_the_others() -> None:
    images, texts, table = world(2, 200, 4.0, follows=6.0)
    engagement = table.engagement.copy()
    engagement[::50] = np.nan
    trainer = HeadTrainer(images, texts, replace(QUICK, epochs=1))
    held = cross_validate(trainer, replace(table, engagement=engagement), 5, [0])
    side = np.nan_to_num(engagement[held.rows, 0])
    assert hits(held.margins[ENGAGEMENT][side != 0]).mean() > 0.9
    nobody = replace(table, engagement=np.full_like(engagement, np.nan))
    held = cross_validate(trainer, nobody, 5, [0])
    assert (hits(held.margins[ENGAGEMENT]) == 0.5).all()


def test_without_a_taste_the_interval_covers_a_half() -> None:
    covered = []
    for seed in range(20):
        images, texts, table = world(100 + seed, 80, 0.0)
        spec = replace(QUICK, epochs=4, seed=seed)
        held = cross_validate(HeadTrainer(images, texts, spec), table, 5, range(5))
        how = Resampling(200, 0.95, np.random.default_rng(seed))
        value = mean_value(hits(held.margins[MATCHED]), table.prompt[held.rows], how, "accuracy")
        assert value.low is not None and value.high is not None
        covered.append(value.low <= 0.5 <= value.high)
    assert sum(covered) >= 16  # of 20; fewer come with probability 0.003 at 95%


def test_swapped_images_say_nothing_of_the_pair() -> None:
    images, texts, table = world(4, 500, 8.0)
    held = cross_validate(HeadTrainer(images, texts, QUICK), table, 5, [0, 1])
    there = np.isfinite(held.swapped)
    assert there.mean() > 0.9
    assert abs(held.swapped[there].mean() - 0.5) < 0.05


def tables() -> st.SearchStrategy[PairTable]:
    """Return tables of a few pairs whose authors and prompts overlap at will."""

    def build(rows: list[tuple[int, int, int]]) -> PairTable:
        prompt, one, other = (np.array(column, np.int64) for column in zip(*rows, strict=True))
        both = np.stack([one, other], axis=1)
        return PairTable(
            prompt,
            both,
            prompt,
            prompt % 4,
            both,
            np.zeros(len(rows), np.int64),
            np.ones(len(rows), bool),
            np.zeros(len(rows), bool),
            np.zeros((len(rows), 1)),
        )

    row = st.tuples(st.integers(0, 9), st.integers(0, 12), st.integers(0, 12))
    return st.lists(row, min_size=1, max_size=30).map(build)


@settings(max_examples=200)
@given(tables(), st.integers(0, 3))
def test_no_author_and_no_prompt_is_on_two_sides(table: PairTable, test: int) -> None:
    own = split(table, test, (test + 1) % 4)
    parts = [own.train, own.validation, own.test]
    assert (np.sum(parts, axis=0) <= 1).all()
    assert (own.test == (table.fold == test)).all()
    for place, one in enumerate(parts):
        for other in parts[place + 1 :]:
            assert not set(table.authors[one].ravel()) & set(table.authors[other].ravel())
            assert not set(table.prompt[one]) & set(table.prompt[other])


def test_the_same_seed_gives_the_same_model_and_the_best_epoch_is_kept() -> None:
    images, texts, table = world(5, 60, 6.0)
    everything = np.ones(len(table), bool)
    pairs, validation = table.pairs_of(everything), table.pairs_of(table.fold == 0)
    one, two = (HeadTrainer(images, texts, QUICK).train(pairs, validation) for _ in range(2))
    assert (one.head.image == two.head.image).all() and one.epochs == two.epochs
    least = min(epoch.validation for epoch in one.epochs)
    assert one.epochs[one.best].validation == least
    assert one.epochs[0].number == 0 and one.best > 0


def test_training_ends_when_held_out_pairs_get_no_better() -> None:
    images, texts, table = world(6, 30, 0.0)
    pairs, validation = table.pairs_of(table.fold > 0), table.pairs_of(table.fold == 0)
    spec = replace(QUICK, epochs=200, patience=3, learning_rate=0.05)
    found = HeadTrainer(images, texts, spec).train(pairs, validation)
    assert len(found.epochs) - 1 - found.best == 3


def test_an_interrupted_head_ends_where_an_undisturbed_one_does(tmp_path: Path) -> None:
    class Killed(Exception):
        pass

    images, texts, table = world(10, 60, 6.0)
    parts = table.pairs_of(table.fold > 0), table.pairs_of(table.fold == 0)
    spec = replace(QUICK, epochs=5, batch_size=16)
    whole = HeadTrainer(images, texts, spec).train(*parts)
    lines: list[str] = []

    def kill(text: str) -> None:
        if text.startswith("epoch 4"):
            raise Killed

    seldom = HeadTrainer(images, texts, spec, kill, tmp_path)
    with pytest.raises(Killed):
        seldom.train(*parts, "one")
    assert list(tmp_path.iterdir()) == []  # what takes less than a minute is computed again
    often = replace(seldom, every=0.0)
    with pytest.raises(Killed):
        often.train(*parts, "one")
    found = replace(often, progress=lines.append).train(*parts, "one")
    assert lines[0] == "going on after epoch 3 of 5" and len(lines) == 3
    assert (found.head.image == whole.head.image).all() and found.best == whole.best
    assert [e.validation for e in found.epochs] == [e.validation for e in whole.epochs]
    with pytest.raises(ModelError, match=r"same model and settings\. Got .*training"):
        replace(often, spec=replace(spec, margin=0.1)).train(*parts, "one")


def test_too_few_pairs_and_too_few_authors_are_said() -> None:
    _, _, table = world(11, 20, 1.0)
    none = VectorFile(np.zeros((0, 0), np.float16), np.zeros(0, np.int64), np.zeros(0, np.int64))
    data = RewardData(none, none, table, {}, 0)
    assert data.lack(fewest=10, folds=5) is None
    unmatched = replace(data, table=replace(table, matched=np.zeros(len(table), bool)))
    assert unmatched.lack(10, 5) == (
        "10 matched pairs at least are needed (reward.fewest). Got 0 of 40 pairs; they need likes, prompts, followers "
        "and dates, or a wider pairs.match"
    )
    one_author = replace(data, table=replace(table, authors=np.zeros_like(table.authors)))
    assert one_author.lack(10, 5) == "authors must be as many as reward.folds at least. Got 1"


def test_pairs_of_a_prompt_weigh_as_much_as_those_of_another() -> None:
    _, _, table = world(7, 4, 1.0)
    some = np.arange(len(table)) != 0
    weight = table.pairs_of(some).weight
    totals = {prompt: weight[table.prompt[some] == prompt].sum() for prompt in np.unique(table.prompt[some])}
    assert all(total == pytest.approx(1.0) for total in totals.values())


def test_nothing_to_learn_from_and_losses_that_are_no_numbers_are_errors() -> None:
    images, texts, table = world(8, 10, 1.0)
    none, some = table.pairs_of(np.zeros(len(table), bool)), table.pairs_of(np.ones(len(table), bool))
    with pytest.raises(ModelError, match="training pairs must be one at least"):
        HeadTrainer(images, texts, QUICK).train(none, some)
    with pytest.raises(ModelError, match="validation pairs must be one at least"):
        HeadTrainer(images, texts, QUICK).train(some, none)
    with pytest.raises(ModelError, match=r"loss must be a finite number. Got nan in epoch 1; lower the learning rate"):
        HeadTrainer(images * np.float32(np.nan), texts, QUICK).train(some, some)


def test_folds_with_nothing_to_test_are_left_out() -> None:
    images, texts, table = world(9, 20, 1.0)
    held = cross_validate(
        HeadTrainer(images, texts, QUICK), replace(table, fold=np.zeros_like(table.fold)), 5, range(5)
    )
    assert len(held.rows) == 0 and held.trained == ()
    assert reward_folds.BLOCK > 0
