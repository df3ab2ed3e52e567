//! A file's name: the last segment of its address and what it is saved as, so it is no path and says what it is.

use super::FileRejection;
use bus_schema::cms::media::MediaType;

/// Bytes of a name; with its ending it fits into every file system.
pub const MAX_NAME: usize = 150;

/// The name as it is kept. Folders before it are cut off (some browsers send them), spaces and dots around it too; an
/// ending that does not fit the type gets the right one behind it.
pub fn valid_name(name: &str, media: &MediaType) -> Result<String, FileRejection> {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let last = last.trim_matches(|c: char| c.is_whitespace() || c == '.');
    if last.is_empty() || last.len() > MAX_NAME || last.chars().any(is_refused) {
        return Err(FileRejection::InvalidName);
    }
    match media.fits(last) {
        true => Ok(last.to_owned()),
        false => Ok(format!("{last}.{}", media.endings[0])),
    }
}

/// Characters that end a header or a line, turn the direction of writing (`gpj.exe` shown as `exe.jpg`) or cannot be
/// seen, and those no file system of Windows takes.
fn is_refused(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
        || matches!(c, '<' | '>' | ':' | '"' | '|' | '?' | '*')
}

#[cfg(test)]
mod tests {
    use super::*;
    use bus_schema::cms::media::find;

    #[test]
    fn names_are_no_paths_and_say_what_they_are() {
        let png = find("image/png").unwrap();
        for (given, kept) in [
            ("a.png", "a.png"),
            ("C:\\Users\\ada\\A b.PNG", "A b.PNG"),
            ("../../etc/passwd", "passwd.png"),
            ("/a/b/c.png", "c.png"),
            (" .hidden.png. ", "hidden.png"),
            ("evil.exe", "evil.exe.png"),
            ("Käse & Brot.png", "Käse & Brot.png"),
            ("page.html", "page.html.png"),
        ] {
            assert_eq!(valid_name(given, png).as_deref(), Ok(kept), "{given}");
        }
        let long = "x".repeat(151);
        for bad in
            ["", "..", "a/", "...", "a\r\nb.png", "a\0.png", "gpj\u{202e}.png", "a\u{200b}.png", "a:b", "a?b", &long]
        {
            assert_eq!(valid_name(bad, png), Err(FileRejection::InvalidName), "{bad:?}");
        }
    }
}
