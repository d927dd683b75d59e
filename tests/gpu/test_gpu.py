"""On a GPU: the same vectors, captions and neighbours as on a CPU, and a batch that does not fit. Needs no Spark.

Without the rest of the packages: `python -m pytest --noconftest tests/gpu`.
"""

from __future__ import annotations

import io
import logging

import numpy as np
import pytest
import torch
from PIL import Image

from tests.bench.pictures import jpeg, pictures
from tests.jpegs import overfill_huffman_table
from twigma_spark.errors import ModelError
from twigma_spark.estimators.torch_index import TorchFlatIndex, cuda_devices
from twigma_spark.models import nvjpeg
from twigma_spark.models.blip import BlipCaptioner
from twigma_spark.models.clip import ClipImage, ClipText
from twigma_spark.models.clip_source import ClipSource
from twigma_spark.models.pixels import Preparation, prepare
from twigma_spark.models.reward import Reward
from twigma_spark.models.reward_head import Head
from twigma_spark.models.runner import run_batches

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")]

SAMPLE = ClipSource(path="sample:clip")
RANDOM = ClipSource(name="ViT-B-32", pretrained="random-3")


def mixed() -> list[bytes]:
    """Files of several sizes, formats and conditions; the last three cannot be used."""
    png, progressive, grey = io.BytesIO(), io.BytesIO(), io.BytesIO()
    image = Image.open(io.BytesIO(jpeg(5, 200)))
    image.save(png, "PNG")
    image.save(progressive, "JPEG", progressive=True)
    image.convert("L").save(grey, "JPEG")
    broken = overfill_huffman_table(jpeg(9, 300))
    sizes = [jpeg(seed, side) for seed, side in enumerate((96, 224, 288, 288, 640, 1536, 288))]
    return [*sizes, png.getvalue(), progressive.getvalue(), grey.getvalue(), broken, b"text", b""]


@pytest.mark.parametrize("source", [SAMPLE, RANDOM], ids=["sample", "vit-b-32"])
@pytest.mark.parametrize(
    ("decode", "precision", "least"),
    [("fast", "fp32", 0.99999), ("fast", "fp16", 0.9995), ("fast", "bf16", 0.999), ("nvjpeg", "fp16", 0.9995)],
)
def test_vectors_are_those_of_a_cpu(source: ClipSource, decode: str, precision: str, least: float) -> None:
    files = pictures(20, 288)
    cpu = ClipImage(source).setup("cpu")(files)
    gpu = ClipImage(source, precision=precision, decode=decode).setup("cuda:0")
    results = list(run_batches([files[:3], files[3:]], gpu, batch_size=6, decode_threads=3))
    vectors = np.stack([value for result in results for value in result.values])
    assert vectors.dtype == np.float32
    assert (vectors * cpu).sum(axis=1).min() >= least


@pytest.mark.parametrize("decode", ["fast", "nvjpeg"])
def test_bad_files_are_the_errors_of_a_cpu(decode: str) -> None:
    files = mixed()
    loaded = ClipImage(SAMPLE, decode=decode).setup("cuda:0")
    (result,) = run_batches([files], loaded, batch_size=5, decode_threads=2)
    (cpu,) = run_batches([files], ClipImage(SAMPLE).setup("cpu"), batch_size=5)
    assert result.errors == cpu.errors
    assert [value is None for value in result.values] == [False] * 10 + [True] * 3
    for ours, theirs in zip(result.values[:10], cpu.values[:10], strict=True):
        assert float(ours @ theirs) >= 0.9995


@pytest.mark.parametrize(("side", "levels"), [(96, 6), (288, 3), (1000, 1)])
def test_nvjpeg_is_near_the_fast_path(side: int, levels: int) -> None:
    # It repeats the halved colour channels where libjpeg interpolates them.
    how = Preparation(224, 224)
    content = jpeg(3, side)
    file = nvjpeg.read(content, how)
    assert file is not None
    images, errors = nvjpeg.decode({0: file}, how, "cuda:0")
    gap = np.abs(images[0].cpu().numpy() - prepare(content, how).astype(float))
    assert not errors
    assert gap.mean() < levels


