//! CopyFiles: which files of the package an installation takes, from where, and what becomes of them.
//!
//! Sources: "INF CopyFiles Directive", "INF SourceDisksFiles Section", "INF SourceDisksNames Section" and "INF
//! DestinationDirs Section" of Microsoft's driver documentation.

use crate::lines::Line;
use crate::reader::Reader;
use crate::text::number;
use driver_core::FileTarget;
use format_core::Result;
use std::collections::{BTreeMap, BTreeSet};

/// A file that the INF copies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Copied {
    /// Below the INF's folder, with `\`.
    pub(crate) source: String,
    pub(crate) target: FileTarget,
}

/// Collects what sections copy, each file once.
pub(crate) struct Copies<'a> {
    /// Folder below the INF's, by file name in lower case.
    folders: BTreeMap<String, Vec<&'a str>>,
    /// DIRID and folder, by the file list's name in lower case.
    targets: BTreeMap<String, (Option<u32>, &'a str)>,
    seen: BTreeSet<(String, String)>,
    pub(crate) copied: Vec<Copied>,
}

impl<'a> Copies<'a> {
    pub(crate) fn new(reader: &mut Reader<'a>) -> Result<Self> {
        let disks = source_section(reader, "SourceDisksNames")?;
        let paths: BTreeMap<&str, &str> = disks
            .iter()
            .filter_map(|line| Some((line.key.as_deref()?, line.field(3).unwrap_or_default())))
            .collect();
        let mut folders = BTreeMap::new();
        for line in source_section(reader, "SourceDisksFiles")? {
            let Some(name) = &line.key else { continue };
            let disk = line.field(0).and_then(|disk| paths.get(disk)).copied().unwrap_or_default();
            let parts = [disk, line.field(1).unwrap_or_default()];
            let parts = parts.into_iter().flat_map(|path| path.split(['\\', '/']));
            let parts = parts.filter(|part| !part.is_empty() && *part != ".");
            // Later entries are those of this processor.
            folders.insert(name.to_lowercase(), parts.collect());
        }
        let mut targets = BTreeMap::new();
        for line in reader.section("DestinationDirs")?.unwrap_or_default() {
            let Some(list) = &line.key else { continue };
            let target = (line.field(0).and_then(number), line.field(1).unwrap_or_default());
            targets.entry(list.to_lowercase()).or_insert(target);
        }
        Ok(Self { folders, targets, seen: BTreeSet::new(), copied: Vec::new() })
    }

    /// Takes what the CopyFiles directives in `lines` name.
    pub(crate) fn take(&mut self, reader: &mut Reader<'a>, lines: &[&'a Line]) -> Result<()> {
        for name in reader.listed(lines, "CopyFiles")? {
            if let Some(file) = name.strip_prefix('@') {
                self.add(reader, None, file, file)?;
                continue;
            }
            let Some(list) = reader.section(name)? else {
                reader.note(format!("CopyFiles names [{name}], which is not there"));
                continue;
            };
            for line in list {
                if let Some(target) = line.field(0) {
                    self.add(reader, Some(name), target, line.field(1).unwrap_or(target))?;
                }
            }
        }
        Ok(())
    }

    fn add(&mut self, reader: &mut Reader<'a>, list: Option<&str>, target: &str, source: &str) -> Result<()> {
        let folder = self.folders.get(&source.to_lowercase()).cloned().unwrap_or_default();
        let is_name = |name: &str| !name.is_empty() && !name.contains(['\\', '/', ':']) && name != "..";
        if !is_name(source) || !is_name(target) || folder.iter().any(|part| !is_name(part)) {
            reader.note(format!(
                "it copies {source} from {}, which is not below its own folder",
                folder.join("\\")
            ));
            return Ok(());
        }
        let source = folder.into_iter().chain([source]).collect::<Vec<_>>().join("\\");
        reader.charge(size_of::<Copied>() + 2 * (source.len() + target.len()))?;
        if !self.seen.insert((source.to_lowercase(), target.to_lowercase())) {
            return Ok(());
        }
        let default = || self.targets.get("defaultdestdir");
        let place = list.and_then(|list| self.targets.get(&list.to_lowercase())).or_else(default);
        let (dirid, folder) = place.copied().unwrap_or_default();
        let target =
            FileTarget { dirid, folder: folder.trim_matches('\\').to_owned(), name: target.to_owned() };
        self.copied.push(Copied { source, target });
        Ok(())
    }
}

/// The entries of a section that has variants such as `SourceDisksFiles.amd64`, those of this processor last.
fn source_section<'a>(reader: &mut Reader<'a>, name: &str) -> Result<Vec<&'a Line>> {
    let mut lines: Vec<&Line> = reader.section(name)?.unwrap_or_default().iter().collect();
    let own = format!("{name}.{}", reader.arch.name());
    lines.extend(reader.section(&own)?.unwrap_or_default());
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inf::parse;
    use crate::target::Arch;

    type Shown = (String, Option<u32>, String);

    fn copied(text: &str) -> (Vec<Shown>, Vec<String>) {
        let inf = parse(text.as_bytes()).unwrap();
        let mut reader = Reader::new(&inf, Arch::Amd64);
        let mut copies = Copies::new(&mut reader).unwrap();
        let lines = reader.with_needs("i").unwrap();
        copies.take(&mut reader, &lines).unwrap();
        let shown = copies.copied.into_iter().map(|it| {
            let FileTarget { dirid, folder, name } = it.target;
            (it.source, dirid, if folder.is_empty() { name } else { format!("{folder}\\{name}") })
        });
        (shown.collect(), reader.notes)
    }

    #[test]
    fn files_come_from_where_the_disk_says_and_go_where_the_list_says() {
        let (files, notes) = copied(
            "[i]\nCopyFiles=list, @Single.DLL ; twice\nCopyFiles=LIST,other,missing\n\
             [list]\na.sys,,,2\nA.SYS\nb.sys,b_x64.sys\n[other]\n\"with space.dll\"\n\
             [SourceDisksNames]\n1 = disk,,,\n2=disk,,,\\tools\n\
             [SourceDisksFiles]\na.sys=1,,\nb_x64.sys = 1,x86\nsingle.dll=2,\\sub\\deep\n\
             [SourceDisksFiles.amd64]\nb_x64.sys = 1,x64\n\
             [DestinationDirs]\nlist = 12\nother=11,Drivers\\mine\nDefaultDestDir = 13\n",
        );
        let file = |source: &str, dirid, target: &str| (source.to_owned(), Some(dirid), target.to_owned());
        assert_eq!(
            files,
            [
                file("a.sys", 12, "a.sys"),
                file("x64\\b_x64.sys", 12, "b.sys"),
                file("tools\\sub\\deep\\Single.DLL", 13, "Single.DLL"),
                file("with space.dll", 11, "Drivers\\mine\\with space.dll"),
            ]
        );
        assert_eq!(notes, ["CopyFiles names [missing], which is not there"]);
    }

    #[test]
    fn nothing_outside_of_the_folder_is_taken() {
        let (files, notes) = copied(
            "[i]\nCopyFiles=@..\\a.sys,@b.sys,@C:\\c.sys,l\n[l]\n..,x\n\
             [SourceDisksNames]\n1=d\n[SourceDisksFiles]\nb.sys=1,..\\..\\etc\n",
        );
        assert_eq!((files.len(), notes.len()), (0, 4), "{files:?} {notes:?}");
    }
}
