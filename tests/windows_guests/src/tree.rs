//! The files of C:, the boot partition and the ESP.

use crate::program::stub;
use crate::recipe::{Recipe, Release, Special};
use crate::regedit::Keys;
use crate::registry::{Hives, has_launch2};
use std::collections::BTreeMap;

/// A file to be made.
pub(crate) enum File {
    /// With this content.
    Content(Vec<u8>),
    /// Another name of a file.
    LinkTo(String),
    /// Of this length, all zeros.
    Hole(u64),
}

/// Files by their paths below the root of a volume, with `/`.
pub(crate) type Tree = BTreeMap<String, File>;

/// In-box packages whose files lie in the DriverStore, too, and the files.
const PACKAGES: [(&str, &[&str]); 6] = [
    ("wvmbus.inf", &["vmbus.sys"]),
    ("wstorvsc.inf", &["storvsc.sys"]),
    ("wstorflt.inf", &["vmstorfl.sys"]),
    (
        "mshdc.inf",
        &[
            "atapi.sys",
            "ataport.sys",
            "intelide.sys",
            "pciide.sys",
            "pciidex.sys",
            "msahci.sys",
            "storahci.sys",
        ],
    ),
    ("stornvme.inf", &["stornvme.sys"]),
    ("lsi_sas.inf", &["lsi_sas.sys"]),
];

const PROGRAMS: [&str; 17] = [
    "cmd.exe",
    "hal.dll",
    "kernel32.dll",
    "netsh.exe",
    "ntdll.dll",
    "ntoskrnl.exe",
    "pnputil.exe",
    "reg.exe",
    "sc.exe",
    "schtasks.exe",
    "services.exe",
    "shutdown.exe",
    "smss.exe",
    "svchost.exe",
    "winload.efi",
    "winload.exe",
    "winresume.exe",
];

/// Drivers that others need without having a service of their own here.
const LIBRARIES: [&str; 5] = ["ataport.sys", "ndis.sys", "ntfs.sys", "pciidex.sys", "storport.sys"];

/// The files of C: but for the hives.
pub(crate) fn system(recipe: &Recipe, hives: &Hives) -> Tree {
    let mut tree = Tree::new();
    let arch = recipe.release.architecture();
    let mut program = |path: String| {
        let name = path.rsplit('/').next().unwrap().to_owned();
        tree.insert(path, File::Content(stub(&name, arch)));
    };
    for name in PROGRAMS {
        program(format!("Windows/System32/{name}"));
    }
    program("Windows/explorer.exe".to_owned());
    program("Windows/regedit.exe".to_owned());
    program("Windows/System32/WindowsPowerShell/v1.0/powershell.exe".to_owned());
    if arch == "AMD64" {
        program("Windows/SysWOW64/cmd.exe".to_owned());
    }
    for name in hives.system.drivers().iter().map(String::as_str).chain(LIBRARIES) {
        program(format!("Windows/System32/drivers/{name}"));
    }
    programs(&hives.system).into_iter().for_each(&mut program);
    texts(recipe, &mut tree);
    packages(recipe.release, &mut tree);
    if recipe.has(Special::StoreOnly) {
        for name in ["storvsc.sys", "vmstorfl.sys"] {
            tree.remove(&format!("Windows/System32/drivers/{name}")).unwrap();
        }
    }
    if recipe.has(Special::Hibernated) {
        let mut image = b"hibr".to_vec();
        image.resize(1 << 20, 0x5a);
        tree.insert("hiberfil.sys".to_owned(), File::Content(image));
    }
    tree.insert("pagefile.sys".to_owned(), File::Hole(16 << 20));
    tree
}

