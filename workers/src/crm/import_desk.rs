//! What is found out about a file before its import begins: can it be read, and which column fills which field.

use super::contact_import::{
    csv_source::{CsvOptions, CsvSource},
    encoding::Encoding,
    mapping::{self, Mapping, MappingError},
    ndjson_source::NdjsonRows,
    row::{Field, ImportRow, RowError},
    source::{Position, SourceError},
};
use bus_schema::crm::import::ImportFormat;
use std::{
    collections::BTreeMap,
    io::{Cursor, Read, Seek, SeekFrom},
};

/// Rows a preview shows.
const ROWS: usize = 5;
/// Bytes looked at in one go.
const PIECE: usize = 256 * 1024;

/// What the caller says about a file; what is absent is found out.
#[derive(Clone, Debug)]
pub struct Told {
    pub format: ImportFormat,
    /// WHATWG label.
    pub encoding: Option<String>,
    /// Column to field; only for CSV, the keys of NDJSON are the fields.
    pub mapping: Option<BTreeMap<String, String>>,
}

/// What an import's plan needs to know of its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Examined {
    pub encoding: Encoding,
    pub mapping: BTreeMap<String, String>,
}

/// The beginning of a file as it would be read.
#[derive(Clone, Debug, PartialEq)]
pub struct Preview {
    pub encoding: Encoding,
    /// Of CSV.
    pub delimiter: Option<char>,
    pub columns: Vec<String>,
    pub mapping: BTreeMap<String, String>,
    pub unmapped: Vec<String>,
    /// Why the mapping does not make contacts yet.
    pub problem: Option<MappingError>,
    pub rows: Vec<PreviewRow>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct PreviewRow {
    pub row: u64,
    pub line: u64,
    /// The cells of CSV, so that a mapping can be chosen by looking at them.
    pub cells: Vec<String>,
    /// `None` while the mapping makes no contacts.
    pub contact: Option<Result<ImportRow, RowError>>,
}

/// Why a file cannot be imported.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error(transparent)]
    Mapping(#[from] MappingError),
    #[error("files can be UTF-8 or Windows-1252 (also called latin1); {0:?} is something else")]
    Encoding(String),
    #[error("NDJSON is always UTF-8")]
    NdjsonEncoding,
    #[error("the keys of NDJSON are the names of the fields, so it takes no mapping")]
    NdjsonMapping,
    #[error("the first line is no contact: {0}")]
    FirstLine(String),
    #[error("the file is empty")]
    Empty,
}

impl FileError {
    /// Stable, for the API.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Source(SourceError::Empty) | Self::Empty => "empty_file",
            Self::Source(_) => "unreadable_file",
            Self::Mapping(error) => error.code(),
            Self::Encoding(_) | Self::NdjsonEncoding => "invalid_encoding",
            Self::NdjsonMapping => "mapping_not_used",
            Self::FirstLine(_) => "invalid_json",
        }
    }

    /// The parameter that is at fault; empty for the file itself.
    pub fn pointer(&self) -> &'static str {
        match self {
            Self::Mapping(_) | Self::NdjsonMapping => "mapping",
            Self::Encoding(_) | Self::NdjsonEncoding => "encoding",
            Self::Source(_) | Self::FirstLine(_) | Self::Empty => "",
        }
    }
}

/// Looks at a whole file: its heading, and where nobody said what it is, whether all of it is UTF-8. Blocks.
pub fn examine<R: Read + Seek>(mut file: R, told: &Told) -> Result<Examined, FileError> {
    let encoding = encoding(told)?;
    if told.format == ImportFormat::Ndjson {
        let first = ndjson(&mut file, told)?.next().ok_or(FileError::Empty)??.row;
        return match first {
            Err(error) if ["invalid_json", "invalid_encoding"].contains(&error.code) => {
                Err(FileError::FirstLine(error.message))
            }
            _ => Ok(Examined { encoding: Encoding::Utf8, mapping: fields() }),
        };
    }
    let mut source = CsvSource::open(&mut file, CsvOptions { encoding, delimiter: None })?;
    if encoding.is_none() && source.encoding() == Encoding::Utf8 {
        drop(source);
        let options = match is_utf8(&mut file)? {
            true => CsvOptions { encoding: Some(Encoding::Utf8), delimiter: None },
            // What comes behind the sample counts too.
            false => CsvOptions { encoding: Some(Encoding::Windows1252), delimiter: None },
        };
        source = CsvSource::open(&mut file, options)?;
    }
    let mapping = told.mapping.clone().unwrap_or_else(|| mapping::suggest(source.headings()));
    Mapping::try_new(source.headings(), Some(&mapping))?;
    Ok(Examined { encoding: source.encoding(), mapping })
}

