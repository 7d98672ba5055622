"""The table is read as it is meant, however it was written."""

import csv
import gzip
import sys

import numpy as np
import pytest
from helpers import csv_row, picture, write_csv

import fer_utils.dataset.csv_form  # noqa: F401
from fer_utils.common.errors import UserError
from fer_utils.dataset import csv_form, load_dataset


def opened(path):
    return load_dataset(path, cache=False, progress=False)


@pytest.fixture
def plain(tmp_path, csv_rows):
    return opened(write_csv(tmp_path / "plain.csv", csv_rows))


def test_blocks_may_end_anywhere(tmp_path, csv_rows, plain, monkeypatch):
    path = write_csv(tmp_path / "a.csv", csv_rows)
    for size in (1, 10_000, 20_000, path.stat().st_size // 7, path.stat().st_size):
        monkeypatch.setattr(sys.modules["fer_utils.dataset.csv_form"], "BLOCK_BYTES", size)
        assert opened(path).fingerprint == plain.fingerprint


def test_line_ends_blank_lines_and_byte_order_mark(tmp_path, csv_rows, plain):
    text = "\r\n\r\n".join(["\ufeffemotion,pixels,Usage", *csv_rows])
    (tmp_path / "a.csv").write_bytes(text.encode())
    dataset = opened(tmp_path / "a.csv")
    assert dataset.fingerprint == plain.fingerprint
    assert dataset.names.tolist() == plain.names.tolist() and dataset.skipped == []


def test_everything_quoted(tmp_path, csv_rows, plain):
    with open(tmp_path / "a.csv", "w", newline="") as file:
        writer = csv.writer(file, quoting=csv.QUOTE_ALL)
        writer.writerows(row.split(",") for row in ["emotion,pixels,Usage", *csv_rows])
    assert opened(tmp_path / "a.csv").fingerprint == plain.fingerprint


def test_other_columns_in_another_order(tmp_path, csv_rows, plain):
    rows = ["{2},x,{1},{0}.0".format(*row.split(",")) for row in csv_rows]
    path = write_csv(tmp_path / "a.csv", rows, "Usage,remark,pixels,emotion")
    assert opened(path).fingerprint == plain.fingerprint


def test_without_usage_everything_is_training(tmp_path, csv_rows):
    path = write_csv(tmp_path / "a.csv", [row.rsplit(",", 1)[0] for row in csv_rows], "emotion,pixels")
    assert set(opened(path).usage) == {"Training"}


def test_rows_with_too_few_or_too_many_fields_are_listed(tmp_path):
    good = csv_row(3, picture(0), "Training")
    path = write_csv(tmp_path / "a.csv", [good, "3", good + ",more", good])
    dataset = opened(path)
    assert dataset.names.tolist() == ["row 1", "row 4"]
    assert [item.name for item in dataset.skipped] == ["row 2", "row 3"]


@pytest.mark.parametrize("quote", ["", '"'])
def test_bytes_that_are_not_utf8_cost_their_own_row_at_most(tmp_path, csv_rows, plain, quote):
    rows = [f"{quote}{field}{quote}" for field in ("caf\xe9", csv_rows[0].split(",")[1], "Training")]
    header = b"remark,emotion,pixels,Usage\n"
    lines = [b"caf\xe9," + row.encode() for row in csv_rows] + [b"x," + ",".join(rows).encode("latin-1")]
    (tmp_path / "a.csv").write_bytes(header + b"\n".join(lines))
    dataset = opened(tmp_path / "a.csv")
    assert dataset.fingerprint == plain.fingerprint
    assert [(item.name, item.reason) for item in dataset.skipped] == [
        (f"row {len(lines)}", "label 'caf\N{REPLACEMENT CHARACTER}' is not 0 to 6")
    ]


def test_a_line_without_end_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules["fer_utils.dataset.csv_form"], "LONGEST_LINE", 1000)
    monkeypatch.setattr(sys.modules["fer_utils.dataset.csv_form"], "BLOCK_BYTES", 100)
    (tmp_path / "a.csv").write_bytes(b"emotion,pixels,Usage\n" + b"1 " * 5000)
    with pytest.raises(UserError, match="not a readable CSV .a line is longer"):
        opened(tmp_path / "a.csv")


