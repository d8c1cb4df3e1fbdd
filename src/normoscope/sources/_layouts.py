"""How folders of images are laid out, and how to tell.

    flat         DIR/**                                        one class, named as the folder
    classes      DIR/CLASS/**, masks in a folder named label, anomaly_mask, masks ...; attention_map is left out
    splits       DIR/{train,valid,test}/CLASS/**
    mvtec        splits, and ground_truth/CLASS/STEM_mask.png  MVTec AD
    bmad         splits, CLASS/{img,label}/ (or anomaly_mask)  BMAD; also SPLIT/{img,label}/CLASS/ and
                 SPLIT/{SPLIT,SPLIT_label}/CLASS/
    medianomaly  images/ and data.json {"train": {"0": [...]}, "test": {"0": [...], "1": [...]}}, or, for its BraTS
                 set, train/*.png and test/{normal,tumor,annotation}/; a pool "train"/"unlabeled" is left out

Each layout is a function from the listed folder to `Found` images; nothing is opened but data.json.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from ..errors import LayoutError
from ..types import Split

__all__ = ["LAYOUTS", "Files", "Found", "Listing", "counted", "detect"]

Files = Mapping[tuple[str, ...], Path]
"""Path parts below the root, in natural order, to the file."""

SPLIT_NAMES: Mapping[str, Split] = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}
NORMAL_NAMES = ("normal", "good")
IMAGE_FOLDERS = ("img", "image", "images")
DRAWN_FOLDERS = ("attention_map", "attention_maps")
MASK_FOLDERS = ("label", "labels", "anomaly_mask", "mask", "masks", "annotation", "ground_truth")


@dataclass(frozen=True)
class Found:
    """One image, where it belongs, and its mask; `healthy` asks for an empty mask."""

    parts: tuple[str, ...]
    class_name: str
    split: Split | None = None
    mask: Path | None = None
    healthy: bool = False


@dataclass(frozen=True)
class Listing:
    """What a layout made of a folder."""

    found: Sequence[Found]
    notes: Sequence[str] = field(default=())


def detect(root: Path, files: Files) -> str:
    """Name the layout, from the folders' names alone."""
    top = {parts[0].lower() for parts in files if len(parts) > 1}
    if (root / "data.json").is_file() or any(_lower(p)[:2] == ("test", "annotation") for p in files):
        return "medianomaly"
    if top & SPLIT_NAMES.keys():
        if "ground_truth" in top:
            return "mvtec"
        inner = {name.lower() for parts in map(_unnesting(files), files) for name in parts[1:-1][:2]}
        return "bmad" if inner & {"img", *MASK_FOLDERS} else "splits"
    return "classes" if top else "flat"


def flat(root: Path, files: Files) -> Listing:
    """Everything below the folder is one class, named as the folder."""
    name = root.resolve().name
    return Listing([Found(parts, name) for parts in files])


def classes(root: Path, files: Files) -> Listing:
    """The first folder below the root is the class; folders named label, masks ... hold masks under the same names."""
    masks, images = _parted(files, _masks_lie_in)
    images, aside = _without_maps(images)
    _refuse_loose(root, images, depth=1, expected="images in class folders only")
    nested = sorted({parts[0] for parts in images if len(parts) > 2 and parts[1].lower() in SPLIT_NAMES})
    if nested:
        got = f"data sets with splits of their own ({', '.join(nested[:5])})"
        raise LayoutError(str(root), "class folders", got, f"pass one of them: {root / nested[0]}")
    listing = _with_masks(
        [(Found(parts, parts[0]), _stem(_without(parts, IMAGE_FOLDERS))) for parts in images],
        _keyed(root, masks, lambda parts: _stem(_without(parts, MASK_FOLDERS))),
    )
    return Listing(listing.found, [*listing.notes, *aside])


def splits(root: Path, files: Files) -> Listing:
    """The first folder is the split, the second the class."""
    _refuse_other_tops(root, files, SPLIT_NAMES)
    _refuse_loose(root, files, depth=2, expected="images in SPLIT/CLASS folders only")
    unnested = _unnesting(files)
    return Listing([Found(parts, unnested(parts)[1], SPLIT_NAMES[parts[0].lower()]) for parts in files])


def mvtec(root: Path, files: Files) -> Listing:
    """Splits, and masks in ground_truth/CLASS/STEM_mask.png."""
    masks, images = _parted(files, lambda parts: parts[0].lower() == "ground_truth")
    found = splits(root, images).found
    return _with_masks(
        [(f, _below(f.parts) if f.split == "test" else None) for f in found],
        _keyed(root, masks, _below),
    )


