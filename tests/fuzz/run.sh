#!/usr/bin/env bash
# Builds all fuzz targets and runs each for SECONDS (20). A crash, a hang over 5 s for one input, or more than 512 MiB
# fails the run; the input is kept in artifacts/TARGET.
#
#   tests/fuzz/run.sh [SECONDS] [TARGET...]
#
# The seed is fixed so that a run can be repeated; REHOME_FUZZ_SEED=0 looks elsewhere every time.
#
# To see a kept input again: tests/fuzz/target/x86_64-unknown-linux-gnu/release/TARGET FILE
# Coverage instrumentation is a pass of the compiler's back end and needs no nightly toolchain.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
seconds=${1:-20}
shift || true
all_targets=(
    qcow2 vmdk vhdx vhd vdi parallels raw qed qcow1 compressed tar ova vma xva pbs partclone ntfsclone clonezilla wsb restic borg ewf mrimgx
    probe partitions ext4 fat xfs ntfs luks lvm md registry registry_log inf disc initramfs manifest machine dialects linux windows nbd nbd_client microvm job_file cloud capture
)
targets=("${@:-}")
[[ -n ${targets[0]} ]] || targets=("${all_targets[@]}")
corpus=$here/corpus
export REHOME_FUZZ_CORPUS=$corpus
binaries=$here/target/x86_64-unknown-linux-gnu/release

say() { printf 'fuzz: %s\n' "$*" >&2; }

build() {
    local flags=(
        -Cpasses=sancov-module
        -Cllvm-args=-sanitizer-coverage-level=4
        -Cllvm-args=-sanitizer-coverage-inline-8bit-counters
        -Cllvm-args=-sanitizer-coverage-pc-table
        -Cllvm-args=-sanitizer-coverage-trace-compares
        --cfg fuzzing
    )
    # Targets that run only for a moment are not worth a long build.
    if ((seconds < 10)); then export CARGO_PROFILE_RELEASE_OPT_LEVEL=1 CARGO_PROFILE_RELEASE_DEBUG=0; fi
    (cd "$here" && RUSTFLAGS=${flags[*]} cargo build --quiet --release --target x86_64-unknown-linux-gnu)
}

