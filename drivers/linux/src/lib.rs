//! Linux guests: inspection and fixups, a file each.
