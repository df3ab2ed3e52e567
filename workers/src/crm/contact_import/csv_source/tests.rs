use super::*;
use proptest::prelude::*;
use std::io::Cursor;

fn open(text: impl AsRef<[u8]>, options: CsvOptions) -> Result<CsvSource<Cursor<Vec<u8>>>, SourceError> {
    CsvSource::open(Cursor::new(text.as_ref().to_vec()), options)
}

fn rows(text: impl AsRef<[u8]>) -> Vec<CsvRow> {
    all(open(text, CsvOptions::default()).unwrap())
}

fn all<R: Read + Seek>(mut source: CsvSource<R>) -> Vec<CsvRow> {
    std::iter::from_fn(|| source.next_row().unwrap()).collect()
}

fn cells(row: &CsvRow) -> Vec<&str> {
    row.cells.as_ref().unwrap().iter().map(String::as_str).collect()
}

#[test]
fn quotes_breaks_and_numbers_are_right_for_both_line_ends() {
    let text = "email,notes\na@x.org,\"two\nlines, and \"\"quotes\"\"\"\n\n ,\nb@x.org,\nc@x.org\n";
    for text in [text.to_owned(), text.replace('\n', "\r\n")] {
        let rows = rows(&text);
        assert_eq!(rows.len(), 3, "{rows:?}");
        assert_eq!(cells(&rows[0])[1].replace('\r', ""), "two\nlines, and \"quotes\"");
        assert_eq!(cells(&rows[2]), ["c@x.org", ""], "cells left out at the end are empty");
        let places: Vec<(u64, u64)> = rows.iter().map(|row| (row.number, row.line)).collect();
        assert_eq!(places, [(1, 2), (2, 6), (3, 7)]);
        assert_eq!(rows[2].after.offset, text.trim_end().len() as u64 + 1);
    }
}

#[test]
fn delimiters_are_found_told_or_announced() {
    for (text, delimiter) in [
        ("email,name\na,b", ','),
        ("email;\"a,b,c\"\na;b", ';'),
        ("email\tname\na\tb", '\t'),
        ("sep=;\r\nemail;a,b,c\r\na;b", ';'),
        ("email\na", ','),
    ] {
        let source = open(text, CsvOptions::default()).unwrap();
        assert_eq!((source.delimiter(), source.headings()[0].as_str()), (delimiter, "email"), "{text:?}");
        assert_eq!(cells(&all(source)[0])[0], "a");
    }
    let told = CsvOptions { delimiter: Some(Delimiter::Semicolon), ..CsvOptions::default() };
    assert_eq!(open("a,b\n1,2", told).unwrap().headings(), ["a,b"]);
}

#[test]
fn encodings_are_read_and_bad_bytes_stay_in_their_row() {
    assert_eq!(cells(&rows("\u{feff}email\nMüller")[0]), ["Müller"]);
    assert_eq!(open("\u{feff}email\n", CsvOptions::default()).unwrap().headings(), ["email"]);
    let latin = b"email,Stra\xdfe\na,M\xfcller\n";
    let source = open(latin, CsvOptions::default()).unwrap();
    assert_eq!((source.encoding(), source.headings()[1].as_str()), (Encoding::Windows1252, "Straße"));
    assert_eq!(cells(&all(source)[0]), ["a", "Müller"]);
    let told = CsvOptions { encoding: Some(Encoding::Utf8), ..CsvOptions::default() };
    let rows = all(open(b"email,name\na,M\xfcller\nb,ok", told).unwrap());
    let error = rows[0].cells.as_ref().unwrap_err();
    assert_eq!((error.code, error.number, error.line), ("invalid_encoding", 1, 2));
    assert!(error.message.starts_with("column 2 (name)"));
    assert_eq!(cells(&rows[1]), ["b", "ok"]);
    assert!(matches!(open(latin, told), Err(SourceError::HeadingEncoding)));
    assert!(matches!(open(b"\xff\xfee\0", told), Err(SourceError::Utf16)));
}

#[test]
fn limits_are_clear_errors() {
    assert!(matches!(open("", CsvOptions::default()), Err(SourceError::Empty)));
    assert!(matches!(open("\n\r\n", CsvOptions::default()), Err(SourceError::Empty)));
    let wide = |columns: usize| vec!["a"; columns].join(",");
    assert_eq!(open(wide(200), CsvOptions::default()).unwrap().headings().len(), 200);
    assert!(matches!(open(wide(201), CsvOptions::default()), Err(SourceError::TooManyColumns)));
    let rows = rows(format!("a,b\n1,2,,\n1,2,3\n{}\n4,5", wide(100_000)));
    let code = |row: &CsvRow| row.cells.as_ref().map_or_else(|error| error.code, |_| "ok");
    assert_eq!(rows.iter().map(code).collect::<Vec<_>>(), ["ok", "too_many_cells", "too_many_cells", "ok"]);
    for endless in ["x".repeat(3 << 20), "\"\"".repeat(3 << 20), "\n".repeat(3 << 20)] {
        let mut source = open(format!("a,b\n1,2\n3,\"{endless}"), CsvOptions::default()).unwrap();
        source.next_row().unwrap();
        assert!(matches!(source.next_row(), Err(SourceError::RowTooLong { row: 2, line: 3 })));
    }
}

