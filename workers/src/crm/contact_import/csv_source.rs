//! CSV as spreadsheets write it: `,` `;` or tab, quoted cells with line breaks and doubled quotes, LF or CRLF.
//!
//! The reader holds one row and a buffer of 64 KiB. Since it knows the byte at which each row ends, reading goes on
//! after a crash by seeking there: nothing before is read again but the heading.

use super::{
    encoding::{self, Encoding},
    mapping::Mapping,
    row::RowError,
    source::{MAX_COLUMNS, MAX_ROW_BYTES, MAX_ROWS, Parsed, Position, SAMPLE, SourceError},
};
use csv_core::ReadRecordResult;
use serde::{Deserialize, Serialize};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};

const BUFFER: usize = 64 * 1024;
const DELIMITERS: [u8; 3] = [b',', b';', b'\t'];

/// What is known about the file; what is not is found from its beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CsvOptions {
    pub encoding: Option<Encoding>,
    pub delimiter: Option<Delimiter>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Delimiter {
    Comma,
    Semicolon,
    Tab,
}

impl Delimiter {
    fn byte(self) -> u8 {
        match self {
            Self::Comma => b',',
            Self::Semicolon => b';',
            Self::Tab => b'\t',
        }
    }
}

/// One row, decoded but not yet understood.
#[derive(Clone, Debug, PartialEq)]
pub struct CsvRow {
    pub number: u64,
    pub line: u64,
    pub after: Position,
    pub cells: Result<Vec<String>, RowError>,
}

/// An open CSV file.
pub struct CsvSource<R> {
    input: BufReader<R>,
    parser: csv_core::Reader,
    encoding: Encoding,
    delimiter: u8,
    headings: Vec<String>,
    at: Position,
    /// The unquoted bytes of the present row and where each of its cells ends.
    cells: Vec<u8>,
    ends: Vec<usize>,
}

impl<R: Read + Seek> CsvSource<R> {
    /// Looks at the beginning of the file and reads its heading.
    pub fn open(mut file: R, options: CsvOptions) -> Result<Self, SourceError> {
        let failed = |source| SourceError::Read { offset: 0, source };
        file.seek(SeekFrom::Start(0)).map_err(failed)?;
        let mut sample = Vec::new();
        file.by_ref().take(SAMPLE as u64).read_to_end(&mut sample).map_err(failed)?;
        let detected = encoding::detect(&sample, options.encoding)?;
        let content = &sample[detected.mark..];
        let (announced, announcement) = announced_delimiter(content);
        let content = &content[announcement..];
        let told = options.delimiter.map(Delimiter::byte).or(announced);
        let delimiter = told.unwrap_or_else(|| likely_delimiter(content));
        let offset = (detected.mark + announcement) as u64;
        let at = Position { offset, row: 0, line: u64::from(announcement > 0) };
        drop(sample);
        let mut source = Self {
            input: BufReader::with_capacity(BUFFER, file),
            parser: parser(delimiter),
            encoding: detected.encoding,
            delimiter,
            headings: Vec::new(),
            at,
            cells: Vec::new(),
            ends: Vec::new(),
        };
        source.seek(at)?;
        if source.read_record()?.is_none() {
            return Err(SourceError::Empty);
        }
        if source.ends.len() > MAX_COLUMNS {
            return Err(SourceError::TooManyColumns);
        }
        source.headings = source.decoded().map_err(|_| SourceError::HeadingEncoding)?;
        source.headings.iter_mut().for_each(|heading| *heading = heading.trim().to_owned());
        Ok(source)
    }

    pub fn encoding(&self) -> Encoding {
        self.encoding
    }

    pub fn delimiter(&self) -> char {
        self.delimiter.into()
    }

    /// The names of the columns, trimmed.
    pub fn headings(&self) -> &[String] {
        &self.headings
    }

    /// Goes on after a row that was read before. The beginning means: right after the heading.
    pub fn resume(mut self, after: Position) -> Result<Self, SourceError> {
        if after.offset > 0 {
            self.seek(after)?;
        }
        Ok(self)
    }

    /// The next row that is not empty; `None` at the end of the file.
    pub fn next_row(&mut self) -> Result<Option<CsvRow>, SourceError> {
        loop {
            let Some(line) = self.read_record()? else { return Ok(None) };
            if self.cells.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            if self.at.row >= MAX_ROWS {
                return Err(SourceError::TooManyRows);
            }
            self.at.row += 1;
            let number = self.at.row;
            let cells = self.decoded().map_err(|column| {
                let heading = self.headings.get(column).map_or("", String::as_str);
                let message = format!(
                    "column {} ({heading}) is not UTF-8; save the file as UTF-8, or say that it is Windows-1252",
                    column + 1
                );
                RowError::new(number, line, "invalid_encoding", message)
            });
            let cells = cells.and_then(|cells| self.fitted(number, line, cells));
            return Ok(Some(CsvRow { number, line, after: self.at, cells }));
        }
    }

    /// Spreadsheets leave out empty cells at the end of a row, or write too many; other surplus means that the row is
    /// not what it seems.
    fn fitted(&self, number: u64, line: u64, mut cells: Vec<String>) -> Result<Vec<String>, RowError> {
        let columns = self.headings.len();
        if self.ends.len() > MAX_COLUMNS || cells.iter().skip(columns).any(|cell| !cell.trim().is_empty()) {
            let message = format!(
                "the row has more cells than the heading has columns ({columns}); is a cell with the delimiter in it not quoted?"
            );
            return Err(RowError::new(number, line, "too_many_cells", message));
        }
        cells.resize(columns, String::new());
        Ok(cells)
    }

