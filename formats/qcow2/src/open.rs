//! From a file to a layer: header, encryption, snapshots, external data file.

use crate::bitmaps;
use crate::cache::Cache;
use crate::crypto::Method;
use crate::details;
use crate::error::Qcow2Error;
use crate::layout::MAX_CLUSTER_BITS;
use crate::parse::{Header, check_l1, parse_header};
use crate::read::{Qcow2Layer, read_words};
use crate::snapshots;
use crate::table::Geometry;
use format_core::{Layer, LayerContext, ParentRef, Result, Storage};
use std::sync::Arc;

/// L2 tables kept: 32 MiB describe 256 GiB of disk at 64 KiB clusters.
const TABLE_CACHE: usize = 32 << 20;
/// Decompressed clusters kept, for reads smaller than a cluster.
const CLUSTER_CACHE: usize = 16 << 20;

pub(crate) fn load_header(storage: &dyn Storage) -> Result<Header> {
    let file_size = storage.size();
    let mut first = vec![0; file_size.min(1 << MAX_CLUSTER_BITS) as usize];
    storage.read_exact_at(0, &mut first)?;
    parse_header(&first, file_size)
}

pub(crate) fn open(storage: Arc<dyn Storage>, context: &LayerContext) -> Result<Box<dyn Layer>> {
    open_qcow2(storage, context).map_err(|e| e.in_format(crate::FORMAT.name))
}

fn open_qcow2(storage: Arc<dyn Storage>, context: &LayerContext) -> Result<Box<dyn Layer>> {
    let header = load_header(storage.as_ref())?;
    let key = context.access.key.as_ref();
    let method = Method::load(storage.as_ref(), header.v2.crypt_method, header.extensions.crypto)?;
    let snapshots = snapshots::load(storage.as_ref(), &header);
    let bitmaps = bitmaps::load(storage.as_ref(), &header);
    let wanted = context.access.snapshot.as_deref();
    let mut warnings = details::warnings(&header, &snapshots, &bitmaps, wanted);
    let (mut geometry, mut l1) = (header.geometry, header.l1);
    let table = match wanted {
        // The current state does not need the table of snapshots; it was warned of.
        None => snapshots.unwrap_or_default(),
        Some(wanted) => {
            let table = snapshots?;
            let found = table.find(wanted)?;
            geometry.virtual_size = found.disk_size.unwrap_or(header.v2.size);
            l1 = check_l1(found.l1_size, found.l1_table_offset, &geometry)?;
            table
        }
    };
    let data = data_file(&storage, &header, &mut geometry, context)?;
    let decryption = method.as_ref().map(|method| method.unlock(storage.as_ref(), key)).transpose()?;
    warnings.extend(method.as_ref().and_then(|method| method.warning(key)));
    let details = details::details(&header, method.as_ref(), &table, &bitmaps.unwrap_or_default());
    Ok(Box::new(Qcow2Layer {
        l1: read_words(storage.as_ref(), l1.offset, l1.needed)?,
        storage,
        data,
        geometry,
        compression: header.compression,
        decryption,
        l1_table_offset: l1.offset,
        tables: Cache::new(TABLE_CACHE),
        clusters: Cache::new(CLUSTER_CACHE),
        is_current: wanted.is_none(),
        parent: parent(header.backing_name, header.extensions.backing_format),
        details,
        warnings,
    }))
}

fn parent(name: Option<String>, format: Option<String>) -> Option<ParentRef> {
    let format = format.filter(|name| !name.is_empty());
    name.map(|name| ParentRef { names: vec![name], format, identity: None })
}

/// The file that holds the clusters: the image itself, or the external data file.
pub(crate) fn data_file(
    storage: &Arc<dyn Storage>,
    header: &Header,
    geometry: &mut Geometry,
    context: &LayerContext,
) -> Result<Arc<dyn Storage>> {
    if !header.has_data_file() {
        return Ok(Arc::clone(storage));
    }
    let name = header.extensions.data_file.as_deref().filter(|name| !name.is_empty());
    let file = context.gate.open(name.ok_or(Qcow2Error::NoDataFile)?)?;
    geometry.data_file_size = Some(file.storage.size());
    Ok(Arc::new(file.storage))
}
