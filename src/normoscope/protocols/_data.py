"""The data sets the papers use, by one name each: where they are looked for, and what to say where they are absent.

RSNA and VinDr-CXR are taken as the benchmark's PNG images; their originals are DICOM files with tables, not read yet.
The benchmark turns the images of its sets grey, but for Camelyon16, and stretches them to a square; so does `read`.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from ..errors import LayoutError, NormalClassError, OptionError
from ..sources import load
from ..sources._walk import walk
from ..transforms import Aspect, Intensity, Preprocessor
from ..types import Collection, Pixels

__all__ = ["BENCHMARK_SIDE", "DATA", "Absent", "DataSet", "Form", "read"]

BENCHMARK_SIDE = 64
"""Pixels of the square to which MedIAnomaly's and AE4AD's own sets are brought."""

_KAGGLE_PATIENTS = r"(?:NORMAL2-)?IM-\d+|person\d+_(?:bacteria|virus)"
_MENDELEY_PATIENTS = r"(?:NORMAL|BACTERIA|VIRUS)-\d+"
# a name of another form is a patient of its own
_BRATS_PATIENTS = r"(?:BraTS2021_)?\d{5}(?=_)|[^/]+$"
# SCAN_SLICE; training scans have numbers of their own, validation and test are of the same scans
_RESC_PATIENTS = r"^(?i:train)/.*?\d+(?=_\d+\.)|(?<=/)\d+(?=_\d+\.)|(?<=/)[^/]+$"


@dataclass(frozen=True)
class Absent:
    """Data the paper uses and this machine lacks.

    Args:
        name: The paper's name of it.
        where: Where to get it.
        licence: Under which terms.
        layout: What it must look like and where it must lie.
        private: Why nobody can get it; empty where one can, and the three above are empty where one cannot.
    """

    name: str
    where: str = ""
    licence: str = ""
    layout: str = ""
    private: str = ""

    def __str__(self) -> str:
        if self.private:
            return f"{self.name}: not run, {self.private}"
        return f"{self.name}: not run, data absent. Get it from {self.where} ({self.licence}); {self.layout}"


@dataclass(frozen=True)
class Form:
    """One of the layouts in which a data set is given out.

    Args:
        sign: What one of its files is called from the set's path on, as a regular expression that tells this layout
            from the set's usual one.
        spec: What `sources.load` is given; `{path}` stands for the full path.
        options: Further fields of the source.
    """

    sign: str
    spec: str
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class DataSet:
    """One data set.

    Args:
        title: What tables call it.
        path: Below $NORMOSCOPE_DATA; what must exist for the data to count as present.
        spec: What `sources.load` is given; `{path}` stands for the full path.
        normal_class: The normal class; None where the layout names it.
        absent: Where to get it.
        group_regex: Patient ids inside the names; empty where there are none.
        other_forms: Layouts beside the usual one; their sources name patients themselves.
        stretched: Side in pixels of the square to which its papers stretch every image; 0 leaves them as they are.
        channels: 1 grey or 3 colour, what stretched images become.
    """

    title: str
    path: str
    spec: str
    normal_class: str | None
    absent: Absent
    group_regex: str = ""
    other_forms: tuple[Form, ...] = ()
    stretched: int = 0
    channels: int = 1

    @property
    def place(self) -> Path | None:
        """Where it lies, None where it does not."""
        home = os.environ.get("NORMOSCOPE_DATA", "")
        place = Path(home, self.path)
        return place if home and place.exists() else None


def read(name: str) -> Collection:
    """List the samples of a data set that is present.

    Raises:
        LayoutError: Its classes are not those of the data set.
        DataError: As its source says.
    """
    data = DATA[name]
    place = data.place
    assert place is not None, f"{name} is absent"
    try:
        for form in data.other_forms:
            if any(re.search(form.sign, "/".join(parts)) for parts, _ in walk(place)):
                return load(form.spec.format(path=place), normal_class=data.normal_class, options=form.options)
        spec = data.spec.format(path=place)
        found = load(spec, normal_class=data.normal_class, group_regex=data.group_regex or None)
        return _stretched(found, data) if data.stretched else found
    # classes and patients are named by the protocol; what is wrong is the folder
    except NormalClassError as error:
        expected = f"{data.title} with {data.normal_class or 'normal'!r} among its classes"
        raise LayoutError(str(place), expected, f"classes {error.found}", data.absent.layout) from None
    except OptionError as error:
        expected = f"{data.title} as it is given out"
        raise LayoutError(str(place), expected, str(error).rstrip("."), data.absent.layout) from None


def _stretched(found: Collection, data: DataSet) -> Collection:
    """Let every image be read as a grey or coloured square; masks, which these sets do not have, would not fit."""
    form = Preprocessor(data.stretched, data.channels, Aspect.SQUASH, Intensity.MINMAX, "", 0.0, 1.0)
    samples = [dataclasses.replace(s, read=partial(_square, s.read, form), read_mask=None) for s in found.samples]
    return dataclasses.replace(found, samples=samples)


def _square(read: Callable[[], Pixels], form: Preprocessor) -> Pixels:
    """Read one image as (side, side) or (side, side, 3), of its own type."""
    planes = form.geometry(read())
    return np.ascontiguousarray(planes[0] if len(planes) == 1 else np.moveaxis(planes, 0, -1))


def _medmnist(name: str, title: str, normal: str) -> DataSet:
    path = f"medmnist/{name}.npz"
    where = f"https://zenodo.org/records/10519652, {name}.npz"
    absent = Absent(title, where, "CC BY 4.0", f"put it at $NORMOSCOPE_DATA/{path}")
    return DataSet(title, path, f"medmnist:{name}", normal, absent)


def _private(name: str, title: str, why: str) -> DataSet:
    return DataSet(title, name, "folder:{path}", None, Absent(title, private=why))


def _medianomaly(
    name: str, title: str, archive: str, layout: str = "images/ and data.json", channels: int = 1
) -> DataSet:
    """Return a set that MedIAnomaly's authors give out as an archive of one folder."""
    where = f"https://zenodo.org/records/12677223, {archive}.tar.gz"
    terms = "CC BY 4.0; the original images have terms of their own"
    absent = Absent(title, where, terms, f"rename its folder {archive}, with {layout}, to $NORMOSCOPE_DATA/{name}")
    return DataSet(title, name, "folder:{path}", None, absent, stretched=BENCHMARK_SIDE, channels=channels)


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
            "https://www.kaggle.com/datasets/paultimothymooney/chest-xray-pneumonia or "
            "https://data.mendeley.com/datasets/rscbjbr9sj",
            "CC BY 4.0",
            "resize to 64 pixels and store train_images, train_labels, train_names, test_images, test_labels and "
            "test_names in $NORMOSCOPE_DATA/chest_xray/chest_xray_64.npz",
        ),
        f"{_KAGGLE_PATIENTS}|{_MENDELEY_PATIENTS}",
    ),
    "chest_xray": DataSet(
        "chest X-rays",
        "kaggle_chest_xray",
        "folder:{path}",
        "NORMAL",
        Absent(
            "Kaggle chest X-rays at full size",
            "https://www.kaggle.com/datasets/paultimothymooney/chest-xray-pneumonia or "
            "https://data.mendeley.com/datasets/rscbjbr9sj",
            "CC BY 4.0",
            "put its folders train, val and test, each with NORMAL and PNEUMONIA, into "
            "$NORMOSCOPE_DATA/kaggle_chest_xray",
        ),
        f"{_KAGGLE_PATIENTS}|{_MENDELEY_PATIENTS}",
    ),
    "mnist": DataSet(
        "MNIST",
        "mnist",
        "mnist:{path}",
        "0",
        Absent(
            "MNIST",
            "https://storage.googleapis.com/cvdf-datasets/mnist",
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
    "conocc_mri": _private("conocc_mri", "breast MRI 32 px (ConOCC)", "the patches are private to the paper's authors"),
    "conocc_ffdm": _private("conocc_ffdm", "FFDM 64 px (ConOCC)", "the mammograms are private to the paper's authors"),
    "rsna": _medianomaly("rsna", "RSNA", "RSNA"),
    "vindr": _medianomaly("vindr", "VinDr-CXR", "VinCXR"),
    "brain_tumor": _medianomaly("brain_tumor", "Brain Tumor", "BrainTumor"),
    "lag": _medianomaly("lag", "LAG", "LAG"),
    "camelyon16": _medianomaly("camelyon16", "Camelyon16", "Camelyon16", "train/good and test/{good,Ungood}", 3),
    "isic2018": DataSet(
        "ISIC2018",
        "isic2018",
        "isic2018:{path}",
        "NV",
        Absent(
            "ISIC2018",
            "https://challenge.isic-archive.com/data/#2018, task 3, training and test",
            "CC BY-NC 4.0",
            "put its folders ISIC2018_Task3_{Training,Test}_{Input,GroundTruth}, and "
            "ISIC2018_Task3_Training_LesionGroupings.csv, into $NORMOSCOPE_DATA/isic2018",
        ),
        stretched=BENCHMARK_SIDE,
    ),
    "brats2021": DataSet(
        "BraTS2021",
        "brats2021",
        "folder:{path}",
        None,
        Absent(
            "BraTS2021",
            "https://zenodo.org/records/12677223, BraTS2021.tar.gz, or https://github.com/DorisBao/BMAD, both as "
            "slices, or https://www.synapse.org/brats2021 as volumes",
            "slices CC BY 4.0 and CC BY-NC-SA 4.0; volumes after registration, terms on the site",
            "put the content of the slices' folder, or the folders BraTS2021_00000 and so on with their NIfTI files, "
            "into $NORMOSCOPE_DATA/brats2021",
        ),
        _BRATS_PATIENTS,
        # MedIAnomaly's cut: 1,051 scans to train, 200 to test, slices 5 apart in the middle 70 x 208 x 208
        (
            Form(
                r"seg\.nii(\.gz)?$",
                "brats:{path}",
                {"spacing": "5", "depth": "70", "crop": "208", "test_share": "0.16"},
            ),
        ),
    ),
    "resc": DataSet(
        "RESC",
        "resc",
        "folder:{path}",
        None,
        Absent(
            "RESC",
            "https://github.com/DorisBao/BMAD, whose page links to a drive with Retina_RESC; of the challenge's own "
            "files, AI Challenger 2018, no public address is known",
            "CC BY-NC-SA 4.0; the challenge's terms: see its site",
            "put BMAD's folders train, val and test, or Edema_trainingset and Edema_validationset, into "
            "$NORMOSCOPE_DATA/resc",
        ),
        _RESC_PATIENTS,
        (Form("(^|/)Edema_trainingset/", "resc:{path}"),),
    ),
}
"""Every data set by name. One name may serve several papers."""