# Each base image comes from the tool that knows the format best. Same content every time.
make_bases() {
    local base=$corpus/base work recipe
    # The marker names the recipe that made them: this file.
    recipe=$(sha256sum <"$here/run.sh")
    [[ -e $base/done && $(<"$base/done") == "$recipe" ]] && return
    rm -rf "$base"
    work=$(mktemp -d)
    # shellcheck disable=SC2064  # the name as it is now
    trap "rm -rf '$work'" RETURN
    mkdir -p "$base"/{qcow2,vmdk,vhdx,vhd,vdi,parallels,raw,qed,qcow1,partitions,ext4,fat,luks,xfs,ntfs,nbd,nbd_client}
    mkdir -p "$base"/{compressed,tar,ova,vma,xva,pbs,mrimgx,partclone,ntfsclone,ewf}
    # 192 KiB and a sector: text, a hole, bytes that do not compress, a tail.
    seq 1 30000 >"$work/text"
    gzip -9n <"$work/text" >"$work/noise"
    {
        head -c 40000 "$work/text"
        head -c 100000 /dev/zero
        head -c 40000 "$work/noise"
        head -c 17120 /dev/zero
    } >"$work/disk.raw"
    cp "$work/disk.raw" "$base/raw/disk"

    local n=0 options
    for options in cluster_size=512 compat=0.10,cluster_size=4k cluster_size=64k,extended_l2=on cluster_size=64k \
        "cluster_size=64k -c" "compression_type=zstd,cluster_size=4k -c" refcount_bits=1,cluster_size=1k; do
        # shellcheck disable=SC2086  # options may hold -c
        qemu-img convert -f raw -O qcow2 -o $options "$work/disk.raw" "$base/qcow2/$((n++)).qcow2"
    done
    qemu-img create -q -f qcow2 -F raw -b "$work/disk.raw" -o cluster_size=4k "$work/child.qcow2"
    qemu-io -f qcow2 -c 'write -P 7 0 5000' -c 'write -z 8k 8k' "$work/child.qcow2" >/dev/null
    cp "$work/child.qcow2" "$base/qcow2/child.qcow2"
    for options in cluster_size=512 cluster_size=4k; do
        qemu-img create -q -f qcow2 -o "$options" "$work/bitmaps.qcow2" 4M
        qemu-img bitmap --add -g 512 "$work/bitmaps.qcow2" one
        qemu-io -f qcow2 -c 'write -P 7 0 5000' -c 'write -z 1M 2M' "$work/bitmaps.qcow2" >/dev/null
        qemu-img bitmap --add -g 64k "$work/bitmaps.qcow2" two
        cp "$work/bitmaps.qcow2" "$base/qcow2/$((n++))-bitmaps.qcow2"
    done
    for options in subformat=monolithicSparse subformat=streamOptimized zeroed_grain=on adapter_type=ide; do
        qemu-img convert -f raw -O vmdk -o "$options" "$work/disk.raw" "$base/vmdk/$((n++)).vmdk"
    done
    qemu-img create -q -f vmdk -o zeroed_grain=on "$work/zeros.vmdk" 1M
    qemu-io -f vmdk -c 'write -z 0 64k' -c 'write -P 9 128k 64k' "$work/zeros.vmdk" >/dev/null
    cp "$work/zeros.vmdk" "$base/vmdk/"
    for options in subformat=dynamic,block_size=1M subformat=fixed,block_size=1M; do
        qemu-img convert -f raw -O vhdx -o "$options" "$work/disk.raw" "$base/vhdx/$((n++)).vhdx"
    done
    # Ends without closing the image: the newest block is only in the log.
    qemu-img create -q -f vhdx -o block_size=1M "$work/dirty.vhdx" 3M
    bash -c 'ulimit -c 0; qemu-io -f vhdx -c "write -P 5 0 64k" -c flush -c "write -P 6 2M 64k" -c abort "$1"; true' \
        bash "$work/dirty.vhdx" >/dev/null 2>&1
    cp "$work/dirty.vhdx" "$base/vhdx/"
    for options in subformat=dynamic subformat=fixed; do
        qemu-img convert -f raw -O vpc -o "$options,force_size=on" "$work/disk.raw" "$base/vhd/$options"
    done
    for options in cluster_size=4k,table_size=2 cluster_size=64k; do
        qemu-img convert -f raw -O qed -o "$options" "$work/disk.raw" "$base/qed/$((n++)).qed"
    done
    qemu-img create -q -f qed -F raw -b "$work/disk.raw" -o cluster_size=4k,table_size=2 "$base/qed/child.qed"
    qemu-io -f qed -c 'write -P 7 0 5000' -c 'write -z 8k 8k' "$base/qed/child.qed" >/dev/null
    qemu-img convert -f raw -O qcow "$work/disk.raw" "$base/qcow1/plain"
    qemu-img create -q -f qcow "$base/qcow1/compressed" 192K
    qemu-io -f qcow -c "write -c -s $work/text 0 4k" -c "write -c -s $work/text 12k 4k" -c 'write -P 7 64k 4k' "$base/qcow1/compressed" >/dev/null
    qemu-img create -q -f qcow -F raw -b "$work/disk.raw" "$base/qcow1/child"
    qemu-io -f qcow -c 'write -P 7 0 5000' "$base/qcow1/child" >/dev/null
    for options in static=off static=on; do
        qemu-img convert -f raw -O vdi -o "$options" "$work/disk.raw" "$base/vdi/$options"
    done
    # The same as a difference to another disk.
    cp "$base/vdi/static=off" "$base/vdi/differencing"
    printf '\4' | dd of="$base/vdi/differencing" bs=1 seek=$((0x4c)) conv=notrunc status=none
    printf 'parent' | dd of="$base/vdi/differencing" bs=1 seek=$((0x1a8)) conv=notrunc status=none
    for options in cluster_size=4k cluster_size=64k; do
        qemu-img convert -f raw -O parallels -o "$options" "$work/disk.raw" "$base/parallels/$options"
    done
    for options in "encase6 fast" "encase1 none" "smart best" "ftk none" "ewfx best"; do
        # shellcheck disable=SC2086  # a format and a compression
        set -- $options
        ewfacquire -u -q -f "$1" -c "$2" -b 16 -t "$work/$1" "$work/disk.raw" >/dev/null
        cp "$work/$1".?01 "$base/ewf/"
    done
    printf 'WithoutFreeSpace' | cat - <(tail -c +17 "$base/parallels/cluster_size=4k") >"$base/parallels/first"
    python3 "$here/make_archives.py" "$work/disk.raw" "$base/vma/backup" "$base/xva/export"
    make_difference "$base/vhd/subformat=dynamic" "$base/vhd/differencing"

    make_compressed "$work/disk.raw" "$base/compressed"
    make_archives "$work" "$base"
    make_pbs "$base"
    make_mrimgx "$work" "$base/mrimgx"
    make_luks "$base/luks"
    make_tables "$base/partitions"
    make_file_systems "$work" "$base"
    make_clones "$base"
    echo "$recipe" >"$base/done"
}

