//! Microsoft VHDX images: reading with log replay in memory, and writing.
