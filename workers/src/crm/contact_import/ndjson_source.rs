//! NDJSON: one object a line, its keys are the names of the fields. UTF-8 only, as JSON is.
//!
//! The reader holds one line. A line that is too long or no object is an error of that row; reading goes on after it.

use super::{
    row::{Field, ImportRow, RowError, checked, shortened},
    source::{MAX_ROW_BYTES, MAX_ROWS, Parsed, Position, SourceError},
};
use bus_schema::crm::contact::ContactDetails;
use serde_json::{Map, Value};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};

/// Unknown fields an error names.
const NAMED: usize = 5;

/// An open NDJSON file: its rows in order.
pub struct NdjsonRows<R> {
    input: BufReader<R>,
    at: Position,
    line: Vec<u8>,
    ended: bool,
}

impl<R: Read + Seek> NdjsonRows<R> {
    /// Reads from the beginning, or goes on after a row that was read before.
    pub fn open(file: R, after: Position) -> Result<Self, SourceError> {
        let mut input = BufReader::with_capacity(64 * 1024, file);
        let failed = |source| SourceError::Read { offset: after.offset, source };
        input.seek(SeekFrom::Start(after.offset)).map_err(failed)?;
        Ok(Self { input, at: after, line: Vec::new(), ended: false })
    }

    /// Reads one line without its break into `line`, the first [`MAX_ROW_BYTES`] of it. Gives its whole length in
    /// bytes with the break; 0 at the end of the file.
    fn read_line(&mut self) -> Result<u64, SourceError> {
        self.line.clear();
        self.line.shrink_to(64 * 1024);
        let mut length = 0_u64;
        loop {
            let failed = |source| SourceError::Read { offset: self.at.offset + length, source };
            let input = self.input.fill_buf().map_err(failed)?;
            if input.is_empty() {
                return Ok(length);
            }
            let end = input.iter().position(|byte| *byte == b'\n');
            let part = &input[..end.unwrap_or(input.len())];
            let room = (MAX_ROW_BYTES + 1).saturating_sub(self.line.len());
            self.line.extend_from_slice(&part[..part.len().min(room)]);
            let read = part.len() + usize::from(end.is_some());
            length += read as u64;
            self.input.consume(read);
            if end.is_some() {
                return Ok(length);
            }
        }
    }

    fn next_row(&mut self) -> Result<Option<Parsed>, SourceError> {
        loop {
            let length = self.read_line()?;
            if length == 0 {
                return Ok(None);
            }
            let first = self.at.offset == 0;
            if first && (self.line.starts_with(b"\xff\xfe") || self.line.starts_with(b"\xfe\xff")) {
                return Err(SourceError::Utf16);
            }
            self.at.offset += length;
            self.at.line += 1;
            let text = if first { self.line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&self.line) } else { &self.line };
            if text.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            if self.at.row >= MAX_ROWS {
                return Err(SourceError::TooManyRows);
            }
            self.at.row += 1;
            return Ok(Some(Parsed { after: self.at, row: row(self.at.row, self.at.line, text) }));
        }
    }
}

impl<R: Read + Seek> Iterator for NdjsonRows<R> {
    type Item = Result<Parsed, SourceError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let row = self.next_row().transpose();
        self.ended = !matches!(row, Some(Ok(_)));
        row
    }
}

