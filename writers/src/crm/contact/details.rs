//! The limits of what a contact may hold.

use super::ContactRejection as R;
use bus_schema::crm::contact::{ConsentEvidence, ConsentRequest, ContactDetails};

/// Tags of one contact.
pub const MAX_TAGS: usize = 100;
/// Tags that can be asked for with a consent.
pub const MAX_ASKED_TAGS: usize = 10;

/// The form in which two spellings of an address are the same, see [`crate::text::normal_email`].
pub fn normal_email(email: &str) -> Result<String, R> {
    crate::text::normal_email(email).ok_or(R::InvalidEmail)
}

/// Trimmed and lower case; tags are matched by every reader, so there is one spelling.
pub fn normal_tag(tag: &str) -> Result<String, R> {
    let tag = tag.trim().to_lowercase();
    let allowed = |c: char| c.is_alphanumeric() || " -_.:".contains(c);
    if (1..=60).contains(&tag.chars().count()) && tag.chars().all(allowed) { Ok(tag) } else { Err(R::InvalidTag) }
}

/// The details trimmed, empty fields absent, every limit kept.
pub fn valid_details(details: &ContactDetails) -> Result<ContactDetails, R> {
    normal_email(&details.email)?;
    let line = |field, value: &Option<String>, max| text(field, value.as_deref(), max, false);
    let country = line("country", &details.country, 2)?;
    if country.as_ref().is_some_and(|code| code.len() != 2 || !code.bytes().all(|b| b.is_ascii_uppercase())) {
        return Err(R::InvalidCountry);
    }
    Ok(ContactDetails {
        email: details.email.trim().to_owned(),
        first_name: line("first_name", &details.first_name, 100)?,
        last_name: line("last_name", &details.last_name, 100)?,
        company: line("company", &details.company, 200)?,
        phone: line("phone", &details.phone, 40)?,
        city: line("city", &details.city, 100)?,
        country,
        notes: text("notes", details.notes.as_deref(), 10_000, true)?,
    })
}

pub(super) fn valid_evidence(evidence: &ConsentEvidence) -> Result<ConsentEvidence, R> {
    let required = |field, value: &str| Ok(text(field, Some(value), 200, false)?.unwrap_or_default());
    Ok(ConsentEvidence {
        source: required("source", &evidence.source)?,
        text_version: required("text_version", &evidence.text_version)?,
        ip: text("ip", evidence.ip.as_deref(), 45, false)?,
        given_at: evidence.given_at,
    })
}

/// What was asked for at a form, within what the evidence of a consent may hold.
pub fn valid_request(request: &ConsentRequest) -> Result<ConsentRequest, R> {
    let line = |field, value: &str| text(field, Some(value), 100, false)?.ok_or(R::Required { field });
    if request.tags.len() > MAX_ASKED_TAGS {
        return Err(R::TooManyAsked);
    }
    let mut tags: Vec<String> = request.tags.iter().map(|tag| normal_tag(tag)).collect::<Result<_, _>>()?;
    tags.sort();
    tags.dedup();
    Ok(ConsentRequest {
        source: line("source", &request.source)?,
        text_version: line("text_version", &request.text_version)?,
        ip: text("ip", request.ip.as_deref(), 45, false)?,
        tags,
    })
}

pub(super) fn valid_source(source: &str) -> Result<String, R> {
    Ok(text("source", Some(source), 200, false)?.unwrap_or_default())
}

/// A text trimmed and within its limit; nothing left is nothing.
fn text(field: &'static str, value: Option<&str>, max: usize, many_lines: bool) -> Result<Option<String>, R> {
    let Some(value) = value.map(str::trim).filter(|value| !value.is_empty()) else { return Ok(None) };
    if value.chars().count() > max {
        return Err(R::TooLong { field, max });
    }
    let allowed = |c: char| !c.is_control() || (many_lines && matches!(c, '\n' | '\r' | '\t'));
    if value.chars().all(allowed) { Ok(Some(value.to_owned())) } else { Err(R::InvalidText { field }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_checked_and_brought_to_one_form() {
        assert_eq!(normal_email(" Ada.L@Example.ORG ").unwrap(), "ada.l@example.org");
        assert!(normal_email("jürgen@müller.de").is_ok(), "RFC 6531");
        for bad in ["", "a", "a@b", "@b.de", "a@.de", "a b@c.de", "a..b@c.de", "a@b.de\r\nBcc: x@y.de", "a@-b.de"] {
            assert!(normal_email(bad).is_err(), "{bad:?} must be refused");
        }
    }

    #[test]
    fn limits_name_the_field() {
        let details = |first: String| ContactDetails {
            email: "a@b.de".into(),
            first_name: Some(first),
            ..ContactDetails::default()
        };
        assert_eq!(valid_details(&details("x".repeat(101))), Err(R::TooLong { field: "first_name", max: 100 }));
        assert_eq!(valid_details(&details("a\nb".into())), Err(R::InvalidText { field: "first_name" }));
        assert_eq!(valid_details(&details("  ".into())).unwrap().first_name, None);
        assert_eq!(normal_tag(" VIP "), Ok("vip".into()));
        assert_eq!(normal_tag("a\u{0}"), Err(R::InvalidTag));
    }
}
