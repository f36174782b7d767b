#!/usr/bin/env bash
# The boot test: real Debian guests that do not boot on the target as they are, do after `rehome migrate`.
# Prints each stage with its seconds; ends at the first thing that is not as it must be.
#
#   run.sh [REHOME]      default: target/release/rehome
#
# Serial logs stay in target/guests/logs ($REHOME_GUESTS/logs).
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${REHOME_GUESTS:-$here/../../target/guests}
boot_seconds=420
virtual_size=$((2 << 30))

# What each guest meets on the target, and what its boot there needs besides what the plan adds by itself: VMBus
# cannot be emulated, so virtio-scsi stands in for generation 2's controller. Generation 1 has a real PIIX3.
declare -A generation=([bios]=1 [uefi]=2)
declare -A controller=([bios]=ide [uefi]=scsi-uefi)
declare -A extra_modules=([bios]='' [uefi]='--add-module virtio_scsi --add-module virtio_pci')
# Other platforms: which guest, what is asked for, which controller boots it, the image's format.
further=(
    'bios kvm virtio-blk virtio-blk qcow2'
    'bios kvm virtio-scsi virtio-scsi qcow2'
    'bios vmware pvscsi pvscsi vmdk'
    'uefi kvm sata sata-uefi qcow2'
)
target_modules=(hv_vmbus hv_storvsc hv_netvsc sd_mod)

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

build_guests() {
    local firmware pids=()
    for firmware in bios uefi; do
        "$here/build-debian.sh" "$firmware" "$work/$firmware.raw" &
        pids+=($!)
    done
    for firmware in "${pids[@]}"; do wait "$firmware"; done
}

checksum_sources() { # FILE
    (cd "$work" && printf '%s\n' bios.raw uefi.raw | xargs -P 2 -n 1 sha256sum | sort) >"$work/$1"
}

sources_unchanged() {
    checksum_sources after.sha256
    cmp "$work/before.sha256" "$work/after.sha256" || fail "a source image changed"
}

declare -A boots
start_boot() { # NAME IMAGE FORMAT CONTROLLER
    "$here/boot.sh" "$2" "$3" "$4" "$boot_seconds" "$logs/$1.log" >"$work/$1.boot" 2>&1 &
    boots[$1]=$!
}

expect_login() { # NAME
    wait "${boots[$1]}" || { cat "$work/$1.boot" >&2; fail "$1 did not boot"; }
    sed "s/^/boot test:            $1: /" "$work/$1.boot"
}

# It must fail for the reason that the migration is about, not for any other.
expect_no_root() { # NAME
    if wait "${boots[$1]}"; then fail "$1 booted, the test proves nothing"; fi
    grep -q 'ALERT! .*does not exist' "$work/$1.boot" || { cat "$work/$1.boot" >&2; fail "$1 failed for another reason"; }
    sed -n "1s/^/boot test:            $1: as expected: /p" "$work/$1.boot"
}

rehome_migrate() { # FIRMWARE SOURCE ARGUMENT...
    local firmware=$1 source=$2 modules
    shift 2
    read -ra modules <<<"${extra_modules[$firmware]}"
    "$rehome" migrate "$source" --to hyperv --generation "${generation[$firmware]}" "${modules[@]}" "$@"
}

