//! Why a page could not be rendered, in words for its author.

/// A template that is wrong or does too much. `line` counts from 1; 0 where the engine does not know it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    #[error("line {line}: the template cannot be read: {message}")]
    Syntax { line: usize, message: String },
    #[error("line {line}: {what} is not available in page templates; remove it")]
    Unsupported { line: usize, what: String },
    #[error("line {line}: there is no {what}; check the spelling against the list of template functions")]
    Unknown { line: usize, what: String },
    #[error("line {line}: a value is missing: {message}")]
    Undefined { line: usize, message: String },
    #[error("line {line}: {message}")]
    Invalid { line: usize, message: String },
    #[error(
        "line {line}: the template does too much: a loop or recursion runs too often or works on too much data; \
         show fewer items on this page"
    )]
    Fuel { line: usize },
    #[error("line {line}: macros, loops or values are nested too deeply, perhaps a macro calls itself without an end")]
    Recursion { line: usize },
    #[error("the page is larger than {limit} bytes when rendered; show fewer items on this page")]
    TooLarge { limit: usize },
    #[error("the source of the page has {size} bytes, {limit} are allowed")]
    SourceTooLarge { size: usize, limit: usize },
    #[error("line {line}: this tag is too long or has too many alternatives; split it into several")]
    TooComplex { line: usize },
    /// Not the author's fault: the machine had no thread to render on.
    #[error("the page could not be rendered now, try again")]
    Unavailable,
}

impl RenderError {
    /// The line of the source to show, when one is known.
    pub fn line(&self) -> Option<usize> {
        let line = match self {
            Self::Syntax { line, .. }
            | Self::Unsupported { line, .. }
            | Self::Unknown { line, .. }
            | Self::Undefined { line, .. }
            | Self::Invalid { line, .. }
            | Self::Fuel { line }
            | Self::Recursion { line }
            | Self::TooComplex { line } => *line,
            Self::TooLarge { .. } | Self::SourceTooLarge { .. } | Self::Unavailable => 0,
        };
        (line > 0).then_some(line)
    }
}
