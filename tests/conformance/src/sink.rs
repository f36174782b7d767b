//! Lines 6 and 7, for one writer and its reader.

use crate::{Content, Noise, Outcome, Violation, broken, check_flat, first_difference, require};
use format_core::{
    CreateRequest, DenyAll, FileTarget, Format, Layer, LayerContext, MemStorage, MemTarget, Needs,
    OpenOptions, Order, Packed, Result, Sink, TargetStorage, is_zero, open_image,
};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// How the chunks of a disk reach a sink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Threads that write at once; 1 where the sink wants ascending order.
    pub threads: usize,
    /// Chunks in one call at most; 1 where the sink wants them packed.
    pub chunks: usize,
    /// Whether ranges of zeros are mentioned; never mentioning them must do the same.
    pub mention_zeros: bool,
    /// What the order is shuffled with; 0 for ascending.
    pub shuffle: u64,
}

impl Delivery {
    /// The deliveries that every sink has to bear.
    pub const ALL: [Self; 5] = [
        Self { threads: 1, chunks: 1, mention_zeros: true, shuffle: 0 },
        Self { threads: 1, chunks: 64, mention_zeros: false, shuffle: 0 },
        Self { threads: 1, chunks: 7, mention_zeros: true, shuffle: 21 },
        Self { threads: 8, chunks: 3, mention_zeros: true, shuffle: 22 },
        Self { threads: 8, chunks: 1, mention_zeros: false, shuffle: 23 },
    ];

    /// This delivery as far as the sink's needs allow.
    fn for_needs(self, needs: Needs) -> Self {
        let ordered = needs.order == Order::Ascending;
        Self {
            threads: if ordered { 1 } else { self.threads },
            shuffle: if ordered { 0 } else { self.shuffle },
            ..self
        }
    }
}

/// Writes each of the contents by each delivery, opens the result, and compares.
///
/// # Errors
/// The first line of the contract that writer or reader breaks.
pub fn check_sink(format: &Format, options: &[(&str, &str)], contents: &[Content]) -> Outcome {
    for content in contents {
        for delivery in Delivery::ALL {
            check_one(format, options, content, delivery).map_err(|v| Violation {
                what: format!("{} {options:?}, {}, {delivery:?}: {}", format.name, content.name, v.what),
                ..v
            })?;
        }
    }
    Ok(())
}

fn check_one(format: &Format, options: &[(&str, &str)], content: &Content, delivery: Delivery) -> Outcome {
    let expected = grown(format, options, &content.bytes)?;
    let image = write_image(format, options, &expected, delivery)?;
    let layer = open_bytes(format, image).map_err(|e| broken(6, format!("does not open: {e}")))?;
    let (size, written) = (layer.virtual_size(), expected.len() as u64);
    require(6, size == written, || format!("{written:#x} bytes became {size:#x}"))?;
    let mut found = vec![0xee; size as usize];
    layer.read_exact_at(0, &mut found).map_err(|e| broken(3, e.to_string()))?;
    if let Some(place) = first_difference(&found, &expected) {
        let zero = expected.get(place) == Some(&0);
        let line = if zero && delivery.mention_zeros { 7 } else { 6 };
        return Err(broken(line, format!("{place:#x} reads {:#x?}", found.get(place))));
    }
    crate::check_layer(layer.as_ref(), &expected)
}

