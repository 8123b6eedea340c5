"""A screen without a monitor (Xvfb), and pictures of it."""

from __future__ import annotations

import contextlib
import os
import shutil
import struct
import subprocess
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

# ncolors is the 20th number of an XWD header (XWDFile.h), a colour has 12 bytes
_HEADER = struct.Struct(">25I")


@dataclass(frozen=True)
class Screen:
    """``display`` for the environment of programs; ``memory`` is the file with its pixels."""

    display: str
    memory: Path

    def picture(self, width: int, height: int) -> bytes:
        """The upper left part of the screen as PNG."""
        raw = self.memory.read_bytes()
        head = _HEADER.unpack_from(raw)
        size, per_line, colours = head[0], head[12], head[19]
        start = size + 12 * colours
        rows = []
        for y in range(height):
            line = raw[start + y * per_line :][: width * 4]
            rgb = bytearray(width * 3)
            rgb[0::3], rgb[1::3], rgb[2::3] = line[2::4], line[1::4], line[0::4]
            rows.append(b"\0" + bytes(rgb))
        ihdr = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
        body = zlib.compress(b"".join(rows), 9)
        return b"\x89PNG\r\n\x1a\n" + b"".join(
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
            for kind, data in ((b"IHDR", ihdr), (b"IDAT", body), (b"IEND", b""))
        )


@contextlib.contextmanager
def screen(directory: Path, size: str = "1280x1024") -> Iterator[Screen]:
    """Start Xvfb on a free display."""
    program = shutil.which("Xvfb")
    assert program, "Xvfb is missing (package xvfb); scripts/setup installs it"
    reading, writing = os.pipe()
    server = subprocess.Popen(
        [
            *(program, "-displayfd", str(writing), "-screen", "0", f"{size}x24", "-dpi", "96"),
            *("-fbdir", str(directory), "-nolisten", "tcp", "-noreset"),
        ],
        pass_fds=(writing,),
        stderr=subprocess.DEVNULL,
    )
    os.close(writing)
    try:
        with os.fdopen(reading) as told:
            number = told.readline().strip()
        assert number, "Xvfb did not start"
        yield Screen(f":{number}", directory / "Xvfb_screen0")
    finally:
        server.terminate()
        server.wait(10)
