"""How much CO2 a kilowatt-hour stands for, by country, without asking anybody."""

from __future__ import annotations

from dataclasses import dataclass

from hpctrack.errors import UsageError

SOURCE = "Ember, Yearly Electricity Data (2024), by Our World in Data: lifecycle, generation"
YEAR = 2023

GRAMS_PER_KWH: dict[str, float] = {
    "AR": 354, "AT": 111, "AU": 549, "BE": 138, "BG": 335, "BR": 98, "CA": 170, "CH": 35,
    "CL": 291, "CN": 582, "CO": 260, "CR": 53, "CY": 534, "CZ": 450, "DE": 381, "DK": 152,
    "EE": 417, "EG": 570, "ES": 174, "FI": 79, "FR": 56, "GB": 238, "GR": 337, "HR": 205,
    "HU": 204, "IE": 291, "IN": 713, "IR": 655, "IT": 331, "JP": 485, "KR": 431, "NL": 268,
    "NO": 30, "PL": 662, "PT": 166, "SA": 707, "SE": 41, "SG": 471, "TW": 644, "US": 369,
    "WORLD": 481, "ZA": 708,
}  # fmt: skip
"""Grams of CO2 equivalent per kilowatt-hour of electricity generated, by ISO 3166 country code."""


@dataclass(frozen=True, slots=True)
class CarbonIntensity:
    """What a kilowatt-hour stands for.

    Parameters
    ----------
    g_per_kwh : float
        Grams of CO2 equivalent.
    place : str
        Country code, or ``WORLD``.
    source : str
        Who says so, and of which year.
    """

    g_per_kwh: float
    place: str
    source: str


def find_intensity(wanted: str | float = "WORLD") -> CarbonIntensity:
    """Return the carbon intensity of a country, or of one's own number.

    Parameters
    ----------
    wanted : str or float
        ISO country code (``DE``), ``WORLD``, or grams of CO2 equivalent per kilowatt-hour: what
        the site's own supplier says is better than any table.

    Raises
    ------
    UsageError
        No such country is in the table, or the number is below 0.

    References
    ----------
    The table's source and year are `SOURCE` and `YEAR`.
    """
    try:
        number = float(wanted)
    except ValueError:
        pass
    else:
        if not number >= 0:
            raise UsageError(f"a carbon intensity of {wanted} g/kWh cannot be")
        return CarbonIntensity(number, "own", "given by the user")
    place = str(wanted).strip().upper()
    if place not in GRAMS_PER_KWH:
        known = ", ".join(sorted(GRAMS_PER_KWH))
        raise UsageError(
            f"no carbon intensity of {wanted!r} is known",
            hint=f"say grams per kWh as a number, or one of {known}",
        )
    return CarbonIntensity(GRAMS_PER_KWH[place], place, f"{SOURCE}, {YEAR}")
