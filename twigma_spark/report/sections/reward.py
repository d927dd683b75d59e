"""The section on the reward model: how well it tells what is liked, beside other scorers, and what it goes by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from twigma_spark.report.data import ReportData
from twigma_spark.report.figures import Figure, colour, error_bars, figure, label
from twigma_spark.report.numbers import count, interval, number, percent, percent_interval
from twigma_spark.report.section import Finding, ReportSection
from twigma_spark.results import Result

OWN, UNMATCHED, RANDOM = "reward", "reward without matching", "random"
NAMES = {
    OWN: "reward model",
    UNMATCHED: "reward model without matching",
    "reward without NSFW": "reward model without NSFW pairs",
    "reward, fine-tuned": "reward model, fine-tuned",
    RANDOM: "random order",
}
POPULARITY = {
    "like_count": "likes", "retweet_count": "reposts", "reply_count": "replies", "quote_count": "quotes",
}  # fmt: skip
TEXTS = {"prompt": "prompt", "human caption": "own caption", "caption": "caption by the model"}
PAIR_COUNTS = {
    "images": "{} images with {} share a prompt with another",
    "images_not_drawn": "{} more of prompts with many are not compared",
    "joined": "{} prompts count as another one that is near",
    "prompts": "they have {} prompts",
    "compared": "and make {} pairs within a prompt",
    "clear": "in {} one is clearly liked more",
    "pairs_not_drawn": "{} more of prompts with many are not kept",
    "matched": "{} of the kept ones are matched, that is, posted alike",
    "judged": "{} more were judged by people",
}
MARKER = {"size": 10, "color": colour(0)}
CHANCE = {"line": {"color": "#8886", "dash": "dot"}, "mode": "lines", "hoverinfo": "skip", "showlegend": False}


def context(data: ReportData) -> dict[str, object]:
    """Return the charts, the table of scorers, what the models go by, the counts of pairs and why there is no model."""
    rows = _scorers(data)
    absent = [r.method for r in data.select("reward", "accuracy") if r.estimate is None]
    return {
        "pairs": _describe_pairs(data),
        "charts": [accuracy_chart([r for r in rows if r.labels["scorer"] != RANDOM])] if rows else [],
        "rows": [_with_gain(data, r) for r in rows],
        "p_value": data.get("reward", "p_value"),
        "checks": _checks(data),
        "details": [c for c in (_strata_chart(data), _calibration_chart(data), _loss_chart(data)) if c],
        "trained_on": [(NAMES.get(n, n), r) for n, r in data.by_label("reward", "trained_on", "scorer").items()],
        "missing": data.get("reward", "without_vectors"),
        "scored": [(TEXTS.get(s, s), r) for s, r in data.by_label("reward", "scored", "source").items()],
        "absent": absent,
        "popularity": POPULARITY[data.popularity],
        "shown": [("Surest and right", data.reward_pairs_right), ("Surest and wrong", data.reward_pairs_wrong)],
    }


def _describe_pairs(data: ReportData) -> str:
    """Return how many pairs came of how many images; "" where none were looked for."""
    counts = {name: r for name in PAIR_COUNTS if (r := data.get("pairs", name)) and r.estimate}
    words = POPULARITY[data.popularity]
    return "; ".join(PAIR_COUNTS[name].format(count(int(r.estimate or 0)), words) for name, r in counts.items())


def _scorers(data: ReportData) -> list[Result]:
    """Return the accuracies, the reward model's first, then the best first."""
    known = [r for r in data.select("reward", "accuracy") if r.estimate is not None]
    return sorted(known, key=lambda r: (r.labels["scorer"] != OWN, -(r.estimate or 0.0), r.labels["scorer"]))


def _with_gain(data: ReportData, row: Result) -> tuple[str, Result, Result | None, Result | None]:
    """Return name, accuracy, the reward model's gain over it, and Kendall's tau."""
    scorer = row.labels["scorer"]
    by_scorer = data.by_label("reward", "gain", "scorer"), data.by_label("reward", "tau", "scorer")
    return NAMES.get(scorer, scorer), row, by_scorer[0].get(scorer), by_scorer[1].get(scorer)


def accuracy_chart(rows: Sequence[Result]) -> Figure:
    """Return a point with its interval for each scorer, and the line of chance."""
    names = [label(NAMES.get(r.labels["scorer"], r.labels["scorer"])) for r in rows]
    colours = [colour(0 if r.labels["scorer"] == OWN else 9) for r in rows]
    caption = (
        f"How often each scorer puts the image first that is liked more, n = {count(rows[0].n)} held-out pairs of one "
        "prompt that were posted alike; none of their authors and prompts was trained on. Half is chance (dotted); 95% "
        "intervals by resampling prompts."
    )
    return _accuracies("fig-reward", names, rows, 130 + 42 * len(rows), caption, {"size": 11, "color": colours})


def _accuracies(
    name: str,
    names: Sequence[str],
    rows: Sequence[Result],
    height: int,
    caption: str,
    marker: Mapping[str, object] = MARKER,
) -> Figure:
    """Return accuracies as points one below the other, with their intervals and the line of chance."""
    points = _points(rows, marker, x=_estimates(rows), y=names, error_x=_bars(rows))
    chance = go.Scatter(x=[0.5, 0.5], y=[names[0], names[-1]], **CHANCE)
    layout = {
        "height": height,
        "xaxis": {"title": {"text": "held-out pairs in the right order"}, "tickformat": ".0%"},
        "yaxis": {
            "autorange": "reversed", "showgrid": False, "automargin": True, "categoryorder": "array",
            "categoryarray": names,
        },
        "showlegend": False,
    }  # fmt: skip
    return figure(name, [chance, points], layout, caption)


