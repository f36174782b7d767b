//! Partition tables as windows of a disk.
