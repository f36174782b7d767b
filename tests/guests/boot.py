#!/usr/bin/env python3
"""Starts a guest from images, which stay as they are, and says whether it is well.

The login prompt on the serial console is not enough: with --root the guest is logged into there, and asked for its root
file system, its mounts, its failed units and its addresses. With --power-cut it is logged into, too, made to write files,
and then loses its power; the images are changed.

Exit 0: well. Exit 1: it failed, or the time passed; the reason and the log's last lines are printed. Exit 2: wrong usage.
Emulation only (tcg): it works where there is no nested virtualisation, and always the same.
"""

import argparse
import os
import re
import select
import signal
import subprocess
import sys
import time

# machine, the device of a disk (N is its number), what comes before the disks, the adapter
CONTROLLERS = {
    "nvme": ("pc", "nvme,serial=vol0123456789abcde{n}", [], "e1000"),
    # Looks like a Hyper-V machine of generation 1 to a guest without drivers for it.
    "gen1": ("pc", "ide-hd,bus=ide.{n}", [], "tulip"),
    # Stands in for generation 2, whose VMBus nothing emulates.
    "gen2": ("q35", "scsi-hd", ["virtio-scsi-pci"], None),
    "ide": ("pc", "ide-hd,bus=ide.{n}", [], "e1000"),
    "sata": ("q35", "ide-hd,bus=ide.{n}", [], "e1000e"),
    "virtio-blk": ("q35", "virtio-blk-pci", [], "virtio-net-pci"),
    "virtio-scsi": ("q35", "scsi-hd", ["virtio-scsi-pci"], "virtio-net-pci"),
    "pvscsi": ("pc", "scsi-hd", ["pvscsi"], "vmxnet3"),
}

# The first of these on the serial console decides.
LOGIN = re.compile(rb"^\S+ login: *$", re.M)
PASSPHRASE = re.compile(rb"Please unlock disk \S+: *$")
FAILURE = re.compile(
    rb"ALERT! .* does not exist|Kernel panic - not syncing.*|You are in (?:emergency|rescue) mode"
    rb"|Give root password for maintenance|Entering emergency mode|dracut:/#|\(initramfs\)|grub rescue>"
    rb"|error: (?:no such device|unknown filesystem|file .* not found|disk .* not found).*|No bootable device"
    rb"|Boot failed: not a bootable disk|BdsDxe: No bootable option.*|Shell>|dracut-initqueue\[\d+\]: Warning: Could not boot.*"
)
CONTROL = re.compile(rb"\x1b\[[0-9;?=]*[a-zA-Z]|[\r\0]")

# The words of the marks are put together by the shell, so that its echo of this text is no mark.
REPORT = """ stty -echo cols 500; PS1=; echo RE"PORT"-BEGIN; \
echo "state $(timeout 200 systemctl is-system-running --wait)"; \
systemctl --failed --plain --no-legend | sed 's/^/failed /'; \
echo "root $(findmnt -no UUID /)"; echo "kernel $(uname -r)"; \
echo "rounds $(cat /root/rounds /dev/null 2>/dev/null | wc -l) $(cat /boot/rounds /dev/null 2>/dev/null | wc -l)"; \
findmnt -snlo TARGET,FSTYPE | while read -r at kind; do [ "$kind" = swap ] || mountpoint -q "$at" || echo "unmounted $at"; done; \
(echo >/dev/udp/10.0.2.2/9) 2>/dev/null; sleep 2; \
ip -o -4 addr show scope global | sed 's/^/address /'; ip -4 route show default | sed 's/^/route /'; \
ip neigh show 10.0.2.2 | sed 's/^/gateway /'; echo RE"PORT"-END
"""

# Two loops, on / and on /boot. A round makes, renames and removes files, and makes a line durable before its number is said.
WRITERS = """ stty -echo; PS1=; rounds() { n=0; mkdir -p $1/dirty; while :; do n=$((n + 1)); \
dd if=/dev/urandom of=$1/dirty/new bs=4k count=$((n % 5 + 1)) status=none; mkdir -p $1/dirty/$((n % 7)); \
mv $1/dirty/new $1/dirty/$((n % 7))/$((n % 20)); rm -rf $1/dirty/$(((n + 3) % 7)); \
echo $n | dd of=$1/rounds oflag=append conv=notrunc,fsync status=none; echo "DUR""ABLE $1 $n."; done; }; \
sync; rounds /boot & rounds /root
"""
DURABLE = re.compile(rb"DURABLE (/root|/boot) (\d+)\.")
LEAST_ROUNDS = 30


