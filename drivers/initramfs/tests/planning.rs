//! What is planned for images of each kind, without foreign tools.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::io;

use driver_initramfs::cpio::Writer;
use driver_initramfs::{
    Error, ErrorKind, FileKind, INDEX_FILES, Limits, Listing, Maker, ModuleSource, Outcome, Plan, Request,
    plan,
};
use proptest::prelude::*;

const VERSION: &str = "5.14.0-1.el9";

#[derive(Default, Clone)]
struct Memory(BTreeMap<String, Vec<u8>>);

impl ModuleSource for Memory {
    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        match path {
            "broken.ko" => Err(io::ErrorKind::PermissionDenied.into()),
            _ => self.0.get(path).cloned().ok_or_else(|| io::ErrorKind::NotFound.into()),
        }
    }
}

const DEP: &str = "kernel/hv_vmbus.ko:\nkernel/hv_storvsc.ko: kernel/hv_vmbus.ko\nkernel/virtio_blk.ko:\n";

fn guest() -> Memory {
    let mut files: BTreeMap<String, Vec<u8>> =
        INDEX_FILES.iter().map(|file| ((*file).to_owned(), format!("{file}\n").into_bytes())).collect();
    files.insert("modules.dep".into(), DEP.into());
    files.insert("modules.builtin".into(), "kernel/sd_mod.ko\n".into());
    for module in ["hv_vmbus", "hv_storvsc", "virtio_blk"] {
        files.insert(format!("kernel/{module}.ko"), module.into());
    }
    Memory(files)
}

/// `None`: a folder; text after `->`: a link.
fn image(entries: &[(&str, Option<&str>)]) -> Vec<u8> {
    let mut writer = Writer::new(100);
    for (path, content) in entries {
        match content {
            None => writer.directory(path).unwrap(),
            Some(content) => match content.strip_prefix("->") {
                Some(target) => writer.symlink(path, target).unwrap(),
                None => writer.file(path, content.as_bytes()).unwrap(),
            },
        }
    }
    writer.finish().unwrap()
}

const DRACUT: [(&str, Option<&str>); 7] = [
    ("etc", None),
    ("etc/initrd-release", Some("NAME=x dracut-057\n")),
    ("lib", Some("->usr/lib")),
    ("usr", None),
    ("usr/lib", None),
    ("usr/lib/modules", None),
    ("init", Some("->usr/lib/systemd/systemd")),
];

fn list(image: &[u8]) -> Listing {
    Listing::from_image(image, &Limits::default()).unwrap()
}

