//! A receiver's mail with links that lead over this platform.

use super::footer::end_of_body;
use crate::mail::{
    PlainTextError,
    links::{MAX_LINKS, in_html, in_text},
    plain_text, utm,
};
use bus_schema::{
    keys::TenantKey,
    mail::{campaign::Tracking, response::HONEYPOT},
};
use std::collections::HashMap;
use writers::mail::tracking::TrackedMail;

/// What links are made with.
pub(super) struct Tracks<'a> {
    pub(super) tracking: &'a Tracking,
    /// Where receivers reach this platform, without a slash at its end.
    pub(super) public: &'a str,
    pub(super) key: &'a TenantKey,
    pub(super) mail: TrackedMail,
}

/// The two parts of a mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Parts {
    pub(super) html: String,
    pub(super) text: Option<String>,
}

impl Tracks<'_> {
    /// The parts as they are sent. A plain part that is to be made from the HTML is made here: it shows neither the picture
    /// nor the link that nobody sees.
    pub(super) fn apply(&self, parts: Parts) -> Result<Parts, PlainTextError> {
        if self.tracking.is_off() {
            return Ok(parts);
        }
        let Parts { mut html, mut text } = parts;
        let mut numbers = Numbers::default();
        if self.tracking.clicks || self.tracking.utm.is_some() {
            html = in_html(&html, |target| self.replaced(target, || numbers.next(target)));
            text = text.map(|text| in_text(&text, |target| self.replaced(target, || numbers.same(target))));
        }
        if self.tracking.opens || self.tracking.honeypot {
            if text.is_none() {
                text = Some(plain_text(&html)?);
            }
            html.insert_str(end_of_body(&html), &self.unseen());
        }
        Ok(Parts { html, text })
    }

    /// What stands for a link. `number` is taken when it is counted; `None`: it stays.
    fn replaced(&self, target: &str, number: impl FnOnce() -> Option<u16>) -> Option<String> {
        let own = target.strip_prefix(self.public).is_some_and(|path| path.starts_with("/v1/"));
        // What leads to leaving, to preferences or anywhere else here is not counted as a link of the author's.
        if own || !writers::mail::tracking::is_target(target) {
            return None;
        }
        let tagged = self.tracking.utm.as_ref().and_then(|words| utm::tagged(target, words));
        let tagged_target = tagged.as_deref().unwrap_or(target);
        let counted = self.tracking.clicks.then(number).flatten();
        let token = counted.and_then(|number| self.mail.link(self.key, number, tagged_target));
        token.map(|token| format!("{}/v1/l/{token}", self.public)).or(tagged)
    }

    /// The picture, and the link for programs, at the end of the HTML.
    fn unseen(&self) -> String {
        let mut unseen = String::new();
        if self.tracking.honeypot
            && let Some(token) = self.mail.link(self.key, HONEYPOT, self.public)
        {
            let style = "display:none;max-height:0;overflow:hidden";
            let link = format!("<a href=\"{}/v1/l/{token}\" style=\"{style}\" tabindex=\"-1\"></a>", self.public);
            unseen.push_str(&format!("<div aria-hidden=\"true\" style=\"{style}\">{link}</div>"));
        }
        if self.tracking.opens {
            let address = format!("{}/v1/o/{}.gif", self.public, self.mail.pixel(self.key));
            let dot = "width=\"1\" height=\"1\" alt=\"\" style=\"border:0;width:1px;height:1px\"";
            unseen.push_str(&format!("<img src=\"{address}\" {dot}>"));
        }
        unseen
    }
}

/// Numbers of links in the order of the HTML; a link of the plain part has the number of its equal there.
#[derive(Default)]
struct Numbers {
    next: u16,
    known: HashMap<String, u16>,
}

impl Numbers {
    fn next(&mut self, target: &str) -> Option<u16> {
        let number = Some(self.next).filter(|number| *number < MAX_LINKS)?;
        self.next += 1;
        self.known.entry(target.to_owned()).or_insert(number);
        Some(number)
    }

