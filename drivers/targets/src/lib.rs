//! What each hypervisor needs from a guest, as data.
