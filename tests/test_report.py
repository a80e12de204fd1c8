import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import toy

from tsbench.fit import Fit
from tsbench.report import Report

VOID = {"meta", "br", "hr", "img", "link", "input"}


class Page(HTMLParser):
    """Checks that tags nest, and gathers text, links and ids."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.words: list[str] = []
        self.links: set[str] = set()
        self.ids: list[str] = []
        self.feed(html)
        self.close()
        assert not self.open, self.open
        self.text = re.sub(r"\s+", " ", " ".join(self.words)).replace("\u202f", " ")

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = dict(attrs)
        if tag not in VOID:
            self.open.append(tag)
        if tag == "a":
            self.links.add(str(known["href"]))
        if tag in ("h2", "section") and known.get("id"):
            self.ids.append(str(known["id"]))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] not in (["style"],):
            self.words.append(data)


def written(folder: Path) -> tuple[str, Page]:
    path = Report(run=str(folder))()
    assert path == folder / "report.html"
    html = path.read_text(encoding="utf-8")
    return html, Page(html)


@pytest.fixture
def whole(tmp_path: Path) -> tuple[str, Page]:
    folder = toy.run_folder(
        tmp_path / "toy", samples_table=toy.samples(), manifest_json=toy.manifest()
    )
    return written(folder)


def test_the_page_opens_offline(whole: tuple[str, Page], tmp_path: Path) -> None:
    html, page = whole
    assert not re.search(r"<script|<link|<img|\bsrc=|@import|url\((?!#)", html)
    assert {f"#{key}" for key in page.ids} >= page.links
    assert len(page.links) == 5
    assert len(page.ids) == len(set(page.ids))
    pngs = {path.name for path in (tmp_path / "toy" / "figures").iterdir()}
    assert pngs == {"overview.png", "math-tokens.png", "math-flops.png", "math-difficulty.png"}
    assert html.count("<svg ") == len(pngs)


def test_the_page_shows_no_machine(whole: tuple[str, Page], tmp_path: Path) -> None:
    html, page = whole
    assert str(tmp_path) not in html
    assert "/home/someone" not in html
    assert "\u2026/toy.gguf" in page.text


def test_the_page_says_the_finding_and_how_sure_it_is(whole: tuple[str, Page]) -> None:
    _, page = whole
    assert "Majority vote rises from 41 % with 1 draw to 52 % at its knee of 4 draws" in page.text
    assert "(95 % interval 3 to 9), about 96 tokens a problem" in page.text
    assert "P(falls) = 0.04" in page.text
    for said in ("How to read this", "Oracle coverage", "maximises accuracy minus 1 point"):
        assert said in page.text


def test_what_to_use_has_accuracy_spend_and_what_is_left(whole: tuple[str, Page]) -> None:
    html, _ = whole
    table = html[html.index("What to use</h2>") :]
    cells = Page(table[table.index("<tbody>") : table.index("</tbody>") + 8]).text.split()
    assert " ".join(cells) == (
        "math majority vote 4 draws 52 % 44 to 60 % 96 tokens 26 GFLOPs 5.5 points 11 points"
    )


def test_statuses_are_counted_of_answering_draws_only(whole: tuple[str, Page]) -> None:
    html, _ = whole
    table = html[html.index("Draws by status") :]
    said = Page(table[table.index("<thead>") : table.index("</tbody>") + 8]).text
    assert " ".join(said.split()) == "class draws ok error truncated not ok math 4 2 1 1 50.0 %"


def test_the_cost_adds_up_and_what_is_not_counted_is_said(whole: tuple[str, Page]) -> None:
    html, page = whole
    table = html[html.index("What the run asked for") :]
    read, cached, made = 550, 360, 101
    flops = 2 * 100 * (read - cached + made)
    assert flops == 58_200
    said = Page(table[table.index("<thead>") : table.index("</tbody>") + 8]).text
    assert " ".join(said.split()) == (
        "class draws steps of thought verifier calls prompt tokens of them cached generated tokens "
        "FLOPs not counted math 4 1 1 550 360 101 58.2 kFLOPs 1"
    )
    assert "The sweep took 3.3 minutes" in page.text


def test_dollars_are_told_where_the_price_is_known(tmp_path: Path) -> None:
    known = toy.manifest()
    for job in known["jobs"].values():
        job["model"] |= {"dollars_in": 1000.0, "dollars_out": 10_000.0}
    folder = toy.run_folder(
        tmp_path, samples_table=toy.samples(), manifest_json=known
    )  # fmt: skip
    _, page = written(folder)
    assert "dollars" in page.text
    assert "1.56" in page.text, "(550 * 1000 + 101 * 10000) / 1e6"


def test_a_folder_without_samples_or_manifest_says_so(tmp_path: Path) -> None:
    _, page = written(toy.run_folder(tmp_path))
    assert "no samples, so their statuses cannot be counted" in page.text
    assert "no samples, so the cost is unknown" in page.text
    assert "no manifest.json" in page.text


@pytest.mark.parametrize(
    "changes",
    [
        {"models": {"toy": {"endpoint": "simulated:rise", "model": "toy", "params": None}}},
        {"jobs": {"math": {"model": {"class": "Simulated", "name": "toy"}}}},
    ],
)
def test_a_simulated_model_is_named_on_the_page_and_every_figure(
    tmp_path: Path, changes: dict[str, object]
) -> None:
    html, page = written(toy.run_folder(tmp_path, manifest_json=toy.manifest(**changes)))
    assert "Simulated model: the replies were made up" in page.text
    figures = re.findall(r"<svg .*?</svg>", html, flags=re.DOTALL)
    assert len(figures) == 4
    assert all(">simulated model</text>" in figure for figure in figures)


def test_a_real_model_is_not_called_simulated(whole: tuple[str, Page]) -> None:
    assert "simulated" not in whole[1].text.lower()


def test_comparisons_say_against_whom_at_what_spend_and_how_sure(tmp_path: Path) -> None:
    stopped = {"matched": "budget", "rival_budget": 32, "difference": -0.003, "spend_ratio": 0.58}
    best = {"verdict": "better", "low": 0.01, "all_low": 0.001, "difference": 0.04, "high": 0.07}
    table = pd.DataFrame(
        [
            toy.match("beam:p_true", 4),
            toy.match("beam:p_true", 8, matched="largest", rival_budget=32, spend_ratio=2.0),
            toy.match("best-of-n:p_true", 8, rival_budget=9.0, flags="2 left out", **best),
            toy.match("adaptive-vote", 32, ratio_low=0.52, ratio_high=0.65, **stopped),
            toy.match("adaptive-vote", 32, axis="flops"),
            toy.match("adaptive-vote", 32, task_class="code"),
        ]
    )
    html, page = written(toy.run_folder(tmp_path, matches_table=table))
    first, _, every = html[html.index("At equal spend") :].partition("<details>")
    spend, budget = (
        " ".join(Page(rows + "</tbody>").text.split())
        for rows in re.findall(r"<tbody>.*?(?=</tbody>)", first, flags=re.DOTALL)
    )
    assert spend == (
        "beam search by P(True) 4 paths majority vote 4.2 draws on average "
        "\u22122.1 \u22125.0 to +0.8 cannot tell 100 50.0 % 52.1 % "
        "best-of-n by P(True) 8 draws majority vote 9 draws "
        "+4.0 +1.0 to +7.0 better in all rows at once 100 50.0 % 52.1 %"
    )
    assert budget == (
        "vote that stops when sure 32 draws majority vote 32 draws \u22120.3 \u22125.0 to +0.8 "
        "cannot tell 58 % 52 % to 65 % 50.0 % 52.1 %"
    )
    assert "32\u00a0draws, its most, at 50\u202f% of the spend" in every
    assert "best-of-n by P(True) against majority vote: 2 left out" in page.text
    assert "Comparisons at every budget" in page.text


def test_what_every_strategy_reached_is_its_best_budget_with_its_spend(
    whole: tuple[str, Page],
) -> None:
    reached = whole[1].text.partition("Every strategy at its smallest budget")[2]
    row = reached.partition("best-of-n by log-probability")[2][:120]
    assert row.startswith(" 41 % 1 draw 47 % 39 to 55 %, 4 draws 96 tokens 26 GFLOPs"), row


def test_without_comparisons_there_is_no_table_of_them(whole: tuple[str, Page]) -> None:
    assert "At equal spend" not in whole[1].text


def test_names_from_data_are_escaped(tmp_path: Path) -> None:
    hostile = "<i>&\"'</i>"
    lines, rows = toy.curves((hostile,), model=hostile), toy.knees((hostile,))
    for table in (lines, rows):
        for column in {"strategy", "chosen"} & set(table.columns):
            table[column] = table[column].replace("best-of-n:logprob", "<u>mine</u>")
    rows = rows.assign(model=hostile, flags="<s>flag</s>", params="<q>", family="<q>")
    match = toy.match("<u>mine</u>", 4, model=hostile, task_class=hostile, rival="<em>")
    html, page = written(
        toy.run_folder(
            tmp_path,
            curves_table=lines,
            knees_table=rows,
            matches_table=pd.DataFrame([match]),
            samples_table=toy.samples().assign(task_class=hostile, status="<em>"),
            manifest_json=toy.manifest(sandbox={"<var>": "<kbd>"}, seed="<sub>"),
        )
    )
    assert not re.search(r"<(i|u|s|q|em|var|kbd|sub)>", html)
    assert hostile in page.text
    assert "<s>flag</s>" in page.text


def test_several_models_are_told_apart(tmp_path: Path) -> None:
    lines = pd.concat([toy.curves(), toy.curves(model="other")])
    rows = pd.concat([toy.knees(), toy.knees(verdict="falls").assign(model="other")])
    html, page = written(toy.run_folder(tmp_path, curves_table=lines, knees_table=rows))
    assert "math, toy" in page.text
    assert "math, other" in page.text
    names = {path.name for path in (tmp_path / "figures").iterdir()}
    assert {"toy-overview.png", "other-overview.png", "other-math-tokens.png"} <= names
    assert html.count("<svg ") == len(names)


def test_a_frontier_that_could_not_be_fitted_says_why(tmp_path: Path) -> None:
    gone = dict.fromkeys(("knee", "low", "high", "peak", "gain_left", "p_beyond"), np.nan)
    rows = toy.knees(**gone, flags="no fit: 1 problems and 1 budgets that bind")
    _, page = written(toy.run_folder(tmp_path, knees_table=rows))
    assert "No knee could be fitted: no fit: 1 problems" in page.text


def test_without_a_deployable_strategy_nothing_is_recommended(tmp_path: Path) -> None:
    lines, rows = toy.curves(), toy.knees()
    only = toy.run_folder(
        tmp_path,
        curves_table=lines[lines["strategy"] == "pass@k"],
        knees_table=rows[rows["strategy"] == "pass@k"],
    )
    _, page = written(only)
    assert "No deployable strategy was run." in page.text


@pytest.mark.parametrize("name", ["curves.parquet", "knees.parquet"])
def test_a_missing_file_names_itself_and_the_command(tmp_path: Path, name: str) -> None:
    folder = toy.run_folder(tmp_path / "toy")
    (folder / name).unlink()
    with pytest.raises(
        ValueError, match=rf"{re.escape(name)} is missing; `tsbench fit run=.*toy` makes it"
    ):
        Report(run=str(folder))()
    assert not (folder / "report.html").exists()


def test_tables_of_two_fits_are_refused(tmp_path: Path) -> None:
    folder = toy.run_folder(tmp_path, knees_table=toy.knees(chosen="mine"))
    with pytest.raises(ValueError, match=r"knees\.parquet has 'mine' for math, which curves"):
        Report(run=str(folder))()


def test_a_missing_column_and_an_empty_table_are_named(tmp_path: Path) -> None:
    folder = toy.run_folder(tmp_path, knees_table=toy.knees().drop(columns="verdict"))
    with pytest.raises(ValueError, match=r"knees\.parquet has no column 'verdict'"):
        Report(run=str(folder))()
    toy.run_folder(tmp_path, curves_table=toy.curves().iloc[:0])
    with pytest.raises(ValueError, match=r"curves\.parquet has no row"):
        Report(run=str(folder))()


def test_a_fit_of_someone_elses_log_is_reported(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    chance = 1 - 0.6 * np.asarray(toy.BUDGETS, float) ** -0.5
    log = pd.DataFrame(
        {
            "task_class": "math",
            "problem_id": f"p{q}",
            "stratum": f"level{q % 2 + 1}",
            "strategy": "mine",
            "budget": k,
            "correct": float(rng.random() < p),
            "asks": k,
        }
        for q in range(30)
        for k, p in zip(toy.BUDGETS, chance, strict=True)
    )
    log.to_parquet(tmp_path / "log.parquet")
    Fit(outcomes=str(tmp_path / "log.parquet"), out=str(tmp_path / "mine"))()
    _, page = written(tmp_path / "mine")
    assert "Mine rises from" in page.text
    assert "calls a problem" in page.text
    assert (tmp_path / "mine" / "figures" / "math-asks.png").exists()


def fitted(folder: Path, *outcomes: pd.DataFrame) -> Path:
    """Write a run folder with these outcomes and fit it."""
    (folder / "outcomes").mkdir(parents=True)
    for i, table in enumerate(outcomes):
        table.to_parquet(folder / "outcomes" / f"part-{i}.parquet")
    Fit(run=str(folder))()
    return folder


def single(**columns: Any) -> pd.DataFrame:
    """Return outcomes of one draw without thought, half of them right."""
    table = pd.DataFrame({"problem_id": [f"p{q}" for q in range(40)]})
    table = table.assign(task_class="math", model="toy", strategy="single", budget=1, replicate=0)
    right = np.arange(40) % 2
    return table.assign(correct=right, tokens=12.0, flops=12 * 2.7e8, **columns)


@pytest.fixture(scope="module")
def composed(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Page, Path]:
    table = toy.composed((8, 32, 128), 8, selectors=("pass@k", "maj@k", "best-of-n:p_true"))
    folder = fitted(tmp_path_factory.mktemp("run") / "composed", table, single())
    return *written(folder), folder


def test_each_grid_has_a_heat_map_and_a_table(composed: tuple[str, Page, Path]) -> None:
    html, page, folder = composed
    names = {path.name for path in (folder / "figures").glob("math-grid-*")}
    assert names == {
        f"math-grid-{name}-forced.png" for name in ("pass-k", "maj-k", "best-of-n-p-true")
    }
    assert html.count("<svg ") == len(list((folder / "figures").iterdir()))
    assert "Majority vote after forced thought: mean accuracy in %." in page.text
    assert "chosen on the problems that are shown, so it flatters" in page.text
    assert page.text.count("It cannot be deployed.") == 1


def test_the_table_of_a_grid_holds_problems_out(composed: tuple[str, Page, Path]) -> None:
    html, _, folder = composed
    best = pd.read_parquet(folder / "compositions.parquet")
    best = best[best["selector"] == "maj@k"]
    table = html[html.index(">math: majority vote after forced thought</text>") :]
    table = table[table.index("<tbody>") : table.index("</tbody>") + 8]
    cells = " ".join(Page(table).text.split())
    whole = best[best["among"] == "all"].sort_values("level").iloc[-1]
    said = (
        f"any spend up to {whole['level']:,.0f} tokens 128 tokens \u00d7 7 draws "
        f"{whole['spend']:,.0f} tokens {100 * whole['accuracy']:.0f} % "
        f"{100 * whole['low']:.0f} to {100 * whole['high']:.0f} % "
        f"{100 * whole['held_out']:.0f} %"
    )
    rounded = said.replace(f"{whole['level']:,.0f}", f"{float(f'{whole.level:.2g}'):,.0f}")
    assert rounded in cells.replace("\u00a0", " ")
    assert cells.count("\u00d7 1 draw") >= len(best["level"].unique())


def test_a_grid_does_not_drown_the_curves(composed: tuple[str, Page, Path]) -> None:
    html, page, folder = composed
    curves = pd.read_parquet(folder / "curves.parquet")
    assert curves["strategy"].nunique() == 10
    main = re.findall(r"<svg .*?</svg>", html, flags=re.DOTALL)[1]
    assert ">majority vote, forced 128</text>" in main
    assert "forced 8<" not in main
    assert "only the lines of the one with the best cell are drawn" in page.text
    shown = html[html.index("Knees. Accuracies") :]
    shown = shown[: shown.index("</table>")]
    assert "after 128 tokens" in shown.replace("\u00a0", " ")
    assert "after 32 tokens" not in shown.replace("\u00a0", " ")
    others = html[html.index("Knees of the other thinking budgets") :]
    others = others[: others.index("</details>")].replace("\u00a0", " ")
    assert others.index("after 8 tokens") < others.index("after 32 tokens")


def test_thinking_budgets_are_told_once_for_all_selectors(
    composed: tuple[str, Page, Path],
) -> None:
    html, _, _ = composed
    table = html[html.index("Thinking budgets: asked and spent") :]
    table = table[table.index("<tbody>") : table.index("</tbody>") + 8]
    assert table.count("<tr>") == 3
    said = " ".join(Page(table).text.replace("\u00a0", " ").split())
    assert said.startswith("oracle, vote, P(True) after 8 tokens of forced thought 8 40 runs ")
    assert "100 % 0 % 0 % yes 24 fewer than at 32" in said
    assert "yes 24 more than at 8" in said


def test_ignored_budgets_are_not_recommended(tmp_path: Path) -> None:
    ignored = toy.composed((8, 16, 32), 4, selectors=("maj@k",), ignored=True)
    html, page = written(fitted(tmp_path / "alone", ignored))
    said = "the thinking budgets made no difference to what was spent"
    assert f"No budget can be recommended: {said}." in page.text
    table = html[html.index("What to use</h2>") :]
    assert Page(table[table.index("<tbody>") : table.index("</tbody>") + 8]).text.split() == []
    flagged = f"majority vote after 32 tokens of forced thought: {said}"
    assert flagged in page.text.replace("\u00a0", " ")
    both = fitted(tmp_path / "both", ignored, single(thinking_tokens=np.nan))
    html, page = written(both)
    assert f"(forced 8) left out: {said}" in page.text
    table = html[html.index("What to use</h2>") :]
    used = Page(table[table.index("<tbody>") : table.index("</tbody>") + 8]).text
    assert "single pass" in used
    assert "majority vote" not in used


def test_a_fit_without_thinking_writes_neither_table(tmp_path: Path) -> None:
    folder = fitted(tmp_path / "plain", single())
    assert not (folder / "compliance.parquet").exists()
    assert not (folder / "compositions.parquet").exists()
    _, page = written(folder)
    assert "asked and spent" not in page.text


def test_pools_of_samples_under_thinking_budgets_get_a_heat_map(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    thinking = np.repeat([16, 64], 20 * 6)
    table = pd.DataFrame(
        {
            "task_class": "math",
            "problem_id": np.tile(np.repeat(np.arange(20), 6), 2),
            "thinking_budget": thinking,
            "answer": rng.choice(["7", "8"], thinking.size),
            "tokens": thinking + 5.0,
        }
    )
    table["correct"] = table["answer"] == "7"
    table.to_parquet(tmp_path / "samples.parquet")
    Fit(samples=str(tmp_path / "samples.parquet"), out=str(tmp_path / "out"))()
    _, page = written(tmp_path / "out")
    names = {path.name for path in (tmp_path / "out" / "figures").glob("*grid*")}
    assert names == {"math-grid-maj-k-thinking.png", "math-grid-pass-k-thinking.png"}
    assert "Majority vote after thought: mean accuracy" in page.text
