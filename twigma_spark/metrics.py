"""The catalogue of every statistic in the table `results`: what it means, its scale, its source, where it is shown."""

from __future__ import annotations

from dataclasses import dataclass, replace

from twigma_spark.results import Result

# Instead of a section: the metric is in the table `results` and its exports only.
TABLE_ONLY = "table_only"

TWIGMA = "Chen & Zou 2023 (TWIGMA)"
REWARD = "Isajanyan et al. 2024 (Social Reward)"
HEAD = """\
# Metrics

Every row of the table `results` is one of these; `make deploy-files` writes this page from `twigma_spark/metrics.py`.
`twigma results --analysis likes --format csv` exports rows, with a column for each label, and each section of
the report links to its own.
Where a metric is not shown in the report, it says "table only".
"""


@dataclass(frozen=True)
class Metric:
    """A statistic.

    Attributes:
        analysis: as in `results`.
        name: as in `results`.
        title: a few words.
        meaning: one sentence.
        scale: what the estimate is measured in.
        source: paper or page that the formula comes from.
        section: id of the report's section that shows it, or `TABLE_ONLY`.
    """

    analysis: str
    name: str
    title: str
    meaning: str
    scale: str
    source: str
    section: str

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the labels that its results may carry."""
        return LABELS[self.analysis]


LABELS: dict[str, tuple[str, ...]] = {
    "distinctiveness": ("p", "q"),
    "distinctiveness_difference": ("p", "q", "versus"),
    "grid": ("p", "q", "clusters", "seed", "share"),
    "grid_spread": ("p", "q"),
    "ranking_changes": ("corpus",),
    "sensitivity": (
        "variant",
        "p",
        "q",
        "corpus",
        "within",
        "cluster",
        "threshold",
        "reference",
        "level",
        "measure",
    ),
    "origins": ("clustering", "cluster", "corpus"),
    "variation": ("corpus", "within", "distance"),
    "text_variation": ("kind", "versus", "distance"),
    "prompt_length": ("corpus",),
    "funnel": ("corpus", "step"),
    "duplicates": ("tier", "candidates", "bits", "corpus", "other"),
    "choice_of_k": ("clustering", "k"),
    "projection": ("seed", "other_seed"),
    "copies": ("reference", "stated", "kind", "planted"),
    "recall": ("reference", "k", "nprobe"),
    "likes": ("reference", "quintile"),
    "likes_regression": ("reference", "level"),
    "likes_joint": ("outcome", "term", "at", "against"),
    "likes_boosting": ("model", "feature"),
    "trends": ("cluster", "month"),
    "trends_by_stratum": ("kind", "stratum", "cluster"),
    "activity": ("month", "word"),
    "nsfw": ("corpus", "cluster", "threshold", "score"),
    "concordance": ("annotator", "clustering", "cluster", "word"),
    "pairs": (),
    "reward": ("scorer", "by", "level", "bin", "epoch", "part", "source"),
}


def _metrics(analysis: str, section: str, source: str, *rows: tuple[str, ...]) -> list[Metric]:
    """Return metrics of rows (name, title, meaning, scale), with an own source and section where a row has them."""
    metrics = []
    for name, title, meaning, scale, *own in rows:
        metrics.append(Metric(analysis, name, title, meaning, scale, *[*own, *[source, section][len(own) :]]))
    return metrics


REGRESSION = "percent change of the mean likes of a level against the reference level"
# Of images and of texts.
_OF_MOMENTS: tuple[tuple[str, ...], ...] = (
    ("iev", "Inverse explained variance", "Sum of the vectors' singular values over the largest.", "1 to d"),
    ("pmv", "Pseudo-multivariate variance", "Geometric mean of the dimensions' standard deviations.", "0 to 1"),
    ("effective_rank", "Effective rank", "Sum of the covariance's eigenvalues over the largest.", "1 to d",
     "Koltchinskii & Lounici 2017", TABLE_ONLY),
    ("generalised_variance", "Generalised variance", "Geometric mean of the covariance's eigenvalues.", "0 to 1",
     "Wilks 1932", TABLE_ONLY),
)  # fmt: skip

_MEASURED: tuple[Metric, ...] = (
    *_metrics(
        "distinctiveness", "distinctiveness", TWIGMA,
        ("kl", "KL divergence, plug-in", "KL(P || Q) of the histograms of two corpora over common clusters.", "nats"),
        ("kl_kt", "KL divergence, smoothed", "The same with half an image added to each cluster; always finite.",
         "nats", "Krichevsky & Trofimov 1981"),
        ("js", "Jensen-Shannon divergence", "Symmetric divergence of the two histograms, at most log 2.", "nats",
         "Lin 1991"),
        ("frontier_integral", "Frontier integral", "Mean divergence to all mixtures of the two histograms.",
         "0 (alike) to 1 (apart)", "Liu et al. 2021"),
        ("p_same", "One corpus or two", "P-value of both corpora being draws of one; permutation of whole groups.",
         "0 to 1", "Good 2005"),
        ("mauve", "MAUVE score", "Area under the curve of divergences to the mixtures.", "0 (apart) to 1 (alike)",
         "Pillutla et al. 2021"),
        ("knn_kl", "KL by nearest neighbours", "KL divergence without bins, from distances to k-th neighbours.", "nats",
         "Wang, Kulkarni & Verdu 2009"),
        ("mmd", "Squared MMD", "Squared maximum mean discrepancy, Gaussian kernel of median bandwidth.", "0 is alike",
         "Gretton et al. 2012"),
        ("cmmd", "CMMD", "1,000 times the squared MMD with bandwidth 10 on unit vectors.", "0 is alike",
         "Jayasumana et al. 2024"),
        ("precision", "Precision", "Fraction of P inside the nearest-neighbour balls of Q.", "0 to 1",
         "Kynkaanniemi et al. 2019"),
        ("recall", "Recall", "Fraction of Q inside the nearest-neighbour balls of P.", "0 to 1",
         "Kynkaanniemi et al. 2019"),
        ("density", "Density", "Balls of Q around an image of P, over k.", "1 is alike", "Naeem et al. 2020"),
        ("coverage", "Coverage", "Fraction of the balls of Q that hold an image of P.", "0 to 1", "Naeem et al. 2020"),
    ),
    *_metrics(
        "distinctiveness_difference", "distinctiveness", "this project",
        ("kl_kt", "Difference of two divergences", "How much farther P is from Q than from another corpus.", "nats"),
    ),
    *_metrics(
        "grid", "robustness", TWIGMA,
        ("kl", "KL in one grid cell", "Plug-in KL with another number of clusters, seed and sample size.", "nats",
         TWIGMA, TABLE_ONLY),
        ("kl_kt", "Smoothed KL in one grid cell", "The same, smoothed.", "nats"),
    ),
    *_metrics(
        "grid_spread", "distinctiveness", "this project",
        ("kl", "Spread of the plug-in KL", "Median, least and greatest value over the grid.", "nats"),
        ("kl_kt", "Spread of the smoothed KL", "Median, least and greatest value over the grid.", "nats"),
    ),
    *_metrics(
        "ranking_changes", "robustness", "this project",
        ("kl", "Ranking changes, plug-in", "Fraction of grid cells that rank the other corpora in another order.",
         "0 to 1"),
        ("kl_kt", "Ranking changes, smoothed", "The same for the smoothed divergence.", "0 to 1"),
    ),
    *_metrics(
        "origins", "origins", TWIGMA,
        ("share", "Share of a corpus in a cluster", "Fraction of the images of a corpus in a cluster over all corpora.",
         "0 to 1"),
    ),
    *_metrics(
        "variation", "variation", TWIGMA,
        ("pair_distance", "Mean pair distance", "Mean Euclidean distance of two unit vectors.", "0 to 2"),
        ("monte_carlo_error", "Monte-Carlo error", "Standard error of the mean distance from drawing pairs.", "0 to 2"),
        ("pair_share", "Distribution of distances", "Fraction of the pairs in a bin of distance.", "0 to 1"),
        *_OF_MOMENTS,
        ("vendi", "Vendi score", "Effective number of different images.", "1 to min(n, d)", "Friedman & Dieng 2023"),
        ("entropy", "Entropy", "Plug-in entropy over clusters of all corpora.", "nats"),
        ("share_explained", "Share explained by groups", "Between-group over total sum of squares.", "0 to 1"),
        ("variance_component", "Variance component", "Between-group over total variance component, ICC(1).", "0 to 1",
         "Searle, Casella & McCulloch 1992"),
    ),
    *_metrics(
        "text_variation", "texts", TWIGMA,
        ("pair_distance", "Mean pair distance of texts", "Mean distance of two texts of equal length.", "0 to 2"),
        ("monte_carlo_error", "Monte-Carlo error", "Standard error of the mean distance from drawing pairs.", "0 to 2",
         TWIGMA, TABLE_ONLY),
        ("pair_share", "Distribution of distances", "Fraction of the pairs in a bin of distance.", "0 to 1"),
        *_OF_MOMENTS,
        ("vendi", "Vendi score", "Effective number of different texts.", "1 to min(n, d)", "Friedman & Dieng 2023"),
        ("entropy", "Entropy", "Plug-in entropy over clusters of all kinds of text.", "nats"),
    ),
    *_metrics(
        "prompt_length", "prompts", TWIGMA,
        ("kendall_tau", "Prompt length against distance",
         "Kendall's tau-b of a prompt's words and its images' distance.", "-1 to 1"),
        ("kendall_p", "p-value of Kendall's tau", "Two-sided p-value of no association.", "0 to 1"),
    ),
    *_metrics(
        "funnel", "corpora", TWIGMA,
        ("left", "Left after a step", "Posts, photos or images left after a step of the paper's funnel.", "count"),
    ),
    *_metrics(
        "duplicates", "duplicates", "this project",
        ("precision", "Precision of the duplicates", "Fraction of the pairs found that stem from one picture.",
         "0 to 1"),
        ("recall", "Recall of the duplicates", "Fraction of the known copies that were joined to their source.",
         "0 to 1"),
        ("recall_of_search", "Recall of the search for near pairs",
         "Fraction of the near pairs of a sample that the search in buckets found.", "0 to 1"),
        ("candidate_similarity", "Least cosine of candidates",
         "Cosine of embeddings from which two images are compared; unrelated ones reach it twice an image.", "-1 to 1"),
        ("hash_bits", "Bits in which near-duplicates may differ",
         "Of 256 bits of the perceptual hashes, the most in which two images are near-duplicates.", "bits"),
        ("false_pairs", "Expected false pairs",
         "Fraction of the near-duplicate pairs that agree by chance, as images turned upside down do.", "0 to 1",
         "Elias & Gygi 2007"),
        ("shared_images", "Images in another corpus too",
         "Fraction of a corpus's kept images that have a copy among the kept ones of the other.", "0 to 1"),
    ),
    *_metrics(
        "choice_of_k", "choice", "Rousseeuw 1987; Hubert & Arabie 1985",
        ("silhouette", "Mean silhouette", "How well k clusters are separated.", "-1 to 1", "Rousseeuw 1987"),
        ("adjusted_rand", "Stability", "Mean adjusted Rand index of the clusterings of several seeds.", "0 to 1",
         "Hubert & Arabie 1985"),
    ),
    *_metrics(
        "projection", "projection", "Venna & Kaski 2001",
        ("trustworthiness", "Trustworthiness", "1 where no image is near another on the map only.", "0 to 1"),
        ("continuity", "Continuity", "1 where no neighbours are apart on the map.", "0 to 1"),
        ("drift", "Drift between seeds", "What is left between the maps of two seeds after Procrustes alignment.",
         "0 to 1", "Gower 1975"),
    ),
    *_metrics(
        "copies", "copies", "Amsaleg et al. 2015",
        ("threshold", "Threshold for copy candidates", "Similarity that chance reaches at the false-match rate.",
         "cosine"),
        ("candidates", "Copy candidates", "Fraction of the posts' images at or above the threshold.", "0 to 1"),
        ("false_share", "False share of the candidates",
         "Candidates that chance alone would give, over all candidates.", "0 to 1"),
        ("observed_rate", "Matches at the similarity of a stated rate",
         "Fraction of the best matches that reach the similarity of a stated false-match rate, copies included.",
         "0 to 1"),
        ("realised_rate", "Realised false-match rate",
         "False-match rate that a stated one turned out to be, in worlds like this one with copies or a dense style "
         "planted.", "0 to 1", "this project"),
        ("planted_recall", "Recall of planted copies", "Fraction of those worlds' copies above the threshold.",
         "0 to 1", "this project"),
        ("reference_rate", "Matches within the reference",
         "Fraction of the reference's images with another image of it at the threshold: how dense it is without posts.",
         "0 to 1", "this project"),
    ),
    *_metrics(
        "recall", "neighbours", "this project",
        ("recall_at_k", "Recall of the search", "Fraction of the true k neighbours that the index finds.", "0 to 1"),
    ),
    *_metrics(
        "likes", "likes", TWIGMA,
        ("mean_likes", "Mean likes", "Mean likes of the images of a quintile of similarity.", "likes"),
        ("mean_similarity", "Mean similarity", "Mean similarity of the images of a quintile.", "cosine"),
        ("without_likes", "Images without likes", "Images whose posts have no known likes and are left out.", "images"),
    ),
    *_metrics(
        "likes_regression", "likes", TWIGMA,
        ("poisson_score", "Poisson, score tests by author",
         f"Recommended. What score tests with random signs of the authors do not reject: {REGRESSION}.", "%",
         "Kline & Santos 2012"),
        ("poisson", "Poisson regression", f"Poisson: {REGRESSION}.", "%"),
        ("poisson_post", "Poisson, errors by post", f"Errors clustered by post: {REGRESSION}.", "%",
         "Liang & Zeger 1986"),
        ("poisson_author", "Poisson, errors by author", f"Errors clustered by author: {REGRESSION}.", "%",
         "Liang & Zeger 1986"),
        ("quasi_poisson", "Quasi-Poisson", f"Errors scaled by Pearson's dispersion: {REGRESSION}.", "%",
         "McCullagh & Nelder 1989"),
        ("negative_binomial", "Negative binomial", f"NB2: {REGRESSION}.", "%", "Lawless 1987"),
        ("poisson_offset", "Poisson with an offset", f"Age of the post as an offset: {REGRESSION}.", "%"),
        ("poisson_age", "Poisson with age", f"Log age of the post as a covariate: {REGRESSION}.", "%"),
        ("ppml_author", "Author fixed effects", f"Within authors: {REGRESSION}.", "%",
         "Santos Silva & Tenreyro 2006"),
        ("pearson_dispersion", "Pearson dispersion", "Pearson's chi-squared over its degrees of freedom.",
         "1 of a Poisson", "McCullagh & Nelder 1989"),
        ("negative_binomial_alpha", "Dispersion of the negative binomial", "alpha of Var = mean + alpha mean^2.",
         "0 of a Poisson", "Lawless 1987"),
        ("overdispersion", "Test of overdispersion", "alpha of Var = mean + alpha mean^2, by regression.",
         "0 of a Poisson", "Cameron & Trivedi 1990"),
    ),
    *_metrics(
        "likes_joint", "likes", "this project",
        ("change", "Change with a term, all else equal",
         "Percent change of the expected outcome from the 10th to the 90th percentile of a number, or with a hashtag.",
         "%"),
        ("curve", "Curve of a term", "Percent change against the 10th percentile of a number, by quadratic splines.",
         "%"),
        ("p_value", "Test of a term", "p-value that a term has no effect, by scores with random signs of the authors.",
         "0 to 1"),
    ),
    *_metrics(
        "likes_boosting", "likes", "Lundberg et al. 2020",
        ("held_out_deviance", "Held-out deviance", "Mean Poisson deviance of images of unseen authors.", "deviance",
         "McCullagh & Nelder 1989"),
        ("deviance_explained", "Deviance explained", "1 - deviance over the deviance of the mean.", "at most 1",
         "McCullagh & Nelder 1989"),
        ("mean_abs_shap", "Mean |SHAP|", "Mean absolute SHAP value of a feature on the log of the likes.", "log likes"),
    ),
    *_metrics(
        "trends", "themes", TWIGMA,
        ("share", "Share of a theme", "Fraction of the dated images of the posts in a theme.", "0 to 1", TWIGMA,
         TABLE_ONLY),
        ("month_share", "Share of a theme by month", "Fraction of a month's images in a theme.", "0 to 1"),
        ("slope", "Slope", "Change of the log odds of a theme a month.", "log odds", "Liang & Zeger 1986", TABLE_ONLY),
        ("relative_change", "Relative change", "Fitted share of the last month over the first, minus 1.", "ratio - 1"),
        ("q", "q-value of the slope", "p-value corrected for the number of trends.", "0 to 1",
         "Benjamini & Hochberg 1995", TABLE_ONLY),
        ("change_point", "Bend of the course",
         "Percent by which the monthly growth of a theme's odds changes from the most likely month on.", "%",
         "Kline & Santos 2012"),
        ("change_point_q", "Test of the bend", "q-value that the log odds of a theme move along one line.", "0 to 1",
         "Benjamini & Hochberg 1995"),
        ("arrow", "Arrow", "1 rising, 0 steady, -1 falling by the stated rule.", "-1, 0, 1"),
    ),
    *_metrics(
        "trends_by_stratum", "themes", TWIGMA,
        ("share", "Share of a theme in a stratum", "Fraction of the images of a hashtag, source or model in a theme.",
         "0 to 1"),
        ("slope", "Slope in a stratum", "Change of the log odds a month.", "log odds", TWIGMA, TABLE_ONLY),
        ("relative_change", "Relative change in a stratum", "Fitted share of the last month over the first, minus 1.",
         "ratio - 1", TWIGMA, TABLE_ONLY),
        ("q", "q-value in a stratum", "p-value corrected for the number of trends.", "0 to 1",
         "Benjamini & Hochberg 1995", TABLE_ONLY),
        ("arrow", "Arrow in a stratum", "1 rising, 0 steady, -1 falling by the stated rule.", "-1, 0, 1"),
    ),
    *_metrics(
        "activity", "activity", TWIGMA,
        ("posts", "Posts by month", "Posts of a month, UTC.", "posts"),
        ("images", "Images by month", "Kept images in a theme by month, UTC.", "images"),
        ("word", "Words of the posts", "Fraction of the posts whose text has a word.", "0 to 1"),
        ("growth", "Growth", "Growth of the posts a month, quasi-Poisson.", "%", "McCullagh & Nelder 1989"),
    ),
    *_metrics(
        "nsfw", "safety", TWIGMA,
        ("share_above", "NSFW share above a score", "Fraction of the scored images above a threshold.", "0 to 1"),
        ("share_between", "NSFW share in a bin", "Fraction of the scored images in a bin of the score, 0.05 wide.",
         "0 to 1"),
    ),
    *_metrics(
        "concordance", "concordance", TWIGMA,
        ("keyword_overlap", "Overlap of keywords and caption", "Fraction of an image's keywords in its caption.",
         "0 to 1"),
        ("keyword_overlap_null", "Overlap by chance", "The same with the captions permuted.", "0 to 1"),
        ("keyword", "Keywords of a cluster", "Fraction of a cluster's annotated images with a keyword.", "0 to 1"),
        ("alpha_keywords", "Agreement on keywords", "Krippendorff's alpha of sets of keywords.", "at most 1",
         "Krippendorff 2019"),
        ("alpha_groupings", "Agreement on groups", "Krippendorff's alpha of pairs put together.", "at most 1",
         "Krippendorff 2019"),
        ("ari", "Groups against clusters (ARI)", "Adjusted Rand index of groups and clusters.", "at most 1",
         "Hubert & Arabie 1985"),
        ("ami", "Groups against clusters (AMI)", "Adjusted mutual information of groups and clusters.", "at most 1",
         "Vinh, Epps & Bailey 2010"),
        ("kept_together", "Pairs kept together", "Fraction of a cluster's pairs that people put together.", "0 to 1"),
        ("split_by_people", "Cluster split by people", "1 where the interval of kept_together is below a half.",
         "0 or 1"),
        ("unknown_answers", "Answers to unknown images", "Answers to images that are in no cluster now.", "answers"),
    ),
    *_metrics(
        "pairs", "reward", REWARD,
        ("images", "Images with likes and a prompt", "Kept images that share a prompt with another and have likes.",
         "images"),
        ("images_not_drawn", "Images left out by drawing",
         "Images of prompts with more than pairs.images_per_prompt, beyond those that are compared.", "images"),
        ("prompts", "Prompts", "Prompts with two such images or more.", "prompts"),
        ("compared", "Pairs compared", "Pairs of those images within a prompt.", "pairs"),
        ("clear", "Clear pairs", "Pairs of which one is clearly liked more.", "pairs"),
        ("pairs_not_drawn", "Pairs left out by drawing",
         "Clear pairs of prompts with more than pairs.pairs_per_prompt, beyond those that are kept.", "pairs"),
        ("matched", "Matched pairs", "Clear pairs whose images were posted alike.", "pairs"),
        ("joined", "Joined prompts", "Prompts that count as another one, to which they are near.", "prompts"),
        ("judged", "Judged pairs", "Pairs from files of human judgements.", "pairs"),
    ),
    *_metrics(
        "reward", "reward", REWARD,
        ("accuracy", "Accuracy", "Fraction of held-out matched pairs that the scorer puts in the right order.",
         "0 to 1"),
        ("gain", "Gain in accuracy", "Accuracy of the reward model less that of another scorer, on the same pairs.",
         "-1 to 1"),
        ("p_value", "p-value", "Probability of an accuracy as far from a half by chance.", "0 to 1",
         "Winkler et al. 2015"),
        ("swapped", "Accuracy with other images",
         "Accuracy where images of another prompt by other authors stand for the two; a half where only images count.",
         "0 to 1"),
        ("accuracy_within", "Accuracy within a stratum", "Accuracy on a part of the held-out pairs.", "0 to 1"),
        ("stated_accuracy", "Stated accuracy", "Mean probability that the model gives its own choice, by fifths.",
         "0 to 1", "Naeini et al. 2015"),
        ("seen_accuracy", "Seen accuracy", "Accuracy on the same fifths of the pairs.", "0 to 1", "Naeini et al. 2015"),
        ("prefers_followers", "Prefers the larger author",
         "Fraction of held-out pairs of two bands of followers of which the model prefers the larger author's image.",
         "0 to 1"),
        ("prefers_followers_gain", "Prefers the larger author: difference",
         "The same of the model trained without matching, less that of the reward model.", "-1 to 1"),
        ("tau", "Kendall's tau with the likes", "Agreement of the scores of a prompt's images with their likes.",
         "-1 to 1", "Kendall 1945"),
        ("trained_on", "Training pairs", "Pairs that a fold's model was trained on, the mean over folds.", "pairs"),
        ("without_vectors", "Pairs without vectors", "Pairs of which an image or the prompt has no vector.", "pairs"),
        ("scored", "Images scored", "Kept images that the model scored, by what the text is that they are scored for.",
         "images"),
        ("loss", "Loss",
         "Mean loss of the final model by epoch; epoch 0 is the encoder's own, or the head's if both are trained.",
         "loss"),
    ),
)  # fmt: skip

# Measures of one corpus that are computed in other ways too, beside those of pairs of corpora.
_OF_CORPORA = frozenset({"pair_distance", "entropy", "iev", "pmv", "vendi", "effective_rank", "generalised_variance"})


# Headlines of other sections.
_OF_OTHERS = frozenset({
    ("likes_regression", "poisson_score"), ("variation", "share_explained"), ("variation", "variance_component"),
    ("trends", "share"), ("trends", "relative_change"), ("trends", "arrow"), ("nsfw", "share_above"),
})  # fmt: skip


def _in_other_ways() -> list[Metric]:
    """Return the entries of what is computed by a second encoder, or without some images, as well."""
    both = [
        m for m in _MEASURED
        if (m.analysis == "distinctiveness" and m.name != "p_same")
        or (m.analysis == "variation" and m.name in _OF_CORPORA)
        or (m.analysis, m.name) in _OF_OTHERS
    ]  # fmt: skip
    return [replace(m, analysis="sensitivity", title=f"{m.title}, in another way", section=TABLE_ONLY) for m in both]


CATALOGUE: tuple[Metric, ...] = (
    *_MEASURED,
    *_in_other_ways(),
    *_metrics(
        "sensitivity", "robustness", "Kendall 1938",
        ("rank_agreement", "Agreement of ranks", "Kendall's tau-b of a measure as it is and in another way.",
         "-1 to 1"),
        ("left_out", "Images left out", "Fraction of a corpus' images that are likely not generated.", "0 to 1",
         "Wilson 1927"),
        ("nearest_share", "Nearest reference",
         "Fraction of the posts' images whose nearest reference image is in this reference.", "0 to 1"),
    ),
)  # fmt: skip
ANALYSES: tuple[str, ...] = tuple(dict.fromkeys(metric.analysis for metric in CATALOGUE))


def find(analysis: str, name: str) -> Metric | None:
    """Return the entry of a row of `results`, or None where the catalogue has none."""
    return next((m for m in CATALOGUE if m.analysis == analysis and m.name == name), None)


def describes(result: Result) -> bool:
    """Return whether the catalogue has the result's metric, with all of its labels."""
    entry = find(result.analysis, result.metric)
    return entry is not None and set(result.labels) <= set(entry.labels)


def analyses_of(section: str) -> frozenset[str]:
    """Return the analyses whose metrics a section of the report shows; table-only ones go with their analysis."""
    return frozenset(m.analysis for m in CATALOGUE if m.section == section)


def format_markdown() -> str:
    """Return docs/metrics.md: a table for each analysis."""
    parts = [HEAD]
    for analysis in ANALYSES:
        labels = ", ".join(f"`{name}`" for name in LABELS[analysis])
        parts.append(
            f"\n## `{analysis}`\n\n{f'Labels: {labels}.' if labels else 'No labels.'}\n\n"
            "| metric | title | meaning | scale | source | report |\n|---|---|---|---|---|---|\n"
        )
        parts += [_format_row(m) for m in CATALOGUE if m.analysis == analysis]
    return "".join(parts)


def _format_row(m: Metric) -> str:
    shown = "table only" if m.section == TABLE_ONLY else m.section
    cells = (f"`{m.name}`", m.title, m.meaning, m.scale, m.source, shown)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"