def bmad(root: Path, files: Files) -> Listing:
    """Splits, with images in an img folder and masks in a label or anomaly_mask folder beside it."""
    unnested = _unnesting(files)
    masks, images = _parted(files, lambda parts: _masks_lie_in(unnested(parts)))
    plain = _keyed(root, images, lambda parts: _without(unnested(parts), IMAGE_FOLDERS))
    found = splits(root, plain).found
    return _with_masks(
        [(Found(plain[f.parts].relative_to(root).parts, f.class_name, f.split), _stem(f.parts)) for f in found],
        _keyed(root, masks, lambda parts: _stem(_without(unnested(parts), MASK_FOLDERS))),
    )


def medianomaly(root: Path, files: Files) -> Listing:
    """images/ listed by data.json; without one, the layout of its BraTS set."""
    if not (root / "data.json").is_file():
        return _medianomaly_brats(root, files)
    listed: dict[tuple[str, ...], Found] = {}
    pool: set[tuple[str, ...]] = set()
    for split, label, name in _listed(root / "data.json"):
        parts = ("images", *PurePosixPath(name).parts)
        if ".." in parts or PurePosixPath(name).is_absolute():
            raise LayoutError(str(root / "data.json"), "names below images/", repr(name))
        if label is None:
            pool.add(parts)
            continue
        if parts in listed:
            raise LayoutError(str(root / "data.json"), "every image once", f"{name!r} twice", "list it in one part")
        listed[parts] = Found(parts, ("normal", "abnormal")[label], split)
    masks, images = _parted(files, lambda parts: len(parts) > 1 and parts[0].lower() in MASK_FOLDERS)
    by_stem = _keyed(root, masks, lambda parts: _stem(parts[1:]))
    listing = _with_masks([(f, _stem(f.parts[1:])) for f in listed.values()], by_stem)
    rest = images.keys() - listed.keys()
    pooled = len(rest & pool)
    notes = [f"left out {counted(pooled, 'image')} of the unlabelled pool"] if pooled else []
    if len(rest) > pooled:
        notes.append(f"left out {counted(len(rest) - pooled, 'image')} not listed in data.json")
    return Listing(listing.found, [*listing.notes, *notes])


def _medianomaly_brats(root: Path, files: Files) -> Listing:
    """train/ is normal; test/ holds normal, tumor and annotation, where `flair` in a name becomes `seg`."""
    _refuse_other_tops(root, files, SPLIT_NAMES)
    _refuse_loose(root, files, depth=1, expected="data.json, or images in train and test only")
    masks, images = _parted(files, lambda parts: _lower(parts)[:2] == ("test", "annotation"))
    found = [Found(parts, parts[1] if len(parts) > 2 else "normal", SPLIT_NAMES[parts[0].lower()]) for parts in images]
    return _with_masks(
        [(f, _stem((f.parts[-1].replace("flair", "seg"),)) if f.split == "test" else None) for f in found],
        _keyed(root, masks, lambda parts: _stem(parts[-1:])),
    )


LAYOUTS: Mapping[str, Callable[[Path, Files], Listing]] = {
    "flat": flat,
    "classes": classes,
    "splits": splits,
    "mvtec": mvtec,
    "bmad": bmad,
    "medianomaly": medianomaly,
}


def _listed(path: Path) -> Iterator[tuple[Split, int | None, str]]:
    """Walk through data.json: (split, label, name); the pool for methods that learn from unlabelled images has none."""
    try:
        content = json.loads(path.read_text("utf-8"))
    except (ValueError, OSError, RecursionError) as error:
        raise LayoutError(str(path), "a JSON file", f"one that cannot be read ({error})") from None
    expected = 'lists of file names under "train"/"0", "test"/"0" and "test"/"1"'
    if not isinstance(content, dict) or not content:
        raise LayoutError(str(path), expected, type(content).__name__)
    for part, by_label in content.items():
        if part not in SPLIT_NAMES or not isinstance(by_label, dict) or not by_label.keys() <= {"0", "1", "unlabeled"}:
            raise LayoutError(str(path), expected, f"an entry {part!r} of another form")
        pool = by_label.get("unlabeled", {})
        if not isinstance(pool, dict):
            raise LayoutError(str(path), expected, f"an entry {part!r}/'unlabeled' of another form")
        known = [(label, int(label), names) for label, names in by_label.items() if label != "unlabeled"]
        for label, number, names in [*known, *((f"unlabeled/{label}", None, names) for label, names in pool.items())]:
            if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
                raise LayoutError(str(path), expected, f"an entry {part!r}/{label!r} that is no list of names")
            yield from ((SPLIT_NAMES[part], number, name) for name in names)


