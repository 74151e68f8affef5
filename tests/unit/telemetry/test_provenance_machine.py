"""Containers, libraries and machines, from trees that look like other machines, and this one."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from hpctrack.telemetry.provenance.container import read_container, read_sif_id
from hpctrack.telemetry.provenance.libraries import list_libraries, read_libraries
from hpctrack.telemetry.provenance.machine import parse_cpuinfo, read_machine
from hpctrack.telemetry.provenance.process import Process
from tests.repositories import plant

# -- containers -----------------------------------------------------------------------------------

SIF = struct.pack(
    "<32s10s3s3s16sqq", b"#!/usr/bin/env run-singularity\n", b"SIF_MAGIC\0", b"01\0", b"02\0",
    uuid.UUID(int=77).bytes, 1, 2,
)  # fmt: skip


def in_container(
    root: Path, files: Mapping[str, Any], environ: Mapping[str, str]
) -> dict[str, object]:
    plant(root, files)
    (root / "proc" / "7").mkdir(parents=True, exist_ok=True)
    return read_container(Process(7, root), environ)


def test_apptainer_tells_image_labels_and_the_images_own_number(tmp_path: Path) -> None:
    labels = {
        "org.label-schema.usage.singularity.deffile.bootstrap": "docker",
        "org.label-schema.usage.singularity.deffile.from": "nvcr.io/nvidia/pytorch:24.05-py3",
    }
    files = {".singularity.d/labels.json": json.dumps(labels), "images/a.sif": SIF + b"x" * 100}
    environ = {"APPTAINER_CONTAINER": "/images/a.sif", "APPTAINER_NAME": "a.sif"}
    assert in_container(tmp_path, files, environ) == {
        "kind": "apptainer",
        "image": "/images/a.sif",
        "name": "a.sif",
        "digest": f"sif:{uuid.UUID(int=77)}",
        "labels": labels,
        "made_from": "docker://nvcr.io/nvidia/pytorch:24.05-py3",
    }
    assert read_sif_id(plant(tmp_path, {"short": SIF[:20]}) / "short") == ""
    assert read_sif_id(plant(tmp_path, {"other": b"x" * 200}) / "other") == ""


def test_singularity_of_a_sandbox_folder(tmp_path: Path) -> None:
    found = in_container(
        tmp_path, {}, {"SINGULARITY_CONTAINER": "/sand/box", "SINGULARITY_NAME": "box"}
    )
    assert found == {"kind": "singularity", "image": "/sand/box", "name": "box"}


def test_podman_tells_image_and_digest(tmp_path: Path) -> None:
    told = (
        'engine="podman-5.2.0"\nname="eager_bell"\nid="' + "a" * 64 + '"\n'
        'image="docker.io/library/python:3.12"\nimageid="' + "b" * 64 + '"\nrootless=1\n'
    )
    assert in_container(tmp_path, {"run/.containerenv": told}, {}) == {
        "kind": "podman",
        "image": "docker.io/library/python:3.12",
        "digest": "sha256:" + "b" * 64,
        "id": "a" * 64,
        "name": "eager_bell",
    }


@pytest.mark.parametrize(
    "files",
    [
        {"proc/7/cgroup": "0::/system.slice/docker-" + "c" * 64 + ".scope\n"},
        {"proc/7/cgroup": "12:pids:/docker/" + "c" * 64 + "\n"},
        {
            "proc/7/cgroup": "0::/\n",
            ".dockerenv": "",
            "proc/7/mountinfo": f"1 2 0:1 /var/lib/docker/containers/{'c' * 64}/hostname /h rw\n",
        },
    ],
)
def test_docker_tells_at_least_which_container(tmp_path: Path, files: dict[str, str]) -> None:
    assert in_container(tmp_path, files, {}) == {"kind": "docker", "id": "c" * 64}


def test_enroot_and_the_others(tmp_path: Path) -> None:
    mounts = "1 2 0:1 /home/u/.local/share/enroot/pyxis_77.0 / rw - xfs /dev/sda1 rw\n"
    image = {
        "SLURM_SPANK__SLURM_SPANK_OPTION_pyxis_container_image": "nvcr.io#nvidia/pytorch:24.05"
    }
    assert in_container(tmp_path / "a", {"proc/7/mountinfo": mounts}, image) == {
        "kind": "enroot", "image": "nvcr.io#nvidia/pytorch:24.05", "name": "pyxis_77.0",
    }  # fmt: skip
    shifter = {"SHIFTER_RUNTIME": "1", "SHIFTER_IMAGEREQUEST": "a/b:1", "SHIFTER_IMAGE": "d" * 64}
    assert in_container(tmp_path / "b", {}, shifter) == {
        "kind": "shifter", "image": "a/b:1", "digest": "sha256:" + "d" * 64,
    }  # fmt: skip
    cloud = {"ch/metadata.json": json.dumps({"labels": {"a": "b"}})}
    assert in_container(tmp_path / "c", cloud, {"CH_RUNNING": "Weird Al Yankovic"}) == {
        "kind": "charliecloud", "labels": {"a": "b"},
    }  # fmt: skip
    pod = in_container(tmp_path / "d", {}, {"KUBERNETES_SERVICE_HOST": "10.0.0.1"})
    assert pod == {"kind": "kubernetes"}


def test_no_container_is_none(tmp_path: Path) -> None:
    files = {
        "proc/7/cgroup": "0::/slurm/uid_1/job_7/step_0\n",
        "proc/7/mountinfo": "1 2 0:1 / / rw\n",
    }
    assert in_container(tmp_path, files, {"HOME": "/root"}) == {}


# -- libraries ------------------------------------------------------------------------------------


def maps(*paths: str) -> str:
    lines = [
        f"7f{number:04x}000-7f{number:04x}fff {rights} 00000000 fe:01 {100 + number}  {path}"
        for number, path in enumerate(paths)
        for rights in ("r--p", "r-xp", "rw-p")
    ]
    return "\n".join(
        ["55d0-55d1 r-xp 00000000 00:00 0 ", *lines, "7ffe-7fff r-xp 0 00:00 0 [vdso]"]
    )


def test_libraries_are_those_that_run_code_and_belong_to_no_python_package() -> None:
    text = maps(
        "/usr/lib/libm.so.6", "/usr/bin/python3.11", "/a/x.cpython-311-x86_64-linux-gnu.so",
        "/a/b.abi3.so",
        "/opt/with space/libfoo.so.1.2 (deleted)", "/dev/shm/ring",
        "/usr/lib/locale/locale-archive",
    )  # fmt: skip
    assert list_libraries([text, text]) == ["/opt/with space/libfoo.so.1.2", "/usr/lib/libm.so.6"]
    own = list_libraries([Process(os.getpid()).maps])
    assert any("/libc.so" in one or "/libc-" in one for one in own)


@pytest.fixture
def process(tmp_path: Path) -> Process:
    (tmp_path / "proc" / "7").mkdir(parents=True)
    return Process(7, tmp_path)


@pytest.mark.parametrize(
    ("path", "content", "expected"),
    [
        (
            "/usr/lib/openmpi/lib/libmpi.so.40.30.4",
            b"..\0v4.1.4\0Open MPI\0",
            ("Open MPI", "4.1.4"),
        ),
        ("/apps/openmpi/5.0.3-gcc12/lib/libmpi.so.40.40.3", b"", ("Open MPI", "5.0.3")),
        ("/venv/lib/libmpi.so.12", b"MPICH_X\0\0004.2.1rc2\0", ("MPICH", "4.2.1rc2")),
        (
            "/opt/intel/oneapi/mpi/2021.10.0/lib/release/libmpi.so.12.0.0",
            b"",
            ("Intel MPI", "2021.10.0"),
        ),
        (
            "/opt/cray/pe/mpich/8.1.27/ofi/gnu/9.1/lib/libmpi_gnu_91.so.12.0.0",
            b"",
            ("Cray MPICH", "8.1.27"),
        ),
        ("/apps/mvapich2-2.3.7/lib/libmpi.so.12.1.1", b"", ("MVAPICH", "2.3.7")),
    ],
)
def test_mpi_is_named_and_its_version_found(
    process: Process, path: str, content: bytes, expected: tuple[str, str]
) -> None:
    plant(process.root, {path: content})
    found = read_libraries([path], process, {}, {})["mpi"]
    assert (found["name"], found["version"]) == expected
    assert found["library"] == path


def test_the_version_of_mpi_in_its_header_wins(process: Process) -> None:
    numbers = {"MAJOR": 4, "MINOR": 1, "RELEASE": 6}
    header = "".join(f"# define OMPI_{key}_VERSION  {one}\n" for key, one in numbers.items())
    plant(process.root, {"/o/lib/libmpi.so.40.1": b"\0v9.9.9\0", "/o/include/mpi.h": header})
    assert read_libraries(["/o/lib/libmpi.so.40.1"], process, {}, {})["mpi"]["version"] == "4.1.6"


def test_nccl_cuda_and_rocm(process: Process) -> None:
    site = "/venv/lib/python3.12/site-packages/nvidia"
    plant(
        process.root,
        {
            f"{site}/nccl/include/nccl.h": (
                "#define NCCL_MAJOR 2\n#define NCCL_MINOR 21\n#define NCCL_PATCH 5\n"
            ),
            "/usr/local/cuda/version.json": json.dumps(
                {"cuda": {"name": "CUDA SDK", "version": "12.4.1"}, "nccl": {"version": "1"}}
            ),
            "/opt/rocm/.info/version": "6.1.0-82\n",
        },
    )
    paths = [
        f"{site}/nccl/lib/libnccl.so.2", f"{site}/cuda_runtime/lib/libcudart.so.12",
        "/usr/lib/x86_64-linux-gnu/libcuda.so.550.54.15", "/opt/rocm/lib/librccl.so.1.0.60100",
        "/opt/rocm/lib/libamdhip64.so.6.1.60100", "/a/libscipy_openblas-68440149.so",
        "/a/libucp.so.0.0.0",
    ]  # fmt: skip
    packages = {"nvidia-cuda-runtime-cu12": "12.4.127", "nvidia-nccl-cu12": "2.21.5"}
    assert read_libraries(paths, process, packages, {})["versions"] == {
        "nccl": "2.21.5", "rccl": "1.0.60100", "cuda": "12.4.127", "rocm": "6.1.60100",
        "nvidia_driver": "550.54.15", "ucx": "0.0.0", "cuda_toolkit": "12.4.1",
        "rocm_toolkit": "6.1.0-82",
    }  # fmt: skip


def test_very_many_libraries_are_counted(process: Process) -> None:
    paths = [f"/lib/libx{number}.so.1" for number in range(900)]
    found = read_libraries(paths, process, {}, {})
    assert found["count"] == 900
    assert len(found["loaded"]) == 500


@pytest.mark.mpi
def test_the_mpi_of_a_real_program() -> None:
    code = """
