//! What a provider answers (RFC 5321 4.2), kept word for word.

use memchr::memchr;
use std::fmt;

/// Bytes of one line with its end. RFC 5321 says 512; longer ones are seen.
const LINE_LIMIT: usize = 2048;
/// Lines of one reply. An EHLO has about twenty.
const LINES_LIMIT: usize = 128;

/// A whole reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// 200 to 599.
    pub code: u16,
    /// The text of its lines without the codes, joined by line feeds; what is no UTF-8 or a control character is replaced.
    pub text: String,
}

impl Reply {
    pub fn is_positive(&self) -> bool {
        (200..300).contains(&self.code)
    }

    pub fn is_transient(&self) -> bool {
        (400..500).contains(&self.code)
    }

    pub fn is_permanent(&self) -> bool {
        self.code >= 500
    }

    /// The status code of RFC 3463 at the start of the text, as in `5.1.1`.
    pub fn enhanced(&self) -> Option<(u8, u16, u16)> {
        let word = self.text.split([' ', '\n']).next()?;
        let mut numbers = word.split('.');
        let (class, subject, detail) = (numbers.next()?, numbers.next()?, numbers.next()?);
        let short = [class, subject, detail].iter().all(|number| number.bytes().all(|byte| byte.is_ascii_digit()));
        if !short || numbers.next().is_some() {
            return None;
        }
        Some((class.parse().ok()?, subject.parse().ok()?, detail.parse().ok()?))
    }

    /// What the provider calls the mail it took: the last word after `queued as` or `id=`, or after `Ok`. For a person
    /// who asks the provider about it; nothing depends on it.
    pub fn provider_id(&self) -> Option<String> {
        let words: Vec<&str> = self.text.split_whitespace().collect();
        let after = |mark: &str| words.iter().position(|word| word.eq_ignore_ascii_case(mark)).map(|at| at + 1);
        let named = words.iter().find_map(|word| word.strip_prefix("id="));
        let queued = after("as").and_then(|at| words.get(at)).copied();
        let plain = after("ok").and_then(|at| words.get(at)).copied();
        let id = named.or(queued).or(plain)?.trim_matches(['<', '>', ';', ',', '.', ':']);
        (!id.is_empty()).then(|| id.to_owned())
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code, self.text.replace('\n', " / "))
    }
}

/// The first reply in `bytes` and how many bytes it took; nothing when it has not come whole yet.
pub(super) fn parse(bytes: &[u8]) -> Result<Option<(Reply, usize)>, MalformedReply> {
    let (mut at, mut code, mut text) = (0, None, String::new());
    for number in 0.. {
        let rest = bytes.get(at..).unwrap_or_default();
        let end = match memchr(b'\n', rest) {
            Some(end) if end < LINE_LIMIT => end,
            None if rest.len() < LINE_LIMIT => return Ok(None),
            _ => return Err(MalformedReply::LongLine),
        };
        if number == LINES_LIMIT {
            return Err(MalformedReply::ManyLines);
        }
        let line = rest[..end].strip_suffix(b"\r").ok_or(MalformedReply::BareLineFeed)?;
        let (this, last) = head(line)?;
        if code.is_some_and(|code| code != this) {
            return Err(MalformedReply::TwoCodes);
        }
        code = Some(this);
        if number > 0 {
            text.push('\n');
        }
        let said = String::from_utf8_lossy(line.get(4..).unwrap_or_default());
        text.extend(said.chars().map(|c| if c.is_control() && c != '\t' { char::REPLACEMENT_CHARACTER } else { c }));
        at += end + 1;
        if last {
            return Ok(Some((Reply { code: this, text }, at)));
        }
    }
    Err(MalformedReply::ManyLines)
}

/// The code of a line, and whether it is the last of its reply.
fn head(line: &[u8]) -> Result<(u16, bool), MalformedReply> {
    let digits = line.get(..3).ok_or(MalformedReply::NoCode)?;
    if !digits.iter().all(u8::is_ascii_digit) || !(b'2'..=b'5').contains(&digits[0]) {
        return Err(MalformedReply::NoCode);
    }
    let code = digits.iter().fold(0, |code, digit| code * 10 + u16::from(digit - b'0'));
    match line.get(3) {
        None | Some(b' ') => Ok((code, true)),
        Some(b'-') => Ok((code, false)),
        Some(_) => Err(MalformedReply::NoCode),
    }
}