/// Shows what the beginning of a file would become. `cut`: the file goes on behind it, so its last row may be torn.
pub fn preview(head: &[u8], cut: bool, told: &Told) -> Result<Preview, FileError> {
    let encoding = encoding(told)?;
    let whole = |end: u64| !cut || end < head.len() as u64 || head.ends_with(b"\n");
    if told.format == ImportFormat::Ndjson {
        let mut rows = Vec::new();
        for parsed in ndjson(Cursor::new(head), told)?.take(ROWS) {
            let parsed = parsed?;
            if !whole(parsed.after.offset) {
                break;
            }
            let (row, line) = (parsed.after.row, parsed.after.line);
            rows.push(PreviewRow { row, line, cells: Vec::new(), contact: Some(parsed.row) });
        }
        if rows.is_empty() && head.iter().all(u8::is_ascii_whitespace) {
            return Err(FileError::Empty);
        }
        let (mapping, columns) = (fields(), Field::ALL.map(|field| field.name().to_owned()).to_vec());
        let (delimiter, unmapped, problem) = (None, Vec::new(), None);
        return Ok(Preview { encoding: Encoding::Utf8, delimiter, columns, mapping, unmapped, problem, rows });
    }
    let mut source = CsvSource::open(Cursor::new(head), CsvOptions { encoding, delimiter: None })?;
    let columns = source.headings().to_vec();
    let mapping = told.mapping.clone().unwrap_or_else(|| mapping::suggest(&columns));
    let fitted = Mapping::try_new(&columns, Some(&mapping));
    let mut rows = Vec::new();
    while rows.len() < ROWS
        && let Some(next) = source.next_row()?
        && whole(next.after.offset)
    {
        let (row, line) = (next.number, next.line);
        let cells = next.cells.as_ref().cloned().unwrap_or_default();
        let contact = fitted.as_ref().ok().map(|fitted| next.cells.and_then(|cells| fitted.row(row, line, &cells)));
        rows.push(PreviewRow { row, line, cells, contact });
    }
    let unmapped = match &fitted {
        Ok(fitted) => fitted.unmapped().to_vec(),
        Err(_) => columns.iter().filter(|column| !mapping.contains_key(*column)).cloned().collect(),
    };
    let delimiter = Some(source.delimiter());
    Ok(Preview { encoding: source.encoding(), delimiter, columns, mapping, unmapped, problem: fitted.err(), rows })
}

fn encoding(told: &Told) -> Result<Option<Encoding>, FileError> {
    let known = |label: &String| Encoding::by_label(label).ok_or_else(|| FileError::Encoding(label.clone()));
    told.encoding.as_ref().map(known).transpose()
}

fn ndjson<R: Read + Seek>(file: R, told: &Told) -> Result<NdjsonRows<R>, FileError> {
    if encoding(told)?.is_some_and(|encoding| encoding != Encoding::Utf8) {
        return Err(FileError::NdjsonEncoding);
    }
    if told.mapping.is_some() {
        return Err(FileError::NdjsonMapping);
    }
    Ok(NdjsonRows::open(file, Position::default())?)
}

/// What a plan of NDJSON says: each field fills itself.
fn fields() -> BTreeMap<String, String> {
    Field::ALL.map(|field| (field.name().to_owned(), field.name().to_owned())).into()
}

