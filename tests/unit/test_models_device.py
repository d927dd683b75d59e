"""Device and precision from plain values; one loaded model a process."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass

import pytest

from twigma_spark.errors import ModelError
from twigma_spark.models import cache
from twigma_spark.models.base import Array, Loaded
from twigma_spark.models.device import cpu_features, limit_threads, pick_device, resolve_precision, torch_threads


@pytest.mark.parametrize(
    ("addresses", "visible", "count", "device"),
    [
        (None, None, 0, "cpu"),
        (None, None, 2, "cuda:0"),
        ([], "", 0, "cpu"),
        (["3"], None, 0, "cuda:3"),
        (["1"], "1", 1, "cuda:0"),  # the cluster manager hid the others
        (["5"], "0", 1, "cuda:0"),
        (["3"], "2, 3", 2, "cuda:1"),
        (["1"], "", 2, "cuda:1"),
    ],
)
def test_device(addresses: list[str] | None, visible: str | None, count: int, device: str) -> None:
    assert pick_device(addresses, visible, count) == device


@pytest.mark.parametrize(
    ("precision", "device", "flags", "resolved"),
    [
        ("auto", "cpu", {"avx2"}, "fp32"),
        ("auto", "cpu", {"avx2", "amx_bf16"}, "bf16"),
        ("auto", "cpu", {"avx512_bf16"}, "bf16"),
        ("auto", "cuda:0", set(), "fp16"),
        ("auto", "cuda", set(), "fp16"),
        ("fp32", "cuda:0", {"amx_bf16"}, "fp32"),
        ("bf16", "cpu", set(), "bf16"),
    ],
)
def test_precision(precision: str, device: str, flags: set[str], resolved: str) -> None:
    assert resolve_precision(precision, device, frozenset(flags)) == resolved


def test_precision_refusals() -> None:
    with pytest.raises(ModelError, match="precision must be one of auto, fp32"):
        resolve_precision("int8", "cpu")
    with pytest.raises(ModelError, match="on a CPU"):
        resolve_precision("fp16", "cpu")


def test_cpu_features_can_always_be_asked() -> None:
    assert isinstance(cpu_features(), frozenset)


def test_threads() -> None:
    import torch

    before = torch.get_num_threads()
    try:
        limit_threads(None)
        assert torch.get_num_threads() == before
        limit_threads(1)
        assert torch.get_num_threads() == 1
        with pytest.raises(ModelError, match="threads must be at least 1"):
            limit_threads(0)
        torch.set_num_threads(2)
        with torch_threads(None):
            assert torch.get_num_threads() == 2
        with pytest.raises(KeyError), torch_threads(1):
            assert torch.get_num_threads() == 1
            raise KeyError
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


class Nothing(Loaded):
    def prepare(self, item: object) -> Array:
        raise NotImplementedError

    forward = prepare

    def empty(self) -> Array:
        raise NotImplementedError


@dataclass(frozen=True)
class Spec:
    model_id: str
    preprocess_rev: str = "none"

    def setup(self, device: str = "cpu", threads: int | None = None) -> Loaded:
        return Nothing()


def test_the_cache_keeps_one_model_a_process() -> None:
    cache.clear()
    first = cache.load(Spec("a"))
    assert cache.load(Spec("a")) is first
    second = cache.load(Spec("b"))
    assert second is not first
    assert cache.load(Spec("b")) is second
    assert cache.load(Spec("a")) is not first
    assert len(cache._held) == 1
    cache.clear()
    assert not cache._held


def test_models_need_neither_spark_nor_tables() -> None:
    """As on a machine with a GPU that has torch, torchvision, transformers, open_clip, numpy and Pillow alone."""
    code = """
import importlib, pkgutil, sys
others = "pyspark", "delta", "pandas", "pyarrow", "pydantic", "typer", "scipy", "sklearn", "faiss", "statsmodels"
sys.modules.update(dict.fromkeys(others))
from twigma_spark import models
for module in pkgutil.iter_modules(models.__path__, "twigma_spark.models."):
    importlib.import_module(module.name)
import twigma_spark.estimators.torch_index
from twigma_spark.models.clip import ClipImage
from twigma_spark.models.clip_source import ClipSource
from twigma_spark.models.runner import run_batches
loaded = ClipImage(ClipSource(path="sample:clip")).setup()
print(next(run_batches([[b"text"]], loaded)).errors)
"""
    env = {**os.environ, "USE_TF": "0"}
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env)
    assert ended.returncode == 0, ended.stderr
    assert "not_an_image" in ended.stdout
