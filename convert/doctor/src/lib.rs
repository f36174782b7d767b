//! What this host can do, which endpoints it reaches, and what each code means.
//!
//! Nothing here changes anything: files are made in a folder that the operator named, and removed again; of a server no more is asked than
//! its first answer. Everything has time limits, because what is looked at may be broken: that is why somebody looks.

pub mod explain;
pub mod host;
pub mod net;
mod run;
mod text;
mod warnings;
