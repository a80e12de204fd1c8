"""The report's tables about thinking: what was spent of each budget, and the best compositions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pandas as pd

from tsbench import words
from tsbench.compliance import bindings
from tsbench.compositions import EXTERNAL, INTERNAL, WHOLE
from tsbench.markup import items, table, td, th
from tsbench.thought import thought


def grid_table(best: pd.DataFrame) -> str:
    """Return the best cells of one grid within each spend; `best` is its rows of compositions."""
    first = best.iloc[0]
    axis, kind, selector = str(first["axis"]), str(first["kind"]), str(first["selector"])
    rows = []
    for level in sorted(best["level"].unique()):
        cells = {str(row["among"]): row for _, row in best[best["level"] == level].iterrows()}
        whole, spend = cells[WHOLE], words.quantity(level, axis)
        last = level == best["level"].max()
        rows.append(
            [
                th("any spend", f"up to {spend}") if last else th(spend),
                td(_cell(whole), words.quantity(whole["spend"], axis)),
                td(words.percent(whole["accuracy"]), _ends(whole, "low", "high")),
                _held_out(whole),
                *(
                    _held_out(cells[edge], named=True) if edge in cells else td("none")
                    for edge in (INTERNAL, EXTERNAL)
                ),
                _gain(whole),
            ]
        )
    fewest, least = (best[best["among"] == edge] for edge in (INTERNAL, EXTERNAL))
    alone = [
        words.budget(selector, fewest["budget"].iloc[0]) if len(fewest) else "few draws",
        words.thought_amount(kind, least["thinking_budget"].iloc[0]) if len(least) else "little",
    ]
    caption = (
        "The most accurate cell within each spend. It is chosen on the problems that its accuracy "
        "is of, which flatters it; held out, it is chosen on one half of the problems and valued "
        f"on the other. So are the best that only think longer ({alone[0]}) and those that only "
        f"draw more ({alone[1]}). Mixing gains what the best adds to the better of the two."
    )
    head = ["within", "best", "accuracy", "held out", "thought alone", "draws alone"]
    return table(caption, [*head, "mixing gains"], rows, 0)


def _cell(row: pd.Series) -> str:
    """Return a cell in words: "32 tokens x 4 draws"."""
    budget = words.thought_amount(str(row["kind"]), row["thinking_budget"])
    return f"{budget} \u00d7 {words.budget(str(row['selector']), row['budget'])}"


def _ends(row: pd.Series, low: str, high: str) -> str:
    return f"{100 * row[low]:.0f} to {100 * row[high]:.0f}{words.NARROW}%"


def _held_out(row: pd.Series, *, named: bool = False) -> str:
    if pd.isna(row["held_out"]):
        return td("unknown", _cell(row) if named else "")
    below = _cell(row) if named else _ends(row, "held_out_low", "held_out_high")
    return td(words.percent(row["held_out"]), below)


def _gain(row: pd.Series) -> str:
    if pd.isna(row["gain"]):
        return td("unknown")
    if row["gain_low"] == row["gain_high"]:
        return td(words.points(row["gain"]), "the same cells")
    low, high = (
        f"{100 * row[end]:.0f}".replace("-", "\u2212") for end in ("gain_low", "gain_high")
    )
    return td(words.points(row["gain"]), f"{low} to {high}")


def compliance_table(found: pd.DataFrame) -> str:
    """Return what was asked for and spent of each thinking budget; `found` is of one class."""
    rows = [_compliance_row(who, row) for who, row in _told_once(found)]
    if not rows:
        return ""
    caption = (
        "Thinking budgets: asked and spent. Spent is the median of tokens of thought a run, with "
        "the 5 and 95 % quantiles; the ratio is a mean over problems with its 95 % interval. Kept "
        "are runs within a tenth, or one token, of what was asked for. A budget bound if more was "
        "spent than under the next smaller one; it did not if less than half of the rise that was "
        "asked for can be."
    )
    head = ["strategy", "asked", "spent", "spent / asked", "kept", "above", "below", "bound"]
    said = {
        f"{words.name(strategy)}: {binding.remark or _idle(binding.idle)}": None
        for (_, _, strategy), binding in bindings(found).items()
        if binding.remark or binding.idle
    }
    return table(caption, head, rows, 0) + items(said)


def _idle(budgets: Sequence[float]) -> str:
    many = len(budgets) > 1
    numbers = ", ".join(f"{budget:,.0f}" for budget in budgets)
    return f"thinking budget{'s' if many else ''} {numbers} did not bind"


def _told_once(found: pd.DataFrame) -> Iterator[tuple[tuple[str, str], pd.Series]]:
    """Yield each budget once: selectors of the same draws share a row, which names them all."""
    known = {name: thought(str(name)) for name in found["strategy"].unique()}
    kinds = found["strategy"].map({n: t.kind if t else n for n, t in known.items()})
    same = ["thinking_budget", "runs", "n_problems", "mean", "median", "q05", "q95", "bound"]
    drawn = found["strategy"].map({n: t is not None for n, t in known.items()})
    for _, rows in found.groupby([kinds, drawn, *same], sort=False, dropna=False):
        row = rows.iloc[0]
        first = known[row["strategy"]]
        if first is None:
            budget = words.budget(str(row["strategy"]), row["thinking_budget"])
            yield (words.name(str(row["strategy"])), budget), row
            continue
        selectors = [each.selector for name in rows["strategy"] if (each := known[name])]
        who = ", ".join(words.name(selector, short=True) for selector in selectors)
        yield (who, words.before(first)), row


def _compliance_row(who: tuple[str, str], row: pd.Series) -> list[str]:
    asked = not pd.isna(row["asked"])
    ratio = ""
    if not pd.isna(row["ratio_low"]):
        ratio = f"{row['ratio_low']:.2f} to {row['ratio_high']:.2f}"
    runs = f"{int(row['runs']):,} runs"
    return [
        th(*who),
        td(f"{row['asked']:,.0f}" if asked else "no number", runs),
        td(_tokens(row["median"]), f"{_tokens(row['q05'])} to {_tokens(row['q95'])}"),
        td("" if pd.isna(row["ratio"]) else f"{row['ratio']:.2f}", ratio),
        *(td(words.percent(row[share]) if asked else "") for share in ("within", "above", "below")),
        td(str(row["bound"]), _change(row)),
    ]


def _tokens(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


def _change(row: pd.Series) -> str:
    """Return how a budget's spend differs from that of the one that it is held against."""
    if pd.isna(row["change"]):
        return ""
    more = row["change"] if row["against"] < row["thinking_budget"] else -row["change"]
    size = _tokens(abs(more))
    return f"{size} {'more' if more >= 0 else 'fewer'} than at {row['against']:,.0f}"
