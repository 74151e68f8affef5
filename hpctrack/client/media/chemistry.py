"""Molecules by way of rdkit, which only programs that log such have."""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from typing import Any

from hpctrack.client.media.value import Piece, check_size, make_meta
from hpctrack.errors import UsageError, is_of_a_signal

_READERS = {".mol": "MolFromMolFile", ".pdb": "MolFromPDBFile"}


def read_smiles(
    data: object,
    caption: str | None,
    *,
    sanitize: bool = True,
    convert_to_3d_and_optimize: bool = True,
    mmff_optimize_molecule_max_iterations: int = 200,
) -> Piece:
    """Make a PDB file of a SMILES.

    Raises
    ------
    UsageError
        It is none, or rdkit is not installed.
    """
    molecule = _chem().MolFromSmiles(str(data), sanitize=sanitize)
    if molecule is None:
        raise UsageError(f"{data!r:.80} is no SMILES")
    turns = mmff_optimize_molecule_max_iterations if convert_to_3d_and_optimize else 0
    return _make_piece(molecule, caption, turns)


def read_rdkit(
    data: object,
    caption: str | None,
    *,
    convert_to_3d_and_optimize: bool = True,
    mmff_optimize_molecule_max_iterations: int = 200,
) -> Piece:
    """Make a PDB file of rdkit's molecule, or of a file that rdkit reads.

    Raises
    ------
    UsageError
        It cannot be read, or rdkit is not installed.
    """
    molecule = _read_file(Path(data)) if isinstance(data, (str, os.PathLike)) else data
    turns = mmff_optimize_molecule_max_iterations if convert_to_3d_and_optimize else 0
    return _make_piece(molecule, caption, turns)


def _chem() -> Any:
    try:
        return importlib.import_module("rdkit.Chem")
    except ImportError:
        raise UsageError(
            "molecules by SMILES need rdkit", hint="pip install rdkit, or log a .pdb or .sdf file"
        ) from None


def _read_file(path: Path) -> Any:
    chem, suffix = _chem(), path.suffix.lower()
    molecule = None
    try:
        if suffix == ".sdf":
            molecule = next(iter(chem.SDMolSupplier(str(path))), None)
        elif suffix in _READERS:
            molecule = getattr(chem, _READERS[suffix])(str(path))
    except OSError as error:
        if is_of_a_signal(error):
            raise
        raise UsageError(f"the file {str(path)!r} cannot be read: {error}") from None
    if molecule is None:
        raise UsageError(
            f"rdkit finds no molecule in {str(path)!r}", hint="give a .mol, .sdf or .pdb file"
        )
    return molecule


def _make_piece(molecule: Any, caption: str | None, turns: int) -> Piece:
    """Write a PDB file; with turns, hydrogens are added and places found for the atoms first."""
    chem = _chem()
    if turns:
        shapes = importlib.import_module("rdkit.Chem.AllChem")
        molecule = chem.AddHs(molecule)
        if shapes.EmbedMolecule(molecule, randomSeed=1) == 0:
            shapes.MMFFOptimizeMolecule(molecule, maxIters=turns)
    data = str(chem.MolToPDBBlock(molecule)).encode()
    check_size(len(data), "a molecule", "log a smaller one")
    meta, warnings = make_meta(caption)
    facts = {"type": "molecule", "encode": "copy", "format": "pdb", "meta": meta}
    return Piece(facts, (data,), warnings)
