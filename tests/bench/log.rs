//! A nats-server of the benchmark's own, as durable as the platform's, and what can be had of it without a platform.

use crate::{
    AnyError,
    process::{Process, free_port, processor_time, tool, wait_for},
};
use bus_schema::{
    Cell,
    bus::{Bus, BusOptions, BusUser, Outgoing},
};
use futures::{StreamExt, TryStreamExt, stream};
use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

pub(crate) struct Log {
    pub(crate) bus: Bus,
    pub(crate) cell: Cell,
    url: String,
    // Stopped before its folder goes.
    process: Process,
    folder: tempfile::TempDir,
}

impl Log {
    pub(crate) async fn start() -> Result<Self, AnyError> {
        let folder = tempfile::tempdir()?;
        let port = free_port()?;
        let config = folder.path().join("server.conf");
        let store = folder.path().join("store");
        let text = format!(
            "host: \"127.0.0.1\"\nport: {port}\nmax_payload: 8388608\njetstream {{ store_dir: {store:?}, sync_interval: always }}\n"
        );
        fs::write(&config, text)?;
        let mut command = Command::new(tool("MILLRACE_NATS_SERVER", "nats-server"));
        command.arg("-c").arg(&config).stdout(Stdio::null()).stderr(Stdio::null());
        let mut process = Process::start(command)?;
        wait_for(port, &mut process)?;
        let cell = Cell::try_new("eu1")?;
        let url = format!("nats://127.0.0.1:{port}");
        let bus = Bus::connect(BusOptions {
            url: url.clone(),
            user: BusUser::Anyone,
            tls: None,
            cell: cell.clone(),
            replicas: 1,
        })
        .await?;
        bus.ensure_streams().await?;
        Ok(Self { bus, cell, url, process, folder })
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Where its server keeps everything.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Processor time its server has used.
    pub(crate) fn processor_time(&self) -> Result<Duration, AnyError> {
        processor_time(self.process.id())
    }

    /// Publishes in atomic batches and gives the messages a second.
    pub(crate) async fn batches(
        &self,
        messages: Vec<Outgoing>,
        size: usize,
        in_flight: usize,
    ) -> Result<f64, AnyError> {
        let count = messages.len();
        let batches: Vec<Vec<Outgoing>> = messages.chunks(size).map(<[Outgoing]>::to_vec).collect();
        let began = Instant::now();
        let sent = stream::iter(batches).map(|batch| self.bus.publish_batch(batch)).buffer_unordered(in_flight);
        sent.try_for_each(|_| async { Ok(()) }).await?;
        Ok(count as f64 / began.elapsed().as_secs_f64())
    }

    /// Publishes one by one, so many at once, and gives the messages a second.
    pub(crate) async fn singles(&self, messages: Vec<Outgoing>, in_flight: usize) -> Result<f64, AnyError> {
        let count = messages.len();
        let began = Instant::now();
        let sent = stream::iter(messages).map(|message| self.bus.publish(message)).buffer_unordered(in_flight);
        sent.try_for_each(|_| async { Ok(()) }).await?;
        Ok(count as f64 / began.elapsed().as_secs_f64())
    }

    /// Publishes one after another and gives how long each took.
    pub(crate) async fn alone(&self, messages: Vec<Outgoing>) -> Result<Vec<Duration>, AnyError> {
        let mut took = Vec::with_capacity(messages.len());
        for message in messages {
            let sent = Instant::now();
            self.bus.publish(message).await?;
            took.push(sent.elapsed());
        }
        Ok(took)
    }
}
