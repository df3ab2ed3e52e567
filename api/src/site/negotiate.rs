//! Reading `Accept-Encoding` and `If-None-Match` without an allocation: every visit passes through here.

/// How a body is coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    Identity,
    Gzip,
    Brotli,
}

/// What a client accepts, as weights in thousandths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accepted {
    pub brotli: u16,
    pub gzip: u16,
    pub identity: u16,
}

/// Reads `Accept-Encoding` (RFC 9110, 12.5.3). Absent or unreadable means no coding.
pub fn accepted(header: Option<&[u8]>) -> Accepted {
    let (mut brotli, mut gzip, mut identity, mut any) = (None, None, None, None);
    for item in header.unwrap_or_default().split(|byte| *byte == b',') {
        let mut parts = item.split(|byte| *byte == b';');
        let coding = parts.next().unwrap_or_default().trim_ascii();
        let weight = parts.find_map(|part| weight(part.trim_ascii())).unwrap_or(1000);
        let slot = if coding.eq_ignore_ascii_case(b"br") {
            &mut brotli
        } else if coding.eq_ignore_ascii_case(b"gzip") || coding.eq_ignore_ascii_case(b"x-gzip") {
            &mut gzip
        } else if coding.eq_ignore_ascii_case(b"identity") {
            &mut identity
        } else if coding == b"*" {
            &mut any
        } else {
            continue;
        };
        *slot = Some(weight);
    }
    Accepted {
        brotli: brotli.or(any).unwrap_or(0),
        gzip: gzip.or(any).unwrap_or(0),
        // Acceptable unless excluded, but the last choice unless named.
        identity: identity.unwrap_or(if any == Some(0) { 0 } else { 1 }),
    }
}

/// `q=0.35` as 350; `None` for another parameter. An unreadable weight counts as 0: better plain than wrong.
fn weight(parameter: &[u8]) -> Option<u16> {
    let (name, value) = parameter.split_at_checked(2)?;
    if !name.eq_ignore_ascii_case(b"q=") {
        return None;
    }
    let (whole, fraction) = value.split_at_checked(1)?;
    let fraction = fraction.strip_prefix(b".").unwrap_or(fraction);
    if fraction.len() > 3 || !fraction.iter().all(u8::is_ascii_digit) {
        return Some(0);
    }
    match whole {
        b"1" => Some(1000),
        b"0" => {
            let thousandths =
                (0..3).fold(0, |sum, index| sum * 10 + u16::from(fraction.get(index).map_or(0, |digit| digit - b'0')));
            Some(thousandths)
        }
        _ => Some(0),
    }
}

impl Accepted {
    /// The best of the codings that exist; brotli before gzip when the client has no preference.
    pub fn choose(self, has_brotli: bool, has_gzip: bool) -> Encoding {
        let brotli = if has_brotli { self.brotli } else { 0 };
        let gzip = if has_gzip { self.gzip } else { 0 };
        if brotli > 0 && brotli >= gzip && brotli >= self.identity {
            Encoding::Brotli
        } else if gzip > 0 && gzip >= self.identity {
            Encoding::Gzip
        } else {
            // Also when the client excludes it and nothing else exists: a page is more use than a 406.
            Encoding::Identity
        }
    }
}

/// Whether a list of entity tags names this one (quotes included), compared weakly; `*` names every one.
pub fn names_tag(header: &[u8], tag: &[u8]) -> bool {
    let mut rest = header.trim_ascii();
    if rest == b"*" {
        return true;
    }
    while !rest.is_empty() {
        let quoted = rest.strip_prefix(b"W/").unwrap_or(rest);
        // A tag has no quote inside and may hold a comma.
        let Some(end) = quoted.iter().skip(1).position(|byte| *byte == b'"') else { return false };
        let (first, tail) = quoted.split_at(end + 2);
        if first == tag {
            return true;
        }
        let tail = tail.trim_ascii_start();
        rest = tail.strip_prefix(b",").unwrap_or_default().trim_ascii_start();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodings_follow_the_clients_weights() {
        use Encoding::{Brotli, Gzip, Identity};
        for (header, expected) in [
            ("gzip, deflate, br, zstd", Brotli),
            ("gzip;q=1.0, br;q=0.5", Gzip),
            ("GZIP", Gzip),
            ("br;q=0, gzip", Gzip),
            ("br;q=0", Identity),
            ("*", Brotli),
            ("*;q=0", Identity),
            ("*;q=0.1, br;q=0", Gzip),
            ("identity", Identity),
            ("identity;q=0.5, gzip;q=0.2", Identity),
            ("gzip;q=0.001", Gzip),
            ("gzip;q=abc", Identity),
            ("gzip; foo=bar; q=0", Identity),
            ("", Identity),
            (";;,,q=,br;q", Brotli),
        ] {
            assert_eq!(accepted(Some(header.as_bytes())).choose(true, true), expected, "{header}");
        }
        assert_eq!(accepted(None).choose(true, true), Identity);
        assert_eq!(accepted(Some(b"br, gzip")).choose(false, true), Gzip);
        assert_eq!(accepted(Some(b"br, gzip")).choose(false, false), Identity);
    }

    #[test]
    fn tags_compare_weakly_and_whole() {
        for header in ["\"a-br\"", "W/\"a-br\"", "\"x\", \"a-br\"", "\"x,y\" , W/\"a-br\"", "*", " \"a-br\" "] {
            assert!(names_tag(header.as_bytes(), b"\"a-br\""), "{header}");
        }
        for header in ["", "\"a\"", "a-br", "\"a-br", "\"", "W/", "\"a-b\"r\"", "\"x\" \"a-br\"", "\"a-br-\"", "é"] {
            assert!(!names_tag(header.as_bytes(), b"\"a-br\""), "{header}");
        }
    }
}
