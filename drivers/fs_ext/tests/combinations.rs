//! Reading and editing under many combinations of features, judged by e2fsck and debugfs.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod images;

use driver_core::{FileKind, GuestFs, Ownership};
use driver_fs_ext::{open, probe};
use format_core::ErrorKind;
use images::{Image, assert_same, dump};
use std::os::unix::fs::symlink;
use std::path::Path;

/// A file read by pieces that fit no block, from its end to its start.
fn in_pieces(fs: &dyn GuestFs, path: &str) -> Vec<u8> {
    let file = fs.open_file(path).unwrap();
    assert!(file.read_at(file.size(), &mut [0]).is_err(), "{path}");
    let mut content = vec![1; file.size() as usize];
    for (number, piece) in content.chunks_mut(7919).enumerate().collect::<Vec<_>>().into_iter().rev() {
        file.read_at(number as u64 * 7919, piece).unwrap();
    }
    content
}

const COMBINATIONS: [(&str, &[&str]); 18] = [
    ("ext4 4k", &["-t", "ext4", "-b", "4096"]),
    ("ext4 1k", &["-t", "ext4", "-b", "1024"]),
    ("ext4 2k", &["-t", "ext4", "-b", "2048"]),
    ("no metadata_csum", &["-t", "ext4", "-O", "^metadata_csum"]),
    ("uninit_bg", &["-t", "ext4", "-O", "^metadata_csum,uninit_bg"]),
    ("no 64bit", &["-t", "ext4", "-O", "^64bit"]),
    ("no extents", &["-t", "ext4", "-O", "^extents,^64bit", "-b", "1024"]),
    ("inline_data", &["-t", "ext4", "-O", "inline_data", "-I", "256"]),
    ("inline_data 1k", &["-t", "ext4", "-O", "inline_data", "-I", "512", "-b", "1024"]),
    ("orphan_file", &["-t", "ext4", "-O", "orphan_file"]),
    ("csum_seed", &["-t", "ext4", "-O", "metadata_csum_seed"]),
    ("meta_bg", &["-t", "ext4", "-O", "meta_bg,^resize_inode", "-b", "1024"]),
    ("no flex_bg", &["-t", "ext4", "-O", "^flex_bg"]),
    ("small inodes", &["-t", "ext4", "-I", "128", "-O", "^metadata_csum"]),
    ("no dir_index, no filetype", &["-t", "ext4", "-O", "^dir_index,^filetype"]),
    ("no journal", &["-t", "ext4", "-O", "^has_journal"]),
    ("ext3", &["-t", "ext3", "-b", "1024"]),
    ("ext2", &["-t", "ext2", "-b", "1024"]),
];

fn pattern(len: usize, seed: u8) -> Vec<u8> {
    (0..len).map(|at| (at / 3) as u8 ^ (at >> 9) as u8 ^ seed).collect()
}

fn fill(root: &Path) {
    std::fs::create_dir_all(root.join("etc/deep/deeper")).unwrap();
    std::fs::write(root.join("etc/fstab"), "/dev/xvda1 / ext4 defaults 0 1\n").unwrap();
    std::fs::write(root.join("etc/empty"), "").unwrap();
    std::fs::write(root.join("etc/long"), pattern(300_000, 1)).unwrap();
    symlink("fstab", root.join("etc/fast")).unwrap();
    symlink(format!("/{}", "x".repeat(200)), root.join("etc/slow")).unwrap();
    std::fs::hard_link(root.join("etc/fstab"), root.join("etc/second")).unwrap();
    let many = root.join("many");
    std::fs::create_dir(&many).unwrap();
    (0..600).for_each(|i| std::fs::write(many.join(format!("file-with-a-longer-name-{i}")), "").unwrap());
    let sparse = std::fs::File::create(root.join("sparse")).unwrap();
    sparse.set_len(3_000_000).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&sparse, b"end", 2_500_000).unwrap();
}

fn image(options: &[&str]) -> Image {
    Image::make(options, "24M", fill)
}

