//! The roles a process can have.

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Role {
    /// Answers requests and writes commands to the log
    Api,
    /// Carries the views; of several such processes one does at a time
    Projector,
    /// Does what has effects: mail, imports, erasure, archives
    Worker,
}

impl Role {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Projector => "projector",
            Self::Worker => "worker",
        }
    }
}
