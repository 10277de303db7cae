"""A tiny sample of every layout that a reader reads, with what loading it must give."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import numpy as np
from data_samples import lung, picture, save, write_csv


@dataclass
class Layout:
    """A sample on disk and the truth about it."""

    reader: str
    path: Path
    classes: dict[str, int]
    groups: int
    sources: set[str]
    masks: int = 0
    splits: dict[str, int] = field(default_factory=dict)
    skipped: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.splits = self.splits or {"": sum(self.classes.values())}


def _pictures() -> Callable[[Path], Path]:
    """A function that writes the next picture; no two look alike."""
    numbers = count()
    return lambda path: save(path, picture(next(numbers)))


def _table(base: Path) -> Layout:
    write = _pictures()
    rows = []
    for i in range(8):
        write(base / "pictures" / f"{i}.png")
        save(base / "masks" / f"{i}.png", lung((20, 24)) if i == 0 else lung())
        rows.append({"file": f"pictures/{i}.png", "label": "ab"[i % 2], "mask": f"masks/{i}.png" if i < 3 else "",
                     "patient": f"p{i // 2}", "source": "here", "split": "train" if i < 4 else ""})  # fmt: skip
    rows.append({"file": "", "label": "a"})
    path = write_csv(base / "set.csv", rows)
    splits = {"train": 4, "": 4}
    return Layout("table", path, {"a": 4, "b": 4}, 4, {"here"}, 3, splits, {"row without file or label": 1})


def _folder(base: Path) -> Layout:
    write = _pictures()
    for split, n in (("train", 4), ("val", 2), ("test", 2)):
        for name in ("NORMAL", "PNEUMONIA"):
            for i in range(n):
                write(base / split / name / (f"person{i // 2}_virus_{i}.jpeg" if name == "PNEUMONIA" else f"{i}.jpeg"))
    (base / "train" / "NORMAL" / "notes.txt").write_text("text")
    (base / "nested.zip").write_bytes(b"PK")
    (base / "train" / "NORMAL" / "film.mp4").write_bytes(b"\x00")
    (base / "train" / "NORMAL" / ".DS_Store").write_bytes(b"\x00")
    skipped = {"not an image (.txt)": 1, "not an image (.zip)": 1, "not an image (.mp4)": 1, "not an image (no extension)": 1}
    splits = {"train": 8, "validation": 4, "test": 4}
    return Layout("folder", base, {"NORMAL": 8, "PNEUMONIA": 8}, 12, {base.name}, 0, splits, skipped)


def _covidx(base: Path) -> Layout:
    write = _pictures()
    lines = {
        "train": ["1 a.png normal rsna", "1 b.png normal rnsa", "COVID 7 C(7).png COVID-19 sirm", "COVID 8 C(8).png COVID-19 sirm",
                  "1 d.jpg pneumonia cohen", "1 e.jpg pneumonia cohen", "", "rubbish"],
        "test": ["2 f.png normal", "3 g.png pneumonia", "../x ../../x.png normal rsna"],
    }  # fmt: skip
    for split, rows in lines.items():
        (base / f"{split}.txt").write_text("\n".join(rows))
        for name in [word for row in rows for word in row.split() if word.endswith(("png", "jpg")) and ".." not in word]:
            write(base / split / name)
    skipped = {"line that is not 'patient file label source'": 1, "file name leaves the data set": 1}
    splits = {"train": 6, "test": 2}
    classes = {"normal": 3, "covid": 2, "pneumonia": 3}
    return Layout("covidx", base, classes, 6, {"rsna", "sirm", "cohen", "covidx"}, 0, splits, skipped)


def _radiography(base: Path) -> Layout:
    write = _pictures()
    top = base / "COVID-19_Radiography_Dataset"
    for name in ("COVID", "Lung_Opacity", "Normal", "Viral Pneumonia"):
        for i in range(3):
            write(top / name / "images" / f"{name}-{i}.png")
            save(top / name / "masks" / f"{name}-{i}.png", lung((32, 32)))
        (top / f"{name}.metadata.xlsx").write_bytes(b"PK")
    classes = {"normal": 3, "covid": 3, "lung_opacity": 3, "viral_pneumonia": 3}
    return Layout("radiography", base, classes, 12, {"radiography"}, 12)


def _ieee8023(base: Path) -> Layout:
    write = _pictures()
    base = base / "covid-chestxray-dataset"
    findings = [
        ("Pneumonia/Viral/COVID-19", "PA"), ("Pneumonia/Viral/COVID-19", "AP Supine"), ("Pneumonia/Viral/SARS", "AP"), ("No Finding", "PA"),
        ("Pneumonia/Viral/COVID-19", "L"), ("todo", "PA"), ("Pneumonia", "Axial"),
    ]  # fmt: skip
    rows = []
    for i, (finding, view) in enumerate(findings):
        name = f"{i}.png"
        write(base / "images" / name)
        rows.append({"patientid": str(i // 2), "offset": "", "sex": "F", "finding": finding, "view": view, "folder": "images",
                     "modality": "CT" if view == "Axial" else "X-ray", "filename": name, "": ""})  # fmt: skip
    save(base / "annotations/lungVAE-masks/0_mask.png", lung())
    write_csv(base / "metadata.csv", rows)
    skipped = {"view L": 1, "no finding stated": 1, "modality CT": 1}
    return Layout("ieee8023", base, {"normal": 1, "covid": 2, "pneumonia": 1}, 2, {"ieee8023"}, 1, {}, skipped)


def _medmnist(base: Path) -> Layout:
    arrays = {}
    numbers = count()
    for split, n in (("train", 6), ("val", 2), ("test", 4)):
        arrays[f"{split}_images"] = np.stack([picture(next(numbers), (28, 28)) for _ in range(n)])
        arrays[f"{split}_labels"] = (np.arange(n) % 2)[:, None].astype(np.uint8)
    np.savez_compressed(base / "pneumoniamnist.npz", **arrays)
    splits = {"train": 6, "validation": 2, "test": 4}
    return Layout("medmnist", base / "pneumoniamnist.npz", {"normal": 6, "pneumonia": 6}, 12, {"pneumoniamnist"}, 0, splits)


def _covid_qu_ex(base: Path) -> Layout:
    write = _pictures()
    for part in ("Lung Segmentation Data", "Infection Segmentation Data"):
        for split in ("Train", "Val", "Test"):
            for name in ("COVID-19", "Non-COVID", "Normal"):
                folder = base / part / part / split / name
                write(folder / "images" / f"{split}{name}.png")
                save(folder / "lung masks" / f"{split}{name}.png", lung())
                if part.startswith("Infection"):
                    save(folder / "infection masks" / f"{split}{name}.png", lung())
    splits = {"train": 3, "validation": 3, "test": 3}
    return Layout("covid-qu-ex", base, {"normal": 3, "covid": 3, "non-covid": 3}, 9, {"covid-qu-ex"}, 9, splits)


def save_dicom(path: Path, array: np.ndarray, **tags: object) -> Path:
    """A minimal uncompressed DICOM radiograph, uint16 or uint8."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, generate_uid

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.1.1"
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[str(path)])
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = Dataset()
    data.file_meta = meta
    bits = array.dtype.itemsize * 8
    values: dict[str, object] = {
        "SOPClassUID": meta.MediaStorageSOPClassUID, "SOPInstanceUID": meta.MediaStorageSOPInstanceUID, "Modality": "DX",
        "PatientID": path.stem, "PatientName": "Doe^Jane", "Rows": array.shape[-2], "Columns": array.shape[-1], "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2", "BitsAllocated": bits, "BitsStored": bits, "HighBit": bits - 1,
        "PixelRepresentation": 0, **tags,
    }  # fmt: skip
    for name, value in values.items():
        setattr(data, name, value)
    data.PixelData = array.tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    data.save_as(path, enforce_file_format=True)
    return path


