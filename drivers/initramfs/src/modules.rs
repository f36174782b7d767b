//! The guest's kernel modules: dependencies, soft dependencies, what is built in.
//!
//! Sources: modules.dep(5), depmod(8), modprobe.d(5) for `softdep` and `alias`, and the kernel's `kbuild.rst` for
//! `modules.builtin`.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::io;
use std::rc::Rc;

use crate::error::{Error, Result};
use crate::listing::ModuleForm;

/// The folder `/lib/modules/VERSION` of a guest.
pub trait ModuleSource {
    /// Reads a file by its path below the folder, such as `modules.dep` or `kernel/drivers/hv/hv_vmbus.ko`. The
    /// implementation bounds the size of what it reads.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] when there is no such file; anything else is passed on.
    fn read(&self, path: &str) -> io::Result<Vec<u8>>;

    /// The parsed indexes. A source that is asked for them often may keep them.
    ///
    /// # Errors
    /// As [`ModuleIndex::load`].
    fn index(&self) -> Result<Rc<ModuleIndex>> {
        ModuleIndex::load(self).map(Rc::new)
    }
}

/// Index files that depmod and the kernel build put into the folder of a version.
pub const INDEX_FILES: [&str; 13] = [
    "modules.dep",
    "modules.dep.bin",
    "modules.alias",
    "modules.alias.bin",
    "modules.softdep",
    "modules.symbols",
    "modules.symbols.bin",
    "modules.builtin",
    "modules.builtin.bin",
    "modules.builtin.modinfo",
    "modules.builtin.alias.bin",
    "modules.order",
    "modules.devname",
];

/// Where a module of the guest is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModuleState {
    /// Part of the kernel itself.
    Builtin,
    /// A file, with its path below the folder of the version.
    Module(String),
    /// The kernel has neither.
    Missing,
}

/// A module file of the guest.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Module {
    /// Name with underscores.
    pub name: String,
    /// Path below the folder of the version.
    pub path: String,
}

/// More modules than any kernel has.
const MAX_MODULES: usize = 100_000;

/// What a set of modules needs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Closure {
    /// Files in the order in which they can be loaded.
    pub files: Vec<Module>,
    /// Wanted or needed, and part of the kernel.
    pub builtin: BTreeSet<String>,
    /// Wanted or needed by a dependency, and absent.
    pub missing: BTreeSet<String>,
    /// Named by a soft dependency only, and absent: modprobe goes on without them.
    pub soft_missing: BTreeSet<String>,
}

/// Normalised module name: the file name without suffix, `-` as `_`.
#[must_use]
pub fn module_name(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    ModuleForm::stem(file).replace('-', "_")
}

#[derive(Debug, Clone)]
pub(crate) struct Dependencies {
    pub(crate) path: String,
    /// Paths, nearest dependency first, as in `modules.dep`.
    pub(crate) needs: Vec<String>,
}

#[derive(Debug, Clone, Default)]
struct SoftDependencies {
    pre: Vec<String>,
    post: Vec<String>,
}

/// The parsed text indexes of one kernel version.
#[derive(Debug, Clone, Default)]
pub struct ModuleIndex {
    modules: BTreeMap<String, Dependencies>,
    builtin: HashSet<String>,
    soft: HashMap<String, SoftDependencies>,
    /// Aliases without wildcards: soft dependencies use them (`crc32c`).
    aliases: HashMap<String, Vec<String>>,
}

impl ModuleIndex {
    /// Reads `modules.dep`, and `modules.builtin`, `modules.softdep`, `modules.alias` where they exist.
    ///
    /// # Errors
    /// [`Error::Source`] (also when `modules.dep` is absent), [`Error::BadIndex`].
    pub fn load<S: ModuleSource + ?Sized>(source: &S) -> Result<ModuleIndex> {
        let dep = source
            .read("modules.dep")
            .map_err(|source| Error::Source { path: "modules.dep".to_owned(), source })?;
        let optional = |path: &str| Ok(read_optional(source, path)?.unwrap_or_default());
        ModuleIndex::parse(
            &dep,
            &optional("modules.builtin")?,
            &optional("modules.softdep")?,
            &optional("modules.alias")?,
        )
    }

