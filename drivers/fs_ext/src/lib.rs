//! ext2/3/4 in process: journal replay, orphans, and editing through libext2fs over an overlay.
