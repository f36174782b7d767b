//! What `info` says about an image.

use crate::image::Image;
use crate::layout::MEDIA_MEMORY;
use crate::parse::to_hex;
use format_core::Details;
use serde_json::{Value, json};

impl Image {
    pub(crate) fn details(&self) -> Details {
        let mut details = Details::new();
        let mut put = |key: &str, value: Value| {
            details.insert(key.to_owned(), value);
        };
        let volume = &self.volume;
        put("segments", self.segments.count().into());
        put("sector-size", volume.sector_size.into());
        put("sectors-per-chunk", volume.sectors_per_chunk.into());
        put("chunks", self.tables.chunks().into());
        if volume.chunks != 0 && u64::from(volume.chunks) != self.tables.chunks() {
            put("chunks-by-volume", volume.chunks.into());
        }
        if !volume.set.is_nil() {
            put("set-identifier", volume.set.to_string().into());
        }
        if let Some(media) = volume.media {
            let kind = match media.kind {
                0 => "removable".into(),
                1 => "fixed".into(),
                3 => "optical".into(),
                MEDIA_MEMORY => "memory".into(),
                other => format!("{other:#04x}"),
            };
            put("media-type", kind.into());
            put("is-physical", (media.flags & 2 != 0).into());
            let blocker = match media.flags & 0xc {
                0 => None,
                4 => Some("fastbloc"),
                8 => Some("tableau"),
                _ => Some("fastbloc, tableau"),
            };
            if let Some(blocker) = blocker {
                put("write-blocker", blocker.into());
            }
            put("compression-level", media.compression.into());
            if media.error_granularity != 0 {
                put("error-granularity", media.error_granularity.into());
            }
        }
        if self.sessions > 0 {
            put("sessions", self.sessions.into());
        }
        for (name, value) in &self.values {
            put(name, value.as_str().into());
        }
        if let Some(md5) = self.hashes.md5 {
            put("md5", to_hex(&md5).into());
        }
        if let Some(sha1) = self.hashes.sha1 {
            put("sha1", to_hex(&sha1).into());
        }
        if self.unreadable_sectors > 0 {
            put("unreadable-sectors", self.unreadable_sectors.into());
            let range = |(first, sectors): &(u32, u32)| json!({ "first-sector": first, "sectors": sectors });
            put("unreadable-ranges", self.unreadable.iter().map(range).collect());
        }
        details
    }
}
