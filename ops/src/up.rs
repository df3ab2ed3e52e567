//! `millrace up`

use crate::{
    answering,
    archive::{ArchiveArgs, KEY_FILE, Restored, announce},
    cli::{client::Client, demo},
    disk,
    file_desk::FileArgs,
    inbox::{Inbox, InboxArgs},
    mail::MailArgs,
    platform::{Platform, StartError},
    process_args::ProcessArgs,
    read_store::ReadStoreArgs,
    ready::{self, Ready},
    setup,
};
use bus_schema::TenantId;
use std::{io::Write, net::SocketAddr, path::PathBuf};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  millrace up --data-dir ./data
  millrace up --mail-host smtp.example.com --mail-credentials /etc/millrace/smtp \\
      --mail-from-domain shop.example --public-url https://shop.example
  millrace up --mail-providers providers.json --mail-from-domain shop.example --public-url https://shop.example \\
      --sns-topic main=arn:aws:sns:eu-west-1:123456789012:mails

A providers.json with Amazon SES first and an SMTP server behind it:
  {\"providers\": [
    {\"name\": \"ses\", \"kind\": \"ses\", \"region\": \"eu-west-1\", \"credentials\": \"/etc/millrace/ses\",
     \"configuration_set\": \"mails\", \"per_second\": 14},
    {\"name\": \"relay\", \"host\": \"relay.example.com\", \"port\": 587, \"security\": \"starttls\"}]}")]
pub struct UpArgs {
    /// Where everything is kept; made when it does not exist
    #[arg(long, env = "MILLRACE_DATA_DIR", default_value = "data")]
    pub data_dir: PathBuf,
    /// Address of the API and the sites; port 0 takes a free one
    #[arg(long, env = "MILLRACE_LISTEN", default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,
    /// Also write the address and the login to this file (JSON, mode 0600) once requests are served
    #[arg(long)]
    pub ready_file: Option<PathBuf>,
    /// An empty tenant instead of one with demo data
    #[arg(long)]
    pub no_demo: bool,
    #[command(flatten)]
    pub mail: MailArgs,
    #[command(flatten)]
    pub files: FileArgs,
    #[command(flatten)]
    pub processes: ProcessArgs,
    #[command(flatten)]
    pub inbox: InboxArgs,
    #[command(flatten)]
    pub archives: ArchiveArgs,
    #[command(flatten)]
    pub read_store: ReadStoreArgs,
}

pub async fn run(args: UpArgs) -> Result<(), StartError> {
    init_log();
    let (listener, bound) = answering::listen(args.listen).await?;
    let inbox = args.inbox.start(&args.data_dir).await?;
    let outlet = match &inbox {
        Some(inbox) => Some(inbox.outlet(bound, args.mail.mail_from_domain.as_deref())?),
        None => args.mail.outlet()?,
    };
    if let Some(outlet) = &outlet {
        outlet.providers().check().await?;
    }
    let (pace, archives) = (args.mail.pace(), &args.archives);
    let mut platform =
        Platform::start(&args.data_dir, outlet, pace, archives, &args.read_store, args.files, args.processes).await?;
    let bounces = match args.mail.bounce_listen {
        Some(address) => platform.take_bounces(address, args.mail.bounce_name()).await,
        None => Ok(()),
    };
    let heard = match args.mail.sns() {
        Ok(Some(options)) => platform.hear_sns(options),
        Ok(None) => Ok(()),
        Err(error) => Err(error.into()),
    };
    if let Err(error) = bounces.and(heard) {
        platform.stop().await;
        return Err(error);
    }
    let outcome = serve(&args, &platform, listener, bound, inbox.as_ref().map(Inbox::url)).await;
    platform.stop().await;
    outcome
}

/// What this process has to say goes to the standard error.
pub fn init_log() {
    let filter =
        EnvFilter::try_from_env("MILLRACE_LOG").unwrap_or_else(|_| EnvFilter::new("warn,millrace=info,workers=info"));
    let colour = std::io::IsTerminal::is_terminal(&std::io::stderr());
    // A log that cannot be written, on a full disk for example, must not take requests with it.
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colour).log_internal_errors(false);
    log.with_writer(std::io::stderr).init();
}

