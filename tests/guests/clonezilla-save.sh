#!/usr/bin/env bash
# Saves raw disks as Clonezilla's `savedisk` lays out its folders, with the tools that it uses. The disks become sda, sdb …
#
#   clonezilla-save.sh DISK.raw[,DISK.raw...] FOLDER
#
# COMPRESSION=zst|gz|xz|lz4|bz2|lzo|uncomp (zst) packs contents; PIECE=SIZE (4G) is the length of pieces, as split takes it. A volume
# group needs root for a loop device, which LVM's tools read; all else is read from the files as they are.
set -euo pipefail

IFS=, read -r -a disks <<<"${1:?DISK.raw[,DISK.raw...]}"
out=${2:?FOLDER}
compression=${COMPRESSION:-zst}
piece=${PIECE:-4G}
work=$(mktemp -d "${TMPDIR:-/tmp}/clonezilla-save.XXXXXX")
loops=()
physical=() # partition name and its file, for LVM

cleanup() {
    local loop
    for loop in "${loops[@]}"; do losetup -d "$loop" || true; done
    rm -rf "$work"
}
trap cleanup EXIT

pack() {
    case $compression in
    zst) zstd -q -c ;;
    gz) gzip -c ;;
    xz) xz -c ;;
    lz4) lz4 -q -c ;;
    bz2) bzip2 -c ;;
    lzo) lzop -c ;;
    uncomp) cat ;;
    *) echo "no compression is called $compression" >&2 && exit 2 ;;
    esac
}

# Packs and cuts what comes in.
keep() { # STEM
    pack | split -a 2 -b "$piece" - "$out/$1.$compression."
}

info_of_swap() { # FILE NAME
    {
        printf 'UUID="%s"\n' "$(blkid -p -o value -s UUID "$1")"
        printf 'LABEL="%s"\n' "$(blkid -p -o value -s LABEL "$1")"
    } >"$out/swappt-$2.info"
}

# The content of a partition or volume. Those of LVM are kept for later.
save_content() { # FILE NAME
    local file=$1 name=$2 system
    system=$(blkid -p -o value -s TYPE "$file" || true)
    printf '/dev/%s %s %s\n' "$name" "${system:-unknown}" "$(stat -c %s "$file")" >>"$out/dev-fs.list"
    case $system in
    swap) info_of_swap "$file" "$name" && return ;;
    LVM2_member) physical+=("$name" "$file") && return ;;
    ext2 | ext3 | ext4 | vfat | ntfs | xfs | btrfs | exfat | f2fs)
        partclone."$system" -f 0 -L "$work/log" -c -s "$file" -o - 2>/dev/null | keep "$name.$system-ptcl-img"
        ;;
    *) partclone.dd -f 0 -L "$work/log" -s "$file" -o - 2>/dev/null | keep "$name.dd-ptcl-img" ;;
    esac
    parts+=("$name")
}

save_table() { # RAW NAME
    local raw=$1 name=$2 label sectors first
    label=$(blkid -p -o value -s PTTYPE "$raw" || true)
    [[ -n $label ]] || return 0
    sfdisk -d "$raw" | sed -E "s#^(device: )?\"?$raw#\\1/dev/$name#" >"$out/$name-pt.sf"
    parted -s "$raw" unit s print | sed "s#$raw#/dev/$name#" >"$out/$name-pt.parted"
    dd if="$raw" of="$out/$name-mbr" bs=512 count=1 status=none
    first=$(sed -nE 's/^.*start= *([0-9]+),.*$/\1/p' "$out/$name-pt.sf" | sort -n | head -n 1)
    if ((first > 1)); then
        dd if="$raw" of="$out/$name-hidden-data-after-mbr" bs=512 skip=1 count=$((first - 1)) status=none
    fi
    if [[ $label == gpt ]]; then
        sectors=$(($(stat -c %s "$raw") / 512))
        dd if="$raw" of="$out/$name-gpt-1st" bs=512 count=34 status=none
        dd if="$raw" of="$out/$name-gpt-2nd" bs=512 skip=$((sectors - 33)) status=none
        sgdisk -b "$out/$name-gpt.gdisk" "$raw" >/dev/null
    fi
}

save_disk() { # RAW NAME
    local raw=$1 name=$2 line part start size
    save_table "$raw" "$name"
    if [[ ! -e $out/$name-pt.sf ]]; then
        save_content "$raw" "$name"
        return
    fi
    while read -r line; do
        part=$(sed -E 's#^/dev/([^ ]+) :.*$#\1#' <<<"$line")
        start=$(sed -nE 's/^.*start= *([0-9]+),.*$/\1/p' <<<"$line")
        size=$(sed -nE 's/^.*size= *([0-9]+),.*$/\1/p' <<<"$line")
        if [[ $line =~ type=(5|f|85)(,|$) ]]; then
            dd if="$raw" of="$out/$part-ebr" bs=512 skip="$start" count=1 status=none
            continue
        fi
        dd if="$raw" of="$work/$part" bs=1M iflag=skip_bytes,count_bytes skip=$((start * 512)) count=$((size * 512)) \
            conv=sparse status=none
        truncate -s $((size * 512)) "$work/$part"
        save_content "$work/$part" "$part"
        # What LVM has is read again below.
        [[ " ${physical[*]} " == *" $work/$part "* ]] || rm "$work/$part"
    done < <(grep '^/dev/.* : ' "$out/$name-pt.sf")
}