migrate() { # FIRMWARE
    rehome_migrate "$1" "$work/$1.raw" --out "$work/$1" >"$logs/$1-migrate.report" 2>"$logs/$1-migrate.log" ||
        { tail -n 40 "$logs/$1-migrate.report" "$logs/$1-migrate.log" >&2; fail "migrate of the $1 guest: exit $?"; }
    mapfile -t images < <(find "$work/$1" -maxdepth 1 -name '*.vhdx')
    [[ ${#images[@]} -eq 1 ]] || fail "$1: ${#images[@]} vhdx files in the output folder"
    vhdx[$1]=${images[0]}
}

check_image() { # FIRMWARE
    local size
    qemu-img check -q -f vhdx "${vhdx[$1]}" || fail "$1: qemu-img check"
    size=$(qemu-img info --output json -f vhdx "${vhdx[$1]}" | jq '."virtual-size"')
    [[ $size -eq $virtual_size ]] || fail "$1: the virtual size is $size"
    qemu-img convert -f vhdx -O raw "${vhdx[$1]}" "$work/$1-migrated.raw"
}

root_of() { # IMAGE.raw: its partition 1, as the ext tools take it
    local start
    start=$(sfdisk --json "$1" | jq --arg node "${1}1" '.partitiontable.partitions[] | select(.node == $node) | .start * 512')
    printf '%s?offset=%s\n' "$1" "$start"
}

# Unpacks every archive of an initramfs as the kernel does, the later over the earlier.
unpack_initramfs() { # FILE FOLDER
    local stream=$1.stream offset length start=0
    # Compressed archives become plain ones, what is plain passes.
    zstd -q -dcf "$1" >"$stream"
    mkdir -p "$2"
    # The end mark of an archive is a header with the name length 11 and its name. The next one starts after zeros.
    while read -r length; do
        offset=$(tail -c "+$((start + 1))" "$stream" | LC_ALL=C grep -aboE -m 1 '07070[12]' | sed -n '1s/:.*//p')
        tail -c "+$((start + offset + 1))" "$stream" | head -c "$((length - start - offset))" |
            (cd "$2" && cpio --extract --make-directories --unconditional --no-absolute-filenames --quiet)
        start=$length
    done < <(LC_ALL=C grep -aboE '07070[12][0-9A-Fa-f]{88}0000000[bB][0-9A-Fa-f]{8}TRAILER!!!' "$stream" |
        awk -F : '{ print $1 + 124 }')
    rm "$stream"
}

modules_present() { # FOLDER KERNEL MODULE: it and all it depends on, found by the indexes, are there as files
    local lines kind path
    lines=$(modprobe -d "$1" -S "$2" --show-depends "$3" 2>&1) || return 1
    while read -r kind path _; do
        [[ $kind == builtin || -s $path ]] || return 1
    done <<<"$lines"
}

take_initramfs() { # IMAGE.raw FOLDER: unpacks it there, prints the kernel version
    local root name
    root=$(root_of "$1")
    name=$(debugfs -R 'ls -p /boot' "$root" 2>/dev/null | awk -F / '$6 ~ /^initrd.img-/ { print $6; exit }')
    debugfs -R "dump /boot/$name $2.img" "$root" 2>/dev/null
    unpack_initramfs "$2.img" "$2"
    echo "${name#initrd.img-}"
}

check_content() { # FIRMWARE
    local before=$work/$1-initramfs-before after=$work/$1-initramfs-after root kernel module modules lines
    root=$(root_of "$work/$1-migrated.raw")
    e2fsck -fn "$root" >"$logs/$1-e2fsck.log" 2>&1 || { cat "$logs/$1-e2fsck.log" >&2; fail "$1: e2fsck"; }

    kernel=$(take_initramfs "$work/$1.raw" "$before")
    kernel=$(take_initramfs "$work/$1-migrated.raw" "$after")
    [[ -L $before/lib && -L $after/lib ]] || fail "$1: /lib of the initramfs is no link any more"
    read -ra modules <<<"${extra_modules[$1]//--add-module/}"
    for module in "${target_modules[@]}" "${modules[@]}"; do
        if modules_present "$before" "$kernel" "$module"; then fail "$1: $module was there already, the test proves nothing"; fi
        modules_present "$after" "$kernel" "$module" || fail "$1: the initramfs lacks $module or what it depends on"
    done
    # What was there stays.
    for module in nvme xen-blkfront ext4; do
        modules_present "$after" "$kernel" "$module" || fail "$1: the initramfs lost $module"
    done

    lines=$(debugfs -R 'cat /etc/fstab' "$root" 2>/dev/null)
    if grep -E '^/dev/' <<<"$lines"; then fail "$1: fstab names devices of the source"; fi
    lines=$(debugfs -R 'cat /boot/grub/grub.cfg' "$root" 2>/dev/null)
    if grep -E '^[[:space:]]*linux.*(nvme0n1|xvda)' <<<"$lines"; then fail "$1: grub.cfg names devices of the source"; fi
}

# The changed files as they were, kept beside the image: fstab stands for all.
check_undo() { # FIRMWARE
    local copy found=''
    debugfs -R 'cat /etc/fstab' "$(root_of "$work/$1.raw")" 2>/dev/null >"$work/$1-fstab"
    while read -r copy; do
        if cmp -s "$copy" "$work/$1-fstab"; then found=$copy; fi
    done < <(find "$work/$1" -type f -name '*fstab*')
    [[ -n $found ]] || fail "$1: no undo copy of fstab in the output folder"
}

second_migrate_plans_nothing() { # FIRMWARE
    local edits
    rehome_migrate "$1" "${vhdx[$1]}" --out "$work/$1-again" --dry-run --output json \
        >"$logs/$1-again.json" 2>"$logs/$1-again.log" || { cat "$logs/$1-again.log" >&2; fail "$1: second migrate: exit $?"; }
    edits=$(jq '.edits | length' "$logs/$1-again.json")
    [[ $(jq -r '.edits | type' "$logs/$1-again.json") == array && $edits -eq 0 ]] ||
        { jq '.edits' "$logs/$1-again.json" >&2; fail "$1: a second migrate plans $edits edits"; }
}

migrate_further() { # GUEST PLATFORM BUS FORMAT
    local out=$work/$1-$2-$3
    "$rehome" migrate "$work/$1.raw" --to "$2" --firmware "$1" --disk-bus "$3" --out "$out" \
        >"$logs/$1-$2-$3.report" 2>"$logs/$1-$2-$3.log" ||
        { tail -n 40 "$logs/$1-$2-$3.report" "$logs/$1-$2-$3.log" >&2; fail "migrate of the $1 guest to $2: exit $?"; }
    mapfile -t images < <(find "$out" -maxdepth 1 -name "*.$4")
    [[ ${#images[@]} -eq 1 ]] || fail "$1 to $2: ${#images[@]} $4 files in the output folder"
}

# Two cores: more than two machines at once take longer than one after the other.
boot_further() {
    local line name guest platform bus controller format number=0 started=()
    for line in "${further[@]}"; do
        read -r guest platform bus controller format <<<"$line"
        stage "$guest: migrated to $platform with $bus" migrate_further "$guest" "$platform" "$bus" "$format"
        start_boot "$guest-$platform-$bus" "${images[0]}" "$format" "$controller"
        started+=("$guest-$platform-$bus")
        number=$((number + 1))
        ((${#started[@]} == 2 || number == ${#further[@]})) || continue
        for name in "${started[@]}"; do stage "after: $name boots" expect_login "$name"; done
        started=()
    done
}

clean_up() {
    local pid
    for pid in "${boots[@]}"; do kill "$pid" 2>/dev/null || true; done
    wait
    rm -rf "$work"
}

main() {
    local firmware
    rehome=${1:-$here/../../target/release/rehome}
    [[ -x $rehome ]] || fail "no program $rehome: cargo build --release -p rehome"
    [[ $EUID -eq 0 ]] || fail "needs root to bootstrap the guests"
    mkdir -p "$cache/logs"
    cache=$(cd "$cache" && pwd)
    logs=$cache/logs
    work=$(mktemp -d "$cache/run.XXXXXX")
    trap clean_up EXIT
    declare -gA vhdx

    stage 'both guests built' build_guests
    stage 'sources: sha256 taken' checksum_sources before.sha256

    start_boot bios-before-nvme "$work/bios.raw" raw nvme
    for firmware in bios uefi; do start_boot "$firmware-before" "$work/$firmware.raw" raw "${controller[$firmware]}"; done
    for firmware in bios uefi; do
        stage "$firmware: migrated to generation ${generation[$firmware]}" migrate "$firmware"
        stage "$firmware: qemu-img check and convert" check_image "$firmware"
        stage "$firmware: file system clean, drivers in the initramfs, names changed" check_content "$firmware"
        stage "$firmware: undo copies" check_undo "$firmware"
        stage "$firmware: a second migrate plans nothing" second_migrate_plans_nothing "$firmware"
    done
    stage 'before: boots on the source' expect_login bios-before-nvme
    for firmware in bios uefi; do
        stage "before: $firmware does not boot on the target" expect_no_root "$firmware-before"
    done

    for firmware in bios uefi; do start_boot "$firmware-after" "${vhdx[$firmware]}" vhdx "${controller[$firmware]}"; done
    for firmware in bios uefi; do
        stage "after: $firmware boots on the target" expect_login "$firmware-after"
    done
    boot_further
    stage 'sources: unchanged' sources_unchanged
    printf 'boot test: passed in %d s\n' "$SECONDS"
}

main "$@"
