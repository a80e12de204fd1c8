"""What the pools of a tally estimate: accuracy and spend for every k, exact over their subsets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tsbench.pool import best_of, coverage, largest, majority, weighted_vote
from tsbench.tally import LOST, PAID, VERIFIED, Tally

Array = NDArray[np.float64]
Counts = NDArray[np.int64]

ORACLE = "pass@k"
MAJORITY = "maj@k"
BEST = "best-of-n"
WEIGHTED = "weighted-best-of-n"
NOISY = ":noisy_oracle"
"""What the names of strategies end in whose verifier is shown the grade."""
SPENDS = ("tokens", "prompt_tokens", "verifier_tokens", "flops", "dollars", "seconds", "asks")


def deployable(strategy: str) -> bool:
    """Say whether a strategy needs no oracle."""
    return not strategy.startswith(ORACLE) and NOISY not in strategy


@dataclass(frozen=True)
class Estimate:
    """A strategy's expected correctness over k draws, `accuracy` (entries, K), NaN where k > n.

    A blank draw is not correct and a lost one is no draw; in `if_wrong` the lost ones are wrong
    draws, and in `if_right` lost and blank ones are right: the bounds of what is missing. They
    reach as far as all draws do. `verified` strategies pay for the draws' verifier.
    """

    strategy: str
    accuracy: Array
    if_wrong: Array
    if_right: Array
    verified: bool = False


def estimates(pools: Tally, *, blank: str = "drop") -> Iterator[Estimate]:
    """Yield pass@k and, where the draws have answers, maj@k; `blank` as in `pool.majority`.

    Of grades between 0 and 1, pass@k is the expected best of k draws, which it also is of 0 and 1.
    """
    n, right, blanks = (pools.counts[c].to_numpy() for c in ("n", "right", "blank"))
    lost = _lost(pools)
    if pools.grades is None:
        yield Estimate(
            ORACLE,
            coverage(n, right),
            coverage(n + lost, right),
            coverage(n + lost, right + blanks + lost),
        )
    else:
        nothing = np.zeros_like(lost)
        yield Estimate(
            ORACLE,
            _best(pools, nothing, nothing),
            _best(pools, lost, nothing),
            _best(pools, lost, blanks + lost),
        )
    if pools.ballot is not None:
        ballot = _Ballot.of(pools, n)
        won = ballot.won(blank)
        fuller = replace(ballot, silent=ballot.silent + lost)
        gone = np.flatnonzero(blanks + lost)
        yield Estimate(
            MAJORITY,
            won,
            _patched(won, fuller.at(np.flatnonzero(lost)), blank),
            _patched(won, fuller.at(gone).spoken((blanks + lost)[gone]), blank),
        )


def estimates_by_score(pools: Tally, verifier: str | None = None) -> Iterator[Estimate]:
    """Yield best-of-k by the draws' `score` and, where they have answers, the weighted vote.

    The strategies are named best-of-n:VERIFIER and weighted-best-of-n:VERIFIER. The weighted vote
    needs scores of 0 and more. Lost draws have no score, so both bounds leave them out.
    """
    drawn = pools.drawn
    assert drawn is not None
    score, right = drawn["score"].to_numpy(float), drawn["right"].to_numpy(float)
    offsets = _offsets(drawn["entry"].to_numpy(), len(pools.counts))
    blank = drawn["blank"].to_numpy(bool)
    best = np.where(blank, 1.0, right)
    suffix = f":{verifier}" if verifier else ""
    chosen = best_of(offsets, score, right)
    yield Estimate(BEST + suffix, chosen, chosen, best_of(offsets, score, best), verified=True)
    known = score[~np.isnan(score)]
    if "vote" in drawn and known.size and known.min() >= 0.0:
        answers = pd.factorize(drawn["vote"].where(~drawn["blank"] & (drawn["vote"] != 0)))[0]
        summed = weighted_vote(offsets, answers, score, right)
        joined = np.where(best > 0.5, 0, answers + 1)
        most = weighted_vote(offsets, joined, score, best) if blank.any() else summed
        yield Estimate(WEIGHTED + suffix, summed, summed, most, verified=True)


def spends(pools: Tally, K: int, *, verified: bool = False) -> dict[str, Array]:
    """Return what k = 1..K draws of each entry cost, (entries, K) for each known spend.

    Tokens, FLOPs and dollars are k times the mean over draws whose spend is known; `seconds` is
    the expected longest of k parallel draws. With `verified` the verifier's tokens and seconds
    are included, and unknown where those are.
    """
    k = np.arange(1.0, K + 1.0)
    mean = {
        column: pools.paid[column].to_numpy() / np.where(known > 0, known, np.nan)
        for column, known in ((c, pools.known[c].to_numpy()) for c in pools.paid)
    }
    none = np.zeros(len(pools.counts))
    read, made = (mean.get(c, none) if verified else none for c in VERIFIED)
    each = {column: mean[column] for column in PAID if column in mean and column != "seconds"}
    each |= {
        c: each[c] + more for c, more in (("tokens", made), ("prompt_tokens", read)) if c in each
    }
    each["verifier_tokens"] = read + made
    each["asks"] = np.where(pools.counts["n"] > 0, 1.0, np.nan)
    found = {column: np.outer(value, k) for column, value in each.items()}
    if "seconds" in mean and pools.drawn is not None:
        entry = pools.drawn["entry"].to_numpy()
        longest = largest(
            _offsets(entry, len(pools.counts)), _timed(pools, mean["seconds"], verified)
        )
        found["seconds"] = longest[:, :K]
    return found


def _timed(pools: Tally, mean: Array, verified: bool) -> Array:
    """Return every draw's seconds, its pool's mean where they are not known."""
    assert pools.drawn is not None
    seconds = pools.drawn["seconds"].to_numpy(float)
    timed: Array = np.where(np.isnan(seconds), mean[pools.drawn["entry"]], seconds)
    if verified and "verifier_seconds" in pools.drawn:
        timed = timed + pools.drawn["verifier_seconds"].to_numpy(float)
    return timed


def _offsets(entry: Counts, entries: int) -> Counts:
    """Return where each entry's part of a table sorted by entry begins, (entries + 1,)."""
    return np.concatenate([[0], np.cumsum(np.bincount(entry, minlength=entries))]).astype(np.int64)


