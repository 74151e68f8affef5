"""Which recorded variables and modules a program is to find again."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from hpctrack.telemetry.provenance.rerun_steps import MODULES_STEP
from hpctrack.telemetry.provenance.shell_words import ShellWords

_PREFIXES = (
    "OMP_", "KMP_", "GOMP_", "MKL_", "OPENBLAS_", "BLIS_", "GOTO_", "NUMEXPR_", "NUMBA_", "VECLIB_",
    "CUDA_", "CUBLAS_", "CUDNN_", "NVIDIA_", "NVSHMEM_", "NCCL_", "RCCL_", "HIP_", "ROCM_",
    "ROCBLAS_", "HSA_", "MIOPEN_", "ZE_", "SYCL_", "MPICH_", "MV2_", "MVP_", "MPI4PY_", "UCX_",
    "FI_",
    "PSM2_", "PSM3_", "GLOO_", "TORCH", "PYTORCH_", "TF_", "XLA_", "JAX_", "KERAS_",
    "TRANSFORMERS_",
    "TOKENIZERS_", "TRITON_", "HDF5_", "MALLOC_", "I_MPI_", "OMPI_MCA_", "HF_HUB_", "HF_DATASETS_",
    "LC_",
)  # fmt: skip
_NAMES = frozenset({
    "PYTHONHASHSEED", "PYTHONPATH", "PYTHONOPTIMIZE", "PYTHONWARNINGS", "PYTHONUTF8",
    "PYTHONMALLOC",
    "PYTHONNOUSERSITE", "SEED", "LANG", "TZ", "GLIBC_TUNABLES", "LD_PRELOAD",
})  # fmt: skip
_OF_THE_NODE = re.compile(
    r"\w+_VISIBLE_DEVICES|CUDA_(?:HOME|PATH|ROOT)|ROCM_(?:HOME|PATH)|GPU_DEVICE_ORDINAL|TORCHELASTIC_\w+"
    r"|TORCH_NCCL_RANK\w*|HIP_PATH|I_MPI_(?:ROOT|INFO_\w+|HYDRA_\w+)|NVIDIA_DRIVER_CAPABILITIES|CUDA_DEVICE_ORDER"
)
"""What this or that machine, scheduler or module sets by itself."""

_OF_THE_LAUNCHER = re.compile(r"OMPI_MCA_\w+|MV2_COMM_\w+|PMIX_\w+|TORCHELASTIC_\w+")
"""What mpirun tells its ranks in the same words in which a user tells mpirun."""


def choose_variables(
    environ: Mapping[str, str], *, launcher: str = "none", has_modules: bool = False
) -> dict[str, str]:
    """Return the variables to set again.

    Parameters
    ----------
    environ : mapping
        As recorded.
    launcher : str
        Who started the ranks.
    has_modules : bool
        Modules set the paths of libraries.
    """
    chosen = {
        name: value
        for name, value in sorted(environ.items())
        if (name.startswith(_PREFIXES) or name in _NAMES)
        and not _OF_THE_NODE.fullmatch(name)
        and not (launcher != "none" and _OF_THE_LAUNCHER.fullmatch(name))
    }
    if not has_modules and environ.get("LD_LIBRARY_PATH"):
        chosen["LD_LIBRARY_PATH"] = environ["LD_LIBRARY_PATH"]
    return chosen


def write_modules(modules: Mapping[str, Any]) -> str:
    """Return the lines that load environment modules; empty if there were none."""
    loaded = [str(one) for one in modules.get("loaded") or ()]
    if not loaded:
        return ""
    words = ShellWords()
    # The first place where modules are looked for is the one that was added last.
    used = [
        f"    module use {words.word(str(one))}\n" for one in reversed(modules.get("path") or ())
    ]
    return MODULES_STEP.format(
        use="".join(used),
        load=words.command(loaded),
        loaded=re.sub(r'["$`\\]', "", " ".join(loaded)),
    )
