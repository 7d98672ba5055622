"""The faults that are planted in the sample."""

import io

import cv2
import numpy as np
from PIL import Image

from fer_utils.common.labels import EMOTIONS, USAGES
from workshop.sample.counts import base_counts, planted_counts

# Which wrong label is a plausible one. Nobody takes a smile for something else, so happy has none.
CONFUSED_WITH = {
    "fear": "surprise",
    "surprise": "fear",
    "sad": "neutral",
    "neutral": "sad",
    "angry": "disgust",
    "disgust": "angry",
}

# Quality of the written JPEG files, 0..100.
JPEG_QUALITY = 92


def encode_jpeg(image, quality=JPEG_QUALITY):
    """Return the grey `uint8` image as the bytes of a JPEG file."""
    return cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


class ArchiveBuilder:
    """Collects files, defects and the truth, one planting step after the other."""

    def __init__(self, images, labels, seed, train_size, test_size):
        self.generator = np.random.default_rng(seed)
        self.planted = planted_counts(train_size, test_size)
        self.files, self.truth, self.defects, self.sources = {}, {}, [], {}
        self.used = set()
        # Only faces without any defect may be copied: a copy then has exactly one thing wrong with it.
        self.copyable = {usage: [] for usage in USAGES}
        self._place_faces(images, np.asarray(labels), base_counts(train_size, test_size))

    def _new_name(self, usage, emotion, extension="jpg"):
        while True:
            number = int(self.generator.integers(10**7, 10**8))
            if (usage, number) not in self.used:
                self.used.add((usage, number))
                folder = "train" if usage == "Training" else "test"
                return f"{folder}/{emotion}/{usage}_{number:08d}.{extension}"

    def _add(self, name, content, true_label, clean):
        self.files[name] = content
        self.truth[name] = (name.split("/")[1], true_label, clean)

    def _defect(self, name, defect, detail, related=""):
        self.defects.append((name, defect, detail, related))

    def _place_faces(self, images, labels, counts):
        needed = sum(counts.values())
        pools = []
        for code, emotion in enumerate(EMOTIONS):
            pool = np.flatnonzero(labels == code)
            if len(pool) < needed[code]:
                raise ValueError(f"{needed[code]} faces of class {emotion} are needed, {len(pool)} were given")
            pools.append(list(self.generator.permutation(pool)[: needed[code]]))
        wrong_share = self.planted["wrong_share"]
        for usage in USAGES:
            swapped = self._swaps(counts[usage], wrong_share)
            for code, emotion in enumerate(EMOTIONS):
                for position in range(counts[usage][code]):
                    wrong = position < swapped[code]
                    folder = CONFUSED_WITH[emotion] if wrong else emotion
                    image = images[pools[code].pop()]
                    name = self._new_name(usage, folder)
                    self._add(name, encode_jpeg(image), emotion, not wrong)
                    if wrong:
                        self._defect(name, "wrong_label", f"{emotion} labelled {folder}")
                    else:
                        self.copyable[usage].append(name)
                        self.sources[name] = image
        for code, count in enumerate(counts["other"]):
            for _ in range(count):
                self._other_format(images[pools[code].pop()], EMOTIONS[code])

    @staticmethod
    def _swaps(counts, share):
        """Return how many of each class get the plausible wrong label: equally many in both directions."""
        swapped = np.zeros(len(EMOTIONS), "int64")
        index = {name: code for code, name in enumerate(EMOTIONS)}
        # As many angry faces as a tenth of disgust: more, and most of the folder "disgust" would be angry.
        rare = max(1, round(share * counts[index["disgust"]]))
        swapped[[index["angry"], index["disgust"]]] = rare
        pairs = [("fear", "surprise"), ("sad", "neutral")]
        smaller = np.array([min(counts[index[first]], counts[index[second]]) for first, second in pairs], "float64")
        left = share * counts.sum() / 2 - rare
        for (first, second), part in zip(pairs, smaller / smaller.sum() * left, strict=True):
            swapped[[index[first], index[second]]] = max(1, round(part))
        return swapped

    def _other_format(self, image, emotion):
        extension = "gif" if emotion in ("angry", "happy", "surprise") else "bmp"
        file = io.BytesIO()
        Image.fromarray(image).save(file, extension.upper())
        name = self._new_name("Training" if emotion != "happy" else "PublicTest", emotion, extension)
        self._add(name, file.getvalue(), emotion, False)
        self._defect(name, "other_extension", f".{extension}")

    def _take(self, usage):
        """Choose an image that nothing has been copied from yet."""
        return self.copyable[usage].pop(int(self.generator.integers(len(self.copyable[usage]))))

    def _copy(self, source, usage, content, defect, detail, emotion=None):
        true_label = self.truth[source][1]
        name = self._new_name(usage, emotion or true_label)
        self._add(name, content, true_label, False)
        self._defect(name, defect, detail, source)

    def plant_copies(self):
        """Plant exact copies: within a split, twins of test images in training, and contradicting ones."""
        for usage, count in (
            ("Training", self.planted["within_train"]),
            ("PublicTest", self.planted["within_test"] // 2),
            ("PrivateTest", self.planted["within_test"] // 2),
        ):
            for _ in range(count):
                source = self._take(usage)
                self._copy(source, usage, self.files[source], "exact_duplicate", f"within {usage}")
        for usage in ("PublicTest", "PrivateTest"):
            for _ in range(self.planted["twins"] // 2):
                source = self._take(usage)
                self._copy(source, "Training", self.files[source], "exact_duplicate", f"{usage} and Training")
        for _ in range(self.planted["contradicting"]):
            source = self._take("Training")
            while self.truth[source][1] == "happy":
                source = self._take("Training")
            true_label = self.truth[source][1]
            wrong = CONFUSED_WITH[true_label]
            self._copy(
                source,
                "Training",
                self.files[source],
                "contradicting_copy",
                f"{true_label} also labelled {wrong}",
                wrong,
            )

    def plant_near_copies(self):
        """Plant copies that differ by a little brightness, a shift of one pixel, or stronger compression."""
        across = [usage for _ in range(self.planted["near_across"]) for usage in ("PublicTest", "PrivateTest")]
        origins = ["Training"] * self.planted["near_train"] + across[: self.planted["near_across"]]
        for index, usage in enumerate(origins):
            source = self._take(usage)
            content, detail = self._slightly_changed(self.sources[source], index % 3)
            where = "within Training" if usage == "Training" else f"{usage} and Training"
            self._copy(source, "Training", content, "near_duplicate", f"{detail}, {where}")

    def _slightly_changed(self, image, kind):
        if kind == 0:
            change = int(self.generator.choice([-12, -8, 8, 12]))
            return (
                encode_jpeg(np.clip(image.astype("int16") + change, 0, 255).astype("uint8")),
                f"brightness {change:+d}",
            )
        if kind == 1:
            down, right = ((0, 1), (0, -1), (1, 0), (-1, 0))[int(self.generator.integers(4))]
            padded = np.pad(image, 1, mode="edge")
            height, width = image.shape
            return (
                encode_jpeg(padded[1 - down : 1 - down + height, 1 - right : 1 - right + width]),
                f"shifted by {down} down and {right} right",
            )
        quality = int(self.generator.choice([50, 60, 70]))
        return encode_jpeg(image, quality), f"JPEG quality {quality}"

    def plant_blanks(self):
        """Plant images without a face: one grey value everywhere."""
        usages = ["Training"] * self.planted["blank_train"]
        usages += [("PublicTest", "PrivateTest")[index % 2] for index in range(self.planted["blank_test"])]
        # Different greys, because identical blank images would also be exact duplicates.
        greys = np.linspace(0, 255, len(usages)).round().astype("uint8")
        for usage, grey in zip(usages, greys, strict=True):
            name = self._new_name(usage, EMOTIONS[int(self.generator.integers(len(EMOTIONS)))])
            size = next(iter(self.sources.values())).shape
            self._add(name, encode_jpeg(np.full(size, grey, "uint8")), "", False)
            self._defect(name, "blank", f"grey value {grey} everywhere")

    def plant_unreadable(self):
        """Plant files that no decoder can read, and notes that are no image at all."""
        example = next(iter(self.files.values()))
        kinds = [
            ("0 bytes", lambda index: b""),
            # Cut inside the header: past it, some decoders fill up with grey and others refuse.
            ("JPEG cut off in its header", lambda index: example[: 150 + index]),
            ("text named .jpg", lambda index: f"picture {index} is missing\n".encode()),
        ]
        for index, usage in enumerate(("Training", "Training", "PublicTest", "PrivateTest")):
            for detail, content in kinds:
                name = self._new_name(usage, EMOTIONS[int(self.generator.integers(len(EMOTIONS)))])
                self._add(name, content(index), "", False)
                self._defect(name, "unreadable", detail)
        for index, usage in enumerate(("Training", "Training", "PrivateTest")):
            name = self._new_name(usage, EMOTIONS[int(self.generator.integers(len(EMOTIONS)))], "txt")
            self._add(name, f"note {index}: to be sorted\n".encode(), "", False)
            self._defect(name, "other_extension", ".txt")
