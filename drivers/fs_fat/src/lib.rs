//! FAT file systems of EFI system partitions.
