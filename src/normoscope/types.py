"""The nouns everything else is made of.

`Sample` (one image and what is known of it) · `Collection` (samples with the normal class named) · `Images`
(anything that yields batches) · `Run` (seed, device, precision: how, not what) · `Method` (a frozen recipe) ·
`Detector` (a fitted one) and what a detector may be able to do: `Localizes`, `Embeds`, `Reconstructs`.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from torch import Tensor

__all__ = [
    "Collection",
    "Decodes",
    "Decomposes",
    "Detector",
    "Embeds",
    "Images",
    "Localizes",
    "Method",
    "Pixels",
    "Reconstructs",
    "Run",
    "Sample",
    "Source",
    "State",
]

Pixels = npt.NDArray[Any]
"""One image as its file has it: (h, w) or (h, w, 3), uint8, uint16 or float32."""

State = dict[str, Tensor]
"""What a detector is saved as: named tensors, nothing else."""

Split = Literal["train", "validation", "test"]


@dataclass(frozen=True, slots=True)
class Sample:
    """One image and what is known of it; pixels are read only when asked for.

    Args:
        name: Path or key, unique in its source.
        read: Returns the pixels, (h, w) or (h, w, 3); raises `UnreadableImageError`.
        class_name: The class as the data calls it, None where the data has no classes.
        label: 0 normal, 1 anomalous, None while the normal class is not named.
        split: The official split, None where the data has none.
        patient: Patient id, the unit of splits and guarantees.
        read_mask: Returns the lesion mask, (h, w) bool, where the data has one.
        subgroups: Column to value, for figures per group (sex, site, device ...).
    """

    name: str
    read: Callable[[], Pixels]
    class_name: str | None = None
    label: int | None = None
    split: Split | None = None
    patient: str | None = None
    read_mask: Callable[[], Pixels] | None = None
    subgroups: Mapping[str, str] = field(default_factory=dict)


class Source(Protocol):
    """A place images come from: a frozen dataclass whose first field is its argument, a string.

    `default_normal` names the normal class only where the layout itself does (a directory called normal or
    good); everywhere else it is None and the user must name it.
    """

    default_normal: ClassVar[tuple[str, ...]]

    def samples(self) -> Sequence[Sample]:
        """List the samples, in a fixed order, without reading pixels where that is avoidable."""
        ...

    def aliases(self) -> Mapping[str, str]:
        """Map other names of a class to its `class_name` ({'normal': '0'})."""
        ...


@dataclass(frozen=True)
class Collection:
    """Samples whose labels are known as far as the data allows (docs/adr/0001).

    Args:
        spec: What the user typed, `source:argument`.
        samples: In the source's order.
        normal_class: The class whose label is 0, None for data without classes.
        notes: Sentences the user must see (a locally rebuilt file, no patient ids ...).
        titles: What classes are called in words, where the data numbers them.
        group_regex: How patient ids were read off the names, where they were.
    """

    spec: str
    samples: Sequence[Sample]
    normal_class: str | None = None
    notes: tuple[str, ...] = ()
    titles: Mapping[str, str] = field(default_factory=dict)
    group_regex: str | None = None

    def __len__(self) -> int:
        return len(self.samples)

    def title(self, class_name: str | None) -> str:
        """Return what people call a class."""
        return self.titles.get(class_name or "", class_name or "")

    @property
    def grouped(self) -> bool:
        """Whether every sample carries a patient id."""
        return len(self.samples) > 0 and all(sample.patient is not None for sample in self.samples)


@runtime_checkable
class Images(Protocol):
    """Anything that yields batches; peak memory does not depend on how many images there are."""

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(n, c, h, w)."""
        ...

    def __len__(self) -> int: ...

    def batch(self, indices: npt.NDArray[np.int64], device: str = "cpu") -> Float[Tensor, "n c h w"]:
        """Return these images as float32 in [0, 1] on the device."""
        ...


Precision = Literal["auto", "float32", "bf16"]


