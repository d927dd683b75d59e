"""Published reward models: tiny random ones in the published formats give what their own libraries give alone."""

from __future__ import annotations

import io
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.unit.test_models_clip import jpegs
from twigma_spark.errors import ModelError
from twigma_spark.models import registry, tiny
from twigma_spark.models.hpsv2 import HpsV2
from twigma_spark.models.imagereward import ImageReward
from twigma_spark.models.pickscore import PickScore
from twigma_spark.models.pixels import Preparation, prepare
from twigma_spark.models.prompted import Prompted
from twigma_spark.models.runner import run_batches

PROMPTS = ["a red dog on a hill", "two cats", "a red dog on a hill", "", "a castle at night " * 40, "two cats"]
SIZE = 32
AUTHORS = [0.07879, 0.12078, 0.16202, 0.21362, 0.06588, 0.1503]


@pytest.fixture(scope="module")
def items() -> list[Prompted]:
    return list(zip(jpegs(len(PROMPTS)), PROMPTS, strict=True))


@pytest.fixture(scope="module")
def pickscore(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random CLIPModel as transformers saves it, with a logit scale of its own."""
    import torch
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel

    folder, words = tmp_path_factory.mktemp("models") / "pick", tiny.vocabulary(PROMPTS)
    layers = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    # Padding, start and end as in `tiny.save_tokenizer`.
    text = {"vocab_size": len(words), "max_position_embeddings": 12, "pad_token_id": 0, "bos_token_id": 2,
            "eos_token_id": 3, **layers}  # fmt: skip
    vision = {"image_size": SIZE, "patch_size": 8, **layers}
    torch.manual_seed(1)
    model = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=12))
    with torch.no_grad():
        model.logit_scale.fill_(4.25)
        for value in model.parameters():
            if value.ndim > 1:
                value.mul_(5)  # so that scores differ from image to image
    model.save_pretrained(folder)
    CLIPImageProcessor(size={"shortest_edge": SIZE}, crop_size=SIZE).save_pretrained(folder)
    tiny.save_tokenizer(folder, words)
    return folder


@pytest.fixture(scope="module")
def hpsv2(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return write_hpsv2(tmp_path_factory)


def write_hpsv2(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Write an architecture and weights as HPSv2's: a state dict in a .pt; open_clip's own tokenizer."""
    import open_clip
    import torch

    folder = tmp_path_factory.mktemp("models")
    config = {
        "embed_dim": 16,
        "vision_cfg": {"image_size": SIZE, "layers": 2, "width": 64, "patch_size": 8},
        "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
    }
    (folder / "tiny-h.json").write_text(json.dumps(config))
    torch.manual_seed(2)
    weights = open_clip.CLIP(**config).state_dict()
    torch.save({"state_dict": weights, "epoch": 7}, folder / "HPS_tiny.pt")
    return folder / "tiny-h.json", folder / "HPS_tiny.pt"


def test_pickscore_is_the_logit_of_the_clip_model(pickscore: Path, items: list[Prompted]) -> None:
    import torch
    from transformers import AutoTokenizer, CLIPModel

    model, tokenizer = CLIPModel.from_pretrained(pickscore), AutoTokenizer.from_pretrained(pickscore)
    pixels = np.stack(
        [prepare(content, Preparation(SIZE, SIZE, decode="pillow", cut_down=True)) for content, _ in items]
    )
    mean, std = (np.array(v, np.float32).reshape(1, 3, 1, 1) for v in (tiny.MEAN, tiny.STD))
    tokens = tokenizer(PROMPTS, padding=True, truncation=True, max_length=12, return_tensors="pt")
    with torch.no_grad():
        found = model(
            input_ids=tokens["input_ids"],
            attention_mask=tokens["attention_mask"],
            pixel_values=torch.from_numpy((pixels.astype(np.float32) / 255 - mean) / std),
        )
    expected = found.logits_per_image.diagonal().numpy()
    scores = np.array(PickScore(str(pickscore), decode="pillow").setup()(items))
    np.testing.assert_allclose(scores, expected, rtol=1e-4, atol=1e-4)
    assert np.ptp(expected) > 1 and np.abs(expected).max() < np.exp(4.25)


def test_pickscore_prepares_images_as_its_processor_does(pickscore: Path) -> None:
    from transformers import CLIPImageProcessor

    content = jpegs(1)[0]
    image = Image.open(io.BytesIO(content)).convert("RGB")
    theirs = CLIPImageProcessor.from_pretrained(pickscore)(image, return_tensors="np")["pixel_values"][0]
    loaded = PickScore(str(pickscore)).setup()
    ours = loaded._images.tensor([loaded.prepare((content, ""))[0]])[0][0].numpy()
    assert np.abs(ours - theirs).max() < 4 / 255 / min(tiny.STD)


def alone(config: Path, weights: Path, items: list[Prompted]) -> np.ndarray:
    """HPSv2 as its authors compute it: the longer side to the network's, black around, the cosine."""
    import open_clip
    import torch
    from torchvision.transforms import functional as tf

    model = open_clip.CLIP(**json.loads(config.read_text())).eval()
    model.load_state_dict(torch.load(weights, weights_only=True)["state_dict"])
    batch = []
    for content, _ in items:
        image = Image.open(io.BytesIO(content)).convert("RGB")
        scale = SIZE / max(image.size)
        image = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.BICUBIC)
        wide, high = SIZE - image.width, SIZE - image.height
        padded = tf.pad(image, [wide // 2, high // 2, wide - wide // 2, high - high // 2], fill=0)
        batch.append(tf.normalize(tf.to_tensor(padded), tiny.MEAN, tiny.STD))
    with torch.no_grad():
        images = model.encode_image(torch.stack(batch), normalize=True)
        texts = model.encode_text(open_clip.get_tokenizer("ViT-H-14")([prompt for _, prompt in items]), normalize=True)
    return (images * texts).sum(-1).numpy()


def test_hpsv2_is_the_cosine_of_open_clip(hpsv2: tuple[Path, Path], items: list[Prompted]) -> None:
    config, weights = hpsv2
    expected = alone(config, weights, items)
    spec = HpsV2(str(weights), str(config), decode="pillow")
    np.testing.assert_allclose(np.array(spec.setup()(items)), expected, atol=1e-5)
    assert np.ptp(expected) > 0.01
    assert spec.model_id.startswith("hpsv2/tiny-h@") and spec.model_id.endswith("/pillow-v1/fp32/32-longest")


def write_imagereward(folder: Path) -> None:
    """Write weights in the names of the authors' package, and a tokenizer."""
    import torch

    words, width = tiny.vocabulary(PROMPTS), 64
    image, text = "blip.visual_encoder.", "blip.text_encoder."
    block, layer = f"{image}blocks.0.", f"{text}encoder.layer.0."
    places = (SIZE // 16) ** 2 + 1
    shapes: dict[str, tuple[int, ...]] = {
        f"{image}cls_token": (1, 1, width), f"{image}pos_embed": (1, places, width),
        f"{image}patch_embed.proj.weight": (width, 3, 16, 16), f"{block}attn.qkv.weight": (3 * width, width),
        f"{block}attn.proj.weight": (width, width), f"{block}mlp.fc1.weight": (96, width),
        f"{block}mlp.fc2.weight": (width, 96), f"{block}norm1.weight": (width,), f"{block}norm2.weight": (width,),
        f"{image}norm.weight": (width,),
        f"{text}embeddings.word_embeddings.weight": (len(words), width),
        f"{text}embeddings.position_embeddings.weight": (40, width), f"{text}embeddings.LayerNorm.weight": (width,),
        f"{layer}intermediate.dense.weight": (80, width), f"{layer}output.dense.weight": (width, 80),
        f"{layer}output.LayerNorm.weight": (width,),
        "mlp.layers.0.weight": (32, width), "mlp.layers.2.weight": (8, 32), "mlp.layers.4.weight": (1, 8),
    }  # fmt: skip
    for kind in ("attention", "crossattention"):
        shapes |= {f"{layer}{kind}.self.{name}.weight": (width, width) for name in ("query", "key", "value")}
        shapes |= {f"{layer}{kind}.output.dense.weight": (width, width)}
        shapes |= {f"{layer}{kind}.output.LayerNorm.weight": (width,)}
    shapes |= {
        n.replace(".weight", ".bias"): s[:1] for n, s in shapes.items() if n.endswith("weight") and "emb" not in n
    }
    shapes[f"{image}patch_embed.proj.bias"] = shapes[f"{text}embeddings.LayerNorm.bias"] = (width,)
    rng = np.random.default_rng(9)
    weights = {
        name: torch.from_numpy(
            rng.normal(float("orm" in name and name.endswith("weight")), 0.12, shapes[name]).astype(np.float32)
        )
        for name in sorted(shapes)
    }
    weights[f"{text}embeddings.position_ids"] = torch.arange(40)[None]
    torch.save(weights, folder / "ImageReward.pt")
    tiny.save_tokenizer(folder / "tokenizer", words)


def test_imagereward_gives_the_numbers_of_its_authors_package(tmp_path: Path, items: list[Prompted]) -> None:
    write_imagereward(tmp_path)
    spec = ImageReward(str(tmp_path / "ImageReward.pt"), str(tmp_path / "tokenizer"), decode="pillow")
    # Of BLIP_Pretrain's two encoders of image-reward 1.5 with these weights, its layers, and these pixels and tokens.
    np.testing.assert_allclose(np.array(spec.setup()(items)), AUTHORS, atol=1e-4)
    assert spec.model_id.startswith("imagereward/ImageReward@") and np.ptp(AUTHORS) > 0.1


def test_a_bad_image_is_an_error_and_the_others_have_scores(pickscore: Path, items: list[Prompted]) -> None:
    loaded = pickle.loads(pickle.dumps(PickScore(str(pickscore)))).setup()  # noqa: S301
    whole = np.array(loaded(items))
    mixed = [items[0], (b"no image", "two cats"), *items[1:]]
    (result,) = run_batches([mixed], loaded, batch_size=2)
    assert [error is None for error in result.errors] == [True, False, *[True] * (len(items) - 1)]
    np.testing.assert_allclose([v for v in result.values if v is not None], whole, rtol=1e-4)
    assert len(loaded([])) == 0


@pytest.mark.parametrize("shape", [(90, 61), (61, 90), (200, 3), (40, 40)])
def test_the_longer_side_fits_and_the_rest_is_black(shape: tuple[int, int]) -> None:
    out = io.BytesIO()
    Image.new("RGB", shape, (200, 200, 200)).save(out, "PNG")
    for decode in ("pillow", "fast"):
        pixels = prepare(out.getvalue(), Preparation(SIZE, SIZE, "longest", decode=decode))
        assert pixels.shape == (3, SIZE, SIZE)
        rows, columns = (np.flatnonzero(pixels[0].any(axis=axis)) for axis in (1, 0))
        assert max(len(rows), len(columns)) == SIZE
        assert abs(rows[0] - (SIZE - 1 - rows[-1])) <= 1 and abs(columns[0] - (SIZE - 1 - columns[-1])) <= 1


def test_what_cannot_be_loaded_is_said(pickscore: Path, hpsv2: tuple[Path, Path], tmp_path: Path) -> None:
    import torch

    class Harmful:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (tmp_path / "touched",))

    config, _ = hpsv2
    torch.save({"state_dict": Harmful()}, tmp_path / "code.pt")
    with pytest.raises(ModelError, match="open_clip could not load"):
        HpsV2(str(tmp_path / "code.pt"), str(config)).setup()
    with pytest.raises(ModelError, match="torch could not load ImageReward"):
        ImageReward(str(tmp_path / "code.pt"), str(pickscore)).setup()
    assert not (tmp_path / "touched").exists()
    torch.save({"blip.text_encoder.x": torch.zeros(1)}, tmp_path / "other.pt")
    with pytest.raises(ModelError, match="weights of ImageReward must be those of its authors"):
        ImageReward(str(tmp_path / "other.pt"), str(pickscore)).setup()
    (tmp_path / "config.json").write_text((pickscore / "config.json").read_text())
    with pytest.raises(ModelError, match=r"PickScore must be a folder with model\.safetensors"):
        _ = PickScore(str(tmp_path)).model_id
    (tmp_path / "config.json").write_text('{"model_type": "blip"}')
    with pytest.raises(ModelError, match="model_type clip"):
        PickScore(str(tmp_path)).setup()
    with pytest.raises(ModelError, match="kind of baseline must be one of pickscore, hpsv2, imagereward"):
        registry.baseline({"kind": "other", "path": "x"})
