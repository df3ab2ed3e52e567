//! Campaigns under failure: K1 to K9 of spec/EMAIL.md 5.4. The provider is our own sink in this process, outside of what is
//! killed, which writes down what it took before it says so, and so knows the truth.
//!
//! Each case prints one line: `sent, unique, duplicate, unknown, silent_missing, recovery_s`. `ops/campaign-chaos` runs all of
//! them at full size over several seeds. `MILLRACE_KILL_SEED` repeats a run, `MILLRACE_CAMPAIGN_RECIPIENTS` and
//! `MILLRACE_CAMPAIGN_KILLS` make it larger.

mod answers;
mod kills;
mod leavers;
mod lost;
mod stopped;

use super::dice::Dice;
use crate::support::{Client, Platform, Sender, eventually, mailing, skip_slow};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    time::{Duration, Instant},
};
use uuid::Uuid;
use workers::smtp::sink::{Act, Fault, Faults, Point, Sink, SinkOptions, Taken};

/// Of each worker to the provider.
const CONNECTIONS: usize = 8;
/// Recipients of a window, and windows a worker has open at once: one a connection.
const WINDOW: usize = 32;
const LANES: usize = CONNECTIONS;
const HTML: &str = "<p>Hello {{ first_name | default('you') }}</p>";
/// Seconds of a lease where a test waits for its end.
const SHORT_LEASE: u64 = 3;

/// What a campaign came to, against what its provider took.
#[derive(Debug, PartialEq)]
pub(super) struct Tally {
    pub(super) sent: usize,
    pub(super) unique: usize,
    pub(super) duplicate: usize,
    pub(super) unknown: usize,
    pub(super) silent_missing: usize,
}

/// Judges every recipient. Panics when the platform says something that is not so.
fn tally(audience: &BTreeMap<Uuid, String>, states: &BTreeMap<Uuid, (String, String)>, taken: &[Taken]) -> Tally {
    let recipients: BTreeSet<&str> = taken.iter().map(|mail| mail.recipient.as_str()).collect();
    let ids: BTreeSet<&str> = taken.iter().map(|mail| mail.message_id.as_str()).collect();
    assert_eq!(recipients.len(), ids.len(), "each recipient has its own Message-ID, always the same");
    assert_eq!(states.keys().collect::<Vec<_>>(), audience.keys().collect::<Vec<_>>(), "everybody is listed, once");
    let state = |state: &str| states.iter().filter(|(_, (found, _))| found == state).count();
    let mut silent_missing = 0;
    for (contact, email) in audience {
        let (state, cause) = &states[contact];
        match (state.as_str(), recipients.contains(email.as_str())) {
            ("accepted", true) | ("unknown", _) => {}
            ("accepted", false) => panic!("{email} is said to have it, and has not"),
            (_, true) => panic!("{email} has it, and is said to be {state}: {cause}"),
            ("rejected" | "deferred" | "skipped", false) => {}
            (_, false) => silent_missing += 1,
        }
    }
    let duplicate = taken.len() - recipients.len();
    Tally { sent: taken.len(), unique: recipients.len(), duplicate, unknown: state("unknown"), silent_missing }
}

/// One line a case and a seed.
fn report(case: &str, seed: u64, tally: &Tally, recovery: Option<Duration>) {
    let Tally { sent, unique, duplicate, unknown, silent_missing } = tally;
    let recovery = recovery.map_or("-".to_owned(), |recovery| format!("{:.1}", recovery.as_secs_f64()));
    println!(
        "campaign-chaos {case} seed={seed} sent={sent} unique={unique} duplicate={duplicate} unknown={unknown} \
         silent_missing={silent_missing} recovery_s={recovery}"
    );
}

fn number(variable: &str) -> Option<usize> {
    std::env::var(variable).ok()?.parse().ok()
}

/// Recipients of a case: what is asked for, else few.
fn recipients(few: usize) -> usize {
    number("MILLRACE_CAMPAIGN_RECIPIENTS").unwrap_or(few)
}

fn kills(few: usize) -> usize {
    number("MILLRACE_CAMPAIGN_KILLS").unwrap_or(few)
}

/// How long a whole campaign may take here, in seconds.
fn patience(recipients: usize) -> u64 {
    180 + recipients as u64 / 20
}

/// A provider so slow that a kill meets mails under way, before they are taken and after.
fn slow(seed: u64) -> SinkOptions {
    let wait = |at| Fault { at, percent: 100.0, act: Act::Wait(Duration::from_millis(12)) };
    SinkOptions { faults: Faults::new(seed, vec![wait(Point::Dot), wait(Point::Taken)]), ..SinkOptions::default() }
}

async fn sink(dir: &Path, name: &str, options: SinkOptions) -> Sink {
    Sink::start(&dir.join(name), options).await.expect("a sink")
}

async fn restarted(dir: &Path, killed: Platform, environment: &[(&'static str, String)]) -> Platform {
    let (dir, environment) = (dir.to_owned(), environment.to_vec());
    let start = move || {
        killed.kill();
        drop(killed);
        Platform::open_with(&dir, &environment)
    };
    tokio::task::spawn_blocking(start).await.expect("the platform starts again")
}

/// A platform whose log is sent by several processes: it sends nothing itself.
struct Crew {
    platform: Platform,
    senders: Vec<Sender>,
}

impl Crew {
    async fn start(dir: &Path, count: usize, environment: &[(&'static str, String)]) -> Self {
        let (dir, environment) = (dir.to_owned(), environment.to_vec());
        let start = move || {
            let platform = Platform::open(&dir);
            let join = platform.data_dir.clone();
            let senders =
                (0..count).map(|number| Sender::start(&join, &dir.join(format!("sender-{number}")), &environment));
            let senders = senders.collect();
            Self { platform, senders }
        };
        tokio::task::spawn_blocking(start).await.expect("a crew")
    }

    fn client(&self) -> Client {
        self.platform.client()
    }

    /// No process panicked.
    fn is_sound(&self) {
        let logs = self.senders.iter().map(Sender::log).chain([self.platform.log()]);
        logs.for_each(|log| assert!(!log.contains("panicked"), "{log}"));
    }
}

/// Everything about a campaign that is over, against what was taken.
pub(super) async fn judged(
    client: &Client,
    campaign: Uuid,
    audience: &BTreeMap<Uuid, String>,
    taken: &[Taken],
) -> Tally {
    let states = mailing::states(client, campaign).await;
    let tally = tally(audience, &states, taken);
    let done = client.read(&format!("/v1/campaigns/{campaign}")).await.expect(200).json();
    assert_eq!(done["status"], "finished");
    assert_eq!(done["journey"]["counts"]["unknown"], tally.unknown, "a finished campaign says what is unknown");
    let progress = client.read(&format!("/v1/campaigns/{campaign}/progress")).await.expect(200).json();
    assert_eq!(progress["counts"]["unknown"], tally.unknown);
    assert_eq!((&progress["counts"]["planned"], &progress["counts"]["attempting"]), (&0.into(), &0.into()));
    tally
}
