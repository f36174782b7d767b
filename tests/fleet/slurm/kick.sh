#!/usr/bin/env bash
# Slurm waits two minutes before it begins a requeued task again. A test need not.
#
#   SLURM_CONF=… tests/fleet/slurm/kick.sh
set -u

timeout 20 squeue --noheader --array --states=PENDING --format='%i %r' | while read -r job reason; do
    if [[ $reason == BeginTime ]]; then timeout 20 scontrol update JobId="$job" StartTime=now; fi
done
exit 0
