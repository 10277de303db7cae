"""Files to greyscale: every kind of pixel by one rule, hostile files refused with a reason."""

from __future__ import annotations

import errno
import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from data_samples import lung, picture, save
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from nas.data import Preprocessing, prepare
from nas.data.decode import (
    UnavailableError,
    UnreadableError,
    bombs_are_errors,
    eight_bits,
    grey_from_array,
    read_image,
    read_mask,
)
from search_spaces.errors import InputError

GREY = picture(1)


def decoded(path: Path, **options: bool) -> np.ndarray:
    return np.asarray(read_image(path, **options)[0])


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "gif", "pgm", "webp"])
def test_eight_bit_grey_is_kept_as_it_is(tmp_path: Path, suffix: str):
    path = tmp_path / f"a.{suffix}"
    options = {"lossless": True} if suffix == "webp" else {}
    Image.fromarray(GREY).save(path, **options)
    assert np.abs(decoded(path).astype(int) - GREY).max() <= (1 if suffix == "webp" else 0)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "P", "1", "CMYK"])
def test_other_modes_become_luma(tmp_path: Path, mode: str):
    path = tmp_path / ("a.tif" if mode == "CMYK" else "a.png")
    image = Image.fromarray(GREY)
    (image.convert("RGB").quantize(256) if mode == "P" else image.convert(mode)).save(path)
    expected = np.asarray(image.convert("1").convert("L")) if mode == "1" else GREY
    assert np.abs(decoded(path).astype(int) - expected).max() <= 6


def test_a_palette_is_looked_up_not_read_as_grey(tmp_path: Path):
    image = Image.new("P", (4, 4), 1)
    image.putpalette([0, 0, 0, 255, 255, 255])
    image.save(tmp_path / "a.png")
    assert (decoded(tmp_path / "a.png") == 255).all()


def test_transparent_pixels_lie_on_black(tmp_path: Path):
    pixels = np.full((4, 4, 4), 255, np.uint8)
    pixels[:2, :, 3] = 0
    save(tmp_path / "a.png", pixels)
    assert decoded(tmp_path / "a.png")[:, 0].tolist() == [0, 0, 255, 255]


@pytest.mark.parametrize(("bits", "top"), [(16, 65535), (12, 4095), (10, 1023), (8, 255)])
def test_more_bits_are_scaled_by_their_container(tmp_path: Path, bits: int, top: int):
    values = np.rint(GREY.astype(np.float64) / GREY.max() * top).astype(np.uint16)
    save(tmp_path / "a.png", values)
    expected = np.rint(values / top * 255)
    assert np.abs(decoded(tmp_path / "a.png") - expected).max() <= 1


def test_floats_and_signed_values():
    assert eight_bits(np.array([[0.0, 0.5, 1.0]])).tolist() == [[0, 128, 255]]
    assert eight_bits(np.array([[-100, 155]], dtype=np.int32)).tolist() == [[0, 255]]
    assert eight_bits(np.array([[-1.0, 0.0, 0.5, 1.0]])).tolist() == [[0, 128, 191, 255]]  # standardised: no 8 bits
    assert eight_bits(np.array([[0.0, 1.0, 3.0]])).tolist() == [[0, 1, 3]]  # labels
    assert eight_bits(np.array([[0.0, 99.5, 255.0]])).tolist() == [[0, 100, 255]]
    with pytest.raises(UnreadableError, match="not finite"):
        eight_bits(np.array([[np.nan]]))


def test_arrays_are_read_like_files():
    colour = np.stack([GREY] * 3, axis=-1)
    for values in (
        GREY,
        GREY[..., None],
        colour,
        np.dstack([colour, np.full_like(GREY, 255)]),
        GREY / 255,
        colour * np.uint16(257),
    ):
        assert np.abs(np.asarray(grey_from_array(values)).astype(int) - GREY).max() <= 1


@pytest.mark.parametrize(
    "values",
    [np.zeros((4, 4, 2), np.uint8), np.zeros((2, 4, 4, 3)), np.zeros(16), np.zeros((0, 4)), np.zeros((4, 4), bool), np.zeros((4, 4), "S2"),
     np.full((4, 4), np.nan)],
    ids=lambda values: f"{values.dtype}{values.shape}",
)  # fmt: skip
def test_arrays_that_are_no_images_are_refused(values: np.ndarray):
    with pytest.raises(UnreadableError, match=r"not an image, but \S+ \(|not finite"):
        grey_from_array(values)


