//! The contract of the format traits, as tests that every format runs.
