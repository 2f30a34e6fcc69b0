"""The smallest program that a container can run: it waits. One for each architecture, built here byte by byte."""

from __future__ import annotations

import struct

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "armv6l": "arm"}
"""Architectures of images, by the machine that `uname -m` prints; containerd pulls no image of another."""

START = 0x10000
"""Where the file is loaded; below that Linux maps nothing (vm.mmap_min_addr)."""

WAITING = {
    # mov eax, 34 (pause); syscall; jmp to the start
    "amd64": (62, bytes.fromhex("b822000000 0f05 ebf7")),
    # mov x0 to x4, 0; mov x8, 73 (ppoll of nothing, for ever); svc 0; b to the start
    "arm64": (183, struct.pack("<8I", *range(0xD2800000, 0xD2800005), 0xD2800928, 0xD4000001, 0x17FFFFF9)),
    # mov r7, 29 (pause); svc 0; b to the start
    "arm": (40, struct.pack("<3I", 0xE3A0701D, 0xEF000000, 0xEAFFFFFC)),
}
"""ELF's number of each machine (elf.h, EM_*), and the code."""


def waiting(architecture: str) -> bytes:
    """Return a static ELF program that waits until it is killed; `KeyError` for an unknown architecture."""
    machine, code = WAITING[architecture]
    wide = architecture != "arm"
    header, segment = (64, 56) if wide else (52, 32)
    size, word = header + segment + len(code), "Q" if wide else "I"
    identity = b"\x7fELF" + bytes([2 if wide else 1, 1, 1]) + bytes(9)
    flags = 0x05000000 if architecture == "arm" else 0  # EABI 5, without which Linux takes it for the old ABI
    entry = START + header + segment
    fields = (2, machine, 1, entry, header, 0, flags, header, segment, 1, 0, 0, 0)
    elf_header = struct.pack(f"<HHI3{word}I6H", *fields)
    loaded = (START, START, size, size)
    readable_and_run = 5
    program = (
        struct.pack("<II6Q", 1, readable_and_run, 0, *loaded, START)
        if wide
        else struct.pack("<8I", 1, 0, *loaded, readable_and_run, START)
    )
    return identity + elf_header + program + code
