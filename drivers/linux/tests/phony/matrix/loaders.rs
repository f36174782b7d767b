//! Boot loaders: their menus, settings, and the kernels and initramfs that they start.

use super::{Images, Recipe, Root, image, kernel_image};
use crate::phony::{ROOT, grubenv};
use driver_core::MemFs;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loader {
    /// GRUB 2 with a generated menu; BIOS.
    Grub2,
    /// The same, UEFI.
    Grub2Efi,
    /// GRUB 2 with loader entries; BIOS.
    Bls,
    /// The same, UEFI.
    BlsEfi,
    /// GRUB legacy.
    Grub1,
    /// GRUB legacy's menu for the loader of paravirtual machines; no partition table.
    PvGrub,
    Extlinux,
    Syslinux,
    SystemdBoot,
    /// A unified kernel image beside systemd-boot.
    Unified,
}

const MACHINE: &str = "0123456789abcdef0123456789abcdef";

type Mounts = Vec<(&'static str, MemFs)>;

impl Loader {
    pub fn name(self) -> &'static str {
        match self {
            Self::Grub2 => "grub2",
            Self::Grub2Efi => "grub2-efi",
            Self::Bls => "bls",
            Self::BlsEfi => "bls-efi",
            Self::Grub1 => "grub1",
            Self::PvGrub => "pv-grub",
            Self::Extlinux => "extlinux",
            Self::Syslinux => "syslinux",
            Self::SystemdBoot => "systemd-boot",
            Self::Unified => "uki",
        }
    }

    /// Where the EFI system partition is mounted.
    pub fn esp(self) -> Option<&'static str> {
        match self {
            Self::Grub2Efi | Self::BlsEfi => Some("/boot/efi"),
            Self::SystemdBoot | Self::Unified => Some("/boot"),
            _ => None,
        }
    }

    /// Adds everything below /boot to the guest's file systems.
    pub fn install(self, recipe: &Recipe, mounts: &mut Mounts) {
        let own_boot = recipe.distribution.boot && self.esp() != Some("/boot");
        let mut boot = Place {
            prefix: if own_boot || self.esp() == Some("/boot") { "" } else { "/boot" },
            fs: MemFs::new(),
            recipe,
        };
        let mut esp = MemFs::new();
        let mut etc = mounts.remove(0).1;
        boot.kernels();
        match self {
            Self::Grub2 | Self::Grub2Efi => boot.grub2(self, &mut etc, &mut esp),
            Self::Bls | Self::BlsEfi => boot.bls(self, &mut etc, &mut esp),
            Self::Grub1 | Self::PvGrub => boot.grub1(self),
            Self::Extlinux => boot.extlinux(&mut etc),
            Self::Syslinux => boot.syslinux(),
            Self::SystemdBoot | Self::Unified => boot.systemd_boot(self, &mut etc),
        }
        // Where /boot is no file system of its own its files are the root's.
        if boot.prefix.is_empty() {
            mounts.push(("/", etc.with_folder("/boot")));
            let fs = if self.esp() == Some("/boot/efi") { boot.fs.with_folder("/efi") } else { boot.fs };
            mounts.push(("/boot", fs));
        } else {
            let etc = merged(etc, &boot.fs);
            mounts.push(("/", if self.esp().is_some() { etc.with_folder("/boot/efi") } else { etc }));
        }
        if self.esp() == Some("/boot/efi") {
            mounts.push(("/boot/efi", esp));
        }
    }
}

/// `fs` with the files and links of `other`.
fn merged(fs: MemFs, other: &MemFs) -> MemFs {
    use driver_core::{FileKind, GuestFs};
    fn add(fs: MemFs, other: &MemFs, folder: &str) -> MemFs {
        other.read_dir(folder).unwrap().into_iter().fold(fs, |fs, entry| {
            let path = format!("{}/{}", folder.trim_end_matches('/'), entry.name);
            match entry.kind {
                FileKind::Folder => add(fs.with_folder(&path), other, &path),
                FileKind::Link => fs.with_link(&path, &other.read_link(&path).unwrap()),
                _ => fs.with_file(&path, other.read_file(&path, u64::MAX).unwrap()),
            }
        })
    }
    add(fs, other, "/")
}

/// /boot while it is made.
struct Place<'a> {
    /// What stands before its paths in the root's file system.
    prefix: &'static str,
    fs: MemFs,
    recipe: &'a Recipe,
}

