"""Where a reply says its answer: in a box, or after a mark such as "The answer is"."""

from __future__ import annotations

import re

MARK = re.compile(r"(?:answer\s+is|answer\s*:|####)[\s:]*", re.IGNORECASE)
BOX = "\\boxed{"


def boxed(text: str) -> str | None:
    """Return what the last \\boxed{...} holds, braces inside it included; None if there is none."""
    start = text.rfind(BOX)
    if start < 0:
        return None
    depth, begin = 1, start + len(BOX)
    for end in range(begin, len(text)):
        depth += {"{": 1, "}": -1}.get(text[end], 0) if text[end - 1] != "\\" else 0
        if depth == 0:
            return text[begin:end].strip() or None
    return None


def marked(text: str) -> str | None:
    """Return the rest of the sentence and line after the last mark; None where that is nothing."""
    ends = [found.end() for found in MARK.finditer(text)]
    if not ends:
        return None
    line = text[ends[-1] :].partition("\n")[0]
    return line.partition(". ")[0].strip(" *$\t\r").removesuffix(".").strip(" *$") or None


def last_line(text: str) -> str | None:
    """Return the last line that is not blank, without Markdown's stars; None if all are."""
    lines = [line.strip(" *\t\r") for line in text.split("\n")]
    return next((line for line in reversed(lines) if line), None)
