//! A thin SMTP client, made for sending many mails over few connections and for knowing what became of each.
//!
//! [`Connection`] sends one mail after another: MAIL, RCPT and DATA in one write when the provider offers PIPELINING
//! (RFC 2920), the message with its final dot in one more. No MAIL is sent before TLS is verified, unless the provider
//! is this machine. [`Pool`] holds at most N connections; a mail that waits for one is opened behind the message before it,
//! in the same write. A failure says which [`Stage`] was reached; what may be done then stands once, in [`permits`].
//! [`sink`] is the other side: it takes mails, writes down what it took before it says so, and fails as it is told to.
//!
//! Sources: RFC 5321, 2920, 1870 (SIZE), 6152 (8BITMIME), 6531 (SMTPUTF8), 3207 (STARTTLS), 4954 (AUTH), 8314 (TLS first);
//! spec/EMAIL.md 3.1, 4 and 5.2.

mod auth;
mod capabilities;
mod connection;
mod failure;
mod handshake;
mod offers;
mod opening;
mod options;
mod payload;
mod permits;
mod pool;
mod reply;
mod roots;
pub mod sink;
mod stream;
#[cfg(test)]
mod tests;
mod transaction;

pub use connection::Connection;
pub use failure::{Failure, Kind, Stage};
pub use opening::Opening;
pub use options::{Credentials, Lifetime, Security, SmtpOptions, Timeouts};
pub(crate) use payload::plain;
pub(crate) use permits::NOT_VERIFIED;
pub use permits::{FailOver, Fault, Permits, Retry, permits};
pub use pool::{Lease, Pool};
pub use reply::{MalformedReply, Reply};
pub use roots::{Roots, RootsError};
pub use transaction::{Accepted, Envelope};
