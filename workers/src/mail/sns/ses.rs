//! What a notification of SES says about a mail.
//!
//! | event                                 | says                                              |
//! |---------------------------------------|---------------------------------------------------|
//! | Bounce, `Permanent`                   | bounced, permanent                                |
//! | Bounce, `Transient` or anything else  | bounced, transient or undetermined                |
//! | Complaint                             | a complaint; `not-spam`: it is taken back         |
//! | Reject                                | bounced, undetermined: SES did not send it        |
//! | Delivery                              | delivered                                         |
//! | Send, DeliveryDelay, Open, Click, Rendering Failure, Subscription | nothing; opens and clicks are counted by our own links |
//!
//! The mail is found by the tag `intent` or by its header, which SES repeats; SES gives it a Message-ID of its own.

use crate::mail::{MAIL_HEADER, Verp};
use bus_schema::mail::feedback::BounceKind;
use serde::Deserialize;
use std::collections::HashMap;
use writers::mail::feedback::{Told, is_status};

/// Headers of a mail that are looked at.
const MAX_HEADERS: usize = 200;

/// An event about a mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub told: Told,
    pub mails: Vec<Verp>,
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
    status: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct RawComplaint {
    complaint_feedback_type: Option<String>,
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
            let statuses = raw.bounce.bounced_recipients.into_iter().filter_map(|recipient| recipient.status);
            Told::Bounced { kind, status: statuses.into_iter().find(|status| is_status(status)) }
        }
        "Reject" => Told::Bounced { kind: BounceKind::Undetermined, status: None },
        "Complaint" => {
            let kind = raw.complaint.complaint_feedback_type.unwrap_or_default().to_ascii_lowercase();
            let word: String = kind.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').take(40).collect();
            match &word[..] {
                "not-spam" => Told::NotSpam,
                "" => Told::Complained { kind: "abuse".to_owned() },
                _ => Told::Complained { kind: word },
            }
        }
        "Delivery" => Told::Delivered,
        _ => return None,
    };
    let tags = raw.mail.tags.get("intent").into_iter().flatten().map(String::as_str);
    let headers = raw.mail.headers.iter().take(MAX_HEADERS);
    let headers =
        headers.filter(|header| header.name.eq_ignore_ascii_case(MAIL_HEADER)).map(|header| &header.value[..]);
    let mut mails: Vec<Verp> = tags.chain(headers).flat_map(Verp::all_in).collect();
    mails.dedup();
    mails.truncate(8);
    Some(Event { told, mails })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn told(event: serde_json::Value) -> Option<Told> {
        read_event(&event.to_string()).map(|event| event.told)
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
        for nothing in ["Send", "Open", "Click", "DeliveryDelay", "Rendering Failure", "Subscription", ""] {
            assert_eq!(told(json!({"eventType": nothing})), None, "{nothing}");
        }
        assert!(read_event("[]").is_none() && read_event("no json").is_none());
    }
}
