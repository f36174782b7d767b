#!/bin/bash
# Makes the .txt files here anew: metadata of volume groups, and the tables that LVM loads for them into a kernel's device mapper.
# Debian 12 with qemu-system-x86, lvm2, dmsetup, busybox-static, kmod, linux-image-amd64.
# Usage: make.sh WORKFOLDER
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1" && cd "$1"
version=$(basename "$(find /lib/modules -mindepth 1 -maxdepth 1 | sort -V | tail -n 1)")
rm -rf root && mkdir -p root/{bin,sbin,proc,sys,dev,mod,out,etc/lvm,run/lock/lvm,run/lvm,lib/x86_64-linux-gnu,lib64,tmp}
cp /bin/busybox root/bin/ && for name in $(root/bin/busybox --list | grep -vx busybox); do ln -sf busybox "root/bin/$name"; done
programs=(/usr/sbin/lvm /usr/sbin/dmsetup)
cp "${programs[@]}" root/sbin/
ldd "${programs[@]}" | grep -o '/[^ ]*\.so[^ ]*' | sort -u | while read -r library; do cp -L "$library" root/lib/x86_64-linux-gnu/; done
cp -L /lib64/ld-linux-x86-64.so.2 root/lib64/
cp "$here/init" root/init && chmod +x root/init
modules=(virtio_pci virtio_blk dm-mod dm-thin-pool dm-snapshot dm-mirror dm-log dm-raid raid1 raid10 raid456 raid0 dm-cache dm-cache-smq
    dm-writecache dm-zero)
: > root/modules
for name in "${modules[@]}"; do
    modprobe -S "$version" --show-depends "$name" | awk '$1 == "insmod" { print $2 }'
done | awk '!seen[$0]++' | while read -r file; do
    cp "$file" root/mod/ && basename "$file" >> root/modules
done
(cd root && find . | cpio -o -H newc --quiet | gzip -1) > initrd.gz
disks=()
rm -f disk? out.raw
for number in 0 1 2 3 4 5; do
    truncate -s 256M "disk$number"
    disks+=(-drive "file=disk$number,format=raw,if=virtio,cache=unsafe")
done
truncate -s 16M out.raw
timeout 900 qemu-system-x86_64 -accel tcg -smp 2 -m 1024 -nographic -no-reboot -kernel "/boot/vmlinuz-$version" -initrd initrd.gz \
    -append "console=ttyS0 panic=-1 quiet" "${disks[@]}" -drive file=out.raw,format=raw,if=virtio < /dev/null > log 2>&1
rm -rf out && mkdir out && tar -C out -xf out.raw
(lvm version 2> /dev/null || true) | sed -n 's/^ *LVM version: *\([0-9.]*\).*/\1/p' > out/version
for metadata in out/*.metadata; do
    name=$(basename "$metadata" .metadata)
    {
        echo "# Made by make.sh with LVM $(< out/version) on Linux $version: metadata, then a device to a paragraph: name, UUID, table."
        cat "$metadata"
        echo "# Tables"
        cat "out/$name.tables"
    } > "$here/$name.txt"
done
