//! Builds exports by what xapi writes, and reads them.

use format_core::{
    Access, ChunkStream, Container, DenyAll, ErrorKind, LayerContext, MemStorage, Origin, Result,
};
use format_xva::FORMAT;
use sha1::{Digest, Sha1};
use std::hash::Hasher;
use std::io::Cursor;
use std::sync::Arc;
use twox_hash::XxHash64;

/// Bytes of a block; real exports have 1 MiB.
pub const BLOCK: usize = 1 << 16;

/// One member of the archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    pub name: String,
    pub bytes: Vec<u8>,
}

/// What a block is followed by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sums {
    Sha1,
    Xxh64,
    None,
}

/// A disk of the export.
#[derive(Clone, Debug)]
pub struct Plan {
    pub reference: &'static str,
    pub label: &'static str,
    pub bytes: Vec<u8>,
    pub userdevice: u32,
    /// The class of a machine that uses it: `VM`, a snapshot of it, or none.
    pub user: Option<&'static str>,
    pub sums: Sums,
    /// A keep-alive after the block with this number.
    pub pause: Option<usize>,
}

/// Bytes that differ from block to block; blocks 2, 3 and 5 are zeros.
pub fn content(size: usize, seed: u8) -> Vec<u8> {
    let mut bytes = vec![0; size];
    for (number, block) in bytes.chunks_mut(BLOCK).enumerate() {
        if ![2, 3, 5].contains(&number) {
            for (at, piece) in block.chunks_mut(512).enumerate() {
                piece.fill((at as u8).wrapping_mul(7).wrapping_add(number as u8) ^ seed);
            }
        }
    }
    bytes
}

impl Plan {
    /// Two disks of the machine, the boot disk second, and one of a snapshot.
    pub fn sample() -> Vec<Self> {
        let plan = |reference, label, size, seed, userdevice, user| Self {
            reference,
            label,
            bytes: content(size, seed),
            userdevice,
            user: Some(user),
            sums: Sums::Xxh64,
            pause: None,
        };
        vec![
            plan("Ref:10", "data", 4 * BLOCK + 1536, 1, 1, "VM"),
            plan("Ref:7", "system", 7 * BLOCK, 2, 0, "VM"),
            Self { sums: Sums::Sha1, ..plan("Ref:8", "system", BLOCK / 2, 3, 0, "snapshot") },
        ]
    }
}

/// A member whose checksum is right.
pub fn member(name: &str, bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![0; 512];
    out[..name.len()].copy_from_slice(name.as_bytes());
    out[100..108].copy_from_slice(b"0000000\0");
    out[124..136].copy_from_slice(format!("{:011o}\0", bytes.len()).as_bytes());
    out[156] = b'0';
    out[257..265].copy_from_slice(b"ustar\x0000");
    seal(&mut out);
    out.extend(bytes);
    out.resize(out.len().next_multiple_of(512), 0);
    out
}

