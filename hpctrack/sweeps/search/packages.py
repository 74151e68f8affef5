"""Whether the packages that a search needs are here, asked before they are imported."""

from __future__ import annotations

from importlib.util import find_spec

from hpctrack.errors import MissingPackageError


def demand_packages(method: str = "") -> None:
    """Complain about a package that a sweep's search needs.

    Parameters
    ----------
    method : str, optional
        The sweep's. Default: what all need.

    Raises
    ------
    MissingPackageError
        It is not installed.
    """
    needed = [("optuna", "sweep"), ("scipy", "sweep")]
    if method == "gp":
        needed.append(("torch", "gp"))
    if method == "cmaes":
        needed.append(("cmaes", "sweep"))
    for package, extra in needed:
        if find_spec(package) is None:
            raise MissingPackageError(package, extra=extra)
