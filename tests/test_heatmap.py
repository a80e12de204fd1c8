import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.patches import Rectangle
from matplotlib.text import Text
from test_compositions import lines
from toy import composed

from tsbench import plots
from tsbench.cells import cells_of_outcomes
from tsbench.compositions import compositions, grids
from tsbench.curves import curves
from tsbench.heatmap import FRAME, SCALE, heatmap


def drawn(table, axis="tokens", note="", selector="maj@k"):
    """Return the grid of a selector, its best cells, and its heat map."""
    cells = cells_of_outcomes(table)
    known = curves(cells)
    (grid,) = (g for g in grids(known, axis) if g.selector == selector)
    best = compositions(cells, known, axis)
    best = best[best["selector"] == selector]
    return grid, best, heatmap(grid, best, table["task_class"].iloc[0], axis, note=note)


def texts(figure):
    return [t.get_text() for t in figure.axes[0].texts]


def squares(figure, *, framed):
    return [
        p
        for p in figure.axes[0].patches
        if isinstance(p, Rectangle) and (p.get_fill() is not framed)
    ]


def test_a_cell_has_its_accuracy_as_number_and_colour():
    grid, _, figure = drawn(composed((8, 32, 128), 8))
    axes = figure.axes[0]
    numbers = {
        (round(t.get_position()[1]), round(t.get_position()[0])): t.get_text()
        for t in axes.texts
        if t.get_text().isdigit()
    }
    assert numbers == {place: f"{100 * grid.accuracy[place]:.0f}" for place in grid.places}
    shades = squares(figure, framed=False)
    assert len(shades) == grid.accuracy.size
    low, high = grid.accuracy.min(), grid.accuracy.max()
    for patch in shades:
        place = round(patch.get_y() + 0.5), round(patch.get_x() + 0.5)
        wanted = SCALE((grid.accuracy[place] - low) / (high - low))
        assert patch.get_facecolor() == pytest.approx(wanted, abs=1 / 255)
    assert [t.get_text() for t in axes.get_yticklabels()] == ["8", "32", "128"]
    assert [t.get_text() for t in axes.get_xticklabels()] == ["1", "3", "7"]


def test_small_differences_look_small():
    table = composed((8, 32), 4)
    table["correct"] = 0.5 + 0.0001 * table["budget"]
    colours = {p.get_facecolor() for p in squares(drawn(table)[2], framed=False)}
    spread = np.ptp([colour[:3] for colour in colours], axis=0).max()
    assert spread < 0.02


@pytest.mark.parametrize("axis", ["tokens", "flops"])
def test_a_line_of_equal_spend_parts_cheaper_cells_from_dearer_ones(axis):
    grid, best, figure = drawn(composed((8, 16, 32, 64), 16), axis)
    levels = sorted(best["level"].unique())[:-1]
    shown = [c for c in figure.axes[0].collections if tuple(c.get_linewidths()) == (1.1,)]
    assert len(shown) == len(levels) > 2
    for level, collection in zip(levels, shown, strict=True):
        (path,) = collection.get_paths()
        assert len(path.vertices)
        for x, y in path.vertices:
            inside = 0 <= x <= grid.draws.size - 1 and 0 <= y <= grid.thinking.size - 1
            if inside:
                assert np.exp(interpolated(np.log(grid.spend), x, y)) == pytest.approx(level)


def interpolated(values, x, y):
    """Return what lies on the lattice line between two cells."""
    (i, u), (j, v) = ((int(np.floor(c + 1e-9)), c - np.floor(c + 1e-9)) for c in (x, y))
    assert min(abs(u), abs(v)) < 1e-6
    after = values[j, min(i + 1, values.shape[1] - 1)] if abs(v) < 1e-6 else values[j + 1, i]
    return values[j, i] + max(u, v) * (after - values[j, i])