@dataclass(frozen=True)
class Run:
    """How to run, never what: nothing here may change what a method means.

    Args:
        seed: Every random choice derives from it.
        device: auto, cpu, cuda, cuda:1 ...
        precision: auto takes bf16 autocast where the processor or GPU has it.
        threads: Processor threads; None leaves torch's setting.
        progress: Show progress bars on standard error.
        checkpoint: Folder for training checkpoints; None keeps none.
        resume: Go on from the checkpoint folder.
        checkpoint_seconds: Least time between two checkpoints of one stage.
    """

    seed: int = 0
    device: str = "auto"
    precision: Precision = "auto"
    threads: int | None = None
    progress: bool = False
    checkpoint: Path | None = None
    resume: bool = False
    checkpoint_seconds: float = 20.0

    @property
    def torch_device(self) -> torch.device:
        """The device meant by `device`; auto prefers CUDA."""
        if self.device == "auto":
            return torch.device("cuda" if torch.cuda.is_available() else "cpu")
        return torch.device(self.device)

    @property
    def autocast_dtype(self) -> torch.dtype:
        """The dtype layers compute in: bfloat16 only where the hardware has it and precision allows."""
        if self.precision == "float32":
            return torch.float32
        if self.precision == "bf16":
            return torch.bfloat16
        if self.torch_device.type == "cuda":
            fast = torch.cuda.is_bf16_supported(including_emulation=False)
        else:
            fast = torch.ops.mkldnn._is_mkldnn_bf16_supported()
        return torch.bfloat16 if fast else torch.float32

    def replace(self, **changes: Any) -> Run:
        """Return a copy with these fields changed."""
        return dataclasses.replace(self, **changes)

    @contextmanager
    def seeded(self, *salt: int) -> Iterator[None]:
        """Seed torch, numpy and random from the seed and the salt; restore their states afterwards."""
        words = np.random.SeedSequence([self.seed, *salt]).generate_state(2, dtype=np.uint32)
        devices = [self.torch_device] if self.torch_device.type == "cuda" else []
        before_numpy, before_random = np.random.get_state(), random.getstate()
        try:
            with torch.random.fork_rng(devices=devices):
                torch.manual_seed(int(words[0]))
                np.random.seed(int(words[1]))  # libraries read the global state
                random.seed(int(words[1]))
                yield
        finally:
            np.random.set_state(before_numpy)
            random.setstate(before_random)


class Detector(Protocol):
    """A fitted method: scores prepared images, higher is more anomalous, on the method's own scale."""

    def anomaly_score(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, " n"]:
        """Score each image; an image's score does not depend on its batch neighbours."""
        ...

    def state(self) -> State:
        """Return everything `Method.restore` needs, as tensors."""
        ...


class Method(Protocol):
    """A frozen dataclass of hyperparameters whose defaults are the paper's; `quick` holds what a quick run changes."""

    quick: ClassVar[Mapping[str, Any]]

    def fit(self, normals: Images, run: Run, select: Images | None = None) -> Detector:
        """Fit on normal images; `select` (normals too) may stop, gate or size, never `calibrate`."""
        ...

    def restore(self, state: State) -> Detector:
        """Rebuild the detector from `Detector.state`."""
        ...


@runtime_checkable
class Localizes(Protocol):
    """Can say where: per-pixel scores."""

    def anomaly_map(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n h w"]:
        """Return per-pixel scores, higher is more anomalous."""
        ...


@runtime_checkable
class Embeds(Protocol):
    """Has a latent vector per image."""

    def embed(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d"]:
        """Return the latent vectors."""
        ...


@runtime_checkable
class Reconstructs(Protocol):
    """Has an idea of what the image would be if it were normal."""

    def reconstruct(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        """Return the reconstructions, same range as the images."""
        ...


@runtime_checkable
class Decodes(Protocol):
    """Its latent vectors can be turned back into images."""

    def decode(self, latents: Float[Tensor, "n d"]) -> Float[Tensor, "n c h w"]:
        """Return the images that latent vectors stand for, on the latents' device."""
        ...


@runtime_checkable
class Decomposes(Protocol):
    """Can say which terms its score is the sum of."""

    def score_terms(self, images: Float[Tensor, "n c h w"]) -> Mapping[str, Float[Tensor, " n"]]:
        """Return each term of each image's score by its name in words; they sum to `anomaly_score`."""
        ...
