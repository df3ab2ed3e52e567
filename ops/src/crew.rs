//! The workers of a process, in the order in which they are started.
//!
//! Where several processes have them, those that may work in one at a time take turns ([`Worker::taking_turns`]); campaigns are
//! shared by their chunks, and messages have turns of their own.

use crate::{background::Background, base::Base, data_dir::DataDir, process_args::ProcessArgs, storage::Storage};
use bus_schema::bus::LeaseTerm;
use projectors::{Views, search_lane::Search};
use std::{io, path::PathBuf};
use workers::{
    Worker,
    cms::file_sweeper,
    crm::{
        eraser,
        import_worker::{self, ImportParts},
    },
    mail::{
        campaign::{self, CampaignParts, Outlet, Pace, RestoredLog, journal::Journal},
        message::{
            self, MessageParts,
            reasons::{self, ReasonParts},
        },
    },
    runtime::{timers, turn::Turn},
    shop::fulfilment,
};

pub struct Crew<'a> {
    pub base: &'a Base,
    pub views: Views,
    pub search: Search,
    pub storage: &'a Storage,
    pub data: &'a DataDir,
    /// Without it campaigns stay scheduled and messages wait.
    pub outlet: Option<Outlet>,
    pub pace: Pace,
    pub processes: ProcessArgs,
    /// This process's own; it makes it the sender it is.
    pub journal: Journal,
    pub background: &'a Background,
    /// The restore that the log is the result of.
    pub restored: Option<RestoredLog>,
    /// Where this process keeps who it is in turns; `None`: it is alone.
    pub turns: Option<PathBuf>,
}

/// Starts them.
pub fn start(crew: Crew<'_>) -> io::Result<Vec<Worker>> {
    let Crew { base, views, search, storage, data, outlet, pace, processes, journal, background, restored, turns } =
        crew;
    let Base { bus, writer, keys, clock, .. } = base.clone();
    let one_at_a_time = |name: &'static str, start: Box<dyn Fn() -> Worker + Send>| match &turns {
        Some(folder) => {
            Turn::open(bus.clone(), name, folder, LeaseTerm::USUAL).map(|turn| Worker::taking_turns(name, turn, start))
        }
        None => Ok(start()),
    };
    let letters = outlet.as_ref().map(Outlet::apart);
    let reason_parts = ReasonParts {
        bus: bus.clone(),
        writer: writer.clone(),
        provider: letters.is_some(),
        folder: storage.mail_places.clone(),
    };
    let message_parts = MessageParts {
        bus: bus.clone(),
        writer: writer.clone(),
        outlet: letters,
        folder: data.mail(),
        places: storage.mail_places.clone(),
    };
    let runtime = base.runtime(storage.places.clone());
    let (patience, place) = (processes.fulfilment(), storage.places.join("fulfilments.json"));
    let owner = fulfilment::timer_owner(&runtime, patience, place.clone());
    let import_parts = ImportParts {
        bus: bus.clone(),
        writer: writer.clone(),
        blobs: storage.uploads.clone(),
        files: storage.imports.clone(),
        search: search.clone(),
    };
    let erased = (bus.clone(), keys, clock.clone(), storage.places.join("eraser.json"));
    let swept = (bus.clone(), storage.files.clone(), clock);
    let told = bus.clone();
    Ok(vec![
        one_at_a_time("message-reasons", Box::new(move || reasons::start(reason_parts.clone())))?,
        message::start(message_parts),
        one_at_a_time(fulfilment::NAME, Box::new(move || fulfilment::start(runtime.clone(), patience, place.clone())))?,
        one_at_a_time(
            "timers",
            Box::new(move || timers::start(told.clone(), [(fulfilment::NAME, owner.clone())].into())),
        )?,
        one_at_a_time(
            "eraser",
            Box::new(move || {
                let (bus, keys, clock, place) = erased.clone();
                eraser::start(bus, keys, clock, place)
            }),
        )?,
        one_at_a_time("imports", Box::new(move || import_worker::start(import_parts.clone())))?,
        one_at_a_time(
            "file-sweeper",
            Box::new(move || {
                let (bus, files, clock) = swept.clone();
                file_sweeper::start(bus, files, clock)
            }),
        )?,
        background.within(|| {
            campaign::start(CampaignParts { bus: bus.clone(), writer, views, search, outlet, journal, pace, restored })
        }),
    ])
}
