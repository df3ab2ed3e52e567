//! What no crate can check alone: the rules of the design over the whole source, the ports over real servers, the
//! decoders of outside bytes under mutation.
//!
//! Tests that need a log start a real nats-server (see `support`): its path is `MILLRACE_NATS_SERVER`, else the one that
//! `ops/test` installs. `MILLRACE_SKIP_SLOW=1` passes over tests that kill and restart servers.

#[cfg(test)]
mod architecture;
#[cfg(test)]
mod chaos;
#[cfg(test)]
mod contracts;
#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod scenarios;
pub mod sizing;
#[cfg(test)]
mod support;
