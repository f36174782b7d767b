#!/usr/bin/env bash
# How fast an export is read into a raw file, and a raw file written to an export, beside nbdcopy. Prints a table for NBD.md.
#
#   tests/bench/nbd_client.sh [down|up]...      REHOME=path/to/rehome BENCH_DIR=/dev/shm DISK_MIB=2048 RUNS=5
#                                               SERVERS="qemu-nbd nbdkit" LINES="unix tcp" PORT=10899
#
# nbdcopy and rehome may have four connections. Both make durable what they wrote (nbdcopy --flush; rehome always does). The runs take turns,
# and the best of each counts: what else the machine does meanwhile only ever makes a run slower. Every copy is compared with the disk.
set -euo pipefail

REHOME=$(realpath "${REHOME:-target/release/rehome}")
disk_mib=${DISK_MIB:-2048}
runs=${RUNS:-5}
port=${PORT:-10899}
read -ra servers <<<"${SERVERS:-qemu-nbd nbdkit}"
read -ra lines <<<"${LINES:-unix tcp}"
directions=("$@")
((${#directions[@]})) || directions=(down up)
for direction in "${directions[@]}"; do
    [[ $direction == down || $direction == up ]] || { echo "no such direction: $direction" >&2; exit 2; }
done
work=$(mktemp -d "${BENCH_DIR:-/tmp}/rehome-nbd.XXXXXX")
server=
stop_server() {
    if [[ -n $server ]]; then kill "$server" 2>/dev/null; wait "$server" 2>/dev/null || true; fi
    server=
}
trap 'stop_server; rm -rf "$work"' EXIT
cd "$work"

# Noise in every other 8 MiB, holes between.
make_disk() {
    local at
    truncate -s "${disk_mib}M" disk.raw
    for ((at = 0; at < disk_mib; at += 16)); do
        dd if=/dev/urandom of=disk.raw bs=1M count=8 seek="$at" conv=notrunc status=none
    done
}

# start_server SERVER LINE FILE down|up: sets uri.
start_server() {
    local kind=$1 line=$2 file=$3 direction=$4 options=()
    stop_server
    rm -f s
    case $line in
    unix) uri="nbd+unix:///?socket=$work/s" ;;
    tcp) uri="nbd://127.0.0.1:$port" ;;
    *) echo "no such line: $line" >&2; exit 2 ;;
    esac
    if [[ $direction == down ]]; then options=(-r); fi
    case $kind in
    qemu-nbd)
        if [[ $direction == up ]]; then options=(--discard=unmap --detect-zeroes=off); fi
        if [[ $line == unix ]]; then options+=(-k "$work/s"); else options+=(-b 127.0.0.1 -p "$port"); fi
        qemu-nbd -t -e 8 -f raw "${options[@]}" "$file" &
        ;;
    nbdkit)
        if [[ $line == unix ]]; then options+=(-U "$work/s"); else options+=(-i 127.0.0.1 -p "$port"); fi
        nbdkit -f "${options[@]}" file "$file" &
        ;;
    *) echo "no such server: $kind" >&2; exit 2 ;;
    esac
    server=$!
    local tries=0
    until timeout 5 nbdinfo --size "$uri" >/dev/null 2>&1; do
        ((++tries < 50)) || { echo "$kind does not listen" >&2; exit 1; }
        sleep 0.1
    done
}

# Each run makes a new file, or writes to an export of nothing but a hole; what it takes to come there is not counted.
prepare() {
    case $1 in
    down) rm -f out.raw* ;;
    up) fallocate --punch-hole --offset 0 --length "${disk_mib}MiB" out.raw ;;
    esac
}
theirs() {
    case $1 in
    down) nbdcopy --connections=4 --flush "$uri" out.raw ;;
    up) nbdcopy --connections=4 --flush disk.raw "$uri" ;;
    esac
}
ours() { # DIRECTION OPTION...
    local direction=$1
    shift
    case $direction in
    down) /usr/bin/time -o peak -f %M "$REHOME" convert "$@" "$uri" out.raw ;;
    up) /usr/bin/time -o peak -f %M "$REHOME" convert "$@" -n --overwrite-device disk.raw "$uri" ;;
    esac
}
without_digest() { ours "$1" --no-digest; }

seconds() { # COMMAND...: how long it takes
    local start=$EPOCHREALTIME
    "$@" >/dev/null 2>messages || { echo "$*:" >&2; cat messages >&2; exit 1; }
    awk "BEGIN { printf \"%.3f\", $EPOCHREALTIME - $start }"
}

same() { # WHO: whether it copied all
    cmp disk.raw out.raw || { echo "$1: another disk" >&2; exit 1; }
}

# The runs of each tool, by turns. The copy that is compared is rehome's, the last of a round; nbdcopy's are its own business.
measure() {
    local direction=$1 tool took round
    declare -gA best=()
    for ((round = 0; round <= runs; round++)); do
        for tool in theirs without_digest ours; do
            prepare "$direction"
            took=$(seconds "$tool" "$direction")
            # The first round warms the cache up.
            if ((round == 0)); then continue; fi
            if [[ -z ${best[$tool]:-} ]] || awk "BEGIN { exit !($took < ${best[$tool]}) }"; then best[$tool]=$took; fi
        done
        same rehome
    done
}

percent() { awk "BEGIN { printf \"%d\", 100 * $1 / $2 }"; }

make_disk
printf '| direction | server | line | nbdcopy s | rehome --no-digest s | speed of nbdcopy | rehome s | speed of nbdcopy | peak RSS MiB |\n'
printf '|---|---|---|---|---|---|---|---|---|\n'
for direction in "${directions[@]}"; do
    for kind in "${servers[@]}"; do
        for line in "${lines[@]}"; do
            rm -f out.raw*
            if [[ $direction == up ]]; then
                truncate -s "${disk_mib}M" out.raw
                start_server "$kind" "$line" out.raw up
            else
                start_server "$kind" "$line" disk.raw down
            fi
            measure "$direction"
            printf '| %s | %s | %s | %s | %s | %d %% | %s | %d %% | %d |\n' "$direction" "$kind" "$line" "${best[theirs]}" \
                "${best[without_digest]}" "$(percent "${best[theirs]}" "${best[without_digest]}")" \
                "${best[ours]}" "$(percent "${best[theirs]}" "${best[ours]}")" $(($(cat peak) / 1024))
        done
    done
done
