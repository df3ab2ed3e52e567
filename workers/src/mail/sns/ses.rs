//! What a notification of SES says about a mail.
//!
//! | event                                 | says                                              |
//! |---------------------------------------|---------------------------------------------------|
//! | Bounce, `Permanent`                   | bounced, permanent                                |
//! | Bounce, `Transient` or anything else  | bounced, transient or undetermined                |
//! | Complaint                             | a complaint; `not-spam`: it is taken back         |
//! | Reject                                | bounced, undetermined: SES did not send it        |
//! | Delivery                              | delivered                                         |
//! | Send, DeliveryDelay, Open, Click      | that SES has it, so a mail that was unknown is accepted; opens and clicks are counted by our own links |
//! | Rendering Failure, Subscription       | nothing                                           |
//!
//! The mail is found by the tag `intent` or by its header, which SES repeats, then by the Message-ID it had when SES took it; SES
//! gives it one of its own.

use crate::mail::{MAIL_HEADER, ReturnAddress, Token};
use bus_schema::mail::feedback::BounceKind;
use serde::Deserialize;
use std::collections::HashMap;
use writers::mail::feedback::{Told, is_status};

/// Headers of a mail that are looked at.
const MAX_HEADERS: usize = 200;
/// Mails, and addresses, that an event may name.
const MAX_MAILS: usize = 8;

/// An event about a mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// `None`: that SES has the mail, and no more.
    pub told: Option<Told>,
    pub mails: Vec<ReturnAddress>,
    /// When they have the form of ours.
    pub message_ids: Vec<Token>,
    /// Whom it says it is about, in small letters.
    pub recipients: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Raw {
    event_type: Option<String>,
    notification_type: Option<String>,
    mail: RawMail,
    bounce: RawBounce,
    complaint: RawComplaint,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RawMail {
    tags: HashMap<String, Vec<String>>,
    headers: Vec<RawHeader>,
    #[serde(rename = "commonHeaders")]
    common_headers: RawCommon,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct RawCommon {
    message_id: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RawHeader {
    name: String,
    value: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct RawBounce {
    bounce_type: String,
    bounced_recipients: Vec<RawRecipient>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RawRecipient {
    #[serde(rename = "emailAddress")]
    address: String,
    status: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct RawComplaint {
    complaint_feedback_type: Option<String>,
    complained_recipients: Vec<RawRecipient>,
}

/// `None`: it says nothing about the fate of a mail.
pub fn read_event(message: &str) -> Option<Event> {
    let raw: Raw = serde_json::from_str(message).ok()?;
    let told = match raw.event_type.as_deref().or(raw.notification_type.as_deref())? {
        "Bounce" => {
            let kind = match &raw.bounce.bounce_type[..] {
                "Permanent" => BounceKind::Permanent,
                "Transient" => BounceKind::Transient,
                _ => BounceKind::Undetermined,
            };
            let mut statuses = raw.bounce.bounced_recipients.iter().filter_map(|recipient| recipient.status.clone());
            Some(Told::Bounced { kind, status: statuses.find(|status| is_status(status)) })
        }
        "Reject" => Some(Told::Bounced { kind: BounceKind::Undetermined, status: None }),
        "Complaint" => {
            let kind = raw.complaint.complaint_feedback_type.clone().unwrap_or_default().to_ascii_lowercase();
            let word: String = kind.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').take(40).collect();
            Some(match &word[..] {
                "not-spam" => Told::NotSpam,
                "" => Told::Complained { kind: "abuse".to_owned() },
                _ => Told::Complained { kind: word },
            })
        }
        "Delivery" => Some(Told::Delivered),
        "Send" | "DeliveryDelay" | "Open" | "Click" => None,
        _ => return None,
    };
    let tags = raw.mail.tags.get("intent").into_iter().flatten().map(String::as_str);
    let headers = |name: &'static str| {
        let headers = raw.mail.headers.iter().take(MAX_HEADERS);
        headers.filter(move |header| header.name.eq_ignore_ascii_case(name)).map(|header| &header.value[..])
    };
    let mut mails: Vec<ReturnAddress> = tags.chain(headers(MAIL_HEADER)).flat_map(ReturnAddress::all_in).collect();
    mails.dedup();
    mails.truncate(MAX_MAILS);
    let message_ids = headers("message-id").chain(raw.mail.common_headers.message_id.as_deref());
    let message_ids = message_ids.filter_map(Token::found_in).take(MAX_MAILS).collect();
    let recipients = raw.bounce.bounced_recipients.iter().chain(&raw.complaint.complained_recipients);
    let recipients = recipients.map(|recipient| recipient.address.trim().to_lowercase()).take(MAX_MAILS).collect();
    Some(Event { told, mails, message_ids, recipients })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn told(event: serde_json::Value) -> Option<Told> {
        read_event(&event.to_string()).and_then(|event| event.told)
    }

    #[test]
    fn events_become_what_they_say() {
        let bounce = |kind: &str, status: &str| {
            let recipients = json!([{"emailAddress": "a@x.example", "status": status}]);
            json!({"eventType": "Bounce", "bounce": {"bounceType": kind, "bouncedRecipients": recipients}, "mail": {}})
        };
        let bounced = |kind, status: Option<&str>| Some(Told::Bounced { kind, status: status.map(str::to_owned) });
        assert_eq!(told(bounce("Permanent", "5.1.1")), bounced(BounceKind::Permanent, Some("5.1.1")));
        assert_eq!(told(bounce("Transient", "a@x.example")), bounced(BounceKind::Transient, None));
        assert_eq!(told(bounce("Undetermined", "")), bounced(BounceKind::Undetermined, None));
        assert_eq!(told(json!({"notificationType": "Reject"})), bounced(BounceKind::Undetermined, None));
        let complaint = |kind| told(json!({"eventType": "Complaint", "complaint": {"complaintFeedbackType": kind}}));
        assert_eq!(complaint("abuse"), Some(Told::Complained { kind: "abuse".into() }));
        assert_eq!(complaint("not-spam"), Some(Told::NotSpam));
        assert_eq!(told(json!({"eventType": "Delivery"})), Some(Told::Delivered));
        for taken in ["Send", "Open", "Click", "DeliveryDelay"] {
            let event = read_event(&json!({"eventType": taken}).to_string()).unwrap();
            assert_eq!(event.told, None, "{taken}");
        }
        for nothing in ["Rendering Failure", "Subscription", ""] {
            assert!(read_event(&json!({"eventType": nothing}).to_string()).is_none(), "{nothing}");
        }
        let token = "a".repeat(32);
        let mail = json!({"commonHeaders": {"messageId": format!("<{token}@shop.example>")},
            "headers": [{"name": "Message-ID", "value": "<other@x.example>"}]});
        let bounce = json!({"bouncedRecipients": [{"emailAddress": " Ada@X.example"}]});
        let event = read_event(&json!({"eventType": "Bounce", "mail": mail, "bounce": bounce}).to_string()).unwrap();
        assert_eq!((event.message_ids[0].as_str(), event.message_ids.len()), (&*token, 1));
        assert_eq!(event.recipients, ["ada@x.example"]);
        assert!(read_event("[]").is_none() && read_event("no json").is_none());
    }
}
