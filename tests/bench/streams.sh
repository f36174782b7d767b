#!/usr/bin/env bash
# How fast disks come out of compressed files, archives and backups, beside the program that unpacks them. Prints a table for STREAMS.md.
#
#   tests/bench/streams.sh [KIND...]      REHOME=path/to/rehome BENCH_DIR=/somewhere DISK_MIB=2048 RUNS=3
#
# "theirs" writes the raw disk into a file and syncs it, as rehome does; rehome takes its digest as well.
set -euo pipefail

REHOME=$(realpath "${REHOME:-target/release/rehome}")
here=$(realpath "$(dirname "$0")")
disk_mib=${DISK_MIB:-2048}
runs=${RUNS:-3}
kinds=("$@")
((${#kinds[@]})) || kinds=(gz bgzf zst zst-seekable xz xz-blocks lz4 bz2 lzop tar tar.gz vma vma.zst xva partclone partclone.gz)
work=$(mktemp -d "${BENCH_DIR:-/tmp}/rehome-streams.XXXXXX")
trap 'rm -rf "$work"' EXIT
cd "$work"

# Programs and libraries of this host in an ext4 file system, a tenth of noise, and free space that is holes.
make_disk() {
    local file
    mkdir files
    dd if=/dev/urandom of=files/noise bs=1M count=$((disk_mib / 10)) status=none
    while read -r file; do
        cp --parents "$file" files/ 2>/dev/null || continue
        (($(du -sm files | cut -f 1) < disk_mib * 6 / 10)) || break
    done < <(find /usr/lib /usr/share -xdev -type f -size +300k -size -40M | sort)
    truncate -s "${disk_mib}M" disk.raw
    mke2fs -q -F -t ext4 -d files disk.raw
    rm -r files
}

# NAME of the file, COMMAND that makes it from disk.raw, COMMAND of theirs that writes out.raw.
describe() {
    case $1 in
    gz) file=disk.raw.gz make='gzip -c disk.raw' theirs='gzip -dc' ;;
    bgzf) file=disk.bgzf.gz make='bgzip -@2 -c disk.raw' theirs='bgzip -@2 -dc' ;;
    zst) file=disk.raw.zst make='zstd -qc disk.raw' theirs='zstd -qdc' ;;
    zst-seekable) file=disk.seekable.zst make='rehome' theirs='zstd -qdc' ;;
    xz) file=disk.raw.xz make='xz -1 -c disk.raw' theirs='xz -dc' ;;
    xz-blocks) file=disk.blocks.xz make='xz -1 -T2 -c disk.raw' theirs='xz -T2 -dc' ;;
    lz4) file=disk.raw.lz4 make='lz4 -qc disk.raw' theirs='lz4 -qdc' ;;
    bz2) file=disk.raw.bz2 make='pbzip2 -p2 -c disk.raw' theirs='bzip2 -dc' ;;
    lzop) file=disk.raw.lzo make='lzop -c disk.raw' theirs='lzop -dc' ;;
    tar) file=disk.tar make='tar -c disk.raw' theirs='tar -xOf' ;;
    tar.gz) file=disk.tar.gz make='tar -cz disk.raw' theirs='tar -xzOf' ;;
    vma) file=disk.vma make='vma' theirs='cat' ;;
    vma.zst) file=disk.vma.zst make='vma' theirs='zstd -qdc' ;;
    xva) file=disk.xva make='xva' theirs='tar -xOf' ;;
    partclone) file=disk.ptcl make='partclone.ext4 -q -c -s disk.raw -o -' theirs='partclone' ;;
    partclone.gz) file=disk.ptcl.gz make='partclone.ext4 -q -c -s disk.raw -o - | gzip' theirs='partclone.gz' ;;
    *) echo "no such kind: $1" >&2; exit 2 ;;
    esac
}

make_image() {
    case $make in
    rehome) "$REHOME" convert disk.raw "$file" >/dev/null && rm -f "$file".rehome* ;;
    vma)
        [[ -e disk.vma ]] || { echo 'scsi0: s:d,size=1G' >c.conf && "$here/../guests/vma-save.py" disk.vma c.conf drive-scsi0=disk.raw; }
        [[ $file == disk.vma ]] || zstd -qf disk.vma -o "$file"
        ;;
    xva) "$here/xva-save.py" "$file" disk.raw ;;
    *) bash -o pipefail -c "$make" >"$file" 2>/dev/null ;;
    esac
}

run_theirs() {
    rm -f out.raw
    case $theirs in
    partclone) partclone.restore -q -s "$file" -O out.raw -C ;;
    partclone.gz) gzip -dc "$file" | partclone.restore -q -O out.raw -C ;;
    *) $theirs "$file" >out.raw ;;
    esac
    # rehome leaves a durable file.
    sync out.raw
}
run_ours() {
    rm -f out.raw*
    /usr/bin/time -o peak -f %M "$REHOME" convert "$file" out.raw >/dev/null
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
wanted=$("$REHOME" digest -f raw disk.raw | cut -d ' ' -f 1)
printf '| kind | file MiB | theirs | theirs s | rehome s | speed of theirs | peak RSS MiB |\n|---|---|---|---|---|---|---|\n'
for kind in "${kinds[@]}"; do
    describe "$kind"
    make_image
    their_time=$(best run_theirs)
    our_time=$(best run_ours)
    [[ $("$REHOME" digest -f raw out.raw | cut -d ' ' -f 1) == "$wanted" ]] || { echo "$kind: another disk" >&2; exit 1; }
    printf '| %s | %d | %s | %s | %s | %d %% | %d |\n' "$kind" $(($(stat -c %s "$file") >> 20)) "$theirs" "$their_time" "$our_time" \
        "$(awk "BEGIN { printf \"%d\", 100 * $their_time / $our_time }")" $(($(cat peak) / 1024))
    rm -f out.raw*
    [[ $file == disk.vma ]] || rm -f "$file"
done
