//! `millrace doctor`: what an operator would check first, each with what to do about it.
//!
//! Every check is local and changes nothing that stays: the disk checks write one small file and remove it. What only a
//! running platform knows (a paused view) is added by the caller with [`Report::add`].

mod checks;
mod render;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use serde::Serialize;

/// How bad it is. The order is from good to bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Ok,
    Warn,
    Fail,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    pub name: &'static str,
    pub verdict: Verdict,
    /// What was found, one sentence.
    pub what: String,
    /// What to do, absent when there is nothing to do.
    pub fix: Option<String>,
}

impl Check {
    pub fn ok(name: &'static str, what: impl Into<String>) -> Self {
        Self { name, verdict: Verdict::Ok, what: what.into(), fix: None }
    }

    pub fn warn(name: &'static str, what: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { name, verdict: Verdict::Warn, what: what.into(), fix: Some(fix.into()) }
    }

    pub fn fail(name: &'static str, what: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { name, verdict: Verdict::Fail, what: what.into(), fix: Some(fix.into()) }
    }
}

#[derive(Debug, clap::Args)]
pub struct DoctorArgs {
    /// The data directory to look at
    #[arg(long, env = "MILLRACE_DATA_DIR", default_value = "data")]
    pub data_dir: PathBuf,
    /// The address that the API listens on
    #[arg(long, env = "MILLRACE_LISTEN", default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,
    /// Print JSON instead of a table
    #[arg(long)]
    pub json: bool,
}

/// The outcome of all checks.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    pub checks: Vec<Check>,
}

impl Report {
    /// Runs every check that needs nothing but this machine. Blocks for up to a few seconds.
    pub fn of_this_machine(args: &DoctorArgs) -> Self {
        Self { checks: checks::all(&args.data_dir, args.listen) }
    }

    /// Adds what was found elsewhere, for example by asking a running platform.
    pub fn add(&mut self, checks: impl IntoIterator<Item = Check>) {
        self.checks.extend(checks);
    }

    /// The worst verdict; `Ok` for no checks at all.
    pub fn verdict(&self) -> Verdict {
        self.checks.iter().map(|check| check.verdict).max().unwrap_or(Verdict::Ok)
    }

    /// Prints the report and gives the exit code: 1 when any check failed, else 0.
    pub fn print(&self, json: bool) -> ExitCode {
        print!("{}", if json { render::json(self) } else { render::table(self) });
        ExitCode::from(u8::from(self.verdict() == Verdict::Fail))
    }
}
