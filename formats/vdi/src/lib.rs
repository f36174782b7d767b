//! VirtualBox VDI images, read and written.
