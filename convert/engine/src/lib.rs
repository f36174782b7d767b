//! The copy: request, plan, pipeline, digest, manifest, verify, compare.
