import numpy as np
import pytest
from scipy import stats
from scipy.integrate import dblquad

from tsbench.posterior import (
    FIRST_SD,
    LEVEL_SD,
    MISFIT,
    MISFIT_MASS,
    ROUGH,
    SECOND_SD,
    MeanCurve,
    _evidence,
    _log_quadrant,
    _positive_pairs,
    basis_on,
    matern,
    mean_curve,
    product,
    sample_posterior,
)


def test_quadrant_mass_agrees_with_the_bivariate_normal():
    rng = np.random.default_rng(0)
    z, correlation = rng.normal(0, 2.5, (2, 300)), rng.uniform(-0.95, 0.99, 300)
    z[:, 0], z[0, 1] = 0.0, 0.0
    exact = np.array(
        [
            stats.multivariate_normal(-m, [[1, r], [r, 1]]).cdf([0.0, 0.0])
            for m, r in zip(z.T, correlation, strict=True)
        ]
    )
    sure = exact > 1e-5
    assert sure.sum() > 150
    assert _log_quadrant(z, correlation)[sure] == pytest.approx(np.log(exact[sure]), abs=0.01)


def test_quadrant_mass_is_finite_far_in_the_tail():
    found = _log_quadrant(np.array([[-40.0], [3.0]]), np.array([0.5]))
    assert found == pytest.approx([stats.norm.logcdf(-40.0)])


@pytest.mark.parametrize("correlation", [0.0, 0.8, -0.6])
def test_amplitudes_are_draws_of_the_truncated_normal(correlation):
    rng = np.random.default_rng(1)
    z = np.array([0.3, -0.8])
    free = rng.multivariate_normal(z, [[1.0, correlation], [correlation, 1.0]], 400_000)
    kept = free[(free >= 0).all(axis=1)]
    drawn = _positive_pairs(np.tile(z[:, None], 20_000), np.full(20_000, correlation), rng)
    assert (drawn >= 0).all()
    assert drawn.mean(axis=1) == pytest.approx(kept.mean(axis=0), abs=0.015)
    assert np.cov(drawn) == pytest.approx(np.cov(kept.T), abs=0.02)


def test_marginal_likelihood_is_the_integral_over_the_amplitudes():
    basis = basis_on((0.0, 1.0, 2.0, 3.5))
    y = np.array([-0.1, 0.05, 0.08, 0.02])
    noise = 0.03**2 * (np.eye(4) + 0.3)
    kernel = basis.kernel[:, basis.budgets]
    covariance = noise + LEVEL_SD**2 + MISFIT[1] ** 2 * (kernel + ROUGH * np.eye(4))
    log_mass, *_ = _evidence(basis, y, np.stack([covariance] * MISFIT.size))
    table = basis.table
    first = np.flatnonzero((table.first_of > 0) & (table.second_of == 0))[30]
    pair = np.flatnonzero(basis.both & np.isfinite(log_mass[1]))[5]

    def exact(shape):
        rise = table.first[table.first_of[shape], basis.budgets]
        turn = table.second[table.second_of[shape], basis.budgets]
        density = stats.multivariate_normal(np.zeros(4), covariance).pdf

        def integrand(d, b):
            half = stats.norm.pdf(b, 0, FIRST_SD) * stats.norm.pdf(d, 0, SECOND_SD)
            return 4.0 * half * density(y - b * rise - d * turn)

        return dblquad(integrand, 0.0, 1.0, 0.0, 0.8, epsabs=1e-4, epsrel=1e-4)[0]

    ratio = log_mass[1, pair] - log_mass[1, first] - np.log(table.prior[pair] / table.prior[first])
    assert ratio == pytest.approx(np.log(exact(pair) / exact(first)), abs=0.01)
    assert log_mass[1, first] - log_mass[0, first] == pytest.approx(
        np.log(MISFIT_MASS[1] / MISFIT_MASS[0])
    )


