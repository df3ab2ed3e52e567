//! What an installation says about its processes.

use writers::shop::fulfilment::{PATIENCE_SECONDS, Patience};

const DAY: i64 = 24 * 60 * 60;

#[derive(Clone, Copy, Debug, clap::Args)]
#[command(next_help_heading = "Processes")]
pub struct ProcessArgs {
    /// Seconds a paid course may take to become an enrolment, or a refund to take it back, before an alarm is raised
    #[arg(long, env = "MILLRACE_FULFILMENT_PATIENCE", default_value_t = PATIENCE_SECONDS,
        value_parser = clap::value_parser!(i64).range(1..=30 * DAY))]
    pub fulfilment_patience: i64,
}

impl ProcessArgs {
    pub fn fulfilment(self) -> Patience {
        Patience { seconds: self.fulfilment_patience }
    }
}
