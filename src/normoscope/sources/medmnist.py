"""The 2-D MedMNIST and MedMNIST+ sets (28, 64, 128 and 224 pixels), downloaded with an md5 check or read locally.

`medmnist:pneumoniamnist` (28 pixels), `medmnist:pneumoniamnist_64`, or a path to the .npz. Local files are looked for
first, in $NORMOSCOPE_DATA/medmnist and in the cache folder; a local file that is not the official one is used, and
said to be so with its md5. The normal class is never presumed: BreastMNIST's label 1 is "normal, benign".

Licence: CC BY 4.0 (DermaMNIST CC BY-NC 4.0).
Reference: Yang et al., MedMNIST v2, Scientific Data 10, 41, 2023; files: Zenodo record 10519652.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import shutil
import tempfile
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy.typing as npt

from ..errors import DataNotFoundError, LayoutError, OptionError
from ..types import Sample, Split
from ._arrays import check_images, keys, read_array, samples_of

__all__ = ["MedMNIST"]

SERVER = "https://zenodo.org/records/10519652/files"
ORGANS = [
    "bladder",
    "femur-left",
    "femur-right",
    "heart",
    "kidney-left",
    "kidney-right",
    "liver",
    "lung-left",
    "lung-right",
    "pancreas",
    "spleen",
]
LABELS: dict[str, list[str]] = {
    "pathmnist": [
        "adipose",
        "background",
        "debris",
        "lymphocytes",
        "mucus",
        "smooth muscle",
        "normal colon mucosa",
        "cancer-associated stroma",
        "colorectal adenocarcinoma epithelium",
    ],
    "chestmnist": ["no finding", "finding"],
    "dermamnist": [
        "actinic keratoses and intraepithelial carcinoma",
        "basal cell carcinoma",
        "benign keratosis-like lesions",
        "dermatofibroma",
        "melanoma",
        "melanocytic nevi",
        "vascular lesions",
    ],
    "octmnist": ["choroidal neovascularization", "diabetic macular edema", "drusen", "normal"],
    "pneumoniamnist": ["normal", "pneumonia"],
    "retinamnist": ["grade 0", "grade 1", "grade 2", "grade 3", "grade 4"],
    "breastmnist": ["malignant", "normal, benign"],
    "bloodmnist": [
        "basophil",
        "eosinophil",
        "erythroblast",
        "immature granulocytes",
        "lymphocyte",
        "monocyte",
        "neutrophil",
        "platelet",
    ],
    "tissuemnist": [
        "collecting duct, connecting tubule",
        "distal convoluted tubule",
        "glomerular endothelial cells",
        "interstitial endothelial cells",
        "leukocytes",
        "podocytes",
        "proximal tubule segments",
        "thick ascending limb",
    ],
    "organamnist": ORGANS,
    "organcmnist": ORGANS,
    "organsmnist": ORGANS,
}
MD5 = {
    "pathmnist": "a8b06965200029087d5bd730944a56c1",
    "pathmnist_64": "55aa9c1e0525abe5a6b9d8343a507616",
    "pathmnist_128": "ac42d08fb904d92c244187169d1fd1d9",
    "pathmnist_224": "2c51a510bcdc9cf8ddb2af93af1eadec",
    "chestmnist": "02c8a6516a18b556561a56cbdd36c4a8",
    "chestmnist_64": "9de6cd0b934ebb5b7426cfba5efbae16",
    "chestmnist_128": "db107e5590b27930b62dbaf558aebee3",
    "chestmnist_224": "45bd33e6f06c3e8cdb481c74a89152aa",
    "dermamnist": "0744692d530f8e62ec473284d019b0c7",
    "dermamnist_64": "b70a2f5635c6199aeaa28c31d7202e1f",
    "dermamnist_128": "2defd784463fa5243564e855ed717de1",
    "dermamnist_224": "8974907d8e169bef5f5b96bc506ae45d",
    "octmnist": "c68d92d5b585d8d81f7112f81e2d0842",
    "octmnist_64": "e229e9440236b774d9f0dfef9d07bdaf",
    "octmnist_128": "0a97e76651ace45c5d943ee3f65b63ae",
    "octmnist_224": "abc493b6d529d5de7569faaef2773ba3",
    "pneumoniamnist": "28209eda62fecd6e6a2d98b1501bb15f",
    "pneumoniamnist_64": "8f4eceb4ccffa70c672198ea285246c6",
    "pneumoniamnist_128": "05b46931834c231683c68f40c47b2971",
    "pneumoniamnist_224": "d6a3c71de1b945ea11211b03746c1fe1",
    "retinamnist": "bd4c0672f1bba3e3a89f0e4e876791e4",
    "retinamnist_64": "afda852cc34dcda56f86ad2b2457dbcc",
    "retinamnist_128": "e48e916a24454daf90583d4e6efb1a18",
    "retinamnist_224": "eae7e3b6f3fcbda4ae613ebdcbe35348",
    "breastmnist": "750601b1f35ba3300ea97c75c52ff8f6",
    "breastmnist_64": "742edef2a1fd1524b2efff4bd7ba9364",
    "breastmnist_128": "363e4b3f8d712e9b5de15470a2aaadf1",
    "breastmnist_224": "b56378a6eefa9fed602bb16d192d4c8b",
    "bloodmnist": "7053d0359d879ad8a5505303e11de1dc",
    "bloodmnist_64": "2b94928a2ae4916078ca51e05b6b800b",
    "bloodmnist_128": "adace1e0ed228fccda1f39692059dd4c",
    "bloodmnist_224": "b718ff6835fcbdb22ba9eacccd7b2601",
    "tissuemnist": "ebe78ee8b05294063de985d821c1c34b",
    "tissuemnist_64": "123ece2eba09d0aa5d698fda57103344",
    "tissuemnist_128": "61b955355d7425a89687b06cca3ce0c2",
    "tissuemnist_224": "b077128c4a949f0a4eb01517f9037b9c",
    "organamnist": "68e3f8846a6bd62f0c9bf841c0d9eacc",
    "organamnist_64": "2dcccc29b88e6da5a01161ef20cda288",
    "organamnist_128": "eeae80d0a227a8d099027e1b3cfd3b60",
    "organamnist_224": "50747347e05c87dd3aaf92c49f9f3170",
    "organcmnist": "b9ceb9546e10131b32923c5bbeaea2b1",
    "organcmnist_64": "3ce34a8724ea6f548e6db4744d03b6a9",
    "organcmnist_128": "773c1f009daa3fe5d9a2a201b2a7ed94",
    "organcmnist_224": "050f5e875dc056f6768abf94ec9995d1",
    "organsmnist": "9ab87b696fb54e2a387ebe992d6ed5f1",
    "organsmnist_64": "53a6d115339d874c25e309a994ff46d3",
    "organsmnist_128": "ded0c5fa01a95dc4978b956f613e9b8e",
    "organsmnist_224": "b354719e553fbbb2513d5533f52a4cb1",
}
SPLITS: tuple[tuple[str, Split], ...] = (("train", "train"), ("val", "validation"), ("test", "test"))


@dataclass(frozen=True)
class MedMNIST:
    """One MedMNIST set.

    Args:
        name: `breastmnist`, `breastmnist_128` ..., or a path to an .npz of that layout.
        cache: Folder for downloads; default $NORMOSCOPE_CACHE or ~/.cache/normoscope.
        server: Where `NAME.npz` is downloaded from.
    """

    name: str
    cache: str = ""
    server: str = SERVER

    default_normal: ClassVar[tuple[str, ...]] = ()

    @cached_property
    def _key(self) -> str:
        """Name the set, by its file's content where the file was renamed."""
        stem = Path(self.name).stem.lower()
        if stem in MD5 or Path(self.name).suffix != ".npz" or not self._file().is_file():
            return stem
        content = _md5(self._file())
        return next((name for name, md5 in MD5.items() if md5 == content), stem)

    def aliases(self) -> Mapping[str, str]:
        """Map the official class names to the labels."""
        labels = LABELS.get(self._key.partition("_")[0], [])
        if self._key.startswith("chestmnist"):
            return {}
        aliases = {text: str(number) for number, text in enumerate(labels)}
        return {**aliases, **({"normal": "1", "benign": "1"} if self._key.startswith("breastmnist") else {})}

    def notes(self) -> tuple[str, ...]:
        """Say where the file came from if it is not the official one."""
        path, official = self._file(), MD5.get(self._key)
        found = _md5(path)
        if official is None:
            return (f"{path.name} is no known MedMNIST file; its md5 is {found}",)
        return () if found == official else (f"{path.name} is not the official file: md5 {found}, official {official}",)

    def samples(self) -> Sequence[Sample]:
        """List the official train, validation and test splits.

        Raises:
            DataNotFoundError: Neither local nor downloadable.
            LayoutError: Not a MedMNIST file.
        """
        path = self._file()
        found = keys(path)
        samples: list[Sample] = []
        for key, split in SPLITS:
            if f"{key}_images" not in found or f"{key}_labels" not in found:
                raise LayoutError(str(path), f"arrays {key}_images and {key}_labels", ", ".join(found))
            images = check_images(f"{path}, {key}_images", read_array(path, f"{key}_images"))
            labels = read_array(path, f"{key}_labels")
            if len(labels) != len(images):
                raise LayoutError(str(path), f"{len(images)} {key}_labels", str(len(labels)))
            samples += samples_of(images, _classes(labels), [f"{key}/{i}" for i in range(len(images))], split)
        return samples

    def _file(self) -> Path:
        """Find the file locally, else download it."""
        given = Path(self.name).expanduser()
        if given.suffix == ".npz":
            return given
        if self._key not in MD5:
            raise OptionError("medmnist set", self.name, "a path or one of " + ", ".join(sorted(MD5)))
        cache = Path(self.cache or os.environ.get("NORMOSCOPE_CACHE") or Path.home() / ".cache" / "normoscope")
        data = os.environ.get("NORMOSCOPE_DATA")
        folders = [*([Path(data, "medmnist")] if data else []), cache]
        for folder in folders:
            if (folder / f"{self._key}.npz").is_file():
                return folder / f"{self._key}.npz"
        return _download(f"{self.server}/{self._key}.npz", cache, MD5[self._key], folders)


def _download(url: str, folder: Path, md5: str, looked: Sequence[Path]) -> Path:
    """Fetch into a temporary folder, check the md5, then move the file to its place."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".download.") as temporary:
            part = Path(temporary, Path(url).name)
            with urllib.request.urlopen(url, timeout=30) as answer, part.open("wb") as file:
                shutil.copyfileobj(answer, file)
            found = _md5(part)
            if found != md5:
                raise LayoutError(url, f"a file with md5 {md5}", f"md5 {found}", "download it again")
            return part.replace(folder / part.name)
    except (OSError, ValueError, http.client.HTTPException) as error:
        places = " and ".join(str(folder) for folder in looked)
        raise DataNotFoundError(
            Path(url).name, places, f"and {url} could not be downloaded ({error}); put the file there by hand"
        ) from None


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


def _classes(labels: npt.NDArray[Any]) -> list[str]:
    """Return one class per row; of several labels per image (ChestMNIST), any makes a finding."""
    if labels.ndim == 2 and labels.shape[1] > 1:
        return ["finding" if any(row) else "no finding" for row in labels.tolist()]
    return [str(label) for label in labels.reshape(len(labels)).tolist()]
