"""The container that a program ran in, and which image it was made of, as far as it can tell."""

from __future__ import annotations

import json
import re
import struct
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hpctrack.telemetry.provenance.files import below, read_bytes, read_text
from hpctrack.telemetry.provenance.process import Process

_SIF = struct.Struct("<32s10s3s3s16sqq")
"""Beginning of a SIF image (its format's version 01): launch line, magic, version, architecture,
the image's own UUID, times of making and of the last change."""

_ID = re.compile(r"(?:^|[/_-])([0-9a-f]{64})(?:\.scope)?(?:/|$)", re.MULTILINE)
_POD_ID = re.compile(r"/containers/(?:overlay-containers/)?([0-9a-f]{64})/")
_LABELS_MAX = 50
_LABEL_MAX_CHARS = 500

_PYXIS_IMAGE = (
    "SLURM_SPANK__SLURM_SPANK_OPTION_pyxis_container_image",
    "_SLURM_SPANK_OPTION_pyxis_container_image",
    "PYXIS_CONTAINER_IMAGE",
)


def read_container(process: Process, environ: Mapping[str, str]) -> dict[str, Any]:
    """Return what is known of a process's container; empty if it seems to be in none.

    Parameters
    ----------
    process : Process
    environ : mapping
        Its environment.

    Returns
    -------
    dict
        ``kind`` (apptainer, singularity, podman, docker, enroot, charliecloud, shifter or
        kubernetes), and where they can be read ``image``, its ``digest``, the container's ``id``,
        ``name`` and ``labels``.
    """
    for look in (_apptainer, _podman, _enroot, _shifter, _charliecloud, _docker):
        found = look(process, environ)
        if found:
            return {key: value for key, value in found.items() if value}
    return {}


def read_sif_id(path: Path) -> str:
    """Return the UUID of a SIF image; empty if the file is none, or cannot be read."""
    head = read_bytes(path, _SIF.size) or b""
    if len(head) < _SIF.size:
        return ""
    _launch, magic, _version, _arch, identity, _made, _changed = _SIF.unpack(head)
    return str(uuid.UUID(bytes=identity)) if magic.rstrip(b"\0") == b"SIF_MAGIC" else ""


def _apptainer(process: Process, environ: Mapping[str, str]) -> dict[str, Any]:
    for kind in ("apptainer", "singularity"):
        prefix = kind.upper()
        image = environ.get(f"{prefix}_CONTAINER", "")
        name = environ.get(f"{prefix}_NAME", "")
        if not (image or name):
            continue
        # Seen from inside the image may be hidden; the agent may be outside.
        places = [below(one, image) for one in (process.files, process.root)] if image else []
        sif = next(filter(None, map(read_sif_id, places)), "")
        labels = _read_labels(process.files / ".singularity.d" / "labels.json")
        source = [labels.get(f"org.label-schema.usage.singularity.deffile.{one}", "")
                  for one in ("bootstrap", "from")]  # fmt: skip
        return {
            "kind": kind,
            "image": image,
            "name": name,
            "digest": f"sif:{sif}" if sif else "",
            "labels": labels,
            "made_from": "://".join(source) if all(source) else "",
        }
    return {}


def _podman(process: Process, _environ: Mapping[str, str]) -> dict[str, Any]:
    text = read_text(process.files / "run" / ".containerenv")
    if text is None:
        return {}
    told = dict(re.findall(r'(?m)^(\w+)="?(.*?)"?$', text))
    digest = told.get("imageid", "")
    return {
        "kind": "podman",
        "image": told.get("image", ""),
        "digest": f"sha256:{digest}" if re.fullmatch(r"[0-9a-f]{64}", digest) else digest,
        "id": told.get("id", ""),
        "name": told.get("name", ""),
    }


def _enroot(process: Process, environ: Mapping[str, str]) -> dict[str, Any]:
    # The root of the file system is a folder below enroot's.
    top = re.search(r"(?m)^\d+ \d+ \S+ (\S+) / ", process.mountinfo)
    folder = top[1] if top else ""
    is_enroot = "/enroot/" in folder or "/pyxis_" in folder or "ENROOT_ROOTFS" in environ
    if not is_enroot:
        return {}
    image = next((environ[name] for name in _PYXIS_IMAGE if environ.get(name)), "")
    digest = re.search(r"sha256:[0-9a-f]{64}", image)
    return {
        "kind": "enroot",
        "image": image,
        "digest": digest[0] if digest else "",
        "name": Path(environ.get("ENROOT_ROOTFS") or folder).name,
    }


def _shifter(_process: Process, environ: Mapping[str, str]) -> dict[str, Any]:
    if not environ.get("SHIFTER_RUNTIME"):
        return {}
    digest = environ.get("SHIFTER_IMAGE", "")
    return {
        "kind": "shifter",
        "image": environ.get("SHIFTER_IMAGEREQUEST", ""),
        "digest": f"sha256:{digest}" if re.fullmatch(r"[0-9a-f]{64}", digest) else "",
    }


def _charliecloud(process: Process, environ: Mapping[str, str]) -> dict[str, Any]:
    if "CH_RUNNING" not in environ:
        return {}
    told = read_text(process.files / "ch" / "metadata.json") or "{}"
    try:
        labels = json.loads(told).get("labels") or {}
    except (ValueError, AttributeError):
        labels = {}
    return {"kind": "charliecloud", "labels": _bound(labels)}


def _docker(process: Process, environ: Mapping[str, str]) -> dict[str, Any]:
    is_docker = (process.files / ".dockerenv").exists()
    is_pod = "KUBERNETES_SERVICE_HOST" in environ
    cgroup, mounts = process.cgroup, process.mountinfo
    found = _ID.search(cgroup) or _POD_ID.search(mounts)
    if not (is_docker or is_pod or (found and re.search(r"docker|kubepods|containerd", cgroup))):
        return {}
    # An image's digest cannot be seen from inside; its labels are where the builder put them.
    return {"kind": "kubernetes" if is_pod else "docker", "id": found[1] if found else ""}


def _read_labels(path: Path) -> dict[str, str]:
    try:
        labels = json.loads(read_text(path) or "{}")
    except ValueError:
        return {}
    return _bound(labels)


def _bound(labels: Any) -> dict[str, str]:
    if not isinstance(labels, dict):
        return {}
    pairs = list(labels.items())[:_LABELS_MAX]
    return {str(key): str(value)[:_LABEL_MAX_CHARS] for key, value in pairs}
