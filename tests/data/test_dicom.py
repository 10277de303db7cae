"""DICOM pixels: windows, rescale, MONOCHROME1, compression; and nothing personal left in the data set."""

from __future__ import annotations

import builtins
import io
from pathlib import Path

import numpy as np
import pytest
from data_layouts import save_dicom
from data_samples import lung, picture, save, write_csv
from PIL import Image

import nas.data as data
from nas.data.decode import UnreadableError, read_image
from search_spaces.errors import InputError

GREY = picture(1)


@pytest.fixture(autouse=True)
def _extra() -> None:
    pytest.importorskip("pydicom", reason="needs the extra 'dicom'")


def decoded(path: Path) -> np.ndarray:
    return np.asarray(read_image(path)[0]).astype(int)


def test_monochrome1_is_inverted(tmp_path: Path):
    path = save_dicom(tmp_path / "a.dcm", 255 - GREY, PhotometricInterpretation="MONOCHROME1")
    assert (decoded(path) == GREY).all()


def test_a_photometric_column_beside_the_files_own_tag_inverts_once(tmp_path: Path):
    for i in range(8):
        grey = picture(i)
        kind = ("MONOCHROME2", "MONOCHROME1")[i % 2]
        save_dicom(tmp_path / f"{i}.dcm", 255 - grey if i % 2 else grey, PhotometricInterpretation=kind)
    rows = "".join(f"{i}.dcm,{'ab'[i % 2]},{('MONOCHROME2', 'MONOCHROME1')[i % 2]}\n" for i in range(8))
    (tmp_path / "t.csv").write_text(f"file,label,photometric\n{rows}")
    found = data.load(str(tmp_path / "t.csv"), image_size=32)
    for i in range(8):
        assert np.array_equal(found.images[i, 0], data.Preprocessing(image_size=32).pixels(Image.fromarray(picture(i))))


def test_twelve_bits_without_a_window_fill_their_container(tmp_path: Path):
    values = (GREY.astype(np.uint16) * 16) + 15
    assert np.abs(decoded(save_dicom(tmp_path / "a.dcm", values, BitsStored=12, HighBit=11)) - GREY).max() <= 1


@pytest.mark.parametrize(("padding", "limit"), [(65535, None), (0, 100), (60000, 65535)])
def test_padding_does_not_stretch_the_range(tmp_path: Path, padding: int, limit: int | None):
    values = GREY.astype(np.uint16) * 12 + 1000
    alone = decoded(save_dicom(tmp_path / "a.dcm", values))
    values[:, :5], values[:5] = padding, limit or padding
    more = {"PixelPaddingValue": padding} | ({"PixelPaddingRangeLimit": limit} if limit else {})
    padded = decoded(save_dicom(tmp_path / "b.dcm", values, **more))
    assert (padded[5:, 5:] == alone[5:, 5:]).all()
    values[:] = padding
    assert decoded(save_dicom(tmp_path / "c.dcm", values, PixelPaddingValue=padding)).shape == GREY.shape


@pytest.mark.parametrize("function", ["LINEAR", "SIGMOID"])
def test_a_declared_window_is_applied_after_the_rescale(tmp_path: Path, function: str):
    values = np.array([[0, 500, 1000, 1500, 2000]] * 4, dtype=np.uint16)
    window = {
        "RescaleSlope": 2,
        "RescaleIntercept": -1000,
        "WindowCenter": [1000, 7],
        "WindowWidth": [2000, 8],
        "VOILUTFunction": function,
    }
    row = decoded(save_dicom(tmp_path / "a.dcm", values, BitsStored=12, HighBit=11, **window))[0]
    if function == "LINEAR":
        assert np.abs(row - [0, 0, 128, 255, 255]).max() <= 1
    else:
        assert abs(row[2] - 128) <= 1
        assert row[0] < row[1] < row[2] < row[3] < row[4]


