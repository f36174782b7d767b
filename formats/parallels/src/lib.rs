//! Parallels and Virtuozzo images (.hdd, .hds), read.
