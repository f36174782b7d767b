//! What inspection says of phony guests.

mod phony;

use driver_core::{DriverState, Guest, GuestTree, MemFs};
use phony::*;

#[test]
fn the_system_its_kernels_and_loader_are_found() {
    for (name, fs) in all() {
        let facts = inspected(&tree(fs));
        let os = facts.os.unwrap();
        assert_eq!(os.arch.as_deref(), Some("x86_64"), "{name}");
        assert_eq!(os.hostname.as_deref(), Some("ip-10-0-1-23"));
        assert_eq!(facts.boot.loader.as_deref(), Some("grub2"), "{name}");
        assert!(facts.obstacles.is_empty(), "{name}: {:?}", facts.obstacles);
        assert_eq!(facts.kernels.len(), 1);
        let kernel = &facts.kernels[0];
        assert!(kernel.default && kernel.image.is_some());
        let maker = if matches!(name, "debian" | "ubuntu") { "initramfs-tools" } else { "dracut" };
        assert_eq!(kernel.initramfs_kind.as_deref(), Some(maker), "{name}");
        assert!(!kernel.initramfs.as_ref().unwrap().contains("kdump"));
        let state = |module: &str| kernel.drivers.iter().find(|d| d.module == module).unwrap();
        assert!(state("nvme").in_initramfs && !state("hv_storvsc").in_initramfs);
        assert_eq!(state("hid_hyperv").state, DriverState::Module);
    }
}

#[test]
fn driver_states_are_told_apart() {
    let tree = tree(debian());
    let mut facts = Guest::default();
    driver_linux::inspect(&tree, &mut facts, &["builtin_one", "not_there"]).unwrap();
    let drivers = &facts.kernels[0].drivers;
    assert_eq!(drivers[0].state, DriverState::BuiltIn);
    assert!(drivers[0].in_initramfs);
    assert_eq!(drivers[1].state, DriverState::Missing);
    assert!(!drivers[1].in_initramfs);
}

#[test]
fn the_default_kernel_is_what_the_menu_says() {
    let old = "6.1.0-9-amd64";
    let fs = |cfg: &str, env: &str| {
        let fs = debian()
            .with_file(&format!("/boot/vmlinuz-{old}"), "MZ")
            .with_file(&format!("/boot/initrd.img-{old}"), initramfs(old, "conf/initramfs.conf", &[]))
            .with_file("/boot/grub/grub.cfg", cfg)
            .with_file("/boot/grub/grubenv", grubenv(env));
        with_modules(with_modules(fs, old, &MODULES), "6.1.0-99-amd64-debug", &MODULES)
    };
    let default = |fs| inspected(&tree(fs)).kernels.iter().map(|k| k.version.clone()).collect::<Vec<_>>();
    assert_eq!(default(fs("", "")), [DEBIAN_KERNEL, old], "the newest, compared by number");
    let cfg = format!(
        "set default=\"${{saved_entry}}\"\nmenuentry 'a' --id a {{\nlinux /vmlinuz-{DEBIAN_KERNEL}\n}}\nmenuentry 'b' --id b {{\nlinux /vmlinuz-{old}\n}}\n"
    );
    assert_eq!(default(fs(&cfg, "saved_entry=b\n")), [old, DEBIAN_KERNEL]);
    assert_eq!(default(fs(&cfg, "")), [DEBIAN_KERNEL, old]);
    let linked =
        fs("menuentry 'x' {\nlinux /vmlinuz\n}\n", "").with_link("/vmlinuz", &format!("boot/vmlinuz-{old}"));
    assert_eq!(default(linked), [old, DEBIAN_KERNEL]);
    let facts = inspected(&tree(fs("menuentry 'x' {\nlinux /vmlinuz-own\n}\n", "")));
    assert!(!facts.kernels.iter().any(|kernel| kernel.default));
    assert!(
        facts.obstacles.iter().any(|o| o.starts_with("the menu starts vmlinuz-own")),
        "{:?}",
        facts.obstacles
    );
}

#[test]
fn what_cannot_be_read_becomes_an_obstacle() {
    let initrd = format!("/boot/initrd.img-{DEBIAN_KERNEL}");
    let broken = debian()
        .with_file(&initrd, "no archive")
        .with_file("/boot/efi/EFI/Linux/x.efi", "MZ")
        .with_link("/etc/hostname", "hostname");
    let facts = inspected(&tree(broken));
    assert_eq!(facts.obstacles.len(), 2, "{:?}", facts.obstacles);
    assert!(facts.obstacles.iter().any(|o| o.starts_with(&initrd)));

    let mut facts = Guest::default();
    driver_linux::inspect(&tree(MemFs::new().with_file("/etc/passwd", "")), &mut facts, &[]).unwrap();
    assert!(facts.os.is_none() && facts.obstacles.is_empty());

    driver_linux::inspect(&tree(base("x", "1")), &mut facts, &[]).unwrap();
    assert_eq!(facts.kernels.len(), 0);
    assert_eq!(facts.obstacles.len(), 2, "{:?}", facts.obstacles);
}

#[test]
fn a_separate_boot_partition_is_looked_at() {
    let mut tree = GuestTree::new();
    let version = AMAZON_KERNEL;
    tree.mount("/", Box::new(with_modules(base("amzn", "2023").with_folder("/boot"), version, &MODULES)));
    let boot = MemFs::new()
        .with_file("/grub2/grub.cfg", "blscfg\n")
        .with_file(&format!("/vmlinuz-{version}"), "MZ")
        .with_file("/special.img", initramfs(version, "usr/lib/dracut/build-parameter.txt", &["nvme"]))
        .with_file("/loader/entries/a.conf", format!("linux /vmlinuz-{version}\ninitrd /special.img\n"));
    tree.mount("/boot", Box::new(boot));
    let kernel = &inspected(&tree).kernels[0];
    assert_eq!(kernel.initramfs.as_deref(), Some("/boot/special.img"));
}
