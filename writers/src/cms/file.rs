//! Files of a tenant. The bytes never change, so addresses can be cached for ever: another content is another file.
//!
//! A deleted file can be brought back for [`KEPT_DAYS`]. Its blob stays as long as history may need it, which is until
//! the file is erased; erasing cannot be undone.

mod name;

use crate::{
    decider::{Ctx, Decider, Decision},
    rejections,
    text::{self, TextFault},
};
use bus_schema::{
    Micros,
    cms::{
        file::{FileDeleted, FileDescribed, FileErased, FileEvent, FileReinstated, FileRenamed, FileUploaded, Pixels},
        media,
    },
};
pub use name::{MAX_NAME, valid_name};
use serde::{Deserialize, Serialize};

/// Days in which a deleted file can be brought back.
pub const KEPT_DAYS: i64 = 30;
/// Characters of an alternative text.
pub const MAX_ALT: usize = 500;
/// Pixels of a picture. Whoever looks at it unpacks four bytes for each, however small the file is.
pub const MAX_PIXELS: u64 = 50_000_000;

const DAY_SECONDS: i64 = 86_400;

/// A file.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct File {
    uploaded: Option<FileUploaded>,
    /// Set while it is deleted.
    until: Option<Micros>,
    erased: bool,
}

/// Bytes that are durable under their hash, and what they were found to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    pub blob: String,
    pub size: u64,
    pub media_type: String,
    pub pixels: Option<Pixels>,
}

/// What can be asked of a file.
#[derive(Clone, Debug)]
pub enum FileCommand {
    Upload {
        content: Content,
        /// As it came; a path before it is cut off.
        name: String,
        alt: String,
    },
    /// What is absent stays.
    Change {
        name: Option<String>,
        alt: Option<String>,
    },
    Delete,
    Reinstate,
    Erase,
}