@pytest.mark.parametrize("mode", ["RGB", "YCbCr"])
def test_colour_becomes_luma_however_it_is_stored(tmp_path: Path, mode: str):
    colours = Image.merge("RGB", [Image.fromarray(picture(i)) for i in range(3)])
    stored = np.asarray(colours.convert(mode))
    tags = {"Rows": 40, "Columns": 48, "SamplesPerPixel": 3, "PlanarConfiguration": 0}
    kind = {"RGB": "RGB", "YCbCr": "YBR_FULL"}[mode]
    path = save_dicom(tmp_path / "a.dcm", stored, PhotometricInterpretation=kind, **tags)
    assert np.abs(decoded(path).astype(int) - np.asarray(colours.convert("L"))).max() <= 2


def test_a_palette_is_looked_up(tmp_path: Path):
    table = np.linspace(65535, 0, 256).astype("<u2").tobytes()
    tags = {f"{name}PaletteColorLookupTableDescriptor": [256, 0, 16] for name in ("Red", "Green", "Blue")}
    tags |= {f"{name}PaletteColorLookupTableData": table for name in ("Red", "Green", "Blue")}
    path = save_dicom(tmp_path / "a.dcm", GREY, PhotometricInterpretation="PALETTE COLOR", **tags)
    assert np.abs(decoded(path).astype(int) - (255 - GREY)).max() <= 1


def test_compressed_pixels_are_read(tmp_path: Path):
    from pydicom import dcmread
    from pydicom.encaps import encapsulate
    from pydicom.uid import JPEGBaseline8Bit

    path = save_dicom(tmp_path / "a.dcm", GREY)
    content = io.BytesIO()
    Image.fromarray(GREY).save(content, "JPEG", quality=95)
    found = dcmread(path)
    found.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    found.PixelData = encapsulate([content.getvalue()])
    found["PixelData"].VR = "OB"
    found.save_as(path)
    assert np.abs(decoded(path) - GREY).mean() < 3


@pytest.mark.parametrize("syntax", ["RLELossless", "JPEG2000Lossless"])
def test_lossless_compression_loses_nothing(tmp_path: Path, syntax: str):
    from pydicom import dcmread, uid
    from pydicom.encaps import encapsulate

    path = save_dicom(tmp_path / "a.dcm", GREY)
    found = dcmread(path)
    if syntax == "RLELossless":
        found.compress(uid.RLELossless)
    else:
        content = io.BytesIO()
        Image.fromarray(GREY).save(content, "JPEG2000", irreversible=False, no_jp2=True)
        found.file_meta.TransferSyntaxUID = uid.JPEG2000Lossless
        found.PixelData = encapsulate([content.getvalue()])
        found["PixelData"].VR = "OB"
    found.save_as(path)
    assert (decoded(path) == GREY).all()


def _compressed(path: Path, array: np.ndarray) -> Path:
    from pydicom import dcmread, uid

    found = dcmread(save_dicom(path, array))
    found.compress(uid.RLELossless)
    found.save_as(path)
    return path


def test_a_decoder_that_is_installed_later_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from pydicom.pixels.decoders import RLELosslessDecoder

    for i in range(8):
        _compressed(tmp_path / "set" / "ab"[i % 2] / f"{i}.dcm", picture(i))
    with monkeypatch.context() as bare:
        bare.setattr(RLELosslessDecoder, "_available", {})
        for _ in range(2):
            with pytest.raises(InputError, match=r"8 of 8 images.*; install the extra: .*set/a/0\.dcm \(no decoder"):
                data.load(f"dicom:{tmp_path / 'set'}", image_size=32, cache=tmp_path / "cache")
    assert len(data.load(f"dicom:{tmp_path / 'set'}", image_size=32, cache=tmp_path / "cache")) == 8


