//! Mails: to whom, what they say, and in which form that goes over the wire.
//!
//! [`Composer`] makes a [`Composed`] mail from a [`Letter`]: MIME with a plain part and HTML, the headers that receivers
//! ask of bulk mail, and a DKIM signature. The same letter gives the same bytes: its [`Token`] follows from what it is for,
//! so a second attempt is recognised as the same mail. Everything that comes from outside is checked where it enters
//! ([`MailAddress`], [`HeaderText`], [`Unsubscribe`]); nothing here can write a line of its own into a header.
//!
//! [`campaign`] sends them to many, [`message`] to one, both through [`providers`].
//!
//! The numbers of the tests are those of spec/EMAIL.md 3.1. Sources: RFC 5322, 2045 to 2047, 2369 and 8058 (unsubscribe),
//! 2919 (List-Id), 3834 (Auto-Submitted), 6376 and 8463 (DKIM).

pub mod address;
pub mod campaign;
mod class;
mod compose;
pub mod dkim;
pub mod feedback;
mod header;
pub mod links;
mod list;
pub mod message;
mod plain_text;
pub mod providers;
pub mod sns;
#[cfg(test)]
mod tests;
mod token;
mod utm;
mod verp;
mod verp_single;

pub use address::{AddressError, Domain, MailAddress};
pub use class::Class;
pub use compose::{ComposeError, Composed, Composer, Letter, Limits, Purpose, Warning};
pub use header::{HeaderError, HeaderName, HeaderText, Mailbox};
pub use list::{FeedbackId, ListId, Unsubscribe};
pub use plain_text::{PlainTextError, plain_text};
pub use token::{IntentKey, Token};
pub use verp::{MAIL_HEADER, Verp};
pub use verp_single::{ReturnAddress, SingleVerp};
