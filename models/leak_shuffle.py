"""Leak check by shuffling: outcomes dealt out at random must teach a learner nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from models.baseline import scaled_quantiles
from models.leak_findings import Check, Finding
from models.pipeline import Pipeline
from models.probe import fit_probe
from models.samples import Ints, Samples
from models.scoring import BLOCK_CANDLES, pinball_loss, skill
from models.significance import Bounds, skill_bounds
from models.split import Split
from utils.phrases import counted

SHUFFLED_SKILL = 0.005
"""What shuffled targets may seem to earn: half a percent, and the bounds must hold zero or less."""
DEALS = 5
"""Deals that decide where the first seemed to earn something: one alone may be luck, a leak earns every time."""
_DEALS_T = 2.776
"""Student's t for 95 % on both sides and DEALS - 1 degrees of freedom."""


def check_shuffled(
    pipeline: Pipeline, samples: Samples, parts: Split, horizons: Sequence[int], quantiles: Sequence[float], seed: int
) -> Check:
    """(d) With the outcomes it learns from dealt out at random, a learner must find nothing on the test period."""
    known = np.asarray(np.isfinite(samples.returns).all(axis=1))
    periods = (parts.train, parts.validation, parts.test)
    ends = [samples.starting(period.from_ms, period.until_ms) for period in periods]
    train, validation, test = (rows[known[rows]] for rows in ends)
    random = np.random.default_rng(seed)
    learned = partial(
        learned_skill, train=train, validation=validation, test=test, horizons=horizons, quantiles=quantiles
    )

    def dealt() -> tuple[float, Bounds | None]:
        return learned(_dealt_out(samples, np.union1d(train, validation), random))

    (found, bounds), (real, _) = dealt(), learned(samples)
    ok = bounds is not None and bounds.low <= 0.0 and found <= SHUFFLED_SKILL
    shown = "unknown" if bounds is None else f"{100 * bounds.low:.2f} … {100 * bounds.high:.2f} %"
    again = ""
    if bounds is not None and not ok:
        ok, again = _luck([dealt()[0] for _ in range(DEALS)])
    words = (
        f"fitted to shuffled outcomes a learner has {100 * found:.2f} % skill (95 % bounds {shown}) on "
        f"{counted(len(test), 'window')}{again}; fitted to the true ones {100 * real:.2f} %"
    )
    finding = Finding(
        pipeline.files("inputs"),
        "the pipeline as a whole",
        "it earns skill from outcomes dealt at random: the score itself sees the future",
        "look at the naive forecast, the test period and the scoring: they must not share rows with the training",
    )
    return Check("shuffled outcomes teach nothing", ok, words, () if ok else (finding,))


def _dealt_out(samples: Samples, rows: Ints, random: np.random.Generator) -> Samples:
    """The outcomes of `rows`, in units of sigma, exchanged among all of them, earlier and later ones alike."""
    returns = samples.returns.copy()
    returns[rows] = samples.scaled[random.permutation(rows)] * samples.sigma[rows, None]
    return replace(samples, returns=returns)


def _luck(skills: Sequence[float]) -> tuple[bool, str]:
    """Whether these deals' skills may be luck around none, and what they were in words."""
    mean = float(np.mean(skills))
    margin = _DEALS_T * float(np.std(skills, ddof=1)) / len(skills) ** 0.5
    words = f", {100 * mean:.2f} % (± {100 * margin:.2f}) on average of {len(skills)} more deals"
    return mean - margin <= 0.0 and mean <= SHUFFLED_SKILL, words


def learned_skill(
    samples: Samples, train: Ints, validation: Ints, test: Ints, horizons: Sequence[int], quantiles: Sequence[float]
) -> tuple[float, Bounds | None]:
    """Skill of the probe against the naive forecast on `test`, losses over sigma·√h, horizons pooled; its bounds."""
    probe = fit_probe(samples, train, validation, horizons, quantiles)
    root = np.sqrt(np.array(horizons, dtype=np.float64))[:, None]
    naive = scaled_quantiles(samples.scaled[train], quantiles)[None]
    outcome = samples.scaled[test] / root[:, 0]
    ours, theirs = (
        pinball_loss(outcome, forecast / root, quantiles).sum(axis=1)
        for forecast in (probe.at(samples.features[test]), naive)
    )
    moments, labels = np.unique(samples.open_time_ms[test], return_inverse=True)
    own, naives = (np.bincount(labels, weights=column, minlength=len(moments)) for column in (ours, theirs))
    bounds = skill_bounds(own, naives, max(BLOCK_CANDLES, *horizons), draws=1000)
    return skill(float(ours.sum()), float(theirs.sum())) or 0.0, bounds
