#!/usr/bin/env python3
"""Saves a raw disk as XenServer's vm-export lays it out: ova.xml, then blocks of 1 MiB with their SHA-1, zero blocks left out.

  xva-save.py OUT.xva DISK.raw
"""
import hashlib
import io
import os
import sys
import tarfile

BLOCK = 1 << 20


def member(name, value):
    return f"<member><name>{name}</name><value>{value}</value></member>"


def thing(kind, own, members):
    snapshot = member("snapshot", "<struct>" + "".join(member(*pair) for pair in members.items()) + "</struct>")
    return f"<value><struct>{member('class', kind)}{member('id', own)}{snapshot}</struct></value>"


def description(size):
    things = [
        thing("VM", "Ref:1", {"name_label": "guest", "is_a_snapshot": "<boolean>0</boolean>", "HVM_boot_policy": "BIOS order"}),
        thing("VBD", "Ref:2", {"VM": "Ref:1", "VDI": "Ref:7", "type": "Disk", "userdevice": "0"}),
        thing("VDI", "Ref:7", {"virtual_size": str(size), "name_label": "system"}),
    ]
    version = member("version", f"<struct>{member('export_vsn', '2')}</struct>")
    return f"<?xml version=\"1.0\"?>\n<value><struct>{version}{member('objects', '<array><data>' + ''.join(things) + '</data></array>')}</struct></value>\n"


def main():
    out, disk = sys.argv[1:]
    size = os.path.getsize(disk)
    with tarfile.open(out, "w", format=tarfile.USTAR_FORMAT) as archive, open(disk, "rb") as file:
        def add(name, content):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))

        add("ova.xml", description(size).encode())
        last = -(-size // BLOCK) - 1
        for number in range(last + 1):
            block = file.read(BLOCK)
            if number in (0, last) or block.count(0) != len(block):
                add(f"Ref:7/{number:08}", block)
                add(f"Ref:7/{number:08}.checksum", hashlib.sha1(block).hexdigest().encode())


main()
