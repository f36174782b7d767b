//! Security descriptors of new things, as ntfs-3g shows them and ntfssecaudit finds them.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod images;

use driver_core::{GuestFs, Ownership};
use driver_fs_ntfs::open;
use images::{Image, must};

const OWNER: Ownership = Ownership::ROOT_FILE;

/// The descriptor among the facts of [`Image::tree`], as hexadecimal digits.
fn acl_of(facts: &str) -> String {
    let acl = facts.split("system.ntfs_acl=").nth(1).unwrap_or_else(|| panic!("no descriptor: {facts}"));
    acl.split(' ').next().unwrap().to_owned()
}

/// Access control lists as ntfs-3g stores and shows them: what the folder hands down, and nothing else.
#[test]
fn new_files_inherit_from_their_folder() {
    let image = Image::make(&[], 60 << 20, |root| {
        std::fs::create_dir_all(root.join("Windows/System32/drivers")).unwrap();
        // (A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICI;0x1200a9;;;BU)(A;OICIIO;GA;;;CO), owner and group SYSTEM.
        let mut aces = Vec::new();
        let mut ace = |flags: u8, mask: u32, sid: &[u8]| {
            aces.extend([0, flags]);
            aces.extend((8 + sid.len() as u16).to_le_bytes());
            aces.extend(mask.to_le_bytes());
            aces.extend(sid);
        };
        let system = [1, 1, 0, 0, 0, 0, 0, 5, 18, 0, 0, 0];
        ace(3, 0x1f01ff, &system);
        ace(3, 0x1f01ff, &[1, 2, 0, 0, 0, 0, 0, 5, 32, 0, 0, 0, 0x20, 2, 0, 0]);
        ace(3, 0x1200a9, &[1, 2, 0, 0, 0, 0, 0, 5, 32, 0, 0, 0, 0x21, 2, 0, 0]);
        ace(11, 0x1000_0000, &[1, 1, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0]);
        let mut sd = vec![1, 0, 4, 0x84];
        let len = 8 + aces.len() as u32;
        [20 + len, 20 + len, 0, 20].iter().for_each(|n| sd.extend(n.to_le_bytes()));
        sd.extend([2, 0]);
        sd.extend((len as u16).to_le_bytes());
        sd.extend([4, 0, 0, 0]);
        sd.extend(aces);
        sd.extend(system);
        let hex: String = sd.iter().map(|byte| format!("{byte:02x}")).collect();
        let folder = root.join("Windows/System32/drivers");
        must("setfattr", &["-n", "system.ntfs_acl", "-v", &format!("0x{hex}"), folder.to_str().unwrap()]);
    });
    let mut fs = open(image.volume()).unwrap();
    fs.create_file("/Windows/System32/drivers/a.sys", b"a", OWNER).unwrap();
    fs.create_file("/Windows/System32/drivers/b.sys", b"b", OWNER).unwrap();
    fs.create_folder("/Windows/System32/drivers/sub", Ownership::ROOT_FOLDER).unwrap();
    fs.create_file("/Windows/System32/drivers/sub/c.sys", b"c", OWNER).unwrap();
    fs.finish().unwrap();
    drop(fs);
    image.assert_clean("descriptors");
    let tree = image.tree();
    let acl = |path: &str| acl_of(&tree[path]);
    let file = acl("/Windows/System32/drivers/a.sys");
    assert_eq!(file, acl("/Windows/System32/drivers/b.sys"));
    assert_eq!(file, acl("/Windows/System32/drivers/sub/c.sys"), "the same through a folder between");
    let ace = |flags: &str, mask: &str, sid: &str| format!("00{flags}{:02x}00{mask}{sid}", 8 + sid.len() / 2);
    let (system, admins, users) =
        ("010100000000000512000000", "01020000000000052000000020020000", "01020000000000052000000021020000");
    let expected = [
        ace("10", "ff011f00", system),
        ace("10", "ff011f00", admins),
        ace("10", "a9001200", users),
        ace("10", "ff011f00", admins),
    ]
    .concat();
    assert!(file.starts_with("01000484") && file.contains(&expected), "{file}");
    let folder = acl("/Windows/System32/drivers/sub");
    let expected = [
        ace("13", "ff011f00", system),
        ace("13", "ff011f00", admins),
        ace("13", "a9001200", users),
        ace("10", "ff011f00", admins),
        ace("1b", "00000010", "010100000000000300000000"),
    ]
    .concat();
    assert!(folder.contains(&expected), "{folder}");
}

/// What is private gets a list of its own, which nothing is handed down into, by ntfs-3g's and ntfssecaudit's word.
#[test]
fn private_things_are_for_the_system_and_administrators() {
    let image = Image::make(&[], 60 << 20, |root| std::fs::create_dir(root.join("Windows")).unwrap());
    let mut fs = open(image.volume()).unwrap();
    let private = |mode| Ownership { mode, uid: 0, gid: 0 };
    fs.create_folder("/Windows/Setup", private(0o700)).unwrap();
    fs.create_file("/Windows/Setup/script.cmd", b"inside", OWNER).unwrap();
    fs.create_folder("/Windows/Setup/more", Ownership::ROOT_FOLDER).unwrap();
    fs.create_file("/Windows/secret.txt", b"secret", private(0o600)).unwrap();
    fs.create_file("/Windows/shared.txt", b"shared", private(0o640)).unwrap();
    fs.finish().unwrap();
    drop(fs);
    image.assert_clean("private");
    let tree = image.tree();
    let acl = |path: &str| acl_of(&tree[path]);
    let (system, admins) = ("010100000000000512000000", "01020000000000052000000020020000");
    // Revision and control bits, where owner, group and lists are; the list; owner Administrators, group SYSTEM.
    let whole = |control: &str, flags: &str| {
        let aces = format!("00{flags}1400ff011f00{system}00{flags}1800ff011f00{admins}");
        format!("0100{control}480000005800000000000000140000000200340002000000{aces}{admins}{system}")
    };
    assert_eq!(acl("/Windows/Setup"), whole("0490", "03"));
    assert_eq!(acl("/Windows/secret.txt"), whole("0490", "00"));
    assert_eq!(acl("/Windows/Setup/script.cmd"), whole("0484", "10"));
    assert_eq!(acl("/Windows/Setup/more"), whole("0484", "13"));
    assert_ne!(acl("/Windows/shared.txt"), acl("/Windows/secret.txt"));
    let audited = must("ntfssecaudit", &["-v", image.file(), "/Windows/Setup"]);
    for word in ["owner S-1-5-32-544", "group S-1-5-18", "mode 0700", "default OTHER   -1 perms 0000"] {
        assert!(audited.contains(word), "{word}: {audited}");
    }
}
