//! QEMU images of the first version (qcow), read.
