//! What a file is, by its bytes. What its sender calls it must fit; what browsers are told later is what was found here.

use bus_schema::cms::{
    file::Pixels,
    media::{self, Family, MediaType},
};
use std::{
    fs::File,
    io::{self, BufReader, Read, Seek},
};

/// Bytes of the beginning that tell what a file is.
const HEAD: u64 = 16 * 1024;
/// What senders say who do not know.
const ANYTHING: &str = "application/octet-stream";
/// What a ZIP with something inside is found to be, when its first entries do not tell what.
const ZIP: &str = "application/zip";

/// What a file was found to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    pub media: &'static MediaType,
    pub pixels: Option<Pixels>,
}

/// Why a file is not taken; a sentence for its sender.
#[derive(Debug, thiserror::Error)]
pub enum Unfit {
    #[error("the file is empty")]
    Empty,
    #[error("files of the type {found} are not taken")]
    NotAllowed { found: String },
    #[error("it was sent as {declared}, and its bytes are {found}: send it as what it is")]
    Mismatch { declared: String, found: String },
    #[error("it was sent as {declared}, and its bytes are not")]
    NotWhatItSays { declared: String },
    #[error("the size of the picture cannot be read: it is damaged or cut off")]
    Unreadable,
    #[error("the file on its way in cannot be read: {0}")]
    Io(#[from] io::Error),
}

impl Unfit {
    /// Stable and documented.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Empty => "empty_file",
            Self::NotAllowed { .. } => "type_not_allowed",
            Self::Mismatch { .. } | Self::NotWhatItSays { .. } => "type_mismatch",
            Self::Unreadable => "unreadable_image",
            Self::Io(_) => "unavailable",
        }
    }
}

/// Looks at a whole file. `declared`: its Content-Type; `name`: as it came, which tells CSV from other text. Blocks.
pub fn examine(mut file: &File, declared: Option<&str>, name: &str) -> Result<Found, Unfit> {
    let declared = declared.map(essence).filter(|declared| !declared.is_empty() && declared != ANYTHING);
    let mut head = Vec::new();
    file.rewind()?;
    Read::take(file, HEAD).read_to_end(&mut head)?;
    if head.is_empty() {
        return Err(Unfit::Empty);
    }
    let media = match (sniff(&head)?, &declared) {
        (Some(found), None) => found,
        (Some(found), Some(declared)) => fitting(declared, found)?,
        (None, declared) => text(file, &head, declared.as_deref(), name)?,
    };
    let is_raster = media.family == Family::Image && media.in_place;
    let pixels = if is_raster { Some(pixels(file, media)?) } else { None };
    Ok(Found { media, pixels })
}

/// The type without its parameters, in lower case.
fn essence(declared: &str) -> String {
    declared.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// The type whose mark the file begins with. `None`: it has no mark, as text has none.
fn sniff(head: &[u8]) -> Result<Option<&'static MediaType>, Unfit> {
    let found = match head {
        [b'w', b'O', b'F', b'F', ..] => "font/woff",
        [b'w', b'O', b'F', b'2', ..] => "font/woff2",
        _ if is_svg(head) => "image/svg+xml",
        _ => match infer::get(head).map(|found| found.mime_type()) {
            None | Some("text/xml" | "text/x-shellscript") => return Ok(None),
            Some(found) => found,
        },
    };
    media::find(found).map(Some).ok_or_else(|| Unfit::NotAllowed { found: found.to_owned() })
}

/// An SVG begins with `<svg`, behind an XML declaration, comments and a document type at most.
fn is_svg(head: &[u8]) -> bool {
    let mut rest = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head).trim_ascii_start();
    loop {
        let end: &[u8] = match rest {
            _ if rest.starts_with(b"<?xml") => b"?>",
            _ if rest.starts_with(b"<!--") => b"-->",
            _ if rest.get(..9).is_some_and(|start| start.eq_ignore_ascii_case(b"<!doctype")) => b">",
            _ => {
                let name_ends = |byte: &u8| byte.is_ascii_whitespace() || matches!(byte, b'>' | b'/');
                return rest.starts_with(b"<svg") && rest.get(4).is_some_and(name_ends);
            }
        };
        let Some(at) = memchr::memmem::find(rest, end) else { return false };
        rest = rest[at + end.len()..].trim_ascii_start();
    }
}

