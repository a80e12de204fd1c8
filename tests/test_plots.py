import re
import subprocess
import sys
from collections.abc import Mapping
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from toy import BUDGETS, beyond, curve, curves, knee, knees

from tsbench import plots, rocs

MANY = ("pass@k", "maj@k", "best-of-n:logprob", "best-of-n:p_true", "forced", "mine", "yours")


def said(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]  # type: ignore[attr-defined]


def boxes(figure: Figure) -> dict[str, object]:
    figure.dpi = plots.DPI
    FigureCanvasAgg(figure).draw()
    shown = [t for t in figure.findobj(Text) if t.get_text().strip() and t.get_visible()]  # type: ignore[attr-defined]
    return {f"{i} {t.get_text()}": t.get_window_extent() for i, t in enumerate(shown)}  # type: ignore[attr-defined]


def captured(ends: Mapping[str, float]) -> pd.DataFrame:
    """Return a table of headroom: what selectors convert of 8 draws, less of fewer."""
    rows = [
        {
            "task_class": "open_ended",
            "model": "toy",
            "strategy": strategy,
            "budget": float(k),
            "capture": end * k / 8,
            "low": end * k / 8 - 0.2,
            "high": end * k / 8 + 0.2,
            "held_capture": 1.2 * end * k / 8 if k in (2, 8) else np.nan,
        }
        for strategy, end in ends.items()
        for k in range(2, 9)
    ]
    return pd.DataFrame(rows)


