from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from normoscope.errors import LeakageError, OptionError, TooFewImagesError
from normoscope.splits import PARTS, Parts, check_leakage, duplicate_notes, split
from normoscope.types import Collection, Sample, Split


def sample(
    name: str, label: int | None = 0, split: Split | None = None, patient: str | None = None, class_name: str = "a"
) -> Sample:
    return Sample(
        name, lambda: np.zeros((2, 2), np.uint8), class_name=class_name, label=label, split=split, patient=patient
    )


def cut(samples: Sequence[Sample], seed: int = 0) -> Parts:
    return split(Collection("toy", samples, "a"), seed)


def counts(parts: Parts) -> list[int]:
    return [len(parts[part]) for part in PARTS]


def test_without_official_parts_a_fifth_of_the_normals_and_all_abnormals_test_and_the_rest_is_cut_70_10_20() -> None:
    samples = [sample(str(i)) for i in range(125)] + [sample(f"x{i}", 1) for i in range(7)]
    parts = cut(samples)
    assert counts(parts) == [70, 10, 20, 25 + 7]
    assert set(range(125, 132)) <= set(parts.test)
    assert parts.rule == (
        "no official test part: 20 % of the normals and all abnormals test; training normals cut 70/10/20"
    )


def test_an_official_test_part_is_taken_whole_and_training_normals_are_cut_70_10_20() -> None:
    samples = (
        [sample(f"n{i}", split="train") for i in range(200)]
        + [sample(f"a{i}", 1, "train") for i in range(50)]
        + [sample(f"t{i}", i % 2, "test") for i in range(30)]
    )
    parts = cut(samples)
    assert counts(parts) == [140, 20, 40, 30]
    assert parts.test == tuple(range(250, 280))


def test_official_validation_normals_calibrate_and_a_tenth_of_the_training_normals_selects() -> None:
    samples = (
        [sample(f"n{i}", split="train") for i in range(1214)]
        + [sample(f"v{i}", i >= 135, "validation") for i in range(150)]
        + [sample(f"t{i}", i % 2, "test") for i in range(40)]
    )
    parts = cut(samples)
    assert counts(parts) == [1093, 121, 135, 40]
    assert parts.calibrate == tuple(range(1214, 1349))


@pytest.mark.parametrize("shares", [(0.5, 0.5), (7, 1, 2), (0.7, 0.7, 0.7), (0, 0.5, 0.5), (1.2, -0.1, -0.1)])
def test_shares_that_do_not_make_one_are_refused(shares: tuple[float, ...]) -> None:
    with pytest.raises(OptionError, match="shares: expected three that make 1, the first above 0"):
        split(Collection("toy", [sample(str(i)) for i in range(20)], "a"), 0, shares)


def test_a_part_that_too_few_patients_leave_empty_was_wished() -> None:
    few = cut([sample(str(i), patient=f"p{i % 2}") for i in range(40)])
    assert [part for part in few.wished if part == "calibrate" and not few.calibrate] == ["calibrate"]
    every = [sample(str(i)) for i in range(40)]
    assert split(Collection("toy", every, "a"), 0, (1, 0, 0)).wished == ("the test of normals",)


def test_no_abnormal_image_trains_selects_or_calibrates() -> None:
    splits: list[Split | None] = ["train", "validation", "test", None]
    samples = [sample(str(i), i % 3 == 0, splits[i % 4]) for i in range(400)]
    parts = cut(samples)
    assert {samples[i].label for part in PARTS[:3] for i in parts[part]} == {0}


def test_the_cut_follows_its_seed() -> None:
    samples = [sample(str(i)) for i in range(100)]
    assert cut(samples, 1) == cut(samples, 1)
    assert cut(samples, 1).train != cut(samples, 2).train


def test_no_normals_are_refused_in_one_sentence() -> None:
    with pytest.raises(TooFewImagesError, match="train: 1 image needed, 0 given; add normal images"):
        cut([sample("a", 1, "train"), sample("b", 0, "test")])


patients = st.one_of(st.none(), st.integers(0, 15).map(str))
rows = st.lists(st.tuples(st.sampled_from([0, 0, 0, 1]), patients), min_size=5, max_size=120)


