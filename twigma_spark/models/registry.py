"""Plain mappings to model specs: the kinds are written out here, and unknown keys are reported."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar, cast

from twigma_spark.errors import ModelError
from twigma_spark.models.base import Model
from twigma_spark.models.blip import BlipCaptioner
from twigma_spark.models.clip import ClipImage, ClipText
from twigma_spark.models.clip_source import ClipSource
from twigma_spark.models.device import resolve_precision
from twigma_spark.models.heads import HEAD_KINDS, HeadSpec
from twigma_spark.models.hpsv2 import HpsV2
from twigma_spark.models.image_input import check_decoder
from twigma_spark.models.imagereward import ImageReward
from twigma_spark.models.onnx import OnnxEncoder, OnnxNet, OnnxScorer
from twigma_spark.models.pickscore import PickScore
from twigma_spark.models.reward_scorer import RewardScorer

Settings = Mapping[str, Any]
Scorer = HeadSpec | OnnxScorer | RewardScorer
T = TypeVar("T")
_Builder = Callable[[str, dict[str, Any], str], T]


@dataclass(frozen=True)
class _SavedReward:
    """What is said of a saved reward model; the rest is in its folder."""

    path: str
    prompt: str = ""


def image_encoder(settings: Settings, device: str = "cpu") -> Model:
    """Return the spec of an image encoder.

    Args:
        settings: `kind` ("open_clip" or "onnx") and the fields of that kind's records, flat: for
            "open_clip" name, pretrained, path, precision, decode, max_pixels; for "onnx" those of
            `onnx.OnnxNet` and normalise. Keys that are None count as absent.
        device: What the workers run on, "cpu" or "cuda"; `precision: auto` is resolved for it here, once.

    Raises:
        ModelError: An unknown kind or key, a missing key, or a value that no model takes.
    """
    return _build("image encoder", _IMAGE_ENCODERS, settings, device)


def text_encoder(settings: Settings, device: str = "cpu") -> Model:
    """Return the spec of a text encoder: kind "open_clip" with name, pretrained, path, precision.

    Args:
        settings: As for `image_encoder`; its keys for images (decode, max_pixels) are let pass, so that one
            section can describe both towers.
        device: See `image_encoder`.

    Raises:
        ModelError: See `image_encoder`.
    """
    return _build("text encoder", _TEXT_ENCODERS, settings, device)


def captioner(settings: Settings, device: str = "cpu") -> Model:
    """Return the spec of a captioner: kind "blip" with the fields of `blip.BlipCaptioner`.

    Raises:
        ModelError: See `image_encoder`.
    """
    return _build("captioner", _CAPTIONERS, settings, device)


def scorer(settings: Settings, device: str = "cpu") -> Scorer:
    """Return the spec of a scorer; its `consumes` is "embedding" or "image".

    Args:
        settings: kind "laion_nsfw", "laion_aesthetic" or "linear" with the fields of `heads.HeadSpec`;
            "onnx_classes" with those of `onnx.OnnxNet`, classes and positive; or "reward" with the path of a saved
            reward model and the prompt of images that have none.
        device: See `image_encoder`.

    Raises:
        ModelError: See `image_encoder`.
    """
    return _build("scorer", _SCORERS, settings, device)


def baseline(settings: Settings, device: str = "cpu") -> Model:
    """Return the spec of a published reward model: kind "pickscore", "hpsv2" or "imagereward", and its record's fields.

    Raises:
        ModelError: See `image_encoder`.
    """
    return _build("baseline", _BASELINES, settings, device)


def _build(what: str, kinds: Mapping[str, _Builder[T]], settings: Settings, device: str) -> T:
    values = {key: value for key, value in settings.items() if value is not None}
    kind = values.pop("kind", None)
    if kind not in kinds:
        raise ModelError(f"kind of {what} must be one of {', '.join(kinds)}. Got {kind!r}.")
    return kinds[kind](kind, values, device)


def _clip_image(kind: str, settings: dict[str, Any], device: str) -> ClipImage:
    source, rest = _split(ClipSource, settings)
    return _record(ClipImage, kind, _resolve_precision(rest, device), source=source)


def _clip_text(kind: str, settings: dict[str, Any], device: str) -> ClipText:
    source, rest = _split(ClipSource, settings)
    kept = {key: value for key, value in rest.items() if key not in ("decode", "max_pixels")}
    return _record(ClipText, kind, _resolve_precision(kept, device), source=source)


def _onnx_encoder(kind: str, settings: dict[str, Any], device: str) -> OnnxEncoder:
    net, rest = _split(OnnxNet, settings, kind)
    return _record(OnnxEncoder, kind, _only_fp32(rest, kind), net=net)


def _onnx_scorer(kind: str, settings: dict[str, Any], device: str) -> OnnxScorer:
    net, rest = _split(OnnxNet, settings, kind)
    return _record(OnnxScorer, kind, _only_fp32(rest, kind), net=net)


def _blip(kind: str, settings: dict[str, Any], device: str) -> BlipCaptioner:
    return _record(BlipCaptioner, kind, _resolve_precision(settings, device))


def _pickscore(kind: str, settings: dict[str, Any], device: str) -> PickScore:
    return _record(PickScore, kind, _resolve_precision(settings, device))


def _hpsv2(kind: str, settings: dict[str, Any], device: str) -> HpsV2:
    return _record(HpsV2, kind, _resolve_precision(settings, device))


def _imagereward(kind: str, settings: dict[str, Any], device: str) -> ImageReward:
    return _record(ImageReward, kind, _resolve_precision(settings, device))


def _head(kind: str, settings: dict[str, Any], device: str) -> HeadSpec:
    return _record(HeadSpec, kind, {**settings, "kind": kind})


def _reward(kind: str, settings: dict[str, Any], device: str) -> RewardScorer:
    saved = _record(_SavedReward, kind, settings)
    return RewardScorer.of_folder(Path(saved.path), saved.prompt)


_IMAGE_ENCODERS: Mapping[str, _Builder[Model]] = {"open_clip": _clip_image, "onnx": _onnx_encoder}
_TEXT_ENCODERS: Mapping[str, _Builder[Model]] = {"open_clip": _clip_text}
_CAPTIONERS: Mapping[str, _Builder[Model]] = {"blip": _blip}
_SCORERS: Mapping[str, _Builder[Scorer]] = {
    **dict.fromkeys(HEAD_KINDS, _head),
    "onnx_classes": _onnx_scorer,
    "reward": _reward,
}
_BASELINES: Mapping[str, _Builder[Model]] = {"pickscore": _pickscore, "hpsv2": _hpsv2, "imagereward": _imagereward}


def _split(part: type[T], settings: dict[str, Any], kind: str = "open_clip") -> tuple[T, dict[str, Any]]:
    """Return the record `part` made of its own keys, and the other keys."""
    names = {each.name for each in fields(cast(Any, part))}
    own = {key: value for key, value in settings.items() if key in names}
    return _record(part, kind, own), {key: value for key, value in settings.items() if key not in names}


def _record(record: type[T], kind: str, settings: dict[str, Any], **made: Any) -> T:
    """Return `record` with its fields set; lists become tuples, so that the record can be a key.

    Raises:
        ModelError: A key that it does not have, or one that it lacks.
    """
    known = {each.name: each for each in fields(cast(Any, record))}
    unknown = sorted(set(settings) - set(known))
    if unknown:
        names = ", ".join(sorted(set(known) - set(made)))
        raise ModelError(f"keys of a model of kind {kind!r} must be among {names}. Got {', '.join(unknown)}.")
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in settings.items()}
    missing = [name for name, each in known.items() if each.default is MISSING and name not in {**values, **made}]
    if missing:
        raise ModelError(f"a model of kind {kind!r} must be given {', '.join(missing)}. Got {sorted(settings)!r}.")
    return record(**values, **made)


def _resolve_precision(settings: dict[str, Any], device: str) -> dict[str, Any]:
    check_decoder(settings.get("decode", "fast"), device)
    return {**settings, "precision": resolve_precision(settings.get("precision", "fp32"), device)}


def _only_fp32(settings: dict[str, Any], kind: str) -> dict[str, Any]:
    """Return the keys without `precision`: an ONNX file has its own, and onnxruntime keeps to it."""
    if settings.get("precision", "fp32") not in ("fp32", "auto"):
        raise ModelError(f"precision of kind {kind!r} must be fp32 or auto. Got {settings['precision']!r}.")
    return {key: value for key, value in settings.items() if key != "precision"}