def test_a_file_that_grows_while_it_is_read(tmp_path, csv_rows, plain):
    path = write_csv(tmp_path / "a.csv", csv_rows)
    with open(path, "rb") as stream:
        dataset = csv_form.read_csv(stream, path, "csv", 100, progress=False)
    assert dataset.fingerprint == plain.fingerprint


@pytest.mark.parametrize("value", ["256", "299", "512", "1000", "9" * 30, "-1", "1.5", "", "0x1", "²", "1,2"])
@pytest.mark.parametrize("place", [0, 1, 2303])
def test_every_wrong_number_is_found_wherever_it_is(tmp_path, value, place):
    good = csv_row(3, picture(1), "Training")
    numbers = [str(number) for number in picture(1).ravel()]
    numbers[place] = value
    bad = f"3,{' '.join(numbers)},Training"
    dataset = opened(write_csv(tmp_path / "a.csv", [good, bad, good]))
    assert dataset.names.tolist() == ["row 1", "row 3"] and len(dataset.skipped) == 1
    np.testing.assert_array_equal(dataset.images, [picture(1)] * 2)


def test_odd_spacing_and_leading_zeros_are_read(tmp_path):
    pixels = " ".join(f" {number:03}" for number in picture(3).ravel())
    dataset = opened(write_csv(tmp_path / "a.csv", [f"3,{pixels} ,Training"]))
    np.testing.assert_array_equal(dataset.images, [picture(3)])


def test_names_of_columns_without_regard_to_case(tmp_path, csv_rows, plain):
    path = write_csv(tmp_path / "a.csv", csv_rows, "EMOTION, Pixels,usage")
    assert opened(path).fingerprint == plain.fingerprint
    parts = {"Training": "train", "PublicTest": "public_test", "PrivateTest": "privatetest"}
    rows = [",".join([*row.split(",")[:2], parts[row.split(",")[2]]]) for row in csv_rows]
    assert opened(write_csv(tmp_path / "b.csv", rows)).fingerprint == plain.fingerprint


def test_semicolons_between_the_columns(tmp_path, csv_rows, plain):
    path = write_csv(tmp_path / "a.csv", [row.replace(",", ";") for row in csv_rows], "emotion;pixels;Usage")
    assert opened(path).fingerprint == plain.fingerprint


def test_without_a_column_for_the_part_it_says_so(tmp_path, csv_rows):
    rows = [row.rsplit(",", 1)[0] for row in csv_rows]
    dataset = opened(write_csv(tmp_path / "a.csv", rows, "emotion,pixels"))
    assert dataset.notes == ["the table has no column Usage, so every row counts as Training"]
    assert dataset.problems == ["there is no test part: models can be trained, not judged with PublicTest"]


def test_without_a_header_the_message_is_short(tmp_path, csv_rows):
    with pytest.raises(UserError, match="lacks the column emotion and pixels") as caught:
        opened(write_csv(tmp_path / "a.csv", csv_rows[1:], csv_rows[0]))
    assert len(str(caught.value).replace(str(tmp_path), "")) < 200


def test_packed_table(tmp_path, csv_rows, plain):
    path = write_csv(tmp_path / "a.csv", csv_rows)
    packed = tmp_path / "a.csv.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    dataset = opened(packed)
    assert dataset.fingerprint == plain.fingerprint and dataset.form == "csv"
    content = bytearray(packed.read_bytes())
    content[len(content) // 2] ^= 4
    packed.write_bytes(content)
    with pytest.raises(UserError):
        opened(packed)


def test_a_quotation_mark_that_is_never_closed_swallows_no_row(tmp_path, csv_rows):
    rows = ['"' + csv_rows[0], *csv_rows[1:]]
    with pytest.raises(UserError, match="not a readable CSV"):
        opened(write_csv(tmp_path / "a.csv", rows))
    rows[5] = csv_rows[5].replace(",", '",', 1)
    with pytest.raises(UserError, match="a quotation mark is not closed"):
        opened(write_csv(tmp_path / "a.csv", rows))