def _best(pools: Tally, lost: Counts, right: Counts) -> Array:
    """Return the expected best of k draws, (entries, K).

    `lost` (entries,) draws come to the pool, and `right` of those without a grade are 1, not 0.
    """
    assert pools.grades is not None
    entry, draws, grade = (pools.grades[c].to_numpy() for c in ("entry", "draws", "right"))
    size = lost.size
    part = np.bincount(entry, draws, size)
    ones = np.rint(pools.counts["right"] - np.bincount(entry, draws * grade, size)) + right
    zeros = pools.counts["n"] + lost - part - ones
    times = np.concatenate([draws, ones, zeros]).astype(np.int64)
    entries = np.repeat(np.concatenate([entry, np.arange(size), np.arange(size)]), times)
    values = np.repeat(np.concatenate([grade, np.ones(size), np.zeros(size)]), times)
    return largest(_offsets(entries, size), values[np.argsort(entries, kind="stable")])


def _lost(pools: Tally) -> Counts:
    return pools.counts[list(LOST)].sum(axis=1).to_numpy(np.int64)


@dataclass(frozen=True)
class _Ballot:
    """Votes by entry and distinct answer, sorted by entry, and the draws that did not vote.

    `entry` points into `entries`, the numbers that they have in the whole tally.
    """

    entries: Counts
    entry: Counts
    votes: Counts
    right: Array
    silent: Counts

    @classmethod
    def of(cls, pools: Tally, n: Counts) -> _Ballot:
        assert pools.ballot is not None
        entry = pools.ballot["entry"].to_numpy(np.int64)
        votes = pools.ballot["votes"].to_numpy(np.int64)
        voted = np.bincount(entry, votes, minlength=n.size).astype(np.int64)
        return cls(
            np.arange(n.size), entry, votes, pools.ballot["right"].to_numpy(float), n - voted
        )

    def won(self, blank: str) -> Array:
        """Return maj@k (entries, K)."""
        offsets = _offsets(self.entry, self.silent.size)
        return majority(offsets, self.votes, self.right, self.silent, blank=blank)

    def at(self, entries: Counts) -> _Ballot:
        """Return the ballot of these entries, in rising order."""
        mine = np.isin(self.entry, entries)
        entry = np.searchsorted(entries, self.entry[mine])
        return _Ballot(entries, entry, self.votes[mine], self.right[mine], self.silent[entries])

    def spoken(self, missing: Counts) -> _Ballot:
        """Return the ballot where `missing` (entries,) of the silent draws vote right."""
        some = np.flatnonzero(missing)
        entry = np.concatenate([self.entry, some])
        right = np.concatenate([self.right, np.ones(some.size)])
        table = pd.DataFrame({"entry": entry, "right": right})
        table["votes"] = np.concatenate([self.votes, missing[some]])
        table["answer"] = np.where(right > 0.5, -1, np.arange(entry.size))
        joined = table.groupby(["entry", "answer"], as_index=False).agg(
            {"votes": "sum", "right": "max"}
        )
        return _Ballot(
            self.entries,
            joined["entry"].to_numpy(np.int64),
            joined["votes"].to_numpy(np.int64),
            joined["right"].to_numpy(float),
            self.silent - missing,
        )


def _patched(won: Array, ballot: _Ballot, blank: str) -> Array:
    """Return `won` with the ballot's entries taken from it, as wide as the wider of both."""
    if not ballot.entries.size:
        return won
    better = ballot.won(blank)
    patched = np.full((won.shape[0], max(won.shape[1], better.shape[1])), np.nan)
    patched[:, : won.shape[1]] = won
    patched[ballot.entries, : better.shape[1]] = better
    return patched
