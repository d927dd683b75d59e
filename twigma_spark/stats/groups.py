"""How varied the images of one prompt, artist or post are: group by group."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial.distance import pdist

from twigma_spark.stats import pairs
from twigma_spark.stats.histograms import entropy
from twigma_spark.stats.sample import Codes, Floats, Vectors
from twigma_spark.stats.spread import vendi_of_rows


@dataclass(frozen=True)
class Groups:
    """The groups of two rows or more.

    Attributes:
        code: which group (g,).
        size: rows (g,).
        distance: mean Euclidean distance of its pairs (g,).
        vendi: Vendi score of its rows (g,).
        entropy: plug-in entropy of its bins in nats (g,).
        shares: share of its pairs in each bin of `pairs.WIDTH` (g, k).
    """

    code: Codes
    size: Codes
    distance: Floats
    vendi: Floats
    entropy: Floats
    shares: Floats


def within_groups(vectors: Vectors, codes: Codes, bins: Codes) -> Groups:
    """Return the spread of the rows of each group; groups of one row are left out.

    Args:
        vectors: (n, d), of unit length.
        codes: group of each row (n,).
        bins: quantised rows (n,), from 0.

    Source: Chen & Zou 2023 (TWIGMA), on variation (images of one artist, images of one prompt).
    """
    order = np.argsort(codes, kind="stable")
    present, starts = np.unique(codes[order], return_index=True)
    parts = [part for part in np.split(order, starts[1:]) if len(part) > 1]
    kept = [code for code, part in zip(present, np.split(order, starts[1:]), strict=True) if len(part) > 1]
    between = [pdist(vectors[part].astype(np.float64)) for part in parts]
    top = 1 + max((int(pairs.bins(each).max()) for each in between), default=-1)
    k = int(bins.max(initial=-1)) + 1
    return Groups(
        code=np.asarray(kept, np.int64),
        size=np.asarray([len(part) for part in parts], np.int64),
        distance=np.asarray([each.mean() for each in between]),
        vendi=np.asarray([vendi_of_rows(vectors[part]) for part in parts]),
        entropy=np.asarray([float(entropy(np.bincount(bins[part], minlength=k).astype(float))) for part in parts]),
        shares=np.asarray([np.bincount(pairs.bins(d), minlength=top) / len(d) for d in between]).reshape(
            len(between), top
        ),
    )
