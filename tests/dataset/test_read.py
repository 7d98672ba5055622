"""The three forms give the same arrays."""

import io
import os
import sys
import tarfile

import cv2
import numpy as np
import pytest
from helpers import csv_row, picture, png, write_csv, write_folder, write_tar, write_zip

import fer_utils.dataset.read  # noqa: F401
from fer_utils import EMOTIONS, USAGES
from fer_utils.common.errors import UserError
from fer_utils.dataset import iterate_files, load_dataset
from fer_utils.dataset.names import IMAGE_ENDINGS, classify
from fer_utils.dataset.published import PUBLISHED_COUNTS


def test_zip_and_folder_give_the_same_arrays(tmp_path, files):
    zipped = load_dataset(write_zip(tmp_path / "archive.zip", files), progress=False)
    folder = load_dataset(write_folder(tmp_path / "fer2013", files), progress=False)
    assert (zipped.form, folder.form) == ("zip", "folder")
    assert zipped.images.dtype == np.uint8 and zipped.images.shape == (49, 48, 48)
    assert zipped.labels.dtype == np.int64
    assert zipped.fingerprint == folder.fingerprint
    assert zipped.names.tolist() == sorted(files) == folder.names.tolist()
    assert zipped.counts().loc["Training"].tolist() == [5] * 7
    assert zipped.counts().loc["PrivateTest"].tolist() == [1] * 7
    first = sorted(files)[0]
    expected = cv2.imdecode(np.frombuffer(files[first], np.uint8), cv2.IMREAD_GRAYSCALE)
    np.testing.assert_array_equal(zipped.images[0], expected)


@pytest.mark.parametrize("write", [write_zip, write_folder])
def test_pictures_stay_in_order_whoever_decodes_them(tmp_path, files, monkeypatch, write):
    files = {**files, "train/happy/a.txt": b"x", "license/a.txt": b"x", "train/sad/damaged.png": b"x"}
    source = write(tmp_path / "fer2013.zip", files)
    expected = load_dataset(source, cache=False, progress=False)
    monkeypatch.setattr(sys.modules["fer_utils.dataset.read"], "FILES_AT_ONCE", 3)
    found = load_dataset(source, cache=False, progress=False)
    np.testing.assert_array_equal(found.images, expected.images)
    assert found.names.tolist() == expected.names.tolist() and found.labels.tolist() == expected.labels.tolist()
    assert found.fingerprint == expected.fingerprint and found.skipped == expected.skipped and len(found.skipped) == 3


def test_folders_above_the_split_do_not_matter(tmp_path, files):
    deeper = {f"archive/fer2013/{name}": content for name, content in files.items()}
    assert len(load_dataset(write_zip(tmp_path / "a.zip", deeper), progress=False)) == 49


def test_csv_gives_rows_in_order(tmp_path, csv_rows):
    dataset = load_dataset(write_csv(tmp_path / "fer2013.csv", csv_rows), progress=False)
    assert dataset.form == "csv"
    assert dataset.labels.tolist() == [i % 7 for i in range(21)]
    assert dataset.usage.tolist() == [USAGES[i % 3] for i in range(21)]
    for i in range(21):
        np.testing.assert_array_equal(dataset.images[i], picture(i))


def test_csv_with_padded_column_names(tmp_path, csv_rows):
    rows = [f"{label}, {usage}, {pixels}" for label, pixels, usage in (row.split(",") for row in csv_rows)]
    plain = load_dataset(write_csv(tmp_path / "fer2013.csv", csv_rows), progress=False)
    path = write_csv(tmp_path / "icml_face_data.csv", rows, "emotion, Usage, pixels")
    padded = load_dataset(path, progress=False)
    assert padded.fingerprint == plain.fingerprint


@pytest.mark.parametrize("inside", ["fer2013/fer2013.csv", "icml_face_data.csv"])
def test_csv_inside_tar_and_zip(tmp_path, csv_rows, inside):
    table = write_csv(tmp_path / "table.csv", csv_rows)
    tar = load_dataset(write_tar(tmp_path / "fer2013.tar.gz", table, inside), progress=False)
    zipped = load_dataset(write_zip(tmp_path / "c.zip", {inside: table.read_bytes()}), progress=False)
    assert tar.form == "tar.gz"
    assert tar.fingerprint == zipped.fingerprint == load_dataset(table, progress=False).fingerprint


def test_file_names_tell_the_official_usage(tmp_path):
    content = {"test/happy/PrivateTest_1.png": png(picture(1)), "test/happy/PublicTest_2.png": png(picture(2))}
    dataset = load_dataset(write_zip(tmp_path / "a.zip", content), progress=False)
    assert dataset.usage.tolist() == ["PrivateTest", "PublicTest"]
    assert dataset.notes == []


def test_without_official_names_it_says_so(tmp_path):
    content = {"train/happy/1.png": png(picture(1)), "test/happy/2.png": png(picture(2))}
    dataset = load_dataset(write_zip(tmp_path / "a.zip", content), progress=False)
    assert dataset.usage.tolist() == ["PublicTest", "Training"]
    assert "2 file names do not tell the official usage" in dataset.notes[0]


def test_colour_is_converted_and_said(tmp_path):
    colour = cv2.merge([picture(1)] * 3)
    content = {"train/sad/Training_1.png": png(colour), "train/sad/Training_2.png": png(picture(2))}
    dataset = load_dataset(write_zip(tmp_path / "a.zip", content), progress=False)
    np.testing.assert_array_equal(dataset.images[0], picture(1))
    assert dataset.notes == ["1 colour images were converted to grey"]


