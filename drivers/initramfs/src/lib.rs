//! initramfs images: segments, compression, cpio archives, kernel modules.
