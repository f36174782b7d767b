#!/usr/bin/env bash
# Measures migrations in the micro-VM, and writes MICROVM.md.
#
#   tests/bench/microvm.sh REHOME [FOLDER]
#
# FOLDER (default: a temporary one) takes the guests of tests/guests and what becomes of them, about 4 GB; guests that are there are used.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
[[ $# -ge 1 ]] || { sed -n 's/^#   //p' "$0" >&2; exit 2; }
rehome=$(realpath "$1")
if [[ $# -ge 2 ]]; then
    mkdir -p "$2"
    work=$(realpath "$2")
else
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
fi
[[ -x /usr/bin/time ]] || { echo "bench: /usr/bin/time is missing: install the package time" >&2; exit 1; }

measure() { # GUEST WHAT OPTION...: adds a row. The largest process that time(1) sees is QEMU
    local guest=$1 what=$2 disks report
    shift 2
    mapfile -t disks < <(jq -r --arg folder "$work" '.disks[].source.file | "\($folder)/\(.)"' "$work/$guest.json")
    rm -rf "$work/out"
    /usr/bin/time -o "$work/time" -f '%e %M' "$rehome" migrate "${disks[@]}" --machine "$work/$guest.json" --to kvm --disk-bus virtio-scsi \
        --out "$work/out" --editor microvm "$@" >/dev/null
    report=("$work"/out/*.report.json)
    jq -r --arg row "\`$guest\`: $what" --arg whole "$(cut -d ' ' -f 1 "$work/time")" --argjson peak "$(cut -d ' ' -f 2 "$work/time")" \
        '"| \($row) | \($whole) s | \(.editor.start_seconds * 10 | round / 10) s | \(.editor.total_seconds * 10 | round / 10) s | \($peak / 1024 | round) MiB |"' \
        "${report[0]}" >>"$work/rows"
    rm -rf "$work/out"
}

: >"$work/rows"
for guest in bios rhel suse; do
    [[ -f $work/$guest.json ]] || "$here/../guests/build-debian.sh" "$guest" "$work/$guest.raw"
done
measure bios 'ext4'
measure rhel 'XFS on LVM, dracut'
measure suse 'btrfs with subvolumes'
measure bios 'the same, and update-initramfs by the guest' --rebuild-initramfs
{
    cat <<TEXT
# Migrations in the micro-VM

Real Debian 12 guests (tests/guests/README.md), one run each; written by \`tests/bench/microvm.sh\`. The whole is from the command to its end, with the
copy of the disk and the proof; the micro-VM's time is from its start to its power-off, with inspection, edits and the file systems' checkers.
$(nproc) cores, $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), $(jq -r -n 'now | todate | .[:10]').

| guest | whole | micro-VM started in | ended after | memory of QEMU |
|---|---|---|---|---|
TEXT
    cat "$work/rows"
    echo
    echo 'Nothing here is virtualised by hardware: QEMU emulates the processor.'
} >"$here/MICROVM.md"
rm -f "$work/rows" "$work/time"