def test_inversion_is_undone_only_where_declared(tmp_path: Path):
    declared = PngImagePlugin.PngInfo()
    declared.add_text("PhotometricInterpretation", "MONOCHROME1")
    Image.fromarray(255 - GREY).save(tmp_path / "declared.png", pnginfo=declared)
    assert (decoded(tmp_path / "declared.png") == GREY).all()
    save(tmp_path / "plain.png", 255 - GREY)
    assert (decoded(tmp_path / "plain.png") == 255 - GREY).all()
    assert (decoded(tmp_path / "plain.png", invert=True) == GREY).all()
    white_is_zero = Image.fromarray(((255 - GREY).astype(np.uint16)) * 257)
    white_is_zero.save(tmp_path / "a.tif", tiffinfo={262: 0})
    assert np.abs(decoded(tmp_path / "a.tif").astype(int) - GREY).max() <= 1


def test_an_inversion_that_file_and_data_set_declare_is_undone_once(tmp_path: Path):
    declared = PngImagePlugin.PngInfo()
    declared.add_text("PhotometricInterpretation", "MONOCHROME1")
    Image.fromarray(255 - GREY).save(tmp_path / "a.png", pnginfo=declared)
    Image.fromarray(GREY).save(tmp_path / "8.tif", tiffinfo={262: 0})  # Pillow inverts it when it writes and when it reads
    Image.fromarray((255 - GREY).astype(np.uint16) * 257).save(tmp_path / "16.tif", tiffinfo={262: 0})
    for name in ("a.png", "8.tif", "16.tif"):
        assert np.abs(decoded(tmp_path / name, invert=True).astype(int) - GREY).max() <= 1


def png_chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def test_bombs_are_refused_before_they_are_decompressed(tmp_path: Path):
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    content = (
        b"\x89PNG\r\n\x1a\n"
        + png_chunk(b"IHDR", header)
        + png_chunk(b"IDAT", zlib.compress(b"\0" * 1000))
        + png_chunk(b"IEND", b"")
    )
    (tmp_path / "bomb.png").write_bytes(content)
    with bombs_are_errors(), pytest.raises(UnreadableError, match="too many pixels"):
        read_image(tmp_path / "bomb.png")
    with pytest.raises(InputError, match="too many pixels"):
        prepare(tmp_path / "bomb.png", Preprocessing())


def test_special_files_are_not_read(tmp_path: Path):
    with pytest.raises(UnreadableError, match="not a regular file"):
        read_image(Path("/dev/zero"))
    with pytest.raises(UnreadableError, match="not a regular file"):
        read_image(tmp_path)
    with pytest.raises(UnreadableError, match="cannot open"):
        read_image(Path("a\0b"))


@pytest.mark.parametrize(("number", "passing"), [(errno.ESTALE, True), (errno.EMFILE, True), (errno.EACCES, False)])
def test_a_disk_that_fails_is_not_the_files_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, passing: bool):
    def failing(path: Path) -> bytes:
        raise OSError(number, "failed")

    monkeypatch.setattr(Path, "read_bytes", failing)
    with pytest.raises(UnreadableError, match="cannot open") as caught:
        read_image(save(tmp_path / "a.png", GREY))
    assert isinstance(caught.value, UnavailableError) == passing


