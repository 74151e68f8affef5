"""Which environment variables are recorded, and what they tell about modules."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from hpctrack.telemetry.provenance.masking import Masker

VARIABLES_MAX = 600
VALUE_MAX_CHARS = 4096

PREFIXES = (
    "SLURM_", "SLURMD_", "SBATCH_", "PBS_", "LSB_", "LSF_", "COBALT_", "FLUX_",
    "OMP_", "KMP_", "GOMP_", "MKL_", "OPENBLAS_", "BLIS_", "GOTO_", "NUMEXPR_", "NUMBA_", "VECLIB_",
    "CUDA_", "CUBLAS_", "CUDNN_", "NVIDIA_", "NVSHMEM_", "NCCL_", "RCCL_",
    "HIP_", "ROCR_", "ROCM_", "ROCBLAS_", "HSA_", "MIOPEN_", "GPU_", "AMD_", "ZE_", "SYCL_",
    "ONEAPI_",
    "MPI_", "MPICH_", "OMPI_MCA_", "PMIX_MCA_", "PRTE_MCA_", "I_MPI_", "MV2_", "MVP_", "MPI4PY_",
    "UCX_", "FI_", "PSM2_", "PSM3_", "GLOO_", "TP_", "CXI_",
    "PYTHON", "CONDA_", "PIXI_", "UV_", "PIP_", "SPACK_ENV", "EBROOT", "EBVERSION",
    "TORCH", "PYTORCH_", "TORCHELASTIC_", "TF_", "XLA_", "JAX_", "KERAS_", "HF_", "TRANSFORMERS_",
    "TOKENIZERS_", "DS_", "ACCELERATE_", "DASK_", "RAY_", "TRITON_", "HDF5_", "NETCDF_", "ADIOS2_",
    "APPTAINER_", "APPTAINERENV_", "SINGULARITY_", "SINGULARITYENV_", "ENROOT_", "SHIFTER_", "CH_",
    "LMOD_", "CRAY_", "CRAYPE_", "PE_", "HPCTRACK_", "WANDB_", "MLFLOW_", "LC_",
)  # fmt: skip
"""Of what changes results or speed, or says where a program ran."""

NAMES = frozenset({
    "PATH", "LD_LIBRARY_PATH", "LD_PRELOAD", "LIBRARY_PATH", "CPATH", "MODULEPATH", "LOADEDMODULES",
    "VIRTUAL_ENV", "LANG", "LANGUAGE", "TZ", "HOSTNAME", "TMPDIR", "HOME", "USER", "SHELL",
    "SEED", "RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "GROUP_RANK", "NODE_RANK",
    "MASTER_ADDR", "MASTER_PORT", "MALLOC_ARENA_MAX", "MALLOC_CONF", "GLIBC_TUNABLES",
})  # fmt: skip

_MODULE_FILES = re.compile(r"_LMFILES_|_LMFILES\d+_")


def select_environment(
    environ: Mapping[str, str], masker: Masker, extra: Iterable[str] = ()
) -> dict[str, str]:
    """Return the variables that are recorded, secrets hidden.

    Parameters
    ----------
    environ : mapping
        The program's.
    masker : Masker
    extra : iterable of str
        More names; one that ends with ``*`` is the beginning of names.
    """
    wanted = [one.strip() for one in extra if one.strip()]
    names = NAMES | {one for one in wanted if not one.endswith("*")}
    prefixes = (*PREFIXES, *(one[:-1] for one in wanted if one.endswith("*") and one != "*"))
    chosen = [one for one in sorted(environ) if one in names or one.startswith(prefixes)]
    return {
        name: masker.variable(name, environ[name])[:VALUE_MAX_CHARS]
        for name in chosen[:VARIABLES_MAX]
        if not name.startswith("SLURM_SPANK_")
    }


def read_modules(environ: Mapping[str, str]) -> dict[str, Any]:
    """Return the environment modules that were loaded, Lmod's or Tcl's; empty if none were.

    Returns
    -------
    dict
        ``loaded``: in the order of loading; ``files``: their files; ``path``: where modules are
        looked for; ``system``: who loads them.
    """
    loaded = _split(environ.get("LOADEDMODULES", ""))
    if not loaded:
        return {}
    # Lmod cuts a long list of files into numbered variables.
    keys = sorted(one for one in environ if _MODULE_FILES.fullmatch(one))
    files = _split(":".join(environ[one] for one in keys))
    version = environ.get("LMOD_VERSION", "")
    system = f"Lmod {version}".strip() if any(one.startswith("LMOD_") for one in environ) else ""
    if not system and "MODULES_CMD" in environ:
        system = "Environment Modules"
    facts = {
        "loaded": loaded,
        "files": files,
        "path": _split(environ.get("MODULEPATH", "")),
        "system": system,
    }
    return {key: value for key, value in facts.items() if value}


def _split(text: str) -> list[str]:
    return [one for one in text.split(":") if one]