lvm_quietly() { LVM_SUPPRESS_FD_WARNINGS=1 lvm "$@" --driverloaded n --config "$lvm_config"; }

# Writes the volume VG/LV, whose extents lie in files, into FILE: the kernel's device mapper is not needed.
assemble_volume() { # CONF VG LV FILE NAME=FILE...
    python3 - "$@" <<'END'
import re, sys
conf, group, volume, target = sys.argv[1:5]
files = dict(pair.split("=", 1) for pair in sys.argv[5:])
tokens = re.findall(r'"(?:\\.|[^"\\])*"|[\[\]{}=,]|[^\s\[\]{}=,#]+|#[^\n]*', open(conf).read())
tokens = [token for token in tokens if not token.startswith("#")]
def section(at):
    found = {}
    while at < len(tokens) and tokens[at] != "}":
        if tokens[at + 1] == "{":
            found[tokens[at]], end = section(at + 2)
            at = end + 1
        elif tokens[at + 2] == "[":
            end = tokens.index("]", at)
            found[tokens[at]] = [t.strip('"') for t in tokens[at + 3:end] if t != ","]
            at = end + 1
        else:
            found[tokens[at]], at = tokens[at + 2].strip('"'), at + 3
    return found, at
group = section(0)[0][group]
extent = int(group["extent_size"]) * 512
with open(target, "wb") as out:
    for key, one in sorted(group["logical_volumes"][volume].items()):
        if not key.startswith("segment") or key == "segment_count":
            continue
        length, columns = int(one["extent_count"]) * extent, int(one["stripe_count"])
        step = int(one["stripe_size"]) * 512 if columns > 1 else 1 << 20
        start = int(one["start_extent"]) * extent
        for column in range(columns):
            name, first = one["stripes"][column * 2], int(one["stripes"][column * 2 + 1])
            physical = group["physical_volumes"][name]
            with open(files[physical["device"]], "rb") as source:
                source.seek(int(physical["pe_start"]) * 512 + first * extent)
                for row in range(0, length // columns, step):
                    data = source.read(min(step, length // columns - row))
                    if data.strip(b"\0"):
                        out.seek(start + row * columns + column * step if columns > 1 else start + row)
                        out.write(data)
        out.truncate(max(out.seek(0, 2), start + length))
END
}

save_groups() {
    ((${#physical[@]})) || return 0
    local number name loop groups group volume id pairs=() kept filter='' lines conf
    declare -A name_of
    for ((number = 0; number < ${#physical[@]}; number += 2)); do
        loop=$(losetup --find --show --read-only "${physical[number + 1]}")
        loops+=("$loop")
        name_of[$loop]=${physical[number]}
        pairs+=("/dev/${physical[number]}=${physical[number + 1]}")
        filter+="\"a|^$loop\$|\","
    done
    lvm_config="devices { filter=[$filter\"r|.*|\"] use_devicesfile=0 scan=[\"/dev\"]
        obtain_device_list_from_udev=0 external_device_info_source=\"none\" } backup { backup=0 archive=0 }
        activation { udev_sync=0 udev_rules=0 monitoring=0 } global { use_lvmpolld=0 notify_dbus=0 event_activation=0 }"
    lines=$(lvm_quietly pvs --noheadings -o vg_name,pv_name,pv_uuid)
    while read -r group loop id; do
        printf '%s /dev/%s %s\n' "$group" "${name_of[$loop]}" "$id" >>"$out/lvm_vg_dev.list"
    done <<<"$lines"
    mapfile -t groups < <(awk '{ print $1 }' <<<"$lines" | sort -u)
    for group in "${groups[@]}"; do
        conf=$out/lvm_$group.conf
        lvm_quietly vgcfgbackup -f "$conf" "$group" >/dev/null
        for loop in "${!name_of[@]}"; do sed -i "s#device = \"$loop\"#device = \"/dev/${name_of[$loop]}\"#" "$conf"; done
        for volume in $(lvm_quietly lvs --noheadings -o lv_name "$group"); do
            assemble_volume "$conf" "$group" "$volume" "$work/volume" "${pairs[@]}"
            name=$group-$volume
            printf '/dev/%s/%s %s\n' "$group" "$volume" "$(blkid -p -o value -s TYPE "$work/volume" || true)" >>"$out/lvm_logv.list"
            kept=("${parts[@]}")
            save_content "$work/volume" "$name"
            parts=("${kept[@]}") # only partitions are listed
            rm "$work/volume"
        done
    done
}

mkdir -p "$out"
parts=(-)
names=()
letters=abcdefghijklmnopqrstuvwxyz
for number in "${!disks[@]}"; do
    name=sd${letters:number:1}
    names+=("$name")
    save_disk "${disks[number]}" "$name"
done
save_groups
echo "${names[*]}" >"$out/disk"
echo "${parts[*]:1}" >"$out/parts"
: >"$out/clonezilla-img"
sha256sum "$out/disk" "$out/parts" | sha256sum | cut -d ' ' -f 1 >"$out/Info-img-id.txt"