fn row(number: u64, line: u64, text: &[u8]) -> Result<ImportRow, RowError> {
    let error = |code, message: String| RowError::new(number, line, code, message);
    if text.len() > MAX_ROW_BYTES {
        return Err(error("line_too_long", "the line is longer than 1 MiB".into()));
    }
    let text = std::str::from_utf8(text).map_err(|_| error("invalid_encoding", "the line is not UTF-8".into()))?;
    let object: Map<String, Value> = serde_json::from_str(text).map_err(|fault| {
        let message = format!("the line is not one JSON object (noticed at character {})", fault.column());
        error("invalid_json", message)
    })?;
    let unknown: Vec<String> =
        object.keys().filter(|key| Field::by_name(key).is_none()).take(NAMED).map(|key| shortened(key)).collect();
    if !unknown.is_empty() {
        let known = Field::ALL.map(Field::name).join(", ");
        let message = format!("there is no field {}; the fields are {known}", unknown.join(", "));
        return Err(error("unknown_field", message));
    }
    let mut details = ContactDetails::default();
    let mut tags = Vec::new();
    for (key, value) in object {
        let Some(field) = Field::by_name(&key) else { continue };
        let wrong =
            |expected| RowError { field: Some(field), ..error("invalid_type", format!("{field} must be {expected}")) };
        match (field, value) {
            (_, Value::Null) => {}
            (Field::Tags, Value::Array(items)) => {
                for item in items {
                    let Value::String(tag) = item else { return Err(wrong("an array of strings")) };
                    tags.push(tag);
                }
            }
            (Field::Tags, _) => return Err(wrong("an array of strings")),
            (field, Value::String(value)) => field.set(&mut details, Some(value)),
            _ => return Err(wrong("a string or null")),
        }
    }
    checked(number, line, details, &tags)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    fn rows(text: impl AsRef<[u8]>) -> Vec<Parsed> {
        NdjsonRows::open(Cursor::new(text.as_ref().to_vec()), Position::default())
            .unwrap()
            .map(Result::unwrap)
            .collect()
    }

    #[test]
    fn objects_become_rows_and_empty_lines_nothing() {
        let rows = rows(
            "\u{feff}{\"email\":\"a@x.org\",\"first_name\":\"Zoë\",\"tags\":[\"VIP\"],\"city\":null}\r\n\n{\"email\":\"b@x.org\"}",
        );
        let first = rows[0].row.as_ref().unwrap();
        assert_eq!((first.number, first.line, first.details.first_name.as_deref()), (1, 1, Some("Zoë")));
        assert_eq!(first.tags, ["vip"]);
        let second = rows[1].row.as_ref().unwrap();
        assert_eq!((second.number, second.line, rows.len()), (2, 3, 2));
    }

    #[test]
    fn what_is_wrong_stays_in_its_row() {
        let long = format!("{{\"email\":\"a@x.org\",\"notes\":\"{}\"}}", "x".repeat(2 * MAX_ROW_BYTES));
        let mut text =
            b"{\"email\":\"a@x.org\",\"Mail\":1,\"age\":2}\n{\"email\":1}\n[1]\n{\"a\n{\"email\":\"\xff\"}\n".to_vec();
        text.extend_from_slice(format!("{{\"tags\":\"a\"}}\n{long}\n{{\"email\":\"b@x.org\"}}\n").as_bytes());
        let rows = rows(text);
        let codes: Vec<&str> =
            rows.iter().map(|row| row.row.as_ref().map_or_else(|error| error.code, |_| "ok")).collect();
        let json = "invalid_json";
        assert_eq!(
            codes,
            ["unknown_field", "invalid_type", json, json, "invalid_encoding", "invalid_type", "line_too_long", "ok"]
        );
        assert!(rows[0].row.as_ref().unwrap_err().message.contains("Mail, age"));
    }

    #[test]
    fn reading_goes_on_after_every_row() {
        let text = "\u{feff}{\"email\":\"a@x.org\"}\r\n\r\n{\"email\":\"b@x.org\"}\n{\"broken\n{\"email\":\"c@x.org\"}";
        let all = rows(text);
        for (done, row) in all.iter().enumerate() {
            let rest = NdjsonRows::open(Cursor::new(text.as_bytes().to_vec()), row.after).unwrap();
            assert_eq!(rest.map(Result::unwrap).collect::<Vec<_>>(), all[done + 1..]);
        }
    }
    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(
            bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..400),
            text in "[\\[{}\"emailtgs:,\n\\]1]{0,200}",
        ) {
            rows_or_none(&bytes);
            rows_or_none(text.as_bytes());
        }
    }

    fn rows_or_none(bytes: &[u8]) {
        let read = NdjsonRows::open(Cursor::new(bytes.to_vec()), Position::default()).unwrap();
        assert!(read.count() <= bytes.len());
    }
}