    /// Parses the texts. Pure. Pass an empty text for a file that does not exist.
    ///
    /// # Errors
    /// [`Error::BadIndex`].
    pub fn parse(dep: &[u8], builtin: &[u8], softdep: &[u8], alias: &[u8]) -> Result<ModuleIndex> {
        let mut index = ModuleIndex { modules: parse_dep(dep)?, ..ModuleIndex::default() };
        index.builtin = lines(builtin).map(|(_, line)| module_name(&line)).collect();
        for (_, line) in lines(softdep) {
            index.add_soft(&line);
        }
        for (_, line) in lines(alias) {
            let mut words = line.split_whitespace();
            if let (Some("alias"), Some(name), Some(module)) = (words.next(), words.next(), words.next())
                && !name.contains(['*', '?', '['])
            {
                index.aliases.entry(name.replace('-', "_")).or_default().push(module.replace('-', "_"));
            }
        }
        Ok(index)
    }

    /// `softdep NAME pre: A B post: C`
    fn add_soft(&mut self, line: &str) {
        let mut words = line.split_whitespace();
        let (Some("softdep"), Some(name)) = (words.next(), words.next()) else { return };
        let entry = self.soft.entry(name.replace('-', "_")).or_default();
        let mut post = None;
        for word in words {
            match (word, post) {
                ("pre:", _) => post = Some(false),
                ("post:", _) => post = Some(true),
                (word, Some(false)) => entry.pre.push(word.to_owned()),
                (word, Some(true)) => entry.post.push(word.to_owned()),
                (_, None) => {}
            }
        }
    }

    /// About how many bytes of memory it takes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        const ENTRY: usize = 64;
        let module = |(name, of): (&String, &Dependencies)| {
            let needs: usize = of.needs.iter().map(|path| path.len() + ENTRY).sum();
            name.len() + of.path.len() + needs + 2 * ENTRY
        };
        let names = |names: &[String]| names.iter().map(|name| name.len() + ENTRY).sum::<usize>();
        self.modules.iter().map(module).sum::<usize>()
            + self.builtin.iter().map(|name| name.len() + ENTRY).sum::<usize>()
            + self.soft.values().map(|soft| names(&soft.pre) + names(&soft.post) + 2 * ENTRY).sum::<usize>()
            + self.aliases.iter().map(|(name, of)| name.len() + names(of) + ENTRY).sum::<usize>()
    }

    /// Where a module is.
    #[must_use]
    pub fn state(&self, name: &str) -> ModuleState {
        let name = module_name(name);
        match self.modules.get(&name) {
            Some(module) => ModuleState::Module(module.path.clone()),
            None if self.builtin.contains(&name) => ModuleState::Builtin,
            None => ModuleState::Missing,
        }
    }

    pub(crate) fn modules(&self) -> &BTreeMap<String, Dependencies> {
        &self.modules
    }

    /// Everything that the wanted modules need, with dependencies and soft dependencies, in load order. Visits each module
    /// once, so circles do no harm.
    #[must_use]
    pub fn closure(&self, wanted: &[&str]) -> Closure {
        self.walk(wanted, true)
    }

    /// The same without soft dependencies.
    #[must_use]
    pub fn hard_closure(&self, wanted: &[&str]) -> Closure {
        self.walk(wanted, false)
    }

    fn walk(&self, wanted: &[&str], with_soft: bool) -> Closure {
        let none = HashMap::new();
        let soft = if with_soft { &self.soft } else { &none };
        let mut closure = Closure::default();
        let mut entered = HashSet::new();
        let mut todo: Vec<Step> =
            wanted.iter().rev().map(|name| Step::Enter { name: module_name(name), soft: false }).collect();
        while let Some(step) = todo.pop() {
            match step {
                Step::Load(module) => closure.files.push(module),
                Step::Enter { name, soft: by_soft } => {
                    let Some(module) = self.modules.get(&name) else {
                        self.enter_other(name, by_soft, &mut entered, &mut todo, &mut closure);
                        continue;
                    };
                    if entered.insert(name.clone()) {
                        enter_module(name, module, soft, &mut todo);
                    }
                }
            }
        }
        closure
    }

    /// A name without a module file: an alias, built in, or absent.
    fn enter_other(
        &self,
        name: String,
        soft: bool,
        entered: &mut HashSet<String>,
        todo: &mut Vec<Step>,
        closure: &mut Closure,
    ) {
        if self.builtin.contains(&name) {
            closure.builtin.insert(name);
        } else if let Some(targets) = self.aliases.get(&name) {
            // A module of this name would have been found before, so the names of aliases and modules do not mix.
            if entered.insert(name) {
                todo.extend(targets.iter().map(|target| Step::Enter { name: target.clone(), soft }));
            }
        } else if soft {
            closure.soft_missing.insert(name);
        } else {
            closure.missing.insert(name);
        }
    }
}

