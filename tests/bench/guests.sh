#!/usr/bin/env bash
# Measures how long `rehome` looks at real guests and plans (fixups included), and writes GUESTS.md.
#
#   tests/bench/guests.sh REHOME [FOLDER]
#
# FOLDER (default: a temporary one) takes the guests of tests/guests, about 3 GB; those that are there already are used.
# Nothing is copied: what a migration takes besides is the copy, which run.sh measures.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
[[ $# -ge 1 ]] || { sed -n 's/^#   //p' "$0" >&2; exit 2; }
rehome=$(realpath "$1")
runs=${BENCH_RUNS:-10}
if [[ $# -ge 2 ]]; then
    mkdir -p "$2"
    work=$(realpath "$2")
else
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
fi
for program in hyperfine jq; do
    command -v "$program" >/dev/null || { echo "bench: $program is missing: tests/packages.sh test" >&2; exit 1; }
done
[[ -x /usr/bin/time ]] || { echo "bench: /usr/bin/time is missing: install the package time" >&2; exit 1; }

measure() { # NAME COMMAND...: adds a row
    local name=$1 peak
    shift
    hyperfine -N -w 1 -r "$runs" --export-json "$work/times.json" "$*" >/dev/null 2>&1
    /usr/bin/time -o "$work/peak" -f %M "$@" >/dev/null 2>&1
    peak=$(<"$work/peak")
    jq -r --arg name "$name" --argjson peak "$peak" '.results[0] | "| \($name) | \(.median * 1000 | round) ms | \(.min * 1000 | round) to \(.max * 1000 | round) ms | \($peak / 1024 | round) MiB |"' \
        "$work/times.json" >>"$work/rows"
}

: >"$work/rows"
for guest in bios uefi xfs lvm; do
    [[ -f $work/$guest.json ]] || "$here/../guests/build-debian.sh" "$guest" "$work/$guest.raw"
    mapfile -t disks < <(jq -r --arg folder "$work" '.disks[].source.file | "\($folder)/\(.)"' "$work/$guest.json")
    firmware=bios
    if [[ $guest == uefi || $guest == xfs ]]; then firmware=uefi; fi
    measure "\`$guest\`: inspect, with readiness for every target" "$rehome" inspect "${disks[@]}" --output json
    measure "\`$guest\`: migrate --to kvm --dry-run" "$rehome" migrate "${disks[@]}" --machine "$work/$guest.json" \
        --to kvm --firmware "$firmware" --disk-bus virtio-scsi --out "$work/out" --dry-run
done
{
    cat <<TEXT
# Looking at a guest and planning

Real Debian 12 guests (tests/guests/README.md), $runs runs each, median; written by \`tests/bench/guests.sh\`.
$(nproc) cores, $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), $(date -u +%Y-%m-%d).

| | median | from, to | memory |
|---|---|---|---|
TEXT
    cat "$work/rows"
    cat <<'TEXT'

`inspect` of `xfs` is the time to unpack dracut's gzip image (50 MB) once; its migration packs the image again, because a file on
XFS cannot grow.
TEXT
} >"$here/GUESTS.md"
rm -f "$work/rows" "$work/times.json" "$work/peak"
