//! What is said before a message: who it is from and who gets it, as far as this provider can carry it.

use super::{Envelope, Failure, Kind, Stage, capabilities::Capabilities, payload, payload::Needs};
use crate::mail::MailAddress;

/// The commands of one mail, to be said on any connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opening {
    envelope: Envelope,
    needs: Needs,
    /// Of the message, in bytes.
    size: usize,
}

/// The commands as one connection wants them.
pub(super) struct Commands {
    pub(super) mail: String,
    pub(super) rcpt: String,
}

pub(super) const DATA: &str = "DATA\r\n";

impl Opening {
    /// Everything about a mail that can be known before there is a connection. Fails when nobody can send it.
    pub fn try_new(envelope: &Envelope, message: &[u8]) -> Result<Self, Failure> {
        let unfit = |error: payload::Unsendable| Failure::new(Stage::Message, Kind::Unfit, error.to_string());
        let needs = payload::inspect(message).map_err(unfit)?;
        Ok(Self { envelope: envelope.clone(), needs, size: message.len() })
    }

    /// Fails when the provider does not offer what the mail needs.
    pub(super) fn commands(&self, offered: &Capabilities) -> Result<Commands, Failure> {
        let Self { envelope, needs, size } = self;
        let missing = |what: &str| Err(Failure::new(Stage::Message, Kind::NotOffered, what));
        let beyond = |address: &MailAddress| address.needs_smtputf8();
        let smtputf8 = needs.smtputf8 || beyond(&envelope.recipient) || envelope.sender.as_ref().is_some_and(beyond);
        if smtputf8 && !offered.smtputf8 {
            return missing("an address or a header is not ASCII, and the provider does not offer SMTPUTF8");
        }
        if needs.eight_bit && !offered.eight_bit {
            return missing("the message is not ASCII, and the provider does not offer 8BITMIME");
        }
        let limit = offered.size.filter(|limit| *limit > 0);
        if limit.is_some_and(|limit| *size as u64 > limit) {
            return missing("the message is larger than the provider takes (SIZE)");
        }
        let mut mail = match &envelope.sender {
            Some(sender) => format!("MAIL FROM:<{sender}>"),
            None => "MAIL FROM:<>".to_owned(),
        };
        if offered.size.is_some() {
            mail += &format!(" SIZE={size}");
        }
        // A UTF-8 header asks for both (RFC 6531 3.6); where SMTPUTF8 is offered 8BITMIME is.
        if (needs.eight_bit || smtputf8) && offered.eight_bit {
            mail += " BODY=8BITMIME";
        }
        if smtputf8 {
            mail += " SMTPUTF8";
        }
        mail += "\r\n";
        Ok(Commands { mail, rcpt: format!("RCPT TO:<{}>\r\n", envelope.recipient) })
    }
}