def _rsna(base: Path) -> Layout:
    targets, classes = [], []
    for i, name in enumerate(("Normal", "Lung Opacity", "No Lung Opacity / Not Normal", "Lung Opacity")):
        save_dicom(base / "stage_2_train_images" / f"patient{i}.dcm", picture(i))
        for _ in range(2 if name == "Lung Opacity" else 1):
            targets.append(
                {"patientId": f"patient{i}", "x": 1, "y": 2, "width": 3, "height": 4, "Target": int(name == "Lung Opacity")}
            )
            classes.append({"patientId": f"patient{i}", "class": name})
    write_csv(base / "stage_2_train_labels.csv", targets)
    write_csv(base / "stage_2_detailed_class_info.csv", classes)
    return Layout("rsna", base, {"normal": 1, "not_normal": 1, "pneumonia": 2}, 4, {"rsna"})


def _nih14(base: Path) -> Layout:
    write = _pictures()
    header = ("Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
              "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y],")  # fmt: skip
    lines = [header]
    rows = [("00000001_000.png", "No Finding", 1), ("00000001_001.png", "Pneumonia|Mass", 1), ("00000002_000.png", "Mass", 2),
            ("00000003_000.png", "Mass|Nodule", 3), ("00000004_000.png", "Mass", 4)]  # fmt: skip
    for i, (name, finding, patient) in enumerate(rows):
        if patient < 4:
            write(base / f"images_00{1 + i % 2}" / "images" / name)
        lines.append(f"{name},{finding},0,{patient},50,M,PA,2500,2048,0.171,0.171,")
    (base / "Data_Entry_2017.csv").write_text("\n".join(lines) + "\n")
    (base / "test_list.txt").write_text("00000002_000.png\n")
    (base / "train_val_list.txt").write_text("00000001_000.png\n00000001_001.png\n")
    skipped = {"several findings": 1, "image not on disk": 1}
    splits = {"train": 2, "test": 1}
    return Layout("nih14", base, {"normal": 1, "mass": 1, "pneumonia": 1}, 2, {"nih14"}, 0, splits, skipped)


