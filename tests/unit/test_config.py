"""The configuration: base.yaml agrees with the code, overlays lay over, every fault is told at once."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from twigma_spark.config.models import Onnx
from twigma_spark.config.overlays import PATTERNS, load
from twigma_spark.config.section import Section
from twigma_spark.config.settings import Config
from twigma_spark.errors import ConfigError

CONF = Path(__file__).resolve().parents[2] / "conf"


def test_the_score_of_real_images_must_be_one_of_the_scores() -> None:
    with pytest.raises(ConfigError, match=r"models.real.score must be a name of models.scores. Got 'photo'"):
        load([], ["models.real={score: photo}"])


def test_two_encoders_must_differ() -> None:
    clip = "{kind: open_clip, path: 'sample:clip'}"
    with pytest.raises(ConfigError, match="another encoder"):
        load([], [f"models.image={clip}", f"models.image_also={clip}"])


def test_base_yaml_holds_every_key_and_the_defaults() -> None:
    assert yaml.safe_load((CONF / "base.yaml").read_text()) == Config().model_dump(mode="json")


def test_base_yaml_comments_every_key() -> None:
    lines = (CONF / "base.yaml").read_text().splitlines()
    model_keys = {"name:", "pretrained:", "path:", "kind:", "precision:", "decode:"}
    bare = [
        line
        for line in lines
        if line.startswith(" ") and ":" in line and "#" not in line and line.split()[0] not in model_keys
    ]
    assert [line for line in bare if not line.strip().startswith("- {")] == []


@pytest.mark.parametrize("name", ["sample.yaml", "folder.yaml"])
def test_overlays_hold_differences_only(name: str) -> None:
    overlay, base = yaml.safe_load((CONF / name).read_text()), Config().model_dump(mode="json")
    load([CONF / name])
    same = [
        f"{s}.{k}" for s, keys in overlay.items() if isinstance(keys, dict) for k, v in keys.items() if base[s][k] == v
    ]
    assert same == []


def test_later_files_win_and_overrides_win_over_files(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("embed: {batch_size: 1, arrow_batch: 7}\nseed: 1\n")
    (tmp_path / "b.yaml").write_text("embed: {batch_size: 2}\n")
    cfg = load([tmp_path / "a.yaml", tmp_path / "b.yaml"], ["seed=9"])
    assert (cfg.embed.batch_size, cfg.embed.arrow_batch, cfg.seed) == (2, 7, 9)


def test_a_model_of_another_kind_replaces_the_whole_section() -> None:
    cfg = load([], ["models.image={kind: onnx, path: a.onnx}"])
    assert cfg.models.image.kind == "onnx"


def test_all_faults_are_told_at_once_with_file_and_key(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("embed: {batch_size: 0, batchsize: 3}\nsead: 1\n")
    with pytest.raises(ConfigError) as caught:
        load([path, tmp_path / "none.yaml"], ["seed=-1", "nonsense"])
    text = str(caught.value)
    for part in (
        "embed.batch_size",
        "embed.batchsize",
        "sead",
        "none.yaml",
        "--set seed=-1",
        "--set nonsense",
    ):
        assert part in text
    assert text.count(str(path)) == 3


@pytest.mark.parametrize("text", ["- a list", "a: [unclosed", "just words"])
def test_a_file_that_is_no_mapping_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.yaml").write_text(text)
    with pytest.raises(ConfigError, match=r"x\.yaml"):
        load([tmp_path / "x.yaml"])


def test_corpora_need_different_names() -> None:
    one = "{name: a, role: art, path: x}"
    with pytest.raises(ConfigError, match="named differently"):
        load([], [f"corpora=[{one}, {one}]"])


@pytest.mark.parametrize("name", ["", "A", "a b", "a/b", "../x", "a" * 33])
def test_names_that_would_not_be_safe_identifiers_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=r"corpora\.0\.name"):
        load([], [f"corpora=[{{name: '{name}', role: art, path: x}}]"])


def test_the_fingerprint_follows_the_keys_it_is_given() -> None:
    one, two = Config(), load([], ["embed.batch_size=5"])
    assert one.fingerprint(["embed"]) != two.fingerprint(["embed"])
    assert one.fingerprint(["models.image", "seed"]) == two.fingerprint(["seed", "models.image"])


def test_only_the_keys_that_are_asked_for_can_be_read() -> None:
    cfg = Config()
    part = cfg.only(("seed", "models.image", "models.device", "cluster"))
    assert part.seed == cfg.seed and part.cluster == cfg.cluster and part.models.image == cfg.models.image
    with pytest.raises(AttributeError, match=r"Config\.likes must be declared by the stage that reads it"):
        _ = part.likes
    with pytest.raises(AttributeError, match=r"Models\.scores must be declared"):
        _ = part.models.scores
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = part.nothing  # type: ignore[attr-defined]
    assert cfg.likes == Config().likes, "the whole one stays whole"


def test_sections_are_frozen() -> None:
    assert Section.model_config["frozen"]
    with pytest.raises(ValueError, match="frozen"):
        Config().seed = 3  # type: ignore[misc]


@pytest.mark.parametrize(("given", "found"), [("null", None), ("623481", "623481"), ("a1B", "a1B")])
def test_a_run_has_the_id_that_a_scheduler_gives_it(given: str, found: str | None) -> None:
    assert load([], [f"run.id={given}"]).run.id == found


@pytest.mark.parametrize("given", ["a_b", "'a b'", "''", "true", "[1]", "x" * 65])
def test_an_id_that_could_not_name_a_table_is_refused(given: str) -> None:
    with pytest.raises(ConfigError, match=r"run.id: must be 1 to 64 letters and digits. Got"):
        load([], [f"run.id={given}"])


def test_a_preset_fills_in_what_is_not_given() -> None:
    given = ["models.image={kind: onnx, path: net.onnx, preset: clip, std: [1, 1, 1]}"]
    model = load([], given).models.image
    assert isinstance(model, Onnx)
    assert (model.fit, model.interpolation, model.mean[0], model.std) == ("shortest", "bicubic", 0.48145466, (1, 1, 1))
    with pytest.raises(ConfigError, match="preset"):
        load([], ["models.image={kind: onnx, path: net.onnx, preset: vgg}"])


def patterns_in(schema: object) -> set[str]:
    """Return the patterns of texts anywhere in a JSON schema."""
    parts = schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ()
    own = {schema["pattern"]} if isinstance(schema, dict) and isinstance(schema.get("pattern"), str) else set()
    return own.union(*map(patterns_in, parts))


def test_every_pattern_is_explained() -> None:
    assert patterns_in(Config.model_json_schema()) == set(PATTERNS)
    with pytest.raises(ConfigError, match=r"collect\.stream: must be an address such as wss://host, without a path\. "):
        load([], ["collect.stream=ftp://host"])
