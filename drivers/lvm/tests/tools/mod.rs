//! Volume groups made by LVM's own tools on loop devices. They need no device mapper to write metadata.

#![allow(dead_code, reason = "each test binary uses its part")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

use driver_core::Volume;
use driver_lvm::{Group, PhysicalVolume, assemble, probe};
use format_core::{Error, Result};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};

/// A device in memory.
pub struct Memory(Mutex<Vec<u8>>);

impl Memory {
    pub fn new(bytes: Vec<u8>) -> Arc<Self> {
        Arc::new(Self(Mutex::new(bytes)))
    }

    pub fn bytes(&self) -> Vec<u8> {
        self.0.lock().unwrap().clone()
    }
}

impl Volume for Memory {
    fn size(&self) -> u64 {
        self.0.lock().unwrap().len() as u64
    }
    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        let bytes = self.0.lock().unwrap();
        let end = usize::try_from(offset).ok().and_then(|at| at.checked_add(buf.len()));
        let found =
            end.and_then(|end| bytes.get(end - buf.len()..end)).ok_or_else(|| Error::usage("outside"))?;
        buf.copy_from_slice(found);
        Ok(())
    }
    fn write_all_at(&self, offset: u64, from: &[u8]) -> Result<()> {
        let mut bytes = self.0.lock().unwrap();
        let end = usize::try_from(offset).ok().and_then(|at| at.checked_add(from.len()));
        let target = end
            .and_then(|end| bytes.get_mut(end - from.len()..end))
            .ok_or_else(|| Error::usage("outside"))?;
        target.copy_from_slice(from);
        Ok(())
    }
}

pub fn sbin(program: &str, args: &[&str]) -> Output {
    let run = Command::new("timeout")
        .args(["60", program])
        .args(args)
        .env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin")
        .env("LVM_SUPPRESS_FD_WARNINGS", "1")
        .env("LC_ALL", "C")
        .output();
    run.unwrap_or_else(|e| panic!("cannot run {program} (packages lvm2, util-linux, coreutils): {e}"))
}

/// Disks as loop devices, detached in the end.
pub struct Disks {
    folder: tempfile::TempDir,
    pub loops: Vec<String>,
}

impl Drop for Disks {
    fn drop(&mut self) {
        self.loops.iter().for_each(|device| drop(sbin("losetup", &["-d", device])));
    }
}

impl Disks {
    /// Where there can be no loop devices the test cannot run: loud, and under CI an error.
    pub fn new(contents: &[Vec<u8>]) -> Option<Self> {
        let mut disks = Self { folder: tempfile::tempdir().unwrap(), loops: Vec::new() };
        for (number, content) in contents.iter().enumerate() {
            std::fs::write(disks.file(number), content).unwrap();
            let output = sbin("losetup", &["--find", "--show", disks.file(number).to_str().unwrap()]);
            if !output.status.success() {
                let message = format!("losetup needs root and a kernel with loop: {output:?}");
                assert!(std::env::var_os("CI").is_none(), "{message}");
                eprintln!("NOT RUN: {message}");
                return None;
            }
            disks.loops.push(String::from_utf8(output.stdout).unwrap().trim().to_owned());
        }
        Some(disks)
    }

    pub fn blank(count: usize, mib: usize) -> Option<Self> {
        Self::new(&vec![vec![0; mib << 20]; count])
    }

    fn file(&self, number: usize) -> PathBuf {
        self.folder.path().join(format!("disk{number}"))
    }

    /// Runs a command of LVM on these disks only. `@0` in an argument is the first disk.
    pub fn try_lvm(&self, line: &str) -> Output {
        let own = self.loops.iter().map(|device| format!("\"a|^{device}$|\""));
        let filter = own.chain(["\"r|.*|\"".to_owned()]).collect::<Vec<_>>().join(",");
        let config = format!(
            "devices{{filter=[{filter}] use_devicesfile=0 obtain_device_list_from_udev=0 \
             external_device_info_source=\"none\"}} activation{{udev_sync=0 udev_rules=0 monitoring=0}} \
             global{{locking_dir=\"{}\" use_lvmpolld=0 notify_dbus=0 event_activation=0}} backup{{backup=0 archive=0}}",
            self.folder.path().join("lock").display()
        );
        let mut words = line.split_whitespace().map(|word| match word.strip_prefix('@') {
            Some(number) => self.loops[number.parse::<usize>().unwrap()].clone(),
            None => word.to_owned(),
        });
        let program = words.next().unwrap();
        let words: Vec<String> = words.collect();
        let mut args = vec!["--driverloaded", "n", "--config", &config];
        args.extend(words.iter().map(String::as_str));
        sbin(&program, &args)
    }

