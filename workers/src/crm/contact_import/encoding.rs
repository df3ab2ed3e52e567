//! Which bytes a file's characters are. Both encodings keep ASCII as it is and never use its bytes inside another
//! character, so files are cut into rows and cells as bytes and only the cells are decoded: offsets are those of the file.

use super::source::SourceError;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

const UTF8_MARK: &[u8] = b"\xef\xbb\xbf";

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Encoding {
    #[serde(rename = "utf-8")]
    Utf8,
    /// What spreadsheets in western Europe write when not asked for UTF-8; contains ISO 8859-1 in practice.
    #[serde(rename = "windows-1252")]
    Windows1252,
}

impl Encoding {
    /// Its WHATWG label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Utf8 => "utf-8",
            Self::Windows1252 => "windows-1252",
        }
    }

    /// The encoding a WHATWG label means: `utf-8`, `windows-1252`, also `latin1` and `iso-8859-1`.
    pub fn by_label(label: &str) -> Option<Self> {
        let found = encoding_rs::Encoding::for_label(label.as_bytes())?;
        let is = |encoding| std::ptr::eq(found, encoding);
        is(encoding_rs::UTF_8).then_some(Self::Utf8).or(is(encoding_rs::WINDOWS_1252).then_some(Self::Windows1252))
    }

    /// The characters; `None` when the bytes are not of this encoding. Windows-1252 gives every byte a meaning.
    pub fn decode(self, bytes: &[u8]) -> Option<Cow<'_, str>> {
        match self {
            Self::Utf8 => std::str::from_utf8(bytes).ok().map(Cow::Borrowed),
            Self::Windows1252 => Some(encoding_rs::WINDOWS_1252.decode_without_bom_handling(bytes).0),
        }
    }
}

/// The encoding of a file and the bytes of its byte order mark, which are no content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Detected {
    pub encoding: Encoding,
    pub mark: usize,
}

/// Looks at a file's beginning: a byte order mark decides, then what was told, then whether the bytes are UTF-8.
pub fn detect(sample: &[u8], told: Option<Encoding>) -> Result<Detected, SourceError> {
    if sample.starts_with(b"\xff\xfe") || sample.starts_with(b"\xfe\xff") {
        return Err(SourceError::Utf16);
    }
    if sample.starts_with(UTF8_MARK) {
        return Ok(Detected { encoding: Encoding::Utf8, mark: UTF8_MARK.len() });
    }
    let encoding = told.unwrap_or_else(|| match std::str::from_utf8(sample) {
        Ok(_) => Encoding::Utf8,
        // The sample may end inside a character.
        Err(error) if error.error_len().is_none() => Encoding::Utf8,
        Err(_) => Encoding::Windows1252,
    });
    Ok(Detected { encoding, mark: 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_encoding_is_found() {
        let found = |sample: &[u8], told| detect(sample, told).unwrap();
        let (utf8, latin) = (Encoding::Utf8, Encoding::Windows1252);
        assert_eq!(found("Müller".as_bytes(), None), Detected { encoding: utf8, mark: 0 });
        assert_eq!(found(b"\xef\xbb\xbfM", None), Detected { encoding: utf8, mark: 3 });
        assert_eq!(found(b"\xef\xbb\xbfM", Some(latin)), Detected { encoding: utf8, mark: 3 });
        assert_eq!(found(b"M\xfcller", None), Detected { encoding: latin, mark: 0 });
        assert_eq!(found(b"M\xfcller", Some(utf8)), Detected { encoding: utf8, mark: 0 });
        assert_eq!(found(b"M\xc3", None), Detected { encoding: utf8, mark: 0 }, "cut inside a character");
        assert!(matches!(detect(b"\xff\xfeM\0", None), Err(SourceError::Utf16)));
    }

    #[test]
    fn bytes_become_characters() {
        assert_eq!(Encoding::Windows1252.decode(b"M\xfcller \x80").unwrap(), "Müller €");
        assert_eq!(Encoding::Utf8.decode(b"M\xfcller"), None);
        assert_eq!(Encoding::by_label("UTF8"), Some(Encoding::Utf8));
        assert_eq!(Encoding::by_label("iso-8859-1"), Some(Encoding::Windows1252));
        assert_eq!(Encoding::by_label("shift_jis").or(Encoding::by_label("x")), None);
    }
}
