//! The index's folder: `FORMAT` says which layout is inside `index/`.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::layout::FORMAT;
use crate::search::SearchError;

const FORMAT_FILE: &str = "FORMAT";
const INDEX_FOLDER: &str = "index";

pub(super) fn fault(doing: &'static str) -> impl Fn(io::Error) -> SearchError {
    move |error| SearchError::Fault { doing, source: Box::new(error) }
}

/// The folder of the library's files.
pub(super) fn files(dir: &Path) -> PathBuf {
    dir.join(INDEX_FOLDER)
}

/// Creates what is missing and answers the folder for the library's files.
///
/// # Errors
/// [`SearchError::NeedsRebuild`] when the folder holds an index of another or unknown format.
pub(super) fn prepare(dir: &Path) -> Result<PathBuf, SearchError> {
    let files = files(dir);
    fs::create_dir_all(dir).map_err(fault("create its folder"))?;
    match fs::read_to_string(dir.join(FORMAT_FILE)) {
        Ok(text) => {
            let found = text.trim().parse().ok();
            if found != Some(FORMAT) {
                return Err(SearchError::NeedsRebuild { dir: dir.to_owned(), found, wanted: FORMAT });
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if files.exists() {
                return Err(SearchError::NeedsRebuild { dir: dir.to_owned(), found: None, wanted: FORMAT });
            }
            write_format(dir).map_err(fault("write its format number"))?;
        }
        Err(error) => return Err(fault("read its format number")(error)),
    }
    fs::create_dir_all(&files).map_err(fault("create its folder"))?;
    Ok(files)
}

/// Removes the index and its format number, and nothing else that may be in the folder. The number goes last, so that
/// an interrupted removal never looks like an index of unknown format.
pub(super) fn wipe(dir: &Path) -> Result<(), SearchError> {
    let gone = |result: io::Result<()>| match result {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(fault("remove its files")(error)),
        _ => Ok(()),
    };
    gone(fs::remove_dir_all(files(dir)))?;
    gone(fs::remove_file(dir.join(FORMAT_FILE)))
}

fn write_format(dir: &Path) -> io::Result<()> {
    let new = dir.join("FORMAT.new");
    let mut file = fs::File::create(&new)?;
    writeln!(file, "{FORMAT}")?;
    file.sync_all()?;
    fs::rename(&new, dir.join(FORMAT_FILE))?;
    fs::File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_format_is_told_and_wiped() {
        let dir = tempfile::tempdir().unwrap();
        let files = prepare(dir.path()).unwrap();
        assert!(files.is_dir() && prepare(dir.path()).is_ok());
        fs::write(dir.path().join("keep"), "x").unwrap();
        fs::write(dir.path().join(FORMAT_FILE), "999").unwrap();
        let error = prepare(dir.path()).unwrap_err();
        assert!(matches!(error, SearchError::NeedsRebuild { found: Some(999), .. }), "{error}");
        fs::remove_file(dir.path().join(FORMAT_FILE)).unwrap();
        assert!(matches!(prepare(dir.path()), Err(SearchError::NeedsRebuild { found: None, .. })));
        wipe(dir.path()).unwrap();
        wipe(dir.path()).unwrap();
        assert!(prepare(dir.path()).is_ok() && dir.path().join("keep").exists());
    }
}
