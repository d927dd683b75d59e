"""Settings to specs: every kind, `precision: auto`, and what is said about keys that no model has."""

from __future__ import annotations

import subprocess
import sys

import pytest

from twigma_spark.errors import ModelError
from twigma_spark.models.blip import BlipCaptioner
from twigma_spark.models.clip import ClipImage, ClipText
from twigma_spark.models.clip_source import ClipSource
from twigma_spark.models.device import resolve_precision
from twigma_spark.models.heads import HeadSpec
from twigma_spark.models.onnx import OnnxEncoder, OnnxNet, OnnxScorer
from twigma_spark.models.registry import captioner, image_encoder, scorer, text_encoder

PAPER = {"kind": "open_clip", "name": "ViT-L-14", "pretrained": "openai", "path": None}


def test_every_kind() -> None:
    source = ClipSource("ViT-L-14", "openai")
    assert image_encoder({**PAPER, "decode": "pillow"}) == ClipImage(source, decode="pillow")
    assert text_encoder({**PAPER, "decode": "pillow", "max_pixels": 9}) == ClipText(source)
    assert image_encoder({"kind": "onnx", "path": "x.onnx", "size": 64, "mean": [1, 2, 3]}) == OnnxEncoder(
        OnnxNet("x.onnx", size=64, mean=(1, 2, 3))
    )
    assert captioner({"kind": "blip", "name": "sample:blip", "num_beams": 3}) == BlipCaptioner(
        "sample:blip", num_beams=3
    )
    for kind in ("laion_nsfw", "laion_aesthetic", "linear"):
        assert scorer({"kind": kind, "path": "x"}) == HeadSpec(kind, "x")
        assert scorer({"kind": kind, "path": "x"}).consumes == "embedding"
    classes = {"kind": "onnx_classes", "path": "x.onnx", "classes": ["a", "b"], "positive": ["b"]}
    assert scorer(classes) == OnnxScorer(OnnxNet("x.onnx"), ("a", "b"), ("b",))
    assert scorer(classes).consumes == "image"


def test_auto_is_resolved_when_the_spec_is_made() -> None:
    assert image_encoder({**PAPER, "precision": "auto"}, device="cuda").precision == "fp16"  # type: ignore[attr-defined]
    here = image_encoder({**PAPER, "precision": "auto"})
    assert here.precision == resolve_precision("auto", "cpu")  # type: ignore[attr-defined]
    assert image_encoder({"kind": "onnx", "path": "x.onnx", "precision": "auto"})


@pytest.mark.parametrize(
    ("make", "settings", "message"),
    [
        (image_encoder, {"kind": "vgg"}, "kind of image encoder must be one of open_clip, onnx. Got 'vgg'"),
        (image_encoder, {}, "kind of image encoder must be one of"),
        (image_encoder, {**PAPER, "batch": 3}, "must be among decode, max_pixels, precision. Got batch"),
        (image_encoder, {"kind": "onnx"}, "must be given path"),
        (image_encoder, {"kind": "onnx", "path": "x", "precision": "bf16"}, "must be fp32 or auto"),
        (text_encoder, {"kind": "onnx", "path": "x"}, "kind of text encoder must be one of open_clip"),
        (captioner, {"kind": "blip"}, "must be given name"),
        (captioner, {"kind": "blip", "name": "x", "precision": "int4"}, "precision must be one of"),
        (scorer, {"kind": "linear"}, "must be given path"),
        (scorer, {"kind": "onnx_classes", "path": "x"}, "must be given classes, positive"),
    ],
)
def test_faults_are_told(make: object, settings: dict[str, object], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        make(settings)  # type: ignore[operator]


def test_specs_need_no_heavy_import() -> None:
    code = (
        "import sys; from twigma_spark.models import cache, heads, registry, runner;"
        "spec = registry.image_encoder(dict(kind='open_clip', name='ViT-L-14', pretrained='openai'));"
        "spec.model_id, spec.preprocess_rev, spec.dim;"
        "heavy = {'torch', 'open_clip', 'transformers', 'onnxruntime', 'pyspark'} & set(sys.modules);"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
