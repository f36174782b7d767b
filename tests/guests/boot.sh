#!/usr/bin/env bash
# Starts a guest from an image, which stays as it is, and says whether it reaches a login prompt.
#
#   boot.sh IMAGE FORMAT CONTROLLER SECONDS LOG
#
# CONTROLLER  nvme       BIOS, NVMe: the source, as on EC2
#             ide        BIOS, PIIX3 IDE and a tulip NIC: looks like a Hyper-V machine of generation 1
#             nvme-uefi  UEFI, NVMe
#             scsi-uefi  UEFI, virtio-scsi: stands in for generation 2, whose VMBus nothing emulates
#             virtio-blk, virtio-scsi, sata, ide-kvm, sata-uefi   what KVM and Proxmox offer, with their usual NICs
#             pvscsi     BIOS, VMware's PVSCSI and VMXNET3
# Exit 0: login prompt. Exit 1: it failed, or SECONDS passed; the reason and the log's last lines are printed.
# Emulation only (tcg): it works where there is no nested virtualisation, and always the same.
set -euo pipefail

# The first of these on the serial console decides.
login='^[^ ]+ login: *$'
failures='ALERT! .* does not exist|Kernel panic - not syncing.*|You are in (emergency|rescue) mode|Give root password for maintenance|Entering emergency mode|dracut:/#|\(initramfs\)|grub rescue>|error: (no such device|unknown filesystem|file .* not found).*|No bootable device|Boot failed: not a bootable disk|BdsDxe: No bootable option.*|Shell>'

find_ovmf() {
    local file
    for file in /usr/share/OVMF/OVMF_CODE_4M.fd /usr/share/OVMF/OVMF_CODE.fd; do
        if [[ -e $file ]]; then
            printf '%s %s\n' "$file" "${file/CODE/VARS}"
            return
        fi
    done
    echo "boot: no UEFI firmware in /usr/share/OVMF, install the package ovmf" >&2
    exit 1
}

controller_options() { # fills `options`
    local code vars
    case $1 in
    *-uefi)
        read -r code vars < <(find_ovmf)
        options+=(-machine q35 -nic none
            -drive "if=pflash,unit=0,format=raw,readonly=on,file=$code" -drive "if=pflash,unit=1,format=raw,file=$vars")
        ;;
    ide) options+=(-machine pc -nic "user,model=tulip") ;;
    ide-kvm) options+=(-machine pc -nic "user,model=e1000") ;;
    virtio-blk | virtio-scsi) options+=(-machine q35 -nic "user,model=virtio-net-pci") ;;
    sata) options+=(-machine q35 -nic "user,model=e1000e") ;;
    pvscsi) options+=(-machine pc -nic "user,model=vmxnet3") ;;
    *) options+=(-machine pc -nic none) ;;
    esac
    case $1 in
    nvme | nvme-uefi) options+=(-device "nvme,serial=vol0123456789abcdef,drive=disk,bootindex=0") ;;
    ide | ide-kvm | sata | sata-uefi) options+=(-device "ide-hd,bus=ide.0,drive=disk,bootindex=0") ;;
    virtio-blk) options+=(-device "virtio-blk-pci,drive=disk,bootindex=0") ;;
    virtio-scsi) options+=(-device virtio-scsi-pci -device "scsi-hd,drive=disk,bootindex=0") ;;
    pvscsi) options+=(-device pvscsi -device "scsi-hd,drive=disk,bootindex=0") ;;
    scsi-uefi) options+=(-device virtio-scsi-pci -device "scsi-hd,drive=disk,bootindex=0") ;;
    *)
        echo "boot: unknown controller '$1'" >&2
        exit 2
        ;;
    esac
}

plain_text() { # FILE: what the guest wrote, without control sequences, which would hide the line ends
    sed 's/\x1b\[[0-9;?=]*[a-zA-Z]//g' "$1" | tr -d '\r\0'
}

last_lines() { # COUNT
    plain_text "$log" | awk 'NF { print "    | " $0 }' | tail -n "$1"
}

main() {
    [[ $# -eq 5 && $4 =~ ^[0-9]+$ ]] || { echo "usage: ${0##*/} IMAGE FORMAT CONTROLLER SECONDS LOG" >&2; exit 2; }
    local image=$1 format=$2 controller=$3 seconds=$4 reason='' seen
    log=$5
    options=()
    [[ -r $image ]] || { echo "boot: cannot read $image" >&2; exit 2; }
    controller_options "$controller"
    : >"$log"
    # -snapshot: whatever the guest writes, also to the firmware's variables, goes to a temporary file.
    # The time limit is a second guard, for when this script itself is killed.
    timeout --kill-after=5 $((seconds + 30)) qemu-system-x86_64 -accel tcg,thread=multi -cpu max -m 512 -nodefaults -display none -no-reboot \
        -snapshot -drive "if=none,id=disk,format=$format,file=$image,cache=unsafe" \
        -serial "file:$log" "${options[@]}" </dev/null 2>"$log.qemu" &
    qemu=$!
    trap 'kill "$qemu" 2>/dev/null || true; wait "$qemu" 2>/dev/null || true; rm -f "$log.qemu"' EXIT
    SECONDS=0
    while [[ -z $reason ]]; do
        sleep 0.2
        seen=$(plain_text "$log" | grep -aEo -m 1 "$login|$failures" || true)
        if [[ $seen =~ login ]]; then
            printf 'boot: %s: login prompt after %d s\n' "$controller" "$SECONDS"
            last_lines 2
            return
        elif [[ -n $seen ]]; then
            reason=$seen
        elif ! kill -0 "$qemu" 2>/dev/null; then
            reason="qemu ended: $(tail -n 3 "$log.qemu")"
        elif ((SECONDS >= seconds)); then
            reason="no login prompt within $seconds s"
        fi
    done
    printf 'boot: %s: failed after %d s: %s\n' "$controller" "$SECONDS" "$reason"
    last_lines 12
    return 1
}

main "$@"