rejections! {
    /// Why a command to a file is refused.
    pub enum FileRejection {
        Unknown: Missing, "file_not_found", "", "there is no such file";
        Exists: State, "file_exists", "", "there is a file with this id already and it has another content; content never changes, so upload it as a new file";
        Deleted: State, "file_deleted", "", "the file was deleted; reinstate it first";
        Erased: State, "file_erased", "", "the file was erased and cannot come back";
        TooLate: State, "too_late", "", "a deleted file can be brought back for 30 days, which have passed; upload it again";
        InvalidName: Invalid, "invalid_name", "/name", "a name has 1 to 150 bytes and is no path; control and direction characters are not allowed";
        TypeNotAllowed: Invalid, "type_not_allowed", "/file", "files of this type are not taken";
        TooManyPixels: Invalid, "too_many_pixels", "/file", "a picture has at most 50,000,000 pixels";
        TooLong { field: &'static str, max: usize }: Invalid, "too_long", "/{field}", "at most {max} characters";
        InvalidText { field: &'static str }: Invalid, "invalid_text", "/{field}", "one line without control characters";
    }
}

impl From<TextFault> for FileRejection {
    fn from(fault: TextFault) -> Self {
        match fault {
            TextFault::TooLong { field, max } => Self::TooLong { field, max },
            TextFault::Missing { field } | TextFault::Control { field } => Self::InvalidText { field },
        }
    }
}

impl File {
    /// What it is, unless it was never uploaded, or is deleted or erased.
    pub fn served(&self) -> Option<&FileUploaded> {
        self.uploaded.as_ref().filter(|_| self.until.is_none() && !self.erased)
    }

    /// The blob history needs; none once it is erased.
    pub fn blob(&self) -> Option<&str> {
        self.uploaded.as_ref().filter(|_| !self.erased).map(|uploaded| uploaded.blob.as_str())
    }

    pub fn is_erased(&self) -> bool {
        self.erased
    }

    /// The file, also a deleted one.
    fn known(&self) -> Result<&FileUploaded, FileRejection> {
        let uploaded = self.uploaded.as_ref().ok_or(FileRejection::Unknown)?;
        if self.erased { Err(FileRejection::Erased) } else { Ok(uploaded) }
    }

    fn upload(&self, content: &Content, name: &str, alt: &str) -> Result<Decision<FileEvent>, FileRejection> {
        if let Some(there) = &self.uploaded {
            if self.erased {
                return Err(FileRejection::Erased);
            }
            return if there.blob == content.blob { Ok(Decision::nothing()) } else { Err(FileRejection::Exists) };
        }
        let media = media::find(&content.media_type).ok_or(FileRejection::TypeNotAllowed)?;
        let pixels = content.pixels.map_or(0, |Pixels { width, height }| u64::from(width) * u64::from(height));
        if pixels > MAX_PIXELS {
            return Err(FileRejection::TooManyPixels);
        }
        Ok(Decision::event(FileUploaded {
            blob: content.blob.clone(),
            size: content.size,
            media_type: media.name.to_owned(),
            name: valid_name(name, media)?,
            alt: text::line("alt", alt, MAX_ALT)?,
            pixels: content.pixels,
        }))
    }

    fn change(&self, name: Option<&str>, alt: Option<&str>) -> Result<Decision<FileEvent>, FileRejection> {
        let present = self.known()?;
        if self.until.is_some() {
            return Err(FileRejection::Deleted);
        }
        let media = media::find(&present.media_type).ok_or(FileRejection::TypeNotAllowed)?;
        let mut decision = Decision::nothing();
        if let Some(name) = name.map(|name| valid_name(name, media)).transpose()?.filter(|name| *name != present.name) {
            decision = decision.and(FileRenamed { name });
        }
        if let Some(alt) = alt.map(|alt| text::line("alt", alt, MAX_ALT)).transpose()?.filter(|alt| *alt != present.alt)
        {
            decision = decision.and(FileDescribed { alt });
        }
        Ok(decision)
    }
}

impl Decider for File {
    type Event = FileEvent;
    type Command = FileCommand;
    type Rejection = FileRejection;

    fn decide(&self, command: &FileCommand, ctx: &Ctx) -> Result<Decision<FileEvent>, FileRejection> {
        match command {
            FileCommand::Upload { content, name, alt } => self.upload(content, name, alt),
            FileCommand::Change { name, alt } => self.change(name.as_deref(), alt.as_deref()),
            FileCommand::Delete => {
                self.known()?;
                Ok(match self.until {
                    Some(_) => Decision::nothing(),
                    None => Decision::event(FileDeleted { until: ctx.now.plus_seconds(KEPT_DAYS * DAY_SECONDS) }),
                })
            }
            FileCommand::Reinstate => {
                self.known()?;
                match self.until {
                    None => Ok(Decision::nothing()),
                    Some(until) if until < ctx.now => Err(FileRejection::TooLate),
                    Some(_) => Ok(Decision::event(FileReinstated {})),
                }
            }
            FileCommand::Erase => match (&self.uploaded, self.erased) {
                (None, _) => Err(FileRejection::Unknown),
                (Some(_), true) => Ok(Decision::nothing()),
                (Some(_), false) => Ok(Decision::event(FileErased {})),
            },
        }
    }

    fn evolve(&mut self, event: &FileEvent) {
        match event {
            FileEvent::Uploaded(uploaded) => self.uploaded = Some(uploaded.clone()),
            FileEvent::Renamed(renamed) => {
                if let Some(uploaded) = &mut self.uploaded {
                    uploaded.name.clone_from(&renamed.name);
                }
            }
            FileEvent::Described(described) => {
                if let Some(uploaded) = &mut self.uploaded {
                    uploaded.alt.clone_from(&described.alt);
                }
            }
            FileEvent::Deleted(deleted) => self.until = Some(deleted.until),
            FileEvent::Reinstated(_) => self.until = None,
            FileEvent::Erased(_) => self.erased = true,
        }
    }

    fn creates(command: &FileCommand) -> bool {
        matches!(command, FileCommand::Upload { .. })
    }

    fn claim_taken(_what: &'static str, _owner: &str) -> FileRejection {
        FileRejection::Exists
    }
}

#[cfg(test)]
mod tests;
