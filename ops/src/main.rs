//! `millrace`: the one binary of the platform.

mod answering;
mod archive;
mod background;
mod base;
mod cli;
mod crew;
mod data_dir;
mod disk;
mod doctor;
mod feedback_desk;
mod file_desk;
mod import_desk;
mod inbox;
mod local_s3;
mod mail;
mod mail_desk;
mod message_desk;
mod nats;
mod platform;
mod process_args;
mod read_store;
mod ready;
mod run;
mod sender;
mod setup;
mod storage;
mod up;
mod workforce;

use clap::{Parser, Subcommand};
use std::{io::Write, process::ExitCode};

/// A quarter of a command's processor time went into the system's allocator (ADR 0001).
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Millrace: sites, customers, shop, courses and campaigns on one event log.
#[derive(Parser)]
#[command(name = "millrace", version, propagate_version = true, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "Examples:
  millrace up --data-dir ./data
  millrace run --role api,worker --help
  millrace events tail --context crm
  millrace import contacts people.csv --dry-run
  millrace views list
  millrace protection status
  millrace restore --from https://s3.example.com/archive --into ./restored --help
  millrace workers
  millrace doctor";

#[derive(Subcommand)]
enum Command {
    /// Start the whole platform in this process, with its own nats-server
    Up(Box<up::UpArgs>),
    /// Start some roles in this process, over NATS servers and a cluster of views that run elsewhere
    Run(Box<run::RunArgs>),
    /// Send the campaigns of a running platform from one more process
    Sender(sender::SenderArgs),
    /// Say what is wrong on this machine or in a data directory, and how to fix it
    #[command(
        after_help = "Examples:\n  millrace doctor\n  millrace doctor --data-dir /srv/millrace --listen 127.0.0.1:8090\n\nEnds with 1 when something failed, with 0 otherwise."
    )]
    Doctor(doctor::DoctorArgs),
    /// Read the log: tail, show, export, replay
    Events(cli::events::EventsArgs),
    /// Fill the tenant with believable demo data
    Demo(cli::demo::DemoArgs),
    /// Import contacts from a file, take an import back, see what became of each row
    Import(cli::import::ImportArgs),
    /// List, build, switch and retire the views
    Views(cli::views::ViewsArgs),
    /// How well the log is protected by copies, and whether they are whole
    Protection(cli::protection::ProtectionArgs),
    /// Make a data directory out of the archive of one provider
    Restore(cli::restore::RestoreArgs),
    /// What acts on the log: whether it runs, how far it is, what went wrong
    Workers(cli::workers::WorkersArgs),
}

/// `millrace … | head` closes the pipe before everything is printed: nobody reads on, which is no fault to report. Only for
/// commands that print and end; a platform serves on whoever listens to it.
fn end_with_the_reader() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let words = panic.payload().downcast_ref::<String>().map_or("", String::as_str);
        if words.starts_with("failed printing to stdout") && words.contains("Broken pipe") {
            std::process::exit(0);
        }
        report(panic);
    }));
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    if !matches!(cli.command, Command::Up(_) | Command::Sender(_)) {
        end_with_the_reader();
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("millrace: the system gives no threads: {error}");
            return ExitCode::FAILURE;
        }
    };
    runtime.block_on(async {
        let outcome = match cli.command {
            Command::Up(args) => up::run(*args).await.map_err(cli::client::CliError::from),
            Command::Run(args) => run::run(*args).await.map_err(cli::client::CliError::from),
            Command::Sender(args) => sender::run(args).await.map_err(cli::client::CliError::from),
            Command::Doctor(args) => return cli::doctor::run(args).await,
            Command::Events(args) => cli::events::run(args).await,
            Command::Demo(args) => cli::demo::run(args).await,
            Command::Import(args) => cli::import::run(args).await,
            Command::Views(args) => cli::views::run(args).await,
            Command::Protection(args) => match cli::protection::run(args).await {
                Ok(code) => return code,
                Err(error) => Err(error),
            },
            Command::Restore(args) => cli::restore::run(args).await,
            Command::Workers(args) => cli::workers::run(args).await,
        };
        match outcome {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                // It may go to a full disk or a closed pipe.
                _ = writeln!(std::io::stderr(), "millrace: {error}");
                ExitCode::FAILURE
            }
        }
    })
}