import mpi4py.MPI as m
print(m.Get_library_version().splitlines()[0], flush=True)
input()
"""
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        said = child.stdout.readline()
        one = Process(child.pid)
        found = read_libraries(list_libraries([one.maps]), one, {}, {})["mpi"]
        child.communicate("\n")
    assert found["version"] in said
    assert found["name"].split()[0].lower() in said.lower().replace(" ", "")[:40] + said.lower()


# -- the machine ----------------------------------------------------------------------------------

X86 = "".join(
    f"processor\t: {number}\nmodel name\t: AMD EPYC 7763  64-Core Processor\n"
    f"physical id\t: {number // 2}\n"
    f"core id\t\t: {number % 2}\n\n"
    for number in range(4)
)
ARM = "processor\t: 0\nCPU implementer\t: 0x41\nCPU part\t: 0xd4f\n\nprocessor\t: 1\n"
POWER = "processor\t: 0\ncpu\t\t: POWER9, altivec supported\n"


def test_processors_of_three_families() -> None:
    assert parse_cpuinfo(X86) == {
        "cpu_model": "AMD EPYC 7763 64-Core Processor", "cpus": 4, "cores": 4, "sockets": 2,
    }  # fmt: skip
    assert parse_cpuinfo(ARM)["cpu_model"] == "ARM Neoverse-V2 (Grace)"
    assert parse_cpuinfo(POWER)["cpu_model"] == "POWER9, altivec supported"
    assert parse_cpuinfo("")["cpus"] == 0


def test_a_node_with_gpus(tmp_path: Path) -> None:
    version = (
        "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  550.54.15  Release Build\n"
        "GCC version:  gcc version 12.2.0\n"
    )
    information = "Model: \t\t NVIDIA H100 80GB HBM3\nIRQ:   \t\t 1\nGPU UUID: \t GPU-x\n"
    plant(
        tmp_path,
        {
            "proc/driver/nvidia/version": version,
            "proc/driver/nvidia/gpus/0000:01:00.0/information": information,
            "proc/driver/nvidia/gpus/0000:02:00.0/information": information,
            "proc/cpuinfo": X86,
            "proc/meminfo": "MemTotal:       263000000 kB\nMemFree: 1 kB\n",
            "proc/sys/kernel/osrelease": "5.14.0-427.el9.x86_64\n",
            "proc/sys/kernel/hostname": "n1\n",
            "etc/os-release": 'NAME="Rocky"\nPRETTY_NAME="Rocky Linux 9.4 (Blue Onyx)"\n',
        },
    )
    assert read_machine(tmp_path) == {
        "host": "n1", "architecture": os.uname().machine, "kernel": "5.14.0-427.el9.x86_64",
        "os": "Rocky Linux 9.4 (Blue Onyx)", "cpu_model": "AMD EPYC 7763 64-Core Processor",
        "cpus": 4,
        "cores": 4, "sockets": 2, "memory_bytes": 263000000 * 1024,
        "gpus": ["NVIDIA H100 80GB HBM3"] * 2, "nvidia_driver": "550.54.15",
    }  # fmt: skip


def test_what_cannot_be_read_of_a_node_is_left_out(tmp_path: Path) -> None:
    assert set(read_machine(tmp_path)) == {"architecture"}
    here = read_machine()
    assert here["cpus"] == os.cpu_count()
    assert here["kernel"] == os.uname().release
