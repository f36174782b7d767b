//! mdadm.conf: arrays are looked for on all partitions, not on the source's.
//!
//! Facts: mdadm.conf(5). `DEVICE` lists where mdadm looks for members; `partitions` means every partition that the kernel
//! knows. `devices=` in an `ARRAY` line restricts that array in the same way; its `UUID=` or `name=` says which array it is. A
//! line that begins with a blank continues the one before.

use crate::config_file::{Line, edit_lines, exists, list, read};
use crate::stable_name::depends_on_hardware;
use driver_core::{Applies, Context, Draft, Fixup};
use format_core::Result;

const PATHS: [&str; 2] = ["/etc/mdadm.conf", "/etc/mdadm/mdadm.conf"];
const FOLDERS: [&str; 2] = ["/etc/mdadm.conf.d", "/etc/mdadm/mdadm.conf.d"];

pub(super) struct Mdadm;

impl Fixup for Mdadm {
    fn id(&self) -> &'static str {
        "linux-mdadm"
    }

    fn title(&self) -> &'static str {
        "mdadm.conf does not name the source's disks"
    }

    fn applies(&self, _: &Context<'_>, draft: &Draft<'_>) -> Result<Applies> {
        let found = !files(draft)?.is_empty();
        Ok(if found { Applies::Yes } else { Applies::no("there is no mdadm.conf") })
    }

    fn plan(&self, context: &Context<'_>, draft: &mut Draft<'_>) -> Result<()> {
        let reason = format!("{} does not have the source's device names", context.target.name);
        for path in files(draft)? {
            let Some(content) = read(draft, &path)? else { continue };
            let mut reader = Reader::default();
            let edited = edit_lines(&content, |line| reader.edit(line));
            for array in reader.nameless {
                draft.note(format!("{path}: the array {array} is known by its devices only"));
            }
            draft.write(&path, edited, &reason)?;
        }
        Ok(())
    }
}

fn files(draft: &Draft<'_>) -> Result<Vec<String>> {
    let mut files = Vec::new();
    for path in PATHS {
        if exists(draft, path)? {
            files.push(path.to_owned());
        }
    }
    for folder in FOLDERS {
        files.extend(list(draft, folder, ".conf")?);
    }
    Ok(files)
}

#[derive(Default)]
struct Reader {
    /// The line belongs to a `DEVICE` line.
    in_device: bool,
    /// That one says `partitions` already.
    has_partitions: bool,
    /// Arrays that nothing but their devices names.
    nameless: Vec<String>,
}

impl Reader {
    fn edit(&mut self, line: &str) -> Line {
        let mut words = line.split_ascii_whitespace();
        let continues = line.starts_with([' ', '\t']);
        if !continues && !line.is_empty() {
            let keyword = words.next().unwrap_or_default();
            let is = |full: &str| keyword.len() >= 3 && full.starts_with(&keyword.to_ascii_lowercase());
            self.in_device = is("device");
            self.has_partitions = false;
            if is("array") {
                return self.edit_array(line);
            }
        }
        if !self.in_device || !line.split_ascii_whitespace().any(depends_on_hardware) {
            self.has_partitions |= line.split_ascii_whitespace().any(|word| word == "partitions");
            return Line::Keep;
        }
        let mut kept: Vec<&str> = Vec::new();
        for word in line.split_ascii_whitespace() {
            let word = if depends_on_hardware(word) { "partitions" } else { word };
            if word == "partitions" && std::mem::replace(&mut self.has_partitions, true) {
                continue;
            }
            kept.push(word);
        }
        match kept.is_empty() {
            true => Line::Drop,
            false => Line::Replace(format!("{}{}", if continues { " " } else { "" }, kept.join(" "))),
        }
    }

    fn edit_array(&mut self, line: &str) -> Line {
        let names_disks = |word: &str| {
            let devices = word.get(8..).filter(|_| word.to_ascii_lowercase().starts_with("devices="));
            devices.is_some_and(|devices| devices.split(',').any(depends_on_hardware))
        };
        if !line.split_ascii_whitespace().any(names_disks) {
            return Line::Keep;
        }
        let lower = line.to_ascii_lowercase();
        if !lower.contains("uuid=") && !lower.contains("name=") {
            self.nameless.push(line.split_ascii_whitespace().nth(1).unwrap_or_default().to_owned());
            return Line::Keep;
        }
        let kept: Vec<_> = line.split_ascii_whitespace().filter(|word| !names_disks(word)).collect();
        Line::Replace(kept.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_become_all_partitions() {
        for (before, after) in [
            ("DEVICE /dev/sda1 /dev/sdb1\n", "DEVICE partitions\n"),
            ("DEVICE partitions containers\n", "DEVICE partitions containers\n"),
            ("device /dev/sda* /dev/xvdb\n", "device /dev/sda* partitions\n"),
            ("DEVICE /dev/sda1\n /dev/sdb1\n\t/dev/mapper/x\n", "DEVICE partitions\n\t/dev/mapper/x\n"),
            (
                "#DEVICE /dev/sda1\nMAILADDR root\n /dev/sda1\n",
                "#DEVICE /dev/sda1\nMAILADDR root\n /dev/sda1\n",
            ),
            ("ARRAY /dev/md0 UUID=1:2 devices=/dev/sda1,/dev/sdb1\n", "ARRAY /dev/md0 UUID=1:2\n"),
            ("ARRAY /dev/md0 devices=/dev/sda1\n", "ARRAY /dev/md0 devices=/dev/sda1\n"),
            ("ARRAY /dev/md/0 metadata=1.2 name=a:0\n", "ARRAY /dev/md/0 metadata=1.2 name=a:0\n"),
        ] {
            let mut reader = Reader::default();
            let edited = edit_lines(before.as_bytes(), |line| reader.edit(line));
            assert_eq!(String::from_utf8(edited.clone()).unwrap(), after);
            let mut reader = Reader::default();
            assert_eq!(edit_lines(&edited, |line| reader.edit(line)), edited, "a second time");
        }
    }
}
