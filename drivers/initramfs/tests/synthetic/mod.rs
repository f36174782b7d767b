//! A made-up guest: kernel modules that the real depmod understands, and images built by the real cpio and compressors.

use std::io::{self, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use driver_initramfs::ModuleSource;

pub const VERSION: &str = "6.1.0-test-amd64";

/// Runs a program with a time limit; gives its output. Panics with the package's name when it is missing.
pub fn tool(package: &str, folder: &Path, argv: &[&str], stdin: &[u8]) -> Vec<u8> {
    let mut child = Command::new("timeout")
        .args(["60"])
        .args(argv)
        .current_dir(folder)
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("LC_ALL", "C")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("timeout of package coreutils");
    let mut pipe = child.stdin.take().unwrap();
    let bytes = stdin.to_vec();
    let feeder = std::thread::spawn(move || drop(pipe.write_all(&bytes)));
    let out = child.wait_with_output().unwrap();
    feeder.join().unwrap();
    assert_ne!(out.status.code(), Some(127), "install package {package}: {argv:?} is missing");
    assert!(out.status.success(), "{argv:?}: {}\n{}", out.status, String::from_utf8_lossy(&out.stderr));
    out.stdout
}

pub fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

/// `(path, exported symbol, used symbols, extra modinfo)`
pub const MODULES: [(&str, &str, &[&str], &[&str]); 7] = [
    ("kernel/drivers/hv/hv_vmbus.ko", "vmbus_open", &[], &["alias=acpi*:VMBUS:*"]),
    ("kernel/drivers/scsi/scsi_mod.ko", "scsi_add", &[], &[]),
    ("kernel/drivers/scsi/scsi_transport_fc.ko", "fc_attach", &["scsi_add"], &[]),
    (
        "kernel/drivers/scsi/hv_storvsc.ko",
        "storvsc",
        &["vmbus_open", "fc_attach"],
        &["alias=vmbus:d96361baa104294db60572e2ffb1dc7f"],
    ),
    ("kernel/drivers/scsi/sd_mod.ko", "sd", &["scsi_add"], &["softdep=pre: crct10dif"]),
    ("kernel/arch/x86/crypto/crct10dif-pclmul.ko", "crc", &[], &["alias=crct10dif"]),
    ("kernel/drivers/block/virtio_blk.ko", "vblk", &[], &["alias=virtio:d00000002v*"]),
];

/// Writes a module file: an ELF object with the sections that depmod reads.
fn compile(folder: &Path, (path, exports, uses, modinfo): (&str, &str, &[&str], &[&str])) {
    let name = path.rsplit('/').next().unwrap().trim_end_matches(".ko");
    let mut asm = String::from(".section .modinfo,\"a\"\n");
    for line in modinfo {
        asm += &format!(".asciz \"{line}\"\n");
    }
    asm += &format!(".asciz \"name={}\"\n", name.replace('-', "_"));
    asm += &format!(".section __ksymtab_strings,\"a\"\n.asciz \"{exports}\"\n.text\nnop\n.data\n");
    for symbol in uses {
        asm += &format!(".quad {symbol}\n");
    }
    let target = folder.join(path);
    std::fs::create_dir_all(target.parent().unwrap()).unwrap();
    let target = target.to_str().unwrap().to_owned();
    tool("gcc", folder, &["cc", "-x", "assembler", "-c", "-o", &target, "-"], asm.as_bytes());
}

/// A root file system below `root` with `usr/lib/modules/VERSION` and `lib` → `usr/lib`. `compress` may be empty, or the
/// suffix of module files.
pub fn guest(root: &Path, modules: &[&str], suffix: &str) {
    let folder = root.join("usr/lib/modules").join(VERSION);
    std::fs::create_dir_all(&folder).unwrap();
    std::os::unix::fs::symlink("usr/lib", root.join("lib")).unwrap();
    for module in MODULES {
        if modules.is_empty() || modules.iter().any(|m| module.0.ends_with(&format!("/{m}.ko"))) {
            compile(&folder, module);
            match suffix {
                "" => {}
                ".xz" => drop(tool("xz-utils", &folder, &["xz", "--check=crc32", module.0], b"")),
                ".zst" => drop(tool("zstd", &folder, &["zstd", "-q", "--rm", module.0], b"")),
                other => panic!("{other}"),
            }
        }
    }
    std::fs::write(folder.join("modules.order"), "").unwrap();
    std::fs::write(folder.join("modules.builtin"), "kernel/fs/ext4/ext4.ko\n").unwrap();
    tool("kmod", root, &["depmod", "-b", root.to_str().unwrap(), VERSION], b"");
}

/// An initramfs-tools image below `root`: usr-merged, one virtio driver, its own indexes.
pub fn image_tree(root: &Path, suffix: &str) {
    guest(root, &["virtio_blk"], suffix);
    for (path, content) in [
        ("conf/initramfs.conf", "MODULES=dep\n"),
        ("conf/modules", "# from the guest\nvirtio_blk"),
        ("usr/sbin/modprobe", "#!"),
        ("init", "#!/bin/sh\n"),
    ] {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
}

/// Packs a tree with the real cpio.
pub fn cpio(root: &Path) -> Vec<u8> {
    let script = "find . | sort | cpio --quiet --reproducible -R 0:0 -o -H newc";
    tool("cpio", root, &["sh", "-c", script], b"")
}

pub const COMPRESSORS: [(&str, &[&str]); 7] = [
    ("coreutils", &["cat"]),
    ("gzip", &["gzip", "-nc"]),
    ("xz-utils", &["xz", "--check=crc32", "-c"]),
    ("zstd", &["zstd", "-qc"]),
    ("lz4", &["lz4", "-lc"]),
    ("bzip2", &["bzip2", "-c"]),
    ("xz-utils", &["xz", "--format=lzma", "-c"]),
];

pub fn compress((package, argv): (&str, &[&str]), bytes: &[u8]) -> Vec<u8> {
    tool(package, Path::new("/"), argv, bytes)
}

/// `/lib/modules/VERSION` below a folder of the test machine.
pub struct Folder<'a>(pub &'a Path);

impl ModuleSource for Folder<'_> {
    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        std::fs::read(self.0.join("usr/lib/modules").join(VERSION).join(path))
    }
}
