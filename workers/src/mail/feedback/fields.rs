//! Groups of `Name: value` lines, as in the header of a message and in the machine-readable parts of reports.

use std::borrow::Cow;

/// Bytes of such a part that are looked at, and fields of a group.
const MAX_BYTES: usize = 64 << 10;
const MAX_FIELDS: usize = 200;
/// Groups of a part: a report about so many recipients is not about one mail of ours.
const MAX_GROUPS: usize = 50;

/// One group: the fields up to an empty line, folded lines put together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields(Vec<(String, String)>);

impl Fields {
    /// The groups of a part. Lines that are no fields are passed over.
    pub fn groups(bytes: &[u8]) -> Vec<Self> {
        let text = String::from_utf8_lossy(&bytes[..bytes.len().min(MAX_BYTES)]);
        let mut groups = vec![Self::default()];
        for line in text.lines() {
            let line = line.trim_end_matches('\r');
            let Some(group) = groups.last_mut() else { break };
            if line.trim().is_empty() {
                if !group.0.is_empty() {
                    if groups.len() == MAX_GROUPS {
                        break;
                    }
                    groups.push(Self::default());
                }
                continue;
            }
            if line.starts_with([' ', '\t']) {
                if let Some((_, value)) = group.0.last_mut() {
                    value.push(' ');
                    value.push_str(line.trim());
                }
                continue;
            }
            if let Some((name, value)) = line.split_once(':')
                && group.0.len() < MAX_FIELDS
            {
                group.0.push((name.trim_end().to_owned(), value.trim().to_owned()));
            }
        }
        groups.retain(|group| !group.0.is_empty());
        groups
    }

    /// The fields of a header: the first group.
    pub fn header(bytes: &[u8]) -> Self {
        Self::groups(bytes).into_iter().next().unwrap_or_default()
    }

    /// The first of this name, in any case.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    pub fn all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| &value[..])
    }
}

/// What follows the type of a value: `rfc822; ada@x.example` (RFC 3464 2.1.2).
pub fn untyped(value: &str) -> Cow<'_, str> {
    match value.split_once(';') {
        Some((_, rest)) => Cow::Borrowed(rest.trim()),
        None => Cow::Borrowed(value.trim()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_end_at_empty_lines_and_folded_lines_are_one() {
        let groups = Fields::groups(b"A: 1\r\nb : 2\r\n  more\r\n\r\n\r\nno field\r\nC:3\n\tx\n");
        assert_eq!(groups.len(), 2);
        assert_eq!(
            (groups[0].get("a"), groups[0].get("B"), groups[1].get("c")),
            (Some("1"), Some("2 more"), Some("3 x"))
        );
        assert_eq!(Fields::header(b"\r\n\r\n"), Fields::default());
        assert_eq!(Fields::groups(&b"A: 1\n\n".repeat(500)).len(), MAX_GROUPS);
        assert_eq!(untyped("rfc822; a@b.example"), "a@b.example");
    }
}
