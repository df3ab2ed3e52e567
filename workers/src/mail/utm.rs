//! Words for the statistics of the site a link leads to (check 51).

use bus_schema::mail::campaign::Utm;
use std::fmt::Write;

/// The target with the words, before its fragment. One that has any such word already is left as it is: its author
/// knows better. So doing it twice changes nothing.
pub fn tagged(target: &str, utm: &Utm) -> Option<String> {
    let (bare, fragment) = match target.split_once('#') {
        Some((bare, fragment)) => (bare, Some(fragment)),
        None => (target, None),
    };
    let (path, query) = match bare.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (bare, None),
    };
    let has = |part: &str| part.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("utm_"));
    if query.is_some_and(|query| query.split(['&', ';']).any(has)) {
        return None;
    }
    let words = [("utm_source", &utm.source), ("utm_medium", &utm.medium), ("utm_campaign", &utm.campaign)];
    let mut tagged = path.to_owned();
    let mut mark = '?';
    if let Some(query) = query {
        _ = write!(tagged, "?{query}");
        mark = if query.is_empty() || query.ends_with('&') { '\0' } else { '&' };
    }
    for (name, value) in words.into_iter().filter(|(_, value)| !value.is_empty()) {
        if mark != '\0' {
            tagged.push(mark);
        }
        _ = write!(tagged, "{name}={}", encoded(value));
        mark = '&';
    }
    if let Some(fragment) = fragment {
        _ = write!(tagged, "#{fragment}");
    }
    Some(tagged).filter(|tagged| tagged != target)
}

/// RFC 3986: everything but unreserved characters.
fn encoded(value: &str) -> String {
    let mut encoded = String::with_capacity(value.len());
    for byte in value.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(char::from(byte)),
            byte => _ = write!(encoded, "%{byte:02X}"),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn check_51_words_are_added_once_and_never_over_others() {
        let utm = Utm { source: "news".into(), medium: "e mail".into(), campaign: String::new() };
        let table = [
            ("https://x.example", Some("https://x.example?utm_source=news&utm_medium=e%20mail")),
            ("https://x.example/a?b=c#d", Some("https://x.example/a?b=c&utm_source=news&utm_medium=e%20mail#d")),
            ("https://x.example/?", Some("https://x.example/?utm_source=news&utm_medium=e%20mail")),
            ("https://x.example/?a&", Some("https://x.example/?a&utm_source=news&utm_medium=e%20mail")),
            (
                "https://x.example/#?utm_source=x",
                Some("https://x.example/?utm_source=news&utm_medium=e%20mail#?utm_source=x"),
            ),
            ("https://x.example/?a=1&utm_term=own", None),
            ("https://x.example/?UTM_Source=own", None),
        ];
        for (target, expected) in table {
            assert_eq!(tagged(target, &utm).as_deref(), expected, "{target}");
            let again = tagged(expected.unwrap_or(target), &utm);
            assert_eq!(again, None, "{target} twice");
        }
        assert_eq!(tagged("https://x.example/a", &Utm::default()), None);
    }
}