async fn serve(
    args: &UpArgs,
    platform: &Platform,
    listener: TcpListener,
    bound: SocketAddr,
    inbox: Option<String>,
) -> Result<(), StartError> {
    let stop = CancellationToken::new();
    let signals = stop.clone();
    tokio::spawn(async move {
        stop_signal().await;
        _ = writeln!(std::io::stderr(), "stopping…");
        signals.cancel();
    });
    let restored = Restored::read(&platform.data().archive())?;
    let tenant = first_tenant(restored.as_ref(), args.no_demo);
    let (login, first_start) = setup::ensure(&platform.app, &platform.data().keys(), tenant).await?;
    // The first tenant is the one whose people run this installation.
    let operator = TenantId::try_new(&login.tenant).map_err(|error| StartError::Setup(error.to_string()))?;
    platform.app.operated_by(operator.clone());
    let alarms = platform.archive_alarms(operator);
    let mut serving = answering::serve(&platform.app, listener, stop.clone());
    let ready = Ready {
        url: format!("http://{bound}"),
        tenant: login.tenant,
        email: login.email,
        password: login.password,
        api_key: login.api_key,
        pid: std::process::id(),
        nats_pid: platform.nats_pid(),
        inbox,
    };
    let files = [Some(platform.data().root().join(ready::FILE)), args.ready_file.clone()];
    for path in files.iter().flatten() {
        ready::write(path, &ready)?;
    }
    greet(&ready);
    greet_providers(args, platform);
    if first_start && !args.no_demo && restored.is_none() {
        let (client, send) = (Client::new(&ready.url, &ready.api_key), ready.inbox.is_some());
        tokio::spawn(async move {
            if let Err(error) = demo::fill(client, 1, send).await {
                eprintln!("the demo data is not complete: {error}; `millrace demo` goes on");
            }
        });
    }
    let root = platform.data().root();
    let full = tokio::select! {
        _ = &mut serving => None,
        full = disk::until_full(root) => Some(full),
    };
    if full.is_some() {
        stop.cancel();
        _ = serving.await;
    }
    if let Some(alarms) = alarms {
        alarms.stop().await;
    }
    for path in files.iter().flatten() {
        _ = std::fs::remove_file(path);
    }
    full.map_or(Ok(()), |full| Err(full.into()))
}

/// The tenant whose people operate the installation. A restored log has its own already.
fn first_tenant(restored: Option<&Restored>, no_demo: bool) -> &'static str {
    let wanted = if no_demo { ["main", "demo"] } else { ["demo", "main"] };
    let known = |name: &&str| restored.is_some_and(|restored| restored.tenants.iter().any(|tenant| tenant == name));
    wanted.into_iter().find(known).unwrap_or(wanted[0])
}

fn greet_providers(args: &UpArgs, platform: &Platform) {
    let mut text = String::new();
    let keys = platform.data().keys();
    let archive_key = args.archives.archive_key.clone().unwrap_or_else(|| keys.join(KEY_FILE));
    if platform.made_archive_key() {
        text.push_str(&format!("\n{}\n", announce(&archive_key, &keys.join("root.key"))));
    }
    if let Some(local) = platform.local_providers().last() {
        text.push_str(&format!(
            "
The log is archived to two S3 servers on this machine ({}). Try:
  millrace protection status --data-dir {data}
  millrace restore --from {} --archive-key {} --root-key {} --into restored
",
            platform.local_providers().iter().map(|one| one.address()).collect::<Vec<_>>().join(", "),
            local.folder().display(),
            archive_key.display(),
            keys.join("root.key").display(),
            data = platform.data().root().display(),
        ));
    }
    _ = std::io::stdout().write_all(text.as_bytes());
}

fn greet(ready: &Ready) {
    let Ready { url, tenant, email, password, api_key, inbox, .. } = ready;
    let inbox = inbox.as_ref().map(|inbox| format!("\n  inbox           {inbox}")).unwrap_or_default();
    // Nobody may be listening, which is no reason to stop.
    _ = writeln!(
        std::io::stdout(),
        "Millrace serves at {url}

  API reference   {url}/docs
  site            {url}/sites/{tenant}/{inbox}
  tenant          {tenant}
  login           {email} / {password}
  API key         {api_key}

Try:
  curl -s {url}/v1/contacts?limit=2 -H 'Authorization: Bearer {api_key}'
  millrace events tail --url {url} --api-key {api_key}
  curl -s {url}/readyz

Ctrl-C stops everything; the next start keeps all data."
    );
}

/// Returns when this process is asked to end.
pub async fn stop_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let terminated = async {
        match signal(SignalKind::terminate()) {
            Ok(mut signal) => _ = signal.recv().await,
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        () = terminated => {}
    }
}