/// The stack runs backwards: post, the module itself, its dependencies (nearest first in the file), pre.
fn enter_module(
    name: String,
    module: &Dependencies,
    soft: &HashMap<String, SoftDependencies>,
    todo: &mut Vec<Step>,
) {
    let enter_soft = |name: &String| Step::Enter { name: module_name(name), soft: true };
    let extra = soft.get(&name);
    todo.extend(extra.iter().flat_map(|extra| extra.post.iter().rev().map(enter_soft)));
    todo.push(Step::Load(Module { name, path: module.path.clone() }));
    todo.extend(module.needs.iter().map(|path| Step::Enter { name: module_name(path), soft: false }));
    todo.extend(extra.iter().flat_map(|extra| extra.pre.iter().rev().map(enter_soft)));
}

enum Step {
    Enter { name: String, soft: bool },
    Load(Module),
}

/// A file of the source, `None` when it does not exist.
pub(crate) fn read_optional<S: ModuleSource + ?Sized>(source: &S, path: &str) -> Result<Option<Vec<u8>>> {
    match source.read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Error::Source { path: path.to_owned(), source: e }),
    }
}

/// Lines with their number from 1; no comments, no empty ones.
fn lines(text: &[u8]) -> impl Iterator<Item = (usize, Cow<'_, str>)> + '_ {
    text.split(|b| *b == b'\n')
        .enumerate()
        .map(|(i, line)| (i + 1, String::from_utf8_lossy(line.trim_ascii())))
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
}

/// `PATH: PATH PATH`, paths below the version's folder; very old depmod wrote absolute ones.
pub(crate) fn parse_dep(text: &[u8]) -> Result<BTreeMap<String, Dependencies>> {
    let mut modules = BTreeMap::new();
    for (number, line) in lines(text) {
        let bad = |reason| Error::BadIndex { file: "modules.dep", line: number, reason };
        if modules.len() == MAX_MODULES {
            return Err(bad("more modules than any kernel has"));
        }
        let (path, needs) = line.split_once(':').ok_or_else(|| bad("no colon behind the path"))?;
        let path = checked_path(path).map_err(bad)?;
        let needs: Result<Vec<_>, _> = needs.split_whitespace().map(checked_path).collect();
        let needs = needs.map_err(bad)?;
        modules.entry(module_name(&path)).or_insert(Dependencies { path, needs });
    }
    Ok(modules)
}

fn checked_path(path: &str) -> Result<String, &'static str> {
    let relative = match path.strip_prefix('/') {
        None => path,
        Some(absolute) => absolute
            .strip_prefix("lib/modules/")
            .or_else(|| absolute.strip_prefix("usr/lib/modules/"))
            .and_then(|rest| rest.split_once('/'))
            .map(|(_, rest)| rest)
            .ok_or("an absolute path outside of lib/modules")?,
    };
    if relative.split('/').any(|part| part.is_empty() || part == "." || part == "..") {
        return Err("a path with an empty, . or .. component");
    }
    if relative.len() > 1024 || module_name(relative).len() > 255 {
        return Err("a path longer than 1024 or a name longer than 255 bytes");
    }
    if !relative.bytes().all(|b| b.is_ascii_graphic()) {
        return Err("a path with bytes other than printable ASCII");
    }
    if ModuleForm::of(relative).is_none() {
        return Err("a file name without .ko, .ko.xz, .ko.zst or .ko.gz");
    }
    Ok(relative.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(dep: &str, soft: &str, alias: &str) -> ModuleIndex {
        ModuleIndex::parse(dep.as_bytes(), b"kernel/fs/ext4/ext4.ko\n", soft.as_bytes(), alias.as_bytes())
            .unwrap()
    }

    fn names(closure: &Closure) -> Vec<&str> {
        closure.files.iter().map(|m| m.name.as_str()).collect()
    }

    #[test]
    fn dependencies_come_first_and_names_are_normalised() {
        let i = index("k/a-1.ko: k/b.ko.xz k/c.ko\nk/b.ko.xz: k/c.ko\nk/c.ko:\n", "", "");
        let c = i.closure(&["a_1", "ext4", "nowhere"]);
        assert_eq!(names(&c), ["c", "b", "a_1"]);
        assert!(c.builtin.contains("ext4") && c.missing.contains("nowhere"));
        assert_eq!(i.state("a-1"), ModuleState::Module("k/a-1.ko".into()));
        assert_eq!(i.state("ext4"), ModuleState::Builtin);
        assert_eq!(i.state("nowhere"), ModuleState::Missing);
    }

    #[test]
    fn soft_dependencies_and_aliases_are_followed_around_circles() {
        let i = index(
            "k/a.ko:\nk/pre.ko:\nk/post.ko: k/a.ko\nk/crc-hw.ko:\nk/crc-sw.ko:\n",
            "softdep a pre: pre crc gone ext4 post: post\nsoftdep pre pre: a\n",
            "alias crc crc_hw\nalias crc crc_sw\nalias pci:v*d* a\nalias loop loop\n",
        );
        let c = i.closure(&["a"]);
        let order = names(&c);
        assert_eq!(order.len(), 5);
        let place = |name| order.iter().position(|n| *n == name).unwrap();
        assert!(place("pre") < place("a") && place("crc_hw") < place("a") && place("a") < place("post"));
        assert!(c.missing.is_empty() && c.soft_missing.contains("gone") && c.builtin.contains("ext4"));
        assert!(names(&i.closure(&["loop"])).is_empty());
        assert_eq!(names(&i.hard_closure(&["post"])), ["a", "post"]);
    }

    #[test]
    fn a_chain_of_a_hundred_thousand_does_not_recurse() {
        let mut soft = String::new();
        let mut dep = String::new();
        for n in 0..100_000 {
            dep.push_str(&format!("k/m{n}.ko:\n"));
            soft.push_str(&format!("softdep m{n} pre: m{}\n", n + 1));
        }
        assert_eq!(index(&dep, &soft, "").closure(&["m0"]).files.len(), 100_000);
    }

    #[test]
    fn bad_lines_are_named() {
        for (text, reason) in [
            ("k/a.ko:\nk/b.ko", "no colon"),
            ("k/a.ko:\n../../etc/x.ko:", ".. component"),
            ("k/a.ko:\n/etc/x.ko:", "absolute"),
            ("k/a.ko:\nk/x.txt:", "without .ko"),
            ("k/a.ko:\nk/\u{e4}.ko:", "ASCII"),
            (&format!("k/a.ko:\nk/{}.ko:", "x".repeat(300)), "longer"),
        ] {
            let e = ModuleIndex::parse(text.as_bytes(), b"", b"", b"").unwrap_err();
            assert!(matches!(e, Error::BadIndex { line: 2, .. }), "{e}");
            assert!(e.to_string().contains(reason), "{e}");
        }
        let i = index("/lib/modules/5.1/kernel/a.ko: /lib/modules/5.1/kernel/b.ko\n", "", "");
        assert_eq!(i.state("a"), ModuleState::Module("kernel/a.ko".into()));
        assert!(i.closure(&["a"]).missing.contains("b"));
    }
}
