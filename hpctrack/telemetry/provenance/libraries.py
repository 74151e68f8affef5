"""Shared libraries in a program's memory, and what they say of MPI, NCCL, CUDA and the like."""

from __future__ import annotations

import mmap
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpctrack.telemetry.provenance.files import below, first_text, read_text
from hpctrack.telemetry.provenance.process import Process

LIBRARIES_MAX = 500
LIBRARIES_MAX_BYTES = 48 * 1024
SEARCH_MAX_BYTES = 64 * 1024 * 1024
"""Libraries of MPI are 1 to 30 MB; a larger one is not searched for its version."""

_MAPPED = re.compile(r"^\S+ ..x\S* \S+ \S+ [1-9]\d* +(/.*\.so(?:\.[\w.+-]*)?)(?: \(deleted\))?$")
_EXTENSION = re.compile(r"\.(?:cpython|pypy|abi3|graalpy)[\w-]*\.so$")
"""Modules of Python packages: there are hundreds, and the packages' versions tell about them."""

_SONAME = re.compile(r"/lib(?P<name>[\w+-]+?)(?:-[0-9a-f]{8})?\.so(?:\.(?P<version>[\w.+-]+))?$")


@dataclass(frozen=True, slots=True)
class _Part:
    """How to find the version of one part of the software below a program.

    Parameters
    ----------
    libraries : pattern
        Of the library's name, without ``lib`` and what follows ``.so``.
    header, macros : str
        A header beside it, and its definitions of major, minor and patch, or of a text.
    package : pattern
        The Python package that it may have come with.
    """

    libraries: str
    header: str = ""
    macros: tuple[str, ...] = ()
    package: str = ""


_PARTS: Mapping[str, _Part] = {
    "nccl": _Part(
        r"nccl", "nccl.h", ("NCCL_MAJOR", "NCCL_MINOR", "NCCL_PATCH"), r"nvidia-nccl-cu\d+"
    ),
    "rccl": _Part(r"rccl", "rccl/rccl.h", ("NCCL_MAJOR", "NCCL_MINOR", "NCCL_PATCH")),
    "cuda": _Part(r"cudart", "", (), r"nvidia-cuda-runtime(?:-cu\d+)?"),
    "cudnn": _Part(
        r"cudnn", "cudnn_version.h", ("CUDNN_MAJOR", "CUDNN_MINOR", "CUDNN_PATCHLEVEL"),
        r"nvidia-cudnn-cu\d+",
    ),
    "rocm": _Part(r"amdhip64"),
    "nvidia_driver": _Part(r"cuda"),
    "ucx": _Part(r"ucp"),
    "libfabric": _Part(r"fabric"),
    "pmix": _Part(r"pmix"),
    "hdf5": _Part(r"hdf5"),
    "mkl": _Part(r"mkl_core|mkl_rt", "", (), r"mkl"),
    "openblas": _Part(r"openblas\w*|scipy_openblas\w*"),
}  # fmt: skip

_MPI_NAMES = re.compile(
    r"mpi|mpich\w*|mpi_(?:cray|gnu|intel|nvidia|amd|aocc)\w*|mpi_ibm|mpt|msmpi|mpifort|mvapich\w*"
)


def list_libraries(maps: Iterable[str]) -> list[str]:
    """Return the files of shared libraries that lines of ``/proc/PID/maps`` name, sorted."""
    found = {one[1] for text in maps for one in map(_MAPPED.match, text.splitlines()) if one}
    return sorted(one for one in found if not _EXTENSION.search(one))


def read_libraries(
    paths: list[str], process: Process, packages: Mapping[str, str], environ: Mapping[str, str]
) -> dict[str, Any]:
    """Return the libraries and the versions that can be told from them.

    Parameters
    ----------
    paths : list of str
        From `list_libraries`.
    process : Process
        Whose files they are.
    packages : mapping
        Version by name of the program's Python packages: some are made of libraries.
    environ : mapping
        Of the program: where CUDA and ROCm are.

    Returns
    -------
    dict
        ``mpi``: ``name``, ``version``, ``library``; ``versions``: of other parts, by name;
        ``loaded``: the files; ``count`` if there are more than those.
    """
    by_name = {one["name"]: path for path in paths for one in [_SONAME.search(path)] if one}
    versions = dict(_iter_versions(by_name, process.files, packages))
    versions |= {
        key: found
        for key, found in (("cuda_toolkit", _cuda(process.files, environ)),
                           ("rocm_toolkit", _rocm(process.files, environ)))
        if found
    }  # fmt: skip
    mpi = _read_mpi(by_name, process.files)
    kept = _bound(paths)
    return {
        **({"mpi": mpi} if mpi else {}),
        "versions": versions,
        "loaded": kept,
        **({"count": len(paths)} if len(kept) < len(paths) else {}),
    }


