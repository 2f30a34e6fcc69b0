"""What messages may show: values in one short line without what looks like a secret, texts without control codes."""

from __future__ import annotations

import re

LONGEST = 60

HIDDEN = "(not shown, it may be a password)"


def shown(key: str, value: object) -> str:
    """Return `value`, which was given for `key`, in at most 60 characters.

    Only plain values and lists of them are shown; anything else could have any text in it and is named by its
    type. What follows a colon in an account or a user is left out (`name:password`), as are the password of a
    URL and passwords of our own making.
    """
    if isinstance(value, (list, tuple)):
        text = "[" + ", ".join(_plain(key, item) for item in value) + "]"
    else:
        text = _plain(key, value)
    return text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."


def name(text: str) -> str:
    """Return a key, a group's or a host's name as it is where it is an ordinary word, else quoted."""
    return text if re.fullmatch(r"[\w@./-]{1,120}", text, re.ASCII) else ascii(text)[:LONGEST]


def printable(text: str) -> str:
    """Return a line with all that could move a terminal's cursor, or hide or turn round what it shows, escaped.

    That goes for surrogates as well, which no terminal can be sent.
    """
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)


def _plain(key: str, value: object) -> str:
    if isinstance(value, int) and value.bit_length() > 64:
        return "a huge number"
    if value is not None and not isinstance(value, (str, int, float)):
        return f"a {type(value).__name__}"
    # The escapes of ascii() show line breaks, and letters that only look like others.
    text = ascii(value)
    if "account" in key or "user" in key:
        text = re.sub(":.*", ":...'", text)
    text = re.sub(r":\S+@", ":...@", text)
    return re.sub(r"hlr_[\w-]+", "hlr_...", text)
