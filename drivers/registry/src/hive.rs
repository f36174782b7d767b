//! A hive and what is in it, for readers.

use crate::base_block::BaseBlock;
use crate::check::{self, Census};
use crate::data;
use crate::edit::Editing;
use crate::error::{Fault, Result as Checked};
use crate::fields::units;
use crate::filetime::FileTime;
use crate::key_node::{KeyNode, KeyValue};
use crate::layout::sk;
use crate::name::{Name, components};
use crate::space::Space;
use crate::subkeys::Lists;
use crate::value::{Kind, Value};
use crate::walk::Walk;
use format_core::Result;

/// A hive in memory.
///
/// Paths are names of keys with backslashes between them, below the root; the empty path is the root. Upper and lower case
/// do not matter. Symbolic links are shown and never followed, and volatile keys, which no hive file holds, are ignored.
#[derive(Clone, Debug)]
pub struct Hive {
    pub(crate) space: Space,
    pub(crate) base: BaseBlock,
    pub(crate) editing: Editing,
}

impl Hive {
    /// Opens the bytes of a primary file. Base block, bins and cells are checked, keys and values when they are read.
    ///
    /// A dirty hive can be read as it lies, which may be no consistent state; [`recover`](crate::recover()) makes it one.
    ///
    /// # Errors
    /// `Unsupported`: no hive, or another version than 1.3 to 1.6. `Limit`: more than 256 MiB. `Corrupt`: checksum, a
    /// field of the base block, or a bin or cell is wrong.
    pub fn open(bytes: Vec<u8>) -> Result<Self> {
        Ok(Self::load(bytes)?)
    }

    pub(crate) fn load(bytes: Vec<u8>) -> Checked<Self> {
        let base = BaseBlock::of_primary(&bytes)?;
        let space = Space::load(bytes, &base)?;
        Ok(Self { space, base, editing: Editing::default() })
    }

    /// Whether a write to this file was begun and not ended, so that its logs must be replayed before anything is
    /// edited.
    #[must_use]
    pub fn is_dirty(&self) -> bool {
        self.base.is_dirty()
    }

    /// Major and minor version: 1.3 to 1.6.
    #[must_use]
    pub fn version(&self) -> (u32, u32) {
        (1, self.base.minor)
    }

    /// When the hive was written last, as its base block says. Windows 8.1 and later leave it alone.
    #[must_use]
    pub fn last_written(&self) -> FileTime {
        self.base.last_written
    }

    /// Whether the kernel's transaction manager had the hive locked: transactions may wait in files of their own
    /// (`.blf`, `.regtrans-ms`), which Windows applies or drops when it loads the hive.
    #[must_use]
    pub fn has_transactions(&self) -> bool {
        self.base.flags & crate::layout::base::FLAG_TRANSACTIONS != 0
    }

    /// The root key.
    ///
    /// # Errors
    /// `Corrupt`: it is no key.
    pub fn root(&self) -> Result<Key<'_>> {
        Ok(self.key_at(self.base.root)?)
    }

    pub(crate) fn key_at(&self, cell: u32) -> Checked<Key<'_>> {
        Ok(Key { hive: self, node: KeyNode::load(&self.space, cell)? })
    }

    /// The key at `path`, if it is there.
    ///
    /// # Errors
    /// `Corrupt`: a key or list on the way is broken.
    pub fn key(&self, path: &str) -> Result<Option<Key<'_>>> {
        let mut key = self.root()?;
        for name in components(path) {
            match key.subkey(name)? {
                Some(subkey) => key = subkey,
                None => return Ok(None),
            }
        }
        Ok(Some(key))
    }

    /// Walks all keys, values and security descriptors once, as [`Hive::edit`] does first.
    ///
    /// # Errors
    /// `Corrupt`: the first thing that is wrong.
    pub fn check(&self) -> Result<Census> {
        Ok(check::check(self)?)
    }

    /// Every key, the root first and each key before its subkeys. A key or list that is met twice, and so every loop, is
    /// an error, which ends the walk.
    #[must_use]
    pub fn walk(&self) -> Walk<'_> {
        Walk::new(self)
    }
}

/// A key of a [`Hive`].
#[derive(Clone, Copy, Debug)]
pub struct Key<'a> {
    pub(crate) hive: &'a Hive,
    pub(crate) node: KeyNode<'a>,
}

impl<'a> Key<'a> {
    /// The name. That of the root means nothing.
    #[must_use]
    pub fn name(&self) -> Name {
        self.node.name.to_name()
    }

