//! `bench`: what the platform reaches, each figure beside its ceiling measured in the same run. Prints one table.
//!
//! Absolute figures belong to the machine and the minute; the ratios are what is promised. So a figure and its ceiling
//! are measured in turns, several times, and the median of the turns' ratios is shown with their span.

mod cassandra;
mod contacts;
mod http;
mod load;
mod log;
mod machine;
mod nginx;
mod platform;
mod process;
mod rows;
mod sites;
mod table;

use machine::Machine;
use table::{Outcome, Table};
use tests::sizing;

pub(crate) type AnyError = Box<dyn std::error::Error + Send + Sync>;

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scale {
    /// Fewer commands and a tenth of the events where a row needs a large log.
    pub(crate) quick: bool,
    /// Events of a row that can be made as large as wanted.
    pub(crate) events: Option<usize>,
    /// Of a campaign, where something else is wanted than the row's own size.
    pub(crate) recipients: Option<usize>,
}

impl Scale {
    pub(crate) fn of<T>(self, full: T, quick: T) -> T {
        if self.quick { quick } else { full }
    }

    /// Events of such a row.
    pub(crate) fn events(self, full: usize, quick: usize) -> usize {
        self.events.unwrap_or_else(|| self.of(full, quick))
    }
}

const USAGE: &str = "Usage: bench [--quick] [--events N] [--only NAME]...

Measures the running platform against ceilings of the same run and prints a table.

  --quick      fewer commands; the growth row compares with 100,000 events instead of 1,000,000
  --events N   events that the archive row restores, instead of 100,000, and that the row scaling counts
  --recipients N
               recipients of a campaign in the rows of mail
  --size FILE  print the sizes of installations from figures (JSON) that the row scaling printed, and measure nothing
  --only NAME  only this row; may be repeated. Names:";

fn main() -> Result<(), AnyError> {
    let mut only: Vec<String> = Vec::new();
    let mut scale = Scale { quick: false, events: None, recipients: None };
    let mut arguments = std::env::args().skip(1);
    let usage = || format!("{USAGE} {}", rows::NAMES.join(", "));
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--quick" => scale.quick = true,
            "--events" => scale.events = Some(arguments.next().ok_or("--events needs a number")?.parse()?),
            "--only" => only.extend(arguments.next()),
            "--recipients" => {
                let count = arguments.next().and_then(|count| count.parse().ok()).filter(|count| *count >= 1_000);
                scale.recipients = Some(count.ok_or("--recipients is a number from 1000 on")?);
            }
            "--size" => {
                let figures = std::fs::read(arguments.next().ok_or("--size needs a file of figures")?)?;
                print!("{}", sizing::table(&serde_json::from_slice(&figures)?, &sizing::Assumptions::default()));
                return Ok(());
            }
            "-h" | "--help" => {
                println!("{}", usage());
                return Ok(());
            }
            other => return Err(format!("unknown argument {other:?}\n\n{}", usage()).into()),
        }
    }
    if let Some(unknown) = only.iter().find(|name| !rows::NAMES.contains(&name.as_str())) {
        return Err(format!("there is no row {unknown:?}\n\n{}", usage()).into());
    }
    let runtime = tokio::runtime::Runtime::new()?;
    let whole = Machine::look();
    let mut table = Table::default();
    let mut peak = None;
    for name in rows::NAMES.iter().filter(|name| only.is_empty() || only.iter().any(|wanted| wanted == *name)) {
        eprintln!("==> {name}");
        let before = Machine::look();
        let outcome = runtime.block_on(rows::run(name, scale, &mut peak));
        let outcome = outcome.unwrap_or_else(|error| vec![Outcome::failed(name, &error.to_string())]);
        table.add(outcome, before.others_since());
    }
    table.print(&whole);
    if table.any_failed() { Err("a row could not be measured".into()) } else { Ok(()) }
}
