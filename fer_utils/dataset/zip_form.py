"""Reading every file of a zip fast: one look at its directory, then a stretch of the archive at a time.

`zipfile` builds an object with its own checks and buffers for each file, which for 32,000 pictures of 2 kB costs more
than unpacking them. This module reads plain archives only: one part, copied or deflated files, ASCII names, nothing
encrypted. It answers None for any other and leaves it to `zipfile`, together with the verdict on damaged ones.
The layout is that of PKWARE's APPNOTE 6.3.10, sections 4.3.7, 4.3.12 and 4.3.16.
"""

import struct
import zipfile
import zlib
from typing import IO, NamedTuple

END = struct.Struct("<4s4H2LH")

ENTRY = struct.Struct("<4s4xHH4xLLLHHH8xL")

HEADER = struct.Struct("<4s22xHH")

LONGEST_COMMENT = 0xFFFF

PLAIN_FLAGS = 0x0002 | 0x0004 | 0x0008 | 0x0800

# In an archive made in one go, neighbours in the list are neighbours in the file; else files are read one by one.
WIDEST = 4

SMALLEST_WIDE = 2**20


class Member(NamedTuple):
    """One file of an archive, with the names that `zipfile.ZipInfo` gives its attributes."""

    filename: str
    compress_type: int
    CRC: int
    compress_size: int
    file_size: int
    header_offset: int

    def is_dir(self) -> bool:
        """Return whether it is a folder."""
        return self.filename.endswith("/")


def list_members(stream: IO[bytes]) -> list[Member] | None:
    """Return the files of a plain archive, in the directory's order; None if `zipfile` has to look at it.

    Args:
        stream: the archive, open for reading.
    """
    size = stream.seek(0, 2)
    stream.seek(max(0, size - END.size - LONGEST_COMMENT))
    tail = stream.read()
    place = tail.rfind(b"PK\x05\x06")
    if place < 0 or len(tail) - place < END.size:
        return None
    _, disk, first_disk, n_here, n, length, start, n_comment = END.unpack_from(tail, place)
    end = size - len(tail) + place
    one_part = (disk, first_disk, n_here) == (0, 0, n) and n < 0xFFFF
    if not one_part or start + length != end or place + END.size + n_comment != len(tail):
        return None
    stream.seek(start)
    members = _parse_directory(stream.read(length), n)
    return members if members is not None and _apart(members, start) else None


def _parse_directory(directory: bytes, n: int) -> list[Member] | None:
    members, place = [], 0
    for _ in range(n):
        try:
            signature, flags, method, crc, packed, size, n_name, n_extra, n_comment, offset = ENTRY.unpack_from(
                directory, place
            )
            name = directory[place + ENTRY.size : place + ENTRY.size + n_name].decode("ascii")
        except (struct.error, UnicodeDecodeError):
            return None
        if (
            signature != b"PK\x01\x02"
            or flags & ~PLAIN_FLAGS
            or "\0" in name
            or "\\" in name
            or method not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
            or 0xFFFFFFFF in (packed, size, offset)
        ):
            return None
        members.append(Member(name, method, crc, packed, size, offset))
        place += ENTRY.size + n_name + n_extra + n_comment
    return members if place == len(directory) else None


def _apart(members: list[Member], end: int) -> bool:
    """Return whether no two files share bytes, as they do in an archive made to unpack to far more than it holds."""
    spans = sorted((m.header_offset, m.header_offset + HEADER.size + m.compress_size) for m in members)
    starts = [start for start, _ in spans[1:]] + [end]
    return all(stop <= start for (_, stop), start in zip(spans, starts, strict=True))


class Piece(NamedTuple):
    """Some files, and bytes of the archive that hold them: `start` is the place of the first byte of `content`."""

    members: list[Member]
    start: int
    content: bytes


def fetch(stream: IO[bytes], members: list[Member]) -> list[Piece]:
    """Read the parts of an archive in which some files lie: in one go, or one by one if they lie far apart.

    Args:
        stream: the archive, open for reading.
        members: the files wanted.
    """
    start = min(member.header_offset for member in members)
    # Before its bytes a file has its name once more, and an extra field of up to 64 kB.
    stop = max(member.header_offset + member.compress_size + len(member.filename) for member in members)
    stop += HEADER.size + 0xFFFF
    if len(members) > 1 and stop - start > SMALLEST_WIDE + WIDEST * sum(member.compress_size for member in members):
        return [piece for member in members for piece in fetch(stream, [member])]
    stream.seek(start)
    return [Piece(members, start, stream.read(stop - start))]


def unpack(pieces: list[Piece], most: int) -> list[bytes]:
    """Return the bytes of each file; none for one that is damaged or longer than `most`.

    Args:
        pieces: from `fetch`.
        most: bytes that a file may have; hardly more are ever unpacked.
    """
    return [_unpack(piece, member, most) for piece in pieces for member in piece.members]


def _unpack(piece: Piece, member: Member, most: int) -> bytes:
    place = member.header_offset - piece.start
    try:
        signature, n_name, n_extra = HEADER.unpack_from(piece.content, place)
        start = place + HEADER.size + n_name + n_extra
        name = piece.content[start - n_extra - n_name : start - n_extra]
        content = piece.content[start : start + member.compress_size]
        if signature != b"PK\x03\x04" or name != member.filename.encode() or len(content) != member.compress_size:
            return b""
        if member.compress_type == zipfile.ZIP_DEFLATED:
            content = zlib.decompressobj(-zlib.MAX_WBITS).decompress(content, most + 1)
    except (struct.error, zlib.error):
        return b""
    # The size in the directory may lie: what counts is what came out.
    sound = len(content) == member.file_size <= most and zlib.crc32(content) == member.CRC
    return content if sound else b""
