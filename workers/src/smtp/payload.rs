//! A message as it goes over the wire after DATA: lines that begin with a dot get one more, the final dot at the end.
//!
//! Nothing is repaired here. A lone CR or LF is refused, since receivers disagree about where such a line ends, and that
//! disagreement is how one mail smuggles a second one (check 8); changing it would break the mail's signature.

use super::{Envelope, Failure, Kind, Stage};
use memchr::{memchr, memchr_iter, memmem};

/// Bytes of a line without its end (RFC 5321 4.5.3.1.6, check 9).
const LINE_LIMIT: usize = 998;

/// What a message needs from the provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Needs {
    /// Bytes beyond ASCII in its header: SMTPUTF8.
    pub(super) smtputf8: bool,
    /// Bytes beyond ASCII in its body: 8BITMIME.
    pub(super) eight_bit: bool,
}

/// Why a message cannot be sent by anybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unsendable {
    #[error("the message is empty")]
    Empty,
    #[error("line {0} of the message has a CR or an LF that is not part of CRLF")]
    Bare(usize),
    #[error("line {0} of the message has a NUL byte")]
    Nul(usize),
    #[error("line {0} of the message has more than {LINE_LIMIT} bytes")]
    LongLine(usize),
}

/// Whether a provider without SMTP, which takes ASCII only, can take this mail; the same rules for lines as over SMTP.
pub(crate) fn plain(envelope: &Envelope, message: &[u8]) -> Result<(), Failure> {
    let needs = inspect(message);
    let needs = needs.map_err(|error| Failure::new(Stage::Message, Kind::Unfit, error.to_string()))?;
    let addresses = [Some(&envelope.recipient), envelope.sender.as_ref()];
    let beyond = addresses.into_iter().flatten().any(|address| address.needs_smtputf8());
    if needs.smtputf8 || needs.eight_bit || beyond {
        let why = "an address, a header or the body is not ASCII, and the provider takes nothing else";
        return Err(Failure::new(Stage::Message, Kind::NotOffered, why));
    }
    Ok(())
}

/// What a message needs, if it can be sent at all.
pub(super) fn inspect(message: &[u8]) -> Result<Needs, Unsendable> {
    if message.is_empty() {
        return Err(Unsendable::Empty);
    }
    let mut needs = Needs { smtputf8: false, eight_bit: false };
    let (mut start, mut number, mut in_header) = (0, 1, true);
    let all_ascii = message.is_ascii();
    // A last line without an end counts as ended at the end.
    let ends = memchr_iter(b'\n', message).map(Some);
    for end in ends.chain((message.last() != Some(&b'\n')).then_some(None)) {
        let line = match end {
            Some(end) => message[start..end].strip_suffix(b"\r").ok_or(Unsendable::Bare(number))?,
            None => &message[start..],
        };
        if memchr(b'\r', line).is_some() {
            return Err(Unsendable::Bare(number));
        }
        if memchr(0, line).is_some() {
            return Err(Unsendable::Nul(number));
        }
        if line.len() > LINE_LIMIT {
            return Err(Unsendable::LongLine(number));
        }
        in_header &= !line.is_empty();
        if !all_ascii && !line.is_ascii() {
            *(if in_header { &mut needs.smtputf8 } else { &mut needs.eight_bit }) = true;
        }
        start = end.map_or(start, |end| end + 1);
        number += 1;
    }
    Ok(needs)
}

