//! The types of files that are taken, and how browsers get them. Everything else is refused.
//!
//! Shown in place is only what cannot run anything in the site's name: pictures of dots, sound and film. HTML is not
//! taken at all, pages are for that. SVG is taken because `<img>` shows it without running it; opened by itself it is a
//! download.

/// A type of file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MediaType {
    /// As it is stored and sent: `image/png`.
    pub name: &'static str,
    /// What lists count by.
    pub family: Family,
    /// Endings of names; the first one is added to a name that has none of them.
    pub endings: &'static [&'static str],
    /// Other names that senders use for it.
    pub aliases: &'static [&'static str],
    /// Whether a browser may show it in place of saving it.
    pub in_place: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    Image,
    Audio,
    Video,
    Document,
    Font,
    Archive,
}

impl Family {
    pub const NAMES: [&'static str; 6] = ["image", "audio", "video", "document", "font", "archive"];

    pub fn name(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Audio => "audio",
            Self::Video => "video",
            Self::Document => "document",
            Self::Font => "font",
            Self::Archive => "archive",
        }
    }
}

macro_rules! media_types {
    ($($name:literal $family:ident $place:ident [$($ending:literal),+] [$($alias:literal),*];)+) => {
        /// All of them.
        pub const MEDIA_TYPES: &[MediaType] = &[ $( MediaType {
            name: $name,
            family: Family::$family,
            endings: &[$($ending),+],
            aliases: &[$($alias),*],
            in_place: in_place!($place),
        } ),+ ];
    };
}

macro_rules! in_place {
    (shown) => {
        true
    };
    (saved) => {
        false
    };
}

media_types! {
    "image/png" Image shown ["png"] ["image/x-png", "image/apng"];
    "image/jpeg" Image shown ["jpg", "jpeg", "jpe"] ["image/jpg", "image/pjpeg"];
    "image/gif" Image shown ["gif"] [];
    "image/webp" Image shown ["webp"] [];
    "image/avif" Image shown ["avif"] [];
    "image/svg+xml" Image saved ["svg"] ["image/svg"];
    "audio/mpeg" Audio shown ["mp3"] ["audio/mp3"];
    "audio/ogg" Audio shown ["ogg", "oga", "opus"] ["application/ogg", "audio/opus"];
    "audio/x-wav" Audio shown ["wav"] ["audio/wav", "audio/wave", "audio/vnd.wave"];
    "audio/m4a" Audio shown ["m4a"] ["audio/mp4", "audio/x-m4a"];
    "video/mp4" Video shown ["mp4", "m4v"] ["video/x-m4v"];
    "video/webm" Video shown ["webm"] ["audio/webm"];
    "application/pdf" Document saved ["pdf"] ["application/x-pdf"];
    "text/plain" Document saved ["txt", "text", "md", "log", "vtt", "srt"] ["text/markdown", "text/vtt"];
    "text/csv" Document saved ["csv"] ["application/csv", "text/comma-separated-values"];
    "text/calendar" Document saved ["ics"] [];
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document" Document saved ["docx"] [];
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet" Document saved ["xlsx"] [];
    "application/vnd.openxmlformats-officedocument.presentationml.presentation" Document saved ["pptx"] [];
    "application/vnd.oasis.opendocument.text" Document saved ["odt"] [];
    "application/vnd.oasis.opendocument.spreadsheet" Document saved ["ods"] [];
    "application/vnd.oasis.opendocument.presentation" Document saved ["odp"] [];
    "application/epub+zip" Document saved ["epub"] [];
    "font/woff" Font saved ["woff"] ["application/font-woff"];
    "font/woff2" Font saved ["woff2"] ["application/font-woff2"];
    "application/zip" Archive saved ["zip"] ["application/x-zip-compressed", "application/x-zip"];
}

/// The type with this name, in lower case and without parameters, or an alias of it.
pub fn find(name: &str) -> Option<&'static MediaType> {
    MEDIA_TYPES.iter().find(|media| media.name == name || media.aliases.contains(&name))
}

impl MediaType {
    /// Whether it is written text, which has no mark that tells what it is.
    pub fn is_text(&self) -> bool {
        self.name.starts_with("text/")
    }

    /// Whether a file name ends as such a file does.
    pub fn fits(&self, name: &str) -> bool {
        let ending = name.rsplit_once('.').map(|(stem, ending)| (!stem.is_empty(), ending.to_ascii_lowercase()));
        ending.is_some_and(|(stem, ending)| stem && self.endings.contains(&ending.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_and_aliases_are_unique_and_nothing_that_runs_is_shown() {
        let names: Vec<&str> = MEDIA_TYPES
            .iter()
            .flat_map(|media| std::iter::once(media.name).chain(media.aliases.iter().copied()))
            .collect();
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
        for media in MEDIA_TYPES.iter().filter(|media| media.in_place) {
            assert!(matches!(media.family, Family::Image | Family::Audio | Family::Video), "{media:?}");
        }
        assert!(!find("image/svg+xml").unwrap().in_place);
        for refused in ["text/html", "application/xhtml+xml", "application/javascript", "application/x-msdownload", ""]
        {
            assert_eq!(find(refused), None, "{refused}");
        }
        assert!(MEDIA_TYPES.iter().all(|media| Family::NAMES.contains(&media.family.name())));
    }

    #[test]
    fn endings_are_those_of_the_type() {
        let jpeg = find("image/pjpeg").unwrap();
        assert!(jpeg.fits("a.JPG") && jpeg.fits("a.b.jpeg"));
        assert!(!jpeg.fits("jpg") && !jpeg.fits(".jpg") && !jpeg.fits("a.jpg.exe") && !jpeg.fits("a."));
    }
}
