#!/usr/bin/env bash
# Measures `rehome convert` against `qemu-img convert` on one machine in one run, and writes RESULTS.md.
#
#   tests/bench/run.sh REHOME SOURCE.raw [FOLDER]
#
# FOLDER (default: a temporary one) takes the images, about five times what the source holds. rehome also hashes what it
# copies and syncs its target before that gets its name; so a sync of the target is counted for qemu-img too.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
[[ $# -ge 2 ]] || { sed -n 's/^#   //p' "$0" >&2; exit 2; }
rehome=$(realpath "$1")
source=$(realpath "$2")
runs=${BENCH_RUNS:-3}
if [[ $# -ge 3 ]]; then
    work=$(realpath "$3")
else
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
fi
for program in hyperfine jq qemu-img; do
    command -v "$program" >/dev/null || { echo "bench: $program is missing: tests/packages.sh test" >&2; exit 1; }
done
[[ -x /usr/bin/time ]] || { echo "bench: /usr/bin/time is missing: install the package time" >&2; exit 1; }

say() { printf 'bench: %s\n' "$*" >&2; }

peak() { # COMMAND... : peak memory in MiB
    local log
    log=$(mktemp)
    /usr/bin/time -v -o "$log" "$@" >/dev/null 2>&1
    awk -F': ' '/Maximum resident/ { printf "%.0f", $2 / 1024 }' "$log"
    rm -f "$log"
}

row() { # TITLE FROM TO SOURCE REHOME_OPTIONS QEMU_OPTIONS
    local title=$1 from=$2 to=$3 input=$4 ours=$work/ours.$3 theirs=$work/theirs.$3 json=$work/times.json
    local -a our_options their_options
    read -ra our_options <<<"$5"
    read -ra their_options <<<"$6"
    local our=("$rehome" convert -f "$from" -O "$to" "${our_options[@]}" "$input" "$ours" --force)
    local their=(qemu-img convert -f "$from" -O "$to" "${their_options[@]}" "$input" "$theirs")
    say "$title"
    hyperfine --style none --warmup 1 --runs "$runs" --export-json "$json" \
        "${our[*]@Q}" "${their[*]@Q} && sync ${theirs@Q}" >/dev/null
    qemu-img compare -q -f "$to" -F "$to" "$ours" "$theirs" || { say "$title: the results differ"; exit 1; }
    local our_seconds their_seconds our_spread their_spread
    our_seconds=$(jq '.results[0].median' "$json") our_spread=$(jq '.results[0].stddev' "$json")
    their_seconds=$(jq '.results[1].median' "$json") their_spread=$(jq '.results[1].stddev' "$json")
    printf '| %s | %.2f ± %.2f s | %.2f ± %.2f s | %.2f× | %s MiB | %s MiB | %s | %s |\n' "$title" \
        "$our_seconds" "$our_spread" "$their_seconds" "$their_spread" \
        "$(jq -n "$their_seconds / $our_seconds")" "$(peak "${our[@]}")" "$(peak "${their[@]}")" \
        "$(du -m "$ours" | cut -f 1) MiB" "$(du -m "$theirs" | cut -f 1) MiB"
    rm -f "$ours" "$ours".rehome.* "$theirs"
}

main() {
    local virtual allocated
    virtual=$(stat -c %s "$source")
    allocated=$(($(stat -c %b "$source") * 512))
    say "making the sources"
    qemu-img convert -f raw -O qcow2 "$source" "$work/source.qcow2"
    qemu-img convert -f raw -O qcow2 -c "$source" "$work/source-zlib.qcow2"
    qemu-img convert -f raw -O vhdx "$source" "$work/source.vhdx"
    qemu-img convert -f raw -O vmdk -o subformat=streamOptimized "$source" "$work/source.vmdk"
    {
        printf '# Conversion, rehome against qemu-img\n\n'
        printf 'Source: %s MiB virtual, %s MiB of data. %s runs of each after one warm-up, median ± standard deviation. %s, %s cores; load before: %s.\n' \
            $((virtual >> 20)) $((allocated >> 20)) "$runs" "$(qemu-img --version | head -n 1)" "$(nproc)" "$(cut -d ' ' -f 1 /proc/loadavg)"
        printf 'rehome also computes the digest of the disk and writes its manifest; both have their target on the disk at the end (fsync).\n'
        printf 'Made by tests/bench/run.sh; every pair of results was compared.\n\n'
        printf '| conversion | rehome | qemu-img | qemu-img ÷ rehome | rehome peak | qemu-img peak | rehome target | qemu-img target |\n'
        printf '|---|---|---|---|---|---|---|---|\n'
        row 'raw → qcow2' raw qcow2 "$source" '' ''
        row 'raw → qcow2, zlib' raw qcow2 "$source" '-o compressed=on' '-c'
        row 'raw → vhdx' raw vhdx "$source" '' ''
        row 'raw → raw' raw raw "$source" '' ''
        row 'qcow2 → raw' qcow2 raw "$work/source.qcow2" '' ''
        row 'qcow2 (zlib) → raw' qcow2 raw "$work/source-zlib.qcow2" '' ''
        row 'vhdx → qcow2' vhdx qcow2 "$work/source.vhdx" '' ''
        row 'streamOptimized → raw' vmdk raw "$work/source.vmdk" '' ''
        row 'raw → streamOptimized' raw vmdk "$source" '' '-o subformat=streamOptimized'
    } >"$work/RESULTS.md"
    cp "$work/RESULTS.md" "$here/RESULTS.md"
    rm -f "$work"/{source.qcow2,source-zlib.qcow2,source.vhdx,source.vmdk,times.json,RESULTS.md}
    cat "$here/RESULTS.md"
}

main