/// Writes an inspected message with its final dot to `out`, which is emptied first. A last line without an end gets one.
pub(super) fn write(message: &[u8], out: &mut Vec<u8>) {
    out.clear();
    out.reserve(message.len() + message.len() / 64 + 8);
    if message.first() == Some(&b'.') {
        out.push(b'.');
    }
    let mut start = 0;
    for end in memmem::find_iter(message, b"\n.") {
        out.extend_from_slice(&message[start..=end]);
        out.push(b'.');
        start = end + 1;
    }
    out.extend_from_slice(&message[start..]);
    if message.last() != Some(&b'\n') {
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b".\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn encode(message: &[u8], out: &mut Vec<u8>) -> Result<Needs, Unsendable> {
        let needs = inspect(message)?;
        write(message, out);
        Ok(needs)
    }

    fn wire(message: &str) -> Result<String, Unsendable> {
        let mut out = Vec::new();
        encode(message.as_bytes(), &mut out).map(|_| String::from_utf8(out).unwrap())
    }

    #[test]
    fn check_8_dots_are_doubled_and_bare_ends_refused() {
        assert_eq!(wire("a\r\n.\r\n..b\r\n").unwrap(), "a\r\n..\r\n...b\r\n.\r\n");
        assert_eq!(wire(".").unwrap(), "..\r\n.\r\n");
        assert_eq!(wire("a: b\r\n\r\nlast").unwrap(), "a: b\r\n\r\nlast\r\n.\r\n");
        for bare in
            ["a\nb\r\n", "a\rb\r\n", "a\r\r\n", "a\r\n.\nMAIL FROM:<x@y.example>\r\n", "a\r\n.\rb", "a\r", "\n", "\r"]
        {
            assert!(matches!(wire(bare), Err(Unsendable::Bare(_))), "{bare:?}");
        }
        assert_eq!(wire("a\r\nb\0\r\n"), Err(Unsendable::Nul(2)));
        assert_eq!(wire(""), Err(Unsendable::Empty));
    }

    #[test]
    fn check_9_lines_have_998_bytes_at_most() {
        assert!(wire(&format!("{}\r\n", "x".repeat(998))).is_ok());
        assert_eq!(wire(&format!("{}\r\n", "x".repeat(999))), Err(Unsendable::LongLine(1)));
        assert_eq!(wire(&"x".repeat(999)), Err(Unsendable::LongLine(1)));
    }

    #[test]
    fn check_6_what_a_message_needs_follows_from_its_bytes() {
        let needs = |message: &str| encode(message.as_bytes(), &mut Vec::new()).unwrap();
        assert_eq!(needs("a: b\r\n\r\nc\r\n"), Needs { smtputf8: false, eight_bit: false });
        assert_eq!(needs("a: b\r\n\r\nç\r\n"), Needs { smtputf8: false, eight_bit: true });
        assert_eq!(needs("a: ß\r\n\r\nc\r\n"), Needs { smtputf8: true, eight_bit: false });
    }

    /// What a receiver does (RFC 5321 4.5.2).
    fn receive(wire: &[u8]) -> Vec<u8> {
        let body = wire.strip_suffix(b".\r\n").unwrap();
        let mut lines: Vec<&[u8]> = body.split(|byte| *byte == b'\n').collect();
        assert_eq!(lines.pop(), Some(&b""[..]));
        lines.iter().flat_map(|line| [line.strip_prefix(b".").unwrap_or(line), b"\n"].concat()).collect()
    }

    proptest! {
        #[test]
        fn lines_come_back(lines in prop::collection::vec("[.]{0,3}[ -~é]{0,40}", 1..20)) {
            let message: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
            let mut out = Vec::new();
            encode(message.as_bytes(), &mut out).unwrap();
            prop_assert_eq!(receive(&out), message.as_bytes());
            // The dot that ends it is the only one alone on its line.
            prop_assert_eq!(memchr::memmem::find_iter(&[b"\r\n", &out[..]].concat(), b"\r\n.\r\n").count(), 1);
        }

        /// Any bytes: refused, or without a bare CR or LF on the wire.
        #[test]
        fn any_bytes_are_clean_or_refused(bytes in prop::collection::vec(prop_oneof![
            Just(b'\r'), Just(b'\n'), Just(b'.'), any::<u8>()], 0..200)) {
            let mut out = Vec::new();
            if encode(&bytes, &mut out).is_ok() {
                for at in 0..out.len() {
                    prop_assert!(out[at] != b'\n' || (at > 0 && out[at - 1] == b'\r'));
                    prop_assert!(out[at] != b'\r' || out.get(at + 1) == Some(&b'\n'));
                }
                prop_assert!(out.ends_with(b".\r\n"));
            }
        }
    }
}
