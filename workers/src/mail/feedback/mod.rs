//! What comes back about mails: reports of servers (RFC 3464) and of mailboxes (RFC 5965), by SMTP or handed in.
//!
//! [`report`] reads what a message says, [`Matcher`] finds which mail it is about, [`Feedback`] records it and keeps the
//! address from getting more mail. A message that is no report is nothing: an answer of a person on holiday is no bounce.

pub mod fields;
mod intake;
pub mod listener;
mod matcher;
pub mod report;
mod single;

pub use intake::{Feedback, FeedbackError, Noted, Reported};
pub use listener::{BounceListener, ListenerOptions};
pub use matcher::{Addressed, MailAddressed, Matcher};