fn ask<'a>(wanted: &'a [&'a str], load_early: &'a [&'a str]) -> Request<'a> {
    Request { version: VERSION, wanted, load_early, files: &[] }
}

fn run(image: &[u8], source: &Memory, request: &Request<'_>) -> Result<Outcome, Error> {
    plan(image, &list(image), source, request)
}

#[test]
fn the_lib_link_stays_and_every_folder_exists() {
    let old = image(&DRACUT);
    let outcome = run(&old, &guest(), &ask(&["hv_storvsc", "sd_mod", "ena"], &[])).unwrap();
    assert_eq!((outcome.builtin, outcome.missing), (vec!["sd_mod".to_owned()], vec!["ena".to_owned()]));
    let modules: Vec<_> = outcome.modules.iter().map(|m| m.path.as_str()).collect();
    let root = format!("usr/lib/modules/{VERSION}");
    assert_eq!(modules, [format!("{root}/kernel/hv_vmbus.ko"), format!("{root}/kernel/hv_storvsc.ko")]);
    assert_eq!(outcome.files.len(), INDEX_FILES.len());
    let Plan::Append(bytes) = &outcome.plan else { panic!() };
    let start = bytes.iter().position(|b| *b != 0).unwrap();
    let added = list(&bytes[start..]);
    assert!(
        added.kind("lib").is_none() && added.kind("usr").is_none() && added.kind("usr/lib/modules").is_none()
    );
    assert_eq!(added.kind(&root), Some(&FileKind::Directory));
    assert_eq!(added.kind(&format!("{root}/kernel")), Some(&FileKind::Directory));
    assert_eq!(added.newest(), 101);
    let segments = outcome.plan.segments(&list(&old), old.len() as u64, &Limits::default()).unwrap();
    let new = list(&outcome.plan.into_image(old));
    assert_eq!(new.segments(), segments, "known without reading the whole again");
    assert_eq!(new.kind("lib"), Some(&FileKind::Symlink { target: "usr/lib".into() }));
    assert_eq!(new.module(VERSION, "hv-storvsc").unwrap().relative, "kernel/hv_storvsc.ko");
}

#[test]
fn a_survey_sees_what_a_plan_refuses() {
    let old = image(&DRACUT);
    let survey = |image: &[u8], source: &Memory| {
        driver_initramfs::append::survey(&list(image), source, &ask(&["hv_vmbus"], &[]))
            .map_err(|e| e.to_string())
    };
    assert_eq!(survey(&old, &guest()).unwrap().unwrap(), ["kernel/hv_vmbus.ko"]);
    let mut packed = guest();
    packed.0.insert("modules.dep".into(), "kernel/hv_vmbus.ko.xz:\n".into());
    packed.0.insert("kernel/hv_vmbus.ko.xz".into(), "no xz".into());
    let planned = run(&old, &packed, &ask(&["hv_vmbus"], &[])).map_err(|e| e.to_string());
    assert!(planned.is_err() && survey(&old, &packed).is_err());
    let elsewhere = image(&[("lib", Some("->other")), ("other", None), ("other/modules", None)]);
    assert!(run(&elsewhere, &guest(), &ask(&["hv_vmbus"], &[])).is_err());
    assert!(survey(&elsewhere, &guest()).is_err());
    let new = run(&old, &guest(), &ask(&["hv_vmbus"], &[])).unwrap().plan.into_image(old);
    assert_eq!(survey(&new, &guest()).unwrap(), None);
}

#[test]
fn without_a_lib_link_the_old_place_is_used() {
    let old = image(&[("lib", None), ("lib/modules", None), ("init", Some("x"))]);
    let outcome = run(&old, &guest(), &ask(&["hv_vmbus"], &["hv_vmbus"])).unwrap();
    assert_eq!(outcome.modules[0].path, format!("lib/modules/{VERSION}/kernel/hv_vmbus.ko"));
    // The maker is not known: the early list is a remark, not a guess.
    assert_eq!(outcome.notes.len(), 1);
}

#[test]
fn a_soft_dependency_alone_is_no_reason_to_change_an_image() {
    let mut source = guest();
    source.0.insert("modules.softdep".into(), b"softdep hv_vmbus pre: virtio_blk\n".to_vec());
    let (dep, module) =
        (format!("lib/modules/{VERSION}/modules.dep"), format!("lib/modules/{VERSION}/kernel/hv_vmbus.ko"));
    let old = image(&[(&dep, Some(DEP)), (&module, Some(""))]);
    assert_eq!(run(&old, &source, &ask(&["hv_vmbus"], &[])).unwrap().plan, Plan::Nothing);
    let outcome = run(&old, &source, &ask(&["hv_storvsc"], &[])).unwrap();
    assert_eq!(outcome.modules.len(), 2);
}

#[test]
fn early_lists_are_extended_once() {
    let dracut = ("etc/cmdline.d/20-force_drivers.conf", "rd.driver.pre=dm_mod,hv-vmbus");
    let arch = ("config", "MODULES=\"ext4 hv_vmbus\"\nHOOKS=x");
    let debian = ("conf/modules", "hv-vmbus option=1\n#hv_storvsc\n");
    for (mark, (path, old), maker, expected) in [
        (("etc/initrd-release", "dracut"), dracut, Maker::Dracut, "\nrd.driver.pre=hv_storvsc\n"),
        (("init_functions", ""), arch, Maker::Mkinitcpio, "\nMODULES=\"$MODULES hv_storvsc\"\n"),
        (("scripts/functions", ""), debian, Maker::InitramfsTools, "hv_storvsc\n"),
    ] {
        let folder = path.split_once('/').map_or("x", |(folder, _)| folder);
        let image = image(&[
            ("lib", None),
            (folder, None),
            ("etc/cmdline.d", None),
            (mark.0, Some(mark.1)),
            (path, Some(old)),
        ]);
        assert_eq!(list(&image).builder().maker, maker);
        let request = ask(&[], &["hv_storvsc", "hv_vmbus", "sd_mod", "gone"]);
        let outcome = run(&image, &guest(), &request).unwrap();
        let new = outcome.plan.into_image(image);
        assert_eq!(list(&new).content(path).unwrap(), format!("{old}{expected}").as_bytes());
        assert_eq!(run(&new, &guest(), &request).unwrap().plan, Plan::Nothing);
    }
}

#[test]
fn a_stale_index_is_replaced_though_the_module_is_there() {
    let root = format!("lib/modules/{VERSION}");
    let (dep, module) = (format!("{root}/modules.dep"), format!("{root}/extra/hv_vmbus.ko"));
    let (own, own_file) = ("extra/own.ko:\nextra/gone.ko:\n", format!("{root}/extra/own.ko"));
    let old = image(&[("lib", None), (&dep, Some(own)), (&module, Some("m")), (&own_file, Some("m"))]);
    let outcome = run(&old, &guest(), &ask(&["hv_vmbus"], &[])).unwrap();
    assert!(outcome.modules.is_empty() && outcome.present == ["hv_vmbus"]);
    assert_eq!(outcome.notes.len(), 1, "{:?}", outcome.notes);
    let new = outcome.plan.into_image(old);
    let text = String::from_utf8(list(&new).content(&dep).unwrap().to_vec()).unwrap();
    assert!(text.contains("extra/hv_vmbus.ko:\n") && text.contains("extra/own.ko:\n"), "{text}");
    assert!(text.contains("kernel/hv_storvsc.ko: extra/hv_vmbus.ko\n"), "{text}");
    assert!(!text.contains("gone"), "{text}");
    assert_eq!(run(&new, &guest(), &ask(&["hv_vmbus"], &[])).unwrap().plan, Plan::Nothing);
}

#[test]
fn of_several_files_of_a_module_the_guests_index_says_which_is_meant() {
    let root = format!("lib/modules/{VERSION}");
    let request = ask(&["hv_storvsc"], &[]);
    for (listed, files, meant) in [
        (
            "kernel/hv_vmbus.ko",
            ["hv-vmbus.ko", "kernel/hv_vmbus.ko", "updates/hv_vmbus.ko"],
            "kernel/hv_vmbus.ko",
        ),
        (
            "updates/hv_vmbus.ko.xz",
            ["kernel/hv_vmbus.ko", "updates/hv_vmbus.ko", "z/hv-vmbus.ko"],
            "updates/hv_vmbus.ko",
        ),
        ("kernel/hv_vmbus.ko", ["hv-vmbus.ko", "hv_vmbus.ko", "z/own.ko"], "hv_vmbus.ko"),
    ] {
        let paths = files.map(|file| format!("{root}/{file}"));
        let mut entries = vec![("lib", None), ("lib/modules", None), (&root, None)];
        entries.extend(paths.iter().map(|path| (path.as_str(), Some("m"))));
        let old = image(&entries);
        let mut source = guest();
        let dep = format!("{listed}:\nkernel/hv_storvsc.ko: {listed}\n");
        source.0.insert("modules.dep".into(), dep.into_bytes());
        let outcome = run(&old, &source, &request).unwrap();
        assert_eq!((outcome.modules.len(), outcome.present), (1, vec!["hv_vmbus".to_owned()]));
        let new = outcome.plan.into_image(old);
        let text = list(&new).content(&format!("{root}/modules.dep")).unwrap().to_vec();
        let text = String::from_utf8(text).unwrap();
        assert!(text.contains(&format!("kernel/hv_storvsc.ko: {meant}\n")), "{text}");
        assert_eq!(run(&new, &source, &request).unwrap().plan, Plan::Nothing, "{files:?}");
    }
}

/// Sets fields of the header of an entry: 1 mode, 4 nlink, 0 inode.
fn patch(image: &mut [u8], path: &str, fields: &[(usize, u32)]) {
    let name = format!("{path}\0").into_bytes();
    let at = image.windows(name.len()).position(|w| w == name).unwrap() - 110;
    for (field, value) in fields {
        let start = at + 6 + field * 8;
        image[start..start + 8].copy_from_slice(format!("{value:08X}").as_bytes());
    }
}

#[test]
fn hard_links_give_their_content_and_are_not_written_through() {
    let mut old = image(&[
        ("conf", None),
        ("conf/initramfs.conf", Some("")),
        ("conf/modules", Some("")),
        ("twin", Some("loop\n")),
    ]);
    patch(&mut old, "conf/modules", &[(0, 77), (4, 2)]);
    patch(&mut old, "twin", &[(0, 77), (4, 2)]);
    assert_eq!(list(&old).content("conf/modules"), Some(&b"loop\n"[..]));
    let outcome = run(&old, &guest(), &ask(&[], &["hv_vmbus"])).unwrap();
    let Plan::Append(bytes) = &outcome.plan else { panic!() };
    // A symbolic link entry of the same name comes first: the kernel unlinks the name for it.
    let name = b"conf/modules\0";
    let places: Vec<_> = (0..bytes.len() - name.len()).filter(|i| bytes[*i..].starts_with(name)).collect();
    assert_eq!(places.len(), 2);
    assert_eq!(&bytes[places[0] - 96..places[0] - 88], b"0000A1FF");
    assert_eq!(list(&outcome.plan.into_image(old)).content("conf/modules"), Some(&b"loop\nhv_vmbus\n"[..]));

    // The content came with an earlier name: it is not known, so the list is not touched.
    let mut old =
        image(&[("conf/initramfs.conf", Some("")), ("a", Some("loop\n")), ("conf/modules", Some(""))]);
    patch(&mut old, "conf/modules", &[(0, 77), (4, 2)]);
    patch(&mut old, "a", &[(0, 77), (4, 2)]);
    assert!(matches!(run(&old, &guest(), &ask(&[], &["hv_vmbus"])), Err(Error::EarlyList { .. })));
}

#[test]
fn each_refusal_is_named() {
    let old = image(&DRACUT);
    let request = ask(&["hv_vmbus"], &[]);
    for version in ["", ".", "..", "a/b", "a\0"] {
        let e = run(&old, &guest(), &Request { version, ..request }).unwrap_err();
        assert!(matches!(e, Error::BadVersion { .. }));
    }
    let other = image(&[("lib/modules/4.1/modules.dep", Some(""))]);
    let e = run(&other, &guest(), &request).unwrap_err();
    assert_eq!((e.kind(), e.to_string().contains("4.1")), (ErrorKind::Unsupported, true));

    let e = run(&old, &Memory::default(), &request).unwrap_err();
    assert!(matches!(e, Error::Source { ref path, .. } if path == "modules.dep"));
    let mut source = guest();
    source.0.insert("modules.dep".into(), b"broken.ko:\n".to_vec());
    let e = run(&old, &source, &ask(&["broken"], &[])).unwrap_err();
    assert!(matches!(e, Error::Source { ref path, .. } if path == "broken.ko"));
    source.0.insert("modules.dep".into(), b"hv_vmbus.ko.xz:\n".to_vec());
    source.0.insert("hv_vmbus.ko.xz".into(), b"no xz".to_vec());
    assert!(matches!(run(&old, &source, &request), Err(Error::BadModule { .. })));

    for (blocked, wanted) in
        [("lib/modules", "folder"), (&format!("lib/modules/{VERSION}/modules.dep/x"), "file")]
    {
        let mut entries = vec![("lib", None)];
        let folder = format!("lib/modules/{VERSION}/modules.dep");
        if wanted == "file" {
            entries.push((folder.as_str(), None));
        }
        entries.push((blocked, Some("")));
        let e = run(&image(&entries), &guest(), &request).unwrap_err();
        assert!(matches!(e, Error::InTheWay { wanted: w, .. } if w == wanted), "{e}");
    }
    let folder = image(&[("conf/initramfs.conf", Some("")), ("conf/modules", None)]);
    assert!(matches!(run(&folder, &guest(), &ask(&[], &["hv_vmbus"])), Err(Error::EarlyList { .. })));
}

#[test]
fn a_gzip_module_is_unpacked_for_an_image_of_plain_ones() {
    let mut source = guest();
    let mut packed = Vec::new();
    io::Read::read_to_end(
        &mut flate2::read::GzEncoder::new(&b"hv_vmbus"[..], flate2::Compression::fast()),
        &mut packed,
    )
    .unwrap();
    source.0.insert("kernel/hv_vmbus.ko.gz".into(), packed);
    source.0.insert("modules.dep".into(), DEP.replace("hv_vmbus.ko", "hv_vmbus.ko.gz").into());
    let old = image(&DRACUT);
    let outcome = run(&old, &source, &ask(&["hv_storvsc"], &[])).unwrap();
    assert_eq!((outcome.modules[0].bytes, outcome.modules[0].path.ends_with("/hv_vmbus.ko")), (8, true));
    let new = outcome.plan.into_image(old);
    let text = list(&new).content(&format!("usr/lib/modules/{VERSION}/modules.dep")).unwrap().to_vec();
    assert!(!String::from_utf8(text).unwrap().contains(".gz"));

    let bomb = flate2::read::GzEncoder::new(
        io::Read::take(io::repeat(0), (256 << 20) + 1),
        flate2::Compression::fast(),
    );
    let mut packed = Vec::new();
    io::Read::read_to_end(&mut io::BufReader::new(bomb), &mut packed).unwrap();
    source.0.insert("kernel/hv_vmbus.ko.gz".into(), packed);
    let e = run(&image(&DRACUT), &source, &ask(&["hv_storvsc"], &[])).unwrap_err();
    assert!(matches!(e, Error::BadModule { ref reason, .. } if reason.contains("more than")), "{e}");
}

#[test]
fn links_are_followed_as_the_kernel_does() {
    let listing = list(&image(&[
        ("usr/lib", None),
        ("lib", Some("->usr/lib")),
        ("usr/lib/up", Some("->../../etc")),
        ("root", Some("->/usr")),
        ("loop", Some("->loop")),
        ("lib/modules/1/a.ko", Some("x")),
    ]));
    assert_eq!(listing.resolve("lib/up/x"), "etc/x");
    assert_eq!(listing.resolve("/root/./lib//y"), "usr/lib/y");
    assert!(listing.resolve("loop/a").len() < 100);
    assert_eq!(listing.module("1", "a").unwrap().path, "usr/lib/modules/1/a.ko");
    assert_eq!(listing.versions().into_iter().collect::<Vec<_>>(), ["1"]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn written_archives_are_read_back(
        files in proptest::collection::btree_map("[a-z]{1,9}", proptest::collection::vec(any::<u8>(), 0..600), 1..20),
        mtime: u32,
    ) {
        let mut writer = Writer::new(mtime);
        for (name, content) in &files {
            writer.file(&format!("etc/cmdline.d/{name}"), content).unwrap();
        }
        let archive = writer.finish().unwrap();
        let listing = list(&archive);
        prop_assert_eq!(listing.entries().count(), files.len());
        prop_assert_eq!(listing.newest(), mtime);
        for (name, content) in &files {
            let path = format!("etc/cmdline.d/{name}");
            prop_assert_eq!(listing.content(&path), Some(content.as_slice()));
        }
    }

    /// Random trees with links to anywhere: a plan that is made keeps every link and folder, and does its job.
    #[test]
    fn odd_trees_are_extended_or_refused(
        entries in proptest::collection::vec((0_usize..14, 0_usize..17, any::<bool>()), 0..12),
    ) {
        let deep = format!("usr/lib/modules/{VERSION}/kernel");
        let dep = format!("lib/modules/{VERSION}/modules.dep");
        let names = ["lib", "usr", "usr/lib", "lib/modules", "usr/lib/modules", "conf", "conf/modules", "etc",
            "conf/initramfs.conf", "a", "a/b", &deep, &dep, "etc/initrd-release"];
        let mut writer = Writer::new(5);
        for (name, kind, slash) in entries {
            let name = names[name];
            match names.get(kind) {
                Some(target) => {
                    let target = if slash { format!("/{target}") } else { (*target).to_owned() };
                    writer.symlink(name, &target).unwrap();
                }
                None if slash => writer.directory(name).unwrap(),
                None => writer.file(name, b"dracut").unwrap(),
            }
        }
        let old = writer.finish().unwrap();
        let Ok(before) = Listing::from_image(&old[..], &Limits::default()) else { return Ok(()) };
        let request = ask(&["hv_storvsc"], &["hv_vmbus"]);
        if let Ok(outcome) = plan(&old, &before, &guest(), &request) {
            let new = outcome.plan.clone().into_image(old);
            let after = list(&new);
            prop_assert!(after.module(VERSION, "hv_storvsc").is_some());
            // A link in the place of an index itself is replaced by the file, as the kernel does.
            let written = |path: &str| outcome.files.iter().chain(&outcome.modules).any(|added| added.path == path);
            for (path, kind) in before.entries() {
                if written(path) || matches!(kind, FileKind::File { .. }) {
                    continue;
                }
                prop_assert_eq!(Some(kind), after.kind(path), "{}", path);
            }
            prop_assert_eq!(run(&new, &guest(), &request).unwrap().plan, Plan::Nothing);
        }
    }

    #[test]
    fn whatever_is_missing_is_there_afterwards(mask in 0_u8..8, early: bool, dracut: bool, cut in 0_usize..4) {
        let names: Vec<&str> = ["hv_vmbus", "hv_storvsc", "virtio_blk"].into_iter().enumerate()
            .filter(|(i, _)| mask & (1 << i) != 0).map(|(_, name)| name).collect();
        let mut old = if dracut { image(&DRACUT) } else { image(&[("conf/initramfs.conf", Some(""))]) };
        // Zeros may be missing or left over at the end of a file.
        if cut == 3 {
            old.resize(old.len() + 5, 0);
        } else if cut > 0 {
            let end = old.iter().rposition(|byte| *byte != 0).unwrap() + 2;
            old.truncate(end.next_multiple_of(4));
        }
        let request = ask(&names, if early { &["virtio_blk"] } else { &[] });
        let before = list(&old);
        let outcome = run(&old, &guest(), &request).unwrap();
        let new = outcome.plan.into_image(old.clone());
        prop_assert!(new.starts_with(&old));
        let after = list(&new);
        for name in &names {
            prop_assert!(after.module(VERSION, name).is_some());
        }
        for (path, kind) in before.entries() {
            let now = after.kind(path).unwrap();
            prop_assert_eq!(std::mem::discriminant(kind), std::mem::discriminant(now), "{}", path);
        }
        prop_assert_eq!(run(&new, &guest(), &request).unwrap().plan, Plan::Nothing);
    }
}

#[test]
fn a_script_of_nash_loads_what_is_added() {
    let script = "#!/bin/nash\ninsmod /lib/ext3.ko\nmkblkdevs\nmkrootdev -t ext3 -o defaults,ro /dev/sda1\n";
    let old = image(&[
        ("bin", None),
        ("bin/nash", Some("x")),
        ("init", Some(script)),
        ("lib", None),
        ("lib/ext3.ko", Some("y")),
    ]);
    let listing = Listing::from_image(old.as_slice(), &Limits::default()).unwrap();
    assert_eq!(listing.builder().maker, driver_initramfs::Maker::Nash);
    assert!(listing.loads("1", "ext3") && !listing.loads("1", "hv_storvsc"));
    let request = Request { version: "1", wanted: &["hv_storvsc", "sd_mod"], load_early: &[], files: &[] };
    let outcome = plan(&old, &listing, &guest(), &request).unwrap();
    let paths: Vec<_> = outcome.modules.iter().map(|added| added.path.as_str()).collect();
    assert_eq!(paths, ["lib/hv_vmbus.ko", "lib/hv_storvsc.ko"]);
    let new = outcome.plan.into_image(old);
    let listing = Listing::from_image(new.as_slice(), &Limits::default()).unwrap();
    let init = String::from_utf8(listing.content("init").unwrap().to_vec()).unwrap();
    assert!(init.contains("insmod /lib/hv_vmbus.ko\necho \"Loading hv_storvsc.ko module\"\ninsmod /lib/hv_storvsc.ko\nmkblkdevs\n"), "{init}");
    let again = plan(&new, &listing, &guest(), &request).unwrap();
    assert_eq!(again.plan, Plan::Nothing);
    assert_eq!(again.present, ["hv_vmbus", "hv_storvsc"]);
}
