#!/usr/bin/env bash
# The boot test: real Debian guests that do not boot on the target as they are, do after `rehome migrate`, with their
# root, all their mounts, no failed unit and their static address.
# Prints each stage with its seconds; ends at the first thing that is not as it must be.
#
#   run.sh [REHOME] [--group plain|microvm] [--all] [--only PATTERN]     default: target/release/rehome, both groups
#
# --group: only the guests that are edited directly, or those that need a machine for it (microvm.sh); --all: every guest
# on its source and on every controller; --only: of those just the ones whose name fits, such as 'lvm-kvm-*', and nothing else.
#
# Serial logs stay in target/guests/logs ($REHOME_GUESTS/logs), the times of all boots in boots.txt there.
set -euo pipefail

# KVM inside of a virtual machine may start a guest and hang in it: all boots here are emulated.
if [[ -e /dev/kvm && -z ${REHOME_GUESTS_EMULATED:-} && $EUID -eq 0 ]]; then
    export REHOME_GUESTS_EMULATED=1
    exec unshare --mount --propagation private sh -c 'mount --bind /dev/null /dev/kvm && exec "$@"' sh "$0" "$@"
fi

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${REHOME_GUESTS:-$here/../../target/guests}
mib=1048576
# shellcheck disable=SC2034  # recipes use it
disk_bytes=$((2 << 30))
mac=06:3f:9a:52:c4:1d
another_mac=52:54:00:12:34:56
address=10.0.2.77/24

guests=(bios uefi xfs lvm)
# What each guest meets on Hyper-V, and what its boot there needs besides what the plan adds by itself: VMBus cannot be
# emulated, so virtio-scsi stands in for generation 2's controller. Generation 1 has a real PIIX3.
declare -A generation=([bios]=1 [uefi]=2)
declare -A extra_modules=([bios]='' [uefi]='--add-module virtio_scsi --add-module virtio_pci')
hyperv_modules=(hv_vmbus hv_storvsc hv_netvsc sd_mod)
# Other platforms: guest, platform, controller there, format, and what else is asked for.
further=(
    'uefi kvm sata qcow2'
    'xfs kvm virtio-blk qcow2'
    'lvm kvm virtio-scsi qcow2'
    'bios vmware pvscsi vmdk'
)
all_further=()
for guest in "${guests[@]}"; do
    all_further+=("$guest kvm virtio-blk qcow2" "$guest kvm virtio-scsi qcow2" "$guest kvm sata qcow2" "$guest kvm ide qcow2")
    if [[ $guest == xfs ]]; then all_further+=("$guest vmware pvscsi vmdk --definition vmx"); else all_further+=("$guest vmware pvscsi vmdk"); fi
done

# shellcheck source=content.sh
source "$here/content.sh"
# shellcheck source=microvm.sh
source "$here/microvm.sh"
# shellcheck source=boot-test.sh
source "$here/boot-test.sh"
# shellcheck source=backups.sh
source "$here/backups.sh"

fail() {
    printf 'boot test: FAILED: %s\n' "$*" >&2
    exit 1
}

stage() { # TEXT COMMAND...
    local text=$1 start=$EPOCHREALTIME
    shift
    "$@"
    awk -v text="$text" -v a="$start" -v b="$EPOCHREALTIME" 'BEGIN { printf "boot test: %6.1f s  %s\n", b - a, text }'
}

of_recipe() { # GUEST NAME: a variable of its recipe
    # shellcheck source=/dev/null
    (source "$here/recipes/$1.sh" && echo "${!2}")
}

sources_of() { # GUEST: fills `sources`
    mapfile -t sources < <(jq -r --arg folder "$work" '.disks[].source.file | "\($folder)/\(.)"' "$work/$1.json")
}

