import numpy as np
import pandas as pd
import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate

from tsbench.cli import CONF
from tsbench.simulate import scenarios
from tsbench.validate import Validate, draw
from tsbench.validation_page import OURS, Share, bars, merit, text, write_page

TINY = {
    "datasets": 2,
    "queries": (30, 100),
    "draws": (4, 1),
    "scenarios": ("saturates early", "vote, falls 5", "flat, low"),
    "jobs": 1,
}
FIGURES = {f"validation-{n}.png" for n in ("truth", "rmse", "coverage", "turnovers", "calibration")}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    pytest.importorskip("kneed")
    folder = tmp_path_factory.mktemp("study")
    return Validate(**TINY, out=str(folder))(), folder


def made(**columns):
    """A study's rows with as many datasets as the longest column."""
    columns = columns or {"knee": [3.0]}
    usual = {
        "scenario": "saturates early", "kind": "interior null", "queries": 100, "draws": 8,
        "method": OURS, "truth": 3.0, "end": 7.0, "depth": 0.0, "knee": 3.0, "low": 2.0,
        "high": 4.0, "falls": 0.0, "verdict": "flat", "p_fall": 0.1,
    }  # fmt: skip
    rows = pd.DataFrame(usual | columns)
    return rows.assign(dataset=np.arange(len(rows)))


def test_a_study_has_a_row_for_each_dataset_and_method(study):
    rows, _ = study
    cells = rows.groupby(["method", "queries", "draws"]).size()
    assert cells[OURS].to_dict() == {(30, 4): 6, (100, 4): 6, (100, 1): 6}
    assert cells["AICc"].to_dict() == {(30, 4): 6, (100, 4): 6}
    assert (rows["knee"].between(0, rows["end"])).all()
    assert (rows["low"].dropna() <= rows["knee"][rows["low"].notna()] + 1e-9).all()
    assert rows.loc[rows["method"] == "kneed", ["low", "high", "falls"]].isna().all(axis=None)


def test_a_study_does_not_depend_on_the_number_of_processes(study, tmp_path):
    rows, _ = study
    again = Validate(**TINY | {"jobs": 2}, out=str(tmp_path))()
    pd.testing.assert_frame_equal(rows, again)


def test_a_dataset_depends_on_its_place_alone():
    scenario = scenarios()[1]
    Z = draw(scenario, 30, 4, 1, seed=5)
    assert np.array_equal(Z, draw(scenario, 30, 4, 1, seed=5))
    others = (30, 4, 2, 5), (30, 4, 1, 6)
    assert all(not np.array_equal(Z, draw(scenario, *place)) for place in others)


def test_the_page_is_made_from_the_file_alone(study, tmp_path):
    rows, folder = study
    page = (folder / "validation.md").read_text()
    assert {path.name for path in (folder / "figures").iterdir()} == FIGURES
    again = Validate(results=str(folder / "validation.parquet"), out=str(tmp_path))()
    assert (tmp_path / "validation.md").read_text() == page
    assert len(again) == len(rows)
    assert not (tmp_path / "validation.parquet").exists()


def test_the_page_says_what_was_done(study):
    rows, folder = study
    page = (folder / "validation.md").read_text()
    assert "simulated data" in page
    assert "'queries=[30,100]' 'draws=[4,1]'" in page
    for name in (*TINY["scenarios"], "kneed", "power law", "AICc", "raw argmax"):
        assert f"| {name} |" in page
    coverage = merit(rows[(rows["method"] == "AICc") & (rows["queries"] == 30)
                          & (rows["scenario"] != "flat, low")]).coverage  # fmt: skip
    assert str(coverage) in page


@pytest.mark.parametrize("name", ["rising", "flat, low", "falls 12"])
def test_a_page_of_one_scenario_is_made(name, tmp_path):
    rows = Validate(
        datasets=2, queries=[30], draws=[2], scenarios=[name], jobs=1, rivals=False,
        out=str(tmp_path),
    )()  # fmt: skip
    assert set(rows["method"]) == {OURS}
    assert f"| {name} |" in (tmp_path / "validation.md").read_text()


def test_merits_are_those_of_the_rows():
    rows = made(knee=[2.0, 3.0, 7.0], high=[2.9, 4.0, 7.0], falls=[1.0, 0.0, 0.0])
    m = merit(rows)
    assert m.rmse == pytest.approx(np.sqrt(17 / 3))
    assert m.bias == pytest.approx(1.0)
    assert m.bias_error == pytest.approx(np.std([-1, 0, 4]) / np.sqrt(3))
    assert (m.coverage, m.falls, m.beyond) == (Share(2, 3), Share(1, 3), Share(1, 3))
    assert m.width == 2.0
    assert merit(made(knee=[4.0] * 9)).rmse_error == 0.0


