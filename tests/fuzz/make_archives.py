#!/usr/bin/env python3
"""Base images that no tool of Debian makes: a backup of Proxmox VE and an export of XenServer, of the disk at DISK.

    make_archives.py DISK VMA XVA
"""
import hashlib
import struct
import sys

CLUSTER, BLOCK = 65536, 4096


def md5_at(data, at):
    """The bytes with their MD5 at a place."""
    data = data[:at] + bytes(16) + data[at + 16:]
    return data[:at] + hashlib.md5(data).digest() + data[at + 16:]


def vma(disks):
    """A backup with one device for each disk, their clusters in turn."""
    uuid = bytes(range(16))
    blobs = b"\0"
    places = []
    for blob in [b"qemu-server.conf\0", b"bootdisk: scsi0\n"] + [b"drive-scsi%d\0" % n for n in range(len(disks))]:
        places.append(len(blobs))
        blobs += struct.pack("<H", len(blob)) + blob
    size = (12288 + len(blobs) + 511) // 512 * 512
    header = struct.pack(">4sI16sQ16xIII", b"VMA\0", 1, uuid, 1700000000, 12288, len(blobs), size)
    header = header.ljust(2044, b"\0") + struct.pack(">I", places[0])
    header = header.ljust(3068, b"\0") + struct.pack(">I", places[1])
    header = header.ljust(4096 + 32, b"\0")
    for place, disk in zip(places[2:], disks):
        header += struct.pack(">IIQQQ", place, 0, len(disk), 0, 0)
    out = md5_at((header.ljust(12288, b"\0") + blobs).ljust(size, b"\0"), 32)
    clusters = [(at // CLUSTER, n + 1, disk[at:at + CLUSTER]) for n, disk in enumerate(disks) for at in range(0, len(disk), CLUSTER)]
    clusters.sort(key=lambda cluster: cluster[:2])
    for first in range(0, len(clusters), 3):
        infos, data = b"", b""
        for number, device, cluster in clusters[first:first + 3]:
            mask = 0
            for bit, at in enumerate(range(0, len(cluster), BLOCK)):
                if cluster[at:at + BLOCK].strip(b"\0"):
                    mask |= 1 << bit
                    data += cluster[at:at + BLOCK].ljust(BLOCK, b"\0")
            infos += struct.pack(">HBBI", mask, 0, device, number)
        head = struct.pack(">4sHH16s16x", b"VMAE", 0, len(data) // BLOCK, uuid) + infos
        out += md5_at(head.ljust(512, b"\0"), 24) + data
    return out


def member(name, data):
    """A member of a tar."""
    header = name.encode().ljust(100, b"\0") + b"0000644\0" + b"0000000\0" * 2 + b"%011o\0" % len(data) + b"%011o\0" % 0
    header = (header + b" " * 8 + b"0").ljust(257, b"\0") + b"ustar\x0000"
    header = header.ljust(512, b"\0")
    header = header[:148] + b"%06o\0 " % sum(header) + header[156:]
    return header + data + bytes(-len(data) % 512)


def xva(disks):
    """An export with blocks of 16 KiB, which the format allows."""
    def struct_of(**members):
        inside = "".join(f"<member><name>{key}</name><value>{value}</value></member>" for key, value in members.items())
        return f"<struct>{inside}</struct>"

    objects = ["<value>" + struct_of(**{"class": "VM"}, id="Ref:0", snapshot=struct_of(HVM_boot_policy="BIOS order")) + "</value>"]
    for number, disk in enumerate(disks):
        vbd = struct_of(VM="Ref:0", VDI=f"Ref:{number + 5}", type="Disk", userdevice=number)
        vdi = struct_of(virtual_size=len(disk), name_label=f"disk {number}")
        objects.append("<value>" + struct_of(**{"class": "VBD"}, id=f"Ref:{number + 50}", snapshot=vbd) + "</value>")
        objects.append("<value>" + struct_of(**{"class": "VDI"}, id=f"Ref:{number + 5}", snapshot=vdi) + "</value>")
    root = struct_of(version=struct_of(export_vsn=2), objects=f"<array><data>{''.join(objects)}</data></array>")
    out = member("ova.xml", f"<value>{root}</value>".encode())
    for number, disk in enumerate(disks):
        blocks = [disk[at:at + 16384] for at in range(0, len(disk), 16384)]
        for count, block in enumerate(blocks):
            if block.strip(b"\0") or count in (0, len(blocks) - 1):
                name = f"Ref:{number + 5}/{count:08}"
                out += member(name, block) + member(name + ".checksum", hashlib.sha1(block).hexdigest().encode())
    return out + bytes(1024)


with open(sys.argv[1], "rb") as file:
    content = file.read()
for path, make in (sys.argv[2], vma), (sys.argv[3], xva):
    with open(path, "wb") as file:
        file.write(make([content, content[:5000]]))
