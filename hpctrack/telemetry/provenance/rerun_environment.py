"""Which recorded variables and modules a program is to find again."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from hpctrack.telemetry.provenance.rerun_steps import MODULES_STEP
from hpctrack.telemetry.provenance.shell_words import ShellWords

_WANTED = re.compile(
    r"(?:OMP|KMP|GOMP|MKL|OPENBLAS|BLIS|GOTO|NUMEXPR|NUMBA|VECLIB|CUDA|CUBLAS|CUDNN|NVIDIA|NVSHMEM|NCCL"
    r"|RCCL|HIP|ROCM|ROCBLAS|HSA|MIOPEN|ZE|SYCL|MPICH|MV2|MVP|MPI4PY|UCX|FI|PSM2|PSM3|GLOO|PYTORCH|TF"
    r"|XLA|JAX|KERAS|TRANSFORMERS|TOKENIZERS|TRITON|HDF5|MALLOC|I_MPI|OMPI_MCA|HF_HUB|HF_DATASETS)_\w+"
    r"|PYTHON(?:HASHSEED|PATH|OPTIMIZE|WARNINGS|UTF8|NOUSERSITE|MALLOC)|TORCH\w*|SEED|LANG|LC_\w+|TZ"
    r"|GLIBC_TUNABLES|LD_PRELOAD"
)
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
        if _WANTED.fullmatch(name)
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
