"""The data sets the papers use, by one name each: where they are looked for, and what to say where they are absent."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from ..sources import load
from ..types import Collection

__all__ = ["DATA", "Absent", "DataSet", "read"]

_PATIENTS = r"(?:NORMAL2-)?IM-\d+|person\d+_(?:bacteria|virus)"


@dataclass(frozen=True)
class Absent:
    """Data the paper uses and this machine lacks.

    Args:
        name: The paper's name of it.
        where: Where to get it.
        licence: Under which terms.
        layout: What it must look like and where it must lie.
    """

    name: str
    where: str
    licence: str
    layout: str

    def __str__(self) -> str:
        return f"{self.name}: not run, data absent. Get it from {self.where} ({self.licence}); {self.layout}"


@dataclass(frozen=True)
class DataSet:
    """One data set.

    Args:
        title: What tables call it.
        path: Below $NORMOSCOPE_DATA; what must exist for the data to count as present.
        spec: What `sources.load` is given; `{path}` stands for the full path.
        normal_class: The normal class.
        absent: Where to get it.
        group_regex: Patient ids inside the names; empty where there are none.
    """

    title: str
    path: str
    spec: str
    normal_class: str
    absent: Absent
    group_regex: str = ""

    @property
    def place(self) -> Path | None:
        """Where it lies, None where it does not."""
        home = os.environ.get("NORMOSCOPE_DATA", "")
        place = Path(home, self.path)
        return place if home and place.exists() else None


def read(name: str) -> Collection:
    """List the samples of a data set that is present."""
    data = DATA[name]
    assert data.place is not None, f"{name} is absent"
    spec = data.spec.format(path=data.place)
    return load(spec, normal_class=data.normal_class, group_regex=data.group_regex or None)


def _medmnist(name: str, title: str, normal: str) -> DataSet:
    path = f"medmnist/{name}.npz"
    where = f"https://zenodo.org/records/10519652 ({name}.npz)"
    absent = Absent(title, where, "CC BY 4.0", f"put it at $NORMOSCOPE_DATA/{path}")
    return DataSet(title, path, f"medmnist:{name}", normal, absent)


def _elsewhere(name: str, title: str, where: str, licence: str, layout: str) -> DataSet:
    absent = Absent(title, where, licence, f"put it at $NORMOSCOPE_DATA/{name}: {layout}")
    return DataSet(title, name, "folder:{path}", "normal", absent)


_MEDIANOMALY = "images/ and data.json, as https://zenodo.org/records/12677223 has them"

DATA: dict[str, DataSet] = {
    "pneumoniamnist": _medmnist("pneumoniamnist", "PneumoniaMNIST 28 px", "normal"),
    "breastmnist": _medmnist("breastmnist", "BreastMNIST 28 px", "1"),
    "octmnist": _medmnist("octmnist", "OCTMNIST 28 px", "normal"),
    "chest_xray_64": DataSet(
        "chest X-rays 64 px",
        "chest_xray/chest_xray_64.npz",
        "npz:{path}",
        "0",
        Absent(
            "Kaggle chest X-rays",
            "https://data.mendeley.com/datasets/rscbjbr9sj",
            "CC BY 4.0",
            "resize to 64 pixels and store train_images, train_labels, train_names, test_images, test_labels and "
            "test_names in $NORMOSCOPE_DATA/chest_xray/chest_xray_64.npz",
        ),
        _PATIENTS,
    ),
    "mnist": DataSet(
        "MNIST",
        "mnist",
        "mnist:{path}",
        "0",
        Absent(
            "MNIST",
            "http://yann.lecun.com/exdb/mnist",
            "CC BY-SA 3.0",
            "put its four idx files into $NORMOSCOPE_DATA/mnist",
        ),
    ),
    "fashion_mnist": DataSet(
        "FashionMNIST",
        "fashion_mnist",
        "fashion_mnist:{path}",
        "0",
        Absent(
            "FashionMNIST",
            "https://github.com/zalandoresearch/fashion-mnist",
            "MIT",
            "put its idx files, or an npz with test_images and test_labels, into $NORMOSCOPE_DATA/fashion_mnist",
        ),
    ),
    "conocc_mri": _elsewhere(
        "conocc_mri",
        "brain MRI 32 px (ConOCC)",
        "nowhere: the patches were cut by the paper's authors and are not published",
        "not published",
        "train/ and test/ with a folder per class, the majority's named normal",
    ),
    "conocc_ffdm": _elsewhere(
        "conocc_ffdm",
        "FFDM 64 px (ConOCC)",
        "nowhere: the mammograms are private to the paper's authors",
        "not published",
        "train/ and test/ with a folder per class, the majority's named normal",
    ),
    "rsna": _elsewhere("rsna", "RSNA", "https://zenodo.org/records/12677223", "CC BY 4.0", _MEDIANOMALY),
    "vindr": _elsewhere("vindr", "VinDr-CXR", "https://zenodo.org/records/12677223", "CC BY 4.0", _MEDIANOMALY),
    "brain_tumor": _elsewhere(
        "brain_tumor", "Brain Tumor", "https://zenodo.org/records/12677223", "CC BY 4.0", _MEDIANOMALY
    ),
    "lag": _elsewhere("lag", "LAG", "https://zenodo.org/records/12677223", "CC BY 4.0", _MEDIANOMALY),
    "brats2021": _elsewhere(
        "brats2021",
        "BraTS2021",
        "https://www.synapse.org/brats2021, or as slices https://zenodo.org/records/12677223",
        "registration with the challenge",
        "the slices of MedIAnomaly or of BMAD, or NIfTI volumes",
    ),
    "resc": _elsewhere(
        "resc", "RESC", "https://github.com/DorisBao/BMAD", "CC BY-NC-SA 4.0", "BMAD's folders, or its PNG layout"
    ),
}
"""Every data set by name. One name may serve several papers."""
