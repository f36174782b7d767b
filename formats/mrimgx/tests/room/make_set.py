#!/usr/bin/env python3
"""Writes a backup set of Macrium Reflect X into FOLDER: a full backup, an increment, and the raw disks of both.

    make_set.py FOLDER none|aes-128|aes-192|aes-256 none|medium|high

Written from the published layout alone, with other libraries than the program's.
"""
import hashlib
import hmac
import json
import struct
import subprocess
import sys

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

folder, aes, level = sys.argv[1:]
IMAGE_ID = "0AD2FD9362D493B1"
DISK, PARTITION, BLOCK = 4, 1, 65536
START, LENGTH, SIZE = 1 << 20, 5 * 65536 + 8192, 2 << 20
RESERVED = 20480
KEY_BYTES = {"aes-128": 16, "aes-192": 24, "aes-256": 32}

image_id = bytes.fromhex(IMAGE_ID)
ITERATIONS = 1000
key = hashlib.pbkdf2_hmac("sha256", "päss word".encode(), hashlib.sha256(image_id).digest(), ITERATIONS)


def crypt(data, mode):
    encryptor = Cipher(algorithms.AES(key[: KEY_BYTES[aes]]), mode).encryptor()
    return encryptor.update(data) + encryptor.finalize()


def start_value(block):
    name = image_id + struct.pack("<HHI", DISK, PARTITION, block)
    encryptor = Cipher(algorithms.AES(hashlib.sha256(key).digest()), modes.ECB()).encryptor()
    return encryptor.update(name) + encryptor.finalize()


def zstd(data):
    return subprocess.run(["zstd", "-3", "-c", "--no-check"], input=data, capture_output=True, check=True).stdout


def padded(data):
    return data + bytes(-len(data) % 16)


class File:
    def __init__(self, number):
        self.number, self.data = number, b""

    def element(self, content, block):
        """A block's element in the index; zeros are not stored."""
        if not any(content):
            return bytes(30)
        stored = content if level == "none" else zstd(content)
        if aes != "none":
            stored = crypt(padded(stored), modes.CBC(start_value(block)))
        element = struct.pack("<q16sIH", len(self.data), hashlib.md5(content).digest(), len(stored), self.number)
        self.data += stored
        return element

    def metadata(self, name, content, last, plain=False):
        stored, flags = content, int(last)
        if content and not plain:
            stored, flags = zstd(content), flags | 2
            if aes != "none" and name != b"$JSON   ":
                stored, flags = crypt(padded(stored), modes.ECB()), flags | 4
        self.data += struct.pack("<8sI16sB3x", name, len(stored), hashlib.md5(stored).digest(), flags) + stored

    def finish(self, index, delta, track0):
        at = len(self.data)
        self.metadata(b"$TRACK0 ", track0, True)
        self.metadata(b"$BITMAP ", b"", False)
        self.metadata(b"$INDEX  ", index, True, plain=True)
        encryption = {"enable": aes != "none", "key_iterations": ITERATIONS if aes != "none" else 0}
        if aes != "none":
            encryption |= {"aes_type": aes, "hmac": hmac.new(key, b"", "sha256").hexdigest(), "key_derivation": "pbkdf2"}
        root = len(self.data)
        text = {
            "_compression": {"compression_level": level, "compression_method": "zstd"},
            "_encryption": encryption,
            "_header": {
                "imageid": IMAGE_ID, "file_number": self.number, "increment_number": self.number, "split_file": False,
                "index_file_position": at, "delta_index": delta, "backup_type": "inc" if delta else "full",
            },
            "disks": [{
                "_header": {"disk_number": DISK, "disk_format": "mbr"},
                "_geometry": {"bytes_per_sector": 512, "disk_size": SIZE},
                "partitions": [{
                    "_header": {"block_size": BLOCK, "partition_number": PARTITION},
                    "_geometry": {"start": START, "length": LENGTH, "boot_sector_offset": 0},
                    "_file_system": {"start": START, "lcn0_offset": START + RESERVED,
                                     "reserved_sectors_byte_length": RESERVED, "type": "FAT32"},
                }],
            }],
        }
        self.metadata(b"$JSON   ", json.dumps(text, indent=4).encode(), True)
        self.data += struct.pack("<Q", root) + b"MACRIUM_FILE"
        with open(f"{folder}/{IMAGE_ID}-set-{self.number:02}-{self.number:02}.mrimgx", "wb") as out:
            out.write(self.data)


def content(count, factor):
    return bytes((at * at // factor) & 255 for at in range(count))


disk = bytearray(SIZE)
entry = struct.pack("<4xB3xII", 0x0C, START // 512, LENGTH // 512)
disk[:512] = (content(446, 3) + entry).ljust(510, b"\0") + b"\x55\xaa"
disk[512:4096] = content(3584, 5)
disk[START : START + LENGTH] = content(LENGTH, 7)
disk[START + RESERVED + BLOCK : START + RESERVED + 2 * BLOCK] = bytes(BLOCK)
data = START + RESERVED
places = range(data, START + LENGTH, BLOCK)


def block_at(place):
    return bytes(disk[place : min(place + BLOCK, START + LENGTH)])


full = File(0)
reserved = full.element(bytes(disk[START:data]), 0)
blocks = [full.element(block_at(place), number) for number, place in enumerate(places)]
index = struct.pack("<I", 1) + reserved + struct.pack("<I", len(blocks)) + b"".join(blocks)
full.finish(index, False, bytes(disk[:4096]))
open(f"{folder}/0.raw", "wb").write(disk)

# A block becomes zeros, one gets content, the reserved sectors change.
disk[data : data + BLOCK] = bytes(BLOCK)
disk[data + BLOCK : data + 2 * BLOCK] = content(BLOCK, 11)
disk[START + 100 : START + 200] = content(100, 1)
delta = File(1)
reserved = delta.element(bytes(disk[START:data]), 0)
changed = [delta.element(block_at(data + number * BLOCK), number) + struct.pack("<I", number) for number in (1, 0)]
index = struct.pack("<I", 1) + reserved + struct.pack("<I", len(changed)) + b"".join(changed)
delta.finish(index, True, bytes(disk[:4096]))
open(f"{folder}/1.raw", "wb").write(disk)
