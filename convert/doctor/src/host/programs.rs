//! Programs, files and devices that rehome uses where they are there.

use super::{Finding, State};
use crate::run::{first_line, program};
use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};

/// UEFI for QEMU where distributions put it.
const FIRMWARE: [&str; 9] = [
    "/usr/share/OVMF/OVMF_CODE_4M.fd",
    "/usr/share/OVMF/OVMF_CODE.fd",
    "/usr/share/edk2/ovmf/OVMF_CODE.fd",
    "/usr/share/edk2/x64/OVMF_CODE.4m.fd",
    "/usr/share/edk2-ovmf/x64/OVMF_CODE.fd",
    "/usr/share/qemu/ovmf-x86_64-4m-code.bin",
    "/usr/share/qemu/ovmf-x86_64-code.bin",
    "/usr/share/ovmf/x64/OVMF_CODE.fd",
    "/usr/share/qemu/edk2-x86_64-code.fd",
];

pub(super) fn findings() -> Vec<Finding> {
    vec![
        qemu(),
        kvm(),
        firmware(),
        kernel(),
        fuse(),
        tool(
            ("qemu-img", &["qemu-img"], "--version"),
            "nothing of rehome: only other programs that scripts call beside it",
            "install qemu-utils (Debian, Ubuntu) or qemu-img (Fedora, RHEL)",
        ),
        tool(("borg", &["borg"], "--version"), "Borg repositories cannot be read", "install borgbackup"),
        tool(
            ("ssh", &["ssh"], "-V"),
            "sources on other machines cannot be piped over ssh",
            "install openssh-client (Debian, Ubuntu) or openssh-clients (Fedora, RHEL)",
        ),
    ]
}

fn tool(
    (name, programs, version): (&'static str, &[&str], &str),
    without: &'static str,
    get: &'static str,
) -> Finding {
    match programs.iter().find_map(|name| program(name)) {
        None => Finding::ok(name, "not found in PATH").but(State::Missing, without, get),
        Some(path) => {
            let said = first_line(&path, &[version]).unwrap_or_else(|| "does not tell its version".into());
            Finding::ok(name, format!("{} ({said})", path.display()))
        }
    }
}

fn qemu() -> Finding {
    const WITHOUT: &str = "no boot test and no micro-VM: btrfs, thin volumes, RAID 5 and 6 and programs of guests are out of reach";
    const GET: &str = "install qemu-system-x86 (Debian, Ubuntu) or qemu-kvm (RHEL and its kin)";
    let kin = Path::new("/usr/libexec/qemu-kvm");
    let found = program("qemu-system-x86_64").or_else(|| kin.is_file().then(|| kin.to_owned()));
    let Some(path) = found else {
        return Finding::ok("qemu", "no qemu-system-x86_64").but(State::Missing, WITHOUT, GET);
    };
    match first_line(&path, &["--version"]) {
        Some(version) => Finding::ok("qemu", format!("{} ({version})", path.display())),
        None => Finding::ok("qemu", format!("{} does not answer", path.display())).but(
            State::Missing,
            WITHOUT,
            GET,
        ),
    }
}

fn kvm() -> Finding {
    const WITHOUT: &str = "guests are emulated: a boot test takes minutes";
    match OpenOptions::new().read(true).write(true).open("/dev/kvm") {
        Ok(_) => Finding::ok("kvm", "/dev/kvm can be used"),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Finding::ok("kvm", "there is no /dev/kvm").but(
            State::Degraded,
            WITHOUT,
            "switch virtualisation on in the firmware; in a virtual machine let its host allow nesting",
        ),
        Err(e) => Finding::ok("kvm", format!("/dev/kvm: {e}")).but(
            State::Degraded,
            WITHOUT,
            "become a member of its group (usermod -aG kvm USER) and log in anew",
        ),
    }
}

fn firmware() -> Finding {
    match FIRMWARE.iter().find(|path| Path::new(path).is_file()) {
        Some(path) => Finding::ok("firmware", *path),
        None => Finding::ok("firmware", "no UEFI firmware for QEMU").but(
            State::Missing,
            "guests that start by UEFI cannot be boot-tested",
            "install ovmf (Debian, Ubuntu), edk2-ovmf (Fedora, RHEL, Arch) or qemu-ovmf-x86_64 (SUSE)",
        ),
    }
}

/// A kernel of this host with its modules, the newest by name.
fn kernel() -> Finding {
    const WITHOUT: &str = "no micro-VM: what only a kernel can edit stays as it is";
    let mut kernels: Vec<(String, PathBuf)> = Vec::new();
    for entry in std::fs::read_dir("/boot").into_iter().flatten().flatten() {
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some(version) = name.strip_prefix("vmlinuz-").filter(|version| !version.contains("rescue"))
        else {
            continue;
        };
        let has_modules = ["/lib/modules", "/usr/lib/modules"]
            .iter()
            .any(|folder| Path::new(folder).join(version).is_dir());
        if has_modules {
            kernels.push((version.to_owned(), path));
        }
    }
    kernels.sort();
    let Some((_, path)) = kernels.pop() else {
        return Finding::ok("kernel", "no kernel in /boot with its modules").but(
            State::Missing,
            WITHOUT,
            "install one: linux-image-amd64 (Debian), linux-image-generic (Ubuntu), kernel-core and kernel-modules (RHEL)",
        );
    };
    match File::open(&path) {
        Ok(_) => Finding::ok("kernel", path.display().to_string()),
        // Ubuntu keeps them to root.
        Err(e) => Finding::ok("kernel", format!("{}: {e}", path.display())).but(
            State::Missing,
            WITHOUT,
            "let your user read it: chmod +r /boot/vmlinuz-* as root, or name a copy with --kernel",
        ),
    }
}

fn fuse() -> Finding {
    const WITHOUT: &str = "rehome mount does not work; ls, cat and cp-out do";
    if let Err(e) = OpenOptions::new().read(true).write(true).open("/dev/fuse") {
        let get =
            "load the module fuse; in a container let /dev/fuse in (--device /dev/fuse --cap-add SYS_ADMIN)";
        return Finding::ok("fuse", format!("/dev/fuse: {e}")).but(State::Missing, WITHOUT, get);
    }
    match ["fusermount3", "fusermount"].into_iter().find_map(program) {
        Some(path) => Finding::ok("fuse", format!("/dev/fuse and {}", path.display())),
        None if rustix::process::geteuid().is_root() => {
            Finding::ok("fuse", "/dev/fuse, mounted by root itself")
        }
        None => {
            Finding::ok("fuse", "/dev/fuse, but no fusermount3").but(State::Missing, WITHOUT, "install fuse3")
        }
    }
}
