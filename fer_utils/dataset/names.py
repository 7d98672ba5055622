"""What folders, files and columns of FER-2013 are called, by those who publish it and by those who copy it."""

import functools
import re

from fer_utils.common.labels import EMOTIONS, USAGES

IMAGE_ENDINGS = (".jpeg", ".jpg", ".png")

# What a part is usually called. "test" and "validation" are settled when all names are known: see `settle_parts`.
PARTS = {
    "train": "Training",
    "training": "Training",
    "test": "test",
    "testing": "test",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "publictest": "PublicTest",
    "privatetest": "PrivateTest",
}

OTHER_WORDS = {
    "angry": "anger",
    "disgust": "disgusted disgusting",
    "fear": "fearful afraid scared",
    "happy": "happiness joy",
    "sad": "sadness",
    "surprise": "surprised surprising",
    "neutral": "neutrality",
}

WORDS = {word: label for label, name in enumerate(EMOTIONS) for word in (name, *OTHER_WORDS[name].split())}

# Left by file managers beside or among the pictures.
NO_FILES = {".ds_store", "thumbs.db", "desktop.ini"}


def part_of(text: str) -> str | None:
    """Return the part that a folder's name or a table's entry means: a value of `PARTS`; None if it means none."""
    return PARTS.get(re.sub(r"[\s_-]", "", text).lower())


def label_of(text: str) -> int | None:
    """Return the label that a folder's name means: "Fear", "fearful", "2", "2_fear"; None if it means none."""
    number, word = re.fullmatch(r"(\d*)[\s_.-]*(.*)", text.strip().lower(), re.DOTALL).groups()
    if word:
        return WORDS.get(word)
    return int(number) if number in set("0123456") else None


def is_file(name: str) -> bool:
    """Return whether a path is a file of the data set, not one that Finder or Explorer left behind."""
    *folders, last = name.split("/")
    return "__MACOSX" not in folders and not last.startswith("._") and last.lower() not in NO_FILES


def classify(name: str) -> tuple[str, int] | str:
    """Return (part, label) that a file's path stands for, or the reason why it stands for none.

    The last two folders are the part and the emotion; the official usage is in the file's own name (`Training_…`,
    `PublicTest_…`, `PrivateTest_…`) where the copy kept it. The part is one of `USAGES`, or "test" or "validation".
    """
    folder, _, file_name = name.rpartition("/")
    stem, dot, ending = file_name.rpartition(".")
    # As `os.path.splitext` has it: dots at the beginning are not those of an extension.
    ending = dot + ending if stem.strip(".") else ""
    if ending.lower() not in IMAGE_ENDINGS:
        return f"extension '{ending[:20]}' is not one of {', '.join(IMAGE_ENDINGS)}"
    meaning = _classify_folder(folder)
    return meaning if isinstance(meaning, str) else (official_usage(file_name) or meaning[0], meaning[1])


# 32,000 files lie in 21 folders.
@functools.lru_cache(maxsize=1024)
def _classify_folder(folder: str) -> tuple[str, int] | str:
    *_, part, emotion = ["", "", *folder.split("/")]
    if part_of(part) is None:
        return "not in train/<emotion>/ or test/<emotion>/"
    label = label_of(emotion)
    return f"unknown emotion folder '{quoted(emotion)}'" if label is None else (part_of(part), label)


def official_usage(file_name: str) -> str | None:
    """Return the competition's usage that a file name begins with, or None."""
    usage, underscore, _ = file_name.partition("_")
    return usage if underscore and usage in USAGES else None


def settle_parts(parts: set[str]) -> dict[str, str]:
    """Return the usage that each part becomes, now that all of them are known: "test" and "validation" depend on it."""
    beside = "PrivateTest" if "validation" in parts else "PublicTest"
    return {part: {"validation": "PublicTest", "test": beside}.get(part, part) for part in parts}


def as_told(usages: dict[str, str]) -> str:
    """Return in words what `settle_parts` decided."""
    return ", ".join(f"{part} counts as {usage}" for part, usage in sorted(usages.items()) if part != usage)


def quoted(text: str, most: int = 60) -> str:
    """Return a piece of somebody's data as a message may show it: short, on one line, printable everywhere."""
    text = " ".join(text.encode(errors="replace").decode().split())
    return text if len(text) <= most else text[: most - 1] + "…"