def crowded() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Seven strategies of two classes that all end within two points."""
    lines = [
        curve(c, s, np.linspace(0.3, 0.97 + 0.003 * i, 6))
        for c in ("math", "a class with a name")
        for i, s in enumerate(MANY)
    ]
    rows = [knee(c, s) for c in ("math", "a class with a name") for s in MANY]
    return pd.concat(lines, ignore_index=True), pd.DataFrame(rows)


def roc_tables(*verifiers: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """ROC points and rows of verifiers that know less and less of the same draws."""
    rng = np.random.default_rng(0)
    correct = rng.integers(0, 2, 60).astype(float)
    draws = pd.DataFrame({"problem_id": np.arange(60) // 6, "correct": correct})
    scored = [
        draws.assign(task_class="math", verifier=v, score=correct + (i + 1) * rng.random(60))
        for i, v in enumerate(verifiers)
    ]
    table = pd.concat(scored, ignore_index=True)
    return rocs.points(table), rocs.rocs(table)


def test_the_figure_has_a_dashed_oracle_and_a_line_a_strategy() -> None:
    figure = plots.curve(curves(), knees(), "math", "tokens")
    upper = figure.axes[0]
    assert upper.get_xscale() == "log"
    colours = plots.palette(curves()["strategy"])
    long = [line for line in upper.lines if len(line.get_xdata()) >= len(BUDGETS) - 1]
    lines = {line.get_color(): line for line in long if line.get_linewidth() >= 1.5}
    assert set(lines) == set(colours.values())
    assert [line.is_dashed() for c, line in lines.items() if c == colours["pass@k"]] == [True]
    assert not any(line.is_dashed() for c, line in lines.items() if c != colours["pass@k"])


def test_the_ring_is_on_the_line_at_the_knee() -> None:
    upper = plots.curve(curves(), knees(), "math", "tokens").axes[0]
    rings = [line for line in upper.lines if line.get_marker() == "o"]
    votes = next(r for r in rings if r.get_color() == plots.COLOURS["maj@k"])
    x, y = float(votes.get_xdata()[0]), float(votes.get_ydata()[0])
    assert x == 120.0
    share = np.log2(5 / 4)
    assert y == pytest.approx(100 * (0.52 + share * 0.04))
    assert len(rings) == 2, "the oracle's knee lies beyond and has no ring"


def test_a_censored_end_is_an_arrow_and_a_known_one_a_bar() -> None:
    rows = pd.DataFrame([beyond("math", "pass@k"), knee("math", "maj@k", low=np.nan)])
    lower = plots.curve(curves(), rows, "math", "tokens").axes[1]

    def ends(colour: str) -> dict[object, float]:
        drawn = [line for line in lower.lines if line.get_color() == colour]
        return {line.get_marker(): float(line.get_xdata()[0]) for line in drawn}

    oracle, votes = ends(plots.COLOURS["pass@k"]), ends(plots.COLOURS["maj@k"])
    assert oracle[">"] == 32 * 24
    assert oracle["|"] == 3 * 24
    assert "o" not in oracle
    assert votes["<"] == 24
    assert votes["|"] == 9 * 24
    assert votes["o"] == 5 * 24


def test_labels_say_names_verdicts_and_knees_in_draws() -> None:
    texts = said(plots.curve(curves(), knees(), "math", "tokens", note="simulated model"))
    assert {"majority vote", "flattens", "oracle (pass@k)", "still rising", "falls"} <= set(texts)
    assert "5\u00a0draws (3 to 9)" in texts
    assert "beyond 32\u00a0draws (3 or more)" in texts
    assert "generated tokens per problem" in texts
    assert "simulated model" in texts


def test_a_strategy_of_one_budget_is_a_point_without_a_verdict() -> None:
    table = pd.concat([curves(), curve("math", "single", [0.4], budgets=[1])])
    rows = pd.concat([knees(), pd.DataFrame([knee("math", "single", peak=np.nan)])])
    figure = plots.curve(table, rows, "math", "tokens")
    assert "single pass" in said(figure)
    assert sum(text.startswith("5\u00a0draws") for text in said(figure)) == 2
    diamonds = [line for line in figure.axes[0].lines if line.get_marker() == "D"]
    assert [list(line.get_ydata()) for line in diamonds] == [[40.0]]


@pytest.mark.parametrize("axis", ["tokens", "flops"])
def test_no_text_covers_another_or_leaves_the_figure(axis: str) -> None:
    table, rows = crowded()
    drawn = [
        plots.curve(curves(), knees(), "math", axis, note="simulated model"),
        plots.overview(table, rows, "tokens", note="simulated model"),
        plots.curve(table, rows, "math", "tokens", note="simulated model"),
        plots.strata(curves(), knees(), "math", axis, note="simulated model"),
        plots.roc(*roc_tables(*"abcdefg"), "math", note="simulated model"),
        plots.captures(captured(dict.fromkeys(MANY, 0.4)), "open_ended", note="simulated model"),
    ]
    for figure in drawn:
        placed = boxes(figure)
        for name, box in placed.items():
            assert figure.bbox.x0 <= box.x0 <= box.x1 <= figure.bbox.x1, name  # type: ignore[attr-defined]
            assert figure.bbox.y0 <= box.y0 <= box.y1 <= figure.bbox.y1, name  # type: ignore[attr-defined]
            for other, beside in placed.items():
                touching = other != name and box.shrunk(0.98, 0.98).overlaps(
                    beside.shrunk(0.98, 0.98)
                )  # type: ignore[attr-defined]
                assert not touching, (name, other)


def test_the_overview_has_a_panel_a_class_on_one_scale() -> None:
    classes = ("math", "code", "open_ended")
    figure = plots.overview(curves(classes), knees(classes), "tokens")
    assert len(figure.axes) == 3
    assert len({axes.get_ylim() for axes in figure.axes}) == 1
    texts = said(figure)
    assert set(classes) <= set(texts)
    assert texts.count("flattens at 52\u202f% (vote, 4\u00a0draws)") == 3


def test_strata_have_a_panel_a_strategy_and_name_a_level_that_falls() -> None:
    figure = plots.strata(curves(), knees(), "math", "tokens")
    assert len(figure.axes) == 3
    texts = said(figure)
    assert texts.count("level 1") == texts.count("level 2") == 3
    assert texts.count("falls") == 1


def test_missing_is_drawn_only_where_something_is() -> None:
    table = curves()
    assert plots.missing(table) is None
    table.loc[(table["strategy"] == "maj@k") & (table["budget"] == 4), "missing_rate"] = 0.07
    figure = plots.missing(table)
    assert figure is not None
    assert [t.get_text() for t in figure.axes[0].get_yticklabels()] == ["math · majority vote"]
    blank, capped = figure.axes[0].lines[:2]
    assert list(blank.get_xdata()) == pytest.approx([7.0])
    assert list(capped.get_xdata()) == [0.0]


def test_a_roc_has_a_line_and_a_ring_a_verifier_the_better_first() -> None:
    table, found = roc_tables("p_true", "mine")
    figure = plots.roc(table, found, "math", note="simulated model")
    axes = figure.axes[0]
    colours = [plots.COLOURS["best-of-n:p_true"], plots.OTHERS[0]]
    for colour, (_, row) in zip(
        colours, found.sort_values("verifier")[::-1].iterrows(), strict=True
    ):
        line, ring = (drawn for drawn in axes.lines if drawn.get_color() == colour)
        assert line.get_xydata()[[0, -1]].tolist() == [[0, 0], [100, 100]]
        where = [100 * row["false_accept"], 100 * row["true_accept"]]
        assert ring.get_xydata().tolist() == [pytest.approx(where)]
        assert np.abs(line.get_xydata() - where).max(axis=1).min() < 1e-9
    better, worse = found.sort_values("auc", ascending=False).to_dict("records")
    texts = said(figure)
    assert f"AUC {better['auc']:.2f} ({better['auc_low']:.2f} to {better['auc_high']:.2f})" in texts
    names = {"p_true": "P(True)", "mine": "mine"}
    assert texts.index(names[better["verifier"]]) < texts.index(names[worse["verifier"]])


def test_a_roc_without_an_interval_or_mixed_problems_says_what_it_knows() -> None:
    draws = pd.DataFrame({"problem_id": [0, 1], "score": [0.2, 0.9], "correct": [0.0, 1.0]})
    draws = draws.assign(task_class="math", verifier="v")
    texts = said(plots.roc(rocs.points(draws), rocs.rocs(draws), "math"))
    assert {"v", "within problems unknown"} <= set(texts)


def test_bad_input_is_one_sentence() -> None:
    with pytest.raises(ValueError, match="points have no class 'code'; found math"):
        plots.roc(*roc_tables("v"), "code")
    with pytest.raises(ValueError, match="no class 'code' with tokens; found math"):
        plots.curve(curves(), knees(), "code", "tokens")
    with pytest.raises(ValueError, match="no spend 'joules'; allowed are tokens, flops"):
        plots.overview(curves(), knees(), "joules")
    whole = curves()
    with pytest.raises(ValueError, match="no difficulty level of the class 'math'"):
        plots.strata(whole[whole["stratum"] == "all"], knees(), "math", "tokens")


def test_svg_is_one_element_to_embed_and_the_same_each_time() -> None:
    first = plots.svg(plots.curve(curves(), knees(), "math", "tokens"), 'a "curve" & its <knee>')
    again = plots.svg(plots.curve(curves(), knees(), "math", "tokens"), 'a "curve" & its <knee>')
    assert first == again
    assert first.startswith("<svg ")
    assert 'aria-label="a &quot;curve&quot; &amp; its &lt;knee&gt;"' in first
    assert ">majority vote</text>" in first
    assert not re.search(r"<\?xml|<!DOCTYPE|<metadata|http://(?!www\.w3\.org)", first)
    ids = re.findall(r'\bid="([^"]+)"', first)
    other = plots.svg(plots.curve(curves(), knees(), "math", "flops"), "")
    clashing = set(ids) & set(re.findall(r'\bid="([^"]+)"', other))
    for key in clashing:
        pattern = rf'<[^>]*id="{key}"[^>]*>\s*<[^>]*>'
        assert re.findall(pattern, first) == re.findall(pattern, other), key


def test_png_is_1440_pixels_wide() -> None:
    data = plots.png(plots.curve(curves(), knees(), "math", "tokens"))
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    assert int.from_bytes(data[16:20], "big") == 1440


@given(st.floats(0.01, 1e15), st.floats(1.3, 1e6))
def test_ticks_are_inside_and_even(low: float, ratio: float) -> None:
    high = low * ratio
    marks = plots.ticks(low, high)
    assert all(low <= mark <= high for mark in marks)
    assert all(1.9 < b / a < 10.1 for a, b in pairwise(marks))
    assert len(marks) <= 9
    assert ratio < 3 or marks


def test_ticks_read_one_three_ten() -> None:
    assert plots.ticks(1, 150) == [1, 3, 10, 30, 100]
    assert plots.ticks(9, 60) == [10, 20, 50]


@given(st.lists(st.floats(0, 100), min_size=1, max_size=9), st.floats(0.1, 10))
def test_spread_keeps_a_gap_and_the_order(wanted: list[float], gap: float) -> None:
    placed = plots.spread(wanted, gap)
    ordered = sorted(placed)
    assert all(b - a >= gap - 1e-9 for a, b in pairwise(ordered))
    for i, a in enumerate(wanted):
        assert all(placed[i] < placed[j] for j, b in enumerate(wanted) if a < b)
    assert np.mean(placed) == pytest.approx(np.mean(wanted))


def test_spread_moves_nothing_that_has_room() -> None:
    assert plots.spread([10, 50, 30], 5).tolist() == [10, 50, 30]


def test_colours_belong_to_strategies() -> None:
    assert plots.palette(["maj@k"])["maj@k"] == plots.palette(["mine", "maj@k"])["maj@k"]
    assert len(set(plots.palette(MANY).values())) == len(MANY)
    assert plots.palette(["a", "b"]) == plots.palette(["b", "a"])


def test_votes_are_not_drawn_at_an_even_budget_after_its_odd_one() -> None:
    table = curve("math", "maj@k", [0.41, 0.41, 0.52, 0.53, 0.55], budgets=[1, 2, 3, 4, 5])
    figure = plots.curve(table, pd.DataFrame([knee("math", "maj@k")]), "math", "tokens")
    line = max(figure.axes[0].lines, key=lambda drawn: drawn.get_linewidth())
    assert list(line.get_xdata()) == [24.0, 72.0, 120.0]
    without = table[table["budget"] != 3]
    figure = plots.curve(without, pd.DataFrame([knee("math", "maj@k")]), "math", "tokens")
    line = max(figure.axes[0].lines, key=lambda drawn: drawn.get_linewidth())
    assert list(line.get_xdata()) == [24.0, 96.0, 120.0], "4 repeats no odd budget that is there"


def test_importing_the_report_touches_neither_pyplot_nor_the_sweeping_half() -> None:
    code = (
        "import sys, tsbench.report; "
        "bad = {'matplotlib.pyplot', 'openai', 'datasets', 'math_verify', 'tsbench.sweep', "
        "'tsbench.runner', 'tsbench.tasks', 'tsbench.models'} & set(sys.modules); "
        "sys.exit(', '.join(sorted(bad)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_captures_have_a_line_a_selector_and_dashes_for_what_is_held_out() -> None:
    figure = plots.captures(captured({"mbr": 0.3, "best-of-n:logprob": -0.1}), "open_ended")
    (axes,) = figure.axes
    assert axes.get_ylabel() == "headroom converted, %"
    ends = {round(float(line.get_ydata()[-1])) for line in axes.lines if len(line.get_xdata()) > 2}
    assert {30, -10} <= ends
    dashed = [line for line in axes.lines if len(line.get_xdata()) == 2 and line.get_lw() == 1.2]
    assert [round(float(line.get_ydata()[-1])) for line in dashed] == [36, -12]
    texts = said(figure)
    assert texts.index("minimum Bayes risk") < texts.index("best-of-n by log-probability")
    with pytest.raises(ValueError, match="headroom has no class 'math'; found open_ended"):
        plots.captures(captured({"mbr": 0.3}), "math")