def _dicom(base: Path) -> Layout:
    for i in range(4):
        maker = ("Maker", "Other")[i % 2]  # the same people on both machines
        save_dicom(base / "normal" / f"n{i}.dcm", picture(i), PatientID=f"Doe{i // 2}", Manufacturer=maker)
        save_dicom(
            base / "covid" / f"c{i}", picture(10 + i), PatientID=f"Roe{i}", Manufacturer="Maker", BurnedInAnnotation="YES"
        )
    save_dicom(base / "covid" / "ct.dcm", picture(30), Modality="CT")
    save_dicom(base / "covid" / "film.dcm", np.stack([picture(31)] * 2), NumberOfFrames=2)
    (base / "covid" / "report.txt").write_text("text")
    skipped = {"modality CT": 1, "several frames": 1, "not DICOM, or damaged": 1}
    return Layout("dicom", base, {"normal": 4, "covid": 4}, 6, {"Maker", "Other"}, 0, {}, skipped)


def _mendeley(base: Path) -> Layout:
    write = _pictures()
    rows = []
    for name in ("covid", "pneumonia", "normal"):
        for i in range(3):
            write(base / name / f"{name}_{i}.jpg")
            rows.append({"directory": f"{name}/{name}_{i}.jpg", "class": name})
    write_csv(base / "metadata.csv", rows)
    skipped = {"not an image (.csv)": 1}
    return Layout("mendeley", base, {"normal": 3, "covid": 3, "pneumonia": 3}, 9, {"mendeley"}, 0, {}, skipped)


def _kaggle3(base: Path) -> Layout:
    write = _pictures()
    for split, n in (("train", 3), ("test", 1)):
        for name in ("COVID19", "NORMAL", "PNEUMONIA"):
            for i in range(n):
                write(base / "Data" / split / name / f"{name}({i}).jpg")
    splits = {"train": 9, "test": 3}
    return Layout("kaggle3", base, {"normal": 4, "covid": 4, "pneumonia": 4}, 12, {"kaggle3"}, 0, splits)


LAYOUTS: dict[str, Callable[[Path], Layout]] = {
    "table": _table, "folder": _folder, "covidx": _covidx, "radiography": _radiography, "ieee8023": _ieee8023, "medmnist": _medmnist,
    "covid-qu-ex": _covid_qu_ex, "rsna": _rsna, "nih14": _nih14, "dicom": _dicom, "mendeley": _mendeley, "kaggle3": _kaggle3,
}  # fmt: skip


def lay_out(name: str, base: Path) -> Layout:
    """Write the sample of one reader below ``base``."""
    folder = base / name
    folder.mkdir()
    return LAYOUTS[name](folder)
