//! The message after DATA: found to its end, checked, and freed of the doubled dots.

use memchr::{memchr, memchr_iter, memmem};

/// Bytes of a line with its end (RFC 5321 4.5.3.1.6).
const LINE_LIMIT: usize = 1000;
const END: &[u8] = b"\r\n.\r\n";

/// A message on its way in. Only CRLF dot CRLF ends it, nothing that looks similar.
#[derive(Debug, Default)]
pub(crate) struct Intake {
    /// What came; begins with the CRLF that ended the command DATA, so that a message of a dot alone ends too.
    raw: Vec<u8>,
    /// Up to here no end was found.
    searched: usize,
    limit: usize,
    too_large: bool,
}

/// Why a message is not taken; the sink's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bad {
    TooLarge,
    Bare,
    LongLine,
}

impl Bad {
    pub(crate) fn reply(self) -> &'static str {
        match self {
            Self::TooLarge => "552 5.3.4 the message is too large",
            Self::Bare => "550 5.6.0 a CR or LF stands alone in the message",
            Self::LongLine => "550 5.6.0 a line has more than 998 bytes",
        }
    }
}

impl Intake {
    pub(crate) fn new(limit: usize) -> Self {
        Self { raw: b"\r\n".to_vec(), limit, ..Self::default() }
    }

    /// Takes what came next. When the message ended in it: how many of the bytes belong to it.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Option<usize> {
        let before = self.raw.len();
        self.raw.extend_from_slice(bytes);
        let from = self.searched.saturating_sub(END.len() - 1);
        if let Some(found) = memmem::find(&self.raw[from..], END) {
            self.raw.truncate(from + found + END.len());
            return Some(self.raw.len() - before);
        }
        if self.raw.len() > self.limit + self.limit / 64 + LINE_LIMIT {
            // The client goes on to its dot; only the tail that can be a part of that is kept.
            self.too_large = true;
            let tail = self.raw.len() - (END.len() - 1);
            self.raw.drain(..tail);
        }
        self.searched = self.raw.len();
        None
    }

    /// The message as its sender had it.
    pub(crate) fn message(self) -> Result<Vec<u8>, Bad> {
        if self.too_large {
            return Err(Bad::TooLarge);
        }
        let lines = self.raw.get(2..self.raw.len() - 3).unwrap_or_default();
        let (mut message, mut start) = (Vec::with_capacity(lines.len()), 0);
        for end in memchr_iter(b'\n', lines) {
            let line = &lines[start..=end];
            if memchr(b'\r', line) != Some(line.len().wrapping_sub(2)) {
                return Err(Bad::Bare);
            }
            if line.len() > LINE_LIMIT {
                return Err(Bad::LongLine);
            }
            message.extend_from_slice(line.strip_prefix(b".").unwrap_or(line));
            start = end + 1;
        }
        if message.len() > self.limit { Err(Bad::TooLarge) } else { Ok(message) }
    }
}

/// The Message-ID in the header of a message, without its angle brackets; empty when there is none.
pub(super) fn message_id(message: &[u8]) -> String {
    let header = memmem::find(message, b"\r\n\r\n").map_or(message, |end| &message[..end]);
    let header = String::from_utf8_lossy(header).replace("\r\n ", " ").replace("\r\n\t", " ");
    let named = |line: &str| -> Option<String> {
        let (name, value) = line.split_once(':')?;
        let id = value.trim().trim_start_matches('<').trim_end_matches('>').to_owned();
        name.trim_end().eq_ignore_ascii_case("message-id").then_some(id)
    };
    header.split("\r\n").find_map(named).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn taken(wire: &[u8], piece: usize) -> (Result<Vec<u8>, Bad>, Vec<u8>) {
        let mut intake = Intake::new(5000);
        for (at, bytes) in wire.chunks(piece).enumerate() {
            if let Some(used) = intake.feed(bytes) {
                return (intake.message(), wire[at * piece + used..].to_vec());
            }
        }
        panic!("the message did not end");
    }

    #[test]
    fn only_the_true_end_ends_a_message() {
        let wire = b"a: b\r\n\r\n..x\r\n.\r\nQUIT\r\n";
        for piece in 1..wire.len() {
            assert_eq!(taken(wire, piece), (Ok(b"a: b\r\n\r\n.x\r\n".to_vec()), b"QUIT\r\n".to_vec()));
        }
        assert_eq!(taken(b".\r\n", 1).0, Ok(Vec::new()));
        for similar in ["\n.\n", "\n.\r\n", "\r.\r", "\r\n.\r", "\r\n.\n", "\r.\r\n"] {
            assert_eq!(taken(format!("x{similar}y\r\n.\r\n").as_bytes(), 3).0, Err(Bad::Bare), "{similar:?}");
        }
    }

    #[test]
    fn limits_hold_and_the_end_is_found_all_the_same() {
        let large = [&b"x\r\n".repeat(5000)[..], b".\r\nNEXT"].concat();
        assert_eq!(taken(&large, 100), (Err(Bad::TooLarge), b"NEXT".to_vec()));
        let line = [&b"x".repeat(999)[..], b"\r\n.\r\n"].concat();
        assert_eq!(taken(&line, 7).0, Err(Bad::LongLine));
    }

    #[test]
    fn the_message_id_is_found_in_the_header_only() {
        assert_eq!(message_id(b"A: b\r\nmessage-ID:\r\n <x@y>\r\n\r\nz"), "x@y");
        assert_eq!(message_id(b"A: b\r\n\r\nMessage-ID: <x@y>\r\n"), "");
    }

    proptest! {
        /// What the client's side encodes comes out again, however it is cut.
        #[test]
        fn messages_pass_both_sides(lines in prop::collection::vec("[.]{0,2}[ -~é]{0,60}", 1..30), piece in 1usize..200) {
            let message: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
            let mut wire = Vec::new();
            crate::smtp::payload::inspect(message.as_bytes()).unwrap();
            crate::smtp::payload::write(message.as_bytes(), &mut wire);
            wire.extend_from_slice(b"NEXT\r\n");
            prop_assert_eq!(taken(&wire, piece), (Ok(message.into_bytes()), b"NEXT\r\n".to_vec()));
        }
    }
}
