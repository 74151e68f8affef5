"""Atoms out of the files that chemists log: PDB, mmCIF, XYZ, MOL, SDF, MOL2. Pure.

References
----------
PDB: wwPDB, "Protein Data Bank Contents Guide" 3.3, ATOM records. MOL and SDF: "CTfile formats",
2020, V2000. Covalent radii: Cordero et al., "Covalent radii revisited", Dalton Trans. 2008, 2832.
Bonds are where two atoms are nearer than the sum of their covalent radii and 0.45 angstrom.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from hpctrack.errors import StoreFormatError
from hpctrack_server.data.media.shapes import Shape

ATOMS_MAX = 20_000
BOND_SLACK_A = 0.45
DEFAULT_RADIUS_A = 1.2
PLACE_MAX_A = 1e9
NEIGHBOURS_MAX = 300
"""On average; in a metal it is about 40. Files that lie denser would take minutes and gigabytes."""

ELEMENTS = [
    "X",
    "H",
    "He",
    "Li",
    "Be",
    "B",
    "C",
    "N",
    "O",
    "F",
    "Ne",
    "Na",
    "Mg",
    "Al",
    "Si",
    "P",
    "S",
    "Cl",
    "Ar",
    "K",
    "Ca",
    "Sc",
    "Ti",
    "V",
    "Cr",
    "Mn",
    "Fe",
    "Co",
    "Ni",
    "Cu",
    "Zn",
    "Ga",
    "Ge",
    "As",
    "Se",
    "Br",
    "Kr",
    "Rb",
    "Sr",
    "Y",
    "Zr",
    "Nb",
    "Mo",
    "Tc",
    "Ru",
    "Rh",
    "Pd",
    "Ag",
    "Cd",
    "In",
    "Sn",
    "Sb",
    "Te",
    "I",
    "Xe",
    "Cs",
    "Ba",
    "La",
    "Ce",
    "Pr",
    "Nd",
    "Pm",
    "Sm",
    "Eu",
    "Gd",
    "Tb",
    "Dy",
    "Ho",
    "Er",
    "Tm",
    "Yb",
    "Lu",
    "Hf",
    "Ta",
    "W",
    "Re",
    "Os",
    "Ir",
    "Pt",
    "Au",
    "Hg",
    "Tl",
    "Pb",
    "Bi",
    "Po",
    "At",
    "Rn",
    "Fr",
    "Ra",
    "Ac",
    "Th",
    "Pa",
    "U",
]
NUMBERS = {name: number for number, name in enumerate(ELEMENTS)}
RADII_A = {
    "H": 0.31, "B": 0.84, "C": 0.76, "N": 0.71, "O": 0.66, "F": 0.57, "Na": 1.66, "Mg": 1.41,
    "Al": 1.21, "Si": 1.11, "P": 1.07, "S": 1.05, "Cl": 1.02, "K": 2.03, "Ca": 1.76, "Fe": 1.32,
    "Cu": 1.32, "Zn": 1.22, "Br": 1.20, "I": 1.39,
}  # fmt: skip

Atom = tuple[str, float, float, float]
_LETTERS = re.compile(r"[A-Za-z]+")


def read_molecule(body: bytes, form: str) -> Shape:
    """Return the atoms of a file, and which of them are joined.

    Raises
    ------
    StoreFormatError
        It is damaged, has no atoms, or is of a kind that is not understood here.
    """
    reader = READERS.get(form)
    if reader is None:
        known = ", ".join(sorted(READERS))
        raise StoreFormatError(f"{form} files are not drawn", hint=f"download it; drawn: {known}")
    try:
        atoms = list(reader(body.decode("utf-8", "replace").splitlines()))
    except RuntimeError:  # what a generator makes of a search that found nothing
        raise StoreFormatError(f"the {form} file has no list of atoms") from None
    except (ValueError, IndexError) as error:
        raise StoreFormatError(f"the {form} file cannot be read: {error}") from None
    if not atoms:
        raise StoreFormatError("the file has no atoms")
    return make_atoms(atoms)


def make_atoms(atoms: list[Atom]) -> Shape:
    """Return atoms with their radii and bonds; of more than 20,000 only the first."""
    total = len(atoms)
    atoms = atoms[:ATOMS_MAX]
    names = [name_element(one[0]) for one in atoms]
    position = np.array([one[1:] for one in atoms], np.float64)
    if not (np.abs(position) < PLACE_MAX_A).all():
        raise StoreFormatError("an atom has no place")
    radius = np.array([RADII_A.get(one, DEFAULT_RADIUS_A) for one in names])
    return Shape(
        kind="atoms",
        position=position.astype(np.float32),
        category=np.array([NUMBERS.get(one, 0) for one in names], np.uint8),
        radius=radius.astype(np.float32),
        bonds=find_bonds(position, radius),
        total=total,
        drawn=len(atoms),
    )


def find_bonds(position: NDArray[np.float64], radius: NDArray[np.float64]) -> NDArray[np.uint32]:
    """Return the pairs of atoms that are near enough to be joined; none of what is no matter."""
    from scipy.spatial import cKDTree  # noqa: PLC0415 - a fifth of a second, for molecules only

    reach = 2 * float(radius.max()) + BOND_SLACK_A
    tree = cKDTree(position)
    if tree.count_neighbors(tree, reach) > NEIGHBOURS_MAX * len(position):
        return np.zeros((0, 2), np.uint32)
    pairs = tree.query_pairs(reach, output_type="ndarray")
    if not len(pairs):
        return np.zeros((0, 2), np.uint32)
    apart = np.linalg.norm(position[pairs[:, 0]] - position[pairs[:, 1]], axis=1)
    near = apart <= radius[pairs[:, 0]] + radius[pairs[:, 1]] + BOND_SLACK_A
    # Nearer than 0.4 angstrom are two places of one atom.
    return np.asarray(pairs[near & (apart > 0.4)], np.uint32)  # noqa: PLR2004


def name_element(text: str) -> str:
    """Return the element that a text names, as chemists write it.

    Examples
    --------
    >>> name_element("CL1"), name_element("ca"), name_element("N+"), name_element("?")
    ('Cl', 'Ca', 'N', 'X')
    """
    letters = _LETTERS.match(text.strip())
    if not letters:
        return "X"
    two, one = letters[0][:2].capitalize(), letters[0][:1].upper()
    return two if two in NUMBERS else one if one in NUMBERS else "X"


def _read_pdb(lines: list[str]) -> Iterator[Atom]:
    for line in lines:
        if line.startswith("ENDMDL"):
            return
        if line.startswith(("ATOM  ", "HETATM")):
            element = line[76:78].strip() or _LETTERS.search(line[12:16].strip() or "X")
            name = element if isinstance(element, str) else element[0][:1] if element else "X"
            yield name, float(line[30:38]), float(line[38:46]), float(line[46:54])


def _read_xyz(lines: list[str]) -> Iterator[Atom]:
    count = int(lines[0].split()[0])
    for line in lines[2 : 2 + count]:
        name, *place = line.split()[:4]
        element = ELEMENTS[int(name)] if name.isdigit() else name
        yield (element, *_three(place))


def _read_mol(lines: list[str]) -> Iterator[Atom]:
    if "V3000" in lines[3]:
        raise ValueError("V3000 is not understood")
    for line in lines[4 : 4 + int(lines[3][:3])]:
        x, y, z = line[:10], line[10:20], line[20:30]
        yield line[31:34].strip(), float(x), float(y), float(z)


def _read_mol2(lines: list[str]) -> Iterator[Atom]:
    begin = next(at for at, line in enumerate(lines) if line.startswith("@<TRIPOS>ATOM"))
    for line in lines[begin + 1 :]:
        if line.startswith("@"):
            return
        words = line.split()
        if len(words) >= 6:  # noqa: PLR2004 - id, name, x, y, z, type
            yield (words[5].partition(".")[0], *_three(words[2:5]))


def _read_cif(lines: list[str]) -> Iterator[Atom]:
    at = next(i for i, line in enumerate(lines) if line.strip().startswith("_atom_site."))
    names = []
    while lines[at].strip().startswith("_atom_site."):
        names.append(lines[at].strip().partition(".")[2].split()[0])
        at += 1
    where = [names.index(f"Cartn_{axis}") for axis in "xyz"]
    symbol = names.index("type_symbol")
    for line in lines[at:]:
        if line.strip() in {"#", "loop_"} or line.startswith("_"):
            return
        words = shlex.split(line) if "'" in line or '"' in line else line.split()
        if len(words) == len(names):
            yield (words[symbol], *_three([words[one] for one in where]))


def _three(words: list[str]) -> tuple[float, float, float]:
    x, y, z = (float(one) for one in words)
    return x, y, z


READERS: dict[str, Callable[[list[str]], Iterator[Atom]]] = {
    "pdb": _read_pdb, "xyz": _read_xyz, "mol": _read_mol, "sdf": _read_mol, "sd": _read_mol,
    "mol2": _read_mol2, "cif": _read_cif, "mmcif": _read_cif, "mcif": _read_cif,
}  # fmt: skip