    fn seek(&mut self, to: Position) -> Result<(), SourceError> {
        self.input
            .seek(SeekFrom::Start(to.offset))
            .map_err(|source| SourceError::Read { offset: to.offset, source })?;
        self.parser = parser(self.delimiter);
        self.at = to;
        Ok(())
    }

    /// Reads one record into `cells` and `ends` and gives the line it begins on.
    fn read_record(&mut self) -> Result<Option<u64>, SourceError> {
        if !self.skip_line_breaks()? {
            return Ok(None);
        }
        let line = self.at.line + 1;
        let begin = self.at.offset;
        self.cells.resize(self.cells.capacity().clamp(4 * 1024, BUFFER), 0);
        self.ends.clear();
        let mut filled = 0;
        let mut ends = [0; 64];
        loop {
            let failed = |source| SourceError::Read { offset: self.at.offset, source };
            let input = self.input.fill_buf().map_err(failed)?;
            let (result, read, written, cells) = self.parser.read_record(input, &mut self.cells[filled..], &mut ends);
            self.at.line += line_breaks(&input[..read]);
            self.at.offset += read as u64;
            self.input.consume(read);
            filled += written;
            // One more than allowed is enough to know that there are too many.
            let room = (MAX_COLUMNS + 1).saturating_sub(self.ends.len());
            self.ends.extend_from_slice(&ends[..cells.min(room)]);
            match result {
                ReadRecordResult::Record => break,
                ReadRecordResult::End if self.ends.is_empty() => return Ok(None),
                ReadRecordResult::End => break,
                ReadRecordResult::OutputFull if filled < MAX_ROW_BYTES => self.cells.resize(filled * 2, 0),
                ReadRecordResult::OutputFull => return Err(SourceError::RowTooLong { row: self.at.row + 1, line }),
                ReadRecordResult::InputEmpty | ReadRecordResult::OutputEndsFull => {}
            }
            if self.at.offset - begin > MAX_ROW_BYTES as u64 {
                return Err(SourceError::RowTooLong { row: self.at.row + 1, line });
            }
        }
        self.cells.truncate(filled);
        // A single long row must not hold its memory until the end.
        self.cells.shrink_to(filled.max(BUFFER));
        Ok(Some(line))
    }

    /// Empty lines, and the second half of a CRLF. False at the end of the file.
    fn skip_line_breaks(&mut self) -> Result<bool, SourceError> {
        loop {
            let failed = |source| SourceError::Read { offset: self.at.offset, source };
            let input = self.input.fill_buf().map_err(failed)?;
            if input.is_empty() {
                return Ok(false);
            }
            let breaks = input.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
            let more = breaks == input.len();
            self.at.line += line_breaks(&input[..breaks]);
            self.at.offset += breaks as u64;
            self.input.consume(breaks);
            if !more {
                return Ok(true);
            }
        }
    }

    /// The cells as text, or the index of the first that is none.
    fn decoded(&self) -> Result<Vec<String>, usize> {
        let mut begin = 0;
        let cell = |(column, end): (usize, &usize)| {
            let bytes = self.cells.get(begin..*end).unwrap_or_default();
            begin = *end;
            self.encoding.decode(bytes).map(|text| text.into_owned()).ok_or(column)
        };
        self.ends.iter().enumerate().map(cell).collect()
    }
}

/// The rows of a file as contacts.
pub struct CsvRows<R> {
    source: CsvSource<R>,
    mapping: Mapping,
    ended: bool,
}

impl<R: Read + Seek> CsvRows<R> {
    pub fn new(source: CsvSource<R>, mapping: Mapping) -> Self {
        Self { source, mapping, ended: false }
    }
}

impl<R: Read + Seek> Iterator for CsvRows<R> {
    type Item = Result<Parsed, SourceError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let row = self.source.next_row().transpose();
        self.ended = !matches!(row, Some(Ok(_)));
        Some(row?.map(|CsvRow { number, line, after, cells }| Parsed {
            after,
            row: cells.and_then(|cells| self.mapping.row(number, line, &cells)),
        }))
    }
}

fn parser(delimiter: u8) -> csv_core::Reader {
    csv_core::ReaderBuilder::new().delimiter(delimiter).build()
}

fn line_breaks(bytes: &[u8]) -> u64 {
    bytes.iter().filter(|byte| **byte == b'\n').count() as u64
}

/// Spreadsheets know a first line `sep=;` that is not content. Gives the delimiter and the bytes of that line.
fn announced_delimiter(content: &[u8]) -> (Option<u8>, usize) {
    let Some([delimiter, rest @ ..]) = content.strip_prefix(b"sep=") else { return (None, 0) };
    let line_break = if rest.starts_with(b"\r\n") { 2 } else { usize::from(rest.starts_with(b"\n")) };
    if DELIMITERS.contains(delimiter) && line_break > 0 { (Some(*delimiter), 5 + line_break) } else { (None, 0) }
}

/// The delimiter that stands most often in the heading, outside of quotes.
fn likely_delimiter(content: &[u8]) -> u8 {
    let mut counts = [0_u32; DELIMITERS.len()];
    let mut quoted = false;
    let heading = content.iter().skip_while(|byte| matches!(byte, b'\r' | b'\n'));
    for byte in heading {
        match byte {
            b'"' => quoted = !quoted,
            b'\r' | b'\n' if !quoted => break,
            byte if !quoted => {
                if let Some(place) = DELIMITERS.iter().position(|delimiter| delimiter == byte) {
                    counts[place] += 1;
                }
            }
            _ => {}
        }
    }
    // Of equals the last wins with `max_by_key`, so the list is turned round: a comma is the first choice.
    let most = counts.iter().zip(DELIMITERS).rev().max_by_key(|(count, _)| **count);
    most.map_or(b',', |(_, delimiter)| delimiter)
}

#[cfg(test)]
mod tests;
