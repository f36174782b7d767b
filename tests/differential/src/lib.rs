//! rehome's readers beside those of other projects: every image is read by both, and every byte compared.
//!
//! The tests are in `tests/differential`; `README.md` lists the differences that are known, with their proof.
