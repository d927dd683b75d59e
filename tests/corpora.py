"""Tiny corpora in the layouts that people have, written by the tests."""

from __future__ import annotations

import io
import json
import tarfile
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from twigma_spark.io.release_files import write_parts
from twigma_spark.release.fields import FIELDS, schema_of


def picture(shade: int = 0, form: str = "PNG") -> bytes:
    """Return a picture of 8 x 6 pixels; another shade has other bytes."""
    out = io.BytesIO()
    Image.new("RGB", (8, 6), (shade, 0, 0)).save(out, form)
    return out.getvalue()


def put(path: Path, content: bytes | str) -> Path:
    """Write a file and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def put_rows(path: Path, rows: list[dict[str, object]]) -> Path:
    """Write a Parquet file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def put_tar(path: Path, files: dict[str, bytes]) -> Path:
    """Write a tar."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as opened:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            opened.addfile(info, io.BytesIO(content))
    return path


def downloaded() -> list[dict[str, object]]:
    """Return the rows that img2dataset writes of three pictures; the third could not be downloaded."""
    good = [{"key": f"00000000{n}", "url": f"http://x/{n}", "caption": f"c{n}", "status": "success"} for n in range(2)]
    gone = {"key": "000000002", "url": "http://x/2", "caption": "c2", "status": "failed_to_download"}
    return [{**row, "error_message": None, "width": 8} for row in good] + [
        {**gone, "error_message": "HTTP Error 404: Not Found", "width": None}
    ]


def webdataset(root: Path) -> Path:
    """Write img2dataset's tars: one as it should be but for a text, and one cut off after its first picture."""
    rows = downloaded()
    put_rows(root / "00000.parquet", rows)
    files = {
        "000000000.jpg": picture(1),
        "000000000.json": json.dumps(rows[0]).encode(),
        "000000000.txt": b"c0",
        "000000001.jpg": picture(2),
        "000000001.json": b"{oops",
        "000000001.txt": b"c1",
    }
    whole = put_tar(root / "00000.tar", files).read_bytes()
    put(root / "00001.tar", whole[:700])
    return root


def parquet_of_img2dataset(root: Path) -> Path:
    """Write img2dataset's Parquet, in which a picture that could not be downloaded is null."""
    rows = downloaded()
    put_rows(root / "00000.parquet", [{**r, "jpg": picture(n) if n < 2 else None} for n, r in enumerate(rows)])
    return root


def files_of_img2dataset(root: Path) -> Path:
    """Write img2dataset's files, with their Parquet beside the folder."""
    put_rows(root / "00000.parquet", downloaded())
    for n in range(2):
        put(root / "00000" / f"00000000{n}.jpg", picture(n))
    return root


def hugging_face(root: Path) -> Path:
    """Write a data set of images of the hub: structures of bytes and path; the last has no bytes."""
    images = [{"bytes": picture(n) if n < 2 else None, "path": f"{n}.png"} for n in range(3)]
    rows = [{"image": image, "text": f"prompt {n}", "likes": n} for n, image in enumerate(images)]
    put_rows(root / "data" / "train-00000-of-00001.parquet", rows)
    return root


def diffusiondb(root: Path, table: bool) -> Path:
    """Write one part of DiffusionDB of two images, with a third that is not there, and its metadata."""
    names = ["aaa.png", "bbb.png", "ccc.png"]
    for n, name in enumerate(names[:2]):
        put(root / "part-000001" / name, picture(n))
    said = {
        name: {"p": f"a cat {n // 2}", "se": 1, "c": 7.0, "st": 50, "sa": "k_euler"} for n, name in enumerate(names)
    }
    put(root / "part-000001" / "part-000001.json", json.dumps(said))
    if table:
        rows = [{"image_name": name, "prompt": f"a cat {n // 2}", "part_id": 1} for n, name in enumerate(names)]
        other = {"image_name": "other.png", "prompt": "of a part that is not here", "part_id": 2}
        put_rows(root / "metadata.parquet", [*rows, other])
    return root


def laion(root: Path) -> Path:
    """Write LAION's metadata: two addresses, one of them twice, and a row without one."""
    rows = [
        {"URL": "http://x/1.jpg", "TEXT": "a dog", "NSFW": "UNLIKELY"},
        {"URL": "http://x/2.jpg", "TEXT": "a cat", "NSFW": "NSFW"},
        {"URL": "http://x/2.jpg", "TEXT": "a cat again", "NSFW": "UNSURE"},
        {"URL": None, "TEXT": "nothing", "NSFW": None},
    ]
    return put_rows(root / "part-00000.parquet", rows)