def _points(rows: Sequence[Result], marker: Mapping[str, object], **axes: object) -> go.Scatter:
    """Return points that say their accuracy, interval and n; `axes` are their places and error bars."""
    value = "%{x:.1%}" if "error_x" in axes else "%{y:.1%}"
    return go.Scatter(
        **axes,
        mode="markers",
        marker=dict(marker),
        customdata=[[_ends(r), count(r.n)] for r in rows],
        hovertemplate=f"{value} %{{customdata[0]}}, n = %{{customdata[1]}}<extra></extra>",
    )


def _estimates(rows: Sequence[Result]) -> list[float]:
    return [r.estimate or 0.0 for r in rows]


def _bars(rows: Sequence[Result]) -> dict[str, object]:
    return {"type": "data", **error_bars(rows), "thickness": 1.6}


def _ends(result: Result) -> str:
    return percent_interval(result.low, result.high)


def _checks(data: ReportData) -> list[tuple[str, Result]]:
    """Return what tells whether the model sees the image: other images instead, and the larger author."""
    prefers = data.by_label("reward", "prefers_followers", "scorer")
    named = [
        ("accuracy with two other images instead; half is right", data.get("reward", "swapped")),
        ("prefers the image of the author with more followers: trained on matched pairs", prefers.get(OWN)),
        ("the same: trained on all pairs, matched or not", prefers.get(UNMATCHED)),
        ("difference of the last two", data.get("reward", "prefers_followers_gain")),
    ]
    return [(name, r) for name, r in named if r is not None]


def _strata_chart(data: ReportData) -> Figure | None:
    rows = [r for r in data.select("reward", "accuracy_within") if r.estimate is not None]
    if not rows:
        return None
    rows.sort(key=lambda r: (r.labels["by"], _first_number(r.labels["level"])))
    names = [label(f"{r.labels['by']}: {r.labels['level']}") for r in rows]
    caption = (
        "The reward model's accuracy by how much more one image is liked, by the time between the posts and by cluster."
    )
    return _accuracies("fig-reward-strata", names, rows, 110 + 30 * len(rows), caption)


def _first_number(level: str) -> float:
    """Return what a level is sorted by: "below 2 times" comes before "2 to 4 times"."""
    numbers = [float(word) for word in level.split() if word.replace(".", "", 1).isdigit()]
    return (numbers[0] - 0.5 if level.startswith("below") else numbers[0]) if numbers else 0.0


def _calibration_chart(data: ReportData) -> Figure | None:
    stated, seen = (data.by_label("reward", f"{name}_accuracy", "bin") for name in ("stated", "seen"))
    pairs = [(stated[b], seen[b]) for b in sorted(seen) if b in stated and seen[b].estimate is not None]
    if not pairs:
        return None
    rows = [s for _, s in pairs]
    points = _points(rows, MARKER, x=_estimates([t for t, _ in pairs]), y=_estimates(rows), error_y=_bars(rows))
    layout = {
        "height": 330,
        "xaxis": {"title": {"text": "probability that the model gives its own choice"}, "tickformat": ".0%"},
        "yaxis": {"title": {"text": "how often it is right"}, "tickformat": ".0%"},
        "showlegend": False,
    }
    line = go.Scatter(x=[0.5, 1.0], y=[0.5, 1.0], **CHANCE)
    caption = (
        "Calibration: fifths of the held-out pairs by how sure the model is. On the dotted line it is as often right "
        "as it says."
    )
    return figure("fig-reward-calibration", [line, points], layout, caption)


def _loss_chart(data: ReportData) -> Figure | None:
    rows = data.select("reward", "loss")
    traces = []
    for place, part in enumerate(("training", "held out")):
        own = sorted((int(r.labels["epoch"]), r.estimate) for r in rows if r.has(part=part) and r.estimate is not None)
        x, y = [e for e, _ in own], [v for _, v in own]
        traces.append(go.Scatter(x=x, y=y, name=part, mode="lines", line={"color": colour(place)}))
    if not any(trace.x for trace in traces):
        return None
    layout = {
        "height": 300,
        "xaxis": {"title": {"text": "epoch"}, "showgrid": False},
        "yaxis": {"title": {"text": "mean loss"}},
    }
    kept = next((r.labels["epoch"] for r in rows if "were kept" in r.method), None)
    caption = f"Loss of the final model; epoch 0 is the encoder's own score. The weights of epoch {kept} were kept."
    return figure("fig-reward-loss", traces, layout, caption)


def findings(data: ReportData) -> list[Finding]:
    """Return how often the model tells what is liked; no claim where its interval holds a half."""
    own, gains = data.get("reward", "accuracy", scorer=OWN), data.by_label("reward", "gain", "scorer")
    if own is None or own.estimate is None or own.low is None or own.low <= 0.5:
        return []
    text = (
        f"Of two images of one prompt posted alike, the reward model tells which is liked more in "
        f"{percent(own.estimate)} {_ends(own)} of the pairs"
    )
    gain = gains.get("CLIP score")
    if gain is not None and gain.low is not None and gain.low > 0:
        ends = interval(100 * gain.low, 100 * (gain.high or 0.0))
        text += f", {number(100 * (gain.estimate or 0.0))} points {ends} more than CLIP's own score"
    return [Finding(f"{text}.", f"n = {count(own.n)} held-out pairs; {own.method}.")]


SECTION = ReportSection("reward", "What is liked: the reward model", context, findings)