class Failed(Exception):
    """The guest is not well, and why."""


class Console:
    """The serial console: everything is logged, and read as lines without control sequences."""

    def __init__(self, qemu, log, deadline):
        self.qemu, self.log, self.deadline, self.text = qemu, log, deadline, b""

    def wait(self, wanted, refuse_failures=True):
        """The match of `wanted` in what the guest has written since the last wait."""
        while True:
            found = wanted.search(self.text)
            failure = FAILURE.search(self.text) if refuse_failures else None
            if failure and (not found or failure.start() < found.start()):
                raise Failed(failure.group().decode(errors="replace"))
            if found:
                self.text = self.text[found.end():]
                return found
            self.read()

    def read(self):
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise Failed("the time has passed")
        ready, _, _ = select.select([self.qemu.stdout], [], [], min(left, 1))
        if not ready:
            return
        data = os.read(self.qemu.stdout.fileno(), 65536)
        if not data:
            said = self.qemu.stderr.read()[-500:].decode(errors="replace")
            raise Failed(f"qemu ended: {said}")
        self.log.write(data)
        self.log.flush()
        # A sequence may be cut by the end of what is there.
        self.text = CONTROL.sub(b"", self.text + data)[-200_000:]

    def send(self, text):
        self.qemu.stdin.write(text.encode())
        self.qemu.stdin.flush()


def firmware_options():
    for code in ("/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_CODE.fd"):
        if os.path.exists(code):
            store = code.replace("CODE", "VARS")
            drive = "if=pflash,format=raw,unit="
            return ["-drive", f"{drive}0,readonly=on,file={code}", "-drive", f"{drive}1,file={store}"]
    sys.exit("boot: no UEFI firmware in /usr/share/OVMF, install the package ovmf")


def command_line(args):
    machine, disk, before, nic = CONTROLLERS[args.controller]
    # -snapshot, but for a power cut: whatever the guest writes, also to the firmware's variables, goes to a temporary file.
    # The time limit is a second guard, for when this program itself is killed.
    line = ["timeout", "--kill-after=5", str(args.seconds + 30), "qemu-system-x86_64"]
    line += ["-accel", "tcg,thread=multi", "-cpu", "max", "-m", "768", "-machine", machine, "-nodefaults"]
    line += ["-display", "none", "-no-reboot", "-serial", "stdio"]
    line += [] if args.power_cut else ["-snapshot"]
    line += firmware_options() if args.firmware == "uefi" else []
    if args.kernel:
        line += ["-kernel", args.kernel, "-initrd", args.initrd, "-append", args.append]
    # restrict: nothing but the address of the gateway answers.
    line += ["-nic", f"user,restrict=on,model={nic},mac={args.mac}" if nic else "none"]
    for device in before:
        line += ["-device", device]
    for number, image in enumerate(args.image):
        line += ["-drive", f"if=none,id=disk{number},format={args.format},file={image},cache=unsafe"]
        order = "" if args.kernel else f",bootindex={number}"
        line += ["-device", f"{disk.format(n=number)},drive=disk{number}{order}"]
    return line


def wait_for_login(console, passphrase):
    """Unlocks what must be unlocked on the way."""
    while console.wait(re.compile(LOGIN.pattern + b"|" + PASSPHRASE.pattern, re.M)).group().startswith(b"Please"):
        if passphrase is None:
            raise Failed("a passphrase is asked for")
        console.send(passphrase + "\n")


def log_in(console):
    console.send("root\n")
    console.wait(re.compile(rb"Password: *$"))
    console.send("rehome\n")
    console.wait(re.compile(rb"# *$"))


def cut_power(console, qemu):
    """Ends the machine while it writes; returns the rounds that were durable before."""
    console.send(WRITERS)
    rounds = {b"/root": 0, b"/boot": 0}
    while min(rounds.values()) < LEAST_ROUNDS:
        place, number = console.wait(DURABLE).groups()
        rounds[place] = int(number)
    # `timeout` leads a group of its own, with qemu in it.
    os.killpg(qemu.pid, signal.SIGKILL)
    return [rounds[b"/root"], rounds[b"/boot"]]


def report(console):
    console.send(REPORT)
    console.wait(re.compile(rb"REPORT-BEGIN"), refuse_failures=False)
    text = b""
    found = console.wait(re.compile(rb"(.*)REPORT-END", re.S), refuse_failures=False)
    text = found.group(1).decode(errors="replace")
    facts = {}
    for line in text.splitlines():
        key, _, value = line.strip().partition(" ")
        facts.setdefault(key, []).append(value)
    return facts


