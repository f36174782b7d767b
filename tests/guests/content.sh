# shellcheck shell=bash disable=SC2154  # run.sh's variables
# What a migrated guest must hold, looked at with the tools of its file system and with modprobe. A part of run.sh.

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

root_of() { # GUEST IMAGE.raw: its root, as the ext tools take it
    # shellcheck source=/dev/null
    (source "$here/recipes/$1.sh" && file_systems "$2") | sed -n '1s/^ext4 \(.*\) \([0-9]*\)$/\1?offset=\2/p'
}

take_initramfs() { # ROOT FOLDER: unpacks it there, prints the kernel version
    local name
    name=$(debugfs -R 'ls -p /boot' "$1" 2>/dev/null | awk -F / '$6 ~ /^initrd.img-/ { print $6; exit }')
    debugfs -R "dump /boot/$name $2.img" "$1" 2>/dev/null
    unpack_initramfs "$2.img" "$2"
    echo "${name#initrd.img-}"
}

check_content() { # GUEST IMAGE.raw
    local before=$work/$1-initramfs-before after=$work/$1-initramfs-after root kernel module modules lines
    root=$(root_of "$1" "$2")
    kernel=$(take_initramfs "$(root_of "$1" "$work/$1.raw")" "$before")
    kernel=$(take_initramfs "$root" "$after")
    [[ -L $before/lib && -L $after/lib ]] || fail "$1: /lib of the initramfs is no link any more"
    read -ra modules <<<"${extra_modules[$1]//--add-module/}"
    for module in "${hyperv_modules[@]}" "${modules[@]}"; do
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
check_undo() { # GUEST FOLDER
    local copy found=''
    debugfs -R 'cat /etc/fstab' "$(root_of "$1" "$work/$1.raw")" 2>/dev/null >"$work/$1-fstab"
    while read -r copy; do
        if cmp -s "$copy" "$work/$1-fstab"; then found=$copy; fi
    done < <(find "$2" -type f -name '*fstab*')
    [[ -n $found ]] || fail "$1: no undo copy of fstab in the output folder"
}