# A dynamic VHD that says it is a differencing one, with the name of a parent. The target makes its checksums right.
make_difference() { # FROM TO
    local at
    cp "$1" "$2"
    for at in 63 $(($(stat -c %s "$2") - 512 + 63)); do
        printf '\4' | dd of="$2" bs=1 seek="$at" conv=notrunc status=none
    done
    printf '\0p' | dd of="$2" bs=1 seek=$((512 + 64)) conv=notrunc status=none
}

# Each kind of file, small, and with several blocks where there can be.
make_compressed() { # DISK FOLDER
    gzip -nc "$1" >"$2/gz"
    bgzip -c "$1" >"$2/bgzf"
    xz -c --block-size=48KiB "$1" >"$2/xz"
    xz -c --check=sha256 --x86 --lzma2 "$1" >"$2/single.xz"
    zstd -qc "$1" >"$2/zst"
    cat "$2/zst" "$2/zst" >"$2/two.zst"
    lz4 -qc -B4 -BD -BX "$1" >"$2/lz4"
    lz4 -qc -B4 --content-size "$1" >"$2/independent.lz4"
    lz4 -qcl "$1" >"$2/legacy.lz4"
    bzip2 -c "$1" >"$2/bz2"
    lzop -c "$1" >"$2/lzo"
    lzop -cF "$1" >"$2/bare.lzo"
}

# A disk with holes in each dialect of tar, and packages of two disks in the orders of two programs.
make_archives() { # WORK BASE
    local work=$1 base=$2 folder=$1/package number=0 options name
    local tar=(tar --owner=0 --group=0 --mtime=@0)
    mkdir "$folder"
    cp --sparse=always "$work/disk.raw" "$folder/disk.raw"
    head -c 700 "$work/text" >"$folder/notes.txt"
    for options in --format=ustar "-S --format=oldgnu" "-S --format=posix --sparse-version=0.0" "-S --format=posix --sparse-version=0.1" "-S --format=posix --sparse-version=1.0"; do
        # shellcheck disable=SC2086  # several options in each
        "${tar[@]}" $options -C "$folder" -cf "$base/tar/$((number++))" notes.txt disk.raw
    done
    name=$(printf 'x%.0s' {1..120})
    cp --sparse=always "$work/disk.raw" "$folder/$name"
    "${tar[@]}" -S --format=gnu -C "$folder" -cf "$base/tar/long" "$name"
    head -c 3000 "$work/text" >"$folder/a.img"
    head -c 2000 "$work/noise" >"$folder/b.img.000000000"
    head -c 1000 "$work/text" >"$folder/b.img.000000001"
    cat >"$folder/vm.ovf" <<'OVF'
<?xml version="1.0"?>
<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1" xmlns:r="r">
<References><File ovf:id="f1" ovf:href="a.img" ovf:size="3000"/><File ovf:id="f2" ovf:href="b.img" ovf:size="3000" ovf:chunkSize="2000"/></References>
<DiskSection><Info>&lt;x&#62;</Info><Disk ovf:diskId="d1" ovf:capacity="3000" ovf:fileRef="f1"/><Disk ovf:diskId="d2" ovf:capacity="3000" ovf:fileRef="f2"/>
<Disk ovf:diskId="d3" ovf:capacity="1" ovf:capacityAllocationUnits="byte * 2^20"/></DiskSection>
<VirtualSystem ovf:id="vm"><VirtualHardwareSection>
<Item><r:InstanceID>3</r:InstanceID><r:ResourceType>6</r:ResourceType><r:Address>0</r:Address></Item>
<Item><r:InstanceID>4</r:InstanceID><r:ResourceType>17</r:ResourceType><r:Parent>3</r:Parent><r:AddressOnParent>1</r:AddressOnParent><r:HostResource>ovf:/disk/d1</r:HostResource></Item>
<Item><r:InstanceID>5</r:InstanceID><r:ResourceType>17</r:ResourceType><r:Parent>3</r:Parent><r:AddressOnParent>0</r:AddressOnParent><r:HostResource>/disk/d2</r:HostResource></Item>
</VirtualHardwareSection></VirtualSystem></Envelope>
OVF
    for options in sha1 sha256 sha512; do
        (cd "$folder" && "${options}sum" vm.ovf a.img b.img.00000000*) | sed "s/^\([0-9a-f]*\)  \(.*\)/${options^^}(\2)= \1/" >"$folder/vm.mf"
        "${tar[@]}" --format=ustar -C "$folder" -cf "$base/ova/$options" vm.ovf vm.mf a.img b.img.000000000 b.img.000000001
    done
    "${tar[@]}" --format=posix -C "$folder" -cf "$base/ova/last" vm.ovf a.img b.img.000000000 b.img.000000001 vm.mf
}

