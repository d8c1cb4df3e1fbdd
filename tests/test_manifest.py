"""Manifests: what the table says is what the samples know, and every bad row is named by its line."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pyarrow
import pytest
from PIL import Image
from pyarrow import parquet

from normoscope import sources
from normoscope.errors import (
    DataNotFoundError,
    LayoutError,
    MissingExtraError,
    NormalClassError,
    UnreadableImageError,
)
from normoscope.sources.manifest import Manifest


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("1.png", "2.png", "m.png"):
        Image.fromarray(np.full((3, 4), 7, np.uint8)).save(tmp_path / name)
    return tmp_path


def write(folder: Path, text: str, encoding: str = "utf-8") -> str:
    (folder / "t.csv").write_bytes(text.encode(encoding))
    return str(folder / "t.csv")


def sentence(path: str) -> str:
    with pytest.raises(LayoutError) as caught:
        Manifest(path).samples()
    assert str(caught.value).startswith(path)
    return str(caught.value).removeprefix(path)


def test_every_column_arrives(folder: Path) -> None:
    table = write(
        folder,
        "path,label,patient_id,mask,split,sex,site\n1.png,ok,P1,,train,f,A\n2.png,ill,P2,m.png,VAL,m,B\n",
    )
    first, second = Manifest(table).samples()
    assert (first.name, first.class_name, first.patient, first.split) == ("1.png", "ok", "P1", "train")
    assert (second.name, second.class_name, second.patient, second.split) == ("2.png", "ill", "P2", "validation")
    assert (first.subgroups, second.subgroups) == ({"sex": "f", "site": "A"}, {"sex": "m", "site": "B"})
    assert first.read_mask is None
    assert second.read_mask is not None
    assert second.read_mask().tolist() == [[True] * 4] * 3
    assert first.read().tolist() == [[7] * 4] * 3


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_delimiter_byte_order_mark_and_line_ends_do_not_matter(
    folder: Path, delimiter: str, encoding: str, end: str
) -> None:
    rows = [["path", "label", "note"], ["1.png", "ö", '"a\nb"'], ["2.png", "x", ""], []]
    table = write(folder, end.join(delimiter.join(row) for row in rows), encoding)
    samples = Manifest(table).samples()
    assert [(s.name, s.class_name) for s in samples] == [("1.png", "ö"), ("2.png", "x")]
    assert samples[0].subgroups == {"note": "a\nb"}


def test_paths_start_from_the_table_or_the_root_or_are_absolute(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "tables").mkdir()
    table = write(tmp_path / "tables", f"path\n1.png\n{folder}/2.png\n")
    assert [s.read().shape for s in Manifest(table, root=str(folder)).samples()] == [(3, 4), (3, 4)]
    with pytest.raises(UnreadableImageError) as caught:
        Manifest(table).samples()[0].read()
    assert str(caught.value) == f"{tmp_path}/tables/1.png: no such file or directory"


def test_a_table_of_paths_alone_has_no_classes(folder: Path) -> None:
    table = write(folder, "path,label,patient_id,split\n1.png,,,\n2.png,,,\n")
    assert [(s.class_name, s.patient, s.split) for s in Manifest(table).samples()] == [(None, None, None)] * 2


def test_the_normal_class_must_be_named(folder: Path) -> None:
    table = write(folder, "path,label\n1.png,normal\n2.png,ill\n")
    with pytest.raises(NormalClassError, match="the normal class is not named; classes found: ill, normal"):
        sources.load(table)
    assert [s.label for s in sources.load(table, normal_class="normal").samples] == [0, 1]


def test_parquet_says_the_same_as_csv(folder: Path) -> None:
    columns = {
        "path": ["1.png", "2.png"],
        "label": [0, 1],
        "patient_id": [7.0, 8.0],
        "mask": [None, "m.png"],
        "age": [50.5, None],
    }
    parquet.write_table(pyarrow.table(columns), folder / "t.parquet")
    from_parquet = Manifest(str(folder / "t.parquet")).samples()
    text = "path,label,patient_id,mask,age\n1.png,0,7,,50.5\n2.png,1,8,m.png,\n"
    from_csv = Manifest(write(folder, text)).samples()
    for one, other in zip(from_parquet, from_csv, strict=True):
        assert (one.name, one.class_name, one.patient, one.subgroups) == (
            other.name,
            other.class_name,
            other.patient,
            other.subgroups,
        )
        assert (one.read_mask is None) == (other.read_mask is None)
    assert from_csv[0].class_name == "0"
    assert from_csv[1].subgroups == {"age": ""}


def test_parquet_without_pyarrow_says_what_to_install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parquet.write_table(pyarrow.table({"path": ["1.png"]}), folder / "t.parquet")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtraError) as caught:
        Manifest(str(folder / "t.parquet")).samples()
    assert str(caught.value) == "reading Parquet needs an optional part: pip install 'normoscope[parquet]'."


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ": expected a column named path, got an empty file; name the column of image files path."),
        (
            "file,label\n1.png,a\n",
            ": expected a column named path, got file, label; name the column of image files path.",
        ),
        (
            "path,a,a\n1.png,1,2\n",
            ": expected columns with different names, got 'a' twice; name it or remove it.",
        ),
        (
            ",path\n0,1.png\n",
            ": expected columns with different names, got one without a name; name it or remove it.",
        ),
        ("\n\npath;label\n1.png\n", ", line 4: expected 2 cells, as in the header, got 1."),
        ("path,label\n1.png\n", ", line 2: expected 2 cells, as in the header, got 1."),
        ('path,label\n"a\nb",x\n1.png,a,b\n', ", line 4: expected 2 cells, as in the header, got 3."),
        ("path,label\n,a\n", ", line 2: expected a path, got an empty cell."),
        (
            "path\n1.png\n2.png\n./1.png\n",
            ", line 4: expected every path once, got './1.png', as in line 2; keep one of the rows.",
        ),
        ("path,split\n1.png,dev\n", ", line 2: expected a split train, val, validation or test, got 'dev'."),
        (
            "path,label\n1.png,a\n2.png,\n",
            ", line 3: expected a label, as in other rows, got an empty cell or NaN (1 of 2 rows); "
            "fill all rows or none.",
        ),
        (
            "path,patient_id\n1.png,\n2.png,P\n",
            ", line 2: expected a patient_id, as in other rows, got an empty cell or NaN (1 of 2 rows); "
            "fill all rows or none.",
        ),
        (
            "path,label\n1.png,a\n2.png,NaN\n3.png, nan\n",
            ", line 3: expected a label, as in other rows, got an empty cell or NaN (2 of 3 rows); "
            "fill all rows or none.",
        ),
        (
            "path,split\n1.png,train\n2.png,\n",
            ", line 3: expected a split, as in other rows, got an empty cell or NaN (1 of 2 rows); "
            "fill all rows or none.",
        ),
        ('path\n"1.png\n', ", line 2: expected well-formed CSV, got unexpected end of data."),
    ],
)
def test_a_bad_table_is_one_sentence(folder: Path, text: str, expected: str) -> None:
    assert sentence(write(folder, text)) == expected


def test_text_that_is_not_utf_8_is_named(folder: Path) -> None:
    table = write(folder, "path,label\n1.png,ö\n", "latin-1")
    assert sentence(table) == ": expected UTF-8 text, got byte 17 that is not; save it as UTF-8."


def test_a_damaged_parquet_file_is_named(folder: Path) -> None:
    parquet.write_table(pyarrow.table({"path": ["1.png"] * 50}), folder / "t.parquet")
    whole = (folder / "t.parquet").read_bytes()
    (folder / "t.parquet").write_bytes(whole[: len(whole) // 2])
    assert sentence(str(folder / "t.parquet")).startswith(": expected a Parquet file, got a damaged or truncated one (")


@pytest.mark.parametrize(
    ("column", "values", "expected"),
    [
        ("label", [1.0, float("inf")], ", row 2: expected one text or number as label, got inf."),
        ("patient_id", [["P1"], ["P2"]], ", row 1: expected one text or number as patient_id, got ['P1']."),
        ("mask", [{"a": 1}, None], ", row 1: expected one text or number as mask, got {'a': 1}."),
    ],
)
def test_parquet_cells_that_are_no_value_are_named(
    folder: Path, column: str, values: list[object], expected: str
) -> None:
    parquet.write_table(pyarrow.table({"path": ["1.png", "2.png"], column: values}), folder / "t.parquet")
    assert sentence(str(folder / "t.parquet")) == expected


@pytest.mark.parametrize(
    ("unit", "value"), [(pyarrow.timestamp("us"), 10**18), (pyarrow.date32(), 2**30), (pyarrow.date32(), 2**22)]
)
def test_a_date_that_no_calendar_has_is_one_sentence(folder: Path, unit: pyarrow.DataType, value: int) -> None:
    columns = {"path": ["1.png"], "when": pyarrow.array([value], unit)}
    parquet.write_table(pyarrow.table(columns), folder / "t.parquet")
    assert sentence(str(folder / "t.parquet")).startswith(
        ": expected texts in UTF-8 and dates of the years 1 to 9999, got a cell that cannot be read ("
    )


def test_parquet_paths_may_be_bytes(folder: Path) -> None:
    parquet.write_table(pyarrow.table({"path": [b"1.png"], "label": [b"\xff"]}), folder / "t.parquet")
    (sample,) = Manifest(str(folder / "t.parquet")).samples()
    assert (sample.name, sample.class_name) == ("1.png", "\\xff")
    assert sample.read().shape == (3, 4)


def test_blank_lines_before_the_header_do_not_matter(folder: Path) -> None:
    (sample,) = Manifest(write(folder, "\r\n\npath;label\n1.png;a\n")).samples()
    assert (sample.name, sample.class_name) == ("1.png", "a")


@pytest.mark.parametrize("missing", ["NA", "N/A", "<NA>", "null", "NULL"])
def test_what_other_programs_write_for_a_missing_label_or_patient_is_none(folder: Path, missing: str) -> None:
    for column in ("label", "patient_id"):
        table = write(folder, f"path,{column}\n1.png,a\n2.png,{missing}\n")
        with pytest.raises(LayoutError, match=f"a {column}, as in other rows, got an empty cell or NaN"):
            list(Manifest(table).samples())
    country = write(folder, f"path,label,country\n1.png,a,{missing}\n2.png,a,DE\n")
    assert [one.subgroups["country"] for one in Manifest(country).samples()] == [missing, "DE"]


def test_a_column_of_nan_is_an_empty_one(folder: Path) -> None:
    table = write(folder, "path,label,mask,age\n1.png,nan,NaN,nan\n2.png,nan,m.png,3\n")
    first, second = Manifest(table).samples()
    assert (first.class_name, first.read_mask, first.subgroups) == (None, None, {"age": ""})
    assert (second.read_mask is None, second.subgroups) == (False, {"age": "3"})


def test_a_missing_table_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(DataNotFoundError) as caught:
        Manifest(str(tmp_path / "t.csv")).samples()
    assert str(caught.value) == f"the table {tmp_path}/t.csv was not found in {tmp_path}; check the path."


def test_a_table_without_rows_is_refused_by_load(folder: Path) -> None:
    with pytest.raises(LayoutError, match="expected at least one image, got none"):
        sources.load(write(folder, "path,label\n"))


def test_a_mask_of_another_size_is_named(folder: Path) -> None:
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(folder / "m.png")
    (sample,) = Manifest(write(folder, "path,mask\n1.png,m.png\n")).samples()
    assert sample.read_mask is not None
    with pytest.raises(UnreadableImageError) as caught:
        sample.read_mask()
    assert caught.value.cause == "the mask is 9 x 9 pixels, its image 4 x 3; both must have the same size"
