//! `millrace sender`: one more process that sends the campaigns of a platform on this machine.
//!
//! It reads the platform's log and keys and has its own views, index and journal, so it knows for itself who may get a mail. The
//! chunks of a campaign are shared between all processes that send; what keeps two from sending the same one is the log.

use crate::{
    archive::Restored,
    base::Base,
    data_dir::DataDir,
    mail::MailArgs,
    nats::Endpoint,
    platform::{CELL, StartError, open_index},
    ready,
    up::{init_log, stop_signal},
};
use bus_schema::{
    Cell,
    bus::{Bus, BusOptions, BusUser},
    keys::RootKey,
};
use projectors::{
    Views,
    backend::fjall::{FjallStore, Options as ReadOptions},
    read_store::ReadStore,
    search_lane::Search,
};
use std::path::{Path, PathBuf};
use workers::mail::{
    campaign::{self, CampaignParts, journal::Journal},
    message::{self, MessageParts},
};

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  millrace sender --join ./data --data-dir ./sender-2 --mail-providers providers.json \\
      --mail-from-domain shop.example --public-url https://shop.example

Give it the settings of mail that the platform has: all who send must say the same of themselves.")]
pub struct SenderArgs {
    /// The data directory of the platform, which runs on this machine as this user
    #[arg(long)]
    pub join: PathBuf,
    /// What this process keeps for itself; made when it does not exist
    #[arg(long)]
    pub data_dir: PathBuf,
    /// Also write the process id to this file (JSON) once campaigns are sent
    #[arg(long)]
    pub ready_file: Option<PathBuf>,
    #[command(flatten)]
    pub mail: MailArgs,
}

pub async fn run(args: SenderArgs) -> Result<(), StartError> {
    init_log();
    let outlet = args.mail.outlet()?.ok_or(StartError::NoProvider)?;
    outlet.providers().check().await?;
    let endpoint = Endpoint::of_running(&args.join).ok_or_else(|| nothing_runs(&args.join))?;
    let root_key = args.join.join("keys").join("root.key");
    if !root_key.is_file() {
        return Err(nothing_runs(&args.join));
    }
    let data = DataDir::open(&args.data_dir)?;
    let cell = Cell::try_new(CELL).map_err(|error| StartError::Cell(error.to_string()))?;
    let user = BusUser::Nkey(endpoint.seed.clone());
    let bus =
        Bus::connect(BusOptions { url: endpoint.url(), user, tls: None, cell: cell.clone(), replicas: 1 }).await?;
    let Base { bus, keys, writer, .. } = Base::new(bus, RootKey::from_file(&root_key)?);
    let rows = ReadStore::Fjall(FjallStore::open(data.views(), ReadOptions::default()).await?);
    let views = Views::open(cell, rows, projectors::catalog::projections()).await?;
    views.start(bus.clone());
    let index = open_index(&data).await?;
    let search = Search::start(index, views.clone(), keys, bus.clone(), projectors::catalog::search_sources());
    let journal = Journal::open(&data.mail()).map_err(StartError::Journal)?;
    let pace = args.mail.pace();
    let restored = Restored::log(&args.join.join("archive"))?;
    // Mail to one person too, when it is this process's turn.
    let letters = Some(outlet.apart());
    let parts = MessageParts {
        bus: bus.clone(),
        writer: writer.clone(),
        outlet: letters,
        folder: data.mail(),
        places: data.mail(),
    };
    let messages = message::start(parts);
    let outlet = Some(outlet);
    let worker = campaign::start(CampaignParts { bus, writer, views, search, outlet, journal, pace, restored });
    if let Some(path) = &args.ready_file {
        ready::write(path, &serde_json::json!({ "pid": std::process::id() }))?;
    }
    tracing::info!(platform = %args.join.display(), "campaigns are sent from here too");
    stop_signal().await;
    futures::future::join(worker.stop(), messages.stop()).await;
    Ok(())
}

fn nothing_runs(join: &Path) -> StartError {
    StartError::NothingToJoin { path: join.display().to_string() }
}