/// What a file with a mark is taken as, when its sender called it something.
fn fitting(declared: &str, found: &'static MediaType) -> Result<&'static MediaType, Unfit> {
    let told = media::find(declared).ok_or_else(|| Unfit::NotAllowed { found: declared.to_owned() })?;
    // Documents of offices and books are ZIP files; which one is not always told by their first entries.
    let is_zip = |media: &MediaType| {
        let name = media.name;
        name == ZIP || name.ends_with("+zip") || name.contains("openxmlformats") || name.contains("oasis.opendocument")
    };
    if told == found || (is_zip(told) && (found.name == ZIP || told.name == ZIP && is_zip(found))) {
        return Ok(told);
    }
    Err(Unfit::Mismatch { declared: declared.to_owned(), found: found.name.to_owned() })
}

/// Text has no mark: it is what has none of any other type and is UTF-8 without control characters.
fn text(file: &File, head: &[u8], declared: Option<&str>, name: &str) -> Result<&'static MediaType, Unfit> {
    let told = match declared {
        Some(declared) => Some(media::find(declared).ok_or_else(|| Unfit::NotAllowed { found: declared.to_owned() })?),
        None => None,
    };
    let unknown = || match declared {
        Some(declared) => Unfit::NotWhatItSays { declared: declared.to_owned() },
        None => Unfit::NotAllowed { found: ANYTHING.to_owned() },
    };
    // Some markup has no mark in the strict sense and would be text: it is not taken under another name.
    let begins = |word: &[u8]| {
        let start = head.trim_ascii_start();
        start.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word))
    };
    if [&b"<!doctype html"[..], b"<html", b"<script", b"<body", b"<head"].into_iter().any(begins) {
        return Err(Unfit::NotAllowed { found: "text/html".to_owned() });
    }
    if told.is_some_and(|told| !told.is_text()) || !is_text(file)? {
        return Err(unknown());
    }
    let by_name = || media::MEDIA_TYPES.iter().find(|media| media.is_text() && media.fits(name));
    told.filter(|told| told.name != "text/plain")
        .or_else(by_name)
        .or_else(|| media::find("text/plain"))
        .ok_or_else(unknown)
}

fn is_text(mut file: &File) -> io::Result<bool> {
    file.rewind()?;
    let (mut reader, mut piece, mut kept) = (BufReader::new(file), vec![0; 64 * 1024], 0);
    loop {
        let read = reader.read(&mut piece[kept..])?;
        let filled = &piece[..kept + read];
        if read == 0 {
            return Ok(kept == 0);
        }
        let controls = |byte: &u8| *byte < 0x20 && !matches!(byte, b'\t' | b'\n' | b'\r' | 0x0c);
        let valid = match std::str::from_utf8(filled) {
            Ok(_) => filled.len(),
            // A character that is cut by the end of the piece.
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            Err(_) => return Ok(false),
        };
        if filled.iter().any(controls) {
            return Ok(false);
        }
        let end = filled.len();
        piece.copy_within(valid..end, 0);
        kept = end - valid;
    }
}

