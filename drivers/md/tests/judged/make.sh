#!/bin/bash
# Makes layouts.txt anew: where a Linux kernel puts the chunks of RAID 10 arrays. Debian 12 with qemu-system-x86, mdadm, python3.
# Usage: make.sh WORKFOLDER > layouts.txt
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1" && cd "$1"
kernel=$(apt-cache depends linux-image-amd64 | awk '/Depends/ { print $2; exit }')
compgen -G "$kernel*.deb" >/dev/null || apt-get download -q "$kernel" busybox-static >&2
for package in *.deb; do dpkg-deb -x "$package" root; done
rm -rf init.d out.raw w && mkdir -p init.d/{bin,sbin,proc,sys,dev,w,mod,lib/x86_64-linux-gnu,lib64,run/mdadm} w
cp root/bin/busybox init.d/bin/ && for name in $(init.d/bin/busybox --list | grep -vx busybox); do ln -sf busybox "init.d/bin/$name"; done
cp /usr/sbin/mdadm init.d/sbin/ && cp -L /lib/x86_64-linux-gnu/{libudev.so.1,libc.so.6} init.d/lib/x86_64-linux-gnu/
cp -L /lib64/ld-linux-x86-64.so.2 init.d/lib64/ && cp "$here/init" init.d/init && chmod +x init.d/init
modules=(virtio_ring virtio virtio_pci_modern_dev virtio_pci_legacy_dev virtio_pci virtio_blk md-mod raid10 loop)
for name in "${modules[@]}"; do find root/lib/modules -name "$name.ko" -exec cp {} init.d/mod/ \;; done
echo "${modules[@]}" > init.d/modules
(cd init.d && find . | cpio -o -H newc --quiet | gzip -1) > initrd.gz
truncate -s 256M out.raw
timeout 600 qemu-system-x86_64 -accel tcg -m 1024 -nographic -no-reboot -kernel root/boot/vmlinuz-* -initrd initrd.gz \
  -append "console=ttyS0 panic=-1 quiet" -drive file=out.raw,format=raw,if=virtio < /dev/null > log 2>&1
tar -C w -xf out.raw
echo "# Made by make.sh on the kernel of $kernel: 'array NAME LAYOUT DISKS CHUNKS', then for each member what its chunks hold."
tr -d '\r' < log | grep -a -o 'ARRAY .*' | python3 -c '
import sys
CHUNK, START = 16384, 131072
for line in sys.stdin:
    _, name, layout, disks, sectors = line.split()
    print("array", name, hex(int(layout)), disks, int(sectors) * 512 // CHUNK)
    for number in range(int(disks)):
        data = open(f"w/{name}/{number}", "rb").read()[START:]
        row = []
        for at in range(0, len(data) - CHUNK + 1, CHUNK):
            piece = data[at:at + CHUNK]
            if not any(piece):
                row.append("-")
                continue
            first = int(piece[:512])
            wanted = b"".join(b"%-511d\n" % (first + i) for i in range(CHUNK // 512))
            assert piece == wanted and first % (CHUNK // 512) == 0, (name, number, at)
            row.append(str(first // (CHUNK // 512)))
        print(*row)
'