def clip_retrieval(root: Path, dim: int = 512, texts: bool = False) -> Path:
    """Write what clip-retrieval does, in two files: the vectors of 60 images in half precision, five themes of 12.

    Image 7 repeats image 6, of image 8 an element is NaN, and image 9 has a vector of zeros.
    """
    rng = np.random.default_rng(7)
    themes = rng.standard_normal((5, dim)).repeat(12, axis=0)
    vectors = themes + 0.3 * rng.standard_normal((60, dim))
    vectors[7], vectors[8, 3], vectors[9] = vectors[6], np.nan, 0
    rows: list[dict[str, object]] = [
        {"image_path": f"0000{n:05}", "caption": f"theme {n // 12} picture {n}", "NSFW": "UNLIKELY", "width": 640}
        for n in range(60)
    ]
    for number, part in (("0", slice(0, 40)), ("1", slice(40, 60))):
        put_rows(root / "metadata" / f"metadata_{number}.parquet", rows[part])
        for kind, made in (("img_emb", vectors), *([("text_emb", -themes)] if texts else [])):
            (root / kind).mkdir(parents=True, exist_ok=True)
            np.save(root / kind / f"{kind}_{number}.npy", made[part].astype(np.float16))
    return root


def artbench(root: Path, table: bool) -> Path:
    """Write four genres of ArtBench with a painting each, and its CSV, which names one more."""
    names = {"baroque": "rubens_a.jpg", "realism": "courbet_b.jpg", "ukiyo_e": "hokusai_c.jpg", "surrealism": "x.jpg"}
    for n, (genre, name) in enumerate(names.items()):
        put(root / "artbench-10-imagefolder" / genre / name, picture(n))
    if table:
        rows = [f"{name},{name.partition('_')[0]},http://x/{name},{genre}" for genre, name in names.items()]
        rows.append("gone_d.jpg,gone,http://x/d.jpg,baroque")
        put(root / "ArtBench-10.csv", "name,artist,url,label\n" + "\n".join(rows) + "\n")
    return root


def coco(root: Path) -> Path:
    """Write COCO's captions of three images, of which two are there and one has two captions."""
    images = [
        {"id": n, "file_name": f"00{n}.jpg", "coco_url": f"http://x/00{n}.jpg", "date_captured": "2013-11-14 16:03:19"}
        for n in range(3)
    ]
    annotations = [
        {"id": 7, "image_id": 0, "caption": "later"},
        {"id": 3, "image_id": 0, "caption": "A dog. "},
        {"id": 5, "image_id": 1, "caption": "A cat."},
    ]
    put(root / "annotations" / "captions_val2017.json", json.dumps({"images": images, "annotations": annotations}))
    for n in range(2):
        put(root / "val2017" / f"00{n}.jpg", picture(n))
    return root


def released(root: Path) -> Path:
    """Write a release as `twigma release` does: one image with a text that CSV must quote, and one of no post."""
    rows = [
        {"id": "1600000000000000009", "image_name": "a.jpg", "all_captions": 'a "cat",\nsitting', "like_count": 5},
        {"id": "0f" * 16, "image_name": "sub/b.png", "created_at": datetime(2022, 9, 1, tzinfo=UTC)},
    ]
    schema = schema_of(FIELDS)
    root.mkdir(parents=True, exist_ok=True)
    write_parts([pa.RecordBatch.from_pylist(rows, schema)], root, schema, None)
    put(root / "images" / "a.jpg", picture(1))
    put(root / "images" / "sub" / "b.png", picture(2))
    return root


def twigma(
    root: Path, ids: tuple[str, ...] = ("1600000000000000001", "1600000000000000002", "1600000000000000003")
) -> Path:
    """Write a release of TWIGMA; of the last post there is no image, and another's count of likes is no number."""
    header = "id,image_name,created_at,like_count,quote_count,reply_count,all_captions,label_10_cluster,"
    header += "possibly_sensitive,nsfw_score,UMAP_dim_1,UMAP_dim_2\n"
    likes = ("12", "many", "0")
    rows = [
        f'{name},F{n}.jpg,2022-09-01T00:00:00Z,{likes[n % 3]},1,2,"a painting, of a cat",3,{n == 1},0.1,1.5,-2.0\n'
        for n, name in enumerate(ids)
    ]
    put(root / "twigma.csv", header + "".join(rows))
    for n in range(2):
        put(root / "images" / f"F{n}.jpg", picture(n))
    return root
