"""Small files that unpack to gigabytes; `python bombs.py FOLDER` reads each and prints what that cost."""

import gzip
import json
import struct
import sys
import tarfile
import time
import zipfile
import zlib
from pathlib import Path

HEADER = b"emotion,pixels,Usage\n"

MIB = 2**20


def png(side: int, depth: int) -> bytes:
    """A PNG that says it has side × side pixels and holds next to none of them."""
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", side, side, depth, 0, 0, 0, 0)), (b"IDAT", zlib.compress(bytes(1000)))]
    content = b"\x89PNG\r\n\x1a\n"
    for kind, data in [*chunks, (b"IEND", b"")]:
        content += struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    return content


def whole_png(side: int) -> bytes:
    """A PNG that has all its side × side pixels of 16 bits, packed a thousandfold."""
    packer = zlib.compressobj(1)
    rows = b"".join(packer.compress(bytes(2 * side + 1)) for _ in range(side)) + packer.flush()
    content = b"\x89PNG\r\n\x1a\n"
    for kind, data in [(b"IHDR", struct.pack(">IIBBBBB", side, side, 16, 0, 0, 0, 0)), (b"IDAT", rows), (b"IEND", b"")]:
        content += struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    return content


def write_zip(path: Path, entries: dict[str, list[bytes]]) -> Path:
    """Write a zip whose files are given as blocks."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, blocks in entries.items():
            with archive.open(name, "w", force_zip64=True) as file:
                for block in blocks:
                    file.write(block)
    return path


def lying(path: Path) -> Path:
    """A picture that unpacks to 64 MiB and is said to have ten bytes."""
    write_zip(path, {"train/happy/Training_1.png": [bytes(MIB)] * 64})
    content = bytearray(path.read_bytes())
    directory = content.rindex(b"PK\x01\x02")
    struct.pack_into("<L", content, directory + 24, 10)
    path.write_bytes(content)
    return path


def long_list(path: Path) -> Path:
    """A zip that says its list of files has 3 GiB."""
    write_zip(path, {"train/happy/Training_1.png": [b"x"]})
    content = bytearray(path.read_bytes())
    struct.pack_into("<L", content, content.rindex(b"PK\x05\x06") + 12, 3 * 2**30)
    path.write_bytes(content)
    return path


def tar_of(path: Path, size: int) -> Path:
    """A packed tar whose table is said to be of some size."""
    info = tarfile.TarInfo("fer2013.csv")
    info.size = size
    with gzip.open(path, "wb", 1) as file:
        file.write(info.tobuf() + bytes(64 * MIB))
    return path


def packed(path: Path, blocks: list[bytes]) -> Path:
    with gzip.open(path, "wb", 1) as file:
        for block in blocks:
            file.write(block)
    return path


def sparse(folder: Path) -> Path:
    """A folder with a picture of 8 GiB that takes no room."""
    path = folder / "train" / "happy" / "Training_1.png"
    path.parent.mkdir(parents=True)
    with open(path, "wb") as file:
        file.truncate(8 * 2**30)
    return folder


PICTURE = "train/happy/Training_{}.png"

BOMBS = {
    "lines of commas": lambda p: write_zip(p / "1.zip", {"fer2013.csv": [HEADER, *[b",\n" * (MIB // 2)] * 100]}),
    "a huge picture": lambda p: write_zip(p / "2.zip", {PICTURE.format(1): [png(16_000, 16)]}),
    "fifty large ones": lambda p: write_zip(p / "3.zip", {PICTURE.format(n): [png(10_000, 8)] for n in range(50)}),
    "a size that lies": lambda p: lying(p / "4.zip"),
    "blank lines": lambda p: write_zip(p / "5.zip", {"fer2013.csv": [HEADER, *[b"\n" * MIB] * 128]}),
    "a line without end": lambda p: packed(p / "6.csv.gz", [HEADER, *[b"1 " * (MIB // 2)] * 64]),
    "a quotation without end": lambda p: packed(p / "7.csv.gz", [HEADER + b'1,"', *[b"1 \n" * (MIB // 3)] * 64]),
    "a list without end": lambda p: long_list(p / "8.zip"),
    "a tar of terabytes": lambda p: tar_of(p / "9.tar.gz", 2**42),
    "a picture of gigabytes": lambda p: sparse(p / "10"),
    "packed commas": lambda p: packed(p / "11.csv.gz", [HEADER, *[b",\n" * (MIB // 2)] * 100]),
}

# These take seconds to write.
LARGE_BOMBS = {
    "a gigabyte of blank lines": lambda p: write_zip(p / "12.zip", {"fer2013.csv": [HEADER, *[b"\n" * MIB] * 1024]}),
    "600 MiB of blank lines": lambda p: write_zip(p / "13.zip", {"fer2013.csv": [HEADER, *[b"\n" * MIB] * 600]}),
    "a huge picture that is whole": lambda p: write_zip(p / "14.zip", {PICTURE.format(1): [whole_png(16_000)]}),
    "a tar that goes on after its end": lambda p: packed(p / "15.tar.gz", [bytes(MIB)] * 2000),
    "200,000 files": lambda p: write_zip(p / "16.zip", {PICTURE.format(n): [b"x"] for n in range(200_000)}),
}


def _peak() -> float:
    """Return the most memory of this process so far, in MiB."""
    status = Path("/proc/self/status")
    if status.exists():
        # Of this program alone: `getrusage` counts what the process was before it, a test worker with a framework.
        return int(status.read_text().split("VmHWM:")[1].split()[0]) / 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main(folder: Path) -> None:
    """Read every bomb in a folder and print, one JSON a line: its name, the answer, CPU seconds and peak MiB so far."""
    from fer_utils.dataset import load_dataset

    for path in sorted(folder.iterdir()):
        started = time.process_time()
        try:
            answer = f"read {len(load_dataset(path, cache=False, progress=False))}"
        except Exception as error:
            answer = f"{type(error).__name__}: {error}"
        seconds = time.process_time() - started
        print(json.dumps([path.name, answer, round(seconds, 2), round(_peak())]), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
