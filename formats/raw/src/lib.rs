//! Raw disk images: files with holes and block devices.
