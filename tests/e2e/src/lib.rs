//! The rehome binary as a black box: `tests/rehome` runs it as an operator would and judges what it leaves behind.
//!
//! The tests take the binary from `REHOME` (a path), else from the target folder that they were built into.