def judge(args, facts):
    """Says what is as it must be; anything else is a failure."""
    root = facts.get("root", [""])[0]
    if root.lower() != args.root.lower():
        raise Failed(f"the root file system is {root!r}, not {args.root!r}")
    said = [f"root {root}"]
    # Without an address to look for, the adapter is another than the guest was made ready for.
    network = ("networking.service", "NetworkManager.service", "systemd-networkd.service")
    failed = [unit for unit in facts.get("failed", []) if args.address or not unit.startswith(network)]
    if failed or facts.get("state") not in (["running"], ["degraded"]):
        raise Failed(f"the system is {facts.get('state')}, failed units: {failed}")
    said.append("no failed unit")
    if "unmounted" in facts:
        raise Failed(f"not mounted: {facts['unmounted']}")
    said.append("all of fstab mounted")
    if args.rounds:
        kept = [int(number) for number in facts["rounds"][0].split()]
        if len(kept) != 2 or any(has < had for has, had in zip(kept, args.rounds)):
            raise Failed(f"of {args.rounds} rounds that were durable, {kept} are there")
        said.append("all that was durable is there")
    if args.address:
        address = " ".join(facts.get("address", []))
        if not re.search(rf"\b{re.escape(args.interface)}\s+inet {re.escape(args.address)} ", address):
            raise Failed(f"{args.interface} has not {args.address}: {address!r}")
        gateway = " ".join(facts.get("gateway", []))
        route = " ".join(facts.get("route", []))
        if "via 10.0.2.2 " not in route + " " or "lladdr" not in gateway:
            raise Failed(f"the gateway does not answer: route {route!r}, neighbour {gateway!r}")
        said.append(f"{args.interface} has {args.address} and reaches its gateway")
    return ", ".join(said)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("image", nargs="+", help="the disks, the boot disk first")
    parser.add_argument("--format", required=True, help="their format, as qemu calls it")
    parser.add_argument("--controller", required=True, choices=sorted(CONTROLLERS))
    parser.add_argument("--firmware", default="bios", choices=["bios", "uefi"])
    parser.add_argument("--kernel", help="start this, where the firmware has no driver for the controller")
    parser.add_argument("--initrd", help="with --kernel: its initramfs")
    parser.add_argument("--append", help="with --kernel: its arguments")
    parser.add_argument("--mac", default="52:54:00:12:34:56", help="hardware address of the adapter")
    parser.add_argument("--root", help="UUID that the root file system must have; without it only the prompt counts")
    parser.add_argument("--passphrase", help="what is typed when a disk must be unlocked")
    parser.add_argument("--power-cut", action="store_true", help="make it write, and end it; prints the durable rounds")
    parser.add_argument("--rounds", type=int, nargs=2, help="those that --power-cut printed and that must be there")
    parser.add_argument("--interface", default="ens5", help="interface that must have --address")
    parser.add_argument("--address", help="address that it must have, with its length")
    parser.add_argument("--seconds", type=int, default=420, help="time limit")
    parser.add_argument("--log", required=True, help="file for all that the guest writes")
    return parser.parse_args()


def main():
    args = arguments()
    begin = time.monotonic()
    seconds = lambda: int(time.monotonic() - begin)
    pipe = subprocess.PIPE
    # An end from outside must not leave qemu behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with open(args.log, "wb") as log:
        qemu = subprocess.Popen(command_line(args), stdin=pipe, stdout=pipe, stderr=pipe)
        console = Console(qemu, log, begin + args.seconds)
        try:
            wait_for_login(console, args.passphrase)
            print(f"boot: {args.controller}: login prompt after {seconds()} s")
            if args.power_cut:
                log_in(console)
                print("rounds", *cut_power(console, qemu))
            elif args.root:
                log_in(console)
                print(f"boot: {args.controller}: {judge(args, report(console))}; after {seconds()} s")
        except Failed as reason:
            print(f"boot: {args.controller}: failed after {seconds()} s: {reason}")
            log.flush()
            with open(args.log, "rb") as whole:
                lines = [line for line in CONTROL.sub(b"", whole.read()).splitlines() if line.strip()]
            for line in lines[-12:]:
                print("    |", line.decode(errors="replace"))
            return 1
        finally:
            qemu.terminate()
            qemu.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