def test_texts_and_captions_are_those_of_a_cpu() -> None:
    texts = ["a red dog", "two cats on a hill", ""]
    ours, theirs = (ClipText(SAMPLE).setup(device)(texts) for device in ("cuda:0", "cpu"))
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
    files = pictures(6, 96)
    ours, theirs = (BlipCaptioner("sample:blip").setup(device)(files) for device in ("cuda:0", "cpu"))
    assert ours == theirs


def test_rewards_and_their_gradients_are_those_of_a_cpu() -> None:
    files, encoder, prompt = pictures(6, 96), ClipImage(SAMPLE), ["a castle at night"]
    head, pixels = Head.identity(encoder.dim), torch.rand((2, 3, 64, 64), generator=torch.Generator().manual_seed(0))
    scores, slopes = [], []
    for device in ("cpu", "cuda:0"):
        model, own = Reward(head, encoder, device), pixels.to(device).requires_grad_()
        found = model.score(images=files, prompts=prompt, batch_size=4)
        assert found.dtype == torch.float32 and found.device == torch.device(device)
        model.score(images=own, prompts=prompt).sum().backward()
        assert own.grad is not None
        scores.append(found.cpu())
        slopes.append(own.grad.cpu())
    assert (scores[0] - scores[1]).abs().max() < 1e-3
    assert torch.nn.functional.cosine_similarity(*(slope.flatten() for slope in slopes), dim=0) > 0.99


def test_a_batch_that_does_not_fit_is_halved(caplog: pytest.LogCaptureFixture) -> None:
    files = pictures(512, 224)
    whole = ClipImage(RANDOM).setup("cuda:0")
    expected = np.stack(next(iter(run_batches([files], whole, batch_size=64, decode_threads=4))).values)
    torch.cuda.empty_cache()
    free, _ = torch.cuda.mem_get_info()
    filler = torch.empty(free - 600 * 2**20, dtype=torch.uint8, device="cuda:0")
    try:
        with caplog.at_level(logging.WARNING):
            (result,) = run_batches([files], whole, batch_size=512, decode_threads=4)
    finally:
        del filler
        torch.cuda.empty_cache()
    assert "GPU out of memory at batch size 512: going on with 256" in caplog.text
    np.testing.assert_allclose(np.stack(result.values), expected, atol=1e-4)


def test_nothing_fits() -> None:
    loaded = ClipImage(RANDOM).setup("cuda:0")
    file = pictures(1, 224)
    torch.cuda.empty_cache()
    free, _ = torch.cuda.mem_get_info()
    filler = [torch.empty(free - 4 * 2**20, dtype=torch.uint8, device="cuda:0")]
    try:
        while True:
            filler.append(torch.empty(2**18, dtype=torch.uint8, device="cuda:0"))
    except torch.cuda.OutOfMemoryError:
        pass
    try:
        with pytest.raises(ModelError, match="CUDA out of memory at batch size 1"):
            list(run_batches([file], loaded))
    finally:
        filler.clear()
        torch.cuda.empty_cache()


def test_neighbours_are_exact() -> None:
    rng = np.random.default_rng(1)
    references, queries = (rng.standard_normal((rows, 768), dtype=np.float32) for rows in (5000, 300))
    references /= np.linalg.norm(references, axis=1, keepdims=True)
    products, rows = TorchFlatIndex(references, cuda_devices()).search(queries, 8)
    exact = queries.astype(float) @ references.T.astype(float)
    np.testing.assert_array_equal(rows, np.argsort(-exact, axis=1)[:, :8])
    np.testing.assert_allclose(products, np.take_along_axis(exact, rows, axis=1), rtol=1e-5, atol=1e-5)
