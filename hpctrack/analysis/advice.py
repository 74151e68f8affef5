"""What numbers mean, in sentences, with what they take for granted. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from hpctrack.analysis.comparison import Comparison, Description, Report
from hpctrack.analysis.corrections import Correction
from hpctrack.analysis.effects import name_size
from hpctrack.analysis.significance import NORMAL_ALPHA, Method, find_runs_needed

FEW_RUNS = 5
"""Below that an interval is mostly a guess: Agarwal et al. (NeurIPS 2021) show it for 3 seeds."""

P_LEAST = 1e-4

LABEL_CHARS = 60
"""Of a group's name in a list of several."""

_CORRECTIONS = {
    Correction.BONFERRONI: "Bonferroni",
    Correction.HOLM: "Holm",
    Correction.BH: "Benjamini-Hochberg",
}


def conclude(report: Report) -> list[str]:
    """Return the verdict: a sentence for each comparison with the baseline.

    Those that cannot be tested for the same reason share one, which comes last.
    """
    if not report.groups:
        return ["No run has a number here, so there is nothing to compare."]
    if not report.comparisons:
        return ["There is one group only, so there is nothing to compare it with."]
    untold: dict[str, list[Comparison]] = {}
    for one in report.comparisons:
        if one.n and one.outcome.note:
            untold.setdefault(one.outcome.note, []).append(one)
    tested = [one for one in report.comparisons if not one.n or not one.outcome.note]
    return [_conclude_one(one, report) for one in tested] + [
        f"{_list(those)}: no test can be made ({note})." for note, those in untold.items()
    ]


def list_assumptions(report: Report) -> list[str]:
    """Return what the reader has to believe, and what is too little to believe."""
    return [*_warn_of_few(report), *_warn_of_pairs(report), *_explain(report)]


def format_p(p: float) -> str:
    """Return a p value as papers write it."""
    if math.isnan(p):
        return "p unknown"
    return f"p < {P_LEAST:.4f}" if p < P_LEAST else f"p = {p:.2g}"


def _conclude_one(one: Comparison, report: Report) -> str:
    plan = report.plan
    names = f"\N{LEFT DOUBLE QUOTATION MARK}{one.label}\N{RIGHT DOUBLE QUOTATION MARK}"
    if not one.n:
        return f"{names} has no number."
    is_better = one.difference.value > 0 if plan.is_higher_better else one.difference.value < 0
    word = "better" if is_better else "worse"
    size = name_size(one.effect.value)
    share = _describe_share(one)
    if one.p <= plan.alpha:
        return f"{names} is {word} than the baseline: {format_p(one.p)}, {size} effect{share}."
    if one.outcome.least_p > plan.alpha:
        return (
            f"{names} looks {word}{share}, but with so few runs no {plan.method.long_name} can be"
            f" significant at {plan.alpha:g}: its least p is {one.outcome.least_p:.2g}."
        )
    return (
        f"{names} cannot be told from the baseline: {format_p(one.p)}{share}."
        " That is no proof that they are equal."
    )


def _describe_share(one: Comparison) -> str:
    if math.isnan(one.improvement.value):
        return ""
    share = f"; a run of it is better than one of the baseline in {one.improvement.value:.0%}"
    if math.isnan(one.improvement.low):
        return f"{share} of the pairs"
    return f"{share} ({one.improvement.low:.0%} to {one.improvement.high:.0%}) of the pairs"


def _warn_of_few(report: Report) -> Iterator[str]:
    plan = report.plan
    few = [one for one in report.groups if one.n < FEW_RUNS]
    if few:
        least = min(one.n for one in few)
        yield (
            f"n = {least} in {_list(few)}: intervals of so few runs are rough."
            f" At least {FEW_RUNS} to 10 seeds tell more than any test of 3."
        )
    is_hopeless = any(one.outcome.least_p > plan.alpha for one in report.comparisons)
    if is_hopeless and plan.method not in {Method.WELCH, Method.PAIRED_T}:
        needed = find_runs_needed(plan.method, plan.alpha)
        many = "pairs" if plan.method.is_paired else "runs in each group"
        yield (
            f"A {plan.method.long_name} needs {needed} {many} before p can be below"
            f" {plan.alpha:g} at all{_before_correction(report)}."
        )


def _before_correction(report: Report) -> str:
    if report.plan.correction == Correction.NONE or len(report.comparisons) < 2:  # noqa: PLR2004
        return ""
    return ", before any correction"


def _warn_of_pairs(report: Report) -> Iterator[str]:
    if not report.plan.method.is_paired:
        return
    left_out = sum(one.left_out for one in report.comparisons)
    if left_out:
        yield f"{left_out} runs have no partner in the other group and are left out of the test."
    if any(not one.pairs for one in report.comparisons):
        yield "Some groups share no pair with the baseline: choose another key, or no pairing."


def _explain(report: Report) -> Iterator[str]:
    plan = report.plan
    if plan.method in {Method.WELCH, Method.PAIRED_T}:
        odd = [one for one in report.groups if one.normal_p < NORMAL_ALPHA]
        if odd:
            yield (
                f"{_list(odd)} {'does' if len(odd) == 1 else 'do'} not look normally distributed"
                " (Shapiro-Wilk): a test of ranks takes less for granted."
            )
        else:
            yield "The t test takes means to be normally distributed, as good as unproven here."
    if report.comparisons:
        yield ("Runs are taken to be independent: seeds drawn anew, not the best of several tries.")
    if plan.correction in _CORRECTIONS and len(report.comparisons) > 1:
        yield (
            f"p values are corrected for {len(report.comparisons)} comparisons"
            f" ({_CORRECTIONS[plan.correction]})."
        )
    elif len(report.comparisons) > 1:
        yield (
            f"p values are not corrected: of {len(report.comparisons)} comparisons one may look"
            " significant by chance."
        )


def _shorten(label: str) -> str:
    return label if len(label) <= LABEL_CHARS else f"{label[: LABEL_CHARS - 1].rstrip(' ,')}…"


def _list(groups: Sequence[Comparison | Description]) -> str:
    named = [
        f"\N{LEFT DOUBLE QUOTATION MARK}{_shorten(one.label)}\N{RIGHT DOUBLE QUOTATION MARK}"
        for one in groups[:3]
    ]
    return ", ".join(named) + (f" and {len(groups) - 3} more" if len(groups) > 3 else "")  # noqa: PLR2004
