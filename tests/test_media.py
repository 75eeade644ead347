import contextlib
import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from sphinx_data.media import DamagedImage, check_image, prepare_image

DATA = Path(__file__).parent / "data" / "images"
FILES = sorted(path.name for path in DATA.iterdir())
SHARED = Path(__file__).parents[2] / "shared" / "data"


def load(name: str) -> bytes:
    return (DATA / name).read_bytes()


def encoded(picture: Image.Image, kind: str, **options) -> bytes:
    out = io.BytesIO()
    picture.save(out, kind, **options)
    return out.getvalue()


def photo(width: int = 40, height: int = 30) -> Image.Image:
    columns, rows = np.meshgrid(np.arange(width), np.arange(height))
    return Image.fromarray(np.stack([columns * 5, rows * 7, columns + rows], axis=2).astype(np.uint8))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_ordinary_pictures_keep_their_bytes(kind):
    data = encoded(photo(), kind)
    prepared = prepare_image(data, decode=True)
    assert prepared.data is data
    assert (prepared.width, prepared.height, prepared.change, prepared.orientation) == (40, 30, None, 1)


@pytest.mark.parametrize(
    "options", [{"progressive": True}, {"quality": 10, "subsampling": 2}, {"restart_marker_rows": 1}]
)
def test_jpeg_variants_are_whole(options):
    info = check_image(encoded(photo(), "JPEG", **options))
    assert (info.format, info.width, info.height) == ("jpeg", 40, 30)


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("truncated_jpeg.jpg", "image-truncated"),
        ("broken.png", "image-truncated"),
        ("broken_data_stream.png", "image-damaged"),
        ("decompression_bomb.gif", "image-too-large"),
        ("png_decompression_dos.png", "image-damaged"),
        ("crash-0c7e0e8e11ce787078f00b5b0ca409a167f070e0.tif", "image-damaged"),
        ("00r1_graya_la.jp2", "image-damaged"),
    ],
)
def test_a_damaged_file_is_named_by_rule(name, rule):
    with pytest.raises(DamagedImage) as caught:
        prepare_image(load(name))
    assert caught.value.rule == rule
    assert caught.value.detail.endswith(".")


@pytest.mark.parametrize("data", [b"", b"hello", b"\xff\xd8", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"%PDF-1.7"])
def test_what_is_no_picture_is_refused(data):
    with pytest.raises(DamagedImage):
        prepare_image(data)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("pil_sample_cmyk.jpg", "CMYK to RGB"),
        ("16bit.r.tif", "tiff converted, 16 bits to 8"),
        ("dispose_bgnd.gif", "gif converted, first frame of an animation"),
        ("apng__mode_16bit.png", "first frame of an animation, 16 bits to 8"),
        ("hopper_orientation_6.jpg", "EXIF rotation 6 baked in"),
        ("hopper_orientation_6.webp", "EXIF rotation 6 baked in"),
    ],
)
def test_what_readers_cannot_use_is_changed_and_the_change_named(name, change):
    prepared = prepare_image(load(name))
    assert prepared.change == change
    again = prepare_image(prepared.data, decode=True)
    assert again.change is None
    assert (again.width, again.height) == (prepared.width, prepared.height)
    assert prepare_image(load(name)).data == prepared.data


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_rotation_is_baked_in_as_pillow_would_show_it(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(photo(), "JPEG", exif=exif, quality=95)
    from PIL import ImageOps

    expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))), dtype=float)
    prepared = prepare_image(data)
    got = np.asarray(Image.open(io.BytesIO(prepared.data)), dtype=float)
    assert got.shape == expected.shape == (prepared.height, prepared.width, 3)
    assert np.abs(got - expected).mean() < 2
    assert prepared.orientation == orientation
    assert Image.open(io.BytesIO(prepared.data)).getexif().get(0x0112, 1) == 1


def test_sixteen_bits_become_eight_by_their_upper_half():
    values = (np.arange(256, dtype=np.uint16) * 256 + 17).reshape(16, 16)
    prepared = prepare_image(encoded(Image.fromarray(values), "PNG"))
    assert (np.asarray(Image.open(io.BytesIO(prepared.data))).ravel() == np.arange(256)).all()


def test_transparency_survives_a_change():
    frames = [Image.new("RGBA", (8, 8), (255, 0, 0, alpha)) for alpha in (0, 128)]
    data = encoded(frames[0], "PNG", save_all=True, append_images=frames[1:])
    prepared = prepare_image(data)
    picture = Image.open(io.BytesIO(prepared.data))
    assert prepared.change == "first frame of an animation"
    assert picture.mode == "RGBA"
    assert np.asarray(picture)[..., 3].max() == 0


def test_a_picture_over_the_limit_is_made_smaller():
    prepared = prepare_image(encoded(photo(400, 300), "JPEG"), max_pixels=30_000)
    assert prepared.width * prepared.height <= 30_000
    assert prepared.scale == pytest.approx(0.5, abs=0.01)
    assert prepared.change == "400x300 made smaller"


def test_a_bomb_is_refused_by_its_header():
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"")), (b"IEND", b"")]
    data = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )
    with pytest.raises(DamagedImage, match="image-too-large"):
        prepare_image(data)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_every_cut_is_noticed(kind):
    data = encoded(photo(), kind)
    for length in range(0, len(data) - 1, 7):
        with pytest.raises(DamagedImage):
            check_image(data[:length])


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(sorted(p.name for p in DATA.iterdir())), st.integers(0, 10**6), st.binary(min_size=1, max_size=8)
)
def test_random_damage_raises_nothing_else(name, position, junk):
    data = load(name)
    position %= len(data)
    with contextlib.suppress(DamagedImage):
        prepare_image(data[:position] + junk + data[position + len(junk) :], decode=True)


def test_nothing_is_printed(capfd):
    for path in sorted(DATA.iterdir()):
        with contextlib.suppress(DamagedImage):
            prepare_image(path.read_bytes(), decode=True)
    assert capfd.readouterr() == ("", "")
    assert os.fstat(2)


@pytest.mark.skipif(not SHARED.exists(), reason="the shared files are not here")
@pytest.mark.filterwarnings("error")
def test_hostile_files_are_pictures_or_damaged(capfd):
    files = sorted((SHARED / "malformed_images").iterdir())
    assert len(files) >= 100
    for path in files:
        try:
            prepared = prepare_image(path.read_bytes(), decode=True)
        except DamagedImage:
            continue
        with Image.open(io.BytesIO(prepared.data)) as picture:
            picture.load()
            assert picture.size == (prepared.width, prepared.height), path.name
            assert getattr(picture, "n_frames", 1) == 1 or prepared.change is None, path.name
    assert capfd.readouterr() == ("", "")