build_guests() { # GUEST...
    local guest pids=()
    for guest in "$@"; do
        "$here/build-debian.sh" "$guest" "$work/$guest.raw" &
        pids+=($!)
        # Two cores.
        if ((${#pids[@]} == 2)); then
            wait "${pids[0]}"
            wait "${pids[1]}"
            pids=()
        fi
    done
    if ((${#pids[@]})); then wait "${pids[0]}"; fi
}

checksum_sources() { # FILE
    (cd "$work" && printf '%s\n' *.raw | xargs b3sum | sort) >"$logs/$1"
}

sources_unchanged() {
    checksum_sources after.b3
    cmp "$logs/before.b3" "$logs/after.b3" || fail "a source image changed"
}

declare -A boots
start_boot() { # NAME FORMAT CONTROLLER FIRMWARE ARGUMENT...: boots `disks`
    local name=$1
    "$here/boot.py" "${disks[@]}" --format "$2" --controller "$3" --firmware "$4" --log "$logs/$name.log" "${@:5}" \
        >"$logs/$name.boot" 2>&1 &
    boots[$name]=$!
    last_boot=$name
}

# With all that must be right inside.
start_whole_boot() { # NAME GUEST FORMAT CONTROLLER MAC ARGUMENT...
    start_boot "$1" "$3" "$4" "$(of_recipe "$2" firmware)" --root "$(of_recipe "$2" root_uuid)" \
        --mac "$5" --interface ens5 --address "$address" "${@:6}"
}

# Debian's UEFI for qemu has no driver for PVSCSI, VMware's has: kernel, initramfs and arguments as the migrated image has
# them, handed over without loader.
start_directly() { # GUEST IMAGE.raw FOLDER: fills `direct`
    local words mounted=$work/mounted
    # shellcheck source=/dev/null
    read -ra words < <(source "$here/recipes/$1.sh" && file_systems "$2")
    mkdir -p "$mounted"
    mount -o "ro,loop,offset=${words[2]}" "$2" "$mounted"
    cp "$mounted"/boot/vmlinuz-* "$3/vmlinuz"
    cp "$mounted"/boot/initrd.img-* "$3/initrd"
    direct=(--firmware bios --kernel "$3/vmlinuz" --initrd "$3/initrd"
        --append "$(sed -n 's/^[[:space:]]*linux[[:space:]]*[^ ]* //p' "$mounted/boot/grub/grub.cfg" | sed -n 1p)")
    umount "$mounted"
}

expect_well() { # NAME
    wait "${boots[$1]}" || { cat "$logs/$1.boot" >&2; fail "$1 is not well"; }
    sed "s/^boot: /$1: /" "$logs/$1.boot" | tee -a "$logs/boots.txt" | sed 's/^/boot test:            /'
}

# It must fail for the reason that the migration is about, not for any other.
expect_no_root() { # NAME
    if wait "${boots[$1]}"; then fail "$1 booted, the test proves nothing"; fi
    grep -q -e 'ALERT! .*does not exist' -e 'dracut-initqueue.*Could not boot' "$logs/$1.boot" || { cat "$logs/$1.boot" >&2; fail "$1 failed for another reason"; }
    sed -n "1s/^boot: /boot test:            $1: as expected: /p" "$logs/$1.boot"
}

check_one() { # LOG KIND FILE OFFSET [LENGTH]
    case $2 in
    ext4) e2fsck -fn "$3?offset=$4" ;;
    xfs | fat)
        dd if="$3" of="$3.part" bs=1M skip=$(($4 / mib)) count=$(($5 / mib)) conv=sparse status=none
        if [[ $2 == xfs ]]; then xfs_repair -n "$3.part"; else fsck.fat -n "$3.part"; fi
        ;;
    esac >>"$1" 2>&1 || { tail -n 20 "$1" >&2; fail "$2 at $4 of $3 is not clean"; }
    rm -f "$3.part"
}

check_file_systems() { # NAME GUEST IMAGE.raw...
    local line words
    : >"$logs/$1-fsck.log"
    # shellcheck source=/dev/null
    (source "$here/recipes/$2.sh" && file_systems "${@:3}") >"$work/$1-file-systems"
    while read -r line; do
        read -ra words <<<"$line"
        check_one "$logs/$1-fsck.log" "${words[@]}"
    done <"$work/$1-file-systems"
    rm -f "$work/$1-file-systems" "$3.var"
}

rehome_migrate() { # GUEST SOURCE ARGUMENT...: to Hyper-V
    local guest=$1 source=$2 modules
    shift 2
    read -ra modules <<<"${extra_modules[$guest]}"
    "$rehome" migrate "$source" --machine "$work/$guest.json" --to hyperv --generation "${generation[$guest]}" "${modules[@]}" "$@"
}

migrate() { # NAME COMMAND...: and says its images in `disks`
    local name=$1 out=$work/$1
    shift
    "$@" --out "$out" >"$logs/$name.report" 2>"$logs/$name-migrate.log" ||
        { local status=$? && tail -n 40 "$logs/$name.report" "$logs/$name-migrate.log" >&2; fail "migrate of $name: exit $status"; }
    mapfile -t disks < <(jq -r --arg out "$out" '.disks[].file | "\($out)/\(.)"' "$out"/*.report.json)
}

to_raw() { # NAME FORMAT: the images of `disks` as qemu-img reads them, in `raws`
    local disk size number=0
    raws=()
    for disk in "${disks[@]}"; do
        # qemu-img has no check for every format.
        if [[ $2 != vmdk ]]; then qemu-img check -q -f "$2" "$disk" || fail "$1: qemu-img check"; fi
        size=$(qemu-img info --output json -f "$2" "$disk" | jq '."virtual-size"')
        raws+=("$work/$1-$number.raw")
        qemu-img convert -f "$2" -O raw "$disk" "$work/$1-$number.raw"
        [[ $size -eq $(stat -c %s "${sources[number]}") ]] || fail "$1: the virtual size is $size"
        number=$((number + 1))
    done
}

second_migrate_plans_nothing() { # GUEST
    local edits
    rehome_migrate "$1" "${disks[0]}" --out "$work/$1-again" --dry-run --output json \
        >"$logs/$1-again.json" 2>"$logs/$1-again.log" || { cat "$logs/$1-again.log" >&2; fail "$1: second migrate: exit $?"; }
    edits=$(jq '.edits | length' "$logs/$1-again.json")
    [[ $(jq -r '.edits | type' "$logs/$1-again.json") == array && $edits -eq 0 ]] ||
        { jq '.edits' "$logs/$1-again.json" >&2; fail "$1: a second migrate plans $edits edits"; }
}

# Their network cannot be tried here: VMBus' adapter has a name of its own.
to_hyperv() { # GUEST: leaves the boot running
    local guest=$1 name=$1-hyperv
    sources_of "$guest"
    stage "$name: migrated to generation ${generation[$guest]}" migrate "$name" rehome_migrate "$guest" "${sources[@]}"
    stage "$name: qemu-img check and convert" to_raw "$name" vhdx
    stage "$name: file systems clean" check_file_systems "$name" "$guest" "${raws[@]}"
    stage "$name: drivers in the initramfs, names changed" check_content "$guest" "${raws[0]}"
    stage "$name: undo copies" check_undo "$guest" "$work/$name"
    stage "$name: a second migrate plans nothing" second_migrate_plans_nothing "$guest"
    rm "${raws[@]}"
    start_boot "$name" vhdx "gen${generation[$guest]}" "$guest" --root "$(of_recipe "$guest" root_uuid)"
}

to_further() { # GUEST PLATFORM BUS FORMAT ARGUMENT...: leaves the boot running
    local guest=$1 platform=$2 bus=$3 format=$4 name=$1-$2-$3 new=$mac
    sources_of "$guest"
    # An OVF cannot say the adapter's address.
    if [[ $platform == vmware && $# -eq 4 ]]; then new=$another_mac; fi
    stage "$name: migrated" migrate "$name" "$rehome" migrate "${sources[@]}" --machine "$work/$guest.json" --to "$platform" \
        --firmware "$(of_recipe "$guest" firmware)" --disk-bus "$bus" "${@:5}"
    to_raw "$name" "$format"
    stage "$name: file systems clean" check_file_systems "$name" "$guest" "${raws[@]}"
    local direct=()
    if [[ $bus == pvscsi && $(of_recipe "$guest" firmware) == uefi ]]; then start_directly "$guest" "${raws[0]}" "$work/$name"; fi
    rm "${raws[@]}"
    start_whole_boot "$name" "$guest" "$format" "$bus" "$new" "${direct[@]}"
}

# Two cores: more than two machines at once take longer than one after the other.
two_at_a_time() { # FUNCTION LINE...: each line's words start a boot
    local function=$1 line words name started=()
    for line in "${@:2}"; do
        read -ra words <<<"$line"
        "$function" "${words[@]}"
        started+=("$last_boot")
        if ((${#started[@]} == 2)); then
            for name in "${started[@]}"; do stage "after: $name" expect_well "$name"; rm -rf "${work:?}/$name"; done
            started=()
        fi
    done
    for name in "${started[@]}"; do stage "after: $name" expect_well "$name"; rm -rf "${work:?}/$name"; done
}

from_source() { # GUEST
    sources_of "$1"
    disks=("${sources[@]}")
    start_whole_boot "$1-source-nvme" "$1" raw nvme "$mac"
}

keep_only() { # PATTERN: of `further` and `layered_further`
    local line words fitting=() layered=()
    for line in "${further[@]}"; do
        read -ra words <<<"$line"
        # shellcheck disable=SC2053  # a pattern is wanted
        if [[ ${words[0]}-${words[1]}-${words[2]} == $1 ]]; then fitting+=("$line"); fi
    done
    for line in "${layered_further[@]}"; do
        read -ra words <<<"$line"
        # shellcheck disable=SC2053
        if [[ ${words[0]}-${words[1]}-${words[2]} == $1 ]]; then layered+=("$line"); fi
    done
    further=("${fitting[@]}") layered_further=("${layered[@]}")
    ((${#further[@]} + ${#layered_further[@]})) || fail "no boot is called $1"
}

guests_of() { # LINE...: the first word of each, once
    printf '%s\n' "$@" | awk 'NF && !seen[$1]++ { print $1 }'
}

clean_up() {
    local pid
    for pid in "${boots[@]}"; do kill "$pid" 2>/dev/null || true; done
    wait
    rm -rf "$work"
}

before_boots() {
    local guest
    for guest in bios uefi; do
        disks=("$work/$guest.raw")
        start_boot "$guest-before" raw "gen${generation[$guest]}" "$guest"
    done
    for guest in bios uefi; do stage "before: $guest does not boot on Hyper-V's controller" expect_no_root "$guest-before"; done
}

plain_test() {
    local guest
    for guest in "${guests[@]}"; do
        sources_of "$guest"
        stage "before: $guest: file systems clean" check_file_systems "$guest-before" "$guest" "${sources[@]}"
    done
    if [[ -z $only ]]; then
        stage 'before: no root on the target' before_boots
        two_at_a_time from_source "${before[@]}"
        two_at_a_time to_hyperv bios uefi
        two_at_a_time backup_to_hyperv "${backups[@]}"
    fi
    two_at_a_time to_further "${further[@]}"
}

arguments() { # ARGUMENT...: fills what main declares
    while (($#)); do
        case $1 in
        --all) all=all before=("${guests[@]}") further=("${all_further[@]}") layered_further=("${all_layered_further[@]}") ;;
        --group) group=$2 && shift ;;
        --only) only=$2 further=("${all_further[@]}") layered_further=("${all_layered_further[@]}") && shift ;;
        *) rehome=$1 ;;
        esac
        shift
    done
    case $group in
    plain) layered_further=() ;;
    microvm) further=() ;;
    *) [[ -z $group ]] || fail "no group $group" ;;
    esac
    if [[ -n $only ]]; then keep_only "$only"; fi
    if [[ -n $only || $group == microvm ]]; then mapfile -t guests < <(guests_of "${further[@]}"); fi
    mapfile -t layered < <(guests_of "${layered_further[@]}")
}

main() {
    local only='' group='' all='' before=(bios) layered
    rehome=$here/../../target/release/rehome
    arguments "$@"
    [[ -x $rehome ]] || fail "no program $rehome: cargo build --release -p rehome"
    [[ $EUID -eq 0 ]] || fail "needs root to bootstrap the guests"
    mkdir -p "$cache/logs"
    cache=$(cd "$cache" && pwd)
    logs=$cache/logs
    : >"$logs/boots.txt"
    work=$(mktemp -d "$cache/run.XXXXXX")
    trap clean_up EXIT

    stage 'all guests built' build_guests "${guests[@]}" "${layered[@]}"
    stage 'sources: checksums taken' checksum_sources before.b3
    if ((${#guests[@]})); then plain_test; fi
    if ((${#layered[@]})); then layered_test; fi
    if [[ -z $only && $group != microvm ]]; then stage 'rehome boot-test: tells apart what starts and what does not' check_boot_test; fi
    stage 'sources: unchanged' sources_unchanged
    printf 'boot test: passed in %d s\n' "$SECONDS"
}

main "$@"
