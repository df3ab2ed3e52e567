//! What messages say when their tenant did not say otherwise, and with which fields that is tried.

use bus_schema::mail::message::{MessageKind, MessageWords};
use serde_json::{Map, Value, json};

/// The body between the beginning and the end that all share.
macro_rules! html {
    ($name:literal) => {
        concat!(include_str!("templates/head.html"), include_str!($name), include_str!("templates/foot.html"))
    };
}

/// The words of a kind. `None` for messages that bring their own.
pub fn words(kind: MessageKind) -> Option<MessageWords> {
    let (subject, html, text) = match kind {
        MessageKind::Receipt => (
            "Your receipt from {{ tenant_name }}",
            html!("templates/receipt.html"),
            include_str!("templates/receipt.txt"),
        ),
        MessageKind::Enrolment => {
            ("You are in: {{ course }}", html!("templates/enrolment.html"), include_str!("templates/enrolment.txt"))
        }
        MessageKind::PasswordReset => (
            "Choose a new password",
            html!("templates/password_reset.html"),
            include_str!("templates/password_reset.txt"),
        ),
        MessageKind::Invitation => (
            "Your account at {{ tenant_name }}",
            html!("templates/invitation.html"),
            include_str!("templates/invitation.txt"),
        ),
        MessageKind::Confirmation => (
            "Please confirm your address for {{ tenant_name }}",
            html!("templates/confirmation.html"),
            include_str!("templates/confirmation.txt"),
        ),
        MessageKind::Test => {
            ("A test mail of {{ tenant_name }}", html!("templates/test.html"), include_str!("templates/test.txt"))
        }
        MessageKind::Own => return None,
    };
    Some(MessageWords { subject: subject.into(), html: html.into(), text: Some(text.into()) })
}

/// Fields as a message of the kind has them, for a look at its words and for checking them.
pub fn sample(kind: MessageKind) -> Map<String, Value> {
    let money = |amount: i64| json!({"amount": amount, "currency": "EUR"});
    let mut fields = json!({
        "tenant_name": "Garden", "public_url": "https://garden.example", "site_url": "https://garden.example/",
        "email": "ada@x.example", "name": "Ada Lovelace",
    });
    let more = match kind {
        MessageKind::Receipt => json!({
            "order": "0198f2a0-0000-7000-8000-000000000001", "paid_at": "2026-03-05T14:00:00Z",
            "lines": [
                {"name": "Watering can", "sku": "CAN-1", "quantity": 2, "unit_price": money(1_250), "total": money(2_500)},
                {"name": "Tulip bulbs", "sku": "BULB-9", "quantity": 1, "unit_price": money(990), "total": money(990)},
            ],
            "total": money(3_490), "address": ["Ada Lovelace", "1 Garden Lane", "London"],
        }),
        MessageKind::Enrolment => json!({
            "course": "Pruning roses", "course_id": "0198f2a0-0000-7000-8000-000000000002", "lessons": 12,
            "link": "https://garden.example/",
        }),
        MessageKind::PasswordReset | MessageKind::Invitation => json!({
            "link": "https://garden.example/v1/password_resets/example", "valid_until": "2026-03-05 15:00",
        }),
        MessageKind::Confirmation => json!({
            "link": "https://garden.example/v1/subscriptions/example", "valid_until": "2026-03-05 15:00",
            "purpose": "marketing", "round": 1,
        }),
        MessageKind::Test | MessageKind::Own => json!({}),
    };
    let mut all = Map::new();
    for part in [fields.as_object_mut().map(std::mem::take), more.as_object().cloned()] {
        all.extend(part.unwrap_or_default());
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::{message::words::Words, plain_text};

    #[test]
    fn every_kind_has_words_that_fit_its_fields() {
        for kind in MessageKind::ALL {
            let Some(words) = words(kind) else {
                assert_eq!(kind, MessageKind::Own);
                continue;
            };
            let written = Words::try_new(&words).unwrap().write(&sample(kind)).unwrap();
            let text = written.text.unwrap();
            for part in [&written.subject, &written.html, &text] {
                assert!(!part.contains("{{") && !part.contains("{%"), "{kind:?}: {part}");
            }
            assert!(written.html.len() < 10_000 && plain_text(&written.html).is_ok());
            // Check 21: links are the same in both parts.
            if let Some(link) = sample(kind).get("link").and_then(Value::as_str) {
                assert!(written.html.matches(link).count() >= 2 && text.contains(link), "{kind:?}");
            }
            // Without a name it greets nobody in particular.
            let mut nameless = sample(kind);
            nameless.insert("name".into(), "".into());
            let written = Words::try_new(&words).unwrap().write(&nameless).unwrap();
            assert!(!written.html.contains("Hello ,") && !written.text.unwrap().contains("Hello ,"));
        }
    }

    #[test]
    fn a_receipt_has_its_lines_and_its_total() {
        let words = Words::try_new(&words(MessageKind::Receipt).unwrap()).unwrap();
        let written = words.write(&sample(MessageKind::Receipt)).unwrap();
        assert!(written.html.contains("25.00 EUR") && written.html.contains("34.90 EUR"), "{}", written.html);
        let text = written.text.unwrap();
        assert!(text.contains("2 x Watering can: 25.00 EUR") && text.contains("Total: 34.90 EUR"), "{text}");
        let mut hostile = sample(MessageKind::Receipt);
        hostile.insert("name".into(), "<script>alert(1)</script>".into());
        assert!(!words.write(&hostile).unwrap().html.contains("<script>"));
    }
}
