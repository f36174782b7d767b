//! VMware VMDK images: hosted sparse and streamOptimized extents.