impl Place<'_> {
    fn put(&mut self, path: &str, content: impl AsRef<[u8]>) {
        self.fs = std::mem::take(&mut self.fs).with_file(&format!("{}{path}", self.prefix), content);
    }

    fn link(&mut self, path: &str, target: &str) {
        self.fs = std::mem::take(&mut self.fs).with_link(&format!("{}{path}", self.prefix), target);
    }

    /// Version, kernel and initramfs, by their file names.
    fn names(&self) -> Vec<(&'static str, String, String)> {
        let distribution = self.recipe.distribution;
        let flavours = ["linux", "linux-lts"].iter();
        let names = |(version, flavour): (&&'static str, &&str)| {
            let version = *version;
            let (kernel, initrd) = match distribution.images {
                Images::Debian => (format!("vmlinuz-{version}"), format!("initrd.img-{version}")),
                Images::RedHat => (format!("vmlinuz-{version}"), format!("initramfs-{version}.img")),
                Images::RedHat5 => (format!("vmlinuz-{version}"), format!("initrd-{version}.img")),
                Images::Suse => (format!("vmlinuz-{version}"), format!("initrd-{version}")),
                Images::Arch => (format!("vmlinuz-{flavour}"), format!("initramfs-{flavour}.img")),
                Images::Alpine => ("vmlinuz-lts".into(), "initramfs-lts".into()),
            };
            (version, kernel, initrd)
        };
        distribution.kernels.iter().zip(flavours).map(names).collect()
    }

    fn kernels(&mut self) {
        for (version, kernel, initrd) in self.names() {
            self.put(&format!("/{kernel}"), kernel_image(version));
            self.put(&format!("/{initrd}"), image(self.recipe.distribution.maker, version));
            // With zstd a file would be packed as well, but its levels for archives take far more memory and time.
            self.put(&format!("/config-{version}"), "CONFIG_RD_XZ=y\nCONFIG_MODULES=y\n");
        }
        if self.recipe.distribution.images == Images::Suse {
            let (_, kernel, initrd) = self.names().remove(0);
            self.link("/vmlinuz", &kernel);
            self.link("/initrd", &initrd);
        }
    }

    fn grub2(&mut self, loader: Loader, etc: &mut MemFs, esp: &mut MemFs) {
        let folder =
            if matches!(self.recipe.distribution.images, Images::Debian | Images::Arch | Images::Alpine) {
                "grub"
            } else {
                "grub2"
            };
        let arguments = self.recipe.arguments();
        let mut menu = String::from("set default=\"${saved_entry}\"\nset timeout=5\n");
        for (version, kernel, initrd) in self.names() {
            let prefix = self.prefix;
            menu += &format!(
                "menuentry 'Linux {version}' --class os $menuentry_id_option 'gnulinux-{version}' {{\n\tinsmod gzio\n\tset root='hd0,gpt1'\n\t\
                 search --no-floppy --fs-uuid --set=root {ROOT}\n\tlinux\t{prefix}/{kernel} {arguments}\n\tinitrd\t{prefix}/{initrd}\n}}\n"
            );
        }
        // The older of two kernels was chosen.
        let saved = self.recipe.distribution.kernels.last().unwrap_or(&"");
        let stub = format!(
            "search.fs_uuid {ROOT} root\nset prefix=($root)'{}/{folder}'\nconfigfile $prefix/grub.cfg\n",
            self.prefix
        );
        let old_red_hat = self.recipe.distribution.images == Images::RedHat;
        if loader == Loader::Grub2Efi && old_red_hat {
            *esp = std::mem::take(esp)
                .with_file("/EFI/centos/grub.cfg", &menu)
                .with_file("/EFI/centos/grubenv", grubenv(&format!("saved_entry=gnulinux-{saved}\n")));
            self.link("/grub2/grubenv", "../efi/EFI/centos/grubenv");
        } else {
            self.put(&format!("/{folder}/grub.cfg"), &menu);
            self.put(&format!("/{folder}/grubenv"), grubenv(&format!("saved_entry=gnulinux-{saved}\n")));
        }
        let vendor = match self.recipe.distribution.images {
            Images::Debian if self.recipe.distribution.name.starts_with("ubuntu") => "ubuntu",
            Images::Debian => "debian",
            Images::Suse => "sles",
            _ => "centos",
        };
        if loader == Loader::Grub2Efi {
            *esp = std::mem::take(esp)
                .with_file(&format!("/EFI/{vendor}/shimx64.efi"), "shim")
                .with_file(&format!("/EFI/{vendor}/grubx64.efi"), "grub");
            if !old_red_hat {
                *esp = std::mem::take(esp).with_file(&format!("/EFI/{vendor}/grub.cfg"), stub);
            }
        }
        if self.recipe.distribution.name == "ubuntu-24.04" && self.recipe.root == Root::PartUuid {
            *etc = std::mem::take(etc)
                .with_file("/etc/default/grub.d/40-force-partuuid.cfg", "GRUB_FORCE_PARTUUID=8a3c51d0-01\n");
        }
        self.default_grub(etc);
    }

    /// /etc/default/grub and device.map.
    fn default_grub(&mut self, etc: &mut MemFs) {
        let source = self.recipe.source;
        let arguments = self.recipe.arguments();
        // GRUB finds the root by itself; everything else is kept here.
        let rest = arguments.split_whitespace().filter(|word| !word.starts_with("root=") && *word != "ro");
        let rest: Vec<_> = rest.collect();
        *etc = std::mem::take(etc).with_file(
            "/etc/default/grub",
            format!("GRUB_DEFAULT=saved\nGRUB_TIMEOUT=5\nGRUB_CMDLINE_LINUX=\"{}\"\n", rest.join(" ")),
        );
        if self.recipe.distribution.images == Images::RedHat {
            *etc = std::mem::take(etc).with_link("/etc/sysconfig/grub", "../default/grub");
            self.put(
                "/grub2/device.map",
                format!("# this device map was generated by anaconda\n(hd0)      {}\n", source.device(0, 0)),
            );
        }
    }

    fn bls(&mut self, loader: Loader, etc: &mut MemFs, esp: &mut MemFs) {
        let arguments = self.recipe.arguments();
        let by_variable = self.recipe.distribution.name.ends_with("-8");
        let saved = self.recipe.distribution.kernels.last().unwrap_or(&"");
        for (version, kernel, initrd) in self.names() {
            let options = if by_variable { "$kernelopts $tuned_params" } else { arguments.as_str() };
            let prefix = self.prefix;
            self.put(
                &format!("/loader/entries/{MACHINE}-{version}.conf"),
                format!("title Linux ({version})\nversion {version}\nlinux {prefix}/{kernel}\ninitrd {prefix}/{initrd} $tuned_initrd\noptions {options}\ngrub_users $grub_users\n"),
            );
        }
        let options = if by_variable { format!("kernelopts={arguments}\n") } else { String::new() };
        let environment = grubenv(&format!("saved_entry={MACHINE}-{saved}\n{options}boot_success=0\n"));
        let menu = "load_env\nset default=\"${saved_entry}\"\ninsmod blscfg\nblscfg\n";
        // RHEL 8 still has the menu on the EFI system partition, later ones a stub.
        if loader == Loader::BlsEfi && by_variable {
            *esp = std::mem::take(esp)
                .with_file("/EFI/redhat/grub.cfg", menu)
                .with_file("/EFI/redhat/grubenv", environment);
            self.link("/grub2/grubenv", "../efi/EFI/redhat/grubenv");
        } else {
            self.put("/grub2/grub.cfg", menu);
            self.put("/grub2/grubenv", environment);
            if loader == Loader::BlsEfi {
                *esp = std::mem::take(esp).with_file("/EFI/redhat/grub.cfg", "configfile $prefix/grub.cfg\n");
                *etc = std::mem::take(etc).with_link("/etc/grub2-efi.cfg", "../boot/grub2/grub.cfg");
            }
        }
        if loader == Loader::BlsEfi {
            let vendor = if self.recipe.distribution.name.starts_with("amazon") { "amzn" } else { "redhat" };
            *esp = std::mem::take(esp)
                .with_file(&format!("/EFI/{vendor}/shimx64.efi"), "shim")
                .with_file(&format!("/EFI/{vendor}/grubx64.efi"), "grub")
                .with_file("/EFI/BOOT/BOOTX64.EFI", "shim");
        }
        *etc = std::mem::take(etc).with_file("/etc/kernel/cmdline", format!("{arguments}\n"));
        self.default_grub(etc);
    }

    fn grub1(&mut self, loader: Loader) {
        let arguments = self.recipe.arguments();
        let device = self.recipe.source.device(0, 0);
        let disk = if loader == Loader::PvGrub { "(hd0)" } else { "(hd0,0)" };
        let debian = self.recipe.distribution.images == Images::Debian;
        let mut menu = format!("#boot={device}\ndefault=1\ntimeout=5\n");
        if debian {
            menu += &format!(
                "## ## Start Default Options ##\n# kopt={arguments}\n# groot={disk}\n# defoptions=quiet splash\n## ## End Default Options ##\n"
            );
        }
        for (version, kernel, initrd) in self.names() {
            let prefix = self.prefix;
            menu += &format!(
                "title Linux ({version})\n\troot {disk}\n\tkernel {prefix}/{kernel} {arguments}\n\tinitrd {prefix}/{initrd}\n"
            );
        }
        match self.recipe.distribution.images {
            Images::RedHat | Images::RedHat5 => {
                self.put("/grub/grub.conf", menu);
                self.link("/grub/menu.lst", "./grub.conf");
                self.put("/grub/device.map", format!("(hd0)     {device}\n"));
            }
            _ => self.put("/grub/menu.lst", menu),
        }
    }

    fn extlinux(&mut self, etc: &mut MemFs) {
        let arguments = self.recipe.arguments();
        let (alpine, prefix) = (self.recipe.distribution.images == Images::Alpine, self.prefix);
        let mut menu = String::new();
        for (number, (version, kernel, initrd)) in self.names().into_iter().enumerate() {
            menu += &match alpine {
                true => format!(
                    "LABEL lts\n  MENU DEFAULT\n  MENU LABEL Linux lts\n  LINUX {kernel}\n  INITRD {initrd}\n  APPEND {arguments}\n"
                ),
                false => format!(
                    "label l{number}\n\tmenu label Debian GNU/Linux, kernel {version}\n\tlinux {prefix}/{kernel}\n\tappend initrd={prefix}/{initrd} {arguments}\n"
                ),
            };
        }
        let root = self.recipe.spec(super::Part::Root);
        if alpine {
            self.put(
                "/extlinux.conf",
                format!("# Generated by update-extlinux\nDEFAULT menu.c32\nPROMPT 0\nTIMEOUT 10\n{menu}"),
            );
            *etc = std::mem::take(etc).with_file(
                "/etc/update-extlinux.conf",
                format!("overwrite=1\ndefault_kernel_opts=\"{}\"\nmodules=sd-mod,usb-storage,ext4\nroot={root}\nserial_port=\n", self.recipe.source.arguments()),
            );
        } else {
            self.put("/extlinux/extlinux.conf", "default l1\nprompt 1\ntimeout 50\ninclude linux.cfg\n");
            self.put("/extlinux/linux.cfg", menu);
            *etc = std::mem::take(etc)
                .with_file("/etc/default/extlinux", format!("EXTLINUX_UPDATE=\"true\"\nEXTLINUX_ROOT=\"root={root}\"\nEXTLINUX_PARAMETERS=\"ro quiet\"\n"));
        }
    }

    fn syslinux(&mut self) {
        let arguments = self.recipe.arguments();
        let mut menu = String::from("DEFAULT linux-lts\nPROMPT 0\nTIMEOUT 50\n");
        for (_, kernel, initrd) in self.names() {
            let label = kernel.trim_start_matches("vmlinuz-");
            menu += &format!(
                "LABEL {label}\n    MENU LABEL Arch {label}\n    LINUX ../{kernel}\n    APPEND {arguments}\n    INITRD ../{initrd}\n"
            );
        }
        self.put("/syslinux/syslinux.cfg", menu);
    }

    fn systemd_boot(&mut self, loader: Loader, etc: &mut MemFs) {
        let arguments = self.recipe.arguments();
        let chosen = match self.recipe.distribution.images {
            Images::Arch => "linux-lts".to_owned(),
            _ => format!("linux-{}*", self.recipe.distribution.kernels.last().unwrap_or(&"")),
        };
        self.put("/loader/loader.conf", format!("timeout 3\n#console-mode keep\ndefault {chosen}\n"));
        self.put("/EFI/systemd/systemd-bootx64.efi", "x");
        self.put("/EFI/BOOT/BOOTX64.EFI", "x");
        if loader == Loader::Unified {
            self.put("/EFI/Linux/linux-arch.efi", "x");
        } else {
            for (version, kernel, initrd) in self.names() {
                let label = if self.recipe.distribution.images == Images::Arch {
                    kernel.trim_start_matches("vmlinuz-").to_owned()
                } else {
                    format!("linux-{version}")
                };
                self.put(
                    &format!("/loader/entries/{label}.conf"),
                    format!("title   {label}\nlinux   /{kernel}\ninitrd  /intel-ucode.img\ninitrd  /{initrd}\noptions {arguments}\n"),
                );
            }
        }
        *etc = std::mem::take(etc).with_file("/etc/kernel/cmdline", format!("{arguments}\n"));
    }
}