/// The picture's size as its header says it; nothing is unpacked.
fn pixels(mut file: &File, media: &MediaType) -> Result<Pixels, Unfit> {
    use imagesize::ImageType;
    file.rewind()?;
    let mut reader = BufReader::new(file);
    let kind = imagesize::reader_type(&mut reader).map_err(|_| Unfit::Unreadable)?;
    let same = match kind {
        ImageType::Png => media.name == "image/png",
        ImageType::Jpeg => media.name == "image/jpeg",
        ImageType::Gif => media.name == "image/gif",
        ImageType::Webp => media.name == "image/webp",
        ImageType::Heif(_) => media.name == "image/avif",
        _ => false,
    };
    let size = kind.reader_size(&mut reader).map_err(|_| Unfit::Unreadable)?;
    let side = |pixels: usize| u32::try_from(pixels).ok().filter(|pixels| *pixels > 0);
    match (same, side(size.width), side(size.height)) {
        (true, Some(width), Some(height)) => Ok(Pixels { width, height }),
        _ => Err(Unfit::Unreadable),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn file(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    fn taken(bytes: &[u8], declared: &str, name: &str) -> Result<&'static str, &'static str> {
        let declared = Some(declared).filter(|declared| !declared.is_empty());
        examine(&file(bytes), declared, name).map(|found| found.media.name).map_err(|unfit| unfit.code())
    }

    /// The beginning of a PNG that says how large it is.
    fn png(width: u32, height: u32) -> Vec<u8> {
        let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR".to_vec();
        bytes.extend(width.to_be_bytes());
        bytes.extend(height.to_be_bytes());
        bytes.extend(b"\x08\x02\0\0\0\0\0\0\0\0\0\0\0IEND");
        bytes
    }

    #[test]
    fn pictures_are_what_their_bytes_are() {
        let found = examine(&file(&png(640, 480)), Some("image/png; x=y"), "a").unwrap();
        assert_eq!((found.media.name, found.pixels), ("image/png", Some(Pixels { width: 640, height: 480 })));
        assert_eq!(taken(&png(1, 1), "", "a"), Ok("image/png"));
        assert_eq!(taken(&png(1, 1), "application/octet-stream", "a"), Ok("image/png"));
        assert_eq!(taken(&png(1, 1), "image/jpeg", "a.jpg"), Err("type_mismatch"));
        assert_eq!(taken(&png(1, 1), "text/plain", "a.txt"), Err("type_mismatch"));
        assert_eq!(taken(&png(0, 1), "image/png", "a"), Err("unreadable_image"));
        assert_eq!(taken(&png(1, 1)[..12], "image/png", "a"), Err("unreadable_image"));
        assert_eq!(taken(b"\xff\xd8\xff\xe0\0", "image/jpeg", "a"), Err("unreadable_image"));
        let gif = b"GIF89a\x05\0\x04\0\0\0\0;";
        assert_eq!(examine(&file(gif), None, "a").unwrap().pixels, Some(Pixels { width: 5, height: 4 }));
    }

    #[test]
    fn text_is_what_has_no_mark() {
        assert_eq!(taken("Grüße\n".as_bytes(), "text/plain; charset=utf-8", "a.txt"), Ok("text/plain"));
        assert_eq!(taken(b"a,b\n1,2\n", "", "A.CSV"), Ok("text/csv"));
        assert_eq!(taken(b"a,b\n1,2\n", "text/csv", "a"), Ok("text/csv"));
        assert_eq!(taken(b"just words", "", "a.bin"), Ok("text/plain"));
        assert_eq!(taken(b"a\0b", "text/plain", "a"), Err("type_mismatch"));
        assert_eq!(taken(b"\xffabc", "", "a"), Err("type_not_allowed"));
        assert_eq!(taken(b"", "text/plain", "a"), Err("empty_file"));
        assert_eq!(taken(b"just words", "image/png", "a.png"), Err("type_mismatch"));
        // A character across the border of two pieces.
        let mut long = vec![b'x'; 64 * 1024 - 1];
        long.extend("ä!".as_bytes());
        assert_eq!(taken(&long, "text/plain", "a"), Ok("text/plain"));
        long.extend(b"\xc3");
        assert_eq!(taken(&long, "text/plain", "a"), Err("type_mismatch"), "cut in a character");
    }

    #[test]
    fn what_runs_is_refused_under_every_name() {
        for html in ["<!DOCTYPE html><p>", "<html>", "\n<script>alert(1)</script>", "<body onload=x>"] {
            for declared in ["", "text/html", "text/plain", "image/png"] {
                assert!(taken(html.as_bytes(), declared, "a.txt").is_err(), "{html} {declared}");
            }
        }
        assert_eq!(taken(b"MZ\x90\0\x03", "image/png", "a.png"), Err("type_not_allowed"));
        assert_eq!(taken(b"\x7fELF\x02\x01\x01", "", "a"), Err("type_not_allowed"));
    }

    #[test]
    fn drawings_are_told_from_other_markup() {
        let svg =
            b"\xef\xbb\xbf<?xml version=\"1.0\"?>\n<!-- a --><!DOCTYPE svg PUBLIC \"x\" \"y\">\n<svg xmlns=\"x\"/>";
        assert_eq!(taken(svg, "image/svg+xml", "a.svg"), Ok("image/svg+xml"));
        assert_eq!(taken(b"<svg>", "", "a"), Ok("image/svg+xml"));
        assert_eq!(taken(b"<svg>", "image/png", "a.png"), Err("type_mismatch"));
        assert_eq!(taken(b"<svgx>", "image/svg+xml", "a"), Err("type_mismatch"));
        assert_eq!(taken(b"<?xml", "image/svg+xml", "a"), Err("type_mismatch"));
    }

    #[test]
    fn documents_may_be_called_by_what_is_inside() {
        let zip = b"PK\x03\x04\x14\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x05\0\0\0a.txt";
        let word = "application/vnd.openxmlformats-officedocument.wordprocessingml.document";
        assert_eq!(taken(zip, "application/x-zip-compressed", "a.zip"), Ok("application/zip"));
        assert_eq!(taken(zip, word, "a.docx"), Ok(word));
        assert_eq!(taken(zip, "application/pdf", "a.pdf"), Err("type_mismatch"));
        assert_eq!(taken(b"%PDF-1.7\n", "application/pdf", "a.pdf"), Ok("application/pdf"));
    }
}
