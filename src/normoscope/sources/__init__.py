"""Where images come from: one file per source, and the folder is the registry.

`load("medmnist:pneumoniamnist", normal_class="0")` finds `sources/medmnist.py`, builds its one frozen dataclass
from the argument and options, lists its samples, and names the normal class. Nothing is ever guessed: where the
layout itself does not say which class is normal, the user must.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
import inspect
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from ..errors import LayoutError, NormalClassError, OptionError
from ..registry import members
from ..types import Collection, Sample, Source

__all__ = ["Loaded", "full_spec", "load", "names", "parse", "place", "same_data", "source_class"]


@dataclasses.dataclass(frozen=True)
class Loaded(Collection):
    """A collection, and what to load it by again: its spec holds both in one text, which cannot be taken apart.

    Args:
        source: The spec without options, a path normalised.
        options: Further fields of the source.
    """

    source: str = ""
    options: Mapping[str, str] = dataclasses.field(default_factory=dict)


def names() -> list[str]:
    """Every source: the file names of this folder."""
    return members("sources")


def source_class(name: str) -> type[Source]:
    """Import `sources/NAME.py` and return its one public dataclass."""
    if name not in names():
        raise OptionError("source", name, "one of " + ", ".join(names()))
    module = importlib.import_module(f"{__name__}.{name}")
    found = [
        member
        for _, member in inspect.getmembers(module, inspect.isclass)
        if member.__module__ == module.__name__
        and dataclasses.is_dataclass(member)
        and not member.__name__.startswith("_")
    ]
    assert len(found) == 1, f"{module.__name__} must hold one public dataclass"
    return cast("type[Source]", found[0])


def parse(spec: str, options: Mapping[str, str] | None = None) -> Source:
    """Turn `source:argument`, or a path whose kind is plain from its name, into a source.

    Raises:
        OptionError: Unknown source, option, or a value that does not convert.
    """
    head, _, rest = spec.partition(":")
    if head in names():
        name, argument = head, rest
    else:
        name, argument = _kind_of(Path(os.path.expanduser(spec))), spec  # leaves an unknown ~user as it is
    cls = source_class(name)
    fields = {f.name: f for f in dataclasses.fields(cast("type", cls))}
    values: dict[str, object] = {}
    first = next(iter(fields))
    if argument:
        values[first] = argument
    for key, text in (options or {}).items():
        if key not in fields:
            raise OptionError(f"option of source {name}", key, "one of " + ", ".join(fields))
        if key == first and argument:
            raise OptionError(f"{name} option {key}", text, f"nothing, as {spec} says it already")
        values[key] = _convert(f"{name} option {key}", text, str(fields[key].type))
    missing = [
        f.name
        for f in fields.values()
        if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING and f.name not in values
    ]
    if missing:
        raise OptionError("data", spec, f"{name}:{missing[0].upper()}")
    return cls(**values)


def _kind_of(path: Path) -> str:
    """Tell the source from the path alone."""
    if path.is_dir():
        return "folder"
    kinds = {".npz": "npz", ".npy": "npz", ".csv": "manifest", ".parquet": "manifest"}
    if path.suffix.lower() in kinds:
        return kinds[path.suffix.lower()]
    if path.is_file():
        return "folder"
    raise OptionError(
        "data",
        str(path),
        "an existing folder or image, .npz, .npy, .csv or .parquet file, or SOURCE:ARGUMENT with SOURCE "
        "one of " + ", ".join(names()),
    )


def _convert(what: str, text: str, kind: str) -> object:
    """Read an option's text as the field's type."""
    kind = kind.split("|")[0].strip()
    try:
        if kind == "int":
            return int(text)
        if kind == "float":
            return float(text)
    except ValueError:
        raise OptionError(what, text, "a number") from None
    if kind == "bool":
        if text.lower() not in {"true", "false"}:
            raise OptionError(what, text, "true or false")
        return text.lower() == "true"
    return text


def full_spec(spec: str, options: Mapping[str, str] | None = None) -> str:
    """Return what identifies the data in a record: the spec, a path normalised, and the options."""
    head, _, rest = spec.partition(":")
    if head in names():
        looks_like_path = "/" in rest or os.sep in rest
        spec = f"{head}:{os.path.normpath(rest)}" if looks_like_path else spec
    else:
        spec = os.path.normpath(spec)
    return " ".join([spec, *(f"{key}={value}" for key, value in sorted((options or {}).items()))])


def place(spec: str, options: Mapping[str, str] | None = None) -> str:
    """Return what identifies the data from whichever folder, and however, its path is typed.

    It is a digest: a record that is handed on need not tell where on a disk the data lie. Paths inside options count as
    they are typed.
    """
    head, _, rest = spec.partition(":")
    text = rest if head in names() else spec
    try:
        path = Path(text).expanduser()
        if text and path.exists():
            kind = head if head in names() else _kind_of(path)
            spec = f"{kind}:{path.resolve()}"
    except (OSError, RuntimeError, ValueError):
        pass  # no path: a text too long, a user or a letter that no file system knows
    return hashlib.blake2b(os.fsencode(full_spec(spec, options)), digest_size=16).hexdigest()


def same_data(recorded: Mapping[str, Any], spec: str, options: Mapping[str, str] | None = None) -> bool:
    """Tell whether a record's data are these: the same text was typed, or it leads to the same place."""
    return recorded["spec"] == full_spec(spec, options) or recorded.get("place") == place(spec, options)