#[test]
fn every_combination_reads_as_debugfs_reads_it() {
    for (what, options) in COMBINATIONS {
        let image = image(options);
        let facts = probe(image.volume().as_ref()).unwrap().unwrap();
        assert_eq!(
            (facts.label.as_str(), facts.clean, facts.needs_recovery),
            ("guest", true, false),
            "{what}"
        );
        assert!(image.debugfs("stats").contains(&facts.uuid), "{what}");
        let fs = open(image.volume()).unwrap();
        fs.editable().unwrap();
        for file in ["/etc/fstab", "/etc/empty", "/etc/long", "/sparse"] {
            // debugfs dumps the unused rest of inline data too.
            let size = fs.metadata(file).unwrap().unwrap().size as usize;
            assert_same(&fs.read_file(file, 4 << 20).unwrap(), &dump(&image.path, file)[..size], what);
            assert_same(&in_pieces(&fs, file), &dump(&image.path, file)[..size], what);
        }
        assert_eq!(fs.read_link("/etc/fast").unwrap(), "fstab", "{what}");
        assert_eq!(fs.read_link("/etc/slow").unwrap(), format!("/{}", "x".repeat(200)), "{what}");
        assert_eq!(fs.read_dir("/many").unwrap().len(), 600, "{what}");
        let mut etc: Vec<_> = fs.read_dir("/etc").unwrap().into_iter().map(|e| (e.name, e.kind)).collect();
        etc.sort_by(|a, b| a.0.cmp(&b.0));
        use FileKind::{File, Folder, Link};
        let expected = [("deep", Folder), ("empty", File), ("fast", Link), ("fstab", File), ("long", File)];
        let rest = [("second", File), ("slow", Link)];
        assert!(
            etc.iter().map(|(n, k)| (n.as_str(), *k)).eq(expected.into_iter().chain(rest)),
            "{what} {etc:?}"
        );
        assert_eq!(fs.metadata("/etc/fast/x").unwrap(), None, "{what}");
        assert_eq!(fs.metadata("/nothing/here").unwrap(), None, "{what}");
        let inode = |path| fs.metadata(path).unwrap().unwrap().inode;
        assert_eq!(inode("/etc/fstab"), inode("/etc/second"), "{what}");
        assert_eq!(fs.read_file("/etc/long", 100).unwrap_err().kind(), ErrorKind::Limit);
        assert_eq!(fs.read_file("/etc", 100).unwrap_err().kind(), ErrorKind::Usage);
    }
}

#[test]
fn every_combination_is_clean_after_edits() {
    for (what, options) in COMBINATIONS {
        let image = image(options);
        let mut fs = open(image.volume()).unwrap();
        let (long, longer) = (pattern(700_001, 7), pattern(2_000_000, 9));
        let owner = Ownership { mode: 0o640, uid: 70_000, gid: 65_537 };
        fs.replace_file("/etc/fstab", b"UUID=1 / ext4\n").unwrap();
        fs.replace_file("/etc/empty", &long).unwrap();
        fs.replace_file("/etc/long", b"short").unwrap();
        fs.append_file("/etc/long", b" and more").unwrap();
        // mke2fs -d forgets the hole at the end where it uses inline data.
        let sparse = fs.metadata("/sparse").unwrap().unwrap().size as usize;
        fs.append_file("/sparse", &long).unwrap();
        fs.create_folder("/etc/new", Ownership::ROOT_FOLDER).unwrap();
        fs.create_file("/etc/new/file", &longer, owner).unwrap();
        fs.create_file("/etc/new/nothing", b"", owner).unwrap();
        fs.create_link("/etc/new/fast", "file").unwrap();
        fs.create_link("/etc/new/slow", &"y".repeat(90)).unwrap();
        for i in 0..400 {
            fs.create_file(&format!("/many/another-file-with-a-long-name-{i}"), b"x", owner).unwrap();
            fs.create_folder(&format!("/etc/new/folder-{i}"), Ownership::ROOT_FOLDER).unwrap();
        }
        for i in (0..600).step_by(2) {
            fs.remove(&format!("/many/file-with-a-longer-name-{i}")).unwrap();
        }
        for i in 0..399 {
            fs.remove(&format!("/etc/new/folder-{i}")).unwrap();
        }
        fs.rename("/etc/new/folder-399", "/many/moved").unwrap();
        fs.rename("/etc/second", "/third").unwrap();
        fs.remove("/etc/slow").unwrap();
        fs.remove("/etc/deep/deeper").unwrap();
        assert_eq!(fs.remove("/many").unwrap_err().kind(), ErrorKind::Usage, "{what}");
        assert_eq!(fs.rename("/etc", "/etc/new/etc").unwrap_err().kind(), ErrorKind::Usage, "{what}");
        fs.finish().unwrap();
        image.assert_clean(what);
        assert_same(&dump(&image.path, "/third"), b"UUID=1 / ext4\n", what);
        assert_same(&dump(&image.path, "/etc/empty"), &long, what);
        assert_same(&dump(&image.path, "/etc/long"), b"short and more", what);
        assert_same(&dump(&image.path, "/etc/new/file"), &longer, what);
        assert_same(&dump(&image.path, "/sparse")[sparse..], &long, what);
        let stat = image.debugfs("stat /etc/new/file");
        assert!(
            stat.contains("Mode:  0640") && stat.contains("70000") && stat.contains("65537"),
            "{what} {stat}"
        );
        let fs = open(image.volume()).unwrap();
        assert_eq!(fs.read_link("/etc/new/slow").unwrap(), "y".repeat(90), "{what}");
        assert_eq!(fs.read_dir("/many").unwrap().len(), 701, "{what}");
    }
}
