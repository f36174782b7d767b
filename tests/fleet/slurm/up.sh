#!/usr/bin/env bash
# A Slurm of one's own on one machine: munge, a controller and two nodes, without systemd, cgroups or a database.
# Prints what to export. down.sh ends it.
#
#   tests/fleet/slurm/up.sh DIR [NODES]          as root; DIR is an absolute path that everybody may pass
set -euo pipefail

dir=$1
nodes=${2:-2}
port=${SLURM_TEST_PORT:-36800}
host=$(hostname -s)

mkdir -p "$dir"/{state,log}
for ((node = 1; node <= nodes; node++)); do mkdir -p "$dir/spool-n$node"; done
install -d -o munge -g munge -m 0755 "$dir/munge"
install -d -o munge -g munge -m 0700 "$dir/munge/private"
if [[ ! -s $dir/munge/private/key ]]; then
    head -c 1024 /dev/urandom >"$dir/munge/private/key"
    chown munge: "$dir/munge/private/key"
    chmod 600 "$dir/munge/private/key"
fi
runuser -u munge -- /usr/sbin/munged --socket="$dir/munge/socket" --key-file="$dir/munge/private/key" \
    --pid-file="$dir/munge/private/pid" --log-file="$dir/munge/private/log" --seed-file="$dir/munge/private/seed"

{
    cat <<EOF
ClusterName=fleet
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$((port + 17))
AuthType=auth/munge
CryptoType=crypto/munge
AuthInfo=socket=$dir/munge/socket
SlurmUser=root
SlurmdUser=root
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool-%n
SlurmctldPidFile=$dir/slurmctld.pid
SlurmdPidFile=$dir/slurmd-%n.pid
SlurmctldLogFile=$dir/log/slurmctld.log
SlurmdLogFile=$dir/log/slurmd-%n.log
MailProg=/bin/true
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/filetxt
JobCompLoc=$dir/log/ended
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=2,sched_min_interval=0
ReturnToService=2
MaxArraySize=20001
MaxJobCount=50000
JobRequeue=1
RequeueExit=75
RequeueExitHold=78
SlurmctldTimeout=10
SlurmdTimeout=10
KillWait=3
MinJobAge=3600
SlurmdParameters=config_overrides
EOF
    for ((node = 1; node <= nodes; node++)); do
        echo "NodeName=n$node NodeAddr=127.0.0.1 NodeHostname=$host Port=$((port + 100 + node)) CPUs=4 RealMemory=4000 State=UNKNOWN"
    done
    echo "PartitionName=fleet Nodes=n[1-$nodes] Default=YES MaxTime=INFINITE State=UP"
} >"$dir/slurm.conf"

export SLURM_CONF=$dir/slurm.conf
slurmctld -c -f "$SLURM_CONF"
for ((node = 1; node <= nodes; node++)); do slurmd -f "$SLURM_CONF" -N "n$node"; done
for ((tries = 0; tries < 120; tries++)); do
    if [[ $(sinfo -h -N -o %T 2>/dev/null | grep -c idle) == "$nodes" ]]; then
        echo "export SLURM_CONF=$SLURM_CONF"
        exit 0
    fi
    sleep 0.5
done
sinfo -N -l >&2
tail -n 20 "$dir/log/slurmctld.log" >&2
exit 1