def test_the_best_cells_are_framed_and_say_for_which_spend():
    table = composed((8, 32), 2, selectors=("best-of-n:p_true",))
    grid, best, figure = drawn(table, selector="best-of-n:p_true")
    frames = squares(figure, framed=True)
    whole = best[best["among"] == "all"].sort_values("level")
    places = {
        (grid.thinking.tolist().index(t), grid.draws.tolist().index(n))
        for t, n in zip(whole["thinking_budget"], whole["budget"], strict=True)
    }
    assert {(round(p.get_y() + 0.5), round(p.get_x() + 0.5)) for p in frames} == places
    assert {to_hex(p.get_edgecolor()) for p in frames} == {FRAME}
    assert "any spend" in texts(figure)
    first = whole["level"].iloc[0]
    assert f"\u2264\u00a0{first:g}" in texts(figure)
    assert f"{first:g}\u00a0tokens" in texts(figure)


def test_a_cell_that_is_best_for_several_spends_gives_their_range():
    known = lines([[0.5, 0.4, 0.3], [0.4, 0.3, 0.9]])
    (grid,) = grids(known, "tokens")
    levels = [10.0, 20.0, 60.0, 136.0]
    cells = [grid.best(level) for level in levels]
    best = pd.DataFrame(
        {
            "level": levels,
            "among": "all",
            "thinking_budget": [grid.thinking[c[0]] for c in cells],
            "budget": [grid.draws[c[1]] for c in cells],
        }
    )
    said = texts(heatmap(grid, best, "math", "tokens"))
    assert "\u2264\u00a010 to 60" in said
    assert "any spend" in said
    equal = best.assign(thinking_budget=8.0, budget=1.0)
    assert "from 10" in texts(heatmap(grid, equal, "math", "tokens"))


def missing():
    table = composed((8, 16, 32, 64, 128), 32, problems=6)
    return table[~((table["thinking_budget"] == 32) & (table["budget"] > 8))]


def test_a_missing_cell_stays_empty():
    grid, _, figure = drawn(missing())
    assert len(squares(figure, framed=False)) == grid.accuracy.size - 2


def long():
    return composed(
        (8, 16, 32), 8, kind="prompted", task_class="a class with a rather long name of its own",
        selectors=("weighted-best-of-n:a_verifier_with_a_long_name",),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("table", "selector", "axis"),
    [
        (composed((8, 32), 2, selectors=("mbr",), problems=6), "mbr", "tokens"),
        (composed((8, 16, 32, 64, 128), 32, problems=6), "maj@k", "tokens"),
        (composed((0, 16, 64, 256, 1024, 4096, 16384), 100, problems=4), "pass@k", "flops"),
        (composed((1, 2, 3), 16, kind="effort", problems=6).assign(correct=0.5), "maj@k", "tokens"),
        (missing(), "maj@k", "tokens"),
        (long(), "weighted-best-of-n:a_verifier_with_a_long_name", "tokens"),
    ],
)
def test_no_text_covers_another_or_leaves_the_figure(table, selector, axis):
    _, _, figure = drawn(table, axis, "simulated model", selector)
    figure.dpi = plots.DPI
    FigureCanvasAgg(figure).draw()
    found = [t for t in figure.findobj(Text) if t.get_text().strip() and t.get_visible()]
    placed = [(t.get_text(), t.get_window_extent()) for t in found]
    for i, (name, box) in enumerate(placed):
        assert figure.bbox.x0 <= box.x0 <= box.x1 <= figure.bbox.x1, name
        assert figure.bbox.y0 <= box.y0 <= box.y1 <= figure.bbox.y1, name
        for other, beside in placed[i + 1 :]:
            assert not box.shrunk(0.98, 0.98).overlaps(beside.shrunk(0.98, 0.98)), (name, other)


def test_the_same_grid_is_drawn_the_same():
    table = composed((8, 32), 4)
    first, again = (plots.svg(drawn(table)[2], "a grid") for _ in range(2))
    assert first == again
    assert ">math: majority vote after forced thought</text>" in first