    /// When the key, its values or the list of its subkeys changed last.
    #[must_use]
    pub fn last_written(&self) -> FileTime {
        self.node.last_written
    }

    /// The class name as it is stored, mostly UTF-16LE text.
    ///
    /// # Errors
    /// `Corrupt`: it is not where the key says.
    pub fn class(&self) -> Result<Option<&'a [u8]>> {
        Ok(self.node.class_bytes(&self.hive.space)?)
    }

    /// The security descriptor, self-relative.
    ///
    /// # Errors
    /// `Corrupt`: it is not where the key says.
    pub fn security(&self) -> Result<&'a [u8]> {
        let record =
            self.hive.space.signed(self.node.security, "security descriptor", sk::SIGNATURE, "sk")?;
        let size = record.u32(sk::SIZE).map_err(format_core::Error::from)? as usize;
        Ok(record.slice(sk::DESCRIPTOR, size)?)
    }

    /// Whether this is a symbolic link to another key.
    #[must_use]
    pub fn is_link(&self) -> bool {
        self.node.is_link()
    }

    /// Where a symbolic link points: the full name of a key, such as `\REGISTRY\MACHINE\SOFTWARE\Classes`. `None`: no
    /// link, or one without a target.
    ///
    /// # Errors
    /// `Corrupt`: a value of the key is broken.
    pub fn link_target(&self) -> Result<Option<Name>> {
        if !self.is_link() {
            return Ok(None);
        }
        let target = self.value("SymbolicLinkValue")?.filter(|value| value.kind == Kind::LINK);
        Ok(target.map(|value| Name(units(&value.data).take_while(|unit| *unit != 0).collect())))
    }

    /// The subkeys, in the order of the hive.
    ///
    /// # Errors
    /// `Corrupt`: the lists or one of the subkeys are broken.
    pub fn subkeys(&self) -> Result<Vec<Key<'a>>> {
        let lists = Lists::of(&self.hive.space, &self.node)?;
        Ok(lists.keys().map(|cell| self.hive.key_at(cell)).collect::<Checked<_>>()?)
    }

    /// The subkey `name`, if it is there.
    ///
    /// # Errors
    /// `Corrupt`: the lists, or a subkey before it, are broken.
    pub fn subkey(&self, name: &str) -> Result<Option<Key<'a>>> {
        let name: Vec<u16> = name.encode_utf16().collect();
        let found = Lists::of(&self.hive.space, &self.node)?.find(&self.hive.space, &name)?;
        Ok(found.map(|node| Key { hive: self.hive, node }))
    }

    /// The values, in the order of the hive.
    ///
    /// # Errors
    /// `Corrupt`: the list or one of the values are broken.
    pub fn values(&self) -> Result<Vec<ValueEntry<'a>>> {
        let cells = self.node.value_cells(&self.hive.space)?;
        let entry = |cell| Ok(ValueEntry { hive: self.hive, value: KeyValue::load(&self.hive.space, cell)? });
        Ok(cells.map(entry).collect::<Checked<_>>()?)
    }

    /// The value `name`, if it is there; the empty name is that of the default value.
    ///
    /// # Errors
    /// `Corrupt`: the value or one before it is broken.
    pub fn value(&self, name: &str) -> Result<Option<Value>> {
        let name: Vec<u16> = name.encode_utf16().collect();
        let found = self.node.find_value(&self.hive.space, &name)?;
        found.map(|(_, value)| ValueEntry { hive: self.hive, value }.read()).transpose()
    }
}

/// A value of a [`Key`], not yet read.
#[derive(Clone, Copy, Debug)]
pub struct ValueEntry<'a> {
    hive: &'a Hive,
    value: KeyValue<'a>,
}

impl ValueEntry<'_> {
    /// The name; that of the default value is empty.
    #[must_use]
    pub fn name(&self) -> Name {
        self.value.name.to_name()
    }

    /// The type.
    #[must_use]
    pub fn kind(&self) -> Kind {
        Kind(self.value.kind)
    }

    /// Bytes of data.
    #[must_use]
    pub fn size(&self) -> u32 {
        self.value.size
    }

    /// Type and data.
    ///
    /// # Errors
    /// `Corrupt`: the data are not where the value says.
    pub fn read(&self) -> Result<Value> {
        let data = data::read(&self.hive.space, self.hive.base.has_big_data(), &self.value)
            .map_err(|fault| in_value(fault, &self.name()))?;
        Ok(Value { kind: self.kind(), data })
    }
}

fn in_value(fault: Fault, name: &Name) -> format_core::Error {
    format_core::Error::from(fault).context(format!("value {:?}", name.to_string()))
}
