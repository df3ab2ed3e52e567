//! The relaxed forms of header and body (RFC 6376 3.4.2, 3.4.4): what is left when mail systems have reformatted both.

use memchr::{memchr_iter, memmem};

/// Header and body of a message, without the empty line between them.
pub(super) fn split(message: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memmem::find(message, b"\r\n\r\n")?;
    Some((&message[..end + 2], &message[end + 4..]))
}

/// The fields of a header in order, folded as they are.
pub(super) struct Fields<'a>(Vec<(&'a [u8], &'a [u8])>);

impl<'a> Fields<'a> {
    /// Lines that are no field are passed over; nobody can name them.
    pub(super) fn of(header: &'a [u8]) -> Self {
        let (mut fields, mut start, mut from) = (Vec::new(), 0, 0);
        for end in memchr_iter(b'\n', header) {
            let folded = matches!(header.get(end + 1), Some(b' ' | b'\t'));
            if !folded {
                let field = &header[start..=end];
                if let Some(colon) = field.iter().position(|byte| *byte == b':') {
                    fields.push((field[..colon].trim_ascii_end(), &field[colon + 1..]));
                }
                start = end + 1;
            }
            from = end + 1;
        }
        debug_assert!(from == header.len(), "a header ends with the end of a line");
        Self(fields)
    }

    pub(super) fn count(&self, name: &str) -> usize {
        self.0.iter().filter(|(own, _)| own.eq_ignore_ascii_case(name.as_bytes())).count()
    }

    /// The named fields, canonical. A name that stands twice takes the field before (RFC 6376 5.4.2), and one that has no
    /// field left adds nothing.
    pub(super) fn canonical(&self, names: &[&str]) -> Vec<u8> {
        let (mut out, mut used) = (Vec::with_capacity(1024), vec![false; self.0.len()]);
        for name in names {
            let found =
                |(at, (own, _)): &(usize, &(&[u8], &[u8]))| !used[*at] && own.eq_ignore_ascii_case(name.as_bytes());
            let Some((at, (_, value))) = self.0.iter().enumerate().rev().find(found) else { continue };
            relaxed(name.as_bytes(), value, &mut out);
            out.extend_from_slice(b"\r\n");
            used[at] = true;
        }
        out
    }
}

/// One field without its end.
pub(super) fn field(name: &str, value: &str, out: &mut Vec<u8>) {
    relaxed(name.as_bytes(), value.as_bytes(), out);
}

fn relaxed(name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    out.extend(name.iter().map(u8::to_ascii_lowercase));
    out.push(b':');
    let begin = out.len();
    let mut space = false;
    for byte in value {
        match byte {
            b' ' | b'\t' | b'\r' | b'\n' => space = true,
            byte => {
                if space && out.len() > begin {
                    out.push(b' ');
                }
                space = false;
                out.push(*byte);
            }
        }
    }
}

/// White space at line ends and empty lines at the end are cut, white space inside lines becomes one space.
pub(super) fn body(body: &[u8]) -> Vec<u8> {
    let (mut out, mut empty) = (Vec::with_capacity(body.len() + 2), 0);
    let mut rest = body;
    while !rest.is_empty() {
        let (line, next) = match memmem::find(rest, b"\r\n") {
            Some(end) => (&rest[..end], &rest[end + 2..]),
            None => (rest, &rest[rest.len()..]),
        };
        rest = next;
        let end = line.iter().rposition(|byte| !matches!(byte, b' ' | b'\t')).map_or(0, |at| at + 1);
        if end == 0 {
            empty += 1;
            continue;
        }
        (0..empty).for_each(|_| out.extend_from_slice(b"\r\n"));
        empty = 0;
        let mut space = false;
        for byte in &line[..end] {
            let white = matches!(byte, b' ' | b'\t');
            if !white {
                out.push(*byte);
            } else if !space {
                out.push(b' ');
            }
            space = white;
        }
        out.extend_from_slice(b"\r\n");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_the_rfc() {
        // RFC 6376 3.4.5.
        let message = b"A: X\r\nB : Y\t\r\n\tZ  \r\n\r\n C \r\nD \t E\r\n\r\n\r\n";
        let (header, rest) = split(message).unwrap();
        assert_eq!(Fields::of(header).canonical(&["a", "b"]), b"a:X\r\nb:Y Z\r\n");
        assert_eq!(body(rest), b" C\r\nD E\r\n");
        assert_eq!(body(b""), b"");
        assert_eq!(body(b"\r\n\r\n"), b"");
        assert_eq!(body(b"no end"), b"no end\r\n");
        assert_eq!(body(b"a\r\n\r\nb"), b"a\r\n\r\nb\r\n");
    }

    #[test]
    fn fields_of_one_name_are_taken_from_the_last() {
        let fields = Fields::of(b"A: 1\r\nB: 2\r\na: 3\r\n");
        assert_eq!(fields.canonical(&["a", "a", "a", "c"]), b"a:3\r\na:1\r\n");
        assert_eq!((fields.count("A"), fields.count("c")), (2, 0));
    }
}
