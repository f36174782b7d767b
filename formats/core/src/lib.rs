//! The vocabulary of disk images: storage, layer, disk, overlay, sink, gate. No format in it.
