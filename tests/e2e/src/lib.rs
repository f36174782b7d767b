//! The rehome binary as a black box.
