"""The reader of traces finds every exposure. The lines are in strace's format, the secrets are invented."""

from __future__ import annotations

from base64 import b64encode

import pytest

from tests.fleet.tracing import Needles, Reader, forms

SECRET = "canary-0123456789abcdef"
CREATED = '7  openat(AT_FDCWD</root>, "/etc/x", O_WRONLY|O_CREAT|O_TRUNC, 0666) = 3</etc/x>'
WRITTEN = f'7  write(3</etc/x>, "key: {SECRET}\\n", 29) = 29'
SPLIT = [
    "6  clone(child_stack=NULL, flags=CLONE_CHILD_SETTID|SIGCHLD <unfinished ...>",
    CREATED,
    "6  <... clone resumed>, child_tidptr=0x7f) = 7",
    f'7  write(3</etc/x>, "{SECRET}", 23 <unfinished ...>',
    "7  <... write resumed>)             = 23",
]


def read(*lines: str) -> Reader:
    reader = Reader(Needles({SECRET: "the secret"}))
    reader.read(lines)
    return reader


@pytest.mark.parametrize("before", ["", "ci:", "admin:", "cluster:"])
def test_base64_is_found_in_a_longer_text(before: str) -> None:
    text = b64encode(f"{before}{SECRET} and more".encode()).decode()
    assert any(form in text for form in forms(SECRET) - {SECRET})


@pytest.mark.parametrize("secret", [SECRET, b64encode(f"ci:{SECRET}".encode()).decode()])
def test_a_secret_in_arguments_or_environment_is_found(secret: str) -> None:
    exposed = ['"/bin/sh" was given the secret']
    assert read(f'7  execve("/bin/sh", ["sh", "-c", "a {secret}"], ["A=b"]) = 0').exposed == exposed
    assert read(f'7  execve("/bin/sh", ["sh"], ["A=b", "B={secret}"]) = -1 ENOENT (x)').exposed == exposed
    assert read(f'7  execve("/bin/sh", ["{secret}"], [] <unfinished ...>').exposed == exposed
    clean = read('7  execve("/bin/sh", ["sh", "-c", "a, ..."], ["A=\\"b\\"..."]) = 0')
    assert (clean.exposed, clean.executions) == ([], 1)


def test_truncated_arguments_are_reported() -> None:
    cut = ['"/bin/sh" was cut short in the trace']
    assert read('7  execve("/bin/sh", ["sh", "abc"...], ["A=b"]) = 0').exposed == cut
    assert read('7  execve("/bin/sh", ["sh", "abc", ...], ["A=b"]) = 0').exposed == cut
    assert read('7  execve("/bin/sh", ["sh"], 0x7ffc /* 8 vars */) = 0').exposed == cut


WIDE = ["/etc/x, of the mode 0644, held the secret"]


@pytest.mark.parametrize(
    ("lines", "wide"),
    [
        ([CREATED, WRITTEN], WIDE),
        (SPLIT, WIDE),
        (["7  umask(077) = 022", CREATED, WRITTEN], []),
        (["6  umask(077) = 022", *SPLIT], []),
        (["6  clone3({flags=CLONE_VM|CLONE_FS}, 88) = 7", "6  umask(077) = 022", CREATED, WRITTEN], []),
        (["6  fork() = 7", "6  umask(077) = 022", CREATED, WRITTEN], WIDE),
        ([CREATED, "7  fchmod(3</etc/x>, 0600) = 0", WRITTEN], []),
        ([CREATED.replace("0666", "0600"), WRITTEN, '7  chmod("/etc/x", 0644) = 0'], WIDE),
        ([CREATED.replace("0666", "0600"), WRITTEN, '7  fchmodat(AT_FDCWD</etc>, "x", 0644) = 0'], WIDE),
        ([CREATED.replace("0666", "0600"), WRITTEN, '7  chmod("/etc/x", 0644) = -1 EPERM (no)'], []),
        (
            [
                CREATED.replace("0666", "0600"),
                WRITTEN,
                '7  renameat2(AT_FDCWD</etc>, "x", AT_FDCWD</etc>, "y", RENAME_NOREPLACE) = 0',
                '7  chmod("y", 0640) = 0',
            ],
            ["/etc/y, of the mode 0640, held the secret"],
        ),
        (
            [CREATED.replace("0666", "0600"), WRITTEN, '7  rename("/etc", "/e") = 0', '7  chmod("/e/x", 0604) = 0'],
            ["/e/x, of the mode 0604, held the secret"],
        ),
        (
            [
                CREATED.replace("0666", "0600"),
                WRITTEN,
                '7  creat("/tmp/copy", 0666) = 4</tmp/copy>',
                "7  copy_file_range(3</etc/x>, NULL, 4</tmp/copy>, NULL, 99, 0) = 29",
            ],
            ["/tmp/copy, of the mode 0644, held the secret"],
        ),
        ([WRITTEN], ["/etc/x, of an unknown mode, held the secret"]),
        ([CREATED, '7  unlink("/etc/x") = 0', CREATED.replace("0666", "0600"), WRITTEN], []),
        ([f'7  write(1<pipe:[7]>, "{SECRET}", 23) = 23', f'7  write(2</dev/null>, "{SECRET}", 23) = 23'], []),
    ],
)  # fmt: skip
def test_a_secret_in_a_file_that_others_can_read_is_found(lines: list[str], wide: list[str]) -> None:
    assert read(*lines).wide == wide
