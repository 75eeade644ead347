"""The structure of JPEG and PNG files: markers, lengths, checksums, size and rotation, without decoding a pixel."""

import struct
import zlib
from typing import NamedTuple


class DamagedImage(Exception):
    """An image that cannot be used: `rule` is a kebab-case reject rule, `detail` one sentence."""

    def __init__(self, rule: str, detail: str) -> None:
        super().__init__(f"{rule}: {detail}")
        self.rule = rule
        self.detail = detail


class ImageInfo(NamedTuple):
    """What the file's structure says; `width` and `height` are those of the coded pixels, before any rotation."""

    format: str  # "jpeg", "png", "webp", "gif", "tiff", ...
    width: int
    height: int
    orientation: int = 1  # EXIF: 1 upright, 2-8 mirrored or turned
    deep: bool = False  # more than 8 bits a channel
    animated: bool = False  # several frames or pages
    four_inks: bool = False  # CMYK
    packed_text: bool = False  # a PNG with compressed text or profile, which may be a bomb


_SEGMENT = struct.Struct(">BBH").unpack_from
_PASSED = frozenset({0xC4, 0xDB, 0xDD, 0xFE, 0xE0, *range(0xE2, 0xF0)})  # tables, comments, applications' own


def check_jpeg(data: bytes) -> ImageInfo:
    """Walk a JPEG's segments up to its picture data and look for its end marker. Raises DamagedImage."""
    size, position, orientation = len(data), 2, 1
    frame: tuple[int, int, int, int, int] | None = None  # marker, bits, height, width, channels
    while True:
        while position + 4 <= size:  # segments that say nothing here, one behind the other as in a sound file
            lead, marker, length = _SEGMENT(data, position)
            if lead != 0xFF or marker not in _PASSED or length < 2 or position + 2 + length > size:
                break
            position += 2 + length
        position = data.find(b"\xff", position)  # like libjpeg, skip junk before a marker
        while 0 <= position < size and data[position] == 0xFF:
            position += 1
        if position < 0 or position >= size:
            raise DamagedImage("image-truncated", "The JPEG ends before its picture data.")
        marker = data[position]
        position += 1
        if marker in (0x00, 0x01, 0xD8) or 0xD0 <= marker <= 0xD7:
            continue
        length = int.from_bytes(data[position : position + 2], "big")
        if marker == 0xD9 or length < 2:
            raise DamagedImage("image-damaged", f"The JPEG has a broken segment at byte {position}.")
        if position + length > size:
            raise DamagedImage("image-truncated", f"The JPEG ends inside the segment at byte {position}.")
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            if length < 8:
                raise DamagedImage("image-damaged", f"The JPEG has a broken frame header at byte {position}.")
            frame = (marker, *struct.unpack(">BHHB", data[position + 2 : position + 8]))
        elif marker == 0xE1 and orientation == 1 and data[position + 2 : position + 8] == b"Exif\x00\x00":
            orientation = exif_orientation(data[position + 8 : position + length])
        elif marker == 0xDA:
            break
        position += length
    if frame is None:
        raise DamagedImage("image-damaged", "The JPEG has no frame header before its picture data.")
    # a JPEG cut in its picture data has no end marker after it; bytes behind the marker are common and harmless
    if data.rfind(b"\xff\xd9", position) < 0:
        raise DamagedImage("image-truncated", "The JPEG has no end marker.")
    marker, bits, height, width, channels = frame
    if marker > 0xC2 or bits != 8 or channels not in (1, 3, 4):
        raise DamagedImage("image-unsupported", f"JPEG process {marker - 0xC0}, {bits} bits, {channels} channels.")
    return ImageInfo("jpeg", width, height, orientation, four_inks=channels == 4)


def exif_orientation(tiff: bytes) -> int:
    """The orientation in a TIFF header with its first directory; 1 when it is absent or damaged."""
    try:
        order = {b"II": "<", b"MM": ">"}[tiff[:2]]
        (offset,) = struct.unpack_from(order + "I", tiff, 4)
        (count,) = struct.unpack_from(order + "H", tiff, offset)
        for entry in range(min(count, 512)):
            tag, kind, _, value = struct.unpack_from(order + "HHIH", tiff, offset + 2 + 12 * entry)
            if tag == 0x0112 and kind == 3:
                return int(value) if 1 <= value <= 8 else 1
    except (struct.error, KeyError):
        pass
    return 1


def check_png(data: bytes) -> ImageInfo:
    """Walk a PNG's chunks, with their checksums, up to its end. Raises DamagedImage."""
    view, size, position = memoryview(data), len(data), 8
    header: tuple[int, ...] | None = None
    orientation, has_pixels, packed, animated = 1, False, False, False
    while True:
        if position + 12 > size:
            raise DamagedImage("image-truncated", "The PNG ends before its IEND chunk.")
        length = int.from_bytes(view[position : position + 4], "big")
        kind, start, end = bytes(view[position + 4 : position + 8]), position + 8, position + 8 + length
        if end + 4 > size:
            raise DamagedImage("image-truncated", f"The PNG ends inside the chunk at byte {position}.")
        if zlib.crc32(view[position + 4 : end]) != int.from_bytes(view[end : end + 4], "big"):
            raise DamagedImage("image-damaged", f"The PNG chunk at byte {position} fails its checksum.")
        if header is None:
            if kind != b"IHDR" or length != 13:
                raise DamagedImage("image-damaged", "The PNG does not begin with a header chunk.")
            header = struct.unpack(">IIBB", view[start : start + 10])
        elif kind == b"IDAT":
            has_pixels = True
        elif kind == b"acTL":
            animated = True  # whatever number of frames it tells: readers warn about wrong ones
        elif kind == b"eXIf":
            orientation = exif_orientation(bytes(view[start:end]))
        elif kind == b"IEND":
            break
        packed |= kind in (b"zTXt", b"iTXt", b"iCCP")
        position = end + 4
    if not has_pixels:
        raise DamagedImage("image-damaged", "The PNG has no picture data.")
    width, height, bits, _ = header
    return ImageInfo("png", width, height, orientation, bits == 16, animated, packed_text=packed)
