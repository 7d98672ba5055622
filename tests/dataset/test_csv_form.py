"""The table is read as it is meant, however it was written."""

import csv
import sys

import numpy as np
import pytest
from helpers import csv_row, picture, write_csv

import fer_utils.dataset.csv_form  # noqa: F401
from fer_utils.common.errors import UserError
from fer_utils.dataset import csv_form, load_dataset
from fer_utils.dataset.csv_form import _parse_pixels


def opened(path):
    return load_dataset(path, cache=False, progress=False)


@pytest.fixture
def plain(tmp_path, csv_rows):
    return opened(write_csv(tmp_path / "plain.csv", csv_rows))


def test_blocks_may_end_anywhere(tmp_path, csv_rows, plain, monkeypatch):
    path = write_csv(tmp_path / "a.csv", csv_rows)
    for size in (1, 7, 10_000, 20_000):
        monkeypatch.setattr(
            sys.modules["fer_utils.dataset.csv_form"], "BLOCK_BYTES", size if size > 7 else path.stat().st_size // size
        )
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


@pytest.mark.parametrize("value", ["256", "299", "300", "512", "999", "1000", "-1", "1.5", "", "0x1", "²"])
@pytest.mark.parametrize("place", [0, 1, 2302, 2303])
def test_every_wrong_number_is_found_wherever_it_is(value, place):
    numbers = [str(number) for number in picture(1).ravel()]
    good = " ".join(numbers)
    numbers[place] = value
    images, sound = _parse_pixels([good, " ".join(numbers), good])
    assert sound.tolist() == [True, False, True]
    np.testing.assert_array_equal(images[[0, 2]], [picture(1)] * 2)
    assert not images[1].any()


def test_every_grey_level_at_every_neighbour():
    # All pairs of one, two and three digits beside each other, leading zeros included.
    values = [0, 1, 9, 10, 55, 99, 100, 199, 200, 249, 250, 255]
    pairs = [level for first in values for second in values for level in (first, second)]
    numbers = np.resize(pairs, csv_form.PIXELS)
    texts = [str(number) if i % 5 else f"{number:03}" for i, number in enumerate(numbers)]
    images, sound = _parse_pixels([" ".join(texts)])
    assert sound.all()
    np.testing.assert_array_equal(images.ravel(), numbers)


def test_a_number_moved_to_the_next_row_is_found():
    good = [str(number) for number in picture(2).ravel()]
    _, sound = _parse_pixels([" ".join(good[:-1]), " ".join([good[-1], *good])])
    assert not sound.any()


def test_sound_rows_are_never_parsed_slowly(tmp_path, csv_rows, plain, monkeypatch):
    monkeypatch.setattr(
        sys.modules["fer_utils.dataset.csv_form"], "_parse_one", lambda row: pytest.fail("parsed slowly")
    )
    assert opened(write_csv(tmp_path / "a.csv", csv_rows)).fingerprint == plain.fingerprint
