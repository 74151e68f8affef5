"""``hpctrack cflags``: what a compiler needs to find the C header and the Fortran module."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

INCLUDE = Path(__file__).resolve().parents[1] / "include"
"""Where the header lies."""


@click.command()
@click.option("--fortran", is_flag=True, help="Print the Fortran module's source.")
@click.option("--c-source", is_flag=True, help="Print the C source that Fortran links to.")
@click.option("--header", is_flag=True, help="Print the header's path, to copy it.")
def cflags(*, fortran: bool, c_source: bool, header: bool) -> None:
    """Print what a compiler needs for programs that include hpctrack.h.

    The header needs nothing but the C library: programs link to nothing, and they run where
    hpctrack is not installed.

    \b
    Examples:
      cc $(hpctrack cflags) sim.c -o sim
      c++ -std=c++17 $(hpctrack cflags) sim.cpp -o sim
      gfortran $(hpctrack cflags --fortran --c-source) sim.f90 -o sim
      cp $(hpctrack cflags --header) src/
    """
    chosen = {"hpctrack.f90": fortran, "hpctrack.c": c_source, "hpctrack.h": header}
    words = [str(INCLUDE / name) for name, is_asked in chosen.items() if is_asked]
    click.echo(shlex.join(words or [f"-I{INCLUDE}"]))
