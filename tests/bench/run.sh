#!/usr/bin/env bash
# Measures `rehome` against `qemu-img` and `cp` on one machine in one run, and writes RESULTS.md.
#
#   tests/bench/run.sh REHOME [FOLDER]
#
# FOLDER (default: a temporary one) takes sources and targets, about 20 GB at once. BENCH_RUNS (default 3) is how often
# each plain copy is run; what takes minutes is run once. As root the caches are dropped for the cold rows.
#
# Counted is the time until the target is on the disk: rehome syncs before an image gets its name, so `sync TARGET` is
# added to the others. rehome also computes the digest and writes the manifest; qemu-img proves nothing.
# shellcheck disable=SC2016  # backticks are for Markdown
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
[[ $# -ge 1 ]] || { sed -n 's/^#   //p' "$0" >&2; exit 2; }
rehome=$(realpath "$1")
runs=${BENCH_RUNS:-3}
if [[ $# -ge 2 ]]; then
    mkdir -p "$2"
    work=$(realpath "$2")
else
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
fi
for program in hyperfine jq qemu-img mke2fs; do
    command -v "$program" >/dev/null || { echo "bench: $program is missing: tests/packages.sh test" >&2; exit 1; }
done
[[ -x /usr/bin/time ]] || { echo "bench: /usr/bin/time is missing: install the package time" >&2; exit 1; }

say() { printf 'bench: %s\n' "$*" >&2; }

# --- sources ---------------------------------------------------------------------------------------------------------

make_sources() {
    cd "$work"
    if [[ ! -f root.raw ]]; then
        say "a disk of 4 GiB with a root file system"
        mkdir -p tree/usr
        local part
        for part in bin sbin share include lib/gcc lib/jvm lib/x86_64-linux-gnu lib/git-core; do
            mkdir -p "tree/usr/$(dirname $part)"
            cp -a "/usr/$part" "tree/usr/$(dirname $part)/" 2>/dev/null || true
        done
        cp -a /etc tree/
        truncate -s 4G root.part
        mke2fs -q -F -t ext4 -d tree root.part
        rm -rf tree
        mv root.part root.raw
    fi
    [[ -f small.raw ]] || { dd if=root.raw of=small.part bs=1M skip=700 count=600 status=none; mv small.part small.raw; }
    [[ -f noise.raw ]] || { head -c 1G /dev/urandom >noise.part; mv noise.part noise.raw; }
    if [[ ! -f huge.raw ]]; then
        say "a disk of 1 TiB with 1 GiB of data"
        truncate -s 1T huge.part
        local i
        for i in $(seq 0 255); do
            dd if=noise.raw of=huge.part bs=4M count=1 skip="$i" seek=$((i * 1023)) conv=notrunc status=none
        done
        mv huge.part huge.raw
    fi
    if [[ ! -f chain9.qcow2 ]]; then
        say "a chain of ten qcow2 images"
        qemu-img convert -f raw -O qcow2 small.raw chain0.qcow2
        local n
        for n in $(seq 1 9); do
            qemu-img create -q -f qcow2 -F qcow2 -b "chain$((n - 1)).qcow2" "chain$n.qcow2"
            for i in $(seq 0 29); do
                printf 'write -P %d %dk 64k\n' "$n" $(((i * 20 + n) * 1000))
            done | qemu-io -f qcow2 "chain$n.qcow2" >/dev/null
        done
    fi
    qemu-img convert -f raw -O qcow2 root.raw root.qcow2
    qemu-img convert -f raw -O vhdx root.raw root.vhdx
    qemu-img convert -f raw -O qcow2 -c -m 16 -W small.raw zlib.qcow2
    qemu-img convert -f raw -O vmdk -o subformat=streamOptimized small.raw stream.vmdk
    qemu-img convert -f raw -O qcow2 huge.raw huge.qcow2
    sync
}

# --- measuring -------------------------------------------------------------------------------------------------------

seconds() { # COUNT PREPARE COMMAND : the median
    local count=$1 prepare=$2 json=$work/times.json
    shift 2
    hyperfine --style none --runs "$count" --prepare "rm -rf $work/out; mkdir $work/out; sync; $prepare" \
        --export-json "$json" "$*" >/dev/null
    jq -r '.results[0].median' "$json"
}

memory() { # COMMAND : peak in MiB
    local log=$work/time.log
    rm -rf "$work/out" && mkdir "$work/out"
    /usr/bin/time -v -o "$log" bash -c "exec $*" >/dev/null 2>&1
    awk -F': ' '/Maximum resident/ { printf "%.0f", $2 / 1024 }' "$log"
}

size() { du -cm "$work"/out/disk* --exclude='*.rehome.*' | awk 'END { print $1 }'; }

ratio() { jq -rn --argjson a "$1" --argjson b "$2" '$a / $b * 100 | round / 100 | tostring + "×"'; }

row() { # COUNT TITLE TARGET PREPARE OURS DEFAULT BEST : commands that write $work/out/TARGET
    local count=$1 title=$2 target=$work/out/$3 prepare=$4 ours=$5 usual=$6 best=$7
    local a b c peak our_size their_size
    say "$title"
    b=$(seconds "$count" "$prepare" "$usual && sync $target")
    c=$(seconds "$count" "$prepare" "$best && sync $target")
    their_size=$(size)
    a=$(seconds "$count" "$prepare" "$ours")
    our_size=$(size)
    peak=$(memory "$ours")
    printf '| %s | %.2f s | %.2f s | %.2f s | %s | %s | %s MiB | %s / %s MiB |\n' "$title" "$a" "$b" "$c" \
        "$(ratio "$b" "$a")" "$(ratio "$c" "$a")" "$peak" "$our_size" "$their_size"
}

convert() { # COUNT TITLE SOURCE FROM TO OUR_OPTIONS QEMU_OPTIONS [PREPARE]
    local to=$5 qemu=$5
    [[ $to != vhd ]] || qemu=vpc
    local their="qemu-img convert -f $4 -O $qemu $7"
    local files="$work/$3 $work/out/disk.$to"
    row "$1" "$2" "disk.$to" "${8:-true}" "$rehome convert -f $4 -O $to $6 $files" "$their $files" \
        "$their -m 16 -W $files"
}

copies() {
    local n=$runs cold='true'
    for to in raw qcow2 vhdx vhd vmdk vdi; do
        convert "$n" "raw → $to" root.raw raw "$to" '' ''
    done
    convert "$n" 'raw → qcow2, no digest' root.raw raw qcow2 '--no-digest' ''
    convert "$n" 'qcow2 → raw' root.qcow2 qcow2 raw '' ''
    convert "$n" 'vhdx → raw' root.vhdx vhdx raw '' ''
    convert "$n" 'vhdx → qcow2' root.vhdx vhdx qcow2 '' ''
    convert "$n" 'noise: raw → raw' noise.raw raw raw '' ''
    convert "$n" 'noise: raw → qcow2' noise.raw raw qcow2 '' ''
    convert "$n" 'ten qcow2 → raw' chain9.qcow2 qcow2 raw '' ''
    convert "$n" '1 TiB sparse, raw → qcow2' huge.raw raw qcow2 '' ''
    convert "$n" '1 TiB sparse, raw → vhdx' huge.raw raw vhdx '' ''
    convert "$n" '1 TiB sparse, qcow2 → raw' huge.qcow2 qcow2 raw '' ''
    if [[ $(id -u) == 0 ]]; then
        cold='echo 3 >/proc/sys/vm/drop_caches'
        convert "$n" 'cold: raw → raw' root.raw raw raw '' '' "$cold"
        convert "$n" 'cold: raw → qcow2' root.raw raw qcow2 '' '' "$cold"
        convert "$n" 'cold: 1 TiB sparse, raw → qcow2' huge.raw raw qcow2 '' '' "$cold"
    fi
    convert 1 'small: raw → streamOptimized' small.raw raw vmdk '-o subformat=streamOptimized' '-o subformat=streamOptimized'
    convert 1 'small: raw → streamOptimized, level 1' small.raw raw vmdk \
        '-o subformat=streamOptimized,compression_level=1' '-o subformat=streamOptimized'
    convert 1 'small: raw → qcow2 zlib' small.raw raw qcow2 '-o compressed=on' '-c'
    convert 1 'small: raw → qcow2 zlib, level 9' small.raw raw qcow2 '-o compressed=on,compression_level=9' '-c'
    convert "$n" 'small: raw → qcow2 zstd' small.raw raw qcow2 '-o compressed=on,compression_type=zstd' '-c -o compression_type=zstd'
    convert "$n" 'small: qcow2 zlib → raw' zlib.qcow2 qcow2 raw '' ''
    convert "$n" 'small: streamOptimized → raw' stream.vmdk vmdk raw '' ''
    prove "$n" 'raw → qcow2, proved by what the cache holds' true
    # What is on the disk is what counts: rehome has not left it in the cache, qemu-img has.
    prove "$n" 'raw → qcow2, proved by what is on the disk' "dd if=$work/out/disk.qcow2 iflag=nocache count=0 status=none"
}

prove() { # COUNT TITLE FORGET : FORGET is run between copy and comparison of the others
    local files="$work/root.raw $work/out/disk.qcow2"
    local compare="sync $work/out/disk.qcow2 && $3 && qemu-img compare -q -f raw -F qcow2 $files"
    row "$1" "$2" disk.qcow2 true "$rehome convert --verify -f raw -O qcow2 $files" \
        "qemu-img convert -f raw -O qcow2 $files && $compare" "qemu-img convert -m 16 -W -f raw -O qcow2 $files && $compare"
}

# A file system of its own, on which files can share their bytes.
shared() { # NAME MKFS_OPTIONS...
    local name=$1 mounted=$work/mounted
    shift
    [[ $(id -u) == 0 ]] && command -v "mkfs.$name" >/dev/null || return 0
    say "raw → raw on $name"
    mkdir -p "$mounted"
    truncate -s 6G "$work/host.img"
    "mkfs.$name" "$@" -q "$work/host.img" >/dev/null
    mount -o loop "$work/host.img" "$mounted"
    cp "$work/root.raw" "$mounted/disk.raw"
    sync
    local run="$rehome convert -f raw -O raw $mounted/disk.raw $mounted/copy.raw --force"
    local a b c
    a=$(seconds "$runs" true "$run")
    b=$(seconds "$runs" true "$run --no-digest")
    c=$(seconds "$runs" true "$rehome digest -f raw $mounted/disk.raw")
    umount "$mounted"
    rm "$work/host.img"
    printf '| raw → raw on %s | %.2f s | %.2f s | %.2f s |\n' "$name" "$a" "$b" "$c"
}

main() {
    make_sources
    local load
    load=$(cut -d ' ' -f 1 /proc/loadavg)
    {
        printf '# Conversion, rehome against qemu-img\n\n'
        printf 'Made by tests/bench/run.sh. %s, %s cores, Linux %s; load before: %s. Medians of %s runs, single runs of what takes minutes.\n\n' \
            "$(qemu-img --version | head -n 1)" "$(nproc)" "$(uname -r)" "$load" "$runs"
        printf 'Sources, warm in the page cache unless it says cold: a disk of 4 GiB with a root file system (%s MiB of data); `small`,\n' \
            "$(du -m "$work/root.raw" | cut -f 1)"
        printf '600 MiB of it; `noise`, 1 GiB of random bytes; a disk of 1 TiB with 1 GiB of random data; a chain of ten qcow2 images.\n'
        printf 'Every time ends with the target on the disk (fsync). rehome also computes the digest and writes the manifest.\n\n'
        printf '| conversion | rehome | qemu-img | qemu-img -m 16 -W | ratio | ratio to best | rehome peak | size, rehome / qemu-img |\n'
        printf '|---|---|---|---|---|---|---|---|\n'
        copies
        printf '\n`cp --sparse=never` of the 4 GiB disk, and sync: %.2f s. Reading it alone (`cat`): %.2f s.\n' \
            "$(seconds "$runs" true "cp --sparse=never $work/root.raw $work/out/disk.raw && sync $work/out/disk.raw")" \
            "$(seconds "$runs" true "cat $work/root.raw >/dev/null")"
        printf 'What the disk allows: writing as much past the cache (`dd oflag=direct`): %.2f s; reading it (`iflag=direct`): %.2f s.\n' \
            "$(seconds "$runs" true "dd if=$work/root.qcow2 of=$work/out/disk.raw bs=4M oflag=direct conv=fsync status=none")" \
            "$(seconds "$runs" true "dd if=$work/root.qcow2 of=/dev/null bs=4M iflag=direct status=none")"
        printf 'Starting (`rehome --version`): %.0f ms.\n\n' "$(seconds 20 true "$rehome --version" | jq '. * 1000')"
        printf '| where files can share bytes | rehome | rehome --no-digest | digest alone |\n|---|---|---|---|\n'
        shared xfs -m reflink=1
        shared btrfs
    } >"$work/RESULTS.md"
    cp "$work/RESULTS.md" "$here/RESULTS.md"
    rm -rf "$work/out" "$work"/{times.json,time.log,RESULTS.md}
    cat "$here/RESULTS.md"
}

main