/// Programs of services on C: that are not Windows' own, by their command lines.
fn programs(system: &Keys) -> Vec<String> {
    let lines = system.command_lines().into_iter();
    let paths = lines.filter_map(|line| {
        let line = line.trim_start_matches(r"\??\").replace("%SystemRoot%", r"C:\Windows");
        let path = match line.strip_prefix('"') {
            Some(quoted) => quoted.split('"').next()?.to_owned(),
            None => line[..line.to_lowercase().find(".exe").or_else(|| line.find(".sys"))? + 4].to_owned(),
        };
        let path = path.replace('\\', "/");
        let path = match path.strip_prefix("C:/") {
            Some(path) => path.to_owned(),
            None => {
                format!("Windows/{}", path.strip_prefix("system32/").map(|rest| format!("System32/{rest}"))?)
            }
        };
        Some(path.replace("Windows/system32/", "Windows/System32/"))
    });
    paths.filter(|path| !path.ends_with("svchost.exe") && !path.contains("/drivers/")).collect()
}

fn texts(recipe: &Recipe, tree: &mut Tree) {
    let mut text = |path: &str, content: &str| {
        tree.insert(path.to_owned(), File::Content(content.replace('\n', "\r\n").into_bytes()));
    };
    text("Windows/System32/drivers/etc/hosts", "# phony\n127.0.0.1 localhost\n");
    text("Windows/win.ini", "; for 16-bit app support\n");
    text("Windows/Temp/new.dll", "new\n");
    text("Windows/Temp/old.dll", "old\n");
    text("Users/Public/desktop.ini", "[.ShellClassInfo]\n");
    text("Users/Administrator/Documents/letter.txt", "Dear reader,\n\nnobody changes this letter.\n");
    text("Program Files/Common Files/phony.txt", "phony\n");
    if recipe.release.architecture() == "AMD64" {
        text("Program Files (x86)/phony.txt", "phony\n");
    }
    if recipe.source.is_aws() && recipe.release.is_nt10() && !has_launch2(recipe) {
        let folder = "ProgramData/Amazon/EC2-Windows/Launch";
        text(&format!("{folder}/Module/Ec2Launch.psd1"), "@{ ModuleVersion = '1.3.2004491' }\n");
        text(&format!("{folder}/Scripts/InitializeInstance.ps1"), "# phony\n");
        text(&format!("{folder}/Config/LaunchConfig.json"), "{ \"setComputerName\": false }\n");
        text("Windows/System32/Tasks/Amazon Ec2 Launch - Instance Initialization", "<Task/>\n");
    }
    if has_launch2(recipe) {
        text("ProgramData/Amazon/EC2Launch/config/agent-config.yml", "version: 1.0\n");
    }
    if recipe.has(Special::Sysprepped) {
        text("Windows/System32/Sysprep/Sysprep_succeeded.tag", "");
    }
    tree.insert("Users/Default/NTUSER.DAT".to_owned(), File::Content(crate::maker::empty(5)));
}

/// INF files, and other names of in-box drivers in the DriverStore.
fn packages(release: Release, tree: &mut Tree) {
    for (inf, files) in PACKAGES {
        let there: Vec<_> = files
            .iter()
            .filter(|file| tree.contains_key(&format!("Windows/System32/drivers/{file}")))
            .collect();
        if there.is_empty() {
            continue;
        }
        let folder = format!("Windows/System32/DriverStore/FileRepository/{}", release.package(inf));
        let text = format!("; phony {inf}\r\n[Version]\r\nSignature=\"$WINDOWS NT$\"\r\n");
        tree.insert(format!("{folder}/{inf}"), File::Content(text.clone().into_bytes()));
        tree.insert(format!("Windows/INF/{inf}"), File::Content(text.into_bytes()));
        for file in there {
            // The driver's own name becomes the link: trees are made in the order of paths.
            let (store, driver) = (format!("{folder}/{file}"), format!("Windows/System32/drivers/{file}"));
            let content = tree.insert(driver, File::LinkTo(store.clone())).unwrap();
            tree.insert(store, content);
        }
    }
}

/// The boot manager of BIOS machines.
pub(crate) fn boot_manager() -> Tree {
    let text = |text: &str| File::Content(text.as_bytes().to_vec());
    Tree::from([
        ("bootmgr".to_owned(), text("phony bootmgr\n")),
        ("Boot/memtest.exe".to_owned(), File::Content(stub("memtest.exe", "x86"))),
        ("Boot/BCD.LOG1".to_owned(), text("")),
        ("Boot/BCD.LOG2".to_owned(), text("")),
        ("Boot/en-US/bootmgr.exe.mui".to_owned(), text("phony\n")),
    ])
}

/// The ESP but for the BCD, as bcdboot fills it.
pub(crate) fn esp(fallback: bool) -> Tree {
    let program = |name: &str| File::Content(stub(name, "AMD64"));
    let mut tree = Tree::from([
        ("EFI/Microsoft/Boot/bootmgfw.efi".to_owned(), program("bootmgfw.efi")),
        ("EFI/Microsoft/Boot/memtest.efi".to_owned(), program("memtest.efi")),
        ("EFI/Microsoft/Boot/BCD.LOG".to_owned(), File::Content(Vec::new())),
        ("EFI/Microsoft/Boot/en-US/bootmgfw.efi.mui".to_owned(), program("bootmgfw.efi.mui")),
    ]);
    if fallback {
        tree.insert("EFI/Boot/bootx64.efi".to_owned(), program("bootmgfw.efi"));
    }
    tree
}

/// The recovery environment.
pub(crate) fn recovery() -> Tree {
    let text = |text: &str| File::Content(text.as_bytes().to_vec());
    Tree::from([
        ("Recovery/WindowsRE/Winre.wim".to_owned(), text("phony\n")),
        ("Recovery/WindowsRE/boot.sdi".to_owned(), text("phony\n")),
        ("Recovery/WindowsRE/ReAgent.xml".to_owned(), text("<WindowsRE version=\"2.0\"/>\n")),
    ])
}