/// Puts the checksum of the tar header at the start of `header`.
pub fn seal(header: &mut [u8]) {
    header[148..156].fill(b' ');
    let sum: u32 = header[..512].iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

fn text(name: &str, value: &str) -> String {
    format!("<member><name>{name}</name><value>{value}</value></member>")
}

fn object(class: &str, id: &str, members: &[String]) -> String {
    let snapshot = format!("<struct>{}</struct>", members.concat());
    let all = [text("class", class), text("id", id), text("snapshot", &snapshot)].concat();
    format!("<value><struct>{all}</struct></value>\n")
}

/// The description of a machine and a snapshot of it.
pub fn ova(plans: &[Plan], version: u32) -> String {
    let vm = |id, snapshot| {
        let is = format!("<boolean>{snapshot}</boolean>");
        let policy = text("HVM_boot_policy", "BIOS order");
        object("VM", id, &[text("name_label", "guest &amp; &#x263a;"), text("is_a_snapshot", &is), policy])
    };
    let mut objects = vec![vm("Ref:2", 1), vm("Ref:1", 0)];
    for (number, plan) in plans.iter().enumerate() {
        if let Some(user) = plan.user {
            objects.push(object(
                "VBD",
                &format!("Ref:{}", 100 + number),
                &[
                    text("VM", if user == "VM" { "Ref:1" } else { "Ref:2" }),
                    text("VDI", plan.reference),
                    text("type", "Disk"),
                    text("userdevice", &plan.userdevice.to_string()),
                ],
            ));
        }
        let size = plan.bytes.len().to_string();
        let label = text("name_label", plan.label);
        objects.push(object("VDI", plan.reference, &[text("virtual_size", &size), label]));
    }
    // A medium in a drive is described and not exported.
    let cd = [text("VM", "Ref:1"), text("VDI", "Ref:90"), text("type", "CD"), text("userdevice", "3")];
    objects.push(object("VBD", "Ref:91", &cd));
    objects.push(object(
        "VDI",
        "Ref:90",
        &[text("virtual_size", "5000000"), text("name_label", "tools.iso")],
    ));
    let version = text("export_vsn", &version.to_string());
    let version = text("version", &format!("<struct>{version}</struct>"));
    let objects = text("objects", &format!("<array><data>{}</data></array>", objects.concat()));
    format!("<?xml version=\"1.0\"?>\n<value><struct>{version}{objects}</struct></value>\n")
}

/// The members behind `ova.xml`.
pub fn blocks(plan: &Plan) -> Vec<Member> {
    let mut members = Vec::new();
    let mut number = 0;
    let count = plan.bytes.len().div_ceil(BLOCK);
    let mut add = |number: usize, bytes: &[u8]| {
        let name = format!("{}/{number:08}", plan.reference);
        members.push(Member { name: name.clone(), bytes: bytes.to_vec() });
        match plan.sums {
            Sums::Sha1 => {
                let sum: String = Sha1::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
                members.push(Member { name: format!("{name}.checksum"), bytes: sum.into() });
            }
            Sums::Xxh64 => {
                let mut hash = XxHash64::with_seed(0);
                hash.write(bytes);
                let sum = format!("{:016X}", hash.finish());
                members.push(Member { name: format!("{name}.xxhash"), bytes: sum.into() });
            }
            Sums::None => {}
        }
    };
    for (at, block) in plan.bytes.chunks(BLOCK).enumerate() {
        if at == 0 || at + 1 == count || block.iter().any(|byte| *byte != 0) {
            add(number, block);
        }
        number += 1;
        if plan.pause == Some(at) {
            add(number, &[]);
            number += 1;
        }
    }
    members
}

/// The whole archive.
pub fn pack(ova: &str, members: &[Member]) -> Vec<u8> {
    let mut file = member("ova.xml", ova.as_bytes());
    for Member { name, bytes } in members {
        file.extend(member(name, bytes));
    }
    file.extend([0; 1024]);
    file
}

pub fn build(plans: &[Plan]) -> Vec<u8> {
    pack(&ova(plans, 2), &plans.iter().flat_map(blocks).collect::<Vec<_>>())
}

pub fn context(pick: Option<&str>) -> LayerContext {
    let mut context = LayerContext::new(Arc::new(DenyAll));
    context.access = Access { pick: pick.map(str::to_owned), ..Access::default() };
    context
}

pub fn open_as(file: &[u8], pick: Option<&str>) -> Result<Box<dyn Container>> {
    (FORMAT.open_container.unwrap())(Origin::File(Arc::new(MemStorage(file.to_vec()))), &context(pick))
}

pub fn open(file: &[u8]) -> Result<Box<dyn Container>> {
    open_as(file, None)
}

pub fn read(container: &dyn Container, index: usize) -> Result<Vec<u8>> {
    let disk = container.open_disk(index)?.disk;
    let mut bytes = vec![0xa5; disk.virtual_size() as usize];
    for (number, piece) in bytes.chunks_mut(50_001).enumerate() {
        disk.read_exact_at(number as u64 * 50_001, piece)?;
    }
    for extent in disk.extents(0, disk.virtual_size()) {
        let extent = extent?;
        let part = &bytes[extent.offset as usize..extent.end() as usize];
        assert!(
            extent.kind == format_core::ExtentKind::Data || part.iter().all(|byte| *byte == 0),
            "{extent:?}"
        );
    }
    Ok(bytes)
}

pub fn flow(file: &[u8], pick: Option<&str>) -> Result<Vec<u8>> {
    drain(stream(file, pick)?)
}

pub fn stream(file: &[u8], pick: Option<&str>) -> Result<Box<dyn ChunkStream>> {
    (FORMAT.open_stream.unwrap())(Box::new(Cursor::new(file.to_vec())), &context(pick))
}

pub fn drain(mut stream: Box<dyn ChunkStream>) -> Result<Vec<u8>> {
    let (mut bytes, mut end) = (Vec::new(), 0);
    while let Some(chunk) = stream.next_chunk()? {
        assert!(
            chunk.offset >= end
                && !chunk.data.is_empty()
                && chunk.data.len() as u64 <= format_core::MAX_CHUNK
        );
        end = chunk.offset + chunk.data.len() as u64;
        bytes.resize(chunk.offset as usize, 0);
        bytes.extend(chunk.data);
    }
    assert!(stream.next_chunk()?.is_none());
    bytes.resize(stream.virtual_size() as usize, 0);
    Ok(bytes)
}

/// Both readers refuse `file` with `kind` and a message that has `part`.
pub fn refused(file: &[u8], kind: ErrorKind, part: &str) {
    let one = open(file).err().map(|e| (e.kind(), e.to_string())).expect("it opens");
    let other = flow(file, Some("Ref:7")).err().map(|e| (e.kind(), e.to_string())).expect("it flows");
    assert!(one.0 == kind && one.1.contains(part), "{one:?}, not {part}");
    assert!(other.0 == kind && other.1.contains(part), "stream: {other:?}, not {part}");
}
