#!/usr/bin/env python3
"""Saves disks as Proxmox's vzdump does: a VMA archive (vma_spec.txt of pve-qemu), written without rehome.

  vma-save.py OUT.vma qemu-server.conf drive-scsi0=disk.raw [drive-scsi1=data.raw ...]

Clusters of the devices interleave and are a little out of order, as parallel backup jobs leave them.
"""
import hashlib
import os
import random
import struct
import sys
import time
import uuid

CLUSTER = 65536
BLOCK = 4096
PER_EXTENT = 59
ZERO_BLOCK = bytes(BLOCK)


class Blobs:
    """The buffer of names and configuration files; real archives have its lengths in little endian."""

    def __init__(self):
        self.bytes = bytearray(b"\0")

    def add(self, content):
        at = len(self.bytes)
        self.bytes += struct.pack("<H", len(content)) + content
        return at


def header(blobs, config, devices, own):
    head_size = 12288 + len(blobs.bytes)
    head_size += -head_size % 512
    head = bytearray(head_size)
    struct.pack_into(">4sI16sQ16sIII", head, 0, b"VMA\0", 1, own.bytes, int(time.time()), bytes(16), 12288,
                     len(blobs.bytes), head_size)
    for number, (name, data) in enumerate(config):
        struct.pack_into(">I", head, 2044 + 4 * number, name)
        struct.pack_into(">I", head, 3068 + 4 * number, data)
    for number, (name, size) in enumerate(devices, 1):
        struct.pack_into(">IIQ", head, 4096 + 32 * number, name, 0, size)
    head[12288:12288 + len(blobs.bytes)] = blobs.bytes
    head[32:48] = hashlib.md5(head).digest()
    return head


def extent(own, infos, data):
    head = bytearray(512)
    struct.pack_into(">4sHH16s16s", head, 0, b"VMAE", 0, len(data) // BLOCK, own.bytes, bytes(16))
    for number, (mask, device, cluster) in enumerate(infos):
        struct.pack_into(">HBBI", head, 40 + 8 * number, mask, 0, device, cluster)
    head[24:40] = hashlib.md5(head).digest()
    return head + data


def clusters(disks):
    """Every cluster of every device once."""
    counts = [-(-os.fstat(disk.fileno()).st_size // CLUSTER) for disk in disks]
    order = [(device, number) for number in range(max(counts)) for device, count in enumerate(counts) if number < count]
    rng = random.Random(7)
    for start in range(0, len(order), 16):
        part = order[start:start + 16]
        rng.shuffle(part)
        yield from part


def main():
    out, conf, *named = sys.argv[1:]
    own = uuid.uuid4()
    blobs, config, devices, disks = Blobs(), [], [], []
    with open(conf, "rb") as file:
        config.append((blobs.add(b"qemu-server.conf\0"), blobs.add(file.read())))
    for pair in named:
        name, path = pair.split("=", 1)
        disks.append(open(path, "rb", buffering=0))
        devices.append((blobs.add(name.encode() + b"\0"), os.fstat(disks[-1].fileno()).st_size))
    with open(out, "wb") as file:
        file.write(header(blobs, config, devices, own))
        infos, data = [], bytearray()
        for device, number in clusters(disks):
            disks[device].seek(number * CLUSTER)
            cluster = disks[device].read(CLUSTER)
            cluster += bytes(CLUSTER - len(cluster))
            mask = 0
            if cluster.count(0) != CLUSTER:
                for block in range(16):
                    content = cluster[block * BLOCK:(block + 1) * BLOCK]
                    if content != ZERO_BLOCK:
                        mask |= 1 << block
                        data += content
            infos.append((mask, device + 1, number))
            if len(infos) == PER_EXTENT:
                file.write(extent(own, infos, bytes(data)))
                infos, data = [], bytearray()
        if infos:
            file.write(extent(own, infos, bytes(data)))


main()
