import numpy as np
import pytest
from scipy import stats

from tsbench.posterior import MeanCurve, _log_orthant, _truncated, mean_curve, sample_posterior


def random_normals(rng, n):
    root = rng.normal(size=(n, 3, 3))
    return rng.normal(0, 2, size=(n, 3)), root @ root.transpose(0, 2, 1) + 0.05 * np.eye(3)


def test_orthant_mass_agrees_with_the_bivariate_normal():
    centre, spread = random_normals(np.random.default_rng(0), 200)
    exact = np.array(
        [
            stats.multivariate_normal(-c[1:], s[1:, 1:]).cdf([0.0, 0.0])
            for c, s in zip(centre, spread, strict=True)
        ]
    )
    sure = exact > 1e-5
    assert sure.sum() > 100
    assert _log_orthant(centre, spread)[sure] == pytest.approx(np.log(exact[sure]), abs=0.02)


def test_orthant_mass_is_finite_far_in_the_tail():
    centre = np.array([[0.0, -40.0, 3.0]])
    assert _log_orthant(centre, np.eye(3)[None])[0] == pytest.approx(
        stats.norm.logcdf(-40.0) + stats.norm.logcdf(3.0)
    )


def test_amplitudes_are_draws_of_the_truncated_normal():
    rng = np.random.default_rng(1)
    centre = np.array([0.5, 0.3, -0.8])
    spread = np.array([[0.04, -0.02, 0.01], [-0.02, 0.25, 0.2], [0.01, 0.2, 0.3]])
    free = rng.multivariate_normal(centre, spread, 400_000)
    kept = free[(free[:, 1:] >= 0).all(axis=1)]
    drawn = _truncated(np.tile(centre, (20_000, 1)), np.tile(spread, (20_000, 1, 1)), rng)
    assert (drawn[:, 1:] >= 0).all()
    assert drawn.mean(axis=0) == pytest.approx(kept.mean(axis=0), abs=0.01)
    assert np.cov(drawn.T) == pytest.approx(np.cov(kept.T), abs=0.01)


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


def test_unanimous_queries_leave_doubt():
    curve = mean_curve(np.ones((20, 4)))
    assert (np.linalg.eigvalsh(curve.covariance) > 0).all()


def test_few_clusters_make_the_noise_larger_than_the_covariance():
    few, many = (
        MeanCurve(np.array([0.5, 0.6]), np.eye(2), np.zeros((clusters, 2)))
        for clusters in (4, 4000)
    )
    assert few.noise[0, 0] == pytest.approx((stats.t.ppf(0.975, 3) / stats.norm.ppf(0.975)) ** 2)
    assert many.noise[0, 0] == pytest.approx(1.0, abs=0.01)


def test_the_posterior_covers_a_curve_that_is_no_shape_of_the_dictionary():
    x = np.arange(9.0)
    true = 0.5 + 0.02 * x + 0.05 * np.sin(1.3 * x)
    curve = MeanCurve(true, 1e-6 * np.eye(9), np.zeros((5000, 9)))
    posterior = sample_posterior(x, curve, np.random.default_rng(0))
    mean = posterior.curves.mean(axis=0)
    low, high = np.quantile(posterior.curves, [0.005, 0.995], axis=0)
    between = 0.5 + 0.02 * posterior.x + 0.05 * np.sin(1.3 * posterior.x)
    assert np.abs(mean - between).max() < 0.03
    assert ((low <= between) & (between <= high)).mean() > 0.9
