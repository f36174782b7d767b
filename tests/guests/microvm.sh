# shellcheck shell=bash disable=SC2154  # run.sh's variables
# The guests that are edited in a machine of their own (`migrate --editor`): XFS, btrfs, LUKS, LVM and RAID 1, laid out as
# other families do. What they hold is checked in a machine, too (vm.sh). A part of run.sh.

layered_guests=(rhel suse luks raid1)
# Guest, platform, controller there, format. The clean guests, and those that lost their power while they wrote.
layered_further=(
    'rhel kvm virtio-scsi qcow2'
    'suse kvm ide qcow2'
    'luks kvm virtio-scsi qcow2'
    'raid1 vmware pvscsi vmdk'
    'rhel-dirty kvm virtio-scsi qcow2'
)
all_layered_further=()
for guest in "${layered_guests[@]}"; do
    all_layered_further+=("$guest kvm virtio-scsi qcow2" "$guest kvm ide qcow2" "$guest vmware pvscsi vmdk"
        "$guest-dirty kvm virtio-scsi qcow2")
done

# shellcheck source=vm.sh
source "$here/vm.sh"

in_vm_of() { # LOG GUEST WHAT IMAGE...: a function of in-vm-checks.sh on the layers of that guest, whose images stay as they are
    local script=$work/$RANDOM.script names=(disk data) disks=() image
    for image in "${@:4}"; do
        disks+=("${names[0]}=$image,snapshot=on")
        names=("${names[@]:1}")
    done
    cat "$here/in-vm.sh" "$here/recipes/${2%-dirty}.sh" "$here/in-vm-checks.sh" - <<<"$3" >"$script"
    # No `set -e` here: the callers look at the status.
    vm_run "$logs/$1" 300 "$script" "${disks[@]}" || { rm "$script" && return 1; }
    rm "$script"
}

check_layers() { # NAME GUEST IMAGE...
    local what=check_file_systems
    if [[ $2 == *-dirty ]]; then what+=' after-power-cut'; fi
    in_vm_of "$1-check.log" "$2" "$what" "${@:3}" || fail "$1: a file system is not clean"
    if [[ $2 == raid1 ]]; then check_sides "$1" "${@:3}"; fi
}

# The sides of a mirror are the same behind what md keeps for itself, also after an edit.
check_sides() { # NAME DISK DATA
    local start
    for start in 1 257; do
        cmp -s --ignore-initial=$(((start + 1) * mib)) --bytes=$(((start == 1 ? 255 : 2048 - 258) * mib)) "$2" "$3" ||
            fail "$1: the sides of the array at $start MiB differ"
    done
}

check_dirt() { # GUEST
    sources_of "$1"
    in_vm_of "$1-dirt.log" "$1" show_dirt "${sources[@]}" || fail "$1 is not dirty"
    grep -E '^(==|log_root|Journal start|.*needs_recovery|.*valuable metadata|[[:space:]]*State :)' "$logs/$1-dirt.log" | sed "s/^/boot test:            /"
}

passphrase_of() { # GUEST: fills `typed` and `keyed`
    # shellcheck source=/dev/null
    (source "$here/recipes/${1%-dirty}.sh" && printf %s "${passphrase:-}") >"$work/$1.passphrase"
    typed=() keyed=()
    if [[ -s $work/$1.passphrase ]]; then
        typed=(--passphrase "$(cat "$work/$1.passphrase")")
        keyed=(--key-file "$work/$1.passphrase")
    fi
}

start_layered_boot() { # NAME GUEST FORMAT CONTROLLER MAC ARGUMENT...
    local rounds=()
    passphrase_of "$2"
    if [[ -e $work/$2.rounds ]]; then read -ra rounds <"$work/$2.rounds" && rounds=(--rounds "${rounds[@]}"); fi
    start_whole_boot "$1" "${2%-dirty}" "$3" "$4" "$5" "${typed[@]}" "${rounds[@]}" "${@:6}"
}

layered_from_source() { # GUEST
    sources_of "$1"
    disks=("${sources[@]}")
    start_layered_boot "$1-source-nvme" "$1" raw nvme "$mac"
}

layered_before() { # GUEST
    passphrase_of "$1"
    sources_of "$1"
    disks=("${sources[@]}")
    start_boot "$1-before" raw virtio-scsi "$(of_recipe "$1" firmware)" "${typed[@]}"
}

to_layered() { # GUEST PLATFORM BUS FORMAT: leaves the boot running
    local guest=$1 platform=$2 bus=$3 format=$4 name=$1-$2-$3 new=$mac direct=()
    sources_of "$guest"
    passphrase_of "$guest"
    # An OVF cannot say the adapter's address.
    if [[ $platform == vmware ]]; then new=$another_mac; fi
    stage "$name: migrated" migrate "$name" "$rehome" migrate "${sources[@]}" --machine "$work/$guest.json" --to "$platform" \
        --firmware "$(of_recipe "${guest%-dirty}" firmware)" --disk-bus "$bus" --editor auto "${keyed[@]}"
    to_raw "$name" "$format"
    stage "$name: file systems clean" check_layers "$name" "$guest" "${raws[@]}"
    if [[ $bus == pvscsi && $(of_recipe "${guest%-dirty}" firmware) == uefi ]]; then
        start_directly_by_boot "$guest" "${raws[0]}" "$work/$name"
    fi
    rm "${raws[@]}"
    start_layered_boot "$name" "$guest" "$format" "$bus" "$new" "${direct[@]}"
}

# As `start_directly`, where /boot is a partition.
start_directly_by_boot() { # GUEST IMAGE.raw FOLDER: fills `direct`
    local mounted=$work/mounted
    mkdir -p "$mounted"
    mount -o "ro,loop,nouuid,offset=$(of_recipe "$1" boot_offset)" "$2" "$mounted"
    cp "$mounted"/vmlinuz-* "$3/vmlinuz"
    cp "$mounted"/initrd.img-* "$3/initrd"
    direct=(--firmware bios --kernel "$3/vmlinuz" --initrd "$3/initrd"
        --append "$(sed -n 's/^[[:space:]]*linux[[:space:]]*[^ ]* //p' "$mounted/grub/grub.cfg" | sed -n 1p)")
    umount "$mounted"
}

layered_test() {
    local guest clean=() dirty=()
    for guest in "${layered[@]}"; do
        if [[ $guest == *-dirty ]]; then dirty+=("$guest"); else clean+=("$guest"); fi
    done
    for guest in "${clean[@]}"; do
        sources_of "$guest"
        stage "before: $guest: file systems clean" check_layers "$guest-before" "$guest" "${sources[@]}"
    done
    for guest in "${dirty[@]}"; do stage "before: $guest: really dirty" check_dirt "$guest"; done
    if [[ -n $all ]]; then two_at_a_time layered_from_source "${clean[@]}"; fi
    if [[ -z $only ]]; then expect_all_without_root "${clean[@]}"; fi
    two_at_a_time to_layered "${layered_further[@]}"
}

expect_all_without_root() { # GUEST...: two at a time
    local first second
    while (($#)); do
        first=$1 second=${2:-}
        shift $(($# > 1 ? 2 : 1))
        layered_before "$first"
        if [[ -n $second ]]; then layered_before "$second"; fi
        stage "before: $first does not boot on virtio-scsi" expect_no_root "$first-before"
        if [[ -n $second ]]; then stage "before: $second does not boot on virtio-scsi" expect_no_root "$second-before"; fi
    done
}