/// What came is no SMTP reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MalformedReply {
    #[error("a line does not begin with a code from 200 to 599")]
    NoCode,
    #[error("a line ends without a carriage return")]
    BareLineFeed,
    #[error("a line has more than {LINE_LIMIT} bytes")]
    LongLine,
    #[error("a reply has more than {LINES_LIMIT} lines")]
    ManyLines,
    #[error("the lines of one reply have different codes")]
    TwoCodes,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn whole(text: &str) -> Reply {
        let (reply, used) = parse(text.as_bytes()).unwrap().unwrap();
        assert_eq!(used, text.len());
        reply
    }

    #[test]
    fn replies_of_one_line_and_of_many() {
        assert_eq!(whole("250 ok\r\n"), Reply { code: 250, text: "ok".into() });
        assert_eq!(whole("250\r\n").text, "");
        assert_eq!(whole("250-a\r\n250-\r\n250 c\r\n").text, "a\n\nc");
        assert_eq!(whole("550 5.1.1 no \u{7} such\r\n").text, "5.1.1 no \u{fffd} such");
        assert_eq!(parse(b"250-a\r\n250"), Ok(None));
        assert_eq!(parse(b"250 a\r\n354 b\r\n").unwrap().unwrap().1, 7);
    }

    #[test]
    fn what_is_no_reply_is_named() {
        assert_eq!(parse(b"HTTP/1.1 400 Bad Request\r\n"), Err(MalformedReply::NoCode));
        assert_eq!(parse(b"150 a\r\n"), Err(MalformedReply::NoCode));
        assert_eq!(parse(b"25\r\n"), Err(MalformedReply::NoCode));
        assert_eq!(parse(b"250_a\r\n"), Err(MalformedReply::NoCode));
        assert_eq!(parse(b"250 a\n"), Err(MalformedReply::BareLineFeed));
        assert_eq!(parse(b"250-a\r\n251 b\r\n"), Err(MalformedReply::TwoCodes));
        assert_eq!(parse(&[b'2'; 2048]), Err(MalformedReply::LongLine));
        assert_eq!(parse("250-x\r\n".repeat(129).as_bytes()), Err(MalformedReply::ManyLines));
    }

    #[test]
    fn status_codes_and_names_of_providers() {
        assert_eq!(whole("550 5.7.26 no\r\n").enhanced(), Some((5, 7, 26)));
        assert_eq!(whole("550 5.7 no\r\n").enhanced(), None);
        assert_eq!(whole("550 no\r\n").enhanced(), None);
        let id = |text: &str| whole(text).provider_id();
        assert_eq!(id("250 2.0.0 Ok: queued as 4ZxYq1\r\n").as_deref(), Some("4ZxYq1"));
        assert_eq!(id("250 OK id=1rT-0004\r\n").as_deref(), Some("1rT-0004"));
        assert_eq!(id("250 Ok 0100018c-77-000000\r\n").as_deref(), Some("0100018c-77-000000"));
        assert_eq!(id("250 accepted\r\n"), None);
    }

    proptest! {
        /// Any bytes: an answer or an error, never a panic; cut anywhere, the beginning asks for more or says the same.
        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(prop_oneof![
            Just(b'2'), Just(b'5'), Just(b'0'), Just(b'-'), Just(b' '), Just(b'\r'), Just(b'\n'), any::<u8>()], 0..300), cut in 0usize..300) {
            let all = parse(&bytes);
            if let Ok(Some((reply, used))) = &all {
                prop_assert!(*used <= bytes.len() && (200..600).contains(&reply.code));
                prop_assert!(!reply.text.contains('\r'));
            }
            let part = parse(&bytes[..cut.min(bytes.len())]);
            prop_assert!(part == Ok(None) || part == all);
        }

        #[test]
        fn lines_come_back(code in 200u16..600, lines in prop::collection::vec("[ -~]{0,80}", 1..10)) {
            let mut wire = String::new();
            for (at, line) in lines.iter().enumerate() {
                wire += &format!("{code}{}{line}\r\n", if at + 1 == lines.len() { ' ' } else { '-' });
            }
            prop_assert_eq!(whole(&wire), Reply { code, text: lines.join("\n") });
        }
    }
}
