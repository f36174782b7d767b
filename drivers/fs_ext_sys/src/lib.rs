//! The few calls of libext2fs that rehome needs, over an io_manager of its own.