def _with_masks(keyed: Sequence[tuple[Found, tuple[str, ...] | None]], masks: Files) -> Listing:
    """Give each image the mask under its key (or with `_mask` after the stem), healthy ones an empty mask."""
    used: set[tuple[str, ...]] = set()
    found, bare = [], 0
    for image, key in keyed:
        names = () if key is None else (key, (*key[:-1], key[-1] + "_mask"))
        match = next((name for name in names if name in masks), None)
        healthy = image.class_name.lower() in NORMAL_NAMES and bool(masks)
        if match is not None:
            used.add(match)
        bare += match is None and not healthy and bool(masks)
        mask = None if match is None else masks[match]
        found.append(Found(image.parts, image.class_name, image.split, mask, healthy and mask is None))
    notes = []
    if bare:
        notes.append(f"no mask for {counted(bare, 'image')} not called normal")
    if len(used) < len(masks):
        notes.append(f"left out {counted(len(masks) - len(used), 'mask')} without an image")
    return Listing(found, notes)


def _masks_lie_in(parts: tuple[str, ...]) -> bool:
    return bool({*_lower(parts[:-1])} & {*MASK_FOLDERS})


def _unnesting(files: Iterable[tuple[str, ...]]) -> Callable[[tuple[str, ...]], tuple[str, ...]]:
    """Return what brings SPLIT/SPLIT/... to SPLIT/... and SPLIT/SPLIT_label/... to SPLIT/label/..., of such archives.

    Where other folders lie beside, a folder named as its split is a class.
    """
    below: dict[str, set[str]] = {}
    for parts in files:
        below.setdefault(parts[0], set()).add(parts[1].lower() if len(parts) > 2 else "")
    nested = {
        top for top, names in below.items()
        if top.lower() in SPLIT_NAMES and names <= {top.lower(), f"{top.lower()}_label"}
    }  # fmt: skip

    def unnested(parts: tuple[str, ...]) -> tuple[str, ...]:
        if parts[0] not in nested or len(parts) < 4:
            return parts
        return (parts[0], *(() if parts[1].lower() == parts[0].lower() else ("label",)), *parts[2:])

    return unnested


def _without_maps(files: Files) -> tuple[Files, Sequence[str]]:
    """Leave out what is drawn of images and lies beside them; also say so."""
    maps, images = _parted(files, lambda parts: bool({*_lower(parts[:-1])} & {*DRAWN_FOLDERS}))
    names = sorted({"/".join(parts[:-1]) for parts in maps})
    note = f"left out {counted(len(maps), 'file')} that are no images, in {', '.join(names[:3])}"
    return images, [note] if maps else []


def _parted(files: Files, test: Callable[[tuple[str, ...]], bool]) -> tuple[Files, Files]:
    """Split a listing in those that pass and those that do not."""
    passed = {parts: path for parts, path in files.items() if test(parts)}
    return passed, {parts: path for parts, path in files.items() if parts not in passed}


def _keyed(root: Path, files: Files, key: Callable[[tuple[str, ...]], tuple[str, ...]]) -> Files:
    """List the files under other keys, one each."""
    keyed: dict[tuple[str, ...], Path] = {}
    for parts, path in files.items():
        other = keyed.setdefault(key(parts), path)
        if other != path:
            got = f"{other.relative_to(root)} and {path.relative_to(root)}"
            raise LayoutError(str(root), "one file for each image or mask", got, "keep one of them")
    return keyed


def _lower(parts: Iterable[str]) -> tuple[str, ...]:
    return tuple(part.lower() for part in parts)


def _stem(parts: Sequence[str]) -> tuple[str, ...]:
    """Drop the file's suffix."""
    return (*parts[:-1], parts[-1].rsplit(".", 1)[0])


def _below(parts: Sequence[str]) -> tuple[str, ...]:
    """Drop the top folder and the file's suffix; folders in lower case."""
    return (*_lower(parts[1:-1]), *_stem(parts[-1:]))


def _without(parts: tuple[str, ...], names: Iterable[str]) -> tuple[str, ...]:
    """Drop the first folder of these names."""
    at = next((i for i, part in enumerate(parts[:-1]) if part.lower() in names), None)
    return parts if at is None else parts[:at] + parts[at + 1 :]


def counted(n: int, noun: str) -> str:
    """Write 1 file, 2 files."""
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def _refuse_loose(root: Path, files: Files, depth: int, expected: str) -> None:
    loose = ["/".join(parts) for parts in files if len(parts) <= depth]
    if loose:
        todo = "move them, or read everything as one class with -o layout=flat"
        raise LayoutError(str(root), expected, f"{len(loose)} outside them ({loose[0]})", todo)


def _refuse_other_tops(root: Path, files: Files, known: Iterable[str]) -> None:
    others = sorted({parts[0] for parts in files if len(parts) > 1 and parts[0].lower() not in known})
    if others:
        todo = "move them elsewhere, or name a layout with -o layout=NAME"
        raise LayoutError(str(root), "folders named train, valid or test", ", ".join(others[:5]), todo)