# An encrypted datastore, and those of its files that are patched, in the order that the target knows.
make_pbs() { # BASE
    local store=$1/pbs-store snapshot chunk
    mkdir -p "$store"
    python3 "$here/../../formats/pbs/tests/room/make_store.py" "$store" none
    snapshot=$store/store/vm/100/2026-11-22T02:00:00Z
    chunk=$(cd "$store/store" && find .chunks -type f | sort | head -n 1)
    echo "$chunk" >"$store/chunk"
    cp "$snapshot/index.json.blob" "$1/pbs/0-manifest"
    cp "$snapshot/drive-scsi0.img.fidx" "$1/pbs/1-index"
    cp "$snapshot/qemu-server.conf.blob" "$1/pbs/2-configuration"
    cp "$store/store/$chunk" "$1/pbs/3-chunk"
}

make_mrimgx() { # WORK FOLDER
    local kind
    for kind in "none medium" "aes-128 none" "aes-256 high"; do
        mkdir "$1/set"
        # shellcheck disable=SC2086  # two words
        python3 "$here/../../formats/mrimgx/tests/room/make_set.py" "$1/set" $kind
        cp "$1"/set/*-00.mrimgx "$2/$kind"
        rm -r "$1/set"
    done
}

# A volume of each version with the passphrase "fuzz".
make_luks() { # FOLDER
    truncate -s 1088K "$1/luks2"
    truncate -s 2112K "$1/luks1"
    local options=(-q --key-file - --uuid 11111111-2222-3333-4444-555555555555 --pbkdf-force-iterations)
    printf fuzz | cryptsetup luksFormat "${options[@]}" 4 --type luks2 --pbkdf argon2id --pbkdf-memory 32 --sector-size 512 \
        --luks2-metadata-size 16k --luks2-keyslots-size 512k --offset 2048 "$1/luks2"
    printf fuzz | cryptsetup luksFormat "${options[@]}" 1000 --type luks1 "$1/luks1"
}

make_tables() { # FOLDER
    truncate -s 1M "$1"/{gpt,mbr,odd}
    printf 'label: gpt\nlabel-id: 11111111-2222-3333-4444-555555555555\nfirst-lba: 34\nstart=64,size=100,type=U,uuid=11111111-2222-3333-4444-555555555556\nstart=200,size=900,name="root",uuid=11111111-2222-3333-4444-555555555557\n' |
        sfdisk -q "$1/gpt"
    printf 'label: dos\nlabel-id: 0x12345678\nstart=63,size=100,type=83,bootable\nstart=200,size=1500,type=5\nstart=263,size=100,type=83\nstart=463,size=100,type=82\n' |
        sfdisk -q "$1/mbr"
    printf 'label: dos\nstart=1,size=2000,type=ee\n' | sfdisk -q "$1/odd"
}

make_file_systems() { # WORK BASE
    local work=$1 base=$2 tree=$1/tree options number=0
    mkdir -p "$tree/etc/deep" "$tree/boot"
    echo '/dev/xvda1 / ext4 defaults 0 1' >"$tree/etc/fstab"
    seq 1 9000 >"$tree/boot/vmlinuz"
    echo small >"$tree/etc/deep/file"
    ln -s deep/file "$tree/etc/link"
    ln -s "$(printf 'x%.0s' {1..100})" "$tree/etc/longlink"
    export E2FSPROGS_FAKE_TIME=1700000000 SOURCE_DATE_EPOCH=1700000000
    local ids=(-U 11111111-2222-3333-4444-555555555555 -E "hash_seed=11111111-2222-3333-4444-555555555556,lazy_itable_init=0")
    for options in "-t ext2 -b 1024" "-t ext4 -b 1024 -O ^metadata_csum,^has_journal,^64bit" "-t ext4 -b 1024 -O ^metadata_csum -J size=1" "-t ext4 -b 4096 -J size=4"; do
        # shellcheck disable=SC2086  # several options in each
        mkfs.ext4 -q -F $options "${ids[@]}" -N 64 -d "$tree" "$base/ext4/$((number++))" $((number > 3 ? 9000 : 2200))k >/dev/null
    done
    # A journal with a transaction that the file system has not got yet.
    cp "$base/ext4/2" "$base/ext4/dirty"
    local block
    block=$(debugfs -R 'blocks /etc/fstab' "$base/ext4/dirty" 2>/dev/null | tr -dc '0-9 ' | awk '{print $1}')
    tail -c 1024 "$work/text" >"$work/block"
    printf 'jo\njw -b %s %s\njc\n' "$block" "$work/block" | debugfs -w -f - "$base/ext4/dirty" >/dev/null 2>&1
    # mkfs.xfs fills it from a list: every shape of a folder up to a hash tree, links in and out of the inode.
    {
        printf 'boot\n0 0\nd--755 0 0\netc d--755 0 0\nfstab ---644 0 0 %s\nlink l--777 0 0 fstab\nlonglink l--777 0 0 %s\n$\n' "$tree/etc/fstab" "$(printf 'x%.0s' {1..900})"
        printf 'many d--755 0 0\n'
        for ((number = 0; number < 400; number++)); do printf '%040d ---644 0 0 %s\n' "$number" "$tree/etc/deep/file"; done
        printf '$\nvmlinuz ---644 0 0 %s\n$\n' "$tree/boot/vmlinuz"
    } >"$work/list"
    number=0
    for options in "-m rmapbt=1,reflink=1" "-m crc=0 -n ftype=0 -b size=1024" "-b size=1024 -i nrext64=1"; do
        truncate -s 24M "$base/xfs/$((number))"
        # shellcheck disable=SC2086  # several options in each
        mkfs.xfs -q --unsupported -m uuid=11111111-2222-3333-4444-555555555555 $options -p "$work/list" "$base/xfs/$((number++))" >/dev/null 2>&1
    done
    # ntfscp fills a volume without mounting it.
    number=0
    for options in "-c 4096" "-c 512" "-s 4096"; do
        local volume=$base/ntfs/$((number++)) name
        truncate -s 6M "$volume"
        # shellcheck disable=SC2086  # several options in each
        mkntfs -F -q -Q -L guest $options "$volume" >/dev/null 2>&1
        for name in fstab "a rather long name" Windows SYSTEM {1..40}; do ntfscp -q "$volume" "$tree/etc/fstab" "$name"; done
        ntfscp -q "$volume" "$tree/boot/vmlinuz" vmlinuz
        ntfscp -q -N stream "$volume" "$tree/etc/fstab" vmlinuz
    done
    for options in "-F 12 -s 1" "-F 16 -s 1" "-F 32 -s 1"; do
        local image=$base/fat/${options:3:2}
        truncate -s $((${options:3:2} == 32 ? 34 : ${options:3:2} == 16 ? 3 : 1))M "$image"
        # shellcheck disable=SC2086  # several options in each
        mkfs.vfat -i 12345678 --invariant $options "$image" >/dev/null
        mcopy -s -i "$image" "$tree/boot" "$tree/etc/fstab" "$tree/etc/deep" ::/
    done
}

# Saved file systems. The first one of version 0001 is a header with the numbers of another.
make_clones() { # BASE
    local base=$1 options number=0
    for options in "ext4 -a1" "ext4 -a0" "ext4 -k1 -K"; do
        # shellcheck disable=SC2086  # several options in each
        partclone.${options%% *} -f 0 -L /dev/null -c -s "$base/ext4/1" -O "$base/partclone/$((number++))" ${options#* } >/dev/null 2>&1
    done
    partclone.ntfs -f 0 -L /dev/null -c -s "$base/ntfs/1" -O "$base/partclone/ntfs" >/dev/null 2>&1
    {
        printf 'partclone-imageEXTFS\0\0\0\0\0\0\0\0\0\x000001\0\0\0\2\0\0'
        printf '\0\20\0\0\0\0\0\0\10\0\0\0\0\0\0\0\2\0\0\0\0\0\0\0'
        head -c 4096 /dev/zero
        printf '\1\0\0\1\0\0\0\0BiTmAgIc'
        head -c 1032 "$base/ext4/1"
    } >"$base/partclone/old"
    ntfsclone -q -s -O "$base/ntfsclone/0" "$base/ntfs/0" >/dev/null 2>&1
    ntfsclone -q -s -O "$base/ntfsclone/1" "$base/ntfs/1" >/dev/null 2>&1
}

make_seeds() { # TARGET
    local folder=$corpus/$1 name number
    mkdir -p "$folder"
    case $1 in
    manifest | linux | windows | probe | clonezilla | wsb | restic | borg | luks | lvm | md | registry | registry_log | inf | disc | microvm | job_file | cloud)
        REHOME_FUZZ_SEEDS=$folder "$binaries/$1" 2>/dev/null
        ;;
    capture)
        printf '\001h\003\000\000\000\000\000\000\000%032d' 0 >"$folder/hashes"
        printf '\002r\000\000\001\000\000\000\000\000\000\000\001\000\000\000\000\000.' >"$folder/free"
        printf '\003.e\012\000{"kind":1}' >"$folder/failure"
        printf '\000{"rehome_facts":1,"platform":{"name":"a","architecture":"x86_64","firmware":"bios","processors":1,"memory_mib":512,"local_clock":false},"disks":[{"path":"/dev/sda","size":512,"sector_size":512,"bus":"scsi","rotational":true,"removable":false,"read_only":false,"partitions":[]}],"adapters":[{"name":"e","mac":"52:54:00:00:00:01"}],"notes":[]}' >"$folder/facts"
        ;;
    initramfs)
        REHOME_FUZZ_SEEDS=$folder "$binaries/$1" 2>/dev/null
        for name in plain module; do
            gzip -9nkf "$folder/$name"
            xz -kf --check=crc32 "$folder/$name"
            zstd -qkf "$folder/$name"
            lz4 -qlkf "$folder/$name" "$folder/$name.lz4"
            cat "$folder/$name" "$folder/$name.gz" >"$folder/$name.two"
        done
        ;;
    machine)
        find "$here/../../drivers/machine" "$here/../../samples" -size -40k -not -name '*schema*' \
            \( -name '*.json' -o -name '*.vmx' -o -name '*.ovf' \) 2>/dev/null |
            while read -r name; do cp "$name" "$folder/$(sha256sum "$name" | cut -c 1-16)"; done
        ;;
    dialects)
        find "$here/../../drivers/machine/tests" \( -name '*.xml' -o -name '*.cfg' -o -name '*.conf' \) |
            while read -r name; do cp "$name" "$folder/$(basename "$name")"; done
        ;;
    *)
        # Base number and no patch yet; with and without checksums put right.
        for ((number = 0; number < $(find "$corpus/base/$1" -type f | wc -l); number++)); do
            printf '%b' "\\x$(printf %02x "$number")\\x01" >"$folder/seed-$number"
            printf '%b' "\\x$(printf %02x "$number")\\x01\\x02\\x01\\x00\\x08\\x02\\xff\\xff" >"$folder/seed-$number-patch"
        done
        ;;
    esac
}

run() { # TARGET
    mkdir -p "$here/artifacts/$1"
    "$binaries/$1" -seed="${REHOME_FUZZ_SEED:-1}" -max_total_time="$seconds" -timeout=5 -rss_limit_mb=512 -max_len=65536 -len_control=50 -print_final_stats=1 \
        -artifact_prefix="$here/artifacts/$1/" "$corpus/$1" >"$here/artifacts/$1.log" 2>&1 &&
        say "$1: $(sed -n 's/^stat::number_of_executed_units: *//p' "$here/artifacts/$1.log") inputs in $seconds s, $(
            grep -o 'cov: [0-9]*' "$here/artifacts/$1.log" | tail -n 1), $(
            sed -n 's/^stat::peak_rss_mb: *//p' "$here/artifacts/$1.log") MiB"
}

say "building"
build
make_bases
try() { # TARGET: leaves artifacts/TARGET.failed where it fails
    rm -f "$here/artifacts/$1.failed"
    make_seeds "$1"
    if ! run "$1"; then
        touch "$here/artifacts/$1.failed"
        grep -h -A 3 -m 1 -e 'panicked at' -e 'ERROR: libFuzzer' "$here/artifacts/$1.log" | cut -c 1-400 >&2 || true
        say "$1 failed, the input is in $here/artifacts/$1"
    fi
}

mkdir -p "$here/artifacts"
running=0
for target in "${targets[@]}"; do
    if ((running == $(nproc))); then
        wait -n
        running=$((running - 1))
    fi
    try "$target" &
    running=$((running + 1))
done
wait
failed=()
for target in "${targets[@]}"; do
    if [[ -e $here/artifacts/$target.failed ]]; then failed+=("$target"); fi
done
((${#failed[@]} == 0)) || { say "failed: ${failed[*]}"; exit 1; }