@settings(max_examples=150, deadline=None)
@given(rows=rows, seed=st.integers(0, 1000))
def test_a_cut_never_goes_through_a_patient_and_no_image_stands_in_two_parts(
    rows: list[tuple[int, str | None]], seed: int
) -> None:
    samples = [sample(str(i), label, None, patient) for i, (label, patient) in enumerate(rows)]
    try:
        parts = cut(samples, seed)
    except TooFewImagesError:
        return
    placed = [i for part in PARTS for i in parts[part]]
    assert len(placed) == len(set(placed))
    home: dict[str, str] = {}
    for part in PARTS:
        for i in parts[part]:
            patient = samples[i].patient
            assert patient is None or home.setdefault(patient, part) == part
    # normals are never dropped; an abnormal only with a patient whose normals fit the model
    for i in set(range(len(samples))) - set(placed):
        assert samples[i].label == 1
        assert home[samples[i].patient or ""] != "test"


def test_a_cut_by_patient_keeps_the_shares_close() -> None:
    rng = np.random.default_rng(0)
    samples = [sample(str(i), patient=str(p)) for i, p in enumerate(rng.integers(0, 250, 1000))]
    parts = cut(samples)
    assert parts.by_patient
    assert np.abs(np.array(counts(parts)) - [560, 80, 160, 200]).max() <= 6


def test_abnormals_of_training_patients_are_left_out_and_counted() -> None:
    samples = [sample(f"n{i}", patient=str(i)) for i in range(10)] + [
        sample(f"x{i}", 1, patient=str(i)) for i in range(10)
    ]
    parts = cut(samples)
    assert counts(parts) == [6, 0, 2, 4]
    assert {samples[i].patient for i in parts.test if samples[i].label} == {
        samples[i].patient for i in parts.test if not samples[i].label
    }
    assert "8 abnormals left out, whose patients have normals in training" in parts.rule


def test_official_parts_that_share_patients_are_not_called_by_patient() -> None:
    samples = [sample(f"n{i}", 0, "train", str(i)) for i in range(20)] + [
        sample(f"t{i}", 1, "test", str(i)) for i in range(3)
    ]
    parts = cut(samples)
    assert not parts.by_patient
    assert "the official parts share 3 patients" in parts.rule


def test_images_without_ids_are_not_called_by_patient() -> None:
    assert not cut([sample(str(i)) for i in range(20)]).by_patient


def test_a_test_image_that_another_part_holds_is_refused_by_name() -> None:
    with pytest.raises(LeakageError) as caught:
        check_leakage({"t/1": "aa", "t/2": "bb"}, {"train": {"n/7": "cc"}, "calibrate": {"n/9": "bb"}})
    assert str(caught.value) == (
        "1 test images are exact copies of images in calibrate (t/2 = n/9); "
        "remove them from one side, a score on seen images means nothing."
    )


def test_disjoint_contents_pass_the_leakage_check() -> None:
    check_leakage({"t/1": "aa"}, {"train": {"t/1": "bb"}})


def test_copies_and_conflicting_labels_are_told_apart() -> None:
    samples = [
        sample("a", 0, class_name="healthy"),
        sample("b", 0, class_name="healthy"),
        sample("c", 1, class_name="ill"),
        sample("d", 0, class_name="healthy"),
        sample("e", 0, class_name="healthy"),
    ]
    notes = duplicate_notes(samples, ["h1", "h1", "h2", "h2", "h3"])
    assert notes == [
        "2 images stand in the data more than once (first: a, b)",
        "1 equal images carry conflicting labels (first: c (ill), d (healthy))",
    ]


def test_a_note_on_copies_gives_no_orders_to_a_terminal() -> None:
    samples = [sample("a\n", 0, class_name="\x1b[31mred"), sample("b", 1, class_name="blue")]
    assert duplicate_notes(samples, ["h", "h"]) == [
        "1 images stand in the data more than once (first: a\\n, b)",
        "1 equal images carry conflicting labels (first: a\\n (\\x1b[31mred), b (blue))",
    ]


def test_distinct_images_leave_no_note() -> None:
    assert duplicate_notes([sample("a"), sample("b")], ["h1", "h2"]) == []
