#!/usr/bin/env bash
# How fast an export of qemu-nbd is read into a raw file, and a raw file written to one, beside nbdcopy. Prints a table.
#
#   tests/bench/nbd_client.sh [down|up]...      REHOME=path/to/rehome BENCH_DIR=/somewhere DISK_MIB=2048 RUNS=3
#
# Both use up to four connections over a unix socket. rehome takes the disk's digest on the way; nbdcopy flushes at the end, as rehome does.
set -euo pipefail

REHOME=$(realpath "${REHOME:-target/release/rehome}")
disk_mib=${DISK_MIB:-2048}
runs=${RUNS:-3}
kinds=("$@")
((${#kinds[@]})) || kinds=(down up)
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

# FILE served at the socket s, with the options that follow.
start_server() {
    local file=$1
    shift
    stop_server
    rm -f s
    qemu-nbd -t -e 8 -k "$work/s" -f raw "$@" "$file" &
    server=$!
    until [[ -S s ]]; do sleep 0.1; done
}

uri="nbd+unix:///?socket=$work/s"
run_theirs() {
    case $1 in
    down) rm -f out.raw && nbdcopy --connections=4 --flush "$uri" out.raw ;;
    up) nbdcopy --connections=4 --flush disk.raw "$uri" ;;
    esac
}
run_ours() {
    case $1 in
    down) rm -f out.raw* && /usr/bin/time -o peak -f %M "$REHOME" convert "$uri" out.raw >/dev/null ;;
    up) /usr/bin/time -o peak -f %M "$REHOME" convert -n disk.raw "$uri" >/dev/null ;;
    esac
}

best() { # COMMAND... : wall-clock seconds, the best of the runs; the first only warms the cache up
    local least='' took
    "$@" >/dev/null 2>&1
    for _ in $(seq "$runs"); do
        took=$( { TIMEFORMAT=%R; time "$@" >/dev/null 2>&1; } 2>&1)
        if [[ -z $least ]] || awk "BEGIN { exit !($took < $least) }"; then least=$took; fi
    done
    echo "$least"
}

make_disk
printf '| direction | MiB | nbdcopy s | rehome s | speed of nbdcopy | peak RSS MiB |\n|---|---|---|---|---|---|\n'
for kind in "${kinds[@]}"; do
    case $kind in
    down) start_server disk.raw -r ;;
    up)
        truncate -s "${disk_mib}M" out.raw
        start_server out.raw --discard=unmap --detect-zeroes=off
        ;;
    *) echo "no such direction: $kind" >&2; exit 2 ;;
    esac
    their_time=$(best run_theirs "$kind")
    our_time=$(best run_ours "$kind")
    stop_server
    cmp disk.raw out.raw || { echo "$kind: another disk" >&2; exit 1; }
    printf '| %s | %d | %s | %s | %d %% | %d |\n' "$kind" "$disk_mib" "$their_time" "$our_time" \
        "$(awk "BEGIN { printf \"%d\", 100 * $their_time / $our_time }")" $(($(cat peak) / 1024))
    rm -f out.raw*
done