def test_covariance_of_the_mean_is_that_of_repeated_studies():
    rng = np.random.default_rng(2)
    true = np.array([0.4, 0.5, 0.6])

    def study():
        ease = rng.normal(0, 0.15, (200, 1))
        return (rng.uniform(size=(200, 3)) < np.clip(true + ease, 0, 1)).astype(float)

    means = np.array([study().mean(axis=0) for _ in range(2000)])
    estimates = np.mean([mean_curve(study()).covariance for _ in range(50)], axis=0)
    assert np.diag(estimates) == pytest.approx(np.diag(np.cov(means.T)), rel=0.12)


def test_clusters_of_copies_count_once():
    Z = (np.random.default_rng(3).uniform(size=(40, 3)) < 0.6).astype(float)
    copied = mean_curve(np.repeat(Z, 5, axis=0), np.repeat(np.arange(40), 5))
    assert copied.clusters == 40
    assert copied.covariance == pytest.approx(mean_curve(Z).covariance)


def test_unanimous_queries_leave_a_fifth_of_a_query_of_doubt_at_each_step():
    covariance = mean_curve(np.ones((20, 4))).covariance
    step = covariance[3, 3] + covariance[2, 2] - 2 * covariance[3, 2]
    assert step == pytest.approx(0.2 / 20**2)
    assert (np.linalg.eigvalsh(covariance) > 0).all()


def test_small_moves_leave_less_doubt_than_whole_ones():
    rng = np.random.default_rng(4)
    fine = 0.5 + 0.01 * rng.standard_normal((50, 4))
    assert mean_curve(fine).covariance[0, 0] < 0.2 / 50**2 + fine[:, 0].var() / 49


def test_few_clusters_make_the_noise_larger_than_the_covariance():
    few, many = (MeanCurve(np.array([0.5, 0.6]), np.eye(2), clusters) for clusters in (4, 4000))
    assert few.noise[0, 0] == pytest.approx((stats.t.ppf(0.975, 3) / stats.norm.ppf(0.975)) ** 2)
    assert many.noise[0, 0] == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize("factor", [1.5, 2.0, 4.0])
def test_the_misfit_between_its_knots_has_the_right_covariance(factor):
    basis = basis_on(tuple((np.log2(factor) * np.arange(6)).tolist()))
    assert basis.root.T @ basis.root == pytest.approx(matern(basis.x, basis.x), abs=0.02)


def test_the_posterior_covers_a_curve_that_is_no_shape_of_the_dictionary():
    x = np.arange(9.0)
    curve = MeanCurve(0.5 + 0.02 * x + 0.05 * np.sin(1.3 * x), 1e-6 * np.eye(9), 5000)
    posterior = sample_posterior(x, curve, np.random.default_rng(0))
    between = 0.5 + 0.02 * posterior.x + 0.05 * np.sin(1.3 * posterior.x)
    low, high = np.quantile(posterior.curves, [0.005, 0.995], axis=0)
    assert np.abs(posterior.curves.mean(axis=0) - between).max() < 0.03
    assert ((low <= between) & (between <= high)).mean() > 0.9


def test_the_posterior_without_data_is_the_prior():
    x = np.arange(5.0)
    curve = MeanCurve(np.full(5, 0.5), 1e4 * np.eye(5), 5000)
    posterior = sample_posterior(x, curve, np.random.default_rng(0), draws=4000)
    ends = np.cumsum([family.size for family in posterior.families])
    member = np.searchsorted(ends, posterior.shape, side="right")
    masses = np.bincount(member, minlength=ends.size) / 4000
    assert masses == pytest.approx([family.mass for family in posterior.families], abs=0.02)


def test_a_product_by_blocks_is_the_product():
    rng = np.random.default_rng(5)
    A, B = rng.normal(size=(1601, 37)), rng.normal(size=(37, 71))
    assert product(A, B) == pytest.approx(A @ B)
