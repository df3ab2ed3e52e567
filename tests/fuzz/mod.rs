//! Every decoder of bytes from outside under mutation: it may refuse, it may not panic, hang or blow up.
//!
//! `MILLRACE_FUZZ_SECONDS` is the time for each target (1), `MILLRACE_FUZZ_SEED` where the mutations start (1).

mod events;
mod http;
mod mail;
mod mutate;
mod names;
mod queries;