def test_truncated_mislabelled_and_animated_files(tmp_path: Path):
    whole = io.BytesIO()
    Image.fromarray(GREY).save(whole, "JPEG")
    (tmp_path / "cut.jpg").write_bytes(whole.getvalue()[: len(whole.getvalue()) // 2])
    (tmp_path / "jpeg.png").write_bytes(whole.getvalue())
    Image.fromarray(GREY).save(tmp_path / "film.gif", save_all=True, append_images=[Image.fromarray(255 - GREY)])
    (tmp_path / "script.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    with pytest.raises(UnreadableError, match="damaged image"):
        read_image(tmp_path / "cut.jpg")
    assert decoded(tmp_path / "jpeg.png").shape == GREY.shape  # the content decides, not the name
    with pytest.raises(UnreadableError, match="several frames"):
        read_image(tmp_path / "film.gif")
    with pytest.raises(UnreadableError, match="not an image"):
        read_image(tmp_path / "script.png")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    position=st.integers(0, 400),
    noise=st.binary(min_size=1, max_size=60),
    suffix=st.sampled_from(["png", "jpg", "tif", "gif", "bmp"]),
)
def test_damaged_bytes_end_in_a_reason(tmp_path: Path, position: int, noise: bytes, suffix: str):
    content = io.BytesIO()
    Image.fromarray(GREY).save(content, {"jpg": "JPEG", "tif": "TIFF"}.get(suffix, suffix.upper()))
    damaged = content.getvalue()[:position] + noise + content.getvalue()[position + len(noise) :]
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(damaged)
    try:
        with bombs_are_errors():
            outcome = read_image(path)[0].mode
    except UnreadableError as error:
        outcome = str(error)
    assert outcome in (
        "L",
        "damaged image",
        "not an image",
        "too many pixels",
        "several frames",
        "pixels are not finite",
        "not enough memory",
    )


@pytest.mark.parametrize("top", [1, 255])
def test_masks_of_another_size_are_resized_and_of_any_values(tmp_path: Path, top: int):
    path = save(tmp_path / "m.png", (lung() // 255 * top).astype(np.uint8))
    mask, other = read_mask(path, (48, 40))
    assert not other
    assert (np.asarray(mask) == lung()).all()
    mask, other = read_mask(path, (96, 80))
    assert other
    assert mask.size == (96, 80)
    assert set(np.unique(np.asarray(mask))) == {0, 255}


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize(("one", "other"), [(1, 2), (127, 255), (255, 64)])
def test_every_label_of_a_mask_is_lung(tmp_path: Path, dtype: type, one: int, other: int):
    labels = np.where(lung() > 0, one, 0).astype(dtype)
    labels[:, 24:] = labels[:, 24:] // one * other  # the other lung
    mask, _ = read_mask(save(tmp_path / "m.png", labels), (48, 40))
    assert (np.asarray(mask) == lung()).all()


def test_soft_edges_of_a_mask_count_from_their_half(tmp_path: Path):
    soft = np.asarray(Image.fromarray(lung()).resize((24, 20), Image.Resampling.BOX).resize((48, 40), Image.Resampling.BICUBIC))
    mask, _ = read_mask(save(tmp_path / "m.png", soft), (48, 40))
    assert ((np.asarray(mask) > 0) == (soft > 127)).all()


@pytest.mark.parametrize("mode", ["RGB", "P", "RGBA"])
def test_every_colour_of_a_mask_is_lung(tmp_path: Path, mode: str):
    colours = np.zeros((40, 48, 3), np.uint8)
    colours[:, :24], colours[:, 24:] = (255, 0, 0), (0, 0, 255)  # to an eye a third and a ninth of white
    Image.fromarray(colours * (lung() > 0)[..., None].astype(np.uint8)).convert(mode).save(tmp_path / "m.png")
    mask, _ = read_mask(tmp_path / "m.png", (48, 40))
    assert (np.asarray(mask) == lung()).all()


@pytest.mark.parametrize(
    ("crop", "left", "upper", "right", "lower"),
    [
        ("none", 0, 0, 60, 100),
        ("top=0.1", 0, 10, 60, 100),
        ("square", 0, 20, 60, 80),
        ("covidnet", 0, 24, 60, 84),
        ("pad", -20, 0, 80, 100),
    ],
)
def test_crops(crop: str, left: int, upper: int, right: int, lower: int):
    image = Image.fromarray(picture(3, (100, 60)))
    chosen = Preprocessing.parse(crop, 32)
    assert np.array_equal(chosen.square(image, chosen.window(image)), image.crop((left, upper, right, lower)))
    assert Preprocessing.parse(chosen.crop, 32) == chosen
    assert Preprocessing.model_validate_json(chosen.model_dump_json()) == chosen


@pytest.mark.parametrize(
    ("crop", "size"), [("nonsense", 96), ("top=x", 96), ("top=2", 96), ("top=nan", 96), ("none", 4), ("none", 10**6)]
)
def test_bad_preprocessing_is_refused(crop: str, size: int):
    with pytest.raises(InputError, match=r"crop|image size"):
        Preprocessing.parse(crop, size)


def test_prepare_gives_what_training_saw(tmp_path: Path):
    path = save(tmp_path / "a.png", GREY)
    found = prepare(path, Preprocessing(image_size=32))
    assert found.shape == (1, 32, 32)
    assert found.dtype == np.uint8
    assert np.array_equal(found[0], Preprocessing(image_size=32).pixels(Image.fromarray(GREY)))
    with pytest.raises(InputError, match="missing file"):
        prepare(tmp_path / "none.png", Preprocessing())
