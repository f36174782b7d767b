#!/usr/bin/env bash
# How long a chain of differences takes to open and to restore, against its length, before and after consolidation.
# Prints a table for CHAINS.md. The images are qcow2, which QEMU reads too.
#
#   tests/bench/chains.sh [LENGTH...]      REHOME=path/to/rehome BENCH_DIR=/somewhere DISK_MIB=1024 KEEP=7
set -euo pipefail

REHOME=${REHOME:-target/release/rehome}
REHOME=$(realpath "$REHOME")
disk_mib=${DISK_MIB:-1024}
keep=${KEEP:-7}
lengths=("$@")
((${#lengths[@]})) || lengths=(1 8 32 128 255)
work=$(mktemp -d "${BENCH_DIR:-/tmp}/rehome-chains.XXXXXX")
trap 'rm -rf "$work"' EXIT
cd "$work"

# Half of the disk is data; each increment writes 24 pieces of 256 KiB anywhere.
dd if=/dev/urandom of=disk.raw bs=1M count=$((disk_mib / 2)) status=none
truncate -s "${disk_mib}M" disk.raw
"$REHOME" convert disk.raw 0.qcow2 >/dev/null
rm disk.raw*

seconds() { # COMMAND... : wall-clock seconds, the best of three
    local best='' took
    for _ in 1 2 3; do
        took=$( { TIMEFORMAT=%R; time "$@" >/dev/null 2>&1; } 2>&1)
        if [[ -z $best ]] || awk "BEGIN { exit !($took < $best) }"; then best=$took; fi
    done
    echo "$best"
}

restore() { rm -f out.raw*; "$REHOME" convert --no-digest "$1" out.raw; }
restore_qemu() { rm -f out.raw; qemu-img convert -O raw "$1" out.raw; }
room() { du -c --block-size=1M ./*.qcow2 | tail -n 1 | cut -f 1; }

RANDOM=7
made=0
grow() { # LENGTH : the chain gets so many increments
    local piece commands offset
    while ((made < $1)); do
        qemu-img create -q -f qcow2 -b "$made.qcow2" -F qcow2 "$((made + 1)).qcow2"
        commands=()
        for piece in $(seq 24); do
            offset=$(((RANDOM * 32768 + RANDOM) % (disk_mib * 4) * 256))
            commands+=(-c "write -q -P $((1 + (made + piece) % 255)) ${offset}k 256k")
        done
        qemu-io -f qcow2 "${commands[@]}" "$((made + 1)).qcow2" >/dev/null
        made=$((made + 1))
    done
}

printf '| increments | room MiB | open s | restore s | qemu-img s | consolidate to %s s | room MiB | open s | restore s |\n' "$keep"
printf '|---|---|---|---|---|---|---|---|---|\n'
for length in "${lengths[@]}"; do
    grow "$length"
    top=$length.qcow2
    row=("$length" "$(room)" "$(seconds "$REHOME" info "$top")" "$(seconds restore "$top")" "$(seconds restore_qemu "$top")")
    rm -f out.raw*
    before=$("$REHOME" digest "$top" | cut -d ' ' -f 1)
    mkdir copy
    cp --reflink=auto --sparse=always ./*.qcow2 copy/
    cd copy
    took=$( { TIMEFORMAT=%R; time "$REHOME" consolidate "$top" --keep "$keep" >/dev/null; } 2>&1)
    [[ $("$REHOME" digest "$top" | cut -d ' ' -f 1) == "$before" ]] || { echo "the newest point is another disk now" >&2; exit 1; }
    row+=("$took" "$(room)" "$(seconds "$REHOME" info "$top")" "$(seconds restore "$top")")
    cd ..
    rm -rf copy
    printf '| %s ' "${row[@]}"
    printf '|\n'
done
