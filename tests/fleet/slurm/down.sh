#!/usr/bin/env bash
# Ends the Slurm that up.sh began, and no other: only what its pid files name.
#
#   tests/fleet/slurm/down.sh DIR
set -u

dir=$1
export SLURM_CONF=$dir/slurm.conf
timeout 20 scancel --state=PENDING,RUNNING,SUSPENDED --user=root 2>/dev/null
sleep 1
for file in "$dir"/slurmd-n*.pid "$dir/slurmctld.pid" "$dir/munge/private/pid"; do
    [[ -s $file ]] || continue
    pid=$(<"$file")
    kill -CONT "$pid" 2>/dev/null
    kill "$pid" 2>/dev/null
done
exit 0
