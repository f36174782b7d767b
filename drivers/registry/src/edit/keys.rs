//! Creating and deleting keys.

use super::Editor;
use crate::error::{Fault, Result as Checked};
use crate::layout::{MAX_DEPTH, MAX_KEY_NAME, NIL, nk};
use crate::name::{checked, components, encode};
use crate::subkeys::Lists;
use crate::walk::Walk;
use format_core::Result;
use std::collections::BTreeMap;

/// A key to be created.
struct NewKey<'a> {
    parent: u32,
    name: &'a [u16],
    class: Option<&'a str>,
    security: u32,
    /// Flags of the parent that it hands on, in the field of the largest subkey name.
    virtualization: u32,
}

/// What deleting a key takes away.
#[derive(Default)]
struct Subtree {
    cells: Vec<u32>,
    /// Security descriptors, and how many keys less each has.
    owners: BTreeMap<u32, u32>,
}

impl Editor<'_> {
    /// Creates the key at `path`, and the keys above it that are missing. Each gets the security descriptor of its parent;
    /// the last gets `class` as its class name. A key that is there stays as it is. Returns whether something changed.
    ///
    /// # Errors
    /// `Usage`: no name that a key can have, or too deep. `Unsupported`: a key on the way is a symbolic link or a
    /// predefined handle. `Limit`: the hive has no room left. `Corrupt`: what is on the way is broken.
    pub fn create_key(&mut self, path: &str, class: Option<&str>) -> Result<bool> {
        self.try_create(path, class).map_err(|fault| in_key(fault, path))
    }

    /// Deletes the key at `path` with everything below it. Returns whether it was there.
    ///
    /// # Errors
    /// `Usage`: the root. `Unsupported`: the key or one below it says that it must not be deleted. `Corrupt`: what is on
    /// the way is broken.
    pub fn delete_key(&mut self, path: &str) -> Result<bool> {
        self.try_delete_key(path).map_err(|fault| in_key(fault, path))
    }

    fn try_create(&mut self, path: &str, class: Option<&str>) -> Checked<bool> {
        let names: Vec<&str> = components(path).collect();
        if names.len() > MAX_DEPTH {
            return Err(Fault::Usage(format!(
                "it is {} deep, at most {MAX_DEPTH} are possible",
                names.len()
            )));
        }
        let class = class.filter(|class| !class.is_empty());
        if class.is_some_and(|class| class.encode_utf16().count() * 2 > usize::from(u16::MAX)) {
            return Err(Fault::Usage("the class name is longer than 32767 characters".to_owned()));
        }
        // All names before the first change.
        let wide =
            names.iter().map(|name| checked("key name", name, MAX_KEY_NAME)).collect::<Checked<Vec<_>>>()?;
        let mut cell = self.hive.base.root;
        let mut has_changed = false;
        for (index, (name, units)) in names.iter().zip(&wide).enumerate() {
            // Below a new key nothing is looked for.
            let found = if has_changed { None } else { self.find_below(cell, name)? };
            cell = match found {
                Some(found) => found,
                None => {
                    if !has_changed {
                        self.plain_key(cell, path)?;
                        self.check_order(cell, units)?;
                    }
                    has_changed = true;
                    let class = class.filter(|_| index + 1 == names.len());
                    let new = self.planned(cell, units, class)?;
                    self.change(|editor| editor.add_key(&new))?
                }
            };
        }
        Ok(has_changed)
    }

    fn planned<'a>(&self, parent: u32, name: &'a [u16], class: Option<&'a str>) -> Checked<NewKey<'a>> {
        let record = self.hive.space.record(parent, "key")?;
        let flags = record.u32(nk::MAX_SUBKEY_NAME)? & nk::VIRTUALIZATION;
        let virtualization = if flags & nk::VIRTUALIZATION_RECURSES != 0 { flags } else { 0 };
        Ok(NewKey { parent, name, class, security: record.u32(nk::SECURITY)?, virtualization })
    }

    fn add_key(&mut self, new: &NewKey<'_>) -> Checked<u32> {
        let class: Vec<u8> =
            new.class.unwrap_or_default().encode_utf16().flat_map(u16::to_le_bytes).collect();
        let class_cell = if class.is_empty() { NIL } else { self.allocate(&class, 0)? };
        let cell = self.allocate(&key_record(new, class_cell, class.len()), 0)?;
        self.touch(cell)?;
        self.add_owner(new.security)?;
        self.add_subkey(new.parent, cell, new.name)?;
        // The length is 16 bits of its field, behind them are flags.
        let longest = self.hive.space.record(new.parent, "key")?.u16(nk::MAX_SUBKEY_NAME)?;
        let len = (new.name.len() * 2) as u16;
        self.hive.space.put_u16(new.parent, nk::MAX_SUBKEY_NAME, longest.max(len))?;
        self.raise(new.parent, nk::MAX_CLASS, class.len())?;
        self.touch(new.parent)?;
        Ok(cell)
    }

    fn try_delete_key(&mut self, path: &str) -> Checked<bool> {
        let mut key = self.hive.base.root;
        let mut parent = None;
        for name in components(path) {
            match self.find_below(key, name)? {
                Some(found) => (parent, key) = (Some(key), found),
                None => return Ok(false),
            }
        }
        let parent = parent.ok_or_else(|| Fault::Usage("the root key cannot be deleted".to_owned()))?;
        let subtree = self.subtree(key)?;
        self.change(|editor| editor.drop_key(parent, key, subtree))?;
        Ok(true)
    }

    fn subtree(&self, key: u32) -> Checked<Subtree> {
        let mut subtree = Subtree::default();
        let mut walk = Walk::below(self.hive, key);
        while let Some(visit) = walk.step()? {
            let node = &visit.key.node;
            if node.flags & (nk::FLAG_NO_DELETE | nk::FLAG_ROOT) != 0 {
                let name = visit.key.name().to_string();
                return Err(Fault::Refused(format!("key {name:?} in it says that it must not be deleted")));
            }
            let lists = Lists::of(&self.hive.space, node)?;
            subtree.cells.push(node.cell);
            subtree.cells.extend(lists.root);
            subtree.cells.extend(lists.leaves.iter().map(|leaf| leaf.cell));
            if node.class_bytes(&self.hive.space)?.is_some() {
                subtree.cells.push(node.class);
            }
            subtree.cells.extend(self.cells_of_values(node.cell)?);
            *subtree.owners.entry(node.security).or_default() += 1;
        }
        Ok(subtree)
    }

    fn drop_key(&mut self, parent: u32, key: u32, subtree: Subtree) -> Checked<()> {
        self.remove_subkey(parent, key)?;
        self.release_all(subtree.cells)?;
        for (security, fewer) in subtree.owners {
            self.drop_owners(security, fewer)?;
        }
        if self.node(parent)?.subkeys == 0 {
            self.hive.space.put_u16(parent, nk::MAX_SUBKEY_NAME, 0)?;
            self.hive.space.put_u32(parent, nk::MAX_CLASS, 0)?;
        }
        self.touch(parent)
    }
}

/// A key node without subkeys and values; its time is set later.
fn key_record(new: &NewKey<'_>, class: u32, class_len: usize) -> Vec<u8> {
    let name = encode(new.name);
    let flags = if name.is_compressed { nk::FLAG_COMPRESSED } else { 0 };
    let mut record = Vec::with_capacity(nk::NAME + name.bytes.len());
    record.extend(nk::SIGNATURE);
    record.extend(flags.to_le_bytes());
    record.resize(nk::PARENT, 0);
    let fields = [new.parent, 0, 0, NIL, NIL, 0, NIL, new.security, class, new.virtualization, 0, 0, 0, 0];
    record.extend(fields.iter().flat_map(|field| field.to_le_bytes()));
    record.extend((name.bytes.len() as u16).to_le_bytes());
    record.extend((class_len as u16).to_le_bytes());
    record.extend(name.bytes);
    record
}

fn in_key(fault: Fault, path: &str) -> format_core::Error {
    format_core::Error::from(fault).context(format!("key {path:?}"))
}
