"""``/p/<project>/runs/<id>``: one run, with a chart for each metric."""

from __future__ import annotations

from typing import Any

from hpctrack.store.definitions import leave_out_hidden
from hpctrack.store.ledger import list_incidents, list_losses
from hpctrack_server.components.rank_strip import make_rank_strip
from hpctrack_server.data.frames import RunFrame, iter_flat
from hpctrack_server.pages.run.frame import RunTab

SELECT_MAX_RANKS = 128
"""More ranks than this are chosen by typing a number."""

METRICS_MAX = 300
"""Charts on one page; the empty cards of more would already be slow to lay out."""

SHOWN_JOB_FACTS = frozenset(
    {
        "SLURM_JOB_ID", "SLURM_JOB_NAME", "SLURM_JOB_PARTITION", "SLURM_JOB_ACCOUNT",
        "SLURM_JOB_QOS", "SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID", "SLURM_STEP_ID",
        "SLURM_JOB_NODELIST", "SLURM_CLUSTER_NAME", "SLURM_RESTART_COUNT", "SLURM_JOB_USER",
        "SLURM_SUBMIT_DIR", "PBS_JOBID", "PBS_ARRAY_INDEX", "PBS_JOBNAME", "PBS_QUEUE",
        "LSB_JOBID", "LSB_JOBINDEX", "LSB_JOBNAME", "LSB_QUEUE", "JOB_ID", "SGE_TASK_ID", "QUEUE",
        "COBALT_JOBID", "FLUX_JOB_ID",
    }
)  # fmt: skip
"""Of the environment of a job, what is worth a line; a run's record has some 30 more."""

JOB_LABELS = {"cwd": "Folder", "command": "Command"}


class ChartsTab(RunTab):
    """One run, with a chart for each metric."""

    tab = "run"
    template = "run/charts.html"

    async def collect(self, project: str, run: RunFrame) -> dict[str, Any]:
        """Return the metrics, and what stands beside them."""
        record = run.record
        every = await self.read(self.services.provider.metrics, project, record.id)
        metrics = leave_out_hidden(record.definitions, every)[:METRICS_MAX]
        return {
            "metrics": metrics,
            "hidden_metrics": len(every) - len(metrics),
            "strip": make_rank_strip(record.ranks, record.size),
            "facts": list_facts(run),
            "config": iter_flat(record.config),
            "summary": iter_flat(record.summary),
            "losses": list_losses(record.ledger),
            "select_max_ranks": SELECT_MAX_RANKS,
        }


def list_facts(run: RunFrame) -> list[tuple[str, str]]:
    """Return what the run is, by label, without what is empty."""
    record = run.record
    hosts = sorted({one.host for one in record.ranks if one.host})
    shown_hosts = ", ".join(hosts[:4]) + (f" and {len(hosts) - 4} more" if len(hosts) > 4 else "")  # noqa: PLR2004
    sweep = f"{record.sweep}, trial {record.trial}" if record.trial >= 0 else record.sweep
    facts = [
        ("Run id", record.id),
        ("User", record.user),
        ("Group", record.group),
        ("Job type", record.job_type),
        ("Sweep", sweep),
        ("Nodes", f"{record.nodes:,}"),
        ("Hosts", shown_hosts),
        ("Ranks", f"{record.size:,}"),
        ("Launcher", "" if record.launcher == "none" else record.launcher),
        ("Attempts", f"{record.attempts:,}"),
        ("Incidents", ", ".join(list_incidents(record.ledger))),
    ]
    facts += [
        (label_job(key), str(value))
        for key, value in record.job.items()
        if key in SHOWN_JOB_FACTS or not key.isupper()
    ]
    return [(label, value) for label, value in facts if value]


def label_job(key: str) -> str:
    """Return the label of a fact about the job: ``job_id`` becomes ``Job id``."""
    words = key.removeprefix("SLURM_").replace("_", " ").strip().lower()
    label = JOB_LABELS.get(key, words[:1].upper() + words[1:])
    return f"Slurm {words}" if key.startswith("SLURM_") else label
