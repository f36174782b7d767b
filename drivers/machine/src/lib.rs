//! The neutral machine model and its dialects.
