//! The two kinds of mail; each has its own promise (spec/EMAIL.md 5.1).

/// What a mail is for. It decides what happens when nobody can tell whether the provider took it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// To many who agreed to it: at most once. An unanswered mail becomes `unknown` and stays so until it is reconciled.
    Marketing,
    /// To one, because of something they did: at least once, with the same Message-ID each time.
    Transactional,
}

impl Class {
    /// For a provider's books.
    pub fn word(self) -> &'static str {
        match self {
            Self::Marketing => "marketing",
            Self::Transactional => "transactional",
        }
    }
}
