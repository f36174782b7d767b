//! Small files that look like programs.

/// A file that begins as a PE program of this architecture does, and then says its name. The headers are whole (DOS stub,
/// signature, file and optional header without sections), the program does nothing.
pub(crate) fn stub(name: &str, architecture: &str) -> Vec<u8> {
    let (machine, magic, optional) =
        if architecture == "x86" { (0x014cu16, 0x10bu16, 0xe0u16) } else { (0x8664, 0x20b, 0xf0) };
    let mut bytes = vec![0; 0x400];
    let mut put = |at: usize, data: &[u8]| bytes[at..at + data.len()].copy_from_slice(data);
    put(0, b"MZ");
    put(0x3c, &0x80u32.to_le_bytes());
    put(0x80, b"PE\0\0");
    put(0x84, &machine.to_le_bytes());
    put(0x94, &optional.to_le_bytes());
    put(0x96, &0x0022u16.to_le_bytes());
    put(0x98, &magic.to_le_bytes());
    let native: u16 = if name.ends_with(".sys") { 1 } else { 3 };
    put(0xdc, &native.to_le_bytes());
    bytes.extend(format!("phony {name}\n").into_bytes());
    bytes
}