def load(
    spec: str | Path,
    *,
    normal_class: str | int | None = None,
    group_regex: str | None = None,
    labelled: bool = True,
    options: Mapping[str, str] | None = None,
) -> Loaded:
    """List a source's samples and label them: 0 for the normal class, 1 for every other.

    Args:
        spec: `source:argument` or a path, as a person types it: a text from elsewhere may name a source that
            downloads. A `Path` is a path whatever its name.
        normal_class: Name or number of the normal class; needed unless the layout names it.
        group_regex: Pattern searched in each sample's name; the first group (or the whole match) is the patient.
        labelled: False leaves unlabelled what has no named normal class (scoring needs no labels).
        options: Further fields of the source.

    Raises:
        NormalClassError: The class is not named or does not exist.
        DataError: As the source says.
    """
    if isinstance(spec, Path):
        named = str(spec).partition(":")[0] in names()
        spec = str(spec.absolute() if named else spec)
    source = parse(spec, options)
    samples = source.samples()
    if not len(samples):
        raise LayoutError(spec, "at least one image", "none", "check the path")
    _check_names(spec, samples)
    notes = tuple(getattr(source, "notes", lambda: ())())
    if group_regex is not None:
        samples = _grouped(samples, group_regex)
    classes = {sample.class_name for sample in samples}
    chosen = _normal_class(spec, source, {c for c in classes if c is not None}, normal_class, labelled)
    if chosen is not None:
        samples = [
            dataclasses.replace(s, label=None if s.class_name is None else int(s.class_name != chosen)) for s in samples
        ]
    return Loaded(
        full_spec(spec, options), samples, chosen, notes, _titles(source), group_regex,
        source=full_spec(spec), options=dict(options or {}),
    )  # fmt: skip


def _titles(source: Source) -> dict[str, str]:
    """Map classes to the first of their other names."""
    titles: dict[str, str] = {}
    for alias, target in source.aliases().items():
        titles.setdefault(target, alias)
    return titles


def _check_names(spec: str, samples: Sequence[Sample]) -> None:
    """Names identify images in parts, scores and reports, so two images may not share one."""
    counts = Counter(sample.name for sample in samples)
    shared = [name for name, count in counts.items() if count > 1]
    if shared:
        raise LayoutError(
            spec, "a name of its own for every image", f"{len(shared)} shared names", f"first {shared[0]}"
        )


def _normal_class(spec: str, source: Source, classes: set[str], asked: str | int | None, labelled: bool) -> str | None:
    """Resolve what the user, or else the layout, calls normal."""
    aliases = source.aliases()
    titles = _titles(source)
    shown = [f"{c} ({titles[c]})" if c in titles else c for c in sorted(classes)]
    if asked is not None:
        chosen = aliases.get(str(asked), str(asked))
        if chosen not in classes:
            raise NormalClassError(spec, shown, str(asked))
        return chosen
    named = [name for name in classes if name.lower() in source.default_normal]
    if len(named) == 1:  # "good" beside "normal" would be a guess
        return named[0]
    if labelled:
        raise NormalClassError(spec, shown, None, getattr(source, "no_classes", lambda count: "")(len(classes)))
    return None


def _grouped(samples: Sequence[Sample], pattern: str) -> list[Sample]:
    """Read patient ids off the names.

    Raises:
        OptionError: The pattern is not one, misses a name, or finds an empty id.
    """
    try:
        regex = re.compile(pattern)
    except re.error as error:
        raise OptionError("--group-regex", pattern, f"a regular expression ({error})") from None
    grouped = []
    for sample in samples:
        match = regex.search(sample.name)
        if match is None:
            raise OptionError("--group-regex", pattern, f"a pattern that matches every name; it misses {sample.name}")
        patient = match.group(min(1, regex.groups))
        if not patient:
            # a group that only groups, as in (left|right)?P\d+, must not name the patient
            expected = f"a first group that holds the patient; it is empty in {sample.name}; group with (?:...)"
            raise OptionError("--group-regex", pattern, expected)
        grouped.append(dataclasses.replace(sample, patient=patient))
    return grouped
