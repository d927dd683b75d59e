"""What every kind of good and bad file becomes, by both paths; each file is made here with Pillow."""

from __future__ import annotations

import io
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from twigma_spark.models.decode import FORMATS, MAX_PIXELS, REASONS, ImageError, open_image, probe, thumbnail, to_rgb
from twigma_spark.models.pixels import DECODERS, Preparation, prepare

RED, BLUE = (250, 10, 20), (10, 20, 250)


def picture(width: int = 40, height: int = 24) -> Image.Image:
    """A smooth ramp with a red corner, so that a turn or a swap of channels shows."""
    x, y = np.meshgrid(np.linspace(0, 200, width), np.linspace(0, 200, height))
    pixels = np.stack([x, y, 255 - x], axis=2).astype(np.uint8)
    pixels[: height // 4, : width // 4] = RED
    return Image.fromarray(pixels)


def decode_rgb(content: bytes, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Return the first frame as an RGB picture, turned as its EXIF orientation says."""
    return to_rgb(open_image(content, max_pixels))


def encoded(image: Image.Image, format: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, format, **options)
    return out.getvalue()


def exif(orientation: int) -> bytes:
    data = Image.Exif()
    data[0x0112] = orientation
    return data.tobytes()


def reason_of(content: bytes, max_pixels: int = 10**6) -> str:
    with pytest.raises(ImageError) as raised:
        decode_rgb(content, max_pixels)
    return raised.value.reason


def test_a_progressive_jpeg_of_hundreds_of_scans_is_refused() -> None:
    """300 kB that would take 16 seconds: its last scan, of some bytes, is there 400 times."""
    out = io.BytesIO()
    noise = np.random.default_rng(1).integers(0, 255, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(out, "JPEG", progressive=True)
    whole = out.getvalue()
    scan = whole[whole.rfind(b"\xff\xda") : -2]
    assert probe(whole).width == 64
    with pytest.raises(ImageError, match=r"too_many_scans: 4\d\d, the limit is 64"):
        probe(whole[:-2] + 400 * scan + whole[-2:])


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "PPM"])
def test_probe_reads_the_header_of_every_format(format: str) -> None:
    assert format in FORMATS
    assert probe(encoded(picture(), format), 10**6) == (format, 40, 24)


def test_probe_gives_the_size_as_displayed() -> None:
    assert probe(encoded(picture(), "JPEG", exif=exif(6)), 10**6) == ("JPEG", 24, 40)


def test_probe_decodes_no_pixels() -> None:
    jpeg = encoded(picture(400, 300), "JPEG")
    assert probe(jpeg[:700], 10**6) == ("JPEG", 400, 300)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_exif_orientation_is_honoured(format: str, orientation: int) -> None:
    turns = {2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}  # how each orientation is undone
    stored = picture()
    expected = stored.transpose(Image.Transpose(turns[orientation])) if orientation > 1 else stored
    content = encoded(stored, format, exif=exif(orientation), quality=95)
    shown = decode_rgb(content, 10**6)
    assert shown.size == expected.size
    assert np.abs(np.asarray(shown, int) - np.asarray(expected, int)).mean() < 5
    assert probe(content, 10**6)[1:] == expected.size


@pytest.mark.parametrize("decode", DECODERS)
@pytest.mark.parametrize("orientation", [3, 6, 7])
def test_both_paths_turn_alike(decode: str, orientation: int) -> None:
    content = encoded(picture(64, 32), "JPEG", exif=exif(orientation), quality=95)
    plain = encoded(decode_rgb(content, 10**6), "PNG")
    how = Preparation(16, 16, decode=decode)
    assert np.abs(prepare(content, how).astype(int) - prepare(plain, how)).max() <= 2


def test_broken_exif_is_no_error() -> None:
    assert decode_rgb(encoded(picture(), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff"), 10**6).size == (
        40,
        24,
    )


def test_first_frame_of_an_animation() -> None:
    frames = [Image.new("RGB", (20, 20), colour) for colour in (RED, BLUE)]
    for format in ("GIF", "WEBP", "PNG"):
        content = encoded(frames[0], format, save_all=True, append_images=frames[1:], duration=50)
        for decode in DECODERS:
            pixels = prepare(content, Preparation(20, 20, decode=decode))
            assert np.abs(pixels[:, 10, 10].astype(int) - RED).max() <= 12, (format, decode)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr"])
def test_every_mode_becomes_rgb(mode: str) -> None:
    format = {"CMYK": "JPEG", "YCbCr": "JPEG"}.get(mode, "PNG")
    content = encoded(picture().convert(mode), format)
    for decode in DECODERS:
        pixels = prepare(content, Preparation(24, 24, decode=decode))
        assert pixels.shape == (3, 24, 24)
        assert pixels.dtype == np.uint8
    assert decode_rgb(content, 10**6).mode == "RGB"


def test_cmyk_keeps_its_colours() -> None:
    content = encoded(Image.new("RGB", (20, 20), RED).convert("CMYK"), "JPEG", quality=95)
    assert np.abs(np.asarray(decode_rgb(content, 10**6), int) - RED).max() <= 6


def test_alpha_is_dropped_and_the_colour_under_it_kept() -> None:
    clear = Image.new("RGBA", (20, 20), (*RED, 0))
    palette = Image.new("P", (20, 20), 1)
    palette.putpalette([0, 0, 0, *RED])
    for content in (
        encoded(clear, "PNG"),
        encoded(clear, "WEBP", lossless=True, exact=True),
        encoded(palette, "PNG", transparency=b"\xff\x00"),
    ):
        for decode in DECODERS:
            assert (prepare(content, Preparation(20, 20, decode=decode))[:, 5, 5] == RED).all()


def test_pictures_of_several_bands_are_whole() -> None:
    values = np.random.default_rng(0).integers(0, 65536, (600, 5), dtype=np.uint16)
    deep = np.asarray(decode_rgb(encoded(Image.fromarray(values), "PNG"), 10**6))
    np.testing.assert_array_equal(deep[:, :, 1], (values.astype(int) + 128) // 257)
    palette = picture(40, 600).convert("P")
    how = Preparation(600, 40, "squash", decode="fast")
    whole = prepare(encoded(palette, "PNG"), how).transpose(1, 2, 0)
    np.testing.assert_array_equal(whole, np.asarray(palette.convert("RGB")))


def test_16_bit_grey_is_scaled_not_clipped() -> None:
    levels = np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)
    content = encoded(Image.fromarray(levels), "PNG")
    shown = np.asarray(decode_rgb(content, 10**6))[..., 0].ravel()
    assert (shown == np.arange(256)).all()
    fast = prepare(content, Preparation(16, 16, decode="fast"))[0].ravel()
    assert (fast == shown).all()


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "GIF", "BMP"])
@pytest.mark.parametrize("kept", [0.5, 0.9])
def test_a_truncated_file_is_undecodable_by_both_paths(format: str, kept: float) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (90, 120, 3), dtype=np.uint8)
    whole = encoded(Image.fromarray(noise), format)
    content = whole[: int(len(whole) * kept)]
    for decode in DECODERS:
        with pytest.raises(ImageError) as raised:
            prepare(content, Preparation(32, 32, decode=decode))
        assert raised.value.reason == "undecodable", (format, decode)


def test_reasons() -> None:
    assert reason_of(b"") == "empty_file"
    assert reason_of(b"<html>404 not found</html>") == "not_an_image"
    assert reason_of(b"\xff\xd8\xff") == "not_an_image"
    assert reason_of(encoded(picture(2000, 1000), "PNG")) == "too_many_pixels"
    assert reason_of(encoded(picture(), "JPEG")[:400]) in ("undecodable", "not_an_image")


def test_postscript_is_never_opened() -> None:
    assert reason_of(encoded(picture(), "EPS")) == "not_an_image"


def test_a_bomb_is_refused_by_its_header() -> None:
    bomb = encoded(Image.new("1", (30_000, 30_000)), "PNG")
    assert len(bomb) < 200_000
    assert reason_of(bomb, 10**9) == "too_many_pixels"


def test_errors_pickle_and_read_well() -> None:
    error = pickle.loads(pickle.dumps(ImageError("undecodable", "OSError: truncated")))  # noqa: S301
    assert (error.reason, error.detail, str(error)) == (
        "undecodable",
        "OSError: truncated",
        "undecodable: OSError: truncated",
    )


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 400), st.binary(min_size=1, max_size=40), st.sampled_from(["JPEG", "PNG", "WEBP", "GIF"]))
def test_no_damage_escapes_as_another_exception(at: int, junk: bytes, format: str) -> None:
    whole = encoded(picture(), format)
    content = whole[:at] + junk + whole[at + len(junk) :]
    for decode in DECODERS:
        try:
            assert prepare(content, Preparation(16, 16, decode=decode, max_pixels=10**6)).shape == (3, 16, 16)
        except ImageError as error:
            assert error.reason in REASONS


def test_thumbnail() -> None:
    small = Image.open(io.BytesIO(thumbnail(encoded(picture(400, 200), "JPEG", exif=exif(6)), 64, 10**6)))
    assert (small.format, small.size) == ("WEBP", (32, 64))
    with pytest.raises(ImageError):
        thumbnail(b"", 64, 10**6)
