"""Turning clean generated faces into the embedded sample: Kaggle's layout, and planted, documented defects.

FER-2013 is dirty in known ways (repeated images, twins across the splits, wrong labels, blank images), and the second
notebook is about finding that out. So the sample gets the same kinds of dirt at about FER-2013's own rates, and every
planted defect is written down, so that a detector can be scored against the truth.

The archive is the same byte for byte whenever it is built from the same arrays and seed.
"""

import csv
import hashlib
import io
import json
import os
import zipfile
from pathlib import Path

from workshop.sample.counts import count_labels
from workshop.sample.faults import JPEG_QUALITY, ArchiveBuilder

ARCHIVE_NAME = "fer_sample.zip"

DEFECTS_NAME = "fer_sample_defects.csv"

TRUTH_NAME = "fer_sample_truth.csv"

MANIFEST_NAME = "fer_sample_manifest.json"


def _zip_bytes(files):
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as package:
        for name in sorted(files):
            # A fixed date and system: otherwise the same faces would give another archive every time.
            entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            entry.create_system, entry.external_attr = 3, 0o644 << 16
            package.writestr(entry, files[name])
    return archive.getvalue()


def _csv_bytes(header, rows):
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue().encode()


def _replace(path, content):
    beside = path.with_name(path.name + ".part")
    beside.write_bytes(content)
    os.replace(beside, path)


def build_archive(images, labels, seed, folder, train_size=2800, test_size=700, provenance=None):
    """Write the sample's four files into `folder`, replacing older ones.

    Args:
        images: clean faces, uint8 (n, 48, 48).
        labels: integers (n,) in 0..6.
        seed: decides which face goes where and what is planted.
        folder: where the files go; created if missing.
        train_size: readable JPEG files in `train/`, copies and blank images included; the unreadable and foreign
            files come on top.
        test_size: the same for `test/`, an even number.
        provenance: a dictionary that the manifest repeats, such as the fingerprint of the weights.

    Returns:
        The manifest, a dictionary.

    Raises:
        ValueError: if a class has too few faces; `base_counts` tells how many are needed.
    """
    folder = Path(folder)
    builder = ArchiveBuilder(images, labels, seed, train_size, test_size)
    builder.plant_copies()
    builder.plant_near_copies()
    builder.plant_blanks()
    builder.plant_unreadable()
    archive = _zip_bytes(builder.files)
    defects = _csv_bytes(("name", "defect", "detail", "related"), sorted(builder.defects))
    truth = _csv_bytes(
        ("name", "label_in_archive", "true_label", "clean"),
        [(name, *builder.truth[name]) for name in sorted(builder.truth)],
    )
    manifest = {
        "seed": seed,
        "train_size": train_size,
        "test_size": test_size,
        "jpeg_quality": JPEG_QUALITY,
        **(provenance or {}),
        "files": len(builder.files),
        "sha256": {
            name: hashlib.sha256(content).hexdigest()
            for name, content in ((ARCHIVE_NAME, archive), (DEFECTS_NAME, defects), (TRUTH_NAME, truth))
        },
        "images_per_label": count_labels(builder.truth, clean_only=False),
        "clean_images_per_label": count_labels(builder.truth, clean_only=True),
        "planted": {
            kind: sum(row[1] == kind for row in builder.defects) for kind in sorted({row[1] for row in builder.defects})
        },
    }
    folder.mkdir(parents=True, exist_ok=True)
    _replace(folder / ARCHIVE_NAME, archive)
    _replace(folder / DEFECTS_NAME, defects)
    _replace(folder / TRUTH_NAME, truth)
    _replace(folder / MANIFEST_NAME, (json.dumps(manifest, indent=1) + "\n").encode())
    return manifest