/// Writes the content by each delivery as an image in `folder`, which may be several files, opens it and compares.
///
/// # Errors
/// The first line of the contract that writer or reader breaks.
pub fn check_files(
    (format, formats): (&'static Format, &'static [&'static Format]),
    options: &[(&str, &str)],
    content: &Content,
    folder: &Path,
) -> Outcome {
    let expected = grown(format, options, &content.bytes)?;
    let path = folder.join(format!("image.{}", format.name));
    for delivery in Delivery::ALL {
        let failed = |e: format_core::Error| {
            broken(6, format!("{} {options:?}, {}, {delivery:?}: {e}", format.name, content.name))
        };
        let target = FileTarget::create(&path, true).map_err(failed)?;
        let sink = create(format, options, expected.len() as u64, Box::new(target)).map_err(failed)?;
        deliver(sink.as_ref(), &expected, delivery).and_then(|()| sink.finish()).map_err(failed)?;
        let image = open_image(&path, &OpenOptions::new(formats, Some(format))).map_err(failed)?;
        require(6, image.chain.iter().any(|link| !link.parts.is_empty()), || {
            format!("{} {options:?} is one file", format.name)
        })?;
        let size = image.disk.virtual_size();
        require(6, size == expected.len() as u64, || {
            format!("{:#x} bytes became {size:#x}", expected.len())
        })?;
        check_flat(image.disk.extents(0, size), size)?;
        let mut found = vec![0xee; expected.len()];
        image.disk.read_exact_at(0, &mut found).map_err(failed)?;
        if let Some(place) = first_difference(&found, &expected) {
            return Err(failed(format_core::Error::corrupt(format!("{place:#x} reads wrong"))));
        }
    }
    Ok(())
}

/// The disk as the format can hold it: zeros up to the next multiple of its step.
///
/// # Errors
/// A violation of line 9 when the step is no number that can be rounded to.
pub fn grown(format: &Format, options: &[(&str, &str)], disk: &[u8]) -> Outcome<Vec<u8>> {
    let step = (format.size_step)(&request(options, disk.len() as u64));
    let size = (disk.len() as u64).checked_next_multiple_of(step);
    let size = size.ok_or_else(|| broken(9, format!("{} has a step of {step} bytes", format.name)))?;
    let mut disk = disk.to_vec();
    disk.resize(size as usize, 0);
    Ok(disk)
}

fn request(options: &[(&str, &str)], virtual_size: u64) -> CreateRequest {
    let options = options.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect();
    CreateRequest { virtual_size, options, parent: None }
}

/// Writes `disk`, whose size the format can hold, as an image of `format` into memory.
///
/// # Errors
/// A violation of line 6 when the writer reports an error, of line 8 when it does not commit.
pub fn write_image(
    format: &Format,
    options: &[(&str, &str)],
    disk: &[u8],
    delivery: Delivery,
) -> Outcome<Vec<u8>> {
    let target = MemTarget::default();
    let failed = |e: format_core::Error| broken(6, format!("writing {}: {e}", format.name));
    let sink = create(format, options, disk.len() as u64, Box::new(target.clone())).map_err(failed)?;
    deliver(sink.as_ref(), disk, delivery).map_err(failed)?;
    require(8, target.committed_bytes().is_none(), || "committed before finish".into())?;
    sink.finish().map_err(failed)?;
    target.committed_bytes().ok_or_else(|| broken(8, "finish did not commit"))
}

/// Opens an image in memory; it may refer to nothing else.
///
/// # Errors
/// What the format reports.
pub fn open_bytes(format: &Format, image: Vec<u8>) -> Result<Arc<dyn Layer>> {
    let open = format.open_layer.ok_or_else(|| format_core::Error::unsupported("no reader"))?;
    open(Arc::new(MemStorage(image)), &LayerContext::new(Arc::new(DenyAll))).map(Arc::from)
}

pub(crate) fn create(
    format: &Format,
    options: &[(&str, &str)],
    virtual_size: u64,
    target: Box<dyn TargetStorage>,
) -> Result<Box<dyn Sink>> {
    let create = format.create.ok_or_else(|| format_core::Error::unsupported("no writer"))?;
    create(target, &request(options, virtual_size))
}

/// Hands all of `disk` to the sink.
pub(crate) fn deliver(sink: &dyn Sink, disk: &[u8], delivery: Delivery) -> Result<()> {
    let needs = sink.needs();
    let delivery = delivery.for_needs(needs);
    let mut pieces = pieces(disk, needs, delivery);
    if delivery.shuffle > 0 {
        let mut noise = Noise(delivery.shuffle);
        for last in (1..pieces.len()).rev() {
            pieces.swap(last, noise.below(last as u64 + 1) as usize);
        }
    }
    pieces.reverse();
    let left = Mutex::new(pieces);
    let next = || left.lock().unwrap_or_else(PoisonError::into_inner).pop();
    let work = || -> Result<()> {
        while let Some((from, to)) = next() {
            let part = &disk[from..to];
            if is_zero(part) {
                if delivery.mention_zeros {
                    sink.zero_at(from as u64, part.len() as u64)?;
                }
            } else if needs.packed {
                sink.write_at(from as u64, sink.pack(part)?)?;
            } else {
                sink.write_at(from as u64, Packed::Plain(part))?;
            }
        }
        Ok(())
    };
    if delivery.threads == 1 {
        return work();
    }
    thread::scope(|scope| {
        let threads: Vec<_> = (0..delivery.threads).map(|_| scope.spawn(work)).collect();
        let ends = threads.into_iter().map(|thread| {
            thread.join().unwrap_or_else(|_| Err(format_core::Error::contract("a writer panicked")))
        });
        ends.collect()
    })
}

/// Runs of chunks that are all zeros or all not, (start, end).
fn pieces(disk: &[u8], needs: Needs, delivery: Delivery) -> Vec<(usize, usize)> {
    let chunk = needs.chunk_size as usize;
    let mut pieces: Vec<(usize, usize, bool, usize)> = Vec::new();
    for (number, part) in disk.chunks(chunk).enumerate() {
        let (from, zero) = (number * chunk, is_zero(part));
        let limit = if needs.packed && !zero { 1 } else { delivery.chunks };
        match pieces.last_mut() {
            Some((_, to, same, chunks)) if *same == zero && *chunks < limit => {
                (*to, *chunks) = (from + part.len(), *chunks + 1);
            }
            _ => pieces.push((from, from + part.len(), zero, 1)),
        }
    }
    pieces.into_iter().map(|(from, to, _, _)| (from, to)).collect()
}