/// Whether a whole file is UTF-8, in pieces.
fn is_utf8<R: Read + Seek>(file: &mut R) -> Result<bool, SourceError> {
    let mut offset = 0;
    let mut piece = vec![0; PIECE];
    let mut kept = 0;
    file.seek(SeekFrom::Start(0)).map_err(|source| SourceError::Read { offset, source })?;
    loop {
        let read = file.read(&mut piece[kept..]).map_err(|source| SourceError::Read { offset, source })?;
        if read == 0 {
            return Ok(kept == 0);
        }
        offset += read as u64;
        let filled = kept + read;
        kept = match std::str::from_utf8(&piece[..filled]) {
            Ok(_) => 0,
            Err(error) if error.error_len().is_some() => return Ok(false),
            // A character goes on in the next piece.
            Err(error) => {
                piece.copy_within(error.valid_up_to()..filled, 0);
                filled - error.valid_up_to()
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn csv(encoding: Option<&str>, mapping: Option<&[(&str, &str)]>) -> Told {
        let pair = |(column, field): &(&str, &str)| ((*column).to_owned(), (*field).to_owned());
        let mapping = mapping.map(|pairs| pairs.iter().map(pair).collect());
        Told { format: ImportFormat::Csv, encoding: encoding.map(str::to_owned), mapping }
    }

    fn ndjson_told() -> Told {
        Told { format: ImportFormat::Ndjson, encoding: None, mapping: None }
    }

    #[test]
    fn the_whole_file_decides_on_its_encoding() {
        let mut file = b"email,city\n".to_vec();
        for n in 0..100_000 {
            file.extend_from_slice(format!("p{n}@x.org,K\u{f6}ln\n").as_bytes());
        }
        let examined = examine(Cursor::new(&file), &csv(None, None)).unwrap();
        assert_eq!(examined.encoding, Encoding::Utf8);
        assert_eq!(examined.mapping, [("city", "city"), ("email", "email")].map(|(a, b)| (a.into(), b.into())).into());
        file.extend_from_slice(b"z@x.org,K\xf6ln\n");
        assert_eq!(examine(Cursor::new(&file), &csv(None, None)).unwrap().encoding, Encoding::Windows1252);
        let told = examine(Cursor::new(&file), &csv(Some("utf-8"), None)).unwrap();
        assert_eq!(told.encoding, Encoding::Utf8, "who says so is believed; the row fails");
    }

    #[test]
    fn what_cannot_be_imported_is_refused_with_a_code() {
        let code = |file: &[u8], told: &Told| examine(Cursor::new(file), told).unwrap_err().code();
        assert_eq!(code(b"", &csv(None, None)), "empty_file");
        assert_eq!(code(b"a,b\n1,2\n", &csv(None, None)), "no_email_column");
        assert_eq!(code(b"a,b\n1,2\n", &csv(None, Some(&[("c", "email")]))), "no_such_column");
        assert_eq!(code(b"email\n", &csv(Some("shift_jis"), None)), "invalid_encoding");
        assert_eq!(code(b"\xff\xfee\0", &csv(None, None)), "unreadable_file");
        assert_eq!(code(b"\n", &ndjson_told()), "empty_file");
        assert_eq!(code(b"email;name\n", &ndjson_told()), "invalid_json");
        let told = Told { mapping: Some(fields()), ..ndjson_told() };
        assert_eq!(code(b"{}\n", &told), "mapping_not_used");
        assert!(examine(Cursor::new(b"{\"email\":\"a@x.org\"}\n"), &ndjson_told()).is_ok());
    }

    #[test]
    fn a_preview_shows_whole_rows_only() {
        let head = b"E-Mail;Ort;Geburtstag\r\na@x.org;K\xf6ln;1.1.\r\nnobody;\"a\nb\";\r\nc@x.org;Bo";
        let shown = preview(head, true, &csv(None, None)).unwrap();
        assert_eq!((shown.encoding, shown.delimiter), (Encoding::Windows1252, Some(';')));
        assert_eq!((shown.unmapped.as_slice(), shown.problem), (["Geburtstag".to_owned()].as_slice(), None));
        assert_eq!(shown.rows.len(), 2);
        let first = shown.rows[0].contact.as_ref().unwrap().as_ref().unwrap();
        assert_eq!(first.details.city.as_deref(), Some("Köln"));
        let second = shown.rows[1].contact.as_ref().unwrap().as_ref().unwrap_err();
        assert_eq!((second.code, second.line), ("invalid_email", 3));
        assert_eq!(preview(head, false, &csv(None, None)).unwrap().rows.len(), 3);
    }

    #[test]
    fn a_preview_helps_to_choose_the_columns() {
        let shown = preview(b"x,y\na@x.org,1\n", false, &csv(None, None)).unwrap();
        assert_eq!(shown.problem.unwrap().code(), "no_email_column");
        assert_eq!(
            (shown.rows[0].cells.as_slice(), &shown.rows[0].contact),
            (["a@x.org", "1"].map(String::from).as_slice(), &None)
        );
        let told = csv(None, Some(&[("x", "email")]));
        assert!(preview(b"x,y\na@x.org,1\n", false, &told).unwrap().rows[0].contact.as_ref().unwrap().is_ok());
        let shown = preview(b"{\"email\":\"a@x.org\"}\n{\"em", true, &ndjson_told()).unwrap();
        assert_eq!((shown.rows.len(), shown.rows[0].line), (1, 1));
    }
}
