//! What all services of AWS have in common: credentials, regions, endpoints and signatures.

mod container;
mod credentials;
mod instance;
mod profile;
mod service;
mod signature;

pub(crate) use service::{Service, Services};
pub(crate) use signature::hmac;
