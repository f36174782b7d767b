//! QEMU's qcow2 images: reading with backing chains, and writing.