    fn same(&mut self, target: &str) -> Option<u16> {
        match self.known.get(target) {
            Some(number) => Some(*number),
            None => self.next(target),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bus_schema::{
        TenantId,
        mail::{
            campaign::Utm,
            response::{MailRef, Seat},
        },
    };
    use uuid::Uuid;
    use writers::mail::tracking::Spot;

    const PUBLIC: &str = "https://news.example";

    fn tracked(tracking: Tracking, html: &str, text: Option<&str>) -> Parts {
        let (campaign, contact) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let mail = MailRef { campaign, contact, seat: Some(Seat { chunk: 0, index: 3 }), generation: 0 };
        let mail = TrackedMail { tenant: TenantId::try_new("acme").unwrap(), mail };
        let key = TenantKey::fixed([1; 32]);
        let tracks = Tracks { tracking: &tracking, public: PUBLIC, key: &key, mail };
        tracks.apply(Parts { html: html.into(), text: text.map(str::to_owned) }).unwrap()
    }

    /// The targets of all links of a text that are ours, with their numbers.
    fn targets(text: &str) -> Vec<(u16, String)> {
        let token = |rest: &str| {
            rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '_').next().map(str::to_owned)
        };
        let mark = format!("{PUBLIC}/v1/l/");
        let tokens = text.split(&mark).skip(1).filter_map(token);
        let spot = |token: String| match TrackedMail::read(&token)?.proven(&TenantKey::fixed([1; 32]))? {
            (_, Spot::Link { number, target }) => Some((number, target)),
            _ => None,
        };
        tokens.filter_map(spot).collect()
    }

    const HTML: &str = "<body><a href=\"https://x.example/?a=1&amp;b=2#c\">x</a> <a href='https://news.example/v1/unsubscribe/t'>u</a> \
        <a href='mailto:a@x.example'>m</a><a href='https://y.example'>y</a></body>";

    #[test]
    fn check_50_nothing_is_watched_unless_it_is_said() {
        let parts = tracked(Tracking::default(), HTML, None);
        assert_eq!(parts, Parts { html: HTML.into(), text: None });
        let clicks = tracked(Tracking { clicks: true, ..Tracking::default() }, HTML, None);
        assert!(!clicks.html.contains("<img"), "{}", clicks.html);
        let opens = tracked(Tracking { opens: true, ..Tracking::default() }, HTML, None);
        assert!(opens.html.contains("/v1/o/") && opens.html.ends_with("></body>") && targets(&opens.html).is_empty());
        assert!(!opens.text.unwrap().contains("/v1/o/"));
    }

    #[test]
    fn check_21_and_48_both_parts_have_the_same_links() {
        let text = "See https://y.example, https://x.example/?a=1&b=2#c and https://z.example/v.";
        let parts = tracked(Tracking { clicks: true, ..Tracking::default() }, HTML, Some(text));
        let x = (0, "https://x.example/?a=1&b=2#c".to_owned());
        let y = (1, "https://y.example".to_owned());
        assert_eq!(targets(&parts.html), [x.clone(), y.clone()]);
        assert_eq!(targets(&parts.text.unwrap()), [y, x, (2, "https://z.example/v".to_owned())]);
        assert!(
            parts.html.contains("'https://news.example/v1/unsubscribe/t'") && parts.html.contains("mailto:a@x.example")
        );
    }

    #[test]
    fn check_51_words_are_added_with_and_without_counting() {
        let utm = Some(Utm { source: "news".into(), ..Utm::default() });
        let parts = tracked(Tracking { utm: utm.clone(), ..Tracking::default() }, HTML, None);
        assert!(parts.html.contains("\"https://x.example/?a=1&amp;b=2&amp;utm_source=news#c\""), "{}", parts.html);
        let parts = tracked(Tracking { utm, clicks: true, ..Tracking::default() }, HTML, None);
        assert_eq!(targets(&parts.html)[1].1, "https://y.example?utm_source=news");
    }

    #[test]
    fn the_link_for_programs_is_in_the_html_only() {
        let tracking = Tracking { clicks: true, honeypot: true, ..Tracking::default() };
        let parts = tracked(tracking, "<p>Hello</p>", None);
        assert_eq!(targets(&parts.html), [(HONEYPOT, PUBLIC.to_owned())]);
        assert_eq!(parts.text.as_deref(), Some("Hello\n"));
    }
}
