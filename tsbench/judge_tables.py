"""The report's tables about grades: what selection converts, and how far a judge can be trusted."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pandas as pd

from tsbench import words
from tsbench.markup import items, number, table, td, th

JUDGES: Mapping[str, str] = {
    "judge:pairwise": "comparison with a baseline's reply, in both orders",
    "judge:rubric": "a mark",
}
"""What each kind of judge grades by."""


def judge_name(judge: object) -> str:
    """Return what a judge grades by, for people."""
    return JUDGES.get(str(judge), str(judge))


def graded_note(judges: pd.DataFrame) -> str:
    """Return what accuracy means in a class whose replies a judge graded."""
    said = {
        "judge:pairwise": "the share of comparisons with the baseline's reply that were won, a tie "
        "being half a win",
        "judge:rubric": "the mark as a share of its range",
    }
    parts = [
        f"{task}: {said.get(str(judge), judge_name(judge))}"
        for task, judge in judges[["task", "judge"]].drop_duplicates().itertuples(index=False)
    ]
    return f"Graded by a judge model, so accuracy is the mean grade ({'; '.join(parts)})."


def headroom_table(rows: pd.DataFrame) -> str:
    """Return what each selector converts at its largest k; `rows` are a class's of headroom."""
    last = rows.sort_values("budget").drop_duplicates("strategy", keep="last")
    held = last["held_capture"].notna().any()
    cells = [
        [
            th(words.name(str(row["strategy"])), words.budget(str(row["strategy"]), row["budget"])),
            *(td(words.percent(row[column])) for column in ("mean", "chosen", "best")),
            td(*_share(row, "capture", "low", "high")),
            *([td(*_share(row, "held_capture", "held_low", "held_high"))] if held else []),
        ]
        for _, row in last.iterrows()
    ]
    caption = (
        "How much of the headroom each selector converts, at its largest number of draws: what its "
        "pick gains over one draw, as a share of what the best of the draws would gain (95 % "
        "interval over problems). Picking at random converts none."
    )
    if held:
        caption += (
            " The best of many noisy grades is too good by their noise; held out, half of the "
            "judge's repeats choose it and the others value it."
        )
    head = ["selector", "one draw", "its pick", "the best", "converted"]
    notes = [f"{words.name(str(r['strategy']))}: {r['flags']}" for _, r in last.iterrows()]
    kept = [note for note, flag in zip(notes, last["flags"], strict=True) if flag]
    return table(caption, [*head, *(["held out"] if held else [])], cells, 0) + items(kept)


def judges_table(rows: pd.DataFrame) -> str:
    """Return how far each judge's verdicts can be trusted; `rows` are a class's of judges."""
    cells = [
        [
            th(str(row["task"]), judge_name(row["judge"])),
            td(f"{int(row['n_judgements']):,}"),
            td(words.rate(row["unread"])),
            td(*_points(row, "position_bias", words.change)),
            td(*_share(row, "consistency", "consistency_low", "consistency_high")),
            td(*_share(row, "agreement", "agreement_low", "agreement_high")),
            td(*_points(row, "noise", lambda value: f"{100 * value:.1f}")),
            td(*_share(row, "noise_share", "noise_share_low", "noise_share_high")),
        ]
        for _, row in rows.iterrows()
    ]
    caption = (
        "The judge. Unread: answers of the judge without a verdict, which leave their reply "
        "ungraded where no repeat in the same order had one. Position bias: what the reply shown "
        "first wins beyond half. Same in both orders, and same when asked again: shares of "
        "verdicts. Noise: how far a grade moves when it is judged again (standard deviation), and "
        "the part of the variance of the class's accuracy, at one draw, that it makes."
    )
    head = ["task", "judgements", "unread", "position bias, points", "same in both orders"]
    head += ["same when asked again", "noise, points", "noise in accuracy"]
    return table(caption, head, cells, 0)


def rates_table(rows: pd.DataFrame) -> str:
    """Return win rates and those at equal length; `rows` are a class's of judgements."""
    ends = rows.sort_values("budget").drop_duplicates(["task", "strategy"], keep="last")
    one = rows[(rows["budget"] == 1) & (rows["strategy"] == words.ORACLE)]
    several = len({*rows["task"]}) > 1
    cells = [
        [
            th(*_who(row, several)),
            td(*_share(row, "win_rate", "low", "high")),
            td(*_share(row, "lc_win_rate", "lc_low", "lc_high")),
            number("unknown" if pd.isna(row["length_ratio"]) else f"{row['length_ratio']:.2f}"),
            number(words.rate(row["ungraded"])),
        ]
        for _, row in pd.concat([one, ends]).drop_duplicates().iterrows()
    ]
    caption = (
        "Mean grades of what was picked, over graded picks alone, and what they would be were "
        "every pick as long as what it is compared with: a logistic regression on the difference "
        "in length, which is then set to zero. Length is that of the picks over the other's."
    )
    head = ["strategy", "grade", "at equal length", "length", "ungraded"]
    return table(caption, head, cells, 2)


def _who(row: pd.Series, several: bool) -> tuple[str, str]:
    strategy, budget = str(row["strategy"]), float(row["budget"])
    one = strategy == words.ORACLE and budget == 1
    name = "one draw" if one else words.name(strategy)
    below = "" if one else words.budget(strategy, budget)
    return (f"{row['task']}: {name}" if several else name), below


def _share(row: pd.Series, value: str, low: str, high: str) -> tuple[str, str]:
    """Return a share and its interval in words."""
    if pd.isna(row[value]):
        return "unknown", ""
    ends = "" if pd.isna(row[low]) else _ends(row[low], row[high], words.NARROW + "%")
    return words.percent(row[value]), ends


def _points(row: pd.Series, name: str, said: Callable[[float], str]) -> tuple[str, str]:
    """Return a number of points and its interval in words."""
    if pd.isna(row[name]):
        return "unknown", ""
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    return said(row[name]), "" if pd.isna(low) else _ends(low, high, "")


def _ends(low: float, high: float, unit: str) -> str:
    return f"{100 * low:.0f} to {100 * high:.0f}{unit}".replace("-", "\u2212")