    pub fn lvm(&self, line: &str) -> String {
        let output = self.try_lvm(line);
        assert!(output.status.success(), "{line}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// What is on the disks now.
    pub fn contents(&self) -> Vec<Vec<u8>> {
        for device in &self.loops {
            assert!(sbin("blockdev", &["--flushbufs", device]).status.success());
        }
        (0..self.loops.len()).map(|number| std::fs::read(self.file(number)).unwrap()).collect()
    }

    /// Where LVM says that its volumes lie.
    pub fn map(&self) -> Vec<Run> {
        let starts = self
            .lvm("pvs --noheadings --units b --nosuffix --separator ; -o pv_name,pe_start,vg_extent_size");
        let starts: Vec<(String, u64, u64)> = starts
            .lines()
            .map(|line| {
                let cells: Vec<&str> = line.trim().split(';').collect();
                (cells[0].to_owned(), cells[1].parse().unwrap(), cells[2].parse().unwrap_or(0))
            })
            .collect();
        let fields = "lv_name,seg_start,seg_size,stripe_size,seg_pe_ranges";
        let lines =
            self.lvm(&format!("lvs --noheadings --units b --nosuffix --separator ; --segments -o {fields}"));
        let parse = |line: &str| {
            let cells: Vec<&str> = line.trim().split(';').collect();
            let stripes = cells[4].split_whitespace().map(|range| {
                let (device, extents) = range.rsplit_once(':').unwrap();
                let first: u64 = extents.split('-').next().unwrap().parse().unwrap();
                let (_, start, size) = starts.iter().find(|(name, ..)| name == device).unwrap();
                let disk = self.loops.iter().position(|name| name == device).unwrap();
                (disk, (start + first * size) as usize)
            });
            Run {
                volume: cells[0].to_owned(),
                start: cells[1].parse().unwrap(),
                len: cells[2].parse().unwrap(),
                stripe_size: cells[3].parse().unwrap(),
                stripes: stripes.collect(),
            }
        };
        lines.lines().map(parse).collect()
    }
}

/// A segment as `lvs` prints it, in bytes.
#[derive(Debug)]
pub struct Run {
    pub volume: String,
    pub start: usize,
    pub len: usize,
    pub stripe_size: usize,
    /// Disk and place.
    pub stripes: Vec<(usize, usize)>,
}

/// Puts the content of a volume where LVM says that it lies: stripe by stripe, in turns.
pub fn deal(disks: &mut [Vec<u8>], map: &[Run], volume: &str, content: &[u8]) {
    for run in map.iter().filter(|run| run.volume == volume) {
        let piece = if run.stripes.len() == 1 { run.len } else { run.stripe_size };
        let mut places = run.stripes.clone();
        for (turn, piece) in content[run.start..run.start + run.len].chunks(piece).enumerate() {
            let count = places.len();
            let (disk, at) = &mut places[turn % count];
            disks[*disk][*at..*at + piece.len()].copy_from_slice(piece);
            *at += piece.len();
        }
    }
}

pub fn size_of(map: &[Run], volume: &str) -> usize {
    map.iter().filter(|run| run.volume == volume).map(|run| run.len).sum()
}

pub fn pattern(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let next = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 24) as u8
    };
    (0..len).map(next).collect()
}

type Found = Vec<(PhysicalVolume, Arc<dyn Volume>)>;

pub fn members(disks: &[Vec<u8>]) -> (Vec<Arc<Memory>>, Found) {
    let devices: Vec<_> = disks.iter().map(|disk| Memory::new(disk.clone())).collect();
    let found = devices
        .iter()
        .filter_map(|device| Some((probe(device.as_ref()).unwrap()?, Arc::clone(device) as Arc<dyn Volume>)));
    let found = found.collect();
    (devices, found)
}

/// The one group on the disks.
pub fn group_of(disks: &[Vec<u8>]) -> Group {
    let (mut groups, strays) = assemble(&members(disks).1);
    assert!(strays.is_empty(), "{strays:?}");
    assert_eq!(groups.len(), 1);
    groups.remove(0)
}

/// LVM's checksum, bit by bit.
pub fn crc(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0xf597_a6cf, |crc, &byte| {
        (0..8).fold(
            crc ^ u32::from(byte),
            |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 },
        )
    })
}

const AREA: usize = 4096;

fn word(bytes: &[u8], at: usize) -> usize {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap()) as usize
}

/// The committed text of the first metadata area, which must not wrap.
pub fn text_of(disk: &[u8]) -> String {
    let (offset, len) = (word(disk, AREA + 40), word(disk, AREA + 48));
    String::from_utf8(disk[AREA + offset..AREA + offset + len].to_vec()).unwrap()
}

/// Writes another text into the first metadata area, with its checksums.
pub fn set_text(disk: &mut [u8], text: &str) {
    disk[AREA + 512..AREA + 512 + text.len()].copy_from_slice(text.as_bytes());
    disk[AREA + 40..AREA + 48].copy_from_slice(&512u64.to_le_bytes());
    disk[AREA + 48..AREA + 56].copy_from_slice(&(text.len() as u64).to_le_bytes());
    disk[AREA + 56..AREA + 60].copy_from_slice(&crc(text.as_bytes()).to_le_bytes());
    let sum = crc(&disk[AREA + 4..AREA + 512]);
    disk[AREA..AREA + 4].copy_from_slice(&sum.to_le_bytes());
}

/// The image collection beside the repository, or where `REHOME_CORPUS` says. Without it: loud, and under CI an error.
pub fn foreign(files: &[&str]) -> Option<Vec<Vec<u8>>> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus");
    let corpus = std::env::var_os("REHOME_CORPUS").map_or(beside, PathBuf::from);
    let archive = corpus.join("third-party.tar.zst");
    if !archive.is_file() {
        let message = format!("the image collection is not in {}: set REHOME_CORPUS", corpus.display());
        assert!(std::env::var_os("CI").is_none(), "{message}");
        eprintln!("NOT RUN: {message}");
        return None;
    }
    let script = "zstd -dcq --long=31 \"$1\" | tar -xOf - \"third-party/$2\" | gzip -dc";
    let unpack = |file: &&str| {
        let output = Command::new("bash")
            .args(["-euo", "pipefail", "-c", script, "bash", archive.to_str().unwrap(), file])
            .output()
            .unwrap();
        assert!(output.status.success(), "{file}: {}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    };
    Some(files.iter().map(unpack).collect())
}
