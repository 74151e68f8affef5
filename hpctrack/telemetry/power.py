"""Power and energy of the node, from whoever measures them."""

from __future__ import annotations

from collections.abc import Mapping

from hpctrack.telemetry import rapl
from hpctrack.telemetry.cray_power import CrayPower
from hpctrack.telemetry.kernel_files import KernelFiles
from hpctrack.telemetry.obstacles import Obstacle, find_missing_sys
from hpctrack.telemetry.power_sensors import PowerSensors
from hpctrack.telemetry.reading import Reading, Watch
from hpctrack.telemetry.slurm_power import SlurmPower

IPMI_DEVICES = ("dev/ipmi0", "dev/ipmi/0", "dev/ipmidev/0")


class Power:
    """Reads all that tells power and energy on this node.

    Parameters
    ----------
    files : KernelFiles
    environ : mapping
        Of the job.

    Notes
    -----
    Parts and wholes are told side by side and must not be added up: ``node`` contains everything;
    ``module`` contains ``cpu_package`` and a GPU; ``cpu_package`` contains ``cpu_core``,
    ``cpu_uncore`` and ``cpu_io``, but not ``dram`` (except on Grace, where it is in the package);
    ``platform`` is RAPL's word for the board. The node is that of all jobs on it.
    """

    subject = "power"

    def __init__(self, files: KernelFiles, *, environ: Mapping[str, str]) -> None:
        self._rapl = rapl.Rapl(files)
        self._cray = CrayPower(files)
        self._sensors = PowerSensors(files, has_node=self._cray.has_node)
        has_node = self._cray.has_node or self._sensors.has_node
        self._slurm = None if has_node else SlurmPower(environ)

    def read(self, watch: Watch, into: Reading) -> None:
        """Add power and energy to a reading."""
        self._rapl.read(watch.mono_s, into)
        self._cray.read(watch.mono_s, into)
        self._sensors.read(watch.mono_s, into)
        if self._slurm is not None:
            self._slurm.read(watch.mono_s, into)

    def close(self) -> None:
        """Let go of what was started."""
        if self._slurm is not None:
            self._slurm.close()


def find_obstacles(files: KernelFiles) -> list[Obstacle]:
    """Return what of power and energy cannot be read."""
    cray, sensors = CrayPower(files), PowerSensors(files)
    missing = find_missing_sys(files, "power")
    if missing and not cray.has_node:
        return [missing]
    found = []
    obstacle = rapl.find_obstacle(files)
    if obstacle and not (cray.has_node or sensors.has_sockets):
        found.append(obstacle)
    if cray.has_node or sensors.has_node:
        return found
    device = next((one for one in IPMI_DEVICES if files.has(one)), None)
    remedy = "load the module acpi_power_meter where the firmware has a meter"
    if device:
        remedy += f"; /{device} is there but for root only: let Slurm ask it "
        remedy += "(AcctGatherEnergyType=acct_gather_energy/ipmi), sacct tells the energy then"
    found.append(Obstacle("power", "nothing here tells the power of the whole node", remedy))
    return found
