"""slurm.conf and its companions, with the reason for every value that is not the default."""

from __future__ import annotations

from string import Template
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from .layout import Layout, Options

SLURM_CONF: Final = Template("""\
ClusterName=hpctrack
SlurmctldHost=ctl(10.77.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
# the default makes every requeue wait 120 s for the old credential to die
AuthInfo=cred_expire=5

StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool/%n
SlurmctldPidFile=/run/slurm/slurmctld.pid
SlurmdPidFile=/run/slurm/slurmd.pid
SlurmctldLogFile=$folder/log/slurmctld.log
SlurmdLogFile=$folder/log/slurmd.%n.log
SlurmctldDebug=verbose
SlurmdDebug=verbose
JobCompType=jobcomp/filetxt
JobCompLoc=$folder/log/jobcomp.log
MailProg=/bin/true
RebootProgram=/bin/true

ProctrackType=proctrack/$proctrack
TaskPlugin=task/$task
MpiDefault=none
# the limits of a test's shell are nothing to the jobs
PropagateResourceLimits=NONE

# nodes claim more processors than the host has
SlurmdParameters=config_overrides
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
DefMemPerCPU=100

# react at once: tests wait for every one of these
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=0,default_queue_depth=1000
KillWait=3
CompleteWait=0
UnkillableStepTimeout=30
BatchStartTimeout=10
# a dead node is noticed within 15 to 20 s; the defaults take minutes. Shorter ones make a slow
# host look like a dead one
SlurmdTimeout=10
MessageTimeout=5
SlurmctldTimeout=15
# a node that comes back from the dead is used again
ReturnToService=2
InactiveLimit=0
JobRequeue=1
# tests ask for the state of jobs that ended long ago
MinJobAge=3600

PriorityType=priority/multifactor
PriorityWeightPartition=1000
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
PreemptExemptTime=0
# makes --signal fire at preemption too
SlurmctldParameters=preempt_send_user_signal

JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
AccountingStorageType=accounting_storage/$storage
$accounting

GresTypes=gpu
NodeName=DEFAULT CPUs=4 Boards=1 SocketsPerBoard=1 CoresPerSocket=4 ThreadsPerCore=1 \
RealMemory=4000 State=UNKNOWN
NodeName=n[1-2] Gres=gpu:fake:2
NodeName=n[3-$nodes]
PartitionName=DEFAULT Nodes=n[1-$nodes] MaxTime=UNLIMITED DefaultTime=10 State=UP
PartitionName=debug Default=YES PriorityTier=10 PreemptMode=OFF
PartitionName=preempt PriorityTier=1 PreemptMode=REQUEUE GraceTime=0
PartitionName=grace PriorityTier=1 PreemptMode=REQUEUE GraceTime=5
""")

ACCOUNTING_CONF: Final = """\
AccountingStorageHost=ctl
AccountingStorageTRES=gres/gpu
AccountingStoreFlags=job_comment,job_script,job_env
"""

CGROUP_CONF: Final = """\
CgroupPlugin=cgroup/v1
CgroupAutomount=no
ConstrainRAMSpace=yes
ConstrainSwapSpace=yes
AllowedSwapSpace=0
ConstrainDevices=yes
# nodes claim more processors than the host has: they cannot be pinned
ConstrainCores=no
"""

SLURMDBD_CONF: Final = Template("""\
AuthType=auth/munge
DbdHost=ctl
DbdAddr=10.77.0.1
SlurmUser=root
LogFile=$folder/log/slurmdbd.log
PidFile=/run/slurm/slurmdbd.pid
DebugLevel=verbose
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageUser=slurm
StorageLoc=slurm_acct_db
# jobs show in sacct at once, not when a batch is full
CommitDelay=1
""")


def make_slurm_conf(layout: Layout, options: Options) -> str:
    """Return slurm.conf, the same on every machine."""
    return SLURM_CONF.substitute(
        folder=layout.folder,
        nodes=options.nodes,
        proctrack="cgroup" if options.cgroups else "linuxproc",
        task="cgroup" if options.cgroups else "none",
        storage="slurmdbd" if options.accounting else "none",
        accounting=ACCOUNTING_CONF if options.accounting else "",
    )


def make_slurmdbd_conf(layout: Layout) -> str:
    """Return slurmdbd.conf, read on the controller only."""
    return SLURMDBD_CONF.substitute(folder=layout.folder)