def test_a_knee_beyond_the_grid_is_covered_by_an_interval_that_reaches_its_end():
    rows = made(truth=7.0, low=[5.0, 5.0], high=[7.0, 6.9])
    assert merit(rows).coverage == Share(1, 2)


def test_the_standard_error_of_the_rmse_is_that_of_many_studies():
    rng = np.random.default_rng(0)
    errors = rng.normal(size=(300, 80))
    found = np.std(np.sqrt((errors**2).mean(axis=1)))
    assert merit(made(knee=3 + errors[0])).rmse_error == pytest.approx(found, rel=0.35)


def test_a_share_has_its_wilson_interval():
    share = Share(8, 10)
    assert share.interval == pytest.approx((0.4902, 0.9433), abs=1e-4)
    assert str(share) == "80 (49\u201394)"
    assert str(Share(15, 240)) == "6.25 (4\u201310)"


def test_the_bars_are_held_against_the_rows():
    deep = {"kind": "interior fall", "depth": 7.0, "scenario": "falls 7, late"}
    calls = [0.0] * 10 + [1.0] * 90
    good = made(knee=np.tile([2.5, 3.5], 50), high=[2.9] * 8 + [4.0] * 92)
    found = bars(pd.concat([good, made(falls=calls, **deep)]))
    assert [bar.met for bar in found] == [True, None, None, True, True, True]
    bad = made(knee=[4.2] * 100, high=[2.9] * 20 + [4.0] * 80, falls=[1.0] * 7 + [0.0] * 93)
    found = bars(pd.concat([bad, made(falls=[0.0, *calls], **deep)]))
    assert [bar.met for bar in found] == [False, None, None, False, False, False]
    assert found[0].found == f"{1.2 * np.sqrt(100 / 201):.2f} \u00b1 0.00"
    assert found[4].found == f"{Share(7, 100)}: saturates early, 100 queries"


def test_the_worst_scenario_is_the_one_that_counts():
    null = pd.concat([made(scenario=name, falls=calls) for name, calls in (
        ("rising", [0.0] * 100), ("step", [1.0] * 8 + [0.0] * 92))])  # fmt: skip
    alarm = next(bar for bar in bars(null) if "false" in bar.what)
    assert (alarm.met, alarm.found.split(": ")[1]) == (False, "step, 100 queries")


def test_the_page_says_met_and_not_met(tmp_path):
    rows = made(knee=[3.9] * 50)
    rows.attrs = {"command": "tsbench validate", "delta": 0.01, "draws": 8}
    assert "| at most 0.75 | 0.90 \u00b1 0.00 | **not met** |" in text(rows)
    assert write_page(rows.assign(knee=3.1), tmp_path).read_text().count("| met |") >= 2


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"datasets": 1}, "datasets is 1; give a whole number, 2 or more"),
        ({"datasets": 2.5}, "datasets is 2.5"),
        ({"queries": 100}, "queries is 100; give a list"),
        ({"scenarios": "rising"}, "scenarios is 'rising'; give a list"),
        ({"queries": []}, "queries is"),
        ({"queries": [1]}, "queries is"),
        ({"draws": [8, 8]}, "draws is"),
        ({"draws": [0]}, "draws is"),
        ({"scenarios": ["no such"]}, "'no such'; allowed are rising; saturates early"),
        ({"delta": -0.1}, "delta is -0.1"),
        ({"seed": -1}, "seed is -1"),
        ({"jobs": 0}, "jobs is 0"),
        ({"results": "nowhere.parquet"}, "nowhere.parquet, which is not there"),
    ],
)
def test_a_bad_key_is_named(keys, said):
    with pytest.raises(ValueError, match=said):
        Validate(**keys)


def test_results_that_no_study_wrote_are_refused(tmp_path):
    file = tmp_path / "other.parquet"
    file.write_text("not parquet")
    with pytest.raises(ValueError, match="not a parquet file"):
        Validate(results=str(file), out=str(tmp_path))()
    made().to_parquet(file)
    with pytest.raises(ValueError, match="no study wrote"):
        Validate(results=str(file), out=str(tmp_path))()


def test_the_config_s_defaults_are_those_of_the_class():
    with initialize_config_dir(str(CONF), version_base="1.3"):
        made = instantiate(compose("validate"), _convert_="all")
    assert made == Validate(queries=made.queries, draws=made.draws)
    assert (tuple(made.queries), tuple(made.draws)) == (Validate.queries, Validate.draws)