def _iter_versions(
    by_name: Mapping[str, str], files: Path, packages: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    for key, part in _PARTS.items():
        path = next((by_name[one] for one in by_name if re.fullmatch(part.libraries, one)), "")
        if path:
            version = _find_version(part, path, files, packages)
            if version:
                yield key, version


def _find_version(part: _Part, path: str, files: Path, packages: Mapping[str, str]) -> str:
    if part.header:
        found = _read_macros(
            below(files, Path(path).parent.parent / "include" / part.header), part.macros
        )
        if found:
            return found
    if part.package and "-packages/" in path:
        name = next((one for one in packages if re.fullmatch(part.package, one)), "")
        if name:
            return packages[name]
    return _version_of(path)


def _version_of(path: str) -> str:
    """Return what follows ``.so`` in the file's name, or the file's that a link leads to."""
    found = _SONAME.search(path)
    return (found["version"] or "") if found else ""


def _read_macros(header: Path, names: tuple[str, ...]) -> str:
    text = read_text(header)
    if text is None:
        return ""
    values = [re.search(rf"(?m)^#\s*define\s+{one}\s+\"?(\d[\w.+-]*)", text) for one in names]
    return ".".join(one[1] for one in values if one) if all(values) else ""


# -- MPI ------------------------------------------------------------------------------------------


def _read_mpi(by_name: Mapping[str, str], files: Path) -> dict[str, str]:
    path = next((by_name[one] for one in by_name if _MPI_NAMES.fullmatch(one)), "")
    if not path:
        return {}
    name = _name_mpi(path, by_name)
    header = below(files, Path(path).parent.parent / "include" / "mpi.h")
    macros = {
        "Open MPI": ("OMPI_MAJOR_VERSION", "OMPI_MINOR_VERSION", "OMPI_RELEASE_VERSION"),
        "MPICH": ("MPICH_VERSION",),
        "MVAPICH": ("MVAPICH_VERSION",),
    }.get(name, ())
    version = (
        (_read_macros(header, macros) if macros else "")
        or _version_in_path(path)
        or _search_version(below(files, path))
    )
    facts = {"name": name, "version": version, "soname": _version_of(path), "library": path}
    return {key: value for key, value in facts.items() if value}


def _name_mpi(path: str, by_name: Mapping[str, str]) -> str:
    lower = path.lower()
    if any(one.startswith(("open-pal", "open-rte")) for one in by_name) or "openmpi" in lower:
        return "Open MPI"
    for word, name in (("cray", "Cray MPICH"), ("impi", "Intel MPI"), ("intel", "Intel MPI"),
                       ("mvapich", "MVAPICH"), ("spectrum", "Spectrum MPI"), ("mpt", "HPE MPT"),
                       ("hpcx", "Open MPI")):  # fmt: skip
        if word in lower:
            return name
    # Open MPI counts its interface from 40 on since 3.0, MPICH and its kin have 12.
    return "Open MPI" if _version_of(path).startswith(("40", "20")) else "MPICH"


def _version_in_path(path: str) -> str:
    """Return the version that a site has put into a folder's name: ``/apps/openmpi/4.1.5/lib``."""
    found = re.search(
        r"/(?:[\w-]*(?:mpi|mpich|mvapich|impi|mpt)[\w]*)[-/](\d+\.\d+[\w.]*)", path.lower()
    )
    return found[1] if found else ""


def _search_version(path: Path) -> str:
    """Search a library for the one version that stands in it by itself."""
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            if len(data) > SEARCH_MAX_BYTES:
                return ""
            found = re.search(rb"\0v?(\d+\.\d+\.\d+(?:(?:rc|a|b)\d+)?)\0", data)
            return found[1].decode() if found else ""
    except (OSError, ValueError):
        return ""


# -- CUDA and ROCm --------------------------------------------------------------------------------


def _cuda(files: Path, environ: Mapping[str, str]) -> str:
    homes = [environ.get(one, "") for one in ("CUDA_HOME", "CUDA_PATH", "CUDA_ROOT")]
    folders = [below(files, one) for one in [*homes, "/usr/local/cuda"] if one]
    text = first_text(one / "version.json" for one in folders)
    found = re.search(r'"cuda"\s*:\s*\{[^{}]*"version"\s*:\s*"([\d.]+)"', text)
    if found is None:
        found = re.search(
            r"CUDA Version ([\d.]+)", first_text(one / "version.txt" for one in folders)
        )
    return found[1] if found else ""


def _rocm(files: Path, environ: Mapping[str, str]) -> str:
    homes = [environ.get(one, "") for one in ("ROCM_PATH", "ROCM_HOME", "HIP_PATH")]
    folders = [below(files, one) for one in [*homes, "/opt/rocm"] if one]
    return first_text(one / ".info" / "version" for one in folders).strip()[:40]


def _bound(paths: list[str]) -> list[str]:
    kept = []
    room = LIBRARIES_MAX_BYTES
    for one in paths[:LIBRARIES_MAX]:
        room -= len(one)
        if room < 0:
            break
        kept.append(one)
    return kept
