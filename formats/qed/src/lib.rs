//! QED images, read.
