"""What xl's own parser (libxlutil, through its C interface) makes of a configuration: JSON of the keys asked for, and
path and virtual device of each disk. Fails as xl does on what is not of the language."""
import ctypes
import glob
import json
import sys


class Disk(ctypes.Structure):
    """The first members of libxl_device_disk; room for the others behind."""

    _fields_ = [
        ("backend_domid", ctypes.c_uint32),
        ("backend_domname", ctypes.c_char_p),
        ("pdev_path", ctypes.c_char_p),
        ("vdev", ctypes.c_char_p),
        ("rest", ctypes.c_char * 4096),
    ]


text = sys.stdin.buffer.read()
xlu = ctypes.CDLL(sorted(glob.glob("/usr/lib/*/libxlutil.so.*"))[-1])
stderr = ctypes.c_void_p.in_dll(ctypes.CDLL(None), "stderr")
pointer, string = ctypes.c_void_p, ctypes.c_char_p
xlu.xlu_cfg_init.restype = pointer
xlu.xlu_cfg_init.argtypes = [pointer, string]
xlu.xlu_cfg_readdata.argtypes = [pointer, string, ctypes.c_int]
xlu.xlu_cfg_get_string.argtypes = [pointer, string, ctypes.POINTER(string), ctypes.c_int]
xlu.xlu_cfg_get_list.argtypes = [pointer, string, ctypes.POINTER(pointer), ctypes.POINTER(ctypes.c_int), ctypes.c_int]
xlu.xlu_cfg_get_listitem.restype = string
xlu.xlu_cfg_get_listitem.argtypes = [pointer, ctypes.c_int]
xlu.xlu_disk_parse.argtypes = [pointer, ctypes.c_int, ctypes.POINTER(string), ctypes.POINTER(Disk)]

config = xlu.xlu_cfg_init(stderr, b"input")
if xlu.xlu_cfg_readdata(config, text, len(text)):
    sys.exit(1)
found = {}
for key in sys.argv[1:]:
    value, items, count = string(), pointer(), ctypes.c_int()
    if xlu.xlu_cfg_get_list(config, key.encode(), ctypes.byref(items), ctypes.byref(count), 1) == 0:
        found[key] = [xlu.xlu_cfg_get_listitem(items, index).decode() for index in range(count.value)]
    elif xlu.xlu_cfg_get_string(config, key.encode(), ctypes.byref(value), 1) == 0:
        found[key] = value.value.decode()
disks = []
for spec in found.get("disk", []):
    disk = Disk()
    if xlu.xlu_disk_parse(config, 1, (string * 1)(spec.encode()), ctypes.byref(disk)):
        sys.exit(2)
    disks.append([disk.pdev_path.decode(), disk.vdev.decode()])
found["disks"] = disks
print(json.dumps(found))
