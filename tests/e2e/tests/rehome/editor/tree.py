"""All that is below a folder, as a JSON object: path -> type, mode, owner, extended attributes, size, links, time, content.

Folders change size and time with what is in them, so those are left out for them."""

import hashlib
import json
import os
import stat
import sys

root = sys.argv[1]
found = {}


def note(path):
    meta = os.lstat(path)
    names = sorted(os.listxattr(path, follow_symlinks=False))
    entry = {
        "mode": oct(meta.st_mode),
        "owner": [meta.st_uid, meta.st_gid],
        "device": meta.st_rdev,
        "attributes": {name: os.getxattr(path, name, follow_symlinks=False).hex() for name in names},
    }
    if not stat.S_ISDIR(meta.st_mode):
        entry["size"] = meta.st_size
        entry["links"] = meta.st_nlink
        entry["time"] = meta.st_mtime_ns
    if stat.S_ISLNK(meta.st_mode):
        entry["content"] = os.readlink(path)
    if stat.S_ISREG(meta.st_mode):
        with open(path, "rb") as file:
            entry["content"] = hashlib.sha256(file.read()).hexdigest()
    found["/" + os.path.relpath(path, root)] = entry


for folder, folders, files in os.walk(root):
    for name in folders + files:
        note(os.path.join(folder, name))
json.dump(found, sys.stdout)
