//! LUKS volumes made by cryptsetup in files, without a device mapper, and an implementation of their ciphers that is not ours.

#![allow(dead_code, reason = "each test binary uses its part")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

use driver_core::{Mapping, MappingArgument, Volume};
use driver_luks::{Passphrase, Unlocked, probe, unlock};
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

pub fn try_run(folder: &Path, program: &str, args: &[&str]) -> Output {
    let run = Command::new("timeout")
        .args(["120", program])
        .args(args)
        .current_dir(folder)
        .env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin")
        .env("LC_ALL", "C")
        .output();
    run.unwrap_or_else(|e| {
        panic!("cannot run {program} (packages cryptsetup-bin, python3-cryptography, qemu-utils): {e}")
    })
}

pub fn run(folder: &Path, program: &str, args: &[&str]) -> String {
    let output = try_run(folder, program, args);
    assert!(output.status.success(), "{program} {args:?}: {output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A volume in the file `volume` of a folder, with the passphrases in files beside it.
pub struct Made {
    folder: tempfile::TempDir,
}

/// Cheap derivations: the tests look at every kind, not at how long they take.
const QUICK: &str = "--pbkdf-force-iterations";

impl Made {
    /// A file of `size` bytes, formatted with these options and passphrase 0.
    pub fn new(size: usize, options: &str) -> Self {
        let made = Self { folder: tempfile::tempdir().unwrap() };
        for number in 0..8 {
            std::fs::write(made.path(&number.to_string()), format!("passphrase {number}\nnext line"))
                .unwrap();
        }
        std::fs::write(made.path("volume"), vec![0; size]).unwrap();
        made.cryptsetup(&format!("luksFormat --key-file 0 {options} volume"));
        made
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs a command of cryptsetup in the folder, with cheap derivations where none are named.
    pub fn cryptsetup(&self, line: &str) -> String {
        let output = self.try_cryptsetup(line);
        assert!(output.status.success(), "{line}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    pub fn try_cryptsetup(&self, line: &str) -> Output {
        let mut args = vec!["-q"];
        args.extend(line.split_whitespace());
        let makes_a_slot = ["luksFormat", "luksAddKey"].iter().any(|verb| line.starts_with(verb));
        if makes_a_slot && !line.contains(QUICK) {
            let iterations = if line.contains("argon2") { "4" } else { "1000" };
            args.extend([QUICK, iterations]);
            if line.contains("argon2") {
                args.extend(["--pbkdf-memory", "64"]);
            } else {
                args.extend(["--pbkdf", "pbkdf2"]);
            }
        }
        try_run(self.folder.path(), "cryptsetup", &args)
    }

    pub fn bytes(&self) -> Vec<u8> {
        std::fs::read(self.path("volume")).unwrap()
    }

    pub fn set_bytes(&self, bytes: &[u8]) {
        std::fs::write(self.path("volume"), bytes).unwrap();
    }

    pub fn passphrase(&self, number: usize) -> Passphrase {
        Passphrase::from_key_file(std::fs::read(self.path(&number.to_string())).unwrap()).unwrap()
    }

    /// The volume key, as cryptsetup finds it with this passphrase.
    pub fn volume_key(&self, passphrase: usize) -> Vec<u8> {
        let _ = std::fs::remove_file(self.path("key"));
        self.cryptsetup(&format!(
            "luksDump --dump-volume-key --volume-key-file key --key-file {passphrase} volume"
        ));
        std::fs::read(self.path("key")).unwrap()
    }

    /// The keyslot that cryptsetup opens with this passphrase.
    pub fn keyslot(&self, passphrase: usize) -> Option<u32> {
        let output =
            self.try_cryptsetup(&format!("open --test-passphrase -v --key-file {passphrase} volume"));
        let text = String::from_utf8_lossy(&output.stdout);
        let number = text.lines().find_map(|line| line.strip_prefix("Key slot ")?.strip_suffix(" unlocked."));
        assert_eq!(output.status.success(), number.is_some(), "{output:?}");
        number.map(|number| number.parse().unwrap())
    }

    /// Opens it here.
    pub fn unlock(&self, passphrase: usize) -> Option<(Arc<Memory>, Unlocked)> {
        let device = Memory::new(self.bytes());
        let header = probe(device.as_ref()).unwrap().unwrap();
        let volume = Arc::clone(&device) as Arc<dyn Volume>;
        let unlocked = unlock(&header, volume, &[self.passphrase(passphrase)]).unwrap()?;
        Some((device, unlocked))
    }

    /// Bytes of the content from its start, by an implementation that is not ours.
    pub fn decrypt(&self, cipher: &Cipher) -> Vec<u8> {
        self.python("decrypt", cipher);
        std::fs::read(self.path("plain")).unwrap()
    }

    /// Puts `plain` into the content, likewise.
    pub fn encrypt(&self, cipher: &Cipher, plain: &[u8]) {
        std::fs::write(self.path("plain"), plain).unwrap();
        self.python("encrypt", cipher);
    }

    fn python(&self, verb: &str, cipher: &Cipher) {
        let (offset, first, sector) =
            (cipher.offset.to_string(), cipher.first.to_string(), cipher.sector.to_string());
        let args = ["-c", PYTHON, verb, cipher.name, &offset, &first, &sector];
        run(self.folder.path(), "python3", &args);
    }
}

/// How the content is encrypted, as `luksDump` says.
pub struct Cipher {
    pub name: &'static str,
    pub offset: usize,
    pub first: u64,
    pub sector: usize,
}

const PYTHON: &str = r"
import hashlib, sys
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
verb, name, offset, first, size = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:6])
key = open('key', 'rb').read()
def start(sector):
    number = (first + sector * (size // 512)) % 2**64
    if name.endswith('-plain'): number %= 2**32
    value = number.to_bytes(16, 'little')
    if 'essiv' in name:
        one = Cipher(algorithms.AES(hashlib.sha256(key).digest()), modes.ECB()).encryptor()
        value = one.update(value)
    return value
def mode(sector):
    return (modes.XTS if '-xts-' in name else modes.CBC)(start(sector))
volume = bytearray(open('volume', 'rb').read())
source = open('plain', 'rb').read() if verb == 'encrypt' else volume[offset:]
out = bytearray()
for sector in range(len(source) // size):
    cipher = Cipher(algorithms.AES(key), mode(sector))
    worker = cipher.encryptor() if verb == 'encrypt' else cipher.decryptor()
    out += worker.update(bytes(source[sector * size:(sector + 1) * size]))
if verb == 'encrypt':
    volume[offset:offset + len(out)] = out
    open('volume', 'wb').write(volume)
else:
    open('plain', 'wb').write(out)
";

/// The table in the kernel's words, the key included; `MEMBER` stands for the device.
pub fn table(mapping: &Mapping) -> String {
    let argument = |argument: &MappingArgument| match argument {
        MappingArgument::Text(text) | MappingArgument::Secret(text) => text.clone(),
        MappingArgument::Member(0) => "MEMBER".into(),
        other => panic!("{other:?}"),
    };
    let line = |line: &driver_core::MappingLine| {
        let arguments: Vec<String> = line.arguments.iter().map(argument).collect();
        format!("{} {} {} {}", line.start, line.sectors, line.target, arguments.join(" "))
    };
    mapping.lines.iter().map(line).collect::<Vec<_>>().join("\n")
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

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
