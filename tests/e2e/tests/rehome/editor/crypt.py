"""Encrypts or decrypts what lies behind the header of a LUKS container (aes-xts-plain64), with the key that cryptsetup tells.

crypt.py encrypt|decrypt KEY CONTAINER PLAIN OFFSET SECTOR"""

import os
import sys

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

what, key, container, plain, offset, sector = sys.argv[1:]
offset, sector = int(offset), int(sector)
with open(key, "rb") as file:
    algorithm = algorithms.AES(file.read())
decrypts = what == "decrypt"
with open(container, "rb" if decrypts else "r+b") as secret, open(plain, "wb" if decrypts else "rb") as clear:
    secret.seek(offset)
    source, target = (secret, clear) if decrypts else (clear, secret)
    number = 0
    while piece := source.read(sector):
        # The tweak counts in 512 bytes, whatever the size of a sector (dm-crypt without iv_large_sectors).
        mode = modes.XTS((number * sector // 512).to_bytes(16, "little"))
        cipher = Cipher(algorithm, mode)
        worker = cipher.decryptor() if decrypts else cipher.encryptor()
        target.write(worker.update(piece) + worker.finalize())
        number += 1