def test_sixteen_bit_and_alpha_are_read(tmp_path):
    deep = picture(1).astype(np.uint16) * 257
    alpha = cv2.merge([picture(2)] * 3 + [np.full((48, 48), 255, np.uint8)])
    content = {"train/sad/Training_1.png": png(deep), "train/sad/Training_2.png": png(alpha)}
    dataset = load_dataset(write_zip(tmp_path / "a.zip", content), progress=False)
    np.testing.assert_array_equal(dataset.images, [picture(1), picture(2)])


def test_subset_and_missing_part(tmp_path):
    dataset = load_dataset(write_csv(tmp_path / "f.csv", [csv_row(3, picture(0), "Training")]), progress=False)
    images, labels = dataset.subset("Training")
    assert images.shape == (1, 48, 48) and labels.tolist() == [3]
    with pytest.raises(ValueError, match="no PrivateTest images .it has Training."):
        dataset.subset("PrivateTest")
    with pytest.raises(ValueError, match="unknown usage 'test'"):
        dataset.subset("test")


@pytest.mark.fer2013
def test_real_counts_are_the_published_ones(fer2013):
    dataset = load_dataset(fer2013, cache=False, progress=False)
    counts = dataset.counts()
    for usage in counts.index:
        assert tuple(counts.loc[usage]) == PUBLISHED_COUNTS[usage]
    assert {"Training", "PublicTest"} <= set(counts.index)
    assert dataset.skipped == [] and dataset.problems == []
    assert dataset.is_fer2013 and dataset.title == "FER-2013"


@pytest.mark.fer2013
def test_real_images_equal_a_plain_loop(fer2013):
    import zipfile

    dataset = load_dataset(fer2013, cache=False, progress=False)
    with zipfile.ZipFile(fer2013) as archive:
        for i in range(0, len(dataset), 2999):
            plain = cv2.imdecode(np.frombuffer(archive.read(dataset.names[i]), np.uint8), cv2.IMREAD_GRAYSCALE)
            np.testing.assert_array_equal(dataset.images[i], plain)
            assert EMOTIONS[dataset.labels[i]] == dataset.names[i].split("/")[-2]


@pytest.mark.parametrize(
    "name", [".jpg", "..jpg", "a", "a.", "a.b.jpg", ".a.jpg", "a.JPG", "a.jpg.txt", "a..jpg", "Ä.jpeg", "a.jpg "]
)
def test_extensions_are_those_of_the_standard_library(name):
    ending = os.path.splitext(name)[1]
    found = classify(f"train/happy/{name}")
    if ending.lower() in IMAGE_ENDINGS:
        assert found == ("Training", EMOTIONS.index("happy"))
    else:
        assert found == f"extension '{ending}' is not one of {', '.join(IMAGE_ENDINGS)}"


def test_the_parts_that_only_judge(tmp_path, files):
    parts = load_dataset(write_zip(tmp_path / "a.zip", files), progress=False).test_parts()
    assert list(parts) == ["PublicTest", "PrivateTest"] and [len(labels) for _, labels in parts.values()] == [7, 7]
    without = {name: content for name, content in files.items() if "PrivateTest" not in name}
    assert list(load_dataset(write_zip(tmp_path / "b.zip", without), progress=False).test_parts()) == ["PublicTest"]
    training = {name: content for name, content in files.items() if "Training" in name}
    with pytest.raises(UserError, match="PublicTest"):
        load_dataset(write_zip(tmp_path / "c.zip", training), progress=False).test_parts()


@pytest.mark.parametrize("where", ["train", "train/happy"])
def test_links_inside_a_folder_are_followed_and_circles_end(tmp_path, files, where):
    folder = write_folder(tmp_path / "real", files)
    linked = tmp_path / "linked"
    (linked / "train").mkdir(parents=True)
    (linked / "test").symlink_to(folder / "test")
    for emotion in EMOTIONS:
        (linked / "train" / emotion).symlink_to(folder / "train" / emotion)
    (linked / where / "back").symlink_to(linked)
    (linked / "train" / "happy" / "Training_lost.png").symlink_to(tmp_path / "nowhere")
    dataset = load_dataset(linked, progress=False)
    assert len(dataset) == 49
    assert [item.reason for item in dataset.skipped] == ["empty, or cannot be read"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes on this system")
def test_a_pipe_is_skipped_or_refused_never_waited_for(tmp_path, files):
    folder = write_folder(tmp_path / "f", files)
    os.mkfifo(folder / "train" / "happy" / "Training_pipe.png")
    assert [item.name for item in load_dataset(folder, progress=False).skipped] == ["train/happy/Training_pipe.png"]
    os.mkfifo(tmp_path / "archive.zip")
    with pytest.raises(UserError, match="neither a folder nor a file"):
        load_dataset(tmp_path / "archive.zip", progress=False)


@pytest.mark.parametrize("order", [1, -1])
def test_pictures_inside_a_tar(tmp_path, files, order):
    path = tmp_path / "faces.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for name, content in list(files.items())[::order]:
            info = tarfile.TarInfo(f"./fer2013/{name}")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    dataset = load_dataset(path, progress=False)
    assert (
        dataset.form == "tar.gz"
        and dataset.fingerprint == load_dataset(write_zip(tmp_path / "a.zip", files)).fingerprint
    )
    assert sorted(name for name, _ in iterate_files(path)) == dataset.names.tolist()
