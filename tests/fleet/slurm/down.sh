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
# What watches over a task goes on trying to tell a controller that is gone. It is known by the configuration that it was started with.
sleep 1
for folder in /proc/[0-9]*; do
    [[ $(cat "$folder/comm" 2>/dev/null) == slurmstepd ]] || continue
    if tr '\0' '\n' <"$folder/environ" 2>/dev/null | grep -qxF "SLURM_CONF=$dir/slurm.conf"; then kill -9 "${folder##*/}" 2>/dev/null; fi
done
exit 0
