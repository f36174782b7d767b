#!/usr/bin/env bash
# How fast a disk is read over a line of 1 Gbit/s, which the loopback is made into while this runs: noise and programs, over NBD and over ssh,
# with and without --compress. Prints a table for NBD.md. Needs root (tc, losetup, sshd), and that nothing else uses the loopback.
#
#   tests/bench/line.sh      REHOME=path/to/rehome BENCH_DIR=/dev/shm DISK_MIB=4096 PORT=10897 ROWS='^noise, (nbd|ssh)'
set -euo pipefail

REHOME=$(realpath "${REHOME:-target/release/rehome}")
disk_mib=${DISK_MIB:-4096}
port=${PORT:-10897}
work=$(mktemp -d "${BENCH_DIR:-/tmp}/rehome-line.XXXXXX")
loops=() servers=()
clean_up() {
    tc qdisc del dev lo root 2>/dev/null || true
    for server in "${servers[@]}"; do kill "$server" 2>/dev/null || true; done
    for loop in "${loops[@]}"; do losetup -d "$loop" || true; done
    rm -rf "$work"
}
trap clean_up EXIT
cd "$work"

start_sshd() {
    ssh-keygen -q -t ed25519 -N '' -f host
    ssh-keygen -q -t ed25519 -N '' -f user
    mkdir -p /run/sshd
    printf '%s\n' "Port $port" "ListenAddress 127.0.0.1" "HostKey $work/host" "AuthorizedKeysFile $work/user.pub" "StrictModes no" "UsePAM no" \
        "PidFile none" "PermitRootLogin yes" "PasswordAuthentication no" >sshd.conf
    printf '%s\n' "Host box" " HostName 127.0.0.1" " Port $port" " User root" " IdentityFile $work/user" " IdentitiesOnly yes" \
        " UserKnownHostsFile $work/known" >ssh.conf
    echo "[127.0.0.1]:$port $(cat host.pub)" >known
    /usr/sbin/sshd -D -e -f "$work/sshd.conf" 2>/dev/null &
    servers+=("$!")
    until (echo >"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do sleep 0.1; done
}

# What a system is full of: its programs and libraries, as often as it takes.
make_programs() {
    while (($(stat -c %s programs.raw 2>/dev/null || echo 0) < disk_mib << 20)); do
        cat /usr/bin/* /usr/lib/x86_64-linux-gnu/*.so* 2>/dev/null >>programs.raw || true
    done
    truncate -s "${disk_mib}M" programs.raw
}

as_device() { # FILE: sets device
    device=$(losetup -f --show -r "$1")
    loops+=("$device")
}

row() { # WHAT DISK COMMAND...: copies DISK into out.raw
    local what=$1 disk=$2 start took
    shift 2
    [[ $what =~ ${ROWS:-.} ]] || return 0
    rm -f out.raw*
    start=$EPOCHREALTIME
    "$@" >/dev/null 2>messages || { cat messages >&2; exit 1; }
    took=$(awk "BEGIN { print $EPOCHREALTIME - $start }")
    cmp "$disk" out.raw
    awk "BEGIN { rate = $disk_mib * 1.048576 / $took; printf \"| %s | %.1f | %.0f | %.0f %% |\\n\", \"$what\", $took, rate, rate / 1.25 }"
}

head -c "${disk_mib}M" /dev/urandom >noise.raw
make_programs
start_sshd
qemu-nbd -t -r -e 8 -f raw -b 127.0.0.1 -p $((port + 1)) noise.raw &
servers+=("$!")
as_device noise.raw && noise=$device
as_device programs.raw && programs=$device
tc qdisc add dev lo root tbf rate 1gbit burst 256kb latency 50ms

convert=("$REHOME" convert --ssh-config ssh.conf)
echo "| what, $disk_mib MiB | s | MB/s | of the line |"
echo "|---|---|---|---|"
row "noise, nbd://" noise.raw "${convert[@]}" "nbd://127.0.0.1:$((port + 1))" out.raw
row "noise, nbdcopy" noise.raw nbdcopy --connections=4 "nbd://127.0.0.1:$((port + 1))" out.raw
row "noise, ssh://" noise.raw "${convert[@]}" "ssh://box$noise" out.raw
row "noise, ssh HOST cat" noise.raw bash -c "ssh -F ssh.conf box cat $noise >out.raw"
row "noise, ssh:// --compress" noise.raw "${convert[@]}" --compress "ssh://box$noise" out.raw
row "programs, ssh://" programs.raw "${convert[@]}" "ssh://box$programs" out.raw
row "programs, ssh:// --compress" programs.raw "${convert[@]}" --compress "ssh://box$programs" out.raw
row "programs, ssh HOST cat, Compression=yes" programs.raw bash -c "ssh -F ssh.conf -o Compression=yes box cat $programs >out.raw"