#[test]
fn a_long_row_does_not_hold_its_memory() {
    let text = format!("a,b\n1,\"{}\"\n2,x\n", "x".repeat(900 << 10));
    let mut source = open(text, CsvOptions::default()).unwrap();
    assert!(source.next_row().unwrap().is_some());
    source.next_row().unwrap();
    assert!(source.cells.capacity() <= 2 * BUFFER, "{}", source.cells.capacity());
}

/// A file that is made while it is read, so that only the reader's own memory could grow.
struct Generated {
    rows: u64,
    at: u64,
}

const WIDTH: u64 = 40;

impl Read for Generated {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let rows = (buffer.len() as u64 / WIDTH).min(self.rows - self.at / WIDTH);
        let text: String = (0..rows).map(|n| format!("{:>20},\"Ada, L\n{:>9}\"\n", self.at / WIDTH + n, "x")).collect();
        buffer[..text.len()].copy_from_slice(text.as_bytes());
        self.at += text.len() as u64;
        Ok(text.len())
    }
}

impl Seek for Generated {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        let SeekFrom::Start(to) = to else { return Ok(self.at) };
        self.at = to;
        Ok(to)
    }
}

#[test]
fn memory_does_not_grow_with_the_file() {
    let mut source = CsvSource::open(Generated { rows: 20_000, at: 0 }, CsvOptions::default()).unwrap();
    let mut rows = 0;
    while let Some(row) = source.next_row().unwrap() {
        rows += 1;
        assert_eq!((row.number, row.line), (rows, rows * 2 + 1));
        assert!(source.cells.capacity() <= 2 * BUFFER && source.ends.capacity() < 64);
        // What was taken from the file but not given out yet is one buffer.
        assert!(source.input.get_ref().at - row.after.offset <= BUFFER as u64);
    }
    assert_eq!(rows, 19_999, "the first is the heading");
}

#[test]
fn reading_goes_on_after_every_row() {
    let text = "\u{feff}email;notes\r\na@x.org;\"ü\r\n\"\"b\"\"\"\r\n\r\nb@x.org;\"\"\r\n\"c\";d\r\ne";
    let latin = b"sep=;\nemail;notes\na;\"\xfc\n;\"\n\nb;\xfc\xe4\nc".to_vec();
    for text in [text.as_bytes().to_vec(), text.replace('\r', "").into_bytes(), latin] {
        let complete = rows(&text);
        assert!(complete.len() >= 3);
        for (done, row) in complete.iter().enumerate() {
            let rest = open(&text, CsvOptions::default()).unwrap().resume(row.after).unwrap();
            assert_eq!(all(rest), complete[done + 1..]);
        }
        assert_eq!(all(open(&text, CsvOptions::default()).unwrap().resume(Position::default()).unwrap()), complete);
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_panic_and_resumed_alike(
        bytes in prop::collection::vec(prop_oneof![
            Just(b'"'), Just(b','), Just(b';'), Just(b'\n'), Just(b'\r'), Just(b'a'), Just(b' '), any::<u8>(),
        ], 0..300),
        told in prop::option::of(prop_oneof![Just(Encoding::Utf8), Just(Encoding::Windows1252)]),
    ) {
        let options = CsvOptions { encoding: told, delimiter: None };
        if let Ok(source) = open(&bytes, options) {
            let complete = all(source);
            for (done, row) in complete.iter().enumerate() {
                let rest = open(&bytes, options).unwrap().resume(row.after).unwrap();
                prop_assert_eq!(&all(rest)[..], &complete[done + 1..]);
            }
        }
    }

    #[test]
    fn what_is_quoted_comes_back(
        cells in prop::collection::vec(prop::collection::vec("[a-z\",;\t\n\rü ]{0,12}", 3), 0..20),
    ) {
        let quoted = |cell: &String| format!("\"{}\"", cell.replace('"', "\"\""));
        let line = |row: &Vec<String>| row.iter().map(quoted).collect::<Vec<_>>().join(";") + "\r\n";
        let text = "a;b;c\r\n".to_owned() + &cells.iter().map(line).collect::<String>();
        let read: Vec<Vec<String>> = rows(text).into_iter().map(|row| row.cells.unwrap()).collect();
        let filled = cells.into_iter().filter(|row| !row.concat().bytes().all(|byte| byte.is_ascii_whitespace()));
        prop_assert_eq!(read, filled.collect::<Vec<_>>());
    }
}
