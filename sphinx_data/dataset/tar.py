"""Plain ustar members with fixed metadata, so that equal samples give equal bytes; no PAX headers, mtime 0."""

BLOCK = 512
END = bytes(2 * BLOCK)  # two empty blocks close an archive
LARGEST_MEMBER = 8**11 - 1  # the ustar size field holds eleven octal digits

_OWNER = b"0000644\0" + b"0000000\0" + b"0000000\0"  # mode, uid, gid
_MTIME = b"00000000000\0"
_TYPE_TO_END = b"0" + bytes(100) + (b"ustar\0" + b"00").ljust(255, b"\0")  # regular file, no link, magic, no names
_CHECKSUM_OF_FIXED = sum(_OWNER) + sum(_MTIME) + sum(_TYPE_TO_END) + 8 * ord(" ")  # its own field counts as spaces


def header(name: str, size: int) -> bytes:
    """The 512-byte header of a regular file. Raises ValueError for a name over 100 bytes or a size over 8 GiB."""
    encoded = name.encode("ascii")
    if len(encoded) > 100 or size > LARGEST_MEMBER:
        raise ValueError(f"{name}: a ustar member has at most 100 bytes of name and {LARGEST_MEMBER} bytes of data")
    size_field = b"%011o\0" % size
    checksum = _CHECKSUM_OF_FIXED + sum(encoded) + sum(size_field)
    return encoded.ljust(100, b"\0") + _OWNER + size_field + _MTIME + b"%06o\0 " % checksum + _TYPE_TO_END


def padded(size: int) -> int:
    """Bytes that a member's data takes in the archive."""
    return (size + BLOCK - 1) // BLOCK * BLOCK
