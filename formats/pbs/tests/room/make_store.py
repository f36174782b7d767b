#!/usr/bin/env python3
"""Writes an encrypted datastore of Proxmox Backup Server into FOLDER/store, and its key into FOLDER/key.json.

    make_store.py FOLDER none|scrypt|pbkdf2

Written from the published file format alone, with other libraries than the program's.
"""
import base64
import hashlib
import hmac
import json
import os
import struct
import subprocess
import sys
import zlib

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

CHUNK = 65536
PASSPHRASE = b"correct horse"
ENCRYPTED = hashlib.sha256(b"Proxmox Backup encrypted blob v1.0").digest()[:8]
ENCRYPTED_PACKED = hashlib.sha256(b"Proxmox Backup zstd compressed encrypted blob v1.0").digest()[:8]
PLAIN = hashlib.sha256(b"Proxmox Backup uncompressed blob v1.0").digest()[:8]
FIXED = hashlib.sha256(b"Proxmox Backup fixed sized chunk index v1.0").digest()[:8]

folder, kdf = sys.argv[1:]
key = hashlib.sha256(b"a key for tests").digest()
id_key = hashlib.pbkdf2_hmac("sha256", key, b"_id_key", 10)
fingerprint = hashlib.sha256(hashlib.sha256(b"Proxmox Backup Encryption Key Fingerprint").digest() + id_key)
fingerprint = fingerprint.digest().hex(":")


def seal(data, with_key):
    # The same bytes every time.
    start = hashlib.sha256(b"start" + data).digest()[:16]
    cipher = Cipher(algorithms.AES(with_key), modes.GCM(start)).encryptor()
    sealed = cipher.update(data) + cipher.finalize()
    return start + cipher.tag, sealed


def encrypted_blob(content):
    packed = subprocess.run(["zstd", "-1", "-c"], input=content, capture_output=True, check=True).stdout
    magic, data = (ENCRYPTED_PACKED, packed) if len(packed) < len(content) else (ENCRYPTED, content)
    head, sealed = seal(data, key)
    return magic + struct.pack("<I", zlib.crc32(sealed)) + head + sealed


def write(path, content):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(content)


def key_file():
    salt = bytes(range(32))
    if kdf == "none":
        derivation, data = None, key
    elif kdf == "scrypt":
        derivation = {"Scrypt": {"n": 65536, "r": 8, "p": 1, "salt": base64.b64encode(salt).decode()}}
        wrap = hashlib.scrypt(PASSPHRASE, salt=salt, n=65536, r=8, p=1, maxmem=1 << 30, dklen=32)
        head, sealed = seal(key, wrap)
        data = head + sealed
    else:
        derivation = {"PBKDF2": {"iter": 65535, "salt": base64.b64encode(salt).decode()}}
        head, sealed = seal(key, hashlib.pbkdf2_hmac("sha256", PASSPHRASE, salt, 65535))
        data = head + sealed
    return {
        "kdf": derivation,
        "created": "2026-11-01T00:00:00Z",
        "modified": "2026-11-01T00:00:00Z",
        "data": base64.b64encode(data).decode(),
        "fingerprint": fingerprint,
        "hint": "what a staple is wrong with",
    }


disk = bytes(((at * at) >> 7) & 255 for at in range(200_000))
disk += bytes(150_000)
disk += bytes((at >> 5) & 255 for at in range(33_333))

digests = b""
for at in range(0, len(disk), CHUNK):
    content = disk[at : at + CHUNK]
    digest = hashlib.sha256(content + id_key).digest()
    digests += digest
    name = digest.hex()
    write(f"{folder}/store/.chunks/{name[:4]}/{name}", encrypted_blob(content))

snapshot = f"{folder}/store/vm/100/2026-11-22T02:00:00Z"
index_sum = hashlib.sha256(digests).digest()
header = FIXED + bytes(range(16)) + struct.pack("<q", 1795312800) + index_sum + struct.pack("<QQ", len(disk), CHUNK)
write(f"{snapshot}/drive-scsi0.img.fidx", header.ljust(4096, b"\0") + digests)
config = encrypted_blob(b"name: foreign\nscsi0: x\n")
write(f"{snapshot}/qemu-server.conf.blob", config)
manifest = {
    "backup-type": "vm",
    "backup-id": "100",
    "backup-time": 1795312800,
    "files": [
        {"filename": "qemu-server.conf.blob", "crypt-mode": "encrypt", "size": len(config),
         "csum": hashlib.sha256(config).hexdigest()},
        {"filename": "drive-scsi0.img.fidx", "crypt-mode": "encrypt", "size": len(disk), "csum": index_sum.hex()},
    ],
}
canonical = json.dumps(manifest, sort_keys=True, separators=(",", ":")).encode()
manifest["signature"] = hmac.new(id_key, canonical, hashlib.sha256).hexdigest()
manifest["unprotected"] = {"key-fingerprint": fingerprint}
text = json.dumps(manifest, indent=2).encode()
write(f"{snapshot}/index.json.blob", PLAIN + struct.pack("<I", zlib.crc32(text)) + text)
write(f"{folder}/key.json", json.dumps(key_file()).encode())