def test_a_few_images_and_masks_without_a_decoder_are_tried_again(table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from pydicom.pixels.decoders import RLELosslessDecoder

    path = table(24, mask=lambda i: "masks/5.dcm" if i == 5 else "")
    _compressed(tmp_path / "masks/5.dcm", lung())

    def found() -> data.Dataset:
        return data.load(str(path), image_size=32, cache=tmp_path / "cache")

    with monkeypatch.context() as bare:
        bare.setattr(RLELosslessDecoder, "_available", {})
        first = found()
        assert not first.has_mask.any()
        assert any("1 masks could not be read here" in note and "pepx-nas[dicom]" in note for note in first.notes)
    assert found().has_mask.tolist() == [i == 5 for i in range(24)]
    _compressed(tmp_path / "images/003.png", picture(3))
    with monkeypatch.context() as bare:
        bare.setattr(RLELosslessDecoder, "_available", {})
        first = found()
        assert len(first) == 23
        assert first.images.any()
        assert any("images/003.png (no decoder for its transfer syntax); install the extra" in note for note in first.notes)
    assert len(found()) == 24
    assert len(list((tmp_path / "cache/decoded").iterdir())) == 2


def test_what_is_no_radiograph_is_refused_with_a_reason(tmp_path: Path):
    with pytest.raises(UnreadableError, match="several frames"):
        read_image(save_dicom(tmp_path / "film.dcm", np.stack([GREY] * 2), NumberOfFrames=2))
    with pytest.raises(UnreadableError, match="modality CT"):
        read_image(save_dicom(tmp_path / "slice.dcm", GREY, Modality="CT"))
    with pytest.raises(UnreadableError, match="too many pixels"):
        read_image(save_dicom(tmp_path / "bomb.dcm", GREY, Rows=60_000, Columns=60_000))
    (tmp_path / "text.dcm").write_text("text")
    with pytest.raises(UnreadableError, match="damaged DICOM"):
        read_image(tmp_path / "text.dcm")
    whole = save_dicom(tmp_path / "cut.dcm", GREY).read_bytes()
    (tmp_path / "cut.dcm").write_bytes(whole[:-500])
    with pytest.raises(UnreadableError, match="damaged DICOM"):
        read_image(tmp_path / "cut.dcm")


def _inspected(folder: Path, out: Path) -> list[Path]:
    """What looking at a folder writes, apart from the contact sheet."""
    from nas.jobs.inspect import inspect

    inspect(str(folder), image_size=32, out=out)
    return sorted(out.glob("*.json"))


def test_nothing_personal_reaches_the_data_set(tmp_path: Path):
    for i in range(8):
        tags = {
            "PatientID": f"SECRET{i // 2}",
            "PatientName": "Roe^Richard",
            "InstitutionName": "Hospital",
            "BurnedInAnnotation": "YES",
        }
        save_dicom(tmp_path / "set" / "ab"[i % 2] / f"ROE_RICHARD_{i}.dcm", picture(i), **tags)
    found = data.load(f"dicom:{tmp_path / 'set'}", image_size=32)
    columns = [
        found.file,
        found.patient,
        found.group,
        found.source,
        found.view,
        *found.metadata.values(),
        np.array(found.notes),
    ]
    text = " ".join(str(value) for column in columns for value in column)
    assert not any(word in text for word in ("SECRET", "Roe", "ROE", "Hospital"))
    assert len(set(found.patient)) == 4
    written = "".join(path.read_text() for path in _inspected(tmp_path / "set", tmp_path / "out"))
    assert not any(word in written for word in ("SECRET", "Roe", "ROE", "Hospital"))
    assert any("8 files declare burned-in annotation" in note for note in found.notes)


def test_images_of_one_study_stay_together_where_no_patient_is_known(tmp_path: Path):
    for i in range(8):
        tags = {"PatientID": "" if i < 6 else "P", "StudyInstanceUID": f"1.2.{i // 2}" if i < 4 else ""}
        save_dicom(tmp_path / "set" / "ab"[i % 2] / f"{i}.dcm", picture(i), **tags)
    found = data.load(f"dicom:{tmp_path / 'set'}", image_size=32)
    assert sorted(np.unique(found.group, return_counts=True)[1].tolist()) == [1, 1, 2, 2, 2]
    assert len(set(found.patient)) == 2
    assert not any("1.2." in name for name in found.group)


def test_labels_may_come_from_a_table(tmp_path: Path):
    for i in range(8):
        save_dicom(tmp_path / "set" / f"{i}.dcm", picture(i))
    rows = "\n".join(f"{i}.dcm,{'ab'[i % 2]}" for i in range(8))
    (tmp_path / "set" / "labels.csv").write_text(f"file,label\n{rows}\nmissing.dcm,a\n")
    found = data.load(f"dicom:{tmp_path / 'set'}", image_size=32)
    assert np.bincount(found.labels).tolist() == [4, 4]
    assert found.skipped == {"missing file": 1}


@pytest.mark.parametrize("name", ["labels.csv", "metadata.csv"])
def test_a_table_says_more_than_labels_and_the_files_the_rest(tmp_path: Path, name: str):
    base, rows = tmp_path / "set", []
    for i in range(8):
        save_dicom(
            base / "files" / f"{i}.dcm", picture(i), PatientID=f"SECRET{i // 2}", Manufacturer="Maker", ViewPosition="PA"
        )
        save(base / "masks" / f"{i}.png", lung())
        rows.append({"Path": f"files/{i}.dcm", "Diagnosis": "ab"[i % 2], "mask": f"masks/{i}.png" if i < 3 else "",
                     "split": "train" if i < 4 else "test", "source": "ward" if i < 6 else "", "group": "SECRET" if i > 5 else ""})  # fmt: skip
    write_csv(base / name, rows)
    found = data.load(str(base), image_size=32)
    assert found.notes[0].endswith(f"a tree of DICOM files with {name}")
    assert np.bincount(found.labels).tolist() == [4, 4]
    assert found.has_mask.tolist() == [i < 3 for i in range(8)]
    assert found.split.tolist() == ["train"] * 4 + ["test"] * 4
    assert found.source.tolist() == ["ward"] * 6 + ["Maker"] * 2
    assert (len(set(found.patient)), set(found.view)) == (4, {"PA"})
    assert "SECRET" not in " ".join([*found.patient, *found.group])


@pytest.mark.parametrize("name", ["labels.csv", "metadata.csv"])
def test_a_tree_is_recognised_by_its_table_where_many_masks_come_first(tmp_path: Path, name: str):
    rows = []
    for i in range(50):
        save(tmp_path / "set" / "masks" / f"{i}.png", lung())
        rows.append({"file": f"radiographs/{i}.dcm", "label": "ab"[i % 2], "mask": f"masks/{i}.png", "name": "Roe^Richard"})
        save_dicom(tmp_path / "set" / "radiographs" / f"{i}.dcm", picture(i))
    write_csv(tmp_path / "set" / name, rows)
    found = data.load(str(tmp_path / "set"), image_size=32)
    assert found.notes[0].endswith(f"a tree of DICOM files with {name}")
    assert found.has_mask.all()
    assert "name" not in found.metadata


def test_splits_above_the_class_folders_are_kept(tmp_path: Path):
    for i in range(12):
        save_dicom(tmp_path / ("Train", "test")[i % 2] / ("covid", "normal")[i // 2 % 2] / f"study{i}" / str(i), picture(i))
    save_dicom(tmp_path / "extra" / "covid" / "x", picture(20))
    found = data.load(str(tmp_path), image_size=32)
    assert found.classes == ("normal", "covid")
    assert found.split.tolist() == ["train"] * 6 + ["test"] * 6
    assert found.skipped == {"file outside the class folders": 1}


def test_a_tag_that_makes_no_sense_costs_one_file(tmp_path: Path):
    for i in range(8):
        save_dicom(tmp_path / "ab"[i % 2] / f"{i}.dcm", picture(i), **({"NumberOfFrames": [1, 2]} if i == 5 else {}))
    found = data.load(str(tmp_path), image_size=32)
    assert (len(found), found.skipped) == (7, {"not DICOM, or damaged": 1})


def test_without_the_extra_the_remedy_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = save_dicom(tmp_path / "a" / "a.dcm", GREY)
    original = builtins.__import__

    def without(name: str, *rest: object, **more: object) -> object:
        if name == "pydicom":
            raise ImportError(name)
        return original(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(InputError, match=r"DICOM files need pydicom; install the extra: pip install 'pepx-nas\[dicom\]'"):
        data.load(f"dicom:{path.parent.parent}")
    with pytest.raises(InputError, match="install the extra"):
        data.prepare(path, data.Preprocessing())
