"""The few HTML elements of a report. What comes from data is escaped here, and only here."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from html import escape


def text(value: object) -> str:
    """Return text for HTML: escaped, without a machine's folders, "5 %" kept on one line."""
    return escape(without_folders(str(value)).replace(" %", "\u202f%"), quote=True)


def without_folders(value: str) -> str:
    """Replace the folders of absolute paths by an ellipsis; addresses of endpoints stay."""
    return re.sub(r"(?<![\w.:/\\])(?:[A-Za-z]:)?[/\\](?:[^\s/\\:,'\"<>|]+[/\\])+", "\u2026/", value)


def slug(name: str) -> str:
    """Return a name for files and anchors."""
    return re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-").lower() or "unnamed"


def th(value: str, below: str = "") -> str:
    """Return a row's heading, with a smaller line below."""
    return f'<th scope="row">{two_lines(value, below)}</th>'


def td(value: str, below: str = "") -> str:
    """Return a cell, with a smaller line below."""
    return f"<td>{two_lines(value, below)}</td>"


def two_lines(value: str, below: str) -> str:
    """Return a text with a smaller line below, where there is one."""
    return text(value) + (f"<small>{text(below)}</small>" if below else "")


def number(value: str) -> str:
    """Return a cell that is aligned at the right."""
    return f'<td class="n">{text(value)}</td>'


def table(caption: str, head: Sequence[str], rows: Iterable[Sequence[str]], numeric: int) -> str:
    """Return a table of ready cells; the headings of the last `numeric` columns stand right."""
    first = len(head) - numeric
    cells = "".join(
        f'<th scope="col"{" class=n" if i >= first else ""}>{text(name)}</th>'
        for i, name in enumerate(head)
    )
    lines = "\n".join(f"<tr>{''.join(row)}</tr>" for row in rows)
    return (
        f'<div class="scroll"><table>\n<caption>{text(caption)}</caption>\n'
        f"<thead><tr>{cells}</tr></thead>\n<tbody>\n{lines}\n</tbody>\n</table></div>"
    )


def facts(pairs: Iterable[tuple[str, object]]) -> str:
    """Return pairs of name and value as a list."""
    items = "".join(f"<dt>{text(k)}</dt><dd>{text(v)}</dd>" for k, v in pairs)
    return f'<dl class="facts">{items}</dl>'


def items(lines: Iterable[str]) -> str:
    """Return lines as a quiet list, nothing where there are none."""
    listed = "".join(f"<li>{text(line)}</li>" for line in lines)
    return f'<ul class="quiet">{listed}</ul>' if listed else ""


def figure(svg: str, caption: str) -> str:
    """Return an SVG image with its caption."""
    return f"<figure>\n{svg}<figcaption>{text(caption)}</figcaption>\n</figure>"


def heading(key: str, name: str) -> str:
    """Return a section's heading, which links can reach as `key`."""
    return f'<h2 id="{slug(key)}">{text(name)}</h2>'


def page(title: str, style: str, body: Iterable[str]) -> str:
    """Return a whole page."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{text(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n"
        + "\n".join(part for part in body if part)
        + "\n</body>\n</html>\n"
    )
