# shellcheck shell=bash
# Sourced by run.sh: guests that are restored to Hyper-V straight from a backup. The backups are made without rehome:
# clonezilla-save.sh with Clonezilla's own tools, vma-save.py by Proxmox's specification.

# Backup, guest.
backups=('clonezilla bios' 'vma uefi')

save_clonezilla() { # GUEST FOLDER: says the backup in `backup`
    backup=$2/clonezilla
    "$here/clonezilla-save.sh" "$work/$1.raw" "$backup" >"$logs/$1-clonezilla-save.log" 2>&1 ||
        { tail -n 20 "$logs/$1-clonezilla-save.log" >&2; fail "saving $1 as Clonezilla does"; }
}

save_vma() { # GUEST FOLDER
    local conf=$2/qemu-server.conf
    backup=$2/vzdump-qemu-100.vma.zst
    cat >"$conf" <<END
boot: order=scsi0
bios: ovmf
cores: 2
memory: 1024
name: $1
net0: virtio=06:3F:9A:52:C4:1D,bridge=vmbr0
ostype: l26
scsi0: local-lvm:vm-100-disk-0,size=2G
scsihw: virtio-scsi-pci
END
    "$here/vma-save.py" "$2/backup.vma" "$conf" "drive-scsi0=$work/$1.raw"
    zstd -q --rm -3 "$2/backup.vma" -o "$backup"
}

# Without --machine: a VMA has its own description, a Clonezilla folder has none.
migrate_backup() { # GUEST BACKUP ARGUMENT...
    local guest=$1 modules
    read -ra modules <<<"${extra_modules[$guest]}"
    "$rehome" migrate "$2" --to hyperv --generation "${generation[$guest]}" "${modules[@]}" "${@:3}"
}

backup_to_hyperv() { # KIND GUEST: leaves the boot running
    local kind=$1 guest=$2 name=$2-$1-hyperv folder=$work/$2-$1 backup
    mkdir -p "$folder"
    sources_of "$guest"
    stage "$name: saved by other tools" "save_$kind" "$guest" "$folder"
    stage "$name: complete and whole" "$rehome" check "$backup" >>"$logs/$name-migrate.log"
    stage "$name: migrated to generation ${generation[$guest]}" migrate "$name" migrate_backup "$guest" "$backup"
    stage "$name: qemu-img check and convert" to_raw "$name" vhdx
    stage "$name: file systems clean" check_file_systems "$name" "$guest" "${raws[@]}"
    stage "$name: drivers in the initramfs, names changed" check_content "$guest" "${raws[0]}"
    rm -r "$folder" "${raws[@]}"
    start_boot "$name" vhdx "gen${generation[$guest]}" "$guest" --root "$(of_recipe "$guest" root_uuid)"
}
